--- Full ranking, bootstrap intervals, trailing counts: recsys.core.metrics. lua/meta/metrics.lua is the manual.
return require("recsys.core").metrics
