--- The page of a finished run: how it trained, what it measured beside baselines, for whom, and with which parameters.
---
--- It is made from the run's result alone (docs/recipes.md), so that a recipe of any kind gets what its result has.

local bar = require "recsys.report.bar"
local line = require "recsys.report.line"
local page_of = require "recsys.report.page"
local recommender = require "recsys.report.recommender"
local text = require "recsys.text"
local words = require "recsys.describe.words"

local run = {}

local function finite(value) return type(value) == "number" and value == value and math.abs(value) < math.huge end

local function shown(value)
  if not finite(value) then return "-" end
  return value == math.floor(value) and math.abs(value) < 1e15 and text.count(math.tointeger(value))
    or ("%.4f"):format(value)
end

--- "ndcg_10" -> "NDCG@10", as people write it.
local function spoken(name)
  local stem, k = name:match "^(%a+)_(%d+)$"
  stem = stem or name
  local upper = { ndcg = "NDCG", map = "MAP", mrr = "MRR", auc = "AUC" }
  return (upper[stem] or stem:gsub("_", " ")) .. (k and "@" .. k or "")
end

local function sorted_keys(of)
  local names = {}
  for name in pairs(of) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

-- Training ----------------------------------------------------------------------------------------------------------

--- A column of the curves; nil where no row has it.
local function column(curves, name)
  local values, any = {}, false
  for i, row in ipairs(curves) do
    values[i] = type(row[name]) == "number" and row[name] or false
    any = any or values[i] ~= false
  end
  return any and values or nil
end

