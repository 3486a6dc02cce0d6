--- Checkpoints: what training needs to go on with the same bits after a kill at any moment (docs/training.md).
---
--- In the folder lie `point-N/` (weights, optimiser, place, curves) and `best-N/` (the weights of the best epoch), each
--- written once by recsys.store, and `current.lua`, which names the two that belong together. It is replaced atomically
--- after they are on the disk, and only then the older ones go: there is one whole checkpoint at any moment, and never
--- more than two of each. All is by parameter and global row, nothing by thread.

local base = require("recsys.core").base
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local resume = require "recsys.resume"
local store = require "recsys.store"

local checkpoint = {}

local Checkpoint = {}
Checkpoint.__index = Checkpoint

local listener = function() end -- is told of every checkpoint

local SHARE <const> = 20 -- writing takes at most a twentieth of the time

-- What must be equal for a checkpoint to fit -------------------------------------------------------------------------

local function hash_of_tensors(tensors)
  local names, parts = {}, {}
  for name in pairs(tensors) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(names) do parts[i] = tostring(name) .. frame.hash(tensors[name]) end
  return frame.hash(table.concat(parts, "\n"))
end

local function hash_of_encoder(encoder)
  local saved = encoder:save()
  return frame.hash(saved.json .. hash_of_tensors(saved.tensors))
end

--- The text of the file that a function stands in; "" when it stands in none.
local function source_of(definition)
  local info = debug.getinfo(definition, "S")
  return info.source:find "^@" and files.read(info.source:sub(2)) or ""
end

local function shapes(parameters)
  local lines = {}
  for i, parameter in ipairs(parameters) do lines[i] = tostring(parameter) end
  return table.concat(lines, "\n")
end

local function hash_of_rows(source)
  return source and hash_of_tensors { users = source.user_rows, items = source.item_rows, times = source.times,
    strengths = source.strengths, weights = source.weights } or ""
end

--- What a job is made of: name -> hash.
---@param request table  train.fit's
---@param run table      network, source, held_out, settings
function checkpoint.fingerprint(definition, request, run)
  local settings = {}
  for name, value in pairs(run.settings) do
    if type(value) ~= "function" and name ~= "checkpoint" then settings[name] = value end
  end
  return {
    ["the data"] = frame.hash(request.data.fingerprint .. hash_of_rows(run.source) .. hash_of_rows(run.held_out)),
    ["the features"] = hash_of_encoder(request.encoder),
    ["the code in the model's file"] = frame.hash(source_of(definition)),
    ["the model's parameters"] = frame.hash(store.text(request.config) .. shapes(run.network.parameters)),
    ["the training's parameters"] = frame.hash(store.text { settings = settings, metric = request.metric,
      window = request.window }),
  }
end

local function differing(a, b)
  local names = {}
  for name, hash in pairs(a) do
    if b[name] ~= hash then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Reading ------------------------------------------------------------------------------------------------------------

local function read_head(folder)
  local bytes = files.read(folder .. "/current.lua")
  local chunk = bytes and load(bytes, "@" .. folder .. "/current.lua", "t", {})
  local ok, head = pcall(chunk or error)
  return ok and type(head) == "table" and head or nil
end

--- Say that what lies there is of no use: where the run was asked for by name, that is an error.
local function refuse(self, why)
  if self.named then
    exit.usage_error("the checkpoint in %s does not fit: %s. Without --resume the run begins anew", self.folder, why)
  end
  log.warn("the checkpoint in %s is left out: %s", self.folder, why)
end

local function fits(self, head)
  local names = differing(head.fingerprint, self.fingerprint())
  if #names == 0 then return true end
  refuse(self, "it was written with another state of " .. table.concat(names, " and "))
end

--- What was saved last: the state of checkpoint.write with `best`. nil, said why, when there is nothing that fits.
function Checkpoint:read()
  if not self.resumed then return nil end
  local head = read_head(self.folder)
  if not head then
    log.info("  no checkpoint was written yet: training begins anew")
    return nil
  end
  if not fits(self, head) then return nil end
  local ok, state = exit.try(store.load, ("%s/%s"):format(self.folder, head.point))
  local best_ok, best = true, nil
  if head.best then best_ok, best = exit.try(store.load, ("%s/%s"):format(self.folder, head.best)) end
  if not (ok and best_ok) then
    return refuse(self, "it cannot be read: " .. exit.message_of(not ok and state or best))
  end
  state.best, state.weights = best, state.weights or best
  self.number, self.best, self.best_of = head.number, head.best, head.best_of
  return state
