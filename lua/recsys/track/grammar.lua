--- The language of MLflow's searches: `metrics.loss < 0.5 AND tags.stage = 'test'`, and the terms of an order_by.
---
--- A filter is one or more conditions joined by AND; there is neither OR nor a parenthesis around conditions. The left
--- side is an attribute (`status`) or a key of a kind (`metrics.loss`, `tag."a b"`, with backticks too), the right
--- side an unquoted number, a quoted text, or for IN a list of such texts. What is given back is data: it reaches
--- a statement by parameters alone (track/filter.lua).
---
--- Refusals are tables { code = "INVALID_PARAMETER_VALUE", message }, with MLflow's words and the place: "(at
--- character 12)" counts characters of the filter from 1.

local grammar = {}

grammar.longest = 65536 -- bytes of a filter or of a term
grammar.most = 100      -- conditions, and terms of an order

local function refuse(text, at, format, ...)
  local place = ""
  if at then place = (" (at character %d)"):format((utf8.len(text:sub(1, at - 1)) or at - 1) + 1) end
  error({ code = "INVALID_PARAMETER_VALUE", message = format:format(...) .. place }, 0)
end

-- Reading, one piece after the other: 'p' is { text, at } -----------------------------------------------------------

local function skip_space(p)
  p.at = p.text:match("^%s*()", p.at)
end

local function at_end(p)
  skip_space(p)
  return p.at > #p.text
end

--- What stands at 'at', for a message: a word or a run of signs, 40 bytes at the most.
local function piece(text, at)
  local found = text:match("^[%w_%.%-\128-\255`'\"]+", at) or text:match("^[^%s%w]+", at) or ""
  if #found > 40 then found = found:sub(1, (utf8.offset(found, -1, 38) or 38) - 1) .. "..." end
  return found
end

