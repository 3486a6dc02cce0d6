--- What a task of the recipe's own is given: values that are its alone, so that a table which it sorts or a field that
--- it sets is seen by no other task, whether it runs or its result is taken from an earlier run.
---
--- What another task gave is loaded from where it is stored: tensors are mapped then, and to write one fails. Of what
--- is stored nowhere (save = false, what the recipe itself has made) plain tables are copied; tensors and objects are
--- handed on as they are and looked at again after the task: when one has changed, the task's result is not kept, and
--- of tasks that are given the same value of a task none is either.
--- Tasks of the library change nothing of what they are given, and get it as it is.

local handles = require "recsys.flow.handle"
local keys = require("recsys.lazy") "recsys.flow.key"
local store = require "recsys.store"

local lent = {}

local Loan = {} -- what one call is given: flow, roots (task's state -> value), argument (number), watched (or nil)
Loan.__index = Loan

local function is_table(value) return type(value) == "table" and not getmetatable(value) end

--- Whether nobody can change a value. What a function has captured is its own affair.
local function is_constant(value) return type(value) ~= "table" and type(value) ~= "userdata" end

--- A tensor or object that is not stored is handed on as it is.
function Loan:watch(value, giver)
  if not self.watched or value == self.flow then return value end
  local hash = keys.of_value(self.flow, value)
  table.insert(self.watched, { value = value, hash = hash, giver = giver, argument = self.argument })
  return value
end

--- A value whose tables are copied: each of its own as store.save would write it, but for one that is part of itself.
---@param giver? table  the task that gave it
function Loan:copy(value, giver)
  if handles.is(value) then return self:handle(value) end
  if is_constant(value) then return value end
  if not is_table(value) then return self:watch(value, giver) end
  if self.open[value] then return self.open[value] end
  local copy = {}
  self.open[value] = copy
  for key, part in next, value do copy[key] = self:copy(part, giver) end
  self.open[value] = nil
  return copy
end

--- Where a task's value is stored; nil: nowhere.
local function place_of(flow, state)
  return state.from or flow.folder and state.of.save and flow:place(state.of) or nil
end

--- The value of a task. What it has returned the recipe may have, too, and may have changed since.
function Loan:root(state)
  if state.done and is_constant(state.value) then return state.value end
  local place = place_of(self.flow, state)
  if place then return store.load(place, self.flow.folder) end
  return self:copy(handles.value_of(state), state.of)
end

function Loan:handle(of)
  local root = handles.root(of)
  if self.roots[root] == nil then self.roots[root] = self:root(root) end
  return handles.force(of, self.roots[root])
end

local function lend(flow, arguments, from, watched)
  local loan = setmetatable({ flow = flow, roots = {}, open = {}, watched = watched }, Loan)
  local values = { n = arguments.n }
  for i = from, arguments.n do
    loan.argument = i
    values[i] = loan:copy(arguments[i])
  end
  return values
end

--- The values that a task is given. One that may be called more than once has `lend` then, which gives them anew.
---@param flow Flow
---@param task table
---@param fn function
---@param arguments table  packed, handles as they are
---@return table values    packed
function lent.values(flow, task, fn, arguments)
  if task.how.process or keys.is_ours(fn) then return handles.resolved(arguments) end
  function task.lend(from) return lend(flow, arguments, from or 1) end
  task.watched = flow.caches and {} or nil
  return lend(flow, arguments, 1, task.watched)
end

--- Look whether a task, or an element of its list, has changed what it was given as it is: `altered` then says what.
---@param flow Flow
---@param task table
---@param one? table  the element
function lent.look(flow, task, one)
  for _, watched in ipairs(task.watched or {}) do
    if watched.hash and keys.of_value(flow, watched.value) ~= watched.hash then
      local giver = watched.giver
      if giver then giver.content = nil end -- so that no result of who is given it is taken or kept
      (one or task).altered = ("argument #%d%s"):format(watched.argument,
        giver and (", which task '%s' gave,"):format(giver.name) or "")
    end
  end
end

return lent
