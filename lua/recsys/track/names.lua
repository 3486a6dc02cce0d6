--- What names and values a tracking store takes: MLflow's rules and limits, and its words when something is refused.
---
--- Whoever refuses raises { code, message } with MLflow's error code, such as "INVALID_PARAMETER_VALUE". Lengths count
--- characters, not bytes. A parameter or tag that is too long is cut, with a warning, as MLflow does; the list of a
--- run's models is not.

local log = require "recsys.log"

local names = {}

names.limits = {
  key = 250, param = 6000, tag = 8000, experiment = 500, experiment_tag = 5000, registry_tag = 100000, alias = 255,
  dataset = 500, digest = 36, source = 65535, source_name = 500, source_version = 50, schema = 1048575,
  profile = 16777215, input_tag_key = 255, input_tag = 500, models = 4000000, batch_metrics = 1000, batch_params = 100,
  batch_tags = 100, batch = 1000, batch_bytes = 1000000,
}
local limits = names.limits

local MOST_FINITE <const> = 0x1.fffffffffffffp+1023 -- what MLflow keeps for an infinity

--- Refuse, with one of MLflow's error codes.
---@param code string  "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"
function names.refuse(code, format, ...)
  error({ code = code, message = select("#", ...) > 0 and format:format(...) or format }, 0)
end
local function invalid(format, ...) names.refuse("INVALID_PARAMETER_VALUE", format, ...) end

--- The beginning of what somebody sent, for a message.
local function shown(value)
  value = tostring(value):gsub("%c", "?")
  return #value > 100 and value:sub(1, utf8.len(value) and utf8.offset(value, 80) or 80) .. "..." or value
end

--- A text in UTF-8 without a zero byte. 'what' names it in the message: "Param value".
local function text(what, value)
  if type(value) ~= "string" then invalid("%s must be a string, not a %s.", what, type(value)) end
  if not utf8.len(value) or value:find("\0", 1, true) then
    invalid("%s '%s' is not text in UTF-8.", what, shown(value))
  end
  return value
end

--- A text of so many characters at the most.
---@param what string   "Param value"
---@param cut? boolean  true: a longer one is cut, and people are warned
---@return string
function names.limited(what, value, most, cut)
  text(what, value)
  local length = #value > most and utf8.len(value) or 0
  if length <= most then return value end
  if not cut then
    invalid("%s '%s' had length %d, which exceeded length limit of %d", what, shown(value), length, most)
  end
  log.warn("%s '%s' (%d characters) is cut to %d", what, shown(value), length, most)
  return value:sub(1, utf8.offset(value, most + 1) - 1)
end