--- The text in quotes at p.at, where `''` inside '...' stands for one '; nil when there is no quote.
local function quoted(p, quotes)
  local quote = p.text:sub(p.at, p.at)
  if quote == "" or not quotes:find(quote, 1, true) then return nil end
  local from, parts = p.at + 1, {}
  while true do
    local close = p.text:find(quote, from, true)
    if not close then refuse(p.text, p.at, "Invalid clause(s) in filter string: %s is not closed", quote) end
    parts[#parts + 1] = p.text:sub(from, close - 1)
    from = close + 1
    if p.text:sub(from, from) ~= quote then break end
    parts[#parts + 1], from = quote, from + 1
  end
  p.at = from
  return table.concat(parts)
end

local function word(p, pattern)
  local found, after = p.text:match("^(" .. pattern .. ")()", p.at)
  if found then p.at = after end
  return found
end

--- Take the keyword when it comes next, in any case of letters.
local function keyword(p, wanted)
  skip_space(p)
  local found, after = p.text:match("^(%a+)()", p.at)
  if not found or found:upper() ~= wanted then return false end
  if p.text:find("^[%w_%.]", after) then return false end
  p.at = after
  return true
end

--- The left side: kind and key, each bare or quoted; a name without a point is an attribute.
local function identifier(p, clause)
  skip_space(p)
  local at = p.at
  local first = quoted(p, "`\"") or word(p, "[%a_\128-\255][%w_\128-\255]*")
  if not first then refuse(p.text, at, "Invalid clause(s) in %s: '%s'", clause, piece(p.text, at)) end
  if p.text:sub(p.at, p.at) ~= "." then return { kind = "attribute", key = first, at = at } end
  p.at = p.at + 1
  local key = quoted(p, "`\"'") or word(p, "[%w_%.%-/:\128-\255]+")
  if not key or key == "" then refuse(p.text, p.at, "Invalid identifier '%s.'. A key must follow the point", first) end
  return { kind = first, key = key, at = at }
end

-- Sides of a condition ----------------------------------------------------------------------------------------------

local kinds = { metric = "metric", metrics = "metric", param = "parameter", params = "parameter",
  parameter = "parameter", parameters = "parameter", tag = "tag", tags = "tag", attribute = "attribute",
  attributes = "attribute", attr = "attribute", run = "attribute", dataset = "dataset", datasets = "dataset" }

local function listed(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return "'" .. table.concat(names, "', '") .. "'"
end

--- The identifier with its kind's plain name and what is known of the key, or a refusal.
local function resolve(p, found, subject, attributes)
  local kind = kinds[found.kind]
  if not kind or not (kind == "attribute" or subject.kinds[kind]) then
    local valid = { attribute = true }
    for name in pairs(subject.kinds) do valid[name] = true end
    refuse(p.text, found.at, "Invalid entity type '%s'. Valid values are %s", found.kind, listed(valid))
  end
  found.kind = kind
  if kind == "attribute" then
    found.key = subject.aliases and subject.aliases[found.key] or found.key
    found.field = attributes[found.key]
    if not found.field then
      refuse(p.text, found.at, "Invalid attribute key '%s' specified. Valid keys are %s", found.key, listed(attributes))
    end
  elseif kind == "dataset" and not subject.kinds.dataset[found.key] then
    refuse(p.text, found.at, "Invalid dataset key '%s' specified. Valid keys are %s", found.key,
      listed(subject.kinds.dataset))
  end
  return found
end

local numeric = { ["="] = true, ["!="] = true, [">"] = true, [">="] = true, ["<"] = true, ["<="] = true }
local textual = { ["="] = true, ["!="] = true, LIKE = true, ILIKE = true }
local with_null = { ["="] = true, ["!="] = true, LIKE = true, ILIKE = true, ["IS NULL"] = true, ["IS NOT NULL"] = true }
local with_list = { ["="] = true, ["!="] = true, LIKE = true, ILIKE = true, IN = true, ["NOT IN"] = true }

--- What the left side may be compared by.
local function comparators_of(found)
  if found.kind == "metric" or found.field and found.field.number then return numeric end
  if found.kind == "dataset" or found.field and found.field.list then return with_list end
  if found.kind == "attribute" then return textual end
  return with_null
end

local function comparator(p, found)
  skip_space(p)
  local at = p.at
  local op = word(p, "[<>=!~]+")
  if not op then
    op = (word(p, "%a+") or ""):upper()
    if op == "NOT" then op = keyword(p, "IN") and "NOT IN" or keyword(p, "LIKE") and "NOT LIKE" or op end
    if op == "IS" then
      op = keyword(p, "NOT") and "IS NOT" or op
      op = keyword(p, "NULL") and op .. " NULL" or op
    end
  end
  if op == "" then
    refuse(p.text, at, "Invalid comparison clause. Expected comparison found '%s'", piece(p.text, at))
  end
  local allowed = comparators_of(found)
  if not allowed[op] then refuse(p.text, at, "Invalid comparator '%s' not one of %s", op, listed(allowed)) end
  return op
end

local function number(p, found)
  local at = p.at
  local digits = word(p, "[+-]?%d[%d%.]*") or word(p, "[+-]?%.%d+")
  if digits then digits = digits .. (word(p, "[eE][+-]?%d+") or "") end
  local value = digits and not p.text:find("^[%w_\128-\255]", p.at) and tonumber(digits)
  if not value or value ~= value or value == math.huge or value == -math.huge then
    refuse(p.text, at, found.kind == "metric" and "Expected numeric value type for metric. Found '%s'"
      or "Expected numeric value type for numeric attribute: " .. found.key .. ". Found '%s'", piece(p.text, at))
  end
  return value
end

local function text_value(p, found)
  local at = p.at
  local value = quoted(p, "'\"")
  if value then return value end
  if p.text:sub(at, at) == "(" then
    refuse(p.text, at, "Only IN and NOT IN compare with a list of quoted string values")
  end
  refuse(p.text, at, "Expected a quoted string value for %s (e.g. 'my-value'). Got value '%s'", found.kind,
    piece(p.text, at))
end

local function list_value(p)
  local list = {}
  if not word(p, "%(") then
    refuse(p.text, p.at, "While parsing a list in the query, expected a list in parentheses, but got '%s'",
      piece(p.text, p.at))
  end
  repeat
    skip_space(p)
    local at = p.at
    local item = quoted(p, "'\"")
    if not item then
      refuse(p.text, at, "While parsing a list in the query, expected a non-empty list of string values, but got '%s'",
        piece(p.text, at))
    end
    list[#list + 1] = item
    skip_space(p)
  until not word(p, ",")
  if not word(p, "%)") then
    refuse(p.text, p.at, "While parsing a list in the query, expected ',' or ')', but got '%s'", piece(p.text, p.at))
  end
  return list
end

local function value(p, found, op)
  if op:find("^IS") then return nil end
  skip_space(p)
  if op == "IN" or op == "NOT IN" then return list_value(p) end
  if comparators_of(found) == numeric then return number(p, found) end
  return text_value(p, found)
end

local function condition(p, subject)
  local found = resolve(p, identifier(p, "filter string"), subject, subject.attributes)
  found.comparator = comparator(p, found)
  found.value = value(p, found, found.comparator)
  return found
end

-- Whole texts -------------------------------------------------------------------------------------------------------

local function checked(text, what)
  if type(text) ~= "string" then refuse("", nil, "Invalid %s: it must be a string, not a %s", what, type(text)) end
  if #text > grammar.longest then
    refuse("", nil, "Invalid %s: it has %d bytes, more than the %d that are allowed", what, #text, grammar.longest)
  end
  return text
end

---@class recsys.track.Condition
---@field kind "metric"|"parameter"|"tag"|"attribute"|"dataset"
---@field key string
---@field field? table       of an attribute: its entry in the subject
---@field comparator string  = != > >= < <= LIKE ILIKE IN "NOT IN" "IS NULL" "IS NOT NULL"
---@field value? any         a number, a string, or for IN and NOT IN a list of strings

--- The conditions of a filter, none for an empty one.
---@param text? string
---@param subject table   what is searched: attributes = { name = { number?, list? } }, orders = { name = {} },
---   aliases? = { name = name }, kinds = { metric? = true, parameter? = true, tag? = true, dataset? = { name = true } }
---@return recsys.track.Condition[]
function grammar.conditions(text, subject)
  local p, list = { text = checked(text or "", "filter"), at = 1 }, {}
  if at_end(p) then return list end
  repeat
    if #list == grammar.most then
      refuse(p.text, p.at, "Invalid filter: it has more than %d conditions", grammar.most)
    end
    if at_end(p) then refuse(p.text, p.at, "Invalid clause(s) in filter string: a condition must follow AND") end
    list[#list + 1] = condition(p, subject)
  until not keyword(p, "AND")
  if not at_end(p) then
    refuse(p.text, p.at, "Invalid clause(s) in filter string: '%s'", piece(p.text, p.at))
  end
  return list
end

local function term(text, subject)
  local p = { text = checked(text, "order_by clause"), at = 1 }
  local found = resolve(p, identifier(p, "order_by clause"), subject, subject.orders)
  if found.kind == "dataset" then refuse(p.text, found.at, "Invalid order_by entity type 'dataset'") end
  found.descending = keyword(p, "DESC")
  if not found.descending then keyword(p, "ASC") end
  if not at_end(p) then
    refuse(p.text, p.at, "Invalid ordering key in order_by clause '%s': '%s'", piece(text, 1), piece(p.text, p.at))
  end
  return found
end

--- The terms of an order: { kind, key, field?, descending }, each key once.
---@param list? string[]
---@param subject table
---@return table[]
function grammar.order(list, subject)
  if list ~= nil and type(list) ~= "table" then
    refuse("", nil, "Invalid order_by: it must be a list of strings, not a %s", type(list))
  end
  local terms, seen = {}, {}
  for i, text in ipairs(list or {}) do
    if i > grammar.most then refuse("", nil, "Invalid order_by: it has more than %d terms", grammar.most) end
    local found = term(text, subject)
    local name = found.kind .. "." .. found.key
    if seen[name] then refuse("", nil, "`order_by` contains duplicate fields: '%s'", piece(text, 1)) end
    seen[name], terms[i] = true, found
  end
  return terms
end

return grammar
