--- Handles: what `flow:task` gives. One stands for a task's result, or for a field of it, and for the value once that
--- is there.

local exit = require "recsys.exit"
local store = require "recsys.store"

local handle = {}

-- A handle keeps its state in a table of this map, so that every key of the value can be indexed.
local states = setmetatable({}, { __mode = "k" })
local Handle = { __name = "recsys.Handle" }

--- A handle on a task's result.
---@param state table  { task = its name, of = the task }, then `value` once it is `done`, or where it is: `load`, or
---   `from` a folder of the `run`'s
---@return any
function handle.new(state)
  local made = setmetatable({}, Handle)
  states[made] = state
  return made
end

--- The state of a handle; nil for other values. That of one on a field has its `parent`, a handle, and the `key`.
---@param value any
---@return table?
function handle.state(value) return states[value] end

--- The value of a task, loaded from where it lies when it is first asked for.
---@param state table
---@return any
function handle.value_of(state)
  if not state.done and state.load then state.value, state.done = state.load(), true end
  if not state.done and state.from then state.value, state.done = store.load(state.from, state.run), true end
  if not state.done then error({ code = "plan", message = state.task }, 0) end
  return state.value
end

--- The state of the task that a handle is on, or on a field of.
---@return table
function handle.root(of)
  local state = states[of]
  while state.parent do state = states[state.parent] end
  return state
end

--- What a handle stands for.
---@param of any
---@param root? any  what stands for the value of its task
---@return any
function handle.force(of, root)
  local state = states[of]
  if state.parent then
    local value = handle.force(state.parent, root)
    if value == nil and handle.root(of).of.state == "skipped" then return nil end
    if type(value) ~= "table" and type(value) ~= "userdata" then
      error(("task '%s' gave %s, which has no field '%s'"):format(state.task, type(value), tostring(state.key)), 0)
    end
    return value[state.key]
  end
  if root ~= nil then return root end
  return handle.value_of(state)
end

--- What the recipe itself looks at: a task in a process of its own must have it there, too.
local function ask(of)
  handle.root(of).asked = true
  return handle.force(of)
end

--- The line of the recipe that does something: the first above us that is Lua's.
local function line()
  for level = 4, 7 do
    local found = exit.line(level)
    if found then return found end
  end
  return "?"
end

local FAR <const> = 1 << 20 -- a place in a list at which nobody asks for one field: `ipairs` would go on for ever

--- Refuse what needs the value itself.
local function refuse(of, word)
  exit.usage_error("%s: the handle on task '%s' is no value, and cannot be %s: do that in a task, or take the "
    .. "value by handle:value()", line(), states[of].task, word)
end

function Handle.__index(of, key)
  if key == "value" then return ask end
  if math.type(key) == "integer" and key > FAR then refuse(of, "gone through") end
  return handle.new { parent = of, key = key, task = states[of].task }
end

function Handle.__newindex()
  error("a task's result is not to be changed: make a new task for what comes next", 2)
end

-- What needs the value itself is refused, also where Lua would say nothing, as of a length. A plan finds it so.
for word, events in pairs {
  ["calculated with"] = { "add", "sub", "mul", "div", "mod", "pow", "unm", "idiv", "band", "bor", "bxor", "shl", "shr",
    "bnot" },
  ["joined to a text"] = { "concat" }, compared = { "lt", "le" }, called = { "call" }, counted = { "len" },
  ["gone through"] = { "pairs" },
} do
  for _, event in ipairs(events) do
    Handle["__" .. event] = function(a, b)
      refuse(handle.is(a) and a or b, word)
    end
  end
end

function Handle.__tostring(of)
  return ("handle on task '%s'"):format(states[of].task)
end

--- Whether a value is a handle.
---@param value any
---@return boolean
function handle.is(value) return getmetatable(value) == Handle end

--- Whether a handle is on the list that a map gives.
---@return boolean
function handle.is_list(of)
  return not states[of].parent and states[of].of.how.map ~= nil
end

--- 'value' with every handle in it, also inside plain tables, replaced by what it stands for.
---@param value any
---@return any
function handle.resolved(value)
  if handle.is(value) then return handle.force(value) end
  if type(value) ~= "table" or getmetatable(value) then return value end
  local copy = {}
  for key, part in pairs(value) do copy[key] = handle.resolved(part) end
  return copy
end

--- Add the names of the tasks that a value has handles on.
---@param value any
---@param found table<string, boolean>
---@return table<string, boolean> found
function handle.feeders(value, found)
  if handle.is(value) then
    found[states[value].task] = true
  elseif type(value) == "table" and not getmetatable(value) then
    for _, part in pairs(value) do handle.feeders(part, found) end
  end
  return found
end

return handle
