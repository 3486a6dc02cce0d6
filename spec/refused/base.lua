-- base.lua - streams under refused memory.
local core = require "recsys.core"
local base = core.base
local scratch = ...

local stream = base.stream(7, "negatives", 1, 2)
assert(stream:uniforms(100):count() == 100)
assert(stream:normals(3):get(2) == stream:normal(1))
assert(stream:integers(10, 5, 3):get(1) == stream:below(3, 5))
assert(stream:uniform(1) < 1 and base.shortest(0.1) == "0.1")
assert(base.threads() >= 1 and base.clock() > 0 and base.memory() >= 0 and base.alloc_counts() >= 0)
assert(base.memory_limit(1 << 16, scratch or "/tmp") == 1 << 16)
local spilled <close> = core.tensor.zeros(1 << 17)
assert(select(2, base.memory_limit()) >= 1 << 19 and spilled:sum() == 0)
assert(base.memory_limit(0) == 0)
base.release()
base.release(1 << 40)
