--- Least squares in closed form: recsys.core.solve. lua/meta/solve.lua is the manual.
return require("recsys.core").solve
