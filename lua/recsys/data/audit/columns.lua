--- Columns that a recipe computed before the features: made again, or held against the shapes that leaks take.

local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local columns = {}

local LEAST_ROWS = 8 -- below these an equality may be chance

local tables = { user = "users", item = "items", event = "interactions" }

--- The columns that declarations read, those of weights, filters and crosses too, each once: visit(side, table, name).
local function each_column(case, visit)
  local seen = {}
  for side, list in pairs(case.declarations) do
    for _, declaration in ipairs(list) do
      local kind = fit.kinds[declaration.kind]
      local places = kind.columns and kind.columns(setmetatable({ side = side }, { __index = declaration })) or {}
      places[#places + 1] = { side, declaration.column }
      for _, place in ipairs(places) do
        local f, name = case.data[tables[place[1]]], place[2]
        if name and not seen[place[1] .. name] and f:has(name) then
          seen[place[1] .. name] = true
          visit(place[1], f, name)
        end
      end
    end
  end
end

-- Made again ----------------------------------------------------------------------------------------------------------

--- A column's values in two frames whose rows correspond: the first that differs, 1-based, or nil.
local function first_difference(a, b, name)
  for row = 1, a:rows() do
    local x, y = a:value(name, row), b:value(name, row)
    if type(x) == "table" then x, y = table.concat(x, "\0"), table.concat(y or {}, "\0") end
    if x ~= y and not (x ~= x and y ~= y) then return row end
  end
end

local function compare_tables(case, check, a, b, rows, words, name_row)
  for _, name in ipairs(a:names()) do
    local row = not b:has(name) and 1 or first_difference(a, b, name)
    if row then case:find(check, name, words, name, name_row(rows and rows:get(row) or row - 1)) end
  end
end

--- Hold what 'derive' gave for all rows against what it gave for 'rows' alone (i64, 0-based), in the interactions and
--- in the tables of users and items.
function columns.same(case, check, whole, part, rows, words)
  compare_tables(case, check, whole.interactions:filter(rows), part.interactions, rows, words,
    function(row) return case:name_row(row) end)
  for _, key in ipairs { "user", "item" } do
    local a, b = whole[key .. "s"], part[key .. "s"]
    if a:rows() == b:rows() then
      compare_tables(case, check, a, b, nil, words,
        function(row) return ("%s %s"):format(key, a:text(key, row + 1)) end)
    else
      case:find(check, key, words, key, "the table of " .. key .. "s")
    end
  end
end

-- Combined over time -------------------------------------------------------------------------------------------------

--- Columns of the interactions that an event log combined from all of a user's events with an item (report.combined):
--- a row stands at the first of them, and such a column knows the later ones.
function columns.combined(case)
  local combined = {}
  for _, name in ipairs(case.data.report and case.data.report.combined or {}) do combined[name] = true end
  each_column(case, function(side, f, name)
    if side ~= "event" or not combined[name] then return end
    local several = f:has "events" and f:where("events", ">", 1) or tensor.arange(0, f:rows(), "i64")
    if #several == 0 then return end
    case:find("combined", "event." .. name, "column '%s' of the interactions, read by a feature, combines all of a "
      .. "user's events with an item, later ones too: in %s it knows more than its moment. Read what stood at the "
      .. "first one: 'event', a column that the log kept, or one derived from these", name,
      case:name_row(several:get(1)))
  end)
end

-- The answer ---------------------------------------------------------------------------------------------------------

local SURE <const>, OFTENER <const> = 0.5, 10

--- Of two rows, how likely they are of one group: from the sizes of the groups, f64.
local function agreement(sizes)
  local n = sizes:sum()
  return n > 1 and (sizes * (sizes - 1)):sum() / (n * (n - 1)) or 0
end

--- Of two rows with one value of a column, how likely they have one item; nil where too few rows share a value.
local function tells(f, name)
  local cells = f:group_by({ name, "item" }, { { "n", "count" } })
  local sizes = cells:column("n"):to "f64"
  local values = f:group_by(name, { { "n", "count" } }):column("n"):to "f64"
  local together = (values * (values - 1)):sum()
  if together < 2 * LEAST_ROWS then return nil end
  return (sizes * (sizes - 1)):sum() / together
end

--- A column of the interactions on the side of event that says which item its own row has: the target.
function columns.target(case)
  local rows = case.train:narrow(1, math.max(1, #case.train - case.window + 1), math.min(#case.train, case.window))
  local f = case.data.interactions:filter(rows)
  local by_chance = agreement(f:group_by("item", { { "n", "count" } }):column("n"):to "f64")
  each_column(case, function(side, table_of, name)
    local kind = table_of:type(name)
    if side ~= "event" or name == "user" or kind ~= "string" and kind ~= "number" then return end
    local present = f:filter(f:where(name, "present"))
    local share = present:rows() > 0 and tells(present, name)
    if not share or share < SURE or share < OFTENER * by_chance then return end
    case:find("columns, target", "event." .. name, "column '%s' of the interactions, read by a feature of the event, "
      .. "knows the item that is to be found: of two training rows with one value %.0f %% have one item, of any two "
      .. "%.2g %%. It is known only when the item is, such as in %s; leave it to the item's side", name, 100 * share,
      100 * by_chance, case:name_row(rows:get(1)))
  end)
end

-- Shapes of leaks -----------------------------------------------------------------------------------------------------

local units = { { 1, "ms" }, { 1000, "s" }, { 60000, "min" }, { 3600000, "h" }, { 86400000, "d" } }

--- The moment that a number column counts from, when it is an age: time column + age is the same in (almost) all rows.
local function counts_from(f, number, time)
  local present = f:filter(f:where(number, "present"))
  present = present:filter(present:where(time, "present"))
  if present:rows() < LEAST_ROWS then return nil end
  local ages, times = present:column(number), present:column(time):to "f64"
  if times:max() == times:min() then return nil end
  for _, unit in ipairs(units) do
    local moments = times + ages * unit[1]
    if moments:max() - moments:min() <= unit[1] then return math.floor(moments:mean()), unit[2] end
  end
end

local function ages(case, side, f, name)
  if f:type(name) ~= "number" then return end
  for _, time in ipairs(f:names()) do
    if f:type(time) == "time" then
      local moment, unit = counts_from(f, name, time)
      if moment then
        case:find("columns, clock", side .. "." .. name, "column '%s' of the %ss, read by a feature, is an age in %s "
          .. "that counts from %s for every row, such as %s %s: not from the time of the event. Use a feature of age "
          .. "or relative time", name, side, unit, frame.format_time(moment), side, f:text(side, 1) or "1")
        return
      end
    end
  end
end

local aggregations = {
  { "count of interactions", { "v", "count" } },
  { "sum of strengths", { "v", "sum", "strength" } },
  { "mean of strengths", { "v", "mean", "strength" } },
  { "mean of ratings", { "v", "mean", "rating" } },
}

--- An aggregate of the interactions at 'rows' for each row of a table, f64, missing as 0.
local function aggregate(case, key, aggregation, rows)
  local f = rows and case.data.interactions:filter(rows) or case.data.interactions
  local sums = f:group_by(key, { aggregation })
  local found = case.data[key .. "s"]:lookup(sums, key)
  return sums:filter(found):column("v")
end

local function zeros_for_missing(values)
  return tensor.where(values:eq(values), values, tensor.zeros(#values, "f64"))
end

--- A held-out interaction of one user or item, 0-based.
local function held_out_of(case, key, id)
  local f = case.data.interactions:filter(case.held_out)
  local rows = f:where(key, "==", id)
  return #rows > 0 and case.held_out:get(rows:get(1) + 1) or nil
end

--- A number column of users or items that equals an aggregate over all interactions and not that over training rows.
local function totals(case, side, f, name)
  if side == "event" or f:type(name) ~= "number" or f:rows() < LEAST_ROWS then return end
  local values = zeros_for_missing(f:column(name))
  for _, aggregation in ipairs(aggregations) do
    local column = aggregation[2][3]
    if not column or case.data.interactions:has(column) then
      local all = zeros_for_missing(aggregate(case, side, aggregation[2]))
      local training = zeros_for_missing(aggregate(case, side, aggregation[2], case.train))
      local differs = all:ne(training):nonzero()
      if #differs > 0 and (values - all):abs():max() < 1e-9 then
        local id = f:text(side, differs:get(1) + 1)
        local culprit = held_out_of(case, side, id)
        case:find("columns, held out", side .. "." .. name, "column '%s' of the %ss, read by a feature, is the %s over "
          .. "all rows, held-out ones included: that of %s %s counts %s. Compute it on training rows, or declare a "
          .. "count as of the event", name, side, aggregation[1], side, id,
          culprit and case:name_row(culprit) or "them")
        return
      end
    end
  end
end

--- A list column of the interactions that names items which its user meets only later.
local function future_lists(case, side, f, name)
  if side ~= "event" or f:type(name) ~= "list" then return end
  local users, items = f:column "user", f:column "item"
  local known, by_user = {}, {}
  for row = 1, f:rows() do known[f:text("item", row)] = items:get(row) end
  for row = 1, math.min(f:rows(), case.window) do
    local user = users:get(row)
    by_user[user] = by_user[user] or {}
    for _, item in ipairs(f:value(name, row) or {}) do
      if known[item] and not by_user[user][known[item]] and case.later(user, known[item], row) then
        case:find("columns, order", "event." .. name, "column '%s' of %s, read by a feature, names item %s, which this "
          .. "user meets only in %s", name, case:name_row(row - 1), item,
          case:name_row(case.later(user, known[item], row)))
        return
      end
    end
    by_user[user][items:get(row)] = true
  end
end

--- The first row of a user and item at or after a row (1-based): -> 0-based, or nil.
local function later_of(case)
  local f = case.data.interactions
  local groups = f:with("row", "time", tensor.arange(0, f:rows(), "i64")):group_by({ "user", "item" },
    { { "row", "first", "row" } })
  local index, users, items, rows = {}, groups:column "user", groups:column "item", groups:column "row"
  for i = 1, groups:rows() do
    index[users:get(i)] = index[users:get(i)] or {}
    index[users:get(i)][items:get(i)] = rows:get(i)
  end
  return function(user, item, row)
    local first = index[user] and index[user][item]
    return first and first >= row - 1 and first or nil
  end
end

--- Hold the columns that features read against the shapes that leaks take.
function columns.shapes(case)
  local built
  case.later = function(...)
    built = built or later_of(case)
    return built(...)
  end
  each_column(case, function(side, f, name)
    ages(case, side, f, name)
    totals(case, side, f, name)
    future_lists(case, side, f, name)
  end)
end

return columns