local function curves_chart(result, title, names, options)
  local list, epochs = {}, column(result.curves, "epoch")
  for _, name in ipairs(names) do
    local values = column(result.curves, name)
    if values then
      list[#list + 1] = { name = name:gsub("^monitor/", ""), x = epochs, y = values,
        colour = name:find "^valid/" and 2 or nil }
    end
  end
  if #list == 0 then return nil end
  return line.line { title = title, x_name = "epoch", series = list, log_y = options and options.log_y,
    marks = result.epoch and #result.curves > 1 and { { x = result.epoch, name = "kept" } } or nil }
end

--- Names of the curves that are validation metrics, without the loss.
local function metrics_of(curves)
  local names = {}
  for _, name in ipairs(sorted_keys(curves[#curves])) do
    if tostring(name):find "^valid/" and name ~= "valid/loss" then names[#names + 1] = name end
  end
  return names
end

local function training(page, result)
  local curves = result.curves
  if type(curves) ~= "table" or type(curves[1]) ~= "table" then return end
  local best = result.epoch and (", of which number %s was kept"):format(words.number(result.epoch)) or ""
  page:section "Training":text(("%s%s."):format(words.count(#curves, "epoch"), best))
  local charts = { curves_chart(result, "Loss", { "train/loss", "valid/loss" }) }
  for _, name in ipairs(metrics_of(curves)) do
    charts[#charts + 1] = curves_chart(result, spoken(name:sub(7)) .. " on validation events", { name })
  end
  charts[#charts + 1] = curves_chart(result, "Gradient norm", { "monitor/grad_norm", "monitor/grad_norm_max" })
  charts[#charts + 1] = curves_chart(result, "How far a step moves the weights, of their norm",
    { "monitor/update_ratio" })
  for _, chart in ipairs(charts) do page:chart(chart) end
end

-- What was measured -------------------------------------------------------------------------------------------------

--- The metric that systems are compared by.
local function main_metric(result)
  if result.best_baseline then return result.best_baseline.metric end
  for _, name in ipairs(sorted_keys(result.metrics)) do
    if tostring(name):find "^ndcg_" then return name end
  end
end

--- Cut-offs of a metric that were measured, in order.
local function cutoffs(result, metric)
  local list = {}
  for name in pairs(result.metrics) do
    local k = tostring(name):match("^" .. metric .. "_(%d+)$")
    list[#list + 1] = tonumber(k)
  end
  table.sort(list)
  return list
end

local function tiles(page, result, metric)
  local list = {}
  local function add(value, label) list[#list + 1] = { value, label } end
  if metric then
    local interval = result.intervals and result.intervals[metric]
    add(shown(result.metrics[metric]), spoken(metric) .. (interval and finite(interval[1])
      and (", 95 %% from %.4f to %.4f"):format(interval[1], interval[2]) or ""))
  end
  local best = result.best_baseline
  if best and finite(best.ratio) then
    add(("%.2f times"):format(best.ratio), ("%s, the best baseline"):format(best.name))
  end
  if finite(result.queries) then add(text.count(math.floor(result.queries)), "test queries") end
  if result.seconds and result.seconds.train then add(text.duration(result.seconds.train), "of training") end
  if finite(result.memory_peak_mib) then add(("%d MiB"):format(result.memory_peak_mib), "of memory at the most") end
  if #list > 0 then page:tiles(list) end
end

--- The model, its baselines and the others as bars, best first.
local function systems_chart(result, metric)
  local interval = result.intervals and result.intervals[metric]
  local list = { { name = "model", value = result.metrics[metric], low = interval and interval[1],
    high = interval and interval[2] } }
  for _, name in ipairs(sorted_keys(result.compared or {})) do
    local other = result.compared[name]
    if other.metric == metric and finite(other.value) then list[#list + 1] = { name = name, value = other.value } end
  end
  table.sort(list, function(a, b) return a.value > b.value end)
  local names, values, low, high = {}, {}, {}, {}
  for i, one in ipairs(list) do
    names[i], values[i], low[i], high[i] = one.name:gsub("_", " "), one.value, one.low or false, one.high or false
  end
  return bar.bar { title = spoken(metric) .. " on test events", names = names,
    series = { { name = spoken(metric), values = values, low = low, high = high } } }
end

local SEGMENTS = { "known_users", "new_users", "known_items", "new_items", "activity_q1", "activity_q2", "activity_q3",
  "activity_q4" }

local function segments_chart(result, metric)
  local names, model, baseline, low, high = {}, {}, {}, {}, {}
  for _, name in ipairs(SEGMENTS) do
    local segment = result.segments and result.segments[name]
    if segment and segment.metrics then
      local i, interval = #names + 1, segment.intervals and segment.intervals[metric]
      names[i] = ("%s (%s)"):format(name:gsub("_", " "), text.count(segment.queries))
      model[i] = segment.metrics[metric] or false
      baseline[i] = type(segment.baseline) == "table" and segment.baseline[metric] or false
      low[i], high[i] = interval and interval[1] or false, interval and interval[2] or false
    end
  end
  if #names == 0 then return nil end
  local list = { { name = "model", values = model, low = low, high = high } }
  if result.best_baseline then list[2] = { name = result.best_baseline.name:gsub("_", " "), values = baseline } end
  return bar.bar { title = spoken(metric) .. " by segment", names = names, series = list }
end

local function metrics_table(page, result)
  local rows = { { "", "value", "95 % from", "to", result.best_baseline and result.best_baseline.name or nil } }
  local baseline = result.best_baseline and result.baselines and result.baselines[result.best_baseline.name]
  for _, name in ipairs(sorted_keys(result.metrics)) do
    local value, interval = result.metrics[name], result.intervals and result.intervals[name]
    if type(value) == "number" then
      rows[#rows + 1] = { spoken(tostring(name)), shown(value), interval and shown(interval[1]) or "",
        interval and shown(interval[2]) or "", baseline and shown(baseline[name]) }
    end
  end
  if #rows > 1 then page:table(rows, { title = "All metrics" }) end
end

local function measured(page, result, metric)
  if not result.metrics then return end
  page:section "On test events"
  if result.candidates and result.label then
    page:text(("%s; %s candidates a query on average. Bars' lines are 95 %% intervals over users."):format(result.label,
      text.count(math.floor(result.candidates + 0.5))))
  end
  if metric then
    page:chart(systems_chart(result, metric))
    local chart, ks = segments_chart(result, metric), cutoffs(result, "recall")
    if chart then page:chart(chart, "Queries in brackets.") end
    if #ks > 1 then
      page:chart(recommender.recall_at_k { title = "Recall at k", report = { k = ks, metrics = result.metrics,
        intervals = result.intervals, baselines = result.baselines, best_baseline = result.best_baseline } })
    end
  end
  metrics_table(page, result)
end

local function long_tail(page, result)
  local tails, list = result.long_tail, {}
  if type(tails) ~= "table" then return end
  local function add(name, of)
    if type(of) == "table" and of.rank and #of.rank > 0 then
      list[#list + 1] = { name = name, rank = of.rank, count = of.count, colour = #list + 1 }
    end
  end
  add("users, training events", tails.users)
  add("items, training events", tails.items)
  add("items, recommended", tails.recommended)
  if #list == 0 then return end
  page:section "Long tail"
  page:chart(recommender.long_tail { title = "Who has how many", series = list, y_name = "times" },
    "By rank, both axes logarithmic. Where the recommended items fall sooner than those of training, the model shows "
      .. "fewer items than people used.")
end

local function importance(page, result)
  local found = result.importance
  if type(found) ~= "table" or type(found.features) ~= "table" or #found.features == 0 then return end
  local names, values, low, high = {}, {}, {}, {}
  for i, feature in ipairs(found.features) do
    names[i], values[i], low[i], high[i] = feature.name, feature.drop, feature.least, feature.most
  end
  page:section "Features":chart(bar.bar { title = "What each carries", names = names, x_name = "drop of "
    .. spoken(found.metric), series = { { name = "drop", values = values, low = low, high = high } } },
    "How much the metric drops when a feature's values are dealt anew; lines from least to most.")
end

-- What it was told --------------------------------------------------------------------------------------------------

local function flatten(rows, prefix, group)
  for _, name in ipairs(sorted_keys(group)) do
    local value, path = group[name], prefix .. tostring(name)
    if type(value) == "table" and #value == 0 and next(value) ~= nil then
      flatten(rows, path .. ".", value)
    elseif type(value) == "table" then
      local parts = {}
      for i, part in ipairs(value) do parts[i] = tostring(part) end
      rows[#rows + 1] = { path, table.concat(parts, ", ") }
    else
      rows[#rows + 1] = { path, tostring(value) }
    end
  end
end

local function told(page, result, params)
  page:section "How"
  local rows = { { "parameter", "value" } }
  flatten(rows, "", params or {})
  page:table(rows, { title = "Parameters" })
  local steps = { { "step", "time" } }
  for _, name in ipairs(sorted_keys(result.seconds or {})) do
    steps[#steps + 1] = { name, text.duration(result.seconds[name]) }
  end
  if #steps > 1 then page:table(steps, { title = "Time" }) end
end

--- Whether a result has anything to show.
---@param result table
function run.has_page(result)
  return type(result.metrics) == "table" or type(result.curves) == "table" and result.curves[1] ~= nil
end

--- The page of a run.
---@param result table   the recipe's, docs/recipes.md
---@param params table   the resolved parameters
---@return Page
function run.page(result, params)
  local metric = result.metrics and main_metric(result)
  local page = page_of { title = tostring(result.run or result.recipe or "A run"),
    about = ("recipe %s, seed %s%s"):format(tostring(result.recipe), words.number(result.seed or 0 / 0),
      result.seconds and result.seconds.total and ", took " .. text.duration(result.seconds.total) or "") }
  tiles(page, result, metric)
  training(page, result)
  measured(page, result, metric)
  long_tail(page, result)
  importance(page, result)
  told(page, result, params)
  return page
end

return run
