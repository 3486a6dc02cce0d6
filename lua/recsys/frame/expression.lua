--- Expressions over a frame's columns: `frame.col "strength" * 2 + 1`. docs/data.md, "Expressions", is the manual.
---
--- An expression is a tree; evaluating it goes through each node once, in C over whole columns and on all threads
--- (runtime/frame/expression.c). No Lua runs for a row. Missing in, missing out, as in SQL.

local core = require("recsys.core").frame
local to_ms = require("recsys.text").span

---@class Expression
---@operator add(Expression|number): Expression  numbers; a time and ms give a time
---@operator sub(Expression|number): Expression  numbers; two times give ms; a time less ms gives a time
---@operator mul(Expression|number): Expression
---@operator div(Expression|number): Expression
---@operator idiv(Expression|number): Expression  the floor of the quotient
---@operator mod(Expression|number): Expression   with the sign of the divisor, as Lua's
---@operator pow(Expression|number): Expression
---@operator unm: Expression
---@operator concat(Expression|string): Expression  strings
---@operator band(Expression): Expression  and: 0 & missing is 0
---@operator bor(Expression): Expression   or: 1 | missing is 1
---@operator bnot: Expression              not
local Expression = { __name = "recsys.Expression" }
Expression.__index = Expression

local expression = { metatable = Expression }

local function is(value) return getmetatable(value) == Expression end

--- A constant: what operands that are no expressions become.
local function constant(value)
  if is(value) then return value end
  local kind = type(value)
  if kind == "boolean" then value, kind = value and 1 or 0, "number" end
  if kind ~= "number" and kind ~= "string" then
    error(("an expression, a number, a string or a boolean is expected, not a %s"):format(kind), 3)
  end
  return setmetatable({ op = "constant", value = value, kind = kind }, Expression)
end

local USE_METHODS = "Lua's own comparisons can give nothing but true or false here: conditions are written "
  .. "col \"x\":eq(1), and so ne, lt, le, gt and ge"

--- What must be a condition: a bare boolean is what `col "x" == 1` left of one.
local function condition_of(value)
  if type(value) == "boolean" then error(USE_METHODS, 3) end
  return value
end

local function node(op, ...)
  local args = table.pack(...)
  for i = 1, args.n do args[i] = constant(args[i]) end
  return setmetatable({ op = op, args = args }, Expression)
end

--- The column called so.
---@param name string
---@return Expression
function expression.col(name)
  if type(name) ~= "string" then error("bad argument #1 to 'col' (the name of a column expected)", 2) end
  return setmetatable({ op = "col", name = name }, Expression)
end

--- A constant number, string or boolean (1 or 0); needed only where no operand is an expression.
---@param value number|string|boolean
---@return Expression
function expression.lit(value) return constant(value) end

--- A constant time: ISO 8601 text or ms. Beside a time, text is read as one without it.
---@param value string|integer
---@return Expression
function expression.time(value)
  local ms = math.type(value) == "integer" and value or type(value) == "string" and core.parse_time(value)
  if not ms then error(("bad argument #1 to 'time' ('%s' is no ISO 8601 time)"):format(tostring(value)), 2) end
  return setmetatable({ op = "constant", value = ms, kind = "time" }, Expression)
end

--- A missing value of a type.
---@param kind "number"|"string"|"time"
---@return Expression
function expression.missing(kind)
  if kind ~= "number" and kind ~= "string" and kind ~= "time" then
    error("bad argument #1 to 'missing' (\"number\", \"string\" or \"time\" expected)", 2)
  end
  return setmetatable({ op = "constant", kind = kind, missing = true }, Expression)
end

--- a where the condition is other than 0, b where it is 0, missing where it is missing. a and b are of one type.
---@param condition Expression
---@param a any
---@param b any
---@return Expression
function expression.if_else(condition, a, b) return node("if_else", condition_of(condition), a, b) end

--- The lesser of two numbers, and the greater.
---@return Expression
function expression.least(a, b) return node("least", a, b) end
---@return Expression
function expression.greatest(a, b) return node("greatest", a, b) end

local operators = { __add = "add", __sub = "subtract", __mul = "multiply", __div = "divide", __idiv = "divide_down",
  __mod = "modulo", __pow = "power", __concat = "concat" }
for event, op in pairs(operators) do Expression[event] = function(a, b) return node(op, a, b) end end
function Expression.__band(a, b) return node("and", condition_of(a), condition_of(b)) end
function Expression.__bor(a, b) return node("or", condition_of(a), condition_of(b)) end
for _, event in ipairs { "__eq", "__lt", "__le" } do Expression[event] = function() error(USE_METHODS, 2) end end
function Expression:__unm() return node("negate", self) end
function Expression:__bnot() return node("not", self) end

-- Methods of one operand: numbers; any type; times (in UTC; weekday 1 is Monday); strings; casts.
for _, op in ipairs { "abs", "log", "log1p", "exp", "sqrt", "floor", "ceil", "round", "sign", "sin", "cos",
  "is_missing", "present",
  "year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second", "millisecond",
  "lower", "upper", "length", "as_number", "as_string", "as_time" } do
  Expression[op] = function(self) return node(op, self) end
end

-- Methods of two operands. eq and ne take two of a type, lt le gt ge numbers and times; Lua's own comparisons can give
-- nothing but booleans, so they cannot stand in.
for _, op in ipairs { "eq", "ne", "lt", "le", "gt", "ge", "fill_missing", "contains", "starts_with", "ends_with" } do
  Expression[op] = function(self, other) return node(op, self, other) end
end

