return require("recsys.core").nn
