--- A study as people read it: how its trials ended, the best of them, and what each parameter accounts for.

local front = require "recsys.tune.front"
local json = require "recsys.json"
local text = require "recsys.text"

local MOST <const> = 10 -- trials that are shown

local function counts_of(trials)
  local counts, said = {}, {}
  for _, trial in ipairs(trials) do counts[trial.state] = (counts[trial.state] or 0) + 1 end
  for _, state in ipairs { "complete", "pruned", "failed", "running", "waiting" } do
    if counts[state] then said[#said + 1] = ("%d %s"):format(counts[state], state) end
  end
  return table.concat(said, ", ")
end

--- Completed trials, the best first.
local function ranked(study, trials)
  local list = {}
  for _, trial in ipairs(trials) do
    if trial.state == "complete" then list[#list + 1] = trial end
  end
  table.sort(list, function(a, b)
    local x, y = front.losses(a, study.directions)[1], front.losses(b, study.directions)[1]
    if x ~= y then return x < y end
    return a.number < b.number
  end)
  return list
end

local function shown(value)
  if value == nil then return "" end
  if math.type(value) == "float" then return ("%.4g"):format(value) end
  return type(value) == "string" and value or json.encode(value)
end

local function table_of(study, trials, metrics)
  local rows = { { "trial", table.unpack(study.space.names) } }
  table.move(metrics, 1, #metrics, #rows[1] + 1, rows[1])
  for i = 1, math.min(MOST, #trials) do
    local row = { trials[i].name }
    for _, name in ipairs(study.space.names) do row[#row + 1] = shown(trials[i].params[name]) end
    for _, value in ipairs(trials[i].values) do row[#row + 1] = ("%.5g"):format(value) end
    rows[#rows + 1] = row
  end
  return text.columns(rows)
end

--- The text of a study.
---@param study Study
---@param metrics string[]  what its objectives are called
---@return string
return function(study, metrics)
  local trials, several = study:trials(), #study.directions > 1
  local lines = { ("study %s: %d trials, %s"):format(study.name, #trials, counts_of(trials)) }
  local best = several and study:front() or ranked(study, trials)
  if #best > 0 then
    lines[#lines + 1] = several and "\nthe front, what no other trial beats:" or "\nthe best:"
    lines[#lines + 1] = table_of(study, best, metrics)
  end
  for i, metric in ipairs(metrics) do
    local shares = study:importance(i)
    if shares then
      lines[#lines + 1] = ("\nshare of the variance of %s that is due to (fANOVA, main effects)"):format(metric)
      for _, one in ipairs(shares) do lines[#lines + 1] = ("  %-24s %3.0f %%"):format(one.name, 100 * one.share) end
    end
  end
  return table.concat(lines, "\n")
end