--- Whether the value is one of these constants: `col "event":is_in { "Shared", "Bookmarked" }`.
---@param values (string|number)[]
---@return Expression
function Expression:is_in(values)
  if type(values) ~= "table" or is(values) then
    error("bad argument #1 to 'is_in' (a table of constants expected)", 2)
  end
  return node("is_in", self, table.unpack(values))
end

--- The number moved into low .. high; nil leaves a side open.
---@param low number?
---@param high number?
---@return Expression
function Expression:clip(low, high)
  local clipped = low and node("greatest", self, low) or self
  return high and node("least", clipped, high) or clipped
end

--- How long after 'other' a time is, in units: `col "time":since(col "created", "h")`.
---@param other Expression|string  a time
---@param unit string  "ms", "s", "m", "h", "d" or "w", or a span such as "15m"
---@return Expression
function Expression:since(other, unit)
  local ms = to_ms(unit) or to_ms("1" .. tostring(unit))
  if not ms or ms <= 0 then
    error(("bad argument #2 to 'since' ('%s' is no unit of time: ms, s, m, h, d, w)"):format(tostring(unit)), 2)
  end
  return node("divide", node("subtract", self, other), ms)
end

local starts = { week = "week_start", month = "month_start", year = "year_start" }

--- The start of the week (Monday), month or year of a time, or the last multiple of a span since 1970: "1h", "1d".
---@param unit string
---@return Expression
function Expression:truncate(unit)
  if starts[unit] then return node(starts[unit], self) end
  local ms = to_ms(unit)
  if not ms or ms < 1 then
    error(("bad argument #1 to 'truncate' ('%s' is neither week, month, year nor a span such as 1h)")
      :format(tostring(unit)), 2)
  end
  return node("truncate", self, ms)
end

--- What a Lua function makes of each distinct text: it runs once a text, not once a row. nil is missing.
---@param fn fun(text: string): string|number|integer|nil
---@param kind? "string"|"number"|"time"  what it gives; default "string"
---@return Expression
function Expression:map_texts(fn, kind)
  if type(fn) ~= "function" then error("bad argument #1 to 'map_texts' (a function expected)", 2) end
  local mapped = node("map_texts", self)
  mapped.fn, mapped.kind = fn, kind or "string"
  return mapped
end

-- Printing ----------------------------------------------------------------------------------------------------------

local symbols = { add = "+", subtract = "-", multiply = "*", divide = "/", divide_down = "//", modulo = "%",
  power = "^", concat = "..", ["and"] = "&", ["or"] = "|" }

--- How many operations deep an expression is shown: what occurs twice in it would double its text with each.
local SHOWN = 8

local function shown(e, depth)
  if e.op == "col" then return e.name end
  if e.op == "constant" then
    if e.missing then return "missing" end
    if e.kind == "time" then return core.format_time(e.value) end
    return e.kind == "string" and ("%q"):format(e.value) or tostring(e.value)
  end
  if depth == SHOWN then return "…" end
  local words = {}
  for i, arg in ipairs(e.args) do words[i] = shown(arg, depth + 1) end
  if symbols[e.op] then return ("(%s %s %s)"):format(words[1], symbols[e.op], words[2]) end
  return ("%s(%s)"):format(e.op, table.concat(words, ", "))
end

function Expression:__tostring() return shown(self, 0) end

-- Evaluating --------------------------------------------------------------------------------------------------------

--- What core.apply takes for a constant.
local function as_operand(c)
  if c.missing then return { c.kind } end
  return c.kind == "time" and { "time", c.value } or c.value
end

--- The column of a string expression with each text replaced by what the function makes of it.
local function map_texts(child, mapped)
  if child:type "value" ~= "string" then
    error(("'map_texts' is not for a %s; it takes a string"):format(child:type "value"), 0)
  end
  local texts, results = child:strings "value", {}
  for i, text in ipairs(texts) do
    results[i] = mapped.fn(text) or false
  end
  local map = core.from { { "value", "string", texts }, { "mapped", mapped.kind, results } }
  local joined = child:join(map, "value", "left")
  return joined:select({ "mapped" }):with("value", joined, "mapped"):select { "value" }
end

local evaluate

local function evaluate_node(e, f, known)
  if e.op == "col" then return f:select({ e.name }):with("value", f, e.name):select { "value" } end
  local operands = {}
  for i, arg in ipairs(e.args) do
    operands[i] = arg.op == "constant" and e.op ~= "map_texts" and as_operand(arg) or evaluate(arg, f, known)
  end
  if e.op == "map_texts" then return map_texts(operands[1], e) end
  return core.apply(e.op, f:rows(), operands)
end

--- A frame with one column, "value". What occurs twice in a tree is worked out once.
function evaluate(e, f, known)
  if known[e] then return known[e] end
  if e.op == "constant" then
    local cast = { number = "as_number", time = "as_time" }
    known[e] = core.apply(cast[e.kind] or "fill_missing", f:rows(), cast[e.kind] and { as_operand(e) }
      or { as_operand(e), as_operand(e) })
    return known[e]
  end
  local ok, result = pcall(evaluate_node, e, f, known)
  if not ok then
    if type(result) ~= "string" or result:find("in the expression", 1, true) then error(result, 0) end
    error(("in the expression %s: %s"):format(tostring(e), result:match "^%g-%.lua:%d+: (.*)$" or result), 0)
  end
  known[e] = result
  return result
end

--- The values of an expression over a frame: a frame with one column, "value".
---@param e any       an expression or a constant
---@param f Frame
---@param known? table<Expression, Frame>  what was worked out over this frame before; added to
---@return Frame
function expression.evaluate(e, f, known) return evaluate(constant(e), f, known or {}) end

expression.is = is
expression.USE_METHODS = USE_METHODS

return expression
