-- profile.lua - looking at frames under refused memory.
local core = require "recsys.core"
local frame, profile = core.frame, core.profile

local f = frame.from {
  { "user", "string", { "a", "b", "a", "a", false } },
  { "item", "number", { 1, 2, 1, 3, 3 } },
  { "time", "time", { 10, 20, 30, 40, 50 } },
  { "tags", "list", { { "x" }, { "x", "y" }, { "x" }, {}, {} } },
}
local columns = profile.columns(f, 3, 4)
assert(#columns == 4 and columns[1].distinct == 2 and columns[2].q50 == 2 and columns[4].top[1].value == "x")
local repeats = profile.repeats(f, { "user", "item" }, { missing = "skip", limit = 5 })
assert(repeats.repeated == 1 and repeats.incomplete == 1 and repeats.firsts:get(1) == 0)
assert(profile.repeats(f).repeated == 0)
local items = frame.from { { "id", "string", { "1", "9" } } }
local left, right = profile.overlap(f, "item", items, "id")
assert(left.unmatched_keys == 2 and right.examples[1].key == "9")
local found = profile.interactions(f, "user", "item", "time", { 0.25 })
assert(found.pairs == 3 and found.users.n == 2 and found.cold[1].events == 1)
