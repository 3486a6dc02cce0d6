--- What data must hold for a job to go on: expectations, which fail or warn and show the rows that offend.
---
--- Each maker takes a frame, and checks it at once, or the name of a table ("interactions", "users", "items" of a
--- dataset), and gives a declaration: a plain table, which can be stored, for expect.all.
---
---     assert(expect.range(ratings, "rating", { min = 1, max = 5 }))
---     flow:task("check", expect.all, data, { expect.unique("users", "user"),
---       expect.fresh("interactions", "time", { within = "2d", severity = "warn" }) })
---
--- A failure is a refusal: nil, message, "quality". A recipe ends with exit code 3 then, as with every quality gate:
--- the program works, and what it was given is not good enough. docs/looking.md is the manual.

local frame = require "recsys.frame"
local json = require "recsys.json"
local log = require "recsys.log"
local profile = require "recsys.profile"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local words = require "recsys.describe.words"

local expect = {}

local shown = 5 -- offending rows in a message

-- Rows that offend --------------------------------------------------------------------------------------------------

local function cell(f, name, row)
  local value = f:value(name, row)
  if value == nil then return "missing" end
  local kind = f:type(name)
  if kind == "time" then return words.time(value) end
  if kind == "number" then return words.number(value) end
  if kind == "list" and #value == 0 then return "none" end
  return words.cut(words.plain(kind == "list" and table.concat(value, "|") or value), 40)
end

--- The columns shown of a row: those that the expectation is about, then others, six at the most.
local function columns_to_show(f, about)
  local names, taken = {}, {}
  for _, list in ipairs { about, f:names() } do
    for _, name in ipairs(list) do
      if #names < 6 and not taken[name] and f:has(name) then names[#names + 1], taken[name] = name, true end
    end
  end
  return names
end

