--- Reports of several evaluations as one table, which only those of the same questions may share.
---
--- Metrics of other queries, other candidates or other protocols are other quantities under the same names: above all
--- those on sampled candidates, which are many times as high and order models differently (Krichene & Rendle 2020,
--- doi:10.1145/3394486.3403226).

local text = require "recsys.text"

local function refuse(format, ...)
  error({ code = "argument", message = "these reports cannot stand in one table: " .. format:format(...) }, 0)
end

local function candidates_of(report)
  return report.ranked == "listed" and ("%s listed candidates a query"):format(
    text.count(math.floor(report.candidates + 0.5))) or ("all %s items"):format(text.count(report.items))
end

--- Refuse reports that do not answer the same questions.
local function check(name, report, first_name, first)
  if not report.fingerprint then refuse("%s does not say which questions it answers", name) end
  if report.ranked ~= first.ranked then
    refuse("%s ranks %s, %s %s. Figures on sampled candidates are another quantity and order models differently "
      .. "(Krichene & Rendle 2020, doi:10.1145/3394486.3403226)", name, candidates_of(report), first_name,
      candidates_of(first))
  end
  if report.protocol.kind ~= first.protocol.kind or report.split ~= first.split then
    refuse("%s asks the %s rows %s, %s the %s rows %s", name, report.split, report.protocol.kind, first_name,
      first.split, first.protocol.kind)
  end
  if report.fingerprint ~= first.fingerprint then
    refuse("%s and %s were asked other questions: other data, queries, relevant items or candidates (fingerprints %s "
      .. "and %s)", name, first_name, report.fingerprint:sub(1, 8), first.fingerprint:sub(1, 8))
  end
end

--- A table of the reports' metrics with intervals, the models in the order given. Raises { code = "argument" } unless
--- all answer the same questions.
---@param reports { [1]: string, [2]: table }[]  a name, and a report of evaluate.ranking
---@param metrics? string[]  default NDCG at the first cut-off, hit rate there, MRR
---@return string
return function(reports, metrics)
  local first = reports[1]
  local k = first[2].k[1]
  metrics = metrics or { ("ndcg_%d"):format(k), ("hit_%d"):format(k), "mrr" }
  local rows = { { "", table.unpack(metrics) } }
  for i, pair in ipairs(reports) do
    local name, report = pair[1], pair[2]
    check(name, report, first[1], first[2])
    rows[i + 1] = { name }
    for c, metric in ipairs(metrics) do
      local value, of = report.metrics[metric], report.intervals[metric]
      if not value then refuse("%s has no %s", name, metric) end
      rows[i + 1][c + 1] = of and ("%.4f [%.4f, %.4f]"):format(value, of[1], of[2]) or ("%.4f"):format(value)
    end
  end
  local label = first[2].ranked == "listed" and "\nSAMPLED: " .. candidates_of(first[2]) .. " are ranked" or ""
  return text.columns(rows) .. label
end
