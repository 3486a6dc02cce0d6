--- What a model has to beat: scorers that know no user, or hardly.
---
---   random                  one score for all: by the expectation over ties exactly what random order reaches
---   popularity              events per item: before the query's time (by_time), else in all rows that are not held out
---   popularity_window       events per item in a window that ends at the query's time
---   popularity_<group>      the same window, events of users of the query user's group (language, place)
---   newest                  the item's own time
--- Counts are strictly before the query's time and include what happened in the held-out period until then, as a shop's
--- own counter would.

local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local baselines = {}

local function random(queries)
  return tensor.zeros(queries.items)
end

local function popularity_known(queries)
  return queries.protocol.item_rows:index_select(queries.known):bincount(queries.items):to "f32"
end

--- Scores of blocks of queries from counts over a trailing window of 'length' ms, 0: all that came before.
local function trailing(queries, length, group)
  local p = queries.protocol
  local codes = group and p.data.users:column(group)
  local window = metrics.window { time = p:column "time", item = p.item_rows:to "i32", items = queries.items,
    length = length, group = codes and codes:index_select(p.user_rows),
    groups = codes and 1 + #p.data.users:strings(group) }
  local of_query = codes and codes:index_select(queries.user_rows)
  return function(first, n)
    return window:counts(queries.times:narrow(1, first, n), of_query and of_query:narrow(1, first, n))
  end
end

--- Later is better; equal times are equal.
local function newest(item_time)
  return item_time:sort():search_sorted(item_time):to "f32"
end

--- { { group, column of data.users }, ... } as the dataset declares them, or as asked for.
local function groups_of(data, asked)
  local columns, list = data.columns or {}, {}
  local map = asked or { language = columns.user_language, place = columns.user_place }
  for name, column in pairs(map) do list[#list + 1] = { name, column } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- The baselines that the data allow, in order: { { name, scorer }, ... }.
---@param queries Queries
---@param options? { trailing?: string|number, groups?: table<string, string> }  the window's length, default one day
---  where items age and 30 days elsewhere; group name -> string column of data.users, default the language and the
---  place that data.columns declares
---@return { [1]: string, [2]: Tensor|function }[]
function baselines.of(queries, options)
  options = options or {}
  local p, list = queries.protocol, { { "random", random(queries) } }
  if queries.times then
    local length = text.milliseconds(options.trailing or (p.window and "1d" or "30d"))
    list[2] = { "popularity", p.kind == "by_time" and trailing(queries, 0) or popularity_known(queries) }
    list[3] = { "popularity_window", trailing(queries, length) }
    for _, group in ipairs(groups_of(p.data, options.groups)) do
      list[#list + 1] = { "popularity_" .. group[1], trailing(queries, length, group[2]) }
    end
  else
    list[2] = { "popularity", popularity_known(queries) }
  end
  if queries.item_time then list[#list + 1] = { "newest", newest(queries.item_time) } end
  return list
end

return baselines
