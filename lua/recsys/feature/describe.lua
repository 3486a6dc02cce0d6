--- What each feature of an encoder became, as data and as a table for people.

local text = require "recsys.text"

local TOP = 3 -- values shown of a vocabulary

local describe = {}

--- The share of a table's occurrences in training that its vocabulary left out or that had no value.
local function unknown_share(counts)
  local all = counts:sum()
  return all > 0 and counts:get(1) / all or 0
end

--- The most frequent values of a table and how often they occurred in training.
local function top_values(counts, vocabulary)
  local list = {}
  if not vocabulary or #vocabulary == 0 then return list end
  local order = counts:narrow(1, 2, #vocabulary):argsort(true)
  for i = 1, math.min(TOP, #vocabulary) do
    local code = order:get(i) + 1
    list[i] = { value = vocabulary:text(code), count = counts:get(code + 1) }
  end
  return list
end

--- The entry of one output: 'fact' is what its kind said of it when it was fitted.
function describe.entry(encoder, input, fact)
  local counts = input.table and encoder:counts(input.table)
  return { name = input.name, feature = input.feature, kind = input.kind, table = input.table,
    size = input.rows or input.width or 1, missing = fact.missing, learned = fact.learned,
    unknown = counts and unknown_share(counts) or nil,
    top = counts and top_values(counts, encoder:vocabulary(input.table)) or nil }
end

local function percent(x)
  return x and ("%.1f %%"):format(100 * x) or ""
end

--- "x 12, y 7" of the most frequent values, or "mean 31.2, deviation 12" of what else was learned.
local function remark(entry)
  local parts = {}
  for i, found in ipairs(entry.top or {}) do
    parts[i] = ("%s %s"):format(found.value:gsub("\31", " x "), text.count(found.count))
  end
  local names = {}
  for name in pairs(entry.learned or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = entry.learned[name]
    parts[#parts + 1] = ("%s %s"):format(name, type(value) == "number" and ("%.4g"):format(value) or value)
  end
  return table.concat(parts, ", ")
end

--- Entries as aligned text.
function describe.text(list)
  local rows = { { "feature", "is", "codes or width", "missing", "code 0", "most frequent, or learned" } }
  for _, entry in ipairs(list) do
    rows[#rows + 1] = { entry.name, entry.feature or entry.kind, text.count(entry.size), percent(entry.missing),
      percent(entry.unknown), remark(entry) }
  end
  return text.columns(rows)
end

return describe
