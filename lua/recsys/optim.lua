return require("recsys.core").optim
