--- Search spaces: for each name the values that trials may try, declared by choice, integer, uniform, ...
---
---     { ["model.dim"] = space.choice { 32, 64, 96 }, ["train.learning_rate"] = space.log_uniform(1e-4, 1e-2),
---       ["model.queries"] = space.choice { true, false },
---       ["model.heads"] = space.when("model.queries", true, space.integer(1, 8)) }
---
--- Samplers see a dimension as a coordinate: a choice's position from 1, a number or, where it is searched on a
--- logarithmic scale, its logarithm. A conditional dimension has a value only where its condition holds.

local exit = require "recsys.exit"
local json = require "recsys.json"
local store = require "recsys.store"

local space = {}

local MOST_BORDERS <const> = 1000 -- of a dimension's values: more are as good as a range

local Dimension = { __name = "recsys.Dimension" }
Dimension.__index = Dimension

store.class("recsys.Dimension", Dimension, function(dimension)
  local plain = {}
  for key, value in pairs(dimension) do plain[key] = value end
  return plain
end, function(plain) return setmetatable(plain, Dimension) end)

local Space = {}
Space.__index = Space

local function refuse(level, ...) error(("bad argument #%d to '%s' (%s)"):format(...), level + 1) end

local function check_number(name, position, value)
  if type(value) ~= "number" or value - value ~= 0 then refuse(3, position, name, "a finite number is expected") end
end

local function check_range(name, low, high)
  check_number(name, 1, low)
  check_number(name, 2, high)
  if low >= high then refuse(3, 2, name, ("%s is not above %s"):format(high, low)) end
  local width = high - low -- of whole numbers it may wrap round
  if width < 0 or width == math.huge then refuse(3, 2, name, "the range is wider than numbers go") end
end

--- One of some values: numbers, texts, booleans or lists.
---@param values any[]  two or more, distinct
---@return Dimension
function space.choice(values)
  if type(values) ~= "table" or #values < 2 then refuse(2, 1, "choice", "a list of two or more values is expected") end
  local texts, index = {}, {}
  for i, value in ipairs(values) do
    texts[i] = json.encode(value)
    if index[texts[i]] then refuse(2, 1, "choice", texts[i] .. " stands there twice") end
    index[texts[i]] = i
  end
  return setmetatable({ kind = "choice", values = values, index = index }, Dimension)
end

--- A whole number from low to high.
---@param low integer
---@param high integer
---@param options? { step?: integer, log?: boolean }  log: on a logarithmic scale, low is then 1 or more
---@return Dimension
function space.integer(low, high, options)
  options = options or {}
  local step = options.step or 1
  for i, value in ipairs { low, high, step } do
    if math.type(value) ~= "integer" then refuse(2, math.min(i, 3), "integer", "a whole number is expected") end
  end
  check_range("integer", low, high)
  if step < 1 then refuse(2, 3, "integer", "the step must be 1 or more") end
  if options.log and low < 1 then refuse(2, 1, "integer", "a logarithmic scale begins at 1 or above") end
  if options.log and step ~= 1 then refuse(2, 3, "integer", "a logarithmic scale has no step") end
  return setmetatable({ kind = "integer", low = low, high = low + (high - low) // step * step, step = step,
    log = options.log or false }, Dimension)
end

--- A number between low and high.
---@return Dimension
function space.uniform(low, high)
  check_range("uniform", low, high)
  return setmetatable({ kind = "number", low = low + 0.0, high = high + 0.0, log = false }, Dimension)
end

--- A number between low and high, both above 0, whose logarithm is drawn evenly.
---@return Dimension
function space.log_uniform(low, high)
  check_range("log_uniform", low, high)
  if low <= 0 then refuse(2, 1, "log_uniform", "it must be above 0") end
  return setmetatable({ kind = "number", low = low + 0.0, high = high + 0.0, log = true }, Dimension)
end

--- One of low, low + step, low + 2 step, ... up to high.
---@return Dimension
function space.quantised(low, high, step)
  check_range("quantised", low, high)
  check_number("quantised", 3, step)
  if step <= 0 or step > high - low then refuse(2, 3, "quantised", "a step above 0, within the range, is expected") end
  local steps = math.floor((high - low) / step + 1e-9)
  return setmetatable({ kind = "number", low = low + 0.0, high = low + steps * step, step = step + 0.0, log = false },
    Dimension)
end

