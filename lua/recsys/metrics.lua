return require("recsys.core").metrics
