--- Between files: which columns look like the same key, and which of their keys find no partner.
---
--- Two columns are compared when their names are alike (deviceId and deviceid; user_id, and id in a file users), or
--- when they are texts, and not mere numbers, that share half of the keys of the smaller one; and one of them must be a
--- key: nearly every row of it its own value. What matches in name but not in values is what one wants to hear of.

local json = require "recsys.json"
local profile = require "recsys.profile"

local joins = {}

-- A column is a key when this share of its present values is distinct.
local key_share = 0.9
-- Unlike names: texts of at most so many characters, so many keys, so large a common part.
local most_characters, least_keys, least_common = 64, 10, 0.5

local function letters(name)
  return (name:lower():gsub("[^%w\128-\255]", ""))
end

--- "devices" -> "device", "categories" -> "category".
local function singular(name)
  if name:match "ies$" then return (name:gsub("ies$", "y")) end
  return (name:gsub("([^s])s$", "%1"))
end

--- What a column may be called in another file: its name, the same without "id" at the end, and with the file's name
--- before it or taken from before it. A column that is only "id" is named by its file alone.
local function forms(file, name)
  local plain, owner, found = letters(name), singular(letters(file.name:match "[^/]+$")), {}
  if plain == "id" or plain == "key" or plain == "code" then
    found[owner], found[owner .. plain], found[owner .. "id"] = true, true, true
    return found
  end
  found[plain] = true
  local bare = plain:match "^(.+)id$"
  if bare then found[bare] = true end
  return found
end

local function alike(a, b)
  for form in pairs(a) do
    if b[form] then return true end
  end
  return false
end

local function may_be_key(column)
  return column.type == "string" or (column.type == "number" and column.whole == true)
end

local function is_key(column)
  local present = column.rows - column.missing
  return present >= 2 and column.distinct >= key_share * present
end

--- Names of pairs are "events.hashId".
local function label(file, column) return file.name .. "." .. column.name end

local function compare(a, b, why)
  local left, right = profile.overlap(a.frame, a.column.name, b.frame, b.column.name)
  for side, end_of in pairs { [left] = a, [right] = b } do
    side.file, side.column, side.key = end_of.file.name, end_of.column.name, is_key(end_of.column)
    side.repeated = side.rows - side.missing - side.keys
    json.list(side.examples)
  end
  return { left = left, right = right, left_name = label(a.file, a.column), right_name = label(b.file, b.column),
    why = why, matched_keys = left.keys - left.unmatched_keys }
end

--- Texts that say by themselves what they are: small numbers of two files are equal by chance.
local function telling_text(column)
  if column.type ~= "string" or column.distinct < least_keys or column.mean > most_characters then return false end
  for _, top in ipairs(column.top) do
    if not top.value:match "^%d+$" then return true end
  end
  return false
end

--- The comparison of two columns when they look like one key, else nil. The side with the key stands on the right.
local function consider(a, b)
  if not (may_be_key(a.column) and may_be_key(b.column)) then return nil end
  if not (is_key(a.column) or is_key(b.column)) then return nil end
  if is_key(a.column) and (not is_key(b.column) or a.column.rows < b.column.rows) then a, b = b, a end
  if alike(a.forms, b.forms) then return compare(a, b, "names") end
  if not (telling_text(a.column) and telling_text(b.column)) then return nil end
  local found = compare(a, b, "values")
  local smaller = math.min(found.left.keys, found.right.keys)
  return found.matched_keys >= least_common * smaller and found or nil
end

local function ends_of(tables)
  local ends = {}
  for _, one in ipairs(tables) do
    for _, column in ipairs(one.facts.columns) do
      ends[#ends + 1] = { file = one.facts, frame = one.frame, column = column, forms = forms(one.facts, column.name) }
    end
  end
  return ends
end

--- The column that "events.hashId" names, as an end of a comparison.
local function named(ends, name, pair)
  for _, one in ipairs(ends) do
    if label(one.file, one.column) == name then return one end
  end
  local names = {}
  for i, one in ipairs(ends) do names[i] = label(one.file, one.column) end
  local near = require("recsys.text").nearest(name, names)
  error({ code = "usage", message = ("--join %s: there is no column '%s'%s"):format(pair, name,
    near and ("; did you mean '%s'?"):format(near) or "; a column is named FILE.COLUMN, as in events.item") }, 0)
end

local function given(ends, pairs_given)
  local found, taken = {}, {}
  for i, pair in ipairs(pairs_given) do
    local left, right = pair:match "^(.-)=(.+)$"
    if not left then
      error({ code = "usage", message = ("--join %s: FILE.COLUMN=FILE.COLUMN is expected"):format(pair) }, 0)
    end
    local a, b = named(ends, left, pair), named(ends, right, pair)
    for _, one in ipairs { a, b } do
      if one.column.type ~= "string" and one.column.type ~= "number" then
        error({ code = "usage", message = ("--join %s: %s holds %ss, which are no keys"):format(pair,
          label(one.file, one.column), one.column.type) }, 0)
      end
    end
    found[i] = compare(a, b, "given")
    taken[left .. "=" .. right], taken[right .. "=" .. left] = true, true
  end
  return found, taken
end

--- All comparisons, those that were asked for first.
---@param tables { facts: table, frame: Frame }[]
---@param pairs_given string[]  "events.hashId=contents.hashid"
---@return table[]
function joins.find(tables, pairs_given)
  local ends = ends_of(tables)
  local found, taken = given(ends, pairs_given or {})
  for i, a in ipairs(ends) do
    for k = i + 1, #ends do
      local b = ends[k]
      if a.file ~= b.file and not taken[label(a.file, a.column) .. "=" .. label(b.file, b.column)] then
        found[#found + 1] = consider(a, b)
      end
    end
  end
  return found
end

return joins
