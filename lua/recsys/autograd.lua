return require("recsys.core").autograd
