-- machine.lua - rates of the machine under refused memory.
local machine = require("recsys.core").machine

assert(machine.sgemm(3, 2, 5, true, 1) > 0)
assert(machine.copy(64, 1) > 0)
