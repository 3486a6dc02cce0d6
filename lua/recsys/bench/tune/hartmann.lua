--- TPE on hartmann, beside Optuna's default: see recsys.bench.searched.

return require("recsys.bench.searched").row "hartmann"
