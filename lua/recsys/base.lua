return require("recsys.core").base
