--- The leak audit: proves on the tables at hand that nothing held out, later or of today can reach a training feature.
---
--- Most checks are of one kind, non-interference: what is said not to matter is taken away, everything is computed
--- again, and every bit must be as before. That needs no knowledge of how a feature works, so it also judges kinds of
--- one's own. Where something differs, bisection finds a row that makes the difference. Columns that a recipe computed
--- itself are made again by the recipe's own function (`derive`); without it they are held against the shapes that
--- leaks take: aggregates over all rows, and ages that count from one fixed moment. Nothing is trained.

local columns = require "recsys.data.audit.columns"
local compare = require "recsys.data.audit.compare"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local log = require "recsys.log"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local audit = {}

local DAY = 86400000

--- What every check sees: the tables, who may know what, and the list that findings go to.
local Case = {}
Case.__index = Case

--- A row of the interactions for people: from 1, with what it says.
---@param row integer  0-based
function Case:name_row(row)
  local f = self.data.interactions
  return ("row %d (user %s, item %s, %s)"):format(row + 1, f:text("user", row + 1), f:text("item", row + 1),
    frame.format_time(f:value("time", row + 1)))
end

function Case:find(check, subject, format, ...)
  self.findings[#self.findings + 1] = { check = check, subject = subject, message = format:format(...) }
end

--- Rows 'a' and the first 'n' of rows 'b', rising.
local function with_first(a, b, n)
  return tensor.concat({ a, b:narrow(1, 1, n) }):sort()
end

--- The least n in 1 .. most for which changed(n) holds, given that it holds for 'most'; for changes that last once
--- they are there, as those of counts and sets do.
local function bisect(most, changed)
  local low, high = 1, most
  while low < high do
    local middle = (low + high) // 2
    if changed(middle) then high = middle else low = middle + 1 end
  end
  return low
end

-- The checks ----------------------------------------------------------------------------------------------------------

--- Held-out interactions that training knows already.
local function duplicates(case)
  local f, keys = case.data.interactions, { "user", "item" }
  if case.repeats then keys[3] = "time" end
  local rows = f:select(keys):with("row", "time", tensor.arange(0, f:rows(), "i64"))
  local known = rows:filter(case.held_out):join(rows:filter(case.train):distinct(keys):rename { row = "twin" }, keys)
  if known:rows() == 0 then return end
  case:find("duplicates", "interactions", "%s is held out, and training has it already in %s; %s held-out rows are so. "
    .. "Keep one row a user and item (data.clean with unique = \"first\"), or say repeats = true where people do the "
    .. "same again", case:name_row(known:value("row", 1)), case:name_row(known:value("twin", 1)),
    text.count(known:rows()))
end

--- Fitted state that is not what training rows alone give.
local function fitted_state(case)
  local given, clean = compare.outputs(case.encoder), compare.outputs(case:fit(case.train))
  for _, name in ipairs(compare.names(given, clean)) do
    if given[name] ~= clean[name] then
      local function reaches(n)
        return compare.outputs(case:fit(with_first(case.train, case.held_out, n)))[name] ~= clean[name]
      end
      local n = #case.held_out
      if n > 0 and reaches(n) then
        local culprit = case.held_out:get(bisect(n, reaches))
        case:find("fit", name, "feature '%s' was not fitted on training rows alone: held-out %s changes it. Give "
          .. "feature.fit the split's training rows", name, case:name_row(culprit))
      else
        case:find("fit", name, "feature '%s' is not what its declaration gives on the training rows; fit it on "
          .. "split.train", name)
      end
    end
  end
end

--- The event features of rows, and what their items have counted, when only 'known' rows (i64) have happened; nil: as
--- training has them. 'history' is what the known rows make, where it is at hand.
function Case:encode(rows, known, history)
  local events = self.encoder:encode_events(self.data, rows,
    { ties = self.split.ties, log = known or self.split.history_log, items = self.items, history = history })
  local over_time = self.encoder:items_over_time(self.data,
    { log = known or feature.log_of_items(self.split), items = self.items })
  if not over_time then return events end
  local tensors = events:tensors()
  local counts = over_time:counts(feature.rows(self.data, rows).items,
    self.data.interactions:column("time"):index_select(rows))
  for name, values in pairs(counts:tensors()) do tensors[name] = values end
  return assert(feature.load_features(tensors))
end

--- Training features in which a row that may not be known makes a difference: 'without' are the rows that may.
local function interference(case, check, rows, base, without, unknown, words, history)
  local features <close> = case:encode(rows, without, history)
  local position, name = base:difference(features)
  if not position then return end
  local row = rows:narrow(1, position + 1, 1)
  local clean = case:encode(row, without)
  local function reaches(n)
    return clean:difference(case:encode(row, with_first(without, unknown, n))) ~= nil
  end
  local n = #unknown
  local culprit = n > 0 and reaches(n) and case:name_row(unknown:get(bisect(n, reaches)))
  case:find(check, name, words, name, case:name_row(row:get(1)), culprit or "a row that it may not know")
end

local BLOCK <const> = 1 << 20 -- training rows whose features are in memory twice at a time

--- All training rows, block by block, as training encodes them and without the held-out rows.
local function held_out_rows(case)
  local found = #case.findings
  local given = case.encoder:sequences(case.data, { log = case.split.history_log })
  local clean = case.encoder:sequences(case.data, { log = case.known_training })
  for first = 1, #case.train, BLOCK do
    local rows = case.train:narrow(1, first, math.min(BLOCK, #case.train - first + 1))
    local base <close> = case:encode(rows, nil, given)
    interference(case, "held out", rows, base, case.known_training, case.held_out,
      "feature '%s' of training %s depends on held-out %s. Where the split is not causal, histories and counts may "
      .. "know training rows only: encode with log = split.train", clean)
    if #case.findings > found then return end
  end
end

--- Rows among 'rows' (rising) before position 'at' of the interactions, or before its time where ties are strict.
local function before(case, rows, at)
  local limit = at
  if case.split.ties == "strict" then
    local times = case.data.interactions:column "time"
    limit = times:search_sorted(times:narrow(1, at + 1, 1)):get(1)
  end
  return rows:search_sorted(tensor.new({ limit }, "i64")):get(1)
end

--- At some moments: what training rows up to there say may not change when everything from there on is taken away.
local function later_rows(case)
  local n = #case.known_training
  for cut = 1, case.cuts do
    local at = case.train:get(math.max(1, #case.train * cut // case.cuts))
    local first = before(case, case.known_training, at)
    local rows = case.train:narrow(1, 1, case.train:search_sorted(tensor.new({ at }, "i64"), true):get(1))
    rows = rows:narrow(1, math.max(1, #rows - case.window + 1), math.min(#rows, case.window))
    local past = case.known_training:narrow(1, 1, first)
    local base = case:encode(rows, case.known_training)
    local found = #case.findings
    interference(case, "order", rows, base, past, case.known_training:narrow(1, first + 1, n - first),
      "feature '%s' of training %s depends on %s, which is not before it")
    if #case.findings > found then return end
  end
end

--- The clock of Lua moved on by 'ms' while 'compute' runs.
local function at_another_time(ms, compute)
  local time, date = os.time, os.date
  os.time = function(t) return t and time(t) or time() + ms // 1000 end -- luacheck: ignore 122
  os.date = function(format, t) return date(format, t or time() + ms // 1000) end -- luacheck: ignore 122
  local ok, result = pcall(compute)
  os.time, os.date = time, date -- luacheck: ignore 122
  if not ok then error(result, 0) end
  return result
end

local function clock(case)
  local rows = case.train:narrow(1, 1, math.min(#case.train, case.window))
  local later = at_another_time(1000 * DAY, function() return case:encode(rows, case.known_training) end)
  local position, name = case:encode(rows, case.known_training):difference(later)
  if position then
    case:find("clock", name, "feature '%s' of training %s depends on the clock: it changes when the same data are read "
      .. "on another day. Count ages from the event's time", name, case:name_row(rows:get(position + 1)))
  end
end

--- Columns that the recipe computes: made again without held-out rows, without later rows and on another day.
local function derived(case)
  local before_it = case.raw
  local function derive(raw)
    local d = case.derive(raw)
    local f = type(d) == "table" and d.interactions
    local given = raw.interactions:rows()
    if not f or f:rows() ~= given then
      error(("the audit's 'derive' must give a dataset with the %d interactions of the one it is given, not %s"):format(
        given, f and ("one with %d"):format(f:rows()) or "a " .. type(d)), 0)
    end
    return d
  end
  local whole = derive(before_it)
  local function restricted(rows) return derive(before_it:with(before_it.interactions:filter(rows))) end
  columns.same(case, "derived, held out", whole, restricted(case.train), case.train,
    "column '%s' of %s changes when the held-out rows are taken away: it was computed over them")
  local half = case.train:narrow(1, 1, math.max(1, #case.train // 2))
  columns.same(case, "derived, order", whole, restricted(half), half,
    "column '%s' of %s changes when later rows are taken away: it knows the future")
  local later = at_another_time(1000 * DAY, function() return derive(before_it) end)
  columns.same(case, "derived, clock", whole, later, tensor.arange(0, before_it.interactions:rows(), "i64"),
    "column '%s' of %s depends on the clock: it changes when the same data are read on another day. Count ages from "
    .. "the event's time")
end

-- The audit -----------------------------------------------------------------------------------------------------------

local function complement(rows, n)
  local mask = tensor.full(1, n, "u8")
  if #rows > 0 then mask:index_copy_(rows, tensor.zeros(#rows, "u8")) end
  return mask:nonzero()
end

--- Training rows among those that histories may know.
local function known_training(split, n)
  if not split.history_log then return split.train end
  local outside = complement(split.train, n)
  local mask = tensor.zeros(n, "u8")
  mask:index_copy_(split.history_log, tensor.full(1, #split.history_log, "u8"))
  if #outside > 0 then mask:index_copy_(outside, tensor.zeros(#outside, "u8")) end
  return mask:nonzero()
end

--- The options, checked; raises for what the audit could not do what it says with.
local function check_options(options, split)
  for _, name in ipairs { "cuts", "window" } do
    local value = options[name]
    if value ~= nil and (math.type(value) ~= "integer" or value < 1) then
      error(("bad argument #5 to 'audit' ('%s' must be a whole number of 1 or more)"):format(name), 3)
    end
  end
  if options.derive ~= nil and type(options.derive) ~= "function" then
    error("bad argument #5 to 'audit' ('derive' must be a function of a dataset)", 3)
  end
  if #split.train == 0 then
    error("bad argument #2 to 'audit' (the split has no training rows: no feature could be judged)", 3)
  end
end

local options_known = { cuts = true, window = true, repeats = true, derive = true, raw = true, grow = true }

--- The checks of a fitted encoder on its data, without the verdict.
---@return { label: "causal"|"not causal", checks: string[], findings: table[] }  a finding: { check, subject, message }
function audit.run(data, split, encoder, declarations, options)
  options = options or {}
  for key in pairs(options) do
    if not options_known[key] then error(("bad argument #5 to 'audit' (there is no option '%s')"):format(key), 2) end
  end
  check_options(options, split)
  local n = data.interactions:rows()
  local case = setmetatable({ data = data, split = split, encoder = encoder, declarations = declarations,
    train = split.train, held_out = complement(split.train, n), known_training = known_training(split, n),
    items = encoder:encode_items(data.items), cuts = options.cuts or 3, window = options.window or 20000,
    repeats = options.repeats, derive = options.derive, raw = options.raw or data, findings = {} }, Case)
  function case:fit(rows) return feature.fit(self.data, rows, self.declarations, { grow = options.grow }) end
  local checks = { "duplicates", "fit" }
  duplicates(case)
  fitted_state(case)
  local looks_back = #(declarations.event or {}) > 0 or encoder:items_over_time(data, { items = case.items })
  if looks_back then
    held_out_rows(case)
    later_rows(case)
    clock(case)
    table.move({ "held out", "order", "clock" }, 1, 3, #checks + 1, checks)
  end
  table.move({ "combined", case.derive and "derived" or "columns" }, 1, 2, #checks + 1, checks)
  columns.combined(case)
  columns.target(case)
  if case.derive then derived(case) else columns.shapes(case) end
  return { label = split.causal and "causal" or "not causal", checks = checks, findings = case.findings }
end

--- Prove that no validation or test row, no later row and no clock reaches a training feature. Nothing is trained.
---
--- Checks: "duplicates", held-out interactions that training has, too; "fit", the encoder's state is what training
--- rows alone give; "held out", training features stay as they are, to the bit, without the held-out rows; "order",
--- they stay without everything from a moment on; "clock", on another day; "combined", no feature reads what an event
--- log combined from later events, too, nor, in "columns, target", which item its own row has; "derived" or "columns",
--- what a recipe computed itself. The report names those that were made: without features that look back there is
--- nothing for "held out", "order" and "clock".
---@param data Dataset
---@param split Split
---@param encoder Encoder           fitted on data and split.train
---@param declarations table        what it was fitted from
---@param options? { cuts: integer?, window: integer?, repeats: boolean?, derive: (fun(data: Dataset): Dataset)?,
---  raw: Dataset?, grow: Encoder|string? }  cuts (3): moments at which "order" looks; window (20,000): training rows
---  before each that it looks at; repeats (false): people may do the same again; derive: what the recipe computed the
---  columns of `data` with, a function of the dataset `raw`; grow: what feature.fit was given to grow
---@return { label: string, checks: string[] }? report  nil, message, "leak" when something is found; the label is "not
---  causal" where a held-out row may be older than a training row of somebody else
---@return string? message
---@return string? code
function audit.check(data, split, encoder, declarations, options)
  local report = audit.run(data, split, encoder, declarations, options)
  if #report.findings > 0 then
    local lines = {}
    for i, finding in ipairs(report.findings) do lines[i] = finding.message end
    return nil, ("the leak audit found %d %s:\n  %s"):format(#lines, #lines == 1 and "leak" or "leaks",
      table.concat(lines, "\n  ")), "leak"
  end
  log.info("  no leak: %s (%s split)", table.concat(report.checks, ", "), report.label)
  return { label = report.label, checks = report.checks }
end

return audit
