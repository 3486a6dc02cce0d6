--- Alternating least squares on implicit feedback by three conjugate gradients a row
--- (recsys.bench.als).
return require("recsys.bench.als").row("cg", 3)
