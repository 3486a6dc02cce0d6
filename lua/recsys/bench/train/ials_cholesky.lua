--- Alternating least squares on implicit feedback, each row's system solved exactly (recsys.bench.als).
return require("recsys.bench.als").row("cholesky", 0)