--- The dimension `of`, which has a value only where the other one has this value, or one of these.
---@param name string       of the other one
---@param values any        a value, or a list of them
---@param of Dimension
---@return Dimension
function space.when(name, values, of)
  if type(name) ~= "string" then refuse(2, 1, "when", "the name of another dimension is expected") end
  if getmetatable(of) ~= Dimension then refuse(2, 3, "when", "a dimension is expected, such as choice { 1, 2 }") end
  local copy, accepted = {}, {}
  for key, value in pairs(of) do copy[key] = value end
  for i, value in ipairs(type(values) == "table" and values or { values }) do accepted[i] = json.encode(value) end
  if #accepted == 0 then refuse(2, 2, "when", "a value is expected, or a list of them") end
  copy.when = { name = name, accepted = accepted }
  return setmetatable(copy, Dimension)
end

-- A dimension ---------------------------------------------------------------------------------------------------------

--- Where the coordinates begin and end; those of stepped values reach half a step beyond the outermost.
---@return number low, number high
function Dimension:bounds()
  if self.kind == "choice" then return 0.5, #self.values + 0.5 end
  local half = (self.step or 0) / 2
  if self.log then return math.log(self.low - half), math.log(self.high + half) end
  return self.low - half, self.high + half
end

--- The coordinate of a value.
---@return number
function Dimension:coordinate(value)
  if self.kind == "choice" then return self.index[json.encode(value)] end
  return self.log and math.log(value) or value + 0.0
end

