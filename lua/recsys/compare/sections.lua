--- What a study's report says, section by section, from what was measured: words, tables of cells, charts. A reader of
--- each kind (terminal, Markdown, page) is given the same.

local families = require "recsys.compare.families"
local report = require "recsys.report"
local text = require "recsys.text"
local words = require "recsys.describe.words"

local sections = {}

---@class Section
---@field title string
---@field text? string[]      paragraphs
---@field tables? { rows: any[][], caption?: string, title?: string }[]  the first row names the columns
---@field charts? fun(): { [1]: Chart, [2]: string? }[]  made when a page is written; with captions

local function number(value, format)
  return value and value == value and (format or "%.4f"):format(value) or "-"
end

local function with_interval(value, of)
  return of and of[1] == of[1] and ("%s [%.4f, %.4f]"):format(number(value), of[1], of[2]) or number(value)
end

local function share(value) return value and value == value and words.share(value) or "-" end

local function milliseconds(seconds) return ("%.2f ms"):format(seconds * 1e3) end

--- A value as 'write' writes it; "-" for what was not measured.
local function shown(value, write) return value == value and write(value) or "-" end

--- The metrics that stand in the table of ranking.
local function columns_of(test)
  local first, last = test.k[1], test.k[#test.k]
  local names, seen, list = { test.metric, ("ndcg_%d"):format(first), ("hit_%d"):format(first),
    ("recall_%d"):format(last), "mrr", "auc" }, {}, {}
  for _, name in ipairs(names) do
    if not seen[name] and test.systems[1].metrics[name] then list[#list + 1] = name end
    seen[name] = true
  end
  return list
end

--- The systems by the metric, best first.
function sections.ordered(test)
  local list = table.move(test.systems, 1, #test.systems, 1, {})
  table.sort(list, function(a, b)
    local x, y = a.metrics[test.metric], b.metrics[test.metric]
    return x > y or x == y and a.name < b.name
  end)
  return list
end

local function only_families(list)
  local kept = {}
  for _, system in ipairs(list) do kept[#kept + 1] = system.family and system or nil end
  return kept
end

-- Ranking -------------------------------------------------------------------------------------------------------------

local function bars(test, list, name)
  local names, values, low, high = {}, {}, {}, {}
  for i, system in ipairs(list) do
    local of = system.intervals[name]
    names[i], values[i] = system.name, system.metrics[name]
    low[i], high[i] = of and of[1] or false, of and of[2] or false
  end
  return report.bar { title = ("%s on the test rows"):format(name), names = names,
    x_name = ("95 %% intervals, %d resamples of users"):format(test.samples),
    series = { { name = name, values = values, low = low, high = high } } }
end

function sections.ranking(all)
  local test, list = all.test, sections.ordered(all.test)
  local columns = columns_of(test)
  local rows = { { "", table.unpack(columns) } }
  for i, system in ipairs(list) do
    local row = { system.name }
    for c, name in ipairs(columns) do
      local value = system.metrics[name]
      row[c + 1] = c == 1 and with_interval(value, system.intervals[name]) or number(value)
    end
    rows[i + 1] = row
  end
  return { title = "Who finds what is taken next", text = { ("%s queries of %s users, each ranking all candidates of "
    .. "%s items; the best first, 95 %% intervals by users drawn anew. Random, newest and live popularity, which "
    .. "counts up to the moment of each query, are baselines that know no user."):format(text.count(test.queries),
    text.count(test.asked_users), text.count(test.items)) }, tables = { { rows = rows } },
    charts = function() return { { bars(test, list, test.metric) } } end }
end

-- Differences ---------------------------------------------------------------------------------------------------------

local LEVEL <const> = 0.05

function sections.differences(all)
  local found = all.test.significance
  local cells, order, place = {}, {}, {}
  for i, name in ipairs(found.names) do place[name] = i end
  for _, system in ipairs(sections.ordered(all.test)) do
    if place[system.name] then order[#order + 1] = system.name end
  end
  for _, pair in ipairs(found.pairs) do
    local a, b = found.names[pair.a], found.names[pair.b]
    local mark = pair.adjusted < LEVEL and "*" or ""
    cells[a .. "\0" .. b] = ("%+.4f%s"):format(pair.difference, mark)
    cells[b .. "\0" .. a] = ("%+.4f%s"):format(-pair.difference, mark)
  end
  local rows = { { "row less column", table.unpack(order) } }
  for i, a in ipairs(order) do
    rows[i + 1] = { a }
    for c, b in ipairs(order) do rows[i + 1][c + 1] = a == b and "" or cells[a .. "\0" .. b] end
  end
  return { title = "Do they differ", text = { ("Differences of %s between all pairs, and the best baseline, paired on "
    .. "the same queries: users drawn anew %s times, two-sided, adjusted for all %d pairs by Holm. A star: they "
    .. "differ, adjusted p < %.2f. It is said of these trained models: another seed of each may differ by more."
    ):format(
    found.metric, text.count(found.samples), #found.pairs, LEVEL) },
    tables = { { rows = rows } } }
end

-- Segments ------------------------------------------------------------------------------------------------------------

local SEGMENTS <const> = { "new_users", "known_users", "new_items", "known_items", "head_items", "tail_items",
  "activity_q1", "activity_q2", "activity_q3", "activity_q4" }

function sections.segments(all)
  local test, list = all.test, sections.ordered(all.test)
  local size, rows, names = {}, { { "" } }, {}
  for _, segment in ipairs(test.segments) do size[segment.name] = segment.queries end
  for _, name in ipairs(SEGMENTS) do
    if size[name] then
      names[#names + 1] = name
      table.insert(rows[1], ("%s (%s)"):format(name, text.count(size[name])))
    end
  end
  for i, system in ipairs(list) do
    rows[i + 1] = { system.name }
    for c, name in ipairs(names) do rows[i + 1][c + 1] = number(system.segments[name].metrics[test.metric]) end
  end
  local function chart(title, chosen)
    local given, at = {}, {}
    for _, system in ipairs(list) do at[#at + 1] = system.name end
    for _, name in ipairs(chosen) do
      if not size[name] then return nil end
      local values = {}
      for i, system in ipairs(list) do
        values[i] = system.segments[name].metrics[test.metric]
        if values[i] ~= values[i] then values[i] = false end
      end
      given[#given + 1] = { name = (name:gsub("_", " ")), values = values }
    end
    return { report.bar { title = title, names = at, series = given, x_name = test.metric } }
  end
  return { title = "For whom, and of what", text = { ("%s by segment, with the number of queries: users and items "
    .. "without and with training events; items among the most popular that together have 80 %% of them, or in the "
    .. "tail; quarters of the known users by their number of training events."):format(test.metric) },
    tables = { { rows = rows } }, charts = function()
      local charts = {}
      for _, pair in ipairs { { "New and known items", { "new_items", "known_items" } },
        { "Popular items and the tail", { "head_items", "tail_items" } },
        { "The least and the most active users", { "activity_q1", "activity_q4" } },
        { "New and known users", { "new_users", "known_users" } } } do
        charts[#charts + 1] = chart(pair[1], pair[2])
      end
      return charts
    end }
end

-- Beyond accuracy -----------------------------------------------------------------------------------------------------

function sections.beyond(all)
  local test, list = all.test, sections.ordered(all.test)
  local rows = { { "", ("coverage_%d"):format(test.k[1]), "novelty, bits", "diversity", "popularity", "in the tail",
    "Gini" } }
  local x, y, labels = {}, {}, {}
  for i, system in ipairs(list) do
    local b = system.beyond
    rows[i + 1] = { system.name, share(b.coverage), number(b.novelty, "%.2f"), number(b.diversity, "%.3f"),
      number(b.popularity, "%.1f"), share(b.tail_share), number(b.gini, "%.3f") }
    x[i], y[i], labels[i] = b.novelty, system.metrics[test.metric], system.name
    if x[i] ~= x[i] then x[i] = false end
  end
  return { title = "What the lists are like", text = { ("The first %d of each list. Coverage: which items are shown at "
    .. "all. Novelty: how surprising an item is, by how many have met it. Diversity: 1 - cosine between the items of a "
    .. "list, by %s. Popularity: mean training events of what is shown. In the tail: outside of the items that have "
    .. "80 %% of the events. Gini, over the items that could be shown: 0 when all are shown equally often, 1 when one "
    .. "is alone. Equal scores stand in the catalogue's order, those of random in one by chance. docs/evaluation.md "
    .. "has the formulas."):format(test.k[1], test.described_by) }, tables = { { rows = rows } }, charts = function()
      local gini = {}
      for i, system in ipairs(list) do gini[i] = system.beyond.gini == system.beyond.gini and system.beyond.gini end
      return { { report.scatter { title = "Right, and new", x_name = "novelty, bits", y_name = test.metric,
        named = true, height = 340,
        series = sections.points(list, x, y) } }, { report.bar { title = "Popularity bias", names = labels,
        x_name = "Gini of how often items are shown", series = { { name = "Gini", values = gini } } } } }
    end }
end

--- A point a system with its name beside it: families, and baselines where there are any.
function sections.points(list, x, y)
  local given = {}
  for _, kind in ipairs { "families", "baselines" } do
    local one = { name = kind, x = {}, y = {}, labels = {} }
    for i, system in ipairs(list) do
      if x[i] and system.family == (kind == "families") then
        table.insert(one.x, x[i])
        table.insert(one.y, y[i])
        table.insert(one.labels, system.name)
      end
    end
    if #one.x > 0 then given[#given + 1] = one end
  end
  return given
end

-- Costs ---------------------------------------------------------------------------------------------------------------

--- What a family's best trial was.
local function best_of(found)
  for _, trial in ipairs(found.trials) do
    if trial.number == found.best then return trial end
  end
end

local function by_name(all)
  local found, served = {}, {}
  for i, one in ipairs(all.found) do found[one.family], served[one.family] = one, all.served[i] end
  return found, served
end

function sections.costs(all)
  local found, served = by_name(all)
  local list = only_families(sections.ordered(all.test))
  local rows = { { "", "tuned", "trials", "training", "epochs", "parameters", "memory", "bundle", "p50", "p99",
    "all users" } }
  local p50, seconds, y = {}, {}, {}
  for i, system in ipairs(list) do
    local one, s = found[system.name], served[system.name]
    local best = best_of(one)
    rows[i + 1] = { system.name, text.duration(one.seconds), tostring(#one.trials), text.duration(best.seconds),
      ("%d%s"):format(best.epochs, best.cut and " cut" or ""), text.count(one.size), words.bytes(one.memory),
      shown(s.bytes, words.bytes), shown(s.latency.p50, milliseconds), shown(s.latency.p99, milliseconds),
      shown(s.batch.seconds, function(of)
        return ("%s (%s/s)"):format(text.duration(of), words.short(s.batch.users / of))
      end) }
    p50[i], seconds[i], y[i] = s.latency.p50 * 1e3, best.seconds, system.metrics[all.test.metric]
  end
  return { title = "What it costs", text = { ("Tuned: all trials of the family, within %s. Training, epochs: of the "
    .. "trial that was best; cut: the budget left it fewer epochs than it asks for. Memory: the most that was resident "
    .. "in the process that tuned it, mapped data included. Bundle: the file that is served. p50, p99: of %s requests, "
    .. "one after another, each of another user, %d items each; all users: the same lists for everybody at "
    .. "once. %s."):format(text.duration(all.budget.minutes * 60), text.count(all.requests), all.test.k[1],
    all.machine) },
    tables = { { rows = rows } }, charts = function()
      return { { report.scatter { title = "Right, and fast to answer", x_name = "p50 of a request, ms", log_x = true,
        y_name = all.test.metric, named = true, height = 340, series = sections.points(list, p50, y) } },
        { report.scatter { title = "Right, and fast to train", x_name = "seconds of training", log_x = true,
          y_name = all.test.metric, named = true, height = 340, series = sections.points(list, seconds, y) } } }
    end }
end

-- Cold starts ---------------------------------------------------------------------------------------------------------

local function cold_users(list, served)
  local rows, given = { { "" } }, {}
  for i, system in ipairs(list) do
    local measured = served[system.name].cold_users
    local row, xs, ys = { system.name }, {}, {}
    for c, one in ipairs(measured) do
      rows[1][c + 1] = ("after %d event%s"):format(one.events, one.events == 1 and "" or "s")
      row[c + 1] = number(one.ndcg) .. (one.popular == one.popular and one.popular > 0.5 and " by popularity" or "")
      xs[c], ys[c] = one.events, one.ndcg == one.ndcg and one.ndcg or false
    end
    rows[1][#measured + 2] = "knows new users"
    row[#measured + 2] = families.of(system.name).new_users or "no"
    rows[i + 1], given[i] = row, { name = system.name, x = xs, y = ys }
  end
  return rows, given
end

local function place(value, deepest)
  return value and (value > deepest and "beyond " .. text.count(deepest) or text.count(value)) or "-"
end

local function new_items(all, list, served)
  local rows = { { "", "median place", "of the original", ("among %d"):format(all.test.k[1]), "among 100",
    "knows new items" } }
  for i, system in ipairs(list) do
    local one, says = served[system.name].new_items, families.of(system.name).new_items or "no"
    rows[i + 1] = one.refused and { system.name, "-", "-", "-", "-", words.cut(one.refused, 60) }
      or { system.name, place(one.median, one.deepest), place(one.median_original, one.deepest), share(one.among_first),
        share(one.among_100), says }
  end
  return rows
end

function sections.cold(all)
  local _, served = by_name(all)
  local list = only_families(sections.ordered(all.test))
  local users, curves = cold_users(list, served)
  local asked = served[list[1].name]
  for _, system in ipairs(list) do asked = asked.unserved and served[system.name] or asked end
  return { title = "Whom it does not know", text = { ("New people: %d people of the test, with five earlier events or "
    .. "more, are asked for under a name that nobody knows, with the fields that a client would send, before anything, "
    .. "after one and after five of their latest events were posted; NDCG@%d of what they took next."):format(
    asked.cold_users[1].asked,
    all.test.k[1]),
    ("New items: what %d of them took next is posted as a new item with the fields of the real one; where does it "
    .. "stand for those who took it, and where the original, whose id training may have met."):format(
    asked.new_items.asked or 0) },
    tables = { { title = "New people", rows = users }, { title = "New items", rows = new_items(all, list, served) } },
    charts = function()
      return { { report.line { title = "New people", x_name = "events posted", y_name = ("NDCG@%d"):format(
        all.test.k[1]), from_zero = true, series = curves } } }
    end }
end

-- Explanations --------------------------------------------------------------------------------------------------------

function sections.explained(all)
  local _, served = by_name(all)
  local rows = { { "", "by what", "\"like\" is said of" } }
  for i, system in ipairs(only_families(sections.ordered(all.test))) do
    rows[i + 1] = { system.name, families.of(system.name).explains, share(served[system.name].latency.explained) }
  end
  return { title = "What it can say why", text = { "By what the kind of model can explain a recommendation, and of how "
    .. "many of the served ones the server does name an item of the user's own that it is alike (docs/serving.md)." },
    tables = { { rows = rows } } }
end

-- The trade-off -------------------------------------------------------------------------------------------------------

local BRANCHES <const> = { { "baseline", "popularity" }, { "neighbours", "neighbours" }, { "linear", "linear" },
  { "factorisation", "matrix factorisation" }, { "graph", "graph" }, { "sequence", "pooled history" },
  { "transformer", "transformer" }, { "two_tower", "two towers" }, { "hybrid", "hybrid" } }

--- The best family of each branch, by the metric.
local function champions(test)
  local best = {}
  for _, system in ipairs(sections.ordered(test)) do
    if system.family and not best[system.branch] then best[system.branch] = system end
  end
  local list = {}
  for _, branch in ipairs(BRANCHES) do
    if best[branch[1]] then list[#list + 1] = { system = best[branch[1]], label = branch[2] } end
  end
  return list
end

local NONE <const> = 0 / 0 -- was not measured, or is none of the model's doing

--- What the trade-off is between: label, how it is measured, whether less is better, how a cell is written.
local QUALITIES <const> = {
  { "accuracy", function(c) return c.system.metrics[c.metric] end, false, number },
  { "fast to train", function(c) return best_of(c.found).seconds end, true, text.duration },
  { "fast to answer", function(c) return c.served.latency.p50 end, true, milliseconds },
  { "small", function(c) return c.served.bytes end, true, words.bytes },
  { "new people", function(c)
    local one = c.served.cold_users[2]
    return one.popular < 0.5 and one.ndcg or NONE -- by popularity it is not the model that answers
  end, false, number },
  { "new items", function(c) return c.served.new_items.among_first or NONE end, false, share },
  { "explained", function(c) return c.system.branch ~= "baseline" and c.served.latency.explained or NONE end, false,
    share },
}

local RINGS <const> = 4 -- of a radar
local RIM <const> = "The rim is the best of the kinds compared, of each quality by itself; of time and size each ring "
  .. "inwards is ten times as much."

--- How far from a radar's centre a value stands: its share of the best one. Costs differ by powers of ten, of which a
--- share would say nothing: each ring from the rim inwards is ten times as much.
---@param value number   nan: none
---@param best? number
---@param cost? boolean  less is better
---@return number  from 0 to 1
function sections.reach(value, best, cost)
  if value ~= value or not best or best == 0 then return 0 end -- nothing was measured, or all have none
  if not cost then return value / best end
  return math.max(0, 1 - math.log(value / best, 10) / RINGS)
end

--- For each quality how far on a radar each of the list stands, and how its cell is written.
local function shares_of(list)
  for _, quality in ipairs(QUALITIES) do
    local best
    for _, c in ipairs(list) do
      local value = quality[2](c)
      if value == value and (not best or (quality[3] and value < best or not quality[3] and value > best)) then
        best = value
      end
    end
    for _, c in ipairs(list) do
      local value = quality[2](c)
      table.insert(c.shares, sections.reach(value, best, quality[3]))
      table.insert(c.cells, shown(value, quality[4]))
    end
  end
end

function sections.trade_off(all)
  local found, served = by_name(all)
  local list = champions(all.test)
  for _, c in ipairs(list) do
    c.metric, c.found, c.served = all.test.metric, found[c.system.name], served[c.system.name]
    c.shares, c.cells = {}, {}
  end
  shares_of(list)
  local names, rows = {}, { { "", "best of it" } }
  for i, quality in ipairs(QUALITIES) do names[i], rows[1][i + 2] = quality[1], quality[1] end
  for i, c in ipairs(list) do rows[i + 1] = { c.label, c.system.name, table.unpack(c.cells) } end
  return { title = "The trade-off", text = { ("Each kind of model by its best family on these test rows. "
    .. "Accuracy: %s; fast to train: the best trial; fast to answer: p50 of a request; small: the bundle; new people: "
    .. "NDCG@%d after one event, where the model answers; new items: the share that is among the first %d; explained: "
    .. "the share of served items with a \"like\"."):format(all.test.metric, all.test.k[1], all.test.k[1]) },
    tables = { { rows = rows } },
    charts = function()
      local charts = {}
      for i, c in ipairs(list) do
        charts[i] = { report.radar { title = ("%s: %s"):format(c.label, c.system.name), names = names,
          series = { { name = c.system.name, values = c.shares, labels = c.cells } } } }
      end
      if charts[1] then charts[1][2] = RIM end
      return charts
    end }
end

-- What was done -------------------------------------------------------------------------------------------------------

local function trials_of(all)
  local rows = { { "", "trial", all.test.metric .. ", valid", "took", "epochs", "values" } }
  for _, found in ipairs(all.found) do
    for _, trial in ipairs(found.trials) do
      local values = {}
      for name, value in pairs(trial.params) do
        values[#values + 1] = ("%s %s"):format(name:gsub("^%w+%.", ""), type(value) == "number"
          and ("%.3g"):format(value) or tostring(value))
      end
      table.sort(values)
      rows[#rows + 1] = { found.family, ("%d%s"):format(trial.number, trial.number == found.best and " best" or ""),
        number(trial.value), text.duration(trial.seconds), ("%d of %d%s"):format(trial.epochs, trial.planned,
          trial.cut and ", cut" or ""), trial.message or table.concat(values, ", ") }
    end
  end
  return rows
end

function sections.done(all)
  local test, cut = all.test, 0
  for _, found in ipairs(all.found) do
    for _, trial in ipairs(found.trials) do cut = cut + (trial.cut and 1 or 0) end
  end
  local said = { ("%s rows trained, %s chose epochs, trials and values, and the test rows were opened once, when all "
    .. "%d models were chosen. Nothing was trained again. Protocol: %s, all candidates ranked, none sampled; "
    .. "questions %s."):format(text.count(test.rows.train), text.count(test.rows.valid), #all.found, test.protocol.kind,
    test.fingerprint:sub(1, 16)), ("Each family had the same budget: at most %d trials, %s in all. Where a clock "
    .. "decides, equal runs are equal no more%s."):format(all.budget.trials, text.duration(all.budget.minutes * 60),
    cut > 0 and ("; %d of the trials were cut short by it"):format(cut) or "; here it cut no trial short") }
  for i, found in ipairs(all.found) do
    local why = all.served[i].unserved
    if why then said[#said + 1] = ("%s could not be served: %s."):format(found.family, why) end
  end
  for _, one in ipairs(all.left) do said[#said + 1] = ("%s is left out: %s."):format(one.name, one.why) end
  local names = { { "", "kind of model", "in words" } }
  for i, found in ipairs(all.found) do
    local family = families.of(found.family)
    names[i + 1] = { family.name, "models/" .. family.kind .. ".lua", family.label }
  end
  return { title = "What was done", text = said, tables = { { title = "Families", rows = names },
    { title = "Trials", rows = trials_of(all) } } }
end

--- All sections, in order.
---@param all table  see recsys.compare.report
---@return Section[]
function sections.of(all)
  local list = {}
  for i, name in ipairs { "ranking", "differences", "trade_off", "segments", "beyond", "costs", "cold", "explained",
    "done" } do
    list[i] = sections[name](all)
  end
  return list
end

return sections
