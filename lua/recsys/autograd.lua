--- Parameters, tapes, Vars and plans: recsys.core.autograd. lua/meta/autograd.lua is the manual.
return require("recsys.core").autograd