end

-- Writing ------------------------------------------------------------------------------------------------------------

--- Remove what the head does not name: older checkpoints, and parts of one that a kill has left.
local function prune(folder, head)
  for name in lfs.dir(folder) do
    if not name:find "^%.+$" and name ~= "current.lua" and name ~= head.point and name ~= head.best then
      resume.remove(folder .. "/" .. name)
    end
  end
end

local function write(self, state)
  files.make_folder(self.folder)
  files.settle()
  local track = package.loaded["recsys.track"]
  if track then track.flush() end -- who goes on from here logs nothing again
  local number, best_of = self.number + 1, state.place.best_epoch
  local best = self.best
  if best_of ~= self.best_of then
    best = ("best-%d"):format(number)
    store.save(("%s/%s"):format(self.folder, best), state.best)
  end
  local point = ("point-%d"):format(number)
  store.save(("%s/%s"):format(self.folder, point), { place = state.place, optimizer = state.optimizer,
    extra = state.extra, weights = not state.at_best and state.weights or nil })
  local head = { number = number, point = point, best = best, best_of = best_of, fingerprint = self.fingerprint() }
  files.write(self.folder .. "/current.lua", "return " .. store.text(head))
  self.number, self.best, self.best_of = number, best, best_of
  prune(self.folder, head)
  listener(self.folder)
end

--- From here on call fn(folder) whenever a checkpoint was written, for who keeps it in another place, too. What it
--- raises ends the training as a checkpoint that cannot be written does; its time counts as that of writing.
---@param fn fun(folder: string)
function checkpoint.listen(fn) listener = fn end

--- Put a state on the disk in place of the one before. Raises { code = "io" } when the disk refuses; the one before
--- stays then.
---@param state { place: table, weights: Tensor[], best?: Tensor[], optimizer: table<string, Tensor>, extra: any,
---   at_best: boolean }
---   place: plain values: where training stands; its best_epoch says whose weights `best` are
---   extra: what the model itself keeps; at_best: the weights are the best ones
function Checkpoint:write(state)
  local began = base.clock()
  local ok, problem = pcall(write, self, state)
  if not ok then
    local head = files.exists(self.folder) and read_head(self.folder)
    if files.exists(self.folder) then pcall(prune, self.folder, head or {}) end
    if type(problem) == "table" and problem.signal then error(problem, 0) end
    error({ code = type(problem) == "table" and problem.code or "io",
      message = ("the checkpoint cannot be written: %s. Make room there and go on by --resume%s, or train without "
        .. "checkpoints (train.checkpoint = 0)"):format(exit.message_of(problem), self.run and " " .. self.run or "")
    }, 0)
  end
  self.written, self.spent = base.clock(), base.clock() - began
  log.note("checkpoint %d: epoch %d, step %d, written in %.3f s", self.number, state.place.epoch, state.place.step,
    self.spent)
end

--- Whether it is time for one: at the end of an epoch always, inside one after so many seconds; but never so soon
--- that writing them would take more than its share of the time.
---@param at_end boolean
function Checkpoint:is_due(at_end)
  return base.clock() - self.written >= math.max(at_end and 0 or self.seconds, SHARE * self.spent)
end

--- Begin to keep checkpoints.
---@param place { folder: string, run?: string, resumed?: boolean, named?: boolean }  see flow.kept
---@param seconds number  between two
---@param fingerprint fun(): table<string, string>   what must be equal for a checkpoint to fit
---@return Checkpoint
function checkpoint.new(place, seconds, fingerprint)
  local known
  local function remembered()
    known = known or fingerprint()
    return known
  end
  return setmetatable({ folder = place.folder, run = place.run, resumed = place.resumed, named = place.named,
    seconds = seconds, number = 0, written = base.clock(), spent = 0, fingerprint = remembered }, Checkpoint)
end

return checkpoint
