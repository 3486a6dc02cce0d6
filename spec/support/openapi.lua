--- Whether an answer is what lua/recsys/serve/openapi.json says: a validator of the part of JSON Schema that the file
--- uses. A keyword that it does not know raises, so that nothing is passed over.

local cjson = require "cjson.safe"
local command = require "spec.support.command"

local openapi = {}

openapi.document = assert(cjson.decode(command.read "lua/recsys/serve/openapi.json"))

local silent = { description = true, title = true, example = true, default = true }

--- What a "$ref" of the document stands for.
local function referred(ref)
  local at = openapi.document
  for part in assert(ref:match "^#/(.+)$", ref):gmatch "[^/]+" do
    at = assert(at[(part:gsub("~1", "/"):gsub("~0", "~"))], ref .. " is not there")
  end
  return at
end

local function is_array(value) return type(value) == "table" and (#value > 0 or next(value) == nil) end
local function is_object(value) return type(value) == "table" and #value == 0 end

local types = {
  object = is_object, array = is_array,
  string = function(value) return type(value) == "string" end,
  boolean = function(value) return type(value) == "boolean" end,
  number = function(value) return type(value) == "number" end,
  integer = function(value) return type(value) == "number" and value % 1 == 0 end,
  null = function(value) return value == cjson.null end,
}

--- A regular expression of the file as a Lua pattern: classes, +, *, ?, {n} and {n,} behind a class or a character.
local function pattern_of(regex)
  local out, at = {}, 1
  while at <= #regex do
    local atom = regex:match("^%[[^%]]+%]", at) or regex:match("^\\.", at) or regex:sub(at, at)
    at = at + #atom
    if atom:sub(1, 1) == "\\" then atom = "%" .. atom:sub(2) end
    if atom == "-" then atom = "%-" end
    local least, more = regex:match("^{(%d+)(,?)}", at)
    if least then
      at = at + #least + #more + 2
      atom = atom:rep(tonumber(least)) .. (more == "," and atom .. "*" or "")
    end
    assert(not atom:find "[()|]", "this validator does not know " .. regex)
    out[#out + 1] = atom
  end
  return table.concat(out)
end

local check

local function count_fitting(schemas, value, at)
  local fitting, first = 0, nil
  for _, schema in ipairs(schemas) do
    local wrong = check(schema, value, at)
    if not wrong then fitting = fitting + 1 else first = first or wrong end
  end
  return fitting, first
end

--- keyword -> what is wrong with a value, nil when nothing is
local keywords = {
  ["$ref"] = function(ref, value, at) return check(referred(ref), value, at) end,
  type = function(wanted, value)
    for _, name in ipairs(type(wanted) == "table" and wanted or { wanted }) do
      if assert(types[name], name)(value) then return nil end
    end
    return "is no " .. (type(wanted) == "table" and table.concat(wanted, " or ") or wanted)
  end,
  enum = function(list, value)
    for _, one in ipairs(list) do
      if one == value then return nil end
    end
    return "is none of the values that may be"
  end,
  const = function(one, value) return one ~= value and "is not what it must be" or nil end,
  required = function(names, value)
    for _, name in ipairs(names) do
      if is_object(value) and value[name] == nil then return ("lacks '%s'"):format(name) end
    end
  end,
  properties = function(properties, value, at)
    if not is_object(value) then return nil end
    for name, schema in pairs(properties) do
      local wrong = value[name] ~= nil and check(schema, value[name], at .. "." .. name)
      if wrong then return nil, wrong end
    end
  end,
  additionalProperties = function(more, value, at, schema)
    for name, one in pairs(is_object(value) and value or {}) do
      if not (schema.properties or {})[name] then
        if more == false then return ("has '%s', which there is not"):format(name) end
        local wrong = more ~= true and check(more, one, at .. "." .. name)
        if wrong then return nil, wrong end
      end
    end
  end,
  items = function(schema, value, at)
    for i, one in ipairs(is_array(value) and value or {}) do
      local wrong = check(schema, one, ("%s[%d]"):format(at, i - 1))
      if wrong then return nil, wrong end
    end
  end,
  minItems = function(n, value) return is_array(value) and #value < n and "has too few items" or nil end,
  maxItems = function(n, value) return is_array(value) and #value > n and "has too many items" or nil end,
  minLength = function(n, value) return type(value) == "string" and #value < n and "is too short" or nil end,
  maxLength = function(n, value) return type(value) == "string" and #value > 4 * n and "is too long" or nil end,
  minimum = function(n, value) return type(value) == "number" and value < n and "is too small" or nil end,
  maximum = function(n, value) return type(value) == "number" and value > n and "is too large" or nil end,
  exclusiveMinimum = function(n, value) return type(value) == "number" and value <= n and "is too small" or nil end,
  pattern = function(regex, value)
    return type(value) == "string" and not value:find(pattern_of(regex)) and "does not have the form " .. regex or nil
  end,
  anyOf = function(schemas, value, at)
    local fitting, first = count_fitting(schemas, value, at)
    return nil, fitting == 0 and first or nil
  end,
  oneOf = function(schemas, value, at)
    local fitting, first = count_fitting(schemas, value, at)
    if fitting > 1 then return "fits more than one" end
    return nil, fitting == 0 and first or nil
  end,
}

--- What is wrong with a value, and where; nil when nothing is.
function check(schema, value, at)
  for keyword, wanted in pairs(schema) do
    local rule = keywords[keyword]
    if rule then
      local wrong, deeper = rule(wanted, value, at, schema)
      if deeper then return deeper end
      if wrong then return ("%s %s"):format(at, wrong) end
    elseif not silent[keyword] then
      error(("this validator does not know the keyword '%s'"):format(keyword))
    end
  end
end

--- What is wrong with a value by a schema of the document.
---@return string?
function openapi.wrong(schema, value) return check(schema, value, "$") end

--- The path of the document that a path is.
local function path_item(path)
  if openapi.document.paths[path] then return openapi.document.paths[path], path end
  for template, item in pairs(openapi.document.paths) do
    local pattern = "^" .. template:gsub("[%-%.]", "%%%0"):gsub("{[^}]+}", "[^/]+") .. "$"
    if template:find("{", 1, true) and path:find(pattern) then return item, template end
  end
end

--- Raise unless a reply is one that the document describes. Of a path or a method that it does not have, the reply must
--- be the refusal that says so.
---@param reply HttpReply
---@return table? body  decoded, of JSON
function openapi.check(method, path, reply)
  local item = path_item((path:gsub("%?.*", "")))
  local operation = item and item[method:lower()]
  local schema
  local kind = (reply.headers["content-type"] or ""):match "^[^;]*"
  if not operation then
    assert(reply.status == (item and 405 or 404), ("%s %s is not described: %d"):format(method, path, reply.status))
    schema = { ["$ref"] = "#/components/schemas/Error" }
  else
    local response = operation.responses[tostring(reply.status)] or operation.responses.default
    assert(response, ("%s %s does not say what %d is"):format(method, path, reply.status))
    if response["$ref"] then response = referred(response["$ref"]) end
    local content = response.content and response.content[kind]
    local lines = (response.content or {})["application/jsonlines"]
    if kind == "" and reply.body == "" and lines then return nil end -- there was none
    if not content then
      assert(not response.content and reply.body == "", ("%s %s, %d: %s is not described"):format(method, path,
        reply.status, kind))
      return nil
    end
    schema = content.schema
  end
  if kind ~= "application/json" then
    assert(not check(schema, reply.body, "$"))
    return nil
  end
  local value = assert(cjson.decode(reply.body))
  local wrong = check(schema, value, "$")
  if wrong then error(("%s %s, %d: %s in %s"):format(method, path, reply.status, wrong, reply.body), 2) end
  return value
end

return openapi
