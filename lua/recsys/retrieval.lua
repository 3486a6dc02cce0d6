return require("recsys.core").retrieval
