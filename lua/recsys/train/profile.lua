--- `recsys-run RECIPE --profile`: where the time and bytes of each training step went, operation by operation, as a
--- table and as a trace that a browser's viewer opens (chrome://tracing, ui.perfetto.dev).
---
--- A step is a span; inside it are those of its phases (batch, forward, backward, ...), inside these the tape's
--- operations and what gathers rows. Every row of the table has the time of its spans without what lies inside, so the
--- rows add up to the step: what a phase has left is Lua and the tape's own work. Work is counted from shapes
--- (runtime/nn/cost.c). Where no profile is asked for, the loop calls functions that do nothing.

local base = require("recsys.core").base
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local machine = require "recsys.machine"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local trace = require("recsys.core").trace

local profile = {}

local MOST_EVENTS = 100000 -- of the trace file, some 15 MB
local PEAK, COPIED = 2048, 2 ^ 28 // 1 -- sizes of the product and of the copy that measure the machine

local wanted -- the folder that profiles are written to; nil: none are made
local made, silent = 0, false
local last_named, last_rows -- see profile.named and profile.rows

--- Have each training from now on write a profile into the folder; nil: none.
---@param folder? string
---@param quietly? boolean  true: the trace alone, no table, for which the machine is measured by products and copies
function profile.into(folder, quietly)
  wanted, made, silent = folder, 0, quietly
end

--- The share of the steps' time in named work, 0 to 1, of the training that was profiled last; nil: none was.
---@return number?
function profile.named() return last_named end

--- The rows of that training's table: { name, calls, seconds, share, flops, bytes }, all a step; nil: none was.
---@return table[]?
function profile.rows() return last_rows end

-- Without a profile ---------------------------------------------------------------------------------------------------

local none = {}
for _, name in ipairs { "begin_step", "end_step", "enter", "watch", "merge", "finish" } do
  none[name] = function() end
end
profile.none = none

-- What gathers rows --------------------------------------------------------------------------------------------------

local width = { f32 = 4, f64 = 8, i32 = 4, i64 = 8, bf16 = 2, u8 = 1 }

local function bytes_of(value)
  if tensor.is(value) then return value:count() * (width[value:dtype()] or 4) end
  local sum = 0
  if type(value) == "table" then
    for _, part in pairs(value) do sum = sum + bytes_of(part) end
  end
  return sum
end

--- Have a method open a span around its calls in a step. Returns what puts it back.
local function time_method(spans, class, name, label)
  local methods = getmetatable(class).__index
  local method = methods[name]
  local function close(result, ...)
    spans:close(0, 2 * bytes_of(result)) -- read and written
    return result, ...
  end
  methods[name] = function(...)
    if spans:depth() == 0 then return method(...) end
    spans:open(label)
    return close(method(...))
  end
  return function() methods[name] = method end
end

-- How often a step reads or writes a number of a parameter: value, gradient and state.
local moved_by = { adam = 7, adamw = 7, adagrad = 5, sgd = 3 }

-- Recording -----------------------------------------------------------------------------------------------------------

local Profile = {}
Profile.__index = Profile

