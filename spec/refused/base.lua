-- base.lua - streams under refused memory.
local base = require("recsys.core").base

local stream = base.stream(7, "negatives", 1, 2)
assert(stream:uniforms(100):count() == 100)
assert(stream:normals(3):get(2) == stream:normal(1))
assert(stream:integers(10, 5, 3):get(1) == stream:below(3, 5))
