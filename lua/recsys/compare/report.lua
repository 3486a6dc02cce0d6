--- A study's report: for a terminal, as Markdown, and as one page with charts.

local text = require "recsys.text"

local report = {}

local function interval(system, name)
  local of = system.intervals[name]
  return of and ("%.4f [%.4f, %.4f]"):format(system.metrics[name], of[1], of[2]) or
    ("%.4f"):format(system.metrics[name])
end

--- The systems' figures: rows of cells, the first the headings.
function report.ranking(test)
  local first = test.k[1]
  local rows = { { "", ("ndcg_%d"):format(first), ("hit_%d"):format(first), "mrr" } }
  for _, system in ipairs(test.systems) do
    rows[#rows + 1] = { system.name, interval(system, rows[1][2]), interval(system, rows[1][3]),
      interval(system, "mrr") }
  end
  return rows
end

--- The recipe's result.
function report.result(_, all)
  return { text = text.columns(report.ranking(all.test)), queries = all.test.queries, left = all.left }
end

return report
