--- What our page asks of the table of 100,000 runs x 20 parameters x 10 metrics: first and deep pages in every kind of
--- order, filters, groups, columns. The slowest of them is judged.
---
--- Before each question a run is written, which takes from the server what it kept of former answers: runs are counted
--- and grouped anew.

local base = require("recsys.core").base
local bests = require "recsys.ui.bests"
local json = require "recsys.json"
local store = require "recsys.track.store"
local tracked = require "recsys.bench.tracked"

local PAGE <const> = 100
local TOP <const> = true -- in place of a filter: studies with their trials folded, how the page begins

--- Questions of pages: { what, order_by, filter or TOP, offset } with offset -1 for the last page.
local pages = {
  { "first page" },
  { "first page, trials folded", nil, TOP },
  { "last page", nil, nil, -1 },
  { "last page, trials folded", nil, TOP, -1 },
  { "the middle, trials folded", nil, TOP, 0.5 },
  { "by start, oldest first", "attributes.start_time ASC", TOP },
  { "by status", "attributes.status", TOP },
  { "by status, last page", "attributes.status", TOP, -1 },
  { "by user", "attributes.user_id DESC", TOP },
  { "by the name", "attributes.run_name", TOP },
  { "by a parameter of few values", "params.p05", TOP },
  { "by a parameter of few values, the middle", "params.p05 DESC", TOP, 0.5 },
  { "by a parameter of many values", "params.p01 DESC", TOP },
  { "by a parameter of many values, last page", "params.p01", TOP, -1 },
  { "by a metric", "metrics.m1", TOP },
  { "by a metric, downwards", "metrics.m7 DESC", TOP },
  { "by a metric, the middle", "metrics.m3", TOP, 0.5 },
  { "by a metric, last page", "metrics.m2 DESC", TOP, -1 },
  { "by a tag", "tags.`mlflow.runName`", TOP },
  { "by a metric's least", "metrics.m1.min", TOP },
  { "by a metric's least, downwards", "metrics.m4.min DESC", TOP },
  { "by a metric's greatest", "metrics.m5.max DESC", TOP },
  { "by a metric's greatest, upwards, the middle", "metrics.m6.max", TOP, 0.5 },
  { "a metric below what most have", nil, "metrics.m3 < 2" },
  { "a metric below what half have, by another", "metrics.m1 DESC", "metrics.m3 < 1.25" },
  { "a metric below what few have, by its least", "metrics.m3.min", "metrics.m3 < 0.6" },
  { "two metrics and a parameter", "metrics.m9", "metrics.m3 < 1.2 AND metrics.m4 > 1 AND params.p05 = '5'" },
  { "a parameter", nil, "params.p07 = '7'" },
  { "a parameter that most have", nil, "params.p07 != '7'" },
  { "a pattern", nil, "params.p01 LIKE '%77%'" },
  { "a name", nil, "attributes.run_name ILIKE '%999%'" },
  { "a status", "metrics.m2", "attributes.status = 'FINISHED'" },
}

--- Paths of all questions, by what they are called, in order.
local function questions(experiment, runs)
  local list = {}
  for _, page in ipairs(pages) do
    local what, order, filter, offset = page[1], page[2], page[3], page[4] or 0
    offset = offset < 0 and runs - PAGE or math.floor(offset * runs)
    local path = ("runs?experiment_ids=%s&limit=%d&offset=%d"):format(experiment, PAGE, offset)
    local function add(name, text)
      if text then
        path = path .. ("&%s=%s"):format(name, text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
      end
    end
    add("order_by", order)
    add(filter == TOP and "top" or "filter", filter == TOP and "1" or filter)
    list[#list + 1] = { what = what, path = path }
  end
  for what, path in pairs { ["columns"] = "keys?", ["groups by a parameter"] = "groups?by=params.p05&",
    ["groups by a tag"] = "groups?by=tags.group&" } do
    list[#list + 1] = { what = what, path = path .. "experiment_ids=" .. experiment }
  end
  return list
end

--- Ask a question and note how long the answer took.
local function ask(state, question, i)
  state.server:post("runs/set-tag", { run_id = ("%032x"):format(i), key = "asked", value = tostring(i) })
  local began, busy = base.clock(), state.server:busy_seconds()
  local body = state.server:get(question.path)
  local seconds = base.clock() - began
  local times = state.times[question.what] or { waited = {}, worked = {} }
  state.times[question.what] = times
  table.insert(times.waited, seconds)
  table.insert(times.worked, state.server:busy_seconds() - busy)
  return seconds, #(json.decode(body).runs or {})
end

local function rounded(seconds) return math.floor(seconds * 1e4 + 0.5) / 10 end

local function median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

return {
  about = "the slowest of what our page asks of the table of 100,000 runs x 20 parameters x 10 metrics",
  prepare = function(folder, options)
    local arguments = tracked.make(folder, { runs = math.max(1000, math.floor(100000 * options.scale)), params = 20,
      metrics = 10, steps = 5 })
    local opened <close> = store.open(arguments.ours)
    local kept <close> = assert(bests.open(opened)) -- a server reads them in its idle moments
    repeat until kept:advance() == 0
    return arguments
  end,
  setup = function(arguments)
    local server = tracked.serve(arguments.ours):wait()
    return { server = server, questions = questions(arguments.experiment, arguments.runs), times = {},
      experiment = arguments.experiment }
  end,
  run = function(state)
    local slowest, found = 0, {}
    for i, question in ipairs(state.questions) do
      local seconds, runs = ask(state, question, i)
      slowest, found[question.what] = math.max(slowest, seconds), runs
    end
    return found, slowest
  end,
  facts = function(state)
    local facts = { milliseconds = {}, milliseconds_on_a_processor = {} }
    for what, times in pairs(state.times) do
      facts.milliseconds[what] = rounded(median(times.waited))
      facts.milliseconds_on_a_processor[what] = rounded(median(times.worked))
    end
    facts.resident_mib = state.server:resident_mib()
    local began = base.clock()
    facts.csv_mib = #state.server:get("runs.csv?experiment_ids=" .. state.experiment) / 2 ^ 20
    facts.csv_seconds, facts.resident_mib_after_csv = base.clock() - began, state.server:resident_mib()
    state.server:stop()
    return facts
  end,
  target = { seconds = 0.1 },
}
