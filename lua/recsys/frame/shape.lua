--- What frames do beside recsys.core.frame's operations: spans of time as text, expressions, rows in Lua.
--- lua/meta/frame.lua is the manual.

local expression = require "recsys.frame.expression"
local to_ms = require("recsys.text").span

--- A span of time in ms; raises for what is none.
local function span_of(value, name, method)
  local ms = to_ms(value)
  if not ms or ms < 0 then
    error(("bad argument to '%s' (%s must be a span of time such as \"30m\", \"12h\" or \"7d\", or a number; it is %s)")
      :format(method, name, tostring(value)), 3)
  end
  return ms
end

--- An error of the caller's, with his position.
local function evaluated(e, f, known)
  local ok, value = pcall(expression.evaluate, e, f, known)
  if not ok then error(value, 3) end
  return value
end

--- Add the methods to the table of a frame's methods.
return function(Frame)
  local asof = Frame.asof

  function Frame:asof(other, options)
    if type(options) == "table" and type(options.tolerance) == "string" then
      local given = options
      options = {}
      for key, value in pairs(given) do options[key] = value end
      options.tolerance = span_of(given.tolerance, "tolerance", "asof")
    end
    return asof(self, other, options)
  end

  local window = Frame.window

  function Frame:window(keys, order, windows)
    local given = type(windows) == "table" and windows or {}
    local ready = {}
    for i, w in ipairs(given) do
      ready[i] = w
      if type(w) == "table" and type(w[4]) == "string" then
        ready[i] = { w[1], w[2], w[3], span_of(w[4], "the gap", "window") }
      end
    end
    return window(self, keys, order, type(windows) == "table" and ready or windows)
  end

  function Frame:sessions(keys, time, gap, name)
    return self:window(keys, time, { { name or "session", "session", time, span_of(gap, "gap", "sessions") } })
  end

  local where, filter = Frame.where, Frame.filter

  local function rows_where(self, e)
    local value = evaluated(e, self)
    if value:type "value" ~= "number" then
      error(("the condition %s is a %s; it must be a number, 0 for no"):format(tostring(e), value:type "value"), 3)
    end
    return where(value, "value", "~=", 0)
  end

  function Frame:where(name, op, value)
    if expression.is(name) then return rows_where(self, name) end
    if value == nil then return where(self, name, op) end
    return where(self, name, op, value)
  end

  function Frame:filter(rows)
    if type(rows) == "boolean" then
      error(("bad argument #1 to 'filter' (%s)"):format(expression.USE_METHODS), 2)
    end
    return filter(self, expression.is(rows) and rows_where(self, rows) or rows)
  end

  function Frame:derive(columns)
    if type(columns) ~= "table" then error("bad argument #1 to 'derive' (a table name -> expression expected)", 2) end
    local names, known, derived = {}, {}, self
    for name in pairs(columns) do
      if type(name) ~= "string" then error("bad argument #1 to 'derive' (a table name -> expression expected)", 2) end
      if type(columns[name]) == "boolean" then
        error(("bad argument #1 to 'derive' (column '%s': %s; for a constant, frame.lit(%s))")
          :format(name, expression.USE_METHODS, columns[name]), 2)
      end
      names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
      derived = derived:with(name, evaluated(columns[name], self, known), "value")
    end
    return derived
  end

  function Frame:map_rows(name, kind, fn)
    if type(fn) ~= "function" then error("bad argument #3 to 'map_rows' (a function expected)", 2) end
    local at, values = 0, {}
    local row = setmetatable({}, { __index = function(_, key) return self:value(key, at) end })
    for i = 1, self:rows() do
      at = i
      values[i] = fn(row, i) or false
    end
    return self:with(name, kind, values)
  end
end
