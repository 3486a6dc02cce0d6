--- An element of a map's list as a task of its own: it has states, a key, and a result that is kept until the run is
--- done, and for later runs. So of a list in which one element has changed that one alone is run again, and a run that
--- was cut short takes up those that were ready.
---
--- recsys.flow.reuse, record and attempt take what element.new gives as they take a task.

local attempt = require "recsys.flow.attempt"
local kept = require "recsys.flow.cache"
local reuse = require "recsys.flow.reuse"
local showing = require "recsys.flow.note"
local store = require "recsys.store"

local element = {}

--- The i-th element of a task's list.
---@param task table
---@param i integer
---@return table
function element.new(task, i)
  local stored = task.how.process ~= nil -- its process stores what it gives, whatever becomes of the list
  local is_beside = stored and task.how.map.concurrency ~= 1 -- others may be at work at the same time
  return { name = task.name, number = task.number, element = i, how = {}, outputs = {}, state = "pending",
    save = task.save or stored, cache = task.save and task.cache, is_beside = is_beside }
end

--- What an element's key is made of: the element and the other arguments, handles as they are where they were given.
local function given(task, list, i)
  local all = task.given
  local value = list[i]
  if type(all[1]) == "table" and rawequal(getmetatable(all[1]), nil) then value = all[1][i] end
  return table.pack(value, table.unpack(all, 2, all.n))
end

--- What its process, or an earlier run, has noted of it: for the task, and for whoever resumes the run.
local function note(one)
  one.noted = { rows = one.rows, trains = one.trains, data = one.data, outputs = one.outputs,
    notes = one.notes }
end

--- Take the result that this run, or an earlier one, has: whether there is one.
---@param flow Flow
---@param one table
---@param fn function
---@param list table  the elements
---@return boolean
function element.take(flow, one, task, fn, list)
  if not (flow.caches or flow.resumed) or not one.save or not flow.folder then return false end
  local entry = reuse.find(flow, one, fn, given(task, list, one.element))
  if not entry then
    if flow.resumed then showing.clear(flow, one) end
    return false
  end
  local place = flow:place(one)
  if not entry.own and not kept.give(entry, place, flow.folder) then return false end
  one.content, one.trains, one.data = entry.content, entry.trains, entry.data
  one.origin = entry.folder or entry.run or entry.origin
  one.left = entry.left or kept.left(entry)
  flow.outputs:add(one.left)
  for field, value in pairs(entry.noted or {}) do one[field] = value end
  if not entry.own then showing.give(flow, one, entry.notes) end
  for name in pairs(one.left) do table.insert(one.outputs, name) end
  one.lua, one.started, one.ended = entry.lua, entry.started, entry.ended
  local ok, problem = flow:at(one, function()
    reuse.log_again(entry, entry.data and store.load(place, flow.folder))
  end)
  if not ok then error(problem, 0) end
  one.inputs = entry.inputs
  note(one)
  flow:move(one, entry.own and "completed" or "cached", entry.own and "before the run was resumed" or nil)
  return true
end

--- The element's result lies at its place: keep it, and note that it is ready.
function element.keep(flow, one)
  note(one)
  if flow.folder and one.save then reuse.keep(flow, one) end
  flow:move(one, "completed")
end

--- It has failed, or ended the run.
---@param failure { code: string, message: string }
function element.fail(flow, one, failure)
  if failure.code == "end" then return flow:move(one, "completed") end
  flow:move(one, attempt.state_of(failure), failure.message, failure.code)
end

return element
