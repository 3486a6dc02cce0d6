--- A report as a table for a terminal.

local text = require "recsys.text"

--- In the order in which people read them; those that the report has.
local SEGMENTS = { "known_users", "new_users", "known_items", "new_items", "activity_q1", "activity_q2", "activity_q3",
  "activity_q4" }

local function number(value)
  return value and value == value and ("%.4f"):format(value) or "-"
end

local function with_interval(value, interval)
  if not interval or interval[1] ~= interval[1] then return number(value) end
  return ("%s [%.4f, %.4f]"):format(number(value), interval[1], interval[2])
end

--- The metrics shown: NDCG with its interval, then the rest at the first cut-off, recall at the last. Where a query has
--- one relevant item, recall is the hit rate and is not shown twice. All in all about 105 columns of text.
local function columns_of(report)
  local first, last = report.k[1], report.k[#report.k]
  local hit, recall = ("hit_%d"):format(first), ("recall_%d"):format(first)
  local columns = { { ("ndcg_%d"):format(first), true }, { hit } }
  if report.metrics[hit] ~= report.metrics[recall] then columns[3] = { recall } end
  if last ~= first then columns[#columns + 1] = { ("recall_%d"):format(last) } end
  for _, name in ipairs { "mrr", "auc", ("coverage_%d"):format(first), "tie_share" } do
    columns[#columns + 1] = { name }
  end
  return columns
end

local function row(label, columns, values, intervals)
  local cells = { label }
  for _, column in ipairs(columns) do
    local name = column[1]
    cells[#cells + 1] = column[2] and with_interval(values[name], intervals and intervals[name]) or number(values[name])
  end
  return cells
end

local function heading(columns)
  local cells = { "" }
  for _, column in ipairs(columns) do cells[#cells + 1] = column[1] end
  return cells
end

local function add_segments(rows, columns, report)
  for _, name in ipairs(SEGMENTS) do
    local segment = report.segments and report.segments[name]
    if segment then
      rows[#rows + 1] = row(("  %s (%s)"):format(name, text.count(segment.queries)), columns, segment.metrics,
        segment.intervals)
    end
  end
end

local function comparison(report)
  local best = report.best_baseline
  if not best then return end
  return ("%s reaches %.2f times %s's %s, 95 %% interval [%.2f, %.2f]"):format(report.main, best.ratio, best.name,
    best.metric, best.ratio_interval[1], best.ratio_interval[2])
end

--- Where it matters whether training has seen the item, the shares on known and on new ones: "; known_items 81 %, ...".
local function shares_of(report, name)
  local parts = {}
  for _, segment in ipairs { "known_items", "new_items" } do
    local on = report.segments and report.segments[segment]
    local its = on and on.others[name][report.metric] or 0
    if its > 0 then parts[#parts + 1] = ("; %s %.0f %%"):format(segment, 100 * on.metrics[report.metric] / its) end
  end
  return table.concat(parts)
end

local function others(report, lines)
  for _, name in ipairs(report.order) do
    if report.others[name] then
      lines[#lines + 1] = ("%s reaches %.0f %% of %s's %s%s"):format(report.main,
        100 * report.compared[name].ratio, name, report.metric, shares_of(report, name))
    end
  end
end

--- The report as aligned lines: the model, its segments, the baselines, the others; 95 % intervals where they matter.
---@param report table  from evaluate.ranking
---@return string
return function(report)
  local columns = columns_of(report)
  local rows = { heading(columns), row(report.main, columns, report.metrics, report.intervals) }
  add_segments(rows, columns, report)
  for i = 2, #report.order do
    local name = report.order[i]
    local group = report.baselines[name] and "baselines" or "others"
    rows[#rows + 1] = row(name, columns, report[group][name], report[group .. "_intervals"][name])
  end
  local lines = { text.columns(rows), "",
    ("%s queries of %s users; %s candidates a query on average, of %s items"):format(text.count(report.queries),
      text.count(report.users), text.count(math.floor(report.candidates + 0.5)), text.count(report.items)) }
  if report.ranked == "listed" then
    lines[#lines + 1] = "SAMPLED: only the candidates that the protocol lists are ranked; such figures stand beside "
      .. "others of the same lists alone"
  end
  lines[#lines + 1] = comparison(report)
  others(report, lines)
  return table.concat(lines, "\n")
end
