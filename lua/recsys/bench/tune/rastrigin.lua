--- TPE on rastrigin, beside Optuna's default: see recsys.bench.searched.

return require("recsys.bench.searched").row "rastrigin"
