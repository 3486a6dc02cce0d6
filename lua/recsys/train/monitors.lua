--- What is watched while a model trains, cheaply: gradient norms of every step, and on some steps of an epoch how far
--- the weights move and which units of a ReLU live; after it the norms of the rows of embedding tables.
---
--- All of it goes into the row of the curves, as `monitor/...` (docs/training.md). What was gathered of an epoch is
--- part of a checkpoint, so a resumed run tells the same.

local log = require "recsys.log"
local tensor = require "recsys.tensor"

local monitors = {}

local EVERY <const> = 64   -- steps between two that are looked at closely; the first of an epoch is one
local ROWS <const> = 2048  -- of a table whose norms are computed, evenly spaced
local TOUCHED <const> = 512 -- rows of a table that are compared before and after a step, evenly spaced
local DEAD <const> = 0.5   -- share of units above which people are warned
local GROWN <const> = 10   -- times a norm may grow

--- What is gathered of an epoch: plain values, and tensors in `active`.
function monitors.new()
  return { steps = 0, norm = 0, most = 0, looked = 0, ratio = 0, active = {} }
end

--- Whether the step is looked at closely.
---@param step integer  from 1
function monitors.is_close(step) return step % EVERY == 1 end

--- Take a step's gradient norm.
function monitors.norm(kept, norm)
  kept.steps, kept.norm, kept.most = kept.steps + 1, kept.norm + norm, math.max(kept.most, norm)
end

--- Note which units were active on a tape that has run forward.
function monitors.units(kept, tape)
  for name, active in pairs(tape:active_units()) do
    local known = kept.active[name]
    kept.active[name] = known and tensor.maximum(known, active) or active
  end
end

local function squares(t)
  t = t:to "f64"
  return (t * t):sum()
end

--- 'most' of the numbers 0 .. n-1, evenly spaced; all when there are no more.
local function spread(n, most)
  if n <= most then return tensor.arange(n) end
  return (tensor.arange(most):to "f64" * (n / most)):floor():to "i64"
end

--- The values that the step is about to change: { { parameter, codes?, before } ... }.
function monitors.before(parameters)
  local found = {}
  for _, parameter in ipairs(parameters) do
    if parameter:trainable() then
      local codes = parameter:sparse() and parameter:rows():to "i64" or nil
      codes = codes and codes:index_select(spread(#codes, TOUCHED))
      local value = parameter:value()
      found[#found + 1] = { parameter = parameter, codes = codes,
        before = (codes and value:index_select(codes) or value:clone()):to "f64" }
    end
  end
  return found
end

--- How far the step moved what monitors.before found, as a share of its norm.
function monitors.after(kept, found)
  local moved, size = 0, 0
  for _, of in ipairs(found) do
    local now = of.parameter:value()
    if of.codes then now = now:index_select(of.codes) end
    moved, size = moved + squares(now:to "f64" - of.before), size + squares(of.before)
  end
  kept.looked, kept.ratio = kept.looked + 1, kept.ratio + math.sqrt(moved / math.max(size, 1e-300))
end

--- Norms of a table's rows: the median and the 99th percentile.
local function norms_of(parameter)
  local value = parameter:value()
  value = value:index_select(spread(value:size(1), ROWS)):to "f32"
  local n = value:size(1)
  local norms = (value * value):sum(2):sqrt():sort()
  return norms:get((n + 1) // 2), norms:get(math.max(1, math.ceil(0.99 * n)))
end

--- Units that no step looked at found active, in all and by name.
local function count_dead(kept)
  local dead, units, by_name = 0, 0, {}
  for name, active in pairs(kept.active) do
    local n = active:count()
    local idle = n - active:sum()
    dead, units, by_name[name] = dead + idle, units + n, idle / n
  end
  return units > 0 and dead / units or nil, by_name
end

--- Put what was gathered of an epoch into its row of the curves.
---@return table<string, number> by_name  the share of dead units of each layer
function monitors.row(row, kept, parameters)
  if kept.steps > 0 then
    row["monitor/grad_norm"], row["monitor/grad_norm_max"] = kept.norm / kept.steps, kept.most
  end
  if kept.looked > 0 then row["monitor/update_ratio"] = kept.ratio / kept.looked end
  for _, parameter in ipairs(parameters) do
    if parameter:sparse() and parameter:trainable() then
      local median, high = norms_of(parameter)
      local name = parameter:name():gsub("%.table$", ""):gsub("[^%w_%-%./: ]", "_")
      row["monitor/embedding_norm_median/" .. name], row["monitor/embedding_norm_99/" .. name] = median, high
    end
  end
  local by_name
  row["monitor/dead_units"], by_name = count_dead(kept)
  return by_name
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- Warn of layers most of whose units are dead, in the first epoch in which they are.
local function warn_of_dead(by_name, warned)
  for _, name in ipairs(sorted(by_name)) do
    if by_name[name] > DEAD and not warned[name] then
      warned[name] = true
      log.warn("%.0f %% of the units behind %s were not active once: they learn nothing. Lower train.learning_rate, or "
        .. "take another activation (gelu) or a norm", 100 * by_name[name], name)
    end
  end
end

--- Warn of a norm that has grown beyond what it was after the first epoch.
local function warn_of_growth(row, first, warned)
  for _, name in ipairs(sorted(row)) do
    local before = first[name]
    if (name == "monitor/grad_norm" or name:find "^monitor/embedding_norm_99/") and before and before > 0
      and row[name] > GROWN * before and not warned[name] then
      warned[name] = true
      log.warn("%s is %.3g, %.0f times what it was after the first epoch: lower train.learning_rate, or set train.clip "
        .. "or train.weight_decay", name, row[name], row[name] / before)
    end
  end
end

--- Say what looks wrong, each once in a run.
---@param warned table<string, boolean>  what was said before
function monitors.warn(row, first, by_name, warned)
  warn_of_dead(by_name, warned)
  warn_of_growth(row, first, warned)
end

--- In a few words, for the epoch's line.
---@return string
function monitors.describe(row)
  local parts = {}
  local function add(format, value)
    if value then parts[#parts + 1] = format:format(value) end
  end
  add("grad %.3g", row["monitor/grad_norm"])
  add("update %.2g", row["monitor/update_ratio"])
  local dead = row["monitor/dead_units"]
  add("dead %.0f %%", dead and dead > 0 and 100 * dead)
  return table.concat(parts, "  ")
end

return monitors
