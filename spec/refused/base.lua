-- base.lua - streams under refused memory.
local base = require("recsys.core").base

local stream = base.stream(7, "negatives", 1, 2)
assert(stream:uniforms(100):count() == 100)
assert(stream:normals(3):get(2) == stream:normal(1))
assert(stream:integers(10, 5, 3):get(1) == stream:below(3, 5))
assert(stream:uniform(1) < 1)
assert(base.threads() >= 1 and base.clock() > 0 and base.memory() >= 0 and base.alloc_counts() >= 0)
