--- Optimisers: recsys.core.optim. lua/meta/optim.lua is the manual.
return require("recsys.core").optim
