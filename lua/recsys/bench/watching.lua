--- A model's loss, watched: when each step of a training loop begins, and what its loss was. The loop stays as it is.
---
--- A step counts from its call of the loss to the next one's, so the last one is not counted, nor is the first: it pays
--- for what is made once.

local clock = require("recsys.core").base.clock

local watching = {}

local Watch = {}
Watch.__index = Watch

function watching.new() return setmetatable({ marks = {}, losses = {} }, Watch) end

--- For the model to call as its loss begins.
function Watch:begins() self.marks[#self.marks + 1] = clock() end

---@param loss Var  of one number
function Watch:notes(loss) self.losses[#self.losses + 1] = loss:item() end

--- The median of the counted steps, seconds.
---@return number
function Watch:median()
  local steps = {}
  for i = 2, #self.marks - 1 do steps[#steps + 1] = self.marks[i + 1] - self.marks[i] end
  table.sort(steps)
  local n = #steps
  return n % 2 == 1 and steps[n // 2 + 1] or (steps[n // 2] + steps[n // 2 + 1]) / 2
end

--- The first loss, and the mean of the last four.
---@return { first_loss: number, last_loss: number, steps: integer }
function Watch:facts()
  local n, sum = #self.losses, 0
  for i = n - 3, n do sum = sum + self.losses[i] end
  return { first_loss = self.losses[1], last_loss = sum / 4, steps = n }
end

--- The losses of all sides fall, and end alike: they draw other batches and first values.
---@param sides table
---@param most? number  how far last losses may be apart, default 0.05
---@param level? boolean  true: there is nothing to learn, so they need not fall
---@return table[] verdicts
function watching.judge(sides, most, level)
  local us, verdicts = sides.recsys.facts, {}
  for name, side in pairs(sides) do
    local facts = side.facts
    local apart = math.abs(facts.last_loss / us.last_loss - 1)
    if not level then
      verdicts[#verdicts + 1] = { what = name .. ": loss falls by", reached = facts.first_loss - facts.last_loss,
        wanted = 0, holds = facts.last_loss < facts.first_loss }
    end
    if side ~= sides.recsys then
      verdicts[#verdicts + 1] = { what = name .. ": last losses apart", reached = apart, wanted = most or 0.05,
        holds = apart <= (most or 0.05) }
    end
  end
  table.sort(verdicts, function(a, b) return a.what < b.what end)
  return verdicts
end

return watching
