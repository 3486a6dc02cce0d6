--- Tensors: recsys.core.tensor. lua/meta/tensor.lua is the manual.
return require("recsys.core").tensor