--- What a path resolves to, as posixpath.normpath has it.
local function normal(path)
  local parts, root = {}, path:match "^/*"
  for part in path:gmatch "[^/]+" do
    if part == ".." and #parts > 0 and parts[#parts] ~= ".." then
      parts[#parts] = nil
    elseif part ~= "." and not (part == ".." and root ~= "") then
      parts[#parts + 1] = part
    end
  end
  local joined = (root == "//" and "//" or root ~= "" and "/" or "") .. table.concat(parts, "/")
  return joined == "" and "." or joined
end

--- The name of a metric, parameter or tag, or a refusal. Letters of any script are letters.
---@param kind string  "metric", "parameter" or "tag"
---@return string
function names.key(kind, name)
  local what = kind:gsub("^%l", string.upper) .. " name"
  if name == nil then invalid("%s cannot be None. A key name must be provided.", what) end
  text(what, name)
  if name:find "[^%w_/%.%- :\128-\255]" then
    invalid("Invalid %s name: '%s'. Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), "
      .. "spaces ( ), colons (:) and slashes (/).", kind, shown(name))
  end
  local resolved = normal(name)
  if resolved ~= name or resolved == "." or resolved:find "^%.%." or resolved:find "^/" then
    invalid("Invalid %s name: '%s'. Names may be treated as files in certain cases, and must not resolve to other "
      .. "names when treated as such. This name would resolve to '%s'", kind, shown(name), shown(resolved))
  end
  return names.limited(what, name, limits.key)
end

--- The name that stands for one of ours: `ndcg@10` is `ndcg_10`.
---@return string
function names.mapped(name)
  return type(name) == "string" and name:gsub("@", "_") or name
end

--- A number that JSON may say as a string.
---@return number?
local function number_of(value)
  if type(value) == "number" then return value end
  if value == "NaN" then return 0 / 0 end
  if value == "Infinity" then return math.huge end
  if value == "-Infinity" then return -math.huge end
  return type(value) == "string" and not value:find "[xXnN]" and tonumber(value) or nil
end

local function integer_of(value)
  if type(value) == "string" then value = value:match "^%s*[+-]?%d+%s*$" and tonumber(value) end
  return type(value) == "number" and math.tointeger(value) or nil
end
names.integer = integer_of

--- A metric as the database keeps it: NaN is 0 with is_nan, an infinity the largest number.
---@return number value
---@return integer is_nan
function names.kept(value)
  if value ~= value then return 0.0, 1 end
  if value == math.huge then return MOST_FINITE, 0 end
  if value == -math.huge then return -MOST_FINITE, 0 end
  return value + 0.0, 0
end

--- A metric as somebody logs it, or a refusal. A timestamp that is absent is 'now', a step that is absent 0.
---@return string key, number value, integer timestamp, integer step
function names.metric(metric, now)
  local key = names.key("metric", metric.key)
  local value = number_of(metric.value)
  if not value then
    invalid("Got invalid value %s for metric '%s' (timestamp=%s). Please specify value as a valid double (64-bit "
      .. "floating point)", shown(metric.value), key, shown(metric.timestamp))
  end
  local timestamp = metric.timestamp == nil and now or integer_of(metric.timestamp)
  if not timestamp or timestamp < 0 then
    invalid("Got invalid timestamp %s for metric '%s' (value=%s). Timestamp must be a nonnegative long (64-bit "
      .. "integer)", shown(metric.timestamp), key, shown(value))
  end
  local step = metric.step == nil and 0 or integer_of(metric.step)
  if not step then
    invalid("Got invalid step %s for metric '%s' (value=%s). Step must be a valid long (64-bit integer).",
      shown(metric.step), key, shown(value))
  end
  return key, value, timestamp, step
end

--- A parameter as it is kept.
---@return string key, string value
function names.param(param)
  return names.key("parameter", param.key), names.limited("Param value", param.value or "", limits.param, true)
end

--- The tag that lists a run's models as JSON, of which a part would be none.
names.models = "mlflow.log-model.history"

--- A run's tag as it is kept.
---@return string key, string value
function names.tag(tag)
  if tag.key == names.models then return tag.key, names.limited("Tag value", tag.value or "", limits.models) end
  return names.key("tag", tag.key), names.limited("Tag value", tag.value or "", limits.tag, true)
end

--- An experiment's tag.
---@return string key, string value
function names.experiment_tag(tag)
  return names.key("tag", tag.key), names.limited("Tag value", tag.value or "", limits.experiment_tag)
end

--- An experiment's name.
---@return string
function names.experiment(name)
  if name == nil or name == "" then invalid("Invalid experiment name: '%s'", name or "") end
  return names.limited("Experiment name", name, limits.experiment)
end

--- The id of a run.
---@return string
function names.run_id(id)
  if id == nil or id == "" then invalid("Missing value for required parameter 'run_id'.") end
  if type(id) ~= "string" or #id > 256 or not id:find "^%w[%w_%-]*$" then invalid("Invalid run ID: '%s'", shown(id)) end
  return id
end

--- The id of an experiment, which the database has as a number.
---@return integer
function names.experiment_id(id)
  local number = integer_of(id)
  if not number then
    if id == nil or id == "" then invalid("Missing value for required parameter 'experiment_id'.") end
    names.refuse("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=%s exists", shown(id))
  end
  return number
end

--- Refuse a batch that is larger than MLflow takes.
function names.batch(metrics, params, tags)
  local function check(what, list, most)
    if #list > most then
      invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple "
        .. "requests and try again.", most, what, #list, what, what)
    end
  end
  check("metrics", metrics, limits.batch_metrics)
  check("params", params, limits.batch_params)
  check("tags", tags, limits.batch_tags)
  local all = #metrics + #params + #tags
  if all > limits.batch then
    invalid("A batch logging request can contain at most %d metrics, params, and tags. Got %d metrics, params, and "
      .. "tags. Please split up metrics, params, and tags across multiple requests and try again.", limits.batch, all)
  end
end

--- Cut a list into parts of `most`, as the limits of a batch ask: for part in names.parts(list, most) do.
---@param list any[]
---@param most integer
---@return fun(): any[]?
function names.parts(list, most)
  local first = 1 - most
  return function()
    first = first + most
    if first <= #list then return table.move(list, first, math.min(first + most - 1, #list), 1, {}) end
  end
end

return names
