--- The program that features become, under construction: steps, outputs and tensors of each side.
--- Equal steps are made once, so that two features of a column read it once.

local json = require "recsys.json"

local program = {}

local Side = {}
Side.__index = Side

--- A step and its number: side:step("lookup", text, { table = "item.id" }). 'input' is a step, a list of them or nil.
function Side:step(op, input, parameters)
  local step = { op = op }
  for key, value in pairs(parameters or {}) do step[key] = value end
  if input then step.input = json.list(type(input) == "table" and input or { input }) end
  local key = json.encode(step)
  if not self.known[key] then
    self.steps[#self.steps + 1] = step
    self.known[key] = #self.steps - 1
  end
  return self.known[key]
end

--- The step that reads a column as "string", "strings" or "number".
function Side:read(column, type)
  return self:step("read", nil, { column = column, type = type })
end

--- Put a step's result out: 'facts' are what people and models read of it (feature, table, pair, missing).
function Side:output(name, step, facts)
  local output = { name = self.name .. "." .. name, step = step }
  for key, value in pairs(facts) do output[key] = value end
  for _, other in ipairs(self.outputs) do
    if other.name == output.name then error(("two features are called '%s'"):format(output.name), 0) end
  end
  self.outputs[#self.outputs + 1] = output
end

local Program = {}
Program.__index = Program

--- The number of the filter that events pass when all conditions ({ column, values } each) hold; nil for none.
function Program:filter(conditions)
  if not conditions then return nil end
  local filter = {}
  for i, condition in ipairs(conditions) do
    filter[i] = { column = condition.column, values = json.list(condition.values) }
  end
  filter = json.list(filter)
  local key = json.encode(filter)
  if not self.known_filters[key] then
    if #self.filters == 31 then error("more than 31 different filters of events", 0) end
    self.filters[#self.filters + 1] = filter
    self.known_filters[key] = #self.filters - 1
  end
  return self.known_filters[key]
end

--- Settle the column that says how much an event weighs.
function Program:weigh(column)
  if self.weight and self.weight ~= column then
    error(("histories weigh events by '%s' and by '%s': one column can be served"):format(self.weight, column), 0)
  end
  self.weight = column
end

--- Settle the period, in ms, at whose start counts of items are read.
function Program:every(period)
  if self.period and self.period ~= period then
    error("counts of items are read at the start of one period, but two are declared", 0)
  end
  self.period = period
end

--- An empty program: program.sides.item:step(...), program.tensors, program.tables.
function program.new()
  local sides = {}
  for _, name in ipairs { "user", "event", "item" } do
    sides[name] = setmetatable({ name = name, steps = {}, outputs = {}, known = {} }, Side)
  end
  return setmetatable({ sides = sides, tensors = {}, tables = {}, filters = {}, known_filters = {} }, Program)
end

--- The program as the JSON that the core parses.
function program.encode(built)
  local sides = {}
  for name, side in pairs(built.sides) do
    sides[name] = { steps = json.list(side.steps), outputs = json.list(side.outputs) }
  end
  return json.encode { format = "recsys.encoder", version = 1, tables = json.list(built.tables), sides = sides,
    filters = #built.filters > 0 and json.list(built.filters) or nil, weight = built.weight, period = built.period }
end

return program
