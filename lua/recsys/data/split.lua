--- Splits: which interactions train, which choose, which judge. docs/data.md, "Splits".
---
--- A split holds 0-based rows of `dataset.interactions` (i64, ascending). Its test rows are sealed: they come out of
--- split:open_test() alone, which refuses until split:end_selection() has said that training and selection are over,
--- and is logged. Code that trains or selects should be given split:selection(), which does not hold them at all.

local base = require "recsys.base"
local current = require "recsys.tune.current"
local log = require "recsys.log"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local split = {}

---@class Split
---@field name "by_time"|"leave_last_out"|"random"|"given"
---@field protocol "by_time"|"leave_last_out"|"per_user"  how held-out rows are asked: docs/evaluation.md
---@field causal boolean    no training row is later than a held-out one, whatever the user
---@field ties "strict"|"order"  whether a history knows events of the same moment: never, or those that stand before
---@field history_log Tensor?  rows that histories may know; nil: all (the earlier ones of each)
---@field train Tensor      i64, 0-based
---@field valid Tensor      i64, 0-based; may be empty
---@field n_test integer    how many are sealed
---@field state "selection"|"final"
---@field openings string[] the reasons for which the test rows were opened
local Split = { __name = "recsys.Split" }

local sealed = setmetatable({}, { __mode = "k" }) -- split -> test rows, out of reach of fields

local function saved(self)
  local copy = { sealed = sealed[self] }
  for key, value in pairs(self) do copy[key] = value end
  return copy
end

store.class("recsys.data.split", Split, saved, function(value)
  local test = value.sealed
  value.sealed = nil
  local self = setmetatable(value, Split)
  sealed[self] = test
  return self
end)

function Split.__index(_, key)
  if key == "test" then
    error("the test rows are sealed: split:open_test(reason) gives them, once split:end_selection(reason) was called",
      2)
  end
  return Split[key]
end

