--- JSON for answers: what recsys.json writes, with keys in no order, in a fifth of the time. Answers of a thousand runs
--- repeat the same few keys and names, which are quoted once.

local json = require "recsys.json"

local wire = {}

local format, integer_type, find = string.format, math.type, string.find
local list_of = getmetatable(json.list {})

--- A float as JSON, in the fewest digits that read back the same. One that JSON cannot say is null.
---@param x number
---@return string
local function float(x)
  local text = format("%.15g", x)
  if tonumber(text) ~= x then
    text = format("%.16g", x)
    if tonumber(text) ~= x then text = format("%.17g", x) end
  end
  return x == x and x ~= math.huge and x ~= -math.huge and text or "null"
end
wire.float = float

local function quote(s)
  return find(s, '[%c"\\\127]') and json.encode(s) or '"' .. s .. '"'
end

local Written = {}

--- How recsys.track.rows may give what runs have by the thousand: as JSON at once, without tables in between.
---@return { metric: fun(row: table): string, list: fun(text: string): any }
function wire.rows()
  local heads = {} -- key -> what stands before its value
  local function head(key)
    local known = '{"key":' .. quote(key) .. ',"value":'
    heads[key] = known
    return known
  end
  return {
    metric = function(row)
      return ('%s%s,"timestamp":%d,"step":%d}'):format(heads[row.key] or head(row.key),
        row.is_nan ~= 0 and '"NaN"' or float(row.value), row.timestamp or 0, row.step)
    end,
    list = function(text) return setmetatable({ text = "[" .. text .. "]" }, Written) end,
  }
end

--- The answer as JSON text. A number that JSON cannot say is null.
---@return string
function wire.encode(value)
  local out, n, quoted, heads = {}, 0, {}, {} -- heads: key -> what stands before its value, behind another's
  local put

  local function text(s)
    local known = quoted[s]
    if not known then
      known = quote(s)
      if #s < 64 then quoted[s] = known end
    end
    return known
  end

  local function put_list(list)
    n = n + 1
    out[n] = "["
    for i = 1, #list do
      if i > 1 then n = n + 1 out[n] = "," end
      put(list[i])
    end
    n = n + 1
    out[n] = "]"
  end

  local function head(key)
    local known = "," .. text(tostring(key)) .. ":"
    heads[key] = known
    return known
  end

  local function put_object(object)
    local first = n + 1
    for key, one in next, object do
      n = n + 1
      out[n] = heads[key] or head(key)
      local kind = type(one)
      if kind == "string" then
        n = n + 1
        out[n] = quoted[one] or text(one)
      else
        put(one, kind)
      end
    end
    if n < first then
      n = first
      out[n] = "{}"
    else
      out[first] = "{" .. out[first]:sub(2)
      n = n + 1
      out[n] = "}"
    end
  end

  function put(one, kind)
    kind = kind or type(one)
    if kind == "table" then
      local meta = getmetatable(one)
      if one[1] ~= nil or meta == list_of then return put_list(one) end
      if meta ~= Written then return put_object(one) end
      n = n + 1
      out[n] = one.text
      return
    end
    n = n + 1
    if kind == "string" then out[n] = text(one)
    elseif kind ~= "number" then out[n] = json.encode(one)
    else out[n] = integer_type(one) == "integer" and one or float(one) end -- table.concat writes integers as they are
  end

  put(value)
  return table.concat(out)
end

return wire
