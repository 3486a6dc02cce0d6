--- Random numbers of one trial: a function of the study's seed and the trial's number, whoever draws them.

local base = require("recsys.core").base

local random = {}

local Random = {}
Random.__index = Random

---@param seed integer
---@param number integer  the trial's
---@return Random
function random.new(seed, number)
  return setmetatable({ stream = base.stream(seed, "user", number), position = -1 }, Random)
end

local function next_position(self)
  self.position = self.position + 1
  return self.position
end

--- Uniform in [0, 1).
function Random:uniform() return self.stream:uniform(next_position(self)) end

--- Standard normal.
function Random:normal() return self.stream:normal(next_position(self)) end

--- Uniform in 1 .. n.
function Random:below(n) return self.stream:below(next_position(self), n) + 1 end

--- A position of the list, drawn by its weights, whose sum is 1.
function Random:weighted(weights)
  local left = self:uniform()
  for i, weight in ipairs(weights) do
    left = left - weight
    if left < 0 then return i end
  end
  return #weights
end

return random