--- The profile of a training that begins: one that records where profile.into() asked for it, else one that does not.
---@param parameters Parameter[]
---@param features Features  any that batches are gathered from
---@param optimizer string   as in train.optimizer
function profile.begin(parameters, features, optimizer)
  if not wanted then return none end
  made = made + 1
  local self = setmetatable({ parameters = parameters, steps = 0, put_back = {}, moved = moved_by[optimizer] or 0,
    path = ("%s/profile%s.json"):format(files.make_folder(wanted), made > 1 and "-" .. made or ""),
    flops = not silent and machine.sgemm(PEAK, PEAK, PEAK), bytes = not silent and machine.copy(COPIED),
    spans = trace.new(MOST_EVENTS) }, Profile)
  local any, stream = tensor.zeros(1), base.stream(0, "user")
  local timed_methods = { { features, "gather", "gather features" }, { any, "index_select", "select rows" },
    { any, "distinct", "find distinct rows" }, { stream, "integers", "draw" },
    { stream, "uniforms", "draw" }, { any, "ge", "compare and cast" }, { any, "to", "compare and cast" } }
  for _, timed in ipairs(timed_methods) do
    self.put_back[#self.put_back + 1] = time_method(self.spans, table.unpack(timed))
  end
  return self
end

--- Close spans until 'depth' are open, the outermost of them having moved some bytes.
local function close_to(spans, depth, bytes)
  while spans:depth() > depth do spans:close(0, spans:depth() == depth + 1 and bytes or 0) end
end

function Profile:begin_step()
  self.spans:open "step"
end

--- The step's next phase begins, the last one ends.
---@param name string
function Profile:enter(name)
  close_to(self.spans, 1, self.bytes_of_phase)
  self.bytes_of_phase = name == "update" and self.update_bytes or nil
  self.spans:open(name)
end

---@param tape Tape
function Profile:watch(tape)
  self.spans:watch(tape)
end

--- Merge the gradients of tables, which the clip or the update would do, apart from them.
function Profile:merge()
  self:enter "merge gradients of tables"
  self.update_bytes = 0
  for _, parameter in ipairs(self.parameters) do
    local numbers = parameter:trainable() and parameter:value():count() or 0
    if parameter:sparse() then numbers = #parameter:rows() * parameter:size(2) end
    self.update_bytes = self.update_bytes + self.moved * numbers * width[parameter:value():dtype()]
  end
end

function Profile:end_step()
  close_to(self.spans, 0)
  self.steps = self.steps + 1
end

-- Reporting -----------------------------------------------------------------------------------------------------------

-- Spans that are not work of their own: what is left of them is what lies between operations.
local between = { step = "between phases", forward = "Lua in forward", backward = "the tape in backward" }

--- The table's rows, most time first, and what share of the steps' time is in named work.
---@return table[] rows  { name, calls, seconds, share, flops, bytes }, all a step
---@return number named  0 to 1
---@return number seconds  of a step
function Profile:summary()
  local rows, total, named = {}, 0, 0
  for _, row in ipairs(self.spans:rows()) do
    local left = row.kind == "span" and between[row.name]
    total = total + row.seconds
    if not left then named = named + row.seconds end
    rows[#rows + 1] = { name = left or row.kind == "backward" and row.name .. ", backward" or row.name,
      calls = row.calls / self.steps, seconds = row.seconds / self.steps, flops = row.flops / self.steps,
      bytes = row.bytes / self.steps }
  end
  for _, row in ipairs(rows) do row.share = row.seconds * self.steps / total end
  table.sort(rows, function(a, b) return a.seconds > b.seconds end)
  return rows, named / total, total / self.steps
end

local function rate(work, seconds)
  return work > 0 and ("%.1f"):format(work / seconds / 1e9) or ""
end

--- The larger share of the two that were measured: of products' speed, or of copying's.
local function share_of_peak(self, row)
  local share = math.max(row.flops / row.seconds / self.flops, row.bytes / row.seconds / self.bytes)
  return share > 0 and ("%.0f %%"):format(100 * share) or ""
end

--- The profile in words.
---@return string
function Profile:table()
  local rows, named, seconds = self:summary()
  local cells = { { "", "calls", "ms", "share", "GFLOP/s", "GB/s", "of peak" } }
  for _, row in ipairs(rows) do
    cells[#cells + 1] = { row.name, ("%.4g"):format(row.calls), ("%.3f"):format(row.seconds * 1e3),
      ("%.1f %%"):format(100 * row.share), rate(row.flops, row.seconds), rate(row.bytes, row.seconds),
      share_of_peak(self, row) }
  end
  local words = ("profile of %s steps of %.3f ms with %d threads; the machine multiplies at %.0f GFLOP/s and copies at "
    .. "%.1f GB/s"):format(text.count(self.steps), seconds * 1e3, base.threads(), self.flops / 1e9, self.bytes / 1e9)
  return ("%s\n%s\n%.1f %% of a step's time is in named work, the rest between it\ntrace: %s"):format(words,
    text.columns(cells), 100 * named, self.path)
end

--- The spans in the trace event format, complete events ("X"), microseconds.
local function write_trace(self)
  local rows, lines = self.spans:rows(), {}
  for i, event in ipairs(self.spans:events()) do
    local row = rows[event.row]
    lines[i] = ('{"name":%s,"cat":"%s","ph":"X","pid":1,"tid":1,"ts":%.3f,"dur":%.3f}'):format(json.encode(row.name),
      row.kind, event.start * 1e6, event.seconds * 1e6)
  end
  files.write(self.path, '{"displayTimeUnit":"ms","traceEvents":[\n' .. table.concat(lines, ",\n") .. "\n]}\n")
end

--- The training is over: write the trace and, unless it is to be silent, print the table.
function Profile:finish()
  for _, put_back in ipairs(self.put_back) do put_back() end
  self.put_back = {}
  close_to(self.spans, 0)
  if self.steps == 0 then return end
  write_trace(self)
  last_rows, last_named = self:summary()
  if self.flops then log.info("%s", self:table()) end
end

return profile