--- The value whose coordinate is nearest.
function Dimension:value(coordinate)
  if self.kind == "choice" then
    return self.values[math.max(1, math.min(#self.values, math.floor(coordinate + 0.5)))]
  end
  local x = self.log and math.exp(coordinate) or coordinate
  if not self.step then return math.max(self.low, math.min(self.high, x)) end
  x = math.max(self.low, math.min(self.high, self.low + math.floor((x - self.low) / self.step + 0.5) * self.step))
  return self.kind == "integer" and math.tointeger(x) or tonumber(("%.12g"):format(x)) + 0.0
end

--- The coordinates between which values round to this one; nil where every coordinate is a value of its own.
---@return number? low, number? high
function Dimension:cell(value)
  if not self.step then return nil end
  local low, high = value - self.step / 2, value + self.step / 2
  if self.log then return math.log(low), math.log(high) end
  return low, high
end

--- The value at a share of the range.
---@param share number  in [0, 1)
function Dimension:at(share)
  local low, high = self:bounds()
  return self:value(low + (high - low) * share)
end

--- Values that stand for all: every choice, or some of the range, its ends among them.
---@return any[]
function Dimension:examples()
  if self.kind == "choice" then return self.values end
  return { self.low, self:at(0.37), self:at(0.61), self.high }
end

--- Where a value lies in the range, in [0, 1].
---@return number
function Dimension:share(value)
  local low, high = self:bounds()
  return (self:coordinate(value) - low) / (high - low)
end

--- The shares of the range between which values are the same one, from 0 to 1; nil where every share is a value of its
--- own, or nearly.
---@return number[]?
function Dimension:borders()
  local low, high = self:bounds()
  local list, values = { 0 }, self.kind == "choice" and self.values or nil
  local count = values and #values or self.step and math.floor((self.high - self.low) / self.step + 0.5) + 1
  if not count or count > MOST_BORDERS then return nil end
  for i = 1, count do
    local _, above = nil, i + 0.5
    if not values then _, above = self:cell(self.low + (i - 1) * self.step) end
    list[i + 1] = (above - low) / (high - low)
  end
  return list
end

--- The values of a grid: all where these can be counted, else so many, evenly spread from end to end.
---@param points integer
function Dimension:grid(points)
  local list = {}
  if self.kind == "choice" then return self.values end
  local count = self.step and not self.log and math.floor((self.high - self.low) / self.step + 0.5) + 1
  if count and (count <= points or self.kind == "number") then
    for i = 1, count do list[i] = self:value(self.low + (i - 1) * self.step) end
    return list
  end
  local low, high = self:coordinate(self.low), self:coordinate(self.high)
  for i = 1, points do
    local value = self:value(low + (high - low) * (i - 1) / math.max(1, points - 1))
    if value ~= list[#list] then list[#list + 1] = value end
  end
  return list
end

--- A value as it was written by json.encode, with its own type again; nil when it is none of this dimension.
function Dimension:read(text)
  if self.kind == "choice" then return self.values[self.index[text]] end
  local value = tonumber(text)
  if not value or value < self.low or value > self.high then return nil end
  return self.kind == "integer" and math.tointeger(value) or value + 0.0
end

--- "one of 32, 64, 96", "1 to 8", "0.0001 to 0.01, logarithmic".
function Dimension:__tostring()
  local said
  if self.kind == "choice" then
    local texts = {}
    for i, value in ipairs(self.values) do texts[i] = json.encode(value) end
    said = "one of " .. table.concat(texts, ", ")
  else
    said = ("%s to %s"):format(json.encode(self.low), json.encode(self.high))
    if self.log then said = said .. ", logarithmic" end
    if self.step and self.step ~= 1 then said = said .. ", by " .. json.encode(self.step) end
  end
  if not self.when then return said end
  return ("%s, where %s is %s"):format(said, self.when.name, table.concat(self.when.accepted, " or "))
end

-- A space -------------------------------------------------------------------------------------------------------------

local function usage(format, ...) exit.usage_error("the search space: " .. format, ...) end

--- The names in order, each behind the one that its condition is about.
local function ordered(dimensions)
  local names, list, placed, path = {}, {}, {}, {}
  for name in pairs(dimensions) do names[#names + 1] = name end
  table.sort(names)
  local function place(name)
    if placed[name] then return end
    if path[name] then usage("the condition of %s hangs on itself", name) end
    path[name] = true
    local when = dimensions[name].when
    if when then
      local parent = dimensions[when.name]
      if not parent then usage("%s hangs on %s, which is not searched", name, when.name) end
      for _, text in ipairs(when.accepted) do
        if parent:read(text) == nil then usage("%s hangs on %s = %s, which never is", name, when.name, text) end
      end
      place(when.name)
    end
    placed[name], list[#list + 1] = true, name
  end
  for _, name in ipairs(names) do place(name) end
  return list
end

--- A space of named dimensions. Raises { code = "usage" } for what is none.
---@param search table<string, Dimension>
---@return Space  its `names` are in an order in which conditions come behind what they are about
function space.new(search)
  if type(search) ~= "table" or next(search) == nil then usage "a table NAME = dimension is expected" end
  for name, dimension in pairs(search) do
    if type(name) ~= "string" or getmetatable(dimension) ~= Dimension then
      usage("%s must be a dimension, such as choice { 32, 64 } or uniform(0, 1)", tostring(name))
    end
  end
  return setmetatable({ dimensions = search, names = ordered(search) }, Space)
end

--- Whether a dimension has a value beside these.
---@param name string
---@param values table<string, any>  those before it
function Space:is_active(name, values)
  local when = self.dimensions[name].when
  if not when then return true end
  if values[when.name] == nil then return false end
  local text = json.encode(values[when.name])
  for _, accepted in ipairs(when.accepted) do
    if accepted == text then return true end
  end
  return false
end

--- Values for all dimensions that have one.
---@param draw fun(dimension, name: string, position: integer): any
---@return table<string, any>
function Space:fill(draw)
  local values = {}
  for i, name in ipairs(self.names) do
    if self:is_active(name, values) then values[name] = draw(self.dimensions[name], name, i) end
  end
  return values
end

--- The space as JSON, the same for equal ones; space.read makes it again.
---@return string
function Space:text()
  local list = {}
  for i, name in ipairs(self.names) do
    local d = self.dimensions[name]
    list[i] = { name = name, kind = d.kind, low = d.low, high = d.high, step = d.step, log = d.log, values = d.values,
      when = d.when }
  end
  return json.encode(list)
end

--- What JSON has, its numbers whole where they are: it reads all as floats.
local function whole(value)
  if type(value) ~= "table" then return math.type(value) == "float" and math.tointeger(value) or value end
  local list = {}
  for i, part in ipairs(value) do list[i] = whole(part) end
  return list
end

--- What Space:text() wrote.
---@param written string
---@return Space
function space.read(written)
  local search = {}
  for _, d in ipairs(json.decode(written)) do
    local kind = d.kind == "choice" and space.choice(whole(d.values))
      or d.kind == "integer" and space.integer(math.tointeger(d.low), math.tointeger(d.high),
        { step = math.tointeger(d.step), log = d.log })
      or d.step and space.quantised(d.low, d.high, d.step)
      or (d.log and space.log_uniform or space.uniform)(d.low, d.high)
    kind.when = d.when
    search[d.name] = kind
  end
  return space.new(search)
end

--- Names and ranges, a line each, for people.
---@return string
function Space:describe()
  local lines = {}
  for i, name in ipairs(self.names) do lines[i] = ("  %-24s %s"):format(name, tostring(self.dimensions[name])) end
  return table.concat(lines, "\n")
end

return space
