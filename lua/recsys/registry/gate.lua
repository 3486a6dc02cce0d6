--- The gate of a promotion: the candidate's metrics against those of the version that holds the alias, where both were
--- measured on the same questions.
---
--- A gate is a metric and the least gain: `ndcg_10` may not fall; `recall_50:-0.002` may fall by 0.002, `recall_50:-1%`
--- by a hundredth of the holder's value; `ndcg_10:0.001` must rise by 0.001. Of losses, errors, ranks and
--- times, less is a gain (recsys.track.better).
--- Metrics are read from the bundles' manifests, which hashes vouch for.

local better = require "recsys.track.better"

local gate = {}

--- Read "METRIC" or "METRIC:GAIN"; nil, message for what is neither.
---@return { metric: string, gain: number, share: boolean, text: string }?
---@return string? message
function gate.parse(word)
  local metric, gain, percent = word:match "^([^:%s]+):([+-]?[%d.eE-]+)(%%?)$"
  if not metric then metric, gain, percent = word:match "^([^:%s]+)$", "0", "" end
  local number = tonumber(gain)
  if not metric or not number or number ~= number then
    return nil, ("'%s' is no gate: METRIC, or METRIC:GAIN such as ndcg_10:-0.001 or recall_50:-1%%"):format(word)
  end
  return { metric = metric, gain = percent == "%" and number / 100 or number, share = percent == "%", text = word }
end

--- The gates of a list of words; raises { code = "usage" } for a wrong one.
---@param list string[]
function gate.parse_all(list)
  local gates = {}
  for i, word in ipairs(list) do
    local parsed, message = gate.parse(word)
    if not parsed then error({ code = "usage", message = message }, 0) end
    gates[i] = parsed
  end
  return gates
end

--- What is asked without gates: the metric that chose the candidate's epoch, ndcg_10 where it does not say.
---@return string[]
function gate.default(manifest)
  local train = type(manifest.parameters) == "table" and manifest.parameters.train
  local metric = type(train) == "table" and train.metric
  return { type(metric) == "string" and manifest.metrics[metric] and metric or "ndcg_10" }
end

--- Whether two bundles were measured on the same questions; nil, why when not.
---@return boolean?
---@return string? why
function gate.comparable(candidate, holder, names)
  local a, b = candidate.test or {}, holder.test or {}
  for i, test in ipairs { a, b } do
    if not test.fingerprint then
      return nil, ("the bundle of %s does not say which test rows its metrics are of"):format(names[i])
    end
  end
  if a.fingerprint == b.fingerprint then return true end
  local one, other = (candidate.data or {}).fingerprint, (holder.data or {}).fingerprint
  local what = one == other and "with another split or protocol of the same data"
    or ("on other data (fingerprint %s, not %s)"):format(tostring(one):sub(1, 12), tostring(other):sub(1, 12))
  return nil, ("%s was measured %s than %s"):format(names[1], what, names[2])
end

--- What a candidate's bundle says of the holder on the candidate's own test rows (recsys.registry.rival); nil when it
--- was not asked them, or another version held the alias then.
---@param candidate table  a manifest
---@param digest string?   of the holder's bundle
---@return { metrics: table, intervals?: table, seen?: boolean }?
function gate.rival(candidate, digest)
  local found, test = candidate.rival, candidate.test or {}
  if type(found) ~= "table" or not digest or found.digest ~= digest or not test.fingerprint
    or found.test ~= test.fingerprint or type(found.metrics) ~= "table" then return nil end
  return found
end

local function interval_of(manifest, metric)
  local interval = type(manifest.intervals) == "table" and manifest.intervals[metric]
  if type(interval) ~= "table" then return nil end
  local low, high = interval[1] or interval.low, interval[2] or interval.high
  return type(low) == "number" and type(high) == "number" and { low, high } or nil
end

local function is_number(x) return type(x) == "number" and x == x end

--- One gate's verdict.
local function judge(candidate, holder, asked)
  local metric = asked.metric
  local mine, its = candidate.metrics[metric], holder.metrics[metric]
  local verdict = { metric = metric, gate = asked.text, candidate = mine, holder = its, passed = false,
    candidate_interval = interval_of(candidate, metric), holder_interval = interval_of(holder, metric) }
  if not is_number(mine) or not is_number(its) then
    verdict.why = is_number(mine) and "the holder has no such metric" or "the candidate has no such metric"
    return verdict
  end
  verdict.difference = mine - its
  verdict.least = not better.is_less(metric)
  verdict.gain = verdict.least and mine - its or its - mine
  verdict.needed = asked.share and asked.gain * math.abs(its) or asked.gain
  verdict.bound = its + (verdict.least and verdict.needed or -verdict.needed)
  verdict.passed = verdict.gain >= verdict.needed
  verdict.short = not verdict.passed and verdict.needed - verdict.gain or nil
  local a, b = verdict.candidate_interval, verdict.holder_interval
  if a and b then verdict.overlap = a[1] <= b[2] and b[1] <= a[2] end
  return verdict
end

--- Judge a candidate by gates.
---@param candidate table  a manifest
---@param holder table     that of the version which holds the alias
---@return boolean passed
---@return table[] verdicts  { metric, gate, candidate, holder, difference, gain, needed, passed, short, why, overlap,
---  bound, least }  bound: the least value that passes, or the greatest unless 'least'
function gate.judge(candidate, holder, gates)
  local verdicts, passed = {}, true
  local function with_metrics(manifest)
    return { metrics = type(manifest.metrics) == "table" and manifest.metrics or {}, intervals = manifest.intervals }
  end
  for i, asked in ipairs(gates) do
    verdicts[i] = judge(with_metrics(candidate), with_metrics(holder), asked)
    passed = passed and verdicts[i].passed
  end
  return passed, verdicts
end

local function value_text(value, interval)
  if not is_number(value) then return "-" end
  local words = ("%.5g"):format(value)
  return interval and ("%s [%.5g, %.5g]"):format(words, interval[1], interval[2]) or words
end

--- A verdict in words: "ndcg_10: 0.0812 [0.079, 0.0834] against 0.09 [0.088, 0.0921]: 0.0088 lower, ...".
---@return string
function gate.text(verdict)
  local head = ("%s: %s against %s"):format(verdict.metric, value_text(verdict.candidate, verdict.candidate_interval),
    value_text(verdict.holder, verdict.holder_interval))
  if verdict.why then return head .. ": " .. verdict.why end
  local parts = { verdict.difference == 0 and "equal"
    or ("%.3g %s"):format(math.abs(verdict.difference), verdict.difference > 0 and "higher" or "lower") }
  if verdict.short then
    parts[#parts + 1] = ("the gate %s wants %s %.5g, missed by %.3g"):format(verdict.gate,
      verdict.least and "at least" or "at most", verdict.bound, verdict.short)
  end
  if verdict.overlap ~= nil then
    parts[#parts + 1] = verdict.overlap and "the intervals overlap" or "the intervals do not overlap"
  end
  return head .. ": " .. table.concat(parts, "; ")
end

--- Verdicts as lines.
---@return string
function gate.lines(verdicts)
  local lines = {}
  for i, verdict in ipairs(verdicts) do
    lines[i] = ("  %s %s"):format(verdict.passed and "passed" or "failed", gate.text(verdict))
  end
  return table.concat(lines, "\n")
end

return gate