local function new(fields, test)
  local held_out = #fields.valid + #test
  if #fields.train == 0 and held_out > 0 then
    error({ code = "format", message = ("split %s leaves nothing to train on: all %s rows are held out%s"):format(
      fields.name, text.count(held_out), fields.causal and "; events of one moment stay together" or "") }, 0)
  end
  fields.n_test, fields.state, fields.openings = #test, "selection", {}
  local self = setmetatable(fields, Split)
  sealed[self] = test
  log.note("split %s: %d train, %d valid, %d test rows", self.name, #self.train, #self.valid, #test)
  return self
end

--- The split without its test rows: what training, early stopping and tuning are given.
---@return Split
function Split:selection()
  local copy = {}
  for key, value in pairs(self) do copy[key] = value end
  copy.state, copy.openings = "selection", {}
  return setmetatable(copy, Split)
end

--- Say that training and selection are over; logged.
---@param reason string  what was settled: "two_tower trained, epoch 7 kept"
function Split:end_selection(reason)
  if type(reason) ~= "string" then error("bad argument #1 to 'end_selection' (a reason is expected)", 2) end
  current.forbid "asks its test rows"
  if not sealed[self] then error("this split was made for selection: it has no test rows to end with", 2) end
  self.state = "final"
  log.note("selection is over: %s", reason)
end

--- Refuse test rows that are in another part of the split, too, as a part that was changed by hand may have them.
local function check_apart(self, test)
  for _, name in ipairs { "train", "valid" } do
    local all = tensor.concat { self[name]:unique(), test }
    if #test > 0 and #all:unique() < #all then
      local twice = self[name]:index_select(self[name]:sort():search_sorted(test):clamp(0, #self[name] - 1))
      local row = test:get(twice:eq(test):nonzero():get(1) + 1)
      error({ code = "leak", message = ("row %d of the interactions is a test row and among the split's %s rows, too: "
        .. "what is measured on it is no test"):format(row + 1, name == "train" and "training" or "validation") }, 0)
    end
  end
end

--- The test rows, for the final evaluation; logged. Raises while selection goes on.
---@param reason? string  default "final evaluation"
---@return Tensor rows  i64, 0-based
function Split:open_test(reason)
  reason = reason or "final evaluation"
  current.forbid "asks its test rows" -- of a split that another run has ended selection on, too
  if self.state ~= "final" or not sealed[self] then
    log.note("refused to open the test split: %s", reason)
    error("Selection code cannot open the test split before the final evaluation (split:end_selection(reason) ends "
      .. "the selection): enforced and logged", 2)
  end
  check_apart(self, sealed[self])
  self.openings[#self.openings + 1] = reason
  log.note("the test split is opened, time %d: %s", #self.openings, reason)
  return sealed[self]
end

function Split:__tostring()
  return ("split %s: %s train, %s valid, %s test (%s)"):format(self.name, text.count(#self.train),
    text.count(#self.valid), text.count(self.n_test), self.state == "final" and "open" or "sealed")
end

-- Makers ------------------------------------------------------------------------------------------------------------

local none = function() return tensor.zeros(0, "i64") end

local function check_share(options, name, maker)
  local share = options[name] or 0
  if type(share) ~= "number" or not (share >= 0 and share < 1) then
    error(("bad argument #2 to '%s' (%s must be a share from 0 to below 1, not %s)"):format(maker, name,
      tostring(options[name])), 3)
  end
  return share
end

local function check_options(options, known, maker)
  if type(options) ~= "table" then
    error(("bad argument #2 to '%s' (a table of options expected, not a %s)"):format(maker, type(options)), 3)
  end
  for key in pairs(options) do
    if not known[key] then error(("bad argument #2 to '%s' (there is no option '%s')"):format(maker, key), 3) end
  end
end

local function shares(options, maker, known)
  check_options(options, known, maker)
  local valid, test = check_share(options, "valid", maker), check_share(options, "test", maker)
  if valid + test >= 1 then
    error(("bad argument #2 to '%s' (valid + test leave nothing to train on)"):format(maker), 3)
  end
  return valid, test
end

--- How many of n rows come before the last 'share' of them.
local function before_last(n, share)
  return math.floor(n * (1 - share) + 1e-9)
end

--- The first row, from 0, that has the same time as row 'at': what happens at one moment stays together.
local function first_of_moment(times, at)
  if at >= #times then return #times end
  return times:search_sorted(times:narrow(1, at + 1, 1)):get(1)
end

local function range(from, to) return tensor.arange(from, to, "i64") end

--- By time: the last share `test` of the interactions is the test, the share `valid` before it the validation. Moments
--- are not divided, so that training is strictly earlier than validation, and that than the test.
---@param dataset Dataset
---@param options { valid: number?, test: number? }  shares, default 0
---@return Split
function split.by_time(dataset, options)
  local valid, test = shares(options, "by_time", { valid = true, test = true })
  local times = dataset.interactions:column "time"
  local n = #times
  local test_from = first_of_moment(times, before_last(n, test))
  local valid_from = math.min(test_from, first_of_moment(times, before_last(n, valid + test)))
  return new({ name = "by_time", protocol = "by_time", causal = true, ties = "strict",
    train = range(0, valid_from), valid = range(valid_from, test_from) }, range(test_from, n))
end

--- The last of each user's among 'rows', where he has two of them or more; rising. 'users': the user code of every row.
local function last_rows(users, rows)
  if #rows == 0 then return none() end
  local own = users:index_select(rows)
  local counts = own:bincount()
  local last = tensor.zeros(#counts, "i64"):index_copy_(own, rows) -- of equal users the last stays
  return last:index_select(counts:ge(2):nonzero()):sort()
end

--- The rows of 0 .. n-1 that are not among 'taken', rising.
local function others(n, taken)
  return tensor.full(1, n, "u8"):index_copy_(taken, tensor.zeros(#taken, "u8")):nonzero()
end

--- Each user's last interaction is the test, his second-last the validation; the stable order of the interactions
--- decides between equal times. At least one interaction of each user stays for training: users with two have no
--- validation row, users with one no test row either.
---@param dataset Dataset
---@param options? { valid: boolean? }  default true
---@return Split
function split.leave_last_out(dataset, options)
  options = options or {}
  check_options(options, { valid = true }, "leave_last_out")
  local n, users = dataset.interactions:rows(), (dataset.interactions:column "user")
  local test = last_rows(users, range(0, n))
  local rest = others(n, test)
  local valid = options.valid ~= false and last_rows(users, rest) or none()
  return new({ name = "leave_last_out", protocol = "leave_last_out", causal = false, ties = "order",
    train = #valid > 0 and others(n, tensor.concat { test, valid }) or rest, valid = valid }, test)
end

--- At random: each interaction falls in one part, whatever its user and time. Histories know training rows alone.
---@param dataset Dataset
---@param options { valid: number?, test: number?, seed: integer? }  shares, default 0; seed 0
---@return Split
function split.random(dataset, options)
  local valid, test = shares(options, "random", { valid = true, test = true, seed = true })
  local n = dataset.interactions:rows()
  local order = base.stream(options.seed or 0, "split"):permutation(n)
  local test_from, valid_from = before_last(n, test), before_last(n, valid + test)
  local function part(from, to) return order:narrow(1, from + 1, to - from):sort() end
  local train = part(0, valid_from)
  return new({ name = "random", protocol = "per_user", causal = false, ties = "strict", history_log = train,
    train = train, valid = part(valid_from, test_from) }, part(test_from, n))
end

--- The frame of a part of a given split: a frame as it is, or a file of the dataset's folder.
local function given_frame(dataset, part)
  if type(part) == "userdata" then return part end
  if type(part) ~= "string" then
    error(("bad argument #2 to 'given' (a part is a frame or the name of a file, not a %s)"):format(type(part)), 0)
  end
  local origin = dataset.origin
  local known, source = pcall(require, "recsys.data." .. tostring(origin.source))
  if not known or not source.read_interactions then
    error(("the files of source '%s' cannot be read as parts of a split: give frames"):format(
      tostring(origin.source)), 0)
  end
  local path = part:find "^/" and part or origin.dir .. "/" .. part
  local f, message, code = source.read_interactions(path, origin.layout)
  if not f then error({ message = message, code = code }, 0) end
  return f
end

--- The rows of the interactions that a part lists.
local function given_rows(dataset, part, name)
  if part == nil then return none() end
  local f = given_frame(dataset, part)
  local keys = { "user", "item" }
  if f:has "time" then keys[3] = "time" end
  local rows = f:lookup(dataset.interactions, keys):unique()
  if #rows > 0 and rows:get(1) < 0 then
    local found = f:lookup(dataset.interactions, keys):ge(0):nonzero()
    error({ code = "format", message = ("the %s part has %d rows that are not among the dataset's interactions; was "
      .. "it cleaned or made from other files?"):format(name, f:rows() - #found) }, 0)
  end
  return rows
end

--- As given: parts made by somebody else, as frames with user, item and perhaps time, or as files of the dataset's
--- folder ("u1.base"). A row in two parts is refused.
---@param dataset Dataset
---@param parts { train: Frame|string, test: Frame|string, valid: Frame|string?, ties: "strict"|"order"? }
---   ties: what a history knows of training rows of its own moment: none (the default), or those that stand before it
---@return Split
function split.given(dataset, parts)
  check_options(parts, { train = true, valid = true, test = true, ties = true }, "given")
  if parts.ties and parts.ties ~= "strict" and parts.ties ~= "order" then
    error(("bad argument #2 to 'given' (ties must be strict or order, not '%s')"):format(tostring(parts.ties)), 2)
  end
  if parts.train == nil then error("bad argument #2 to 'given' (there is no part 'train')", 2) end
  local train = given_rows(dataset, parts.train, "training")
  local valid, test = given_rows(dataset, parts.valid, "validation"), given_rows(dataset, parts.test, "test")
  local all = tensor.concat { train, valid, test }
  if #all:unique() < #all then
    error({ code = "format", message = "an interaction is in two parts of the given split" }, 0)
  end
  return new({ name = "given", protocol = "per_user", causal = false, ties = parts.ties or "strict",
    history_log = train, train = train, valid = valid }, test)
end

return split