--- The first offending rows as { row = number from 1, values = { column = text } }.
local function examples_of(f, about, rows, firsts)
  local list, names = {}, columns_to_show(f, about)
  for i = 1, math.min(shown, #rows) do
    local row = rows:get(i) + 1
    list[i] = { row = row, values = {}, again = firsts and firsts:get(i) + 1 or nil }
    for k, name in ipairs(names) do list[i].values[k] = { name, cell(f, name, row) } end
  end
  return list
end

local function example_line(example)
  local parts = {}
  for i, pair in ipairs(example.values) do parts[i] = ("%s %s"):format(pair[1], pair[2]) end
  return ("    row %s%s: %s"):format(text.count(example.row), example.again
    and (" (as row %s)"):format(text.count(example.again)) or "", table.concat(parts, ", "))
end

-- Checks: each gives what it found, or a finding with `ok`, `say` and the offending rows ----------------------------

local checks = {}

local function rows_text(n, f) return ("%s of %s"):format(text.count(n), words.count(f:rows(), "row")) end

function checks.unique(f, e)
  local found = profile.repeats(f, e.keys, { missing = "skip", limit = shown })
  local what = #e.keys == 1 and "a value" or "values"
  return { ok = found.repeated == 0, offending = found.repeated, rows = found.repeats, firsts = found.firsts,
    say = ("%s %s %s of an earlier row"):format(rows_text(found.repeated, f), found.repeated == 1 and "has" or "have",
      what) }
end

local function bound(f, e, side, op)
  if e[side] == nil then return tensor.zeros(0, "i64") end
  return f:where(e.column, op, e[side])
end

function checks.range(f, e)
  local below, above = bound(f, e, "min", "<"), bound(f, e, "max", ">")
  local rows = tensor.concat { below, above }:sort()
  local parts = {}
  if #below > 0 then parts[1] = ("%s below %s"):format(text.count(#below), tostring(e.min)) end
  if #above > 0 then parts[#parts + 1] = ("%s above %s"):format(text.count(#above), tostring(e.max)) end
  return { ok = #rows == 0, offending = #rows, rows = rows,
    say = ("%s %s: %s"):format(rows_text(#rows, f), #rows == 1 and "lies outside" or "lie outside",
      table.concat(parts, ", ")) }
end

function checks.missing_below(f, e)
  local rows = f:where(e.column, "missing")
  local share = f:rows() > 0 and #rows / f:rows() or 0
  return { ok = #rows == 0 or share < e.share, offending = #rows, rows = rows,
    say = ("%s (%s) %s a value"):format(rows_text(#rows, f), words.share(share), #rows == 1 and "lacks" or "lack") }
end

--- The moment that freshness is measured from, in ms.
local function moment(of)
  if of == "now" then return os.time() * 1000 end
  return math.type(of) == "integer" and of or frame.parse_time(of)
end

function checks.fresh(f, e)
  local times = f:column(e.column)
  local present = f:where(e.column, "present")
  if #present == 0 then
    return { ok = false, offending = 0, rows = present, say = "there is no time at all" }
  end
  local newest = times:max()
  local age, within = moment(e.of) - newest, text.milliseconds(e.within)
  return { ok = age <= within, offending = age > within and 1 or 0, rows = f:where(e.column, "==", newest),
    say = ("the newest of %s is of %s, %s older than is allowed %s"):format(words.count(#present, "time"),
      words.time(newest), text.duration(math.max(0, age - within) / 1000),
      e.of == "now" and "now" or "at " .. words.time(moment(e.of))) }
end

--- Rows of a list column with a member that is not in the set.
local function rows_with_others(f, column, set)
  local other, any = {}, false
  for code, value in ipairs(f:strings(column)) do
    other[code] = not set[value]
    any = any or other[code]
  end
  local rows = {}
  if any then
    local values, starts, lengths = f:column(column)
    values, starts, lengths = values:tolist(), starts:tolist(), lengths:tolist()
    for row = 1, f:rows() do
      for i = starts[row] + 1, starts[row] + lengths[row] do
        if other[values[i]] and rows[#rows] ~= row - 1 then rows[#rows + 1] = row - 1 end
      end
    end
  end
  return tensor.new(rows, "i64")
end

local function rows_of_others(f, e)
  local kind = f:type(e.column)
  if kind == "list" then
    local set = {}
    for _, value in ipairs(e.values) do set[value] = true end
    return rows_with_others(f, e.column, set)
  end
  local present = f:where(e.column, "present")
  local known = f:filter(present):lookup(frame.from { { e.column, kind, e.values } }, e.column)
  return present:index_select(known:lt(0):nonzero():reshape(-1))
end

--- Some distinct values, or members of lists, among the offending rows that are not in the set, for the sentence.
local function named_values(f, e, rows)
  local seen, list = {}, {}
  for _, value in ipairs(e.values) do seen[value] = true end
  for i = 1, math.min(1000, #rows) do
    local value = f:value(e.column, rows:get(i) + 1)
    for _, member in ipairs(type(value) == "table" and value or { value }) do
      if not seen[member] and #list < 5 then
        list[#list + 1] = ("'%s'"):format(words.cut(words.value({ type = f:type(e.column) }, member), 40))
      end
      seen[member] = true
    end
  end
  return table.concat(list, ", ")
end

function checks.values_in(f, e)
  local rows = rows_of_others(f, e)
  return { ok = #rows == 0, offending = #rows, rows = rows,
    say = ("%s %s another value: %s"):format(rows_text(#rows, f), #rows == 1 and "has" or "have",
      named_values(f, e, rows)) }
end

function checks.joins(f, e, other)
  local rows = f:lookup(other, e.keys):lt(0):nonzero():reshape(-1)
  local share = f:rows() > 0 and 1 - #rows / f:rows() or 1
  return { ok = share >= e.least, offending = #rows, rows = rows,
    say = ("%s find%s no partner in %s: %s join, at least %s must"):format(rows_text(#rows, f),
      #rows == 1 and "s" or "", e.other or "the other frame", words.share(share), words.share(e.least)) }
end

-- Judging -----------------------------------------------------------------------------------------------------------

--- The columns that an expectation is about.
local function about(e)
  if e.column then return { e.column } end
  local names = {}
  for key, value in pairs(e.keys) do names[#names + 1] = type(key) == "string" and key or value end
  table.sort(names)
  return names
end

--- "unique users.user", "range interactions.rating".
local function title(e)
  local prefix = e.table and e.table .. "." or ""
  return ("%s %s%s"):format(e.expect, prefix, table.concat(about(e), ", " .. prefix))
end

-- Types of columns that a check can look at; others take all.
local needs = { range = { number = true, time = true }, fresh = { time = true } }

--- Raise when the frame has no such column, or one of a type that the check makes no sense for.
local function check_columns(e, f)
  for _, name in ipairs(about(e)) do
    local kind = f:has(name) and f:type(name)
    if not kind then
      error(("expectation %s: there is no column '%s'; there are: %s"):format(title(e), name,
        table.concat(f:names(), ", ")), 0)
    elseif needs[e.expect] and not needs[e.expect][kind] then
      error(("expectation %s: the column is a %s, which has no %s"):format(title(e), kind,
        e.expect == "fresh" and "time" or "range"), 0)
    end
  end
end

--- Check one expectation against its frame.
---@return Outcome
local function judge(e, f, other)
  check_columns(e, f)
  local found = checks[e.expect](f, e, other)
  local outcome = { expectation = title(e), severity = e.severity, passed = found.ok, rows = f:rows(),
    offending = found.offending }
  if found.ok then return outcome end
  outcome.examples = examples_of(f, about(e), found.rows, found.firsts)
  local lines = { ("%s: %s"):format(outcome.expectation, found.say) }
  for i, example in ipairs(outcome.examples) do lines[i + 1] = example_line(example) end
  outcome.message = table.concat(lines, "\n")
  return outcome
end

--- Tell the outcome to the log; a warning to people, too.
local function tell(outcome)
  if outcome.passed then
    log.note("expectation holds: %s, %d rows", outcome.expectation, outcome.rows)
  elseif outcome.severity == "warn" then
    log.warn("%s", outcome.message)
  end
end

-- Making ------------------------------------------------------------------------------------------------------------

local function is_frame(value)
  return type(value) == "userdata" and (getmetatable(value) or {}).__name == "recsys.Frame"
end

--- Raise about argument 'n' of the maker that the recipe called, which is so many calls up.
local function blame(level, n, maker, format, ...)
  error(("bad argument #%d to '%s' (%s)"):format(n, maker, format:format(...)), level + 1)
end

local function wrong(n, maker, format, ...) blame(3, n, maker, format, ...) end -- called by the maker itself

local function check_options(options, n, maker, known)
  options = options or {}
  if type(options) ~= "table" then blame(3, n, maker, "a table of options is expected") end
  for key in pairs(options) do
    if key ~= "severity" and not known[key] then blame(3, n, maker, "there is no option '%s'", tostring(key)) end
  end
  local severity = options.severity or "fail"
  if severity ~= "fail" and severity ~= "warn" then
    blame(3, n, maker, "severity must be 'fail' or 'warn', not '%s'", tostring(severity))
  end
  return options, severity
end

--- The declaration for a table's name, or for a frame its outcome.
local function make(where, maker, declaration, other)
  declaration.expect = maker
  if type(where) == "string" then
    declaration.table = where
    return declaration
  end
  if not is_frame(where) then wrong(1, maker, "a frame, or the name of a table, is expected") end
  local outcome = judge(declaration, where, other)
  tell(outcome)
  if outcome.passed or outcome.severity == "warn" then return outcome end
  return nil, "expectation failed: " .. outcome.message, "quality"
end

local function check_column(column, maker)
  if type(column) ~= "string" then blame(3, 2, maker, "the name of a column is expected") end
end

local function check_keys(keys, n, maker)
  if type(keys) == "string" then return { keys } end
  if type(keys) == "table" and next(keys) ~= nil then return keys end
  blame(3, n, maker, "a column, or a table of them, is expected")
end

---@class Expectation  a declaration: plain data
---@field expect string
---@field table string
---@field severity "fail"|"warn"

---@class Outcome
---@field expectation string  "range interactions.rating"
---@field severity "fail"|"warn"
---@field passed boolean
---@field rows integer       looked at
---@field offending integer  of them
---@field message? string    when it did not pass: a sentence, and a line for each of the first offending rows
---@field examples? { row: integer, values: string[][], again: integer? }[]  rows count from 1

--- No two rows have the same values in these columns. Rows that miss one of them are left out.
---@param where Frame|string       a frame, checked at once; or the name of a table: a declaration
---@param keys string|string[]
---@param options? { severity: "fail"|"warn"? }
---@return Expectation|Outcome|nil what  of a frame nil, message, "quality" when it fails
---@return string? message
---@return string? code
function expect.unique(where, keys, options)
  local _, severity = check_options(options, 3, "unique", {})
  keys = check_keys(keys, 2, "unique")
  if keys[1] == nil then wrong(2, "unique", "a column, or a list of them, is expected") end
  return make(where, "unique", { keys = keys, severity = severity })
end

--- Numbers or times from min to max, both included; missing ones pass.
---@param where Frame|string
---@param column string
---@param options { min: number|string?, max: number|string?, severity: "fail"|"warn"? }  times as ISO 8601 or ms
---@return Expectation|Outcome|nil what, string? message, string? code
function expect.range(where, column, options)
  check_column(column, "range")
  local severity
  options, severity = check_options(options, 3, "range", { min = true, max = true })
  if options.min == nil and options.max == nil then wrong(3, "range", "min or max is expected") end
  return make(where, "range", { column = column, min = options.min, max = options.max, severity = severity })
end

--- Less than this share of the rows misses the column; none missing passes always.
---@param where Frame|string
---@param column string
---@param share number  0 .. 1
---@param options? { severity: "fail"|"warn"? }
---@return Expectation|Outcome|nil what, string? message, string? code
function expect.missing_below(where, column, share, options)
  check_column(column, "missing_below")
  if type(share) ~= "number" or share < 0 or share > 1 then
    wrong(3, "missing_below", "a share from 0 to 1 is expected")
  end
  local _, severity = check_options(options, 4, "missing_below", {})
  return make(where, "missing_below", { column = column, share = share, severity = severity })
end

--- The newest time is at most 'within' older than 'of'.
---@param where Frame|string
---@param column string  of times
---@param options { within: string|integer, of: "now"|string|integer?, severity: "fail"|"warn"? }  within: a span as
---  "2d" or ms; of: default "now", the clock when it is checked; else ISO 8601 or ms
---@return Expectation|Outcome|nil what, string? message, string? code
function expect.fresh(where, column, options)
  check_column(column, "fresh")
  local severity
  options, severity = check_options(options, 3, "fresh", { within = true, of = true })
  if not text.span(options.within or "") then wrong(3, "fresh", "within must be a span of time such as '2d'") end
  local of = options.of or "now"
  if not moment(of) then wrong(3, "fresh", "of must be 'now' or a time, not '%s'", tostring(of)) end
  return make(where, "fresh", { column = column, within = options.within, of = of, severity = severity })
end

--- Every value, and every member of a list, is one of these; missing ones pass.
---@param where Frame|string
---@param column string
---@param values any[]  of the column's type
---@param options? { severity: "fail"|"warn"? }
---@return Expectation|Outcome|nil what, string? message, string? code
function expect.values_in(where, column, values, options)
  check_column(column, "values_in")
  if type(values) ~= "table" or values[1] == nil then wrong(3, "values_in", "a list of values is expected") end
  local _, severity = check_options(options, 4, "values_in", {})
  return make(where, "values_in", { column = column, values = values, severity = severity })
end

--- At least the share 'least' of the rows finds a partner by these keys; a row that misses a key finds none.
---@param where Frame|string
---@param other Frame|string  a frame where the first is one, else the name of a table
---@param keys string|string[]|table<string, string>  as Frame:join takes them
---@param options? { least: number?, severity: "fail"|"warn"? }  default 1: every row
---@return Expectation|Outcome|nil what, string? message, string? code
function expect.joins(where, other, keys, options)
  local severity
  options, severity = check_options(options, 4, "joins", { least = true })
  local least = options.least or 1
  if type(least) ~= "number" or least < 0 or least > 1 then
    wrong(4, "joins", "least must be a share from 0 to 1")
  end
  if type(where) == "string" and type(other) ~= "string" then wrong(2, "joins", "the name of a table is expected") end
  if type(where) ~= "string" and not is_frame(other) then wrong(2, "joins", "a frame is expected") end
  return make(where, "joins", { keys = check_keys(keys, 3, "joins"), least = least, severity = severity,
    other = type(other) == "string" and other or nil }, other)
end

-- All of them -------------------------------------------------------------------------------------------------------

--- What expect.all gives: `checked`, `warned`, and `outcomes` in the order of the expectations. When it is what a task
--- of a recipe gave, the run's result has the outcomes as its field `expectations`.
local Expectations = { __name = "recsys.Expectations" }

local function plain(self)
  local copy = {}
  for key, value in pairs(self) do copy[key] = value end
  return copy
end

store.class("recsys.expect", Expectations, plain, function(saved) return setmetatable(saved, Expectations) end)

--- For the run's result: the field and its value.
function Expectations.__result(self)
  local list = {}
  for i, outcome in ipairs(self.outcomes) do
    list[i] = { expectation = outcome.expectation, severity = outcome.severity, passed = outcome.passed,
      rows = outcome.rows, offending = outcome.offending, message = outcome.message }
  end
  return "expectations", json.list(list)
end

function Expectations.__tostring(self)
  return ("%s checked, %d warned"):format(words.count(self.checked, "expectation"), self.warned)
end

local function table_of(data, name, e)
  local f = data[name]
  if is_frame(f) then return f end
  local names = {}
  for key, value in pairs(data) do
    if is_frame(value) then names[#names + 1] = key end
  end
  table.sort(names)
  error(("bad argument #2 to 'all' (%s: there is no table '%s'; there are: %s)"):format(e.expect, tostring(name),
    table.concat(names, ", ")), 3)
end

--- Check declared expectations. All are checked, whatever fails.
---@param data Dataset|table<string, Frame>
---@param expectations Expectation[]
---@return { checked: integer, warned: integer, outcomes: Outcome[] }? found  nil, message, "quality" when one fails
---@return string? message  all that failed, with their first offending rows
---@return string? code
function expect.all(data, expectations)
  local found, failed = { checked = #expectations, warned = 0, outcomes = {} }, {}
  for i, e in ipairs(expectations) do
    if type(e) ~= "table" or not checks[e.expect] then
      error(("bad argument #2 to 'all' (entry %d is no expectation)"):format(i), 2)
    end
    local outcome = judge(e, table_of(data, e.table, e), e.other and table_of(data, e.other, e))
    tell(outcome)
    found.outcomes[i] = outcome
    if not outcome.passed then
      if e.severity == "fail" then failed[#failed + 1] = outcome.message else found.warned = found.warned + 1 end
    end
  end
  if #failed == 0 then return setmetatable(found, Expectations) end
  return nil, ("%d of %s failed:\n  %s"):format(#failed, words.count(#expectations, "expectation"),
    table.concat(failed, "\n  ")), "quality"
end

return expect
