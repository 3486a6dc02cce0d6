--- A trial that this process is at work on.

local clock = require "recsys.clock"
local log = require "recsys.log"

local trial_of = {}

local Trial = { __name = "recsys.Trial" }
Trial.__index = Trial

--- A trial of a study as its worker sees it: `number`, `name`, `params` (name -> value), `intermediate`.
---@return Trial
function trial_of.new(study, about)
  about.study = study
  return setmetatable(about, Trial)
end

--- Whether its end is committed.
function Trial:is_over() return self.state ~= "running" end

--- Look at what has become of it: a task in a process of its own may have ended it.
---@return Trial
function Trial:look()
  local row = self.study.db:row("SELECT state, message FROM trials WHERE trial_id = ?", { self.id })
  self.state, self.message = row.state, row.message
  return self
end

--- Move to another state; raises { code = "busy" } when the trial is not ours any more.
local function move(self, to, message)
  local changed = self.study.db:run([[UPDATE trials SET state = ?, message = ?, ended = ?, heard = ?,
    process = CASE WHEN ? = 'waiting' THEN NULL ELSE process END
    WHERE trial_id = ? AND state = 'running' AND process = ?]],
    { to, message, clock.now(), clock.now(), to, self.id, self.study.process })
  if changed == 0 then
    error({ code = "busy",
      message = ("%s of %s is not this process's any more"):format(self.name, self.study.name) }, 0)
  end
end

--- Move to another state, by itself.
local function end_as(self, to, message)
  move(self, to, message)
  self.state, self.message = to, message
end

local function end_with(self, values)
  move(self, "complete")
  for i, value in ipairs(values) do
    self.study.db:run("INSERT INTO trial_values VALUES (?, ?, ?)", { self.id, i, value })
  end
end

--- The values as a list of finite numbers, one for each objective; else nil and what is wrong.
local function checked(self, result)
  local values = type(result) == "table" and result or { result }
  local wanted = #self.study.directions
  if #values ~= wanted then return nil, ("the objective gave %d values, not %d"):format(#values, wanted) end
  for i, value in ipairs(values) do
    if type(value) ~= "number" or value - value ~= 0 then
      return nil, ("the objective gave %s"):format(tostring(value))
    end
    values[i] = value + 0.0
  end
  return values
end

--- End it with its values; with what are none (NaN, say) it is failed.
---@param result number|number[]
function Trial:complete(result)
  local values, problem = checked(self, result)
  if not values then return self:fail(problem) end
  self.study.db:transaction(end_with, self, values)
  self.state, self.message, self.values = "complete", nil, values
end

--- End it: it failed, and why.
function Trial:fail(message) end_as(self, "failed", log.veiled(message):sub(1, 2000)) end

--- Give it back, to be tried again.
function Trial:release() end_as(self, "waiting") end

--- Take it over from the process that has asked for it.
function Trial:adopt()
  local changed = self.study.db:run("UPDATE trials SET process = ? WHERE trial_id = ? AND state = 'running'",
    { self.study.process, self.id })
  if changed == 0 then error({ code = "busy", message = self.name .. " is not to be run" }, 0) end
end

local function note(self, step, value)
  local db = self.study.db
  db:run("INSERT OR REPLACE INTO trial_reports VALUES (?, ?, ?)", { self.id, step, value })
  db:run("UPDATE trials SET heard = ? WHERE trial_id = ?", { clock.now(), self.id })
end

--- Note a report and what the pruner says to it, both or none: a kill leaves no step that was not judged.
---@return string? message  that it is pruned
local function judge(self, step, value, is_judged)
  local study = self.study
  note(self, step, value)
  self.intermediate[step], self.last_step = value, math.max(step, self.last_step or step)
  local sign = study.directions[1] == "maximize" and -1 or 1
  if not is_judged or not study.pruner(self, study:trials(), sign, study.seed) then return nil end
  local message = ("pruned behind step %d"):format(step)
  move(self, "pruned", message)
  return message
end

--- Tell what the objective is after a step, such as an epoch. When the pruner says that the trial is not worth going
--- on with, it is pruned, and this raises { code = "end" }, which ends the objective; `paused` says that it may be
--- called again for this trial, which has then `promoted` and may go on behind that step or report all anew: a step is
--- judged once.
---@param step integer
---@param value number
---@param last? boolean  no step follows: there is nothing to be saved, so it is not pruned
function Trial:report(step, value, last)
  if math.type(step) ~= "integer" then error("bad argument #1 to 'report' (a whole number is expected)", 2) end
  if type(value) ~= "number" or value - value ~= 0 then
    error({ code = "numeric", message = ("step %d: the objective is %s"):format(step, tostring(value)) }, 0)
  end
  local study = self.study
  local is_judged = study.pruner and not last and step > (self.last_step or -math.huge)
  local message = study.db:transaction(judge, self, step, value + 0.0, is_judged)
  if not message then return end
  self.state, self.message = "pruned", message
  error({ code = "end", paused = study.promoter ~= nil, message = message,
    result = { text = ("%s: %s"):format(self.name, message) } }, 0)
end

function Trial:__tostring() return ("%s of %s"):format(self.name, self.study.name) end

return trial_of
