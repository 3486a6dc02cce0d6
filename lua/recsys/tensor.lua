return require("recsys.core").tensor
