--- The store of a run that is logged to an MLflow server: what recsys.track.run asks of a store, over REST.
---
--- Every operation goes to the spool first (track/spool.lua) and from there to the server, in order: while the server
--- is away runs go on, and what waits is sent later. Metrics, parameters and tags of consecutive operations travel
--- together, within MLflow's limits. Nothing is there twice: sending again what the server has changes nothing, and
--- before a run is made again it is looked for by its tag `recsys.logged_as`.
---
--- The program waits for no answer: what is sent is sent beside it (recsys.track.wire), a step at a time when something
--- is logged or told, and takes about 1 % of the time: after a step that took t the next one comes 100 t later, or 2
--- seconds; after a request without an answer, 1, 2, 4, ... 64 seconds later. Only the end of a run waits for the
--- server, for 10 seconds, and a second longer for each MiB of files while they are on their way.
---
--- What earlier processes left is sent before our own: a run that is gone on with may be among it. A request that the
--- server answers by 500 again and again, while it answers others, is kept aside like one that it refuses.

local base = require("recsys.core").base
local exit = require "recsys.exit"
local json = require "recsys.json"
local log = require "recsys.log"
local names = require "recsys.track.names"
local process = require "recsys.track.process"
local registered = require "recsys.track.registered"
local source = require "recsys.track.source"
local spool = require "recsys.track.spool"
local store = require "recsys.track.store"
local uv = require "luv"
local wire = require "recsys.track.wire"
local words = require "recsys.track.words"

-- Seconds that the end of a run waits; bytes of a spool; attempts at what the server answers by 500.
local remote = { patience = 10, longest = 1 << 23, attempts = 3 }

local Remote = { __name = "recsys.RemoteStore" }
Remote.__index = Remote

local TAG <const> = "recsys.logged_as"
local AHEAD <const> = 1000   -- operations read at once
local BYTES <const> = 900000 -- of one request; MLflow takes a million
local STEP <const>, LONGEST <const> = 0.002, 2 -- seconds between two steps

local function is_away(code) return code == "away" or code == "denied" end

--- Whether a later attempt may do: "behind" is what waits for another spool.
local function is_waiting(code) return is_away(code) or code == "broken" or code == "behind" end

-- Sending one operation: true, or nil, message, code ------------------------------------------------------------------

--- The id of the experiment of that name on the server, which is made when there is none.
local function experiment_id(self, name)
  if self.experiments[name] then return self.experiments[name] end
  local answer, message, code = self.wire:call("GET", "experiments/get-by-name", { experiment_name = name })
  local id = answer and answer.experiment and answer.experiment.experiment_id
  if code == "RESOURCE_DOES_NOT_EXIST" then
    local made
    made, message, code = self.wire:call("POST", "experiments/create", { name = name })
    if code == "RESOURCE_ALREADY_EXISTS" then return experiment_id(self, name) end -- somebody was faster
    id = made and made.experiment_id
  end
  self.experiments[name] = id
  return id, message, code
end

--- A run of ours that the server has already: it answered, and nobody heard.
local function made_before(self, experiments, id)
  local answer, message, code = self.wire:call("POST", "runs/search", { experiment_ids = experiments,
    filter = ("tags.`%s` = '%s'"):format(TAG, id), run_view_type = "ALL", max_results = 1 })
  if not answer then return nil, message, code end
  return answer.runs and answer.runs[1] or false
end

local sending = {}

--- The server's id of a run that was logged under ours; an id that is not ours is the server's own.
local function server_id(s, id) return s.state.ids[id] or id end

local function note(s, id, run)
  s.state.ids[id], s.state.uris[id], s.state.open[id] = run.info.run_id, run.info.artifact_uri, id
end

--- Ask the server to make the run.
local function make(self, s, op, experiment)
  s.state.attempted = op.id
  s:save()
  local request, tags = op.request, { { key = TAG, value = op.id } }
  for _, tag in ipairs(request.tags) do
    local parent = tag.key == "mlflow.parentRunId" and server_id(s, tag.value)
    tags[#tags + 1] = { key = tag.key, value = parent or tag.value }
  end
  local answer, message, code = self.wire:call("POST", "runs/create", { experiment_id = experiment, tags = tags,
    user_id = request.user_id, run_name = request.run_name, start_time = request.start_time })
  return answer and answer.run, message, code
end

local function experiment_of(self, op)
  if op.experiment then return op.experiment end
  return experiment_id(self, op.experiment_name)
end

function sending.create(self, s, op)
  local experiment, problem, kind = experiment_of(self, op)
  if not experiment then return nil, problem, kind end
  local run, message, code = false, nil, nil
  if s.state.attempted == op.id or s.orphan then run, message, code = made_before(self, { experiment }, op.id) end
  if run == false then run, message, code = make(self, s, op, experiment) end
  if not run then return nil, message, code or "format" end
  note(s, op.id, run)
  return true
end

local function all_experiments(self)
  local ids, token = {}, nil
  repeat
    local answer, message, code = self.wire:call("POST", "experiments/search",
      { max_results = 1000, view_type = "ALL", page_token = token })
    if not answer then return nil, message, code end
    for _, experiment in ipairs(answer.experiments or {}) do ids[#ids + 1] = experiment.experiment_id end
    token = answer.next_page_token
  until not token or token == ""
  return ids
end

--- Make a run that an earlier process began and of which the server knows nothing, unless that is still to be sent.
local function make_adopted(self, s, op)
  if spool.is_elsewhere(self.folder, s, "create", op.id) then
    self.behind = true
    return nil, "what an earlier process logged is not there yet", "behind"
  end
  op.request = op.request or { tags = {} }
  return sending.create(self, s, op)
end

--- What the server has of a run that another process of ours has begun, whatever it calls it; false: nothing.
local function begun_elsewhere(self, id)
  local answer, message, code = self.wire:call("GET", "runs/get", { run_id = id })
  if code ~= "RESOURCE_DOES_NOT_EXIST" then return answer and answer.run, message, code end
  local experiments
  experiments, message, code = all_experiments(self)
  if not experiments then return nil, message, code end
  return made_before(self, experiments, id)
end

--- Find what the server calls a run that an earlier process began.
function sending.adopt(self, s, op)
  local run, message, code = begun_elsewhere(self, op.id)
  if run == false then return make_adopted(self, s, op) end
  if not run then return nil, message or "there is no such run", code or "RESOURCE_DOES_NOT_EXIST" end
  note(s, op.id, run)
  return true
end

--- Find what the server calls a run that another process of ours has begun, and will end.
function sending.join(self, s, op)
  local run, message, code = begun_elsewhere(self, op.id)
  if run == false and spool.is_elsewhere(self.folder, s, "create", op.id) then
    self.behind = true
    return nil, "the run that a task belongs to is not there yet", "behind"
  end
  if not run then return nil, message or "there is no such run", code or "RESOURCE_DOES_NOT_EXIST" end
  note(s, op.id, run)
  s.state.open[op.id] = nil -- whoever has begun it ends it
  return true
end

--- A list, left out when it is empty: an empty table would be written as an object, which MLflow refuses.
local function filled(list) return list and list[1] ~= nil and list or nil end

function sending.log(self, s, op)
  return self.wire:call("POST", "runs/log-batch", { run_id = server_id(s, op.id), metrics = filled(op.metrics),
    params = filled(op.params), tags = filled(op.tags) })
end

function sending.update(self, s, op)
  local ok, message, code = self.wire:call("POST", "runs/update", { run_id = server_id(s, op.id), status = op.status,
    end_time = op.end_time, run_name = op.run_name })
  if ok and op.status and op.status ~= "RUNNING" then s.state.open[op.id] = nil end
  return ok, message, code
end

function sending.inputs(self, s, op)
  for _, input in ipairs(op.datasets) do input.tags = filled(input.tags) end
  return self.wire:call("POST", "runs/log-inputs", { run_id = server_id(s, op.id), datasets = op.datasets })
end

function sending.artifact(self, s, op)
  local uri = s.state.uris[op.id]
  if not uri then return nil, "the run is not known to the server", "RESOURCE_DOES_NOT_EXIST" end
  if not uv.fs_stat(op.file) then return nil, op.file .. " is gone; the server may have it", "io" end
  local ok, message, code = self.wire:put_file(uri .. "/" .. op.path, op.file)
  if ok then uv.fs_unlink(op.file) end
  return ok or nil, message, code
end

function sending.register(self, s, op)
  local uri = s.state.uris[op.id]
  if not uri then return nil, "the run is not known to the server", "RESOURCE_DOES_NOT_EXIST" end
  return registered.publish(self.wire, { name = op.name, run_id = server_id(s, op.id), tags = filled(op.tags),
    source = uri .. "/" .. op.path })
end

function sending.open() return true end

-- Batches -------------------------------------------------------------------------------------------------------------

local function bytes_of(op)
  local n = 0
  for _, metric in ipairs(op.metrics or {}) do n = n + #metric.key + 100 end
  for _, list in ipairs { op.params or {}, op.tags or {} } do
    for _, pair in ipairs(list) do n = n + #pair.key + 2 * #pair.value + 40 end
  end
  return n
end

--- A step, which the spool has as a text, as a number where JSON's numbers are exact.
local function step_to_send(text)
  local step = math.tointeger(tonumber(text)) or 0
  return step > -2^53 and step < 2^53 and step or text
end

--- An operation as it was read, a single metric as a log of one.
local function as_log(op)
  if op.op ~= "metric" then return op end
  return { op = "log", id = op.id, at = op.at, params = {}, tags = {},
    metrics = { { key = op.key, value = op.value, timestamp = op.timestamp, step = step_to_send(op.step) } } }
end

--- Whether 'op' may travel with what is in the batch: within the limits, and no parameter twice.
local function fits(batch, op)
  local limits, bytes = names.limits, bytes_of(op)
  local m, p, t = #batch.metrics + #op.metrics, #batch.params + #op.params, #batch.tags + #op.tags
  if m > limits.batch_metrics or p > limits.batch_params or t > limits.batch_tags or m + p + t > limits.batch
    or batch.bytes + bytes > BYTES then
    return false
  end
  for _, param in ipairs(op.params) do
    if batch.has[param.key] then return false end
  end
  return true
end

local function include(batch, op)
  table.move(op.metrics, 1, #op.metrics, #batch.metrics + 1, batch.metrics)
  table.move(op.params, 1, #op.params, #batch.params + 1, batch.params)
  for _, param in ipairs(op.params) do batch.has[param.key] = true end
  for _, tag in ipairs(op.tags) do -- the last value of a tag counts
    local at = #batch.tags + 1
    for i, old in ipairs(batch.tags) do
      if old.key == tag.key then at = i end
    end
    batch.tags[at] = tag
  end
  batch.bytes, batch.at = batch.bytes + bytes_of(op), op.at
end

--- What the operations list[i], ... are sent as: one, or for a log as many of its run as fit; and the next i.
local function next_batch(list, i)
  local op = list[i]
  if op.op ~= "log" then return op, i + 1 end
  local batch = { op = "log", id = op.id, metrics = {}, params = {}, tags = {}, has = {}, bytes = 0, single = i }
  repeat
    include(batch, list[i])
    i = i + 1
  until not list[i] or list[i].op ~= "log" or list[i].id ~= op.id or not fits(batch, list[i])
  return batch, i
end

-- The spool's end -----------------------------------------------------------------------------------------------------

--- Whether the server has answered by 500 at this place of the spool so often that the request is at fault: it answers
--- another one.
local function is_hopeless(self, s, code)
  if code ~= "broken" then return false end
  local failed = s.state.failed or {}
  local n = failed.at == s.state.offset and math.tointeger(failed.n) or 0
  s.state.failed = { at = s.state.offset, n = n + 1 }
  s:save()
  return n + 1 >= remote.attempts and self.wire:call("POST", "experiments/search", { max_results = 1 }) ~= nil
end

--- Send an operation that the server may refuse for good: then people are told, and it is kept aside.
local function send(self, s, op)
  local known = sending[op.op]
  if not known then return true end
  local ok, message, code = known(self, s, op)
  if ok then return true end
  if is_waiting(code) and not is_hopeless(self, s, code) then return nil, message, code end
  log.warn("the tracking server refuses: %s (kept in %s.refused)", message, s.name)
  s:refuse(op, message)
  return true
end

--- Send a batch of list[first] .. list[last]. When the server refuses it they are sent one by one from then on, so that
--- what the server minds does not take others with it.
local function send_batch(self, s, batch, list, first, last)
  local ok, message, code = sending.log(self, s, batch)
  if ok or is_waiting(code) and not is_hopeless(self, s, code) then return ok, message, code end
  s.state.singly, s.state.failed = list[last].at, nil
  for i = first, last do
    ok, message, code = send(self, s, list[i])
    if not ok then return nil, message, code end
    s:advance(list[i].at)
  end
  return true
end

--- Send what a spool holds by now. True when all is sent, else nil, message, code.
local function drain(self, s)
  local goal = s.size
  while s.state.offset < goal do
    local list = s:pending(AHEAD)
    for i, op in ipairs(list) do list[i] = as_log(op) end
    if #list == 0 then return true end -- what is left is a line that was cut short
    local i = 1
    while i <= #list do
      local batch, following = next_batch(list, i)
      if list[i].at <= (s.state.singly or 0) then batch, following = list[i], i + 1 end
      local ok, message, code
      if following - i > 1 then
        ok, message, code = send_batch(self, s, batch, list, i, following - 1)
      else
        ok, message, code = send(self, s, batch)
      end
      if not ok then return nil, message, code end
      s:advance(list[following - 1].at)
      i = following
    end
  end
  return true
end

--- The time of a run's last metric; nil where there is none.
local function last_time(self, id)
  local answer = self.wire:call("GET", "runs/get", { run_id = id })
  local last
  for _, metric in ipairs(answer and answer.run and answer.run.data and answer.run.data.metrics or {}) do
    last = math.max(last or 0, math.tointeger(tonumber(metric.timestamp)) or 0)
  end
  return last
end

--- Runs of a process that is gone are over, but for those that another has gone on with.
local function end_runs(self, s)
  for id in pairs(s.state.open) do
    if not spool.is_elsewhere(self.folder, s, "adopt", id) then
      local ok, message, code = sending.update(self, s, { id = id, status = "KILLED",
        end_time = last_time(self, server_id(s, id)) })
      if not ok and is_waiting(code) then return nil, message, code end
    end
  end
  return true
end

local function close_all(list)
  for _, s in ipairs(list) do s:close() end
end

--- Send what processes that are gone have left for this server.
---@return integer sent    spools that are done
---@return integer left    spools that still wait
---@return string? message why the server cannot be reached
---@return string? code
---@return boolean broken  whether it answered any by 500
function Remote:replay()
  local gone = self.gone -- more may go while these are sent
  local list <close> = setmetatable(spool.left(self.folder, self.address), { __close = close_all })
  local sent, message, code, broken = 0, nil, nil, false
  for _, s in ipairs(list) do
    local ok
    ok, message, code = drain(self, s)
    if ok then ok, message, code = end_runs(self, s) end
    if is_away(code) then break end
    broken = broken or code == "broken"
    if ok then
      s:remove()
      sent = sent + 1
    end
  end
  self.behind = self.gone > gone or sent < #list
  return sent, #list - sent, is_away(code) and message or nil, code, broken
end

--- The same, with patience for what the server answers by 500, until that is kept aside.
---@param seconds number  at the most
---@return integer sent
---@return integer left
function Remote:replay_all(seconds)
  local deadline, sent, pause = base.clock() + seconds, 0, 100
  while true do
    local more, left, _, _, broken = self:replay()
    sent = sent + more
    if left == 0 or not broken or base.clock() > deadline then return sent, left end
    uv.sleep(pause)
    pause = math.min(2 * pause, 1000)
  end
end

--- Send what others have left, where that is not done, and what our spool holds by now.
local function send_all(self)
  if self.behind then
    local _, _, message, code = self:replay()
    if message then return nil, message, code end
  end
  return drain(self, self.spool)
end

--- A new file in place of one that has become long and that the server has followed to its end.
local function renew(self)
  local old = self.spool
  if not old:is_sent() or old.size < remote.longest then return end
  self.spool = spool.create(self.folder, self.address)
  self.spool.state.ids, self.spool.state.uris, self.spool.state.open = old.state.ids, old.state.uris, old.state.open
  self.spool:save()
  old:remove()
end

--- The server could not be reached: people are told once, and it is left alone for a while.
local function postpone(self, message)
  if not self.away then
    log.warn("the tracking server %s: %s; what is logged waits in %s.jsonl", self.address, message, self.spool.name)
  end
  self.away, self.failures = true, self.failures + 1
  self.next_time = base.clock() + math.min(64, 1 << math.min(self.failures - 1, 6))
end

--- What was sent has arrived.
local function resume(self)
  if self.away then log.info("the tracking server %s is there again", self.address) end
  self.away, self.failures = false, 0
  renew(self)
end

--- Go on with sending for a moment.
---@param ms integer  how long to wait for an answer
local function step(self, ms)
  local began = base.clock()
  if not self.wire:is_busy() then self.wire:beside(send_all, self) end
  local ok, done, sent, message = pcall(self.wire.step, self.wire, ms)
  local now = base.clock()
  self.next_time = now + math.min(math.max(100 * (now - began), STEP), LONGEST)
  if not ok then
    if type(done) == "table" and done.signal then error(done, 0) end
    postpone(self, exit.message_of(done))
  elseif done and sent then
    resume(self)
  elseif done then
    postpone(self, message)
  end
end

--- Send what waits, when it is time to, without waiting for an answer.
function Remote:pump()
  if self.spool and not self.spool:is_sent() and base.clock() >= self.next_time then step(self, 0) end
end

--- Send what waits, and wait for the server, unless it does not answer.
---@param seconds number  at the most
---@return boolean sent   all of it
function Remote:push(seconds)
  local deadline, failures = base.clock() + seconds, self.failures
  repeat step(self, 100)
  until self.spool:is_sent() and not self.wire:is_busy() or self.failures > failures or base.clock() > deadline
  return self.spool:is_sent()
end

--- Send what waits, and wait for the server for a while.
local function push_out(self)
  self.wire:abandon() -- a request under way is none any more where the state of Lua is being closed
  local deadline, pause = base.clock() + remote.patience, 100
  while not self:push(remote.patience + self.spool:file_bytes() / 2^20) and base.clock() < deadline do
    uv.sleep(pause)
    pause = math.min(2 * pause, 2000)
  end
  if not self.spool:is_sent() then
    log.warn("what was logged waits in %s.jsonl; `recsys-run runs push` sends it to %s later", self.spool.name,
      self.address)
  end
end

-- What runs ask of a store --------------------------------------------------------------------------------------------

--- The store of a server. What earlier processes left for it is sent first, if it is there.
---@param address string   "http://host:5000"
---@param folder? string   where the spool lies, default "artifacts"
---@param options? { timeout_ms?: integer, later?: boolean }  later: send nothing yet
---@return RemoteStore
function remote.open(address, folder, options)
  folder = folder or "artifacts"
  local self = setmetatable({ wire = wire.open(address, options), address = (address:gsub("/+$", "")), folder = folder,
    path = (address:gsub("/+$", "")),
    experiments = {}, begun = {}, next_time = 0, failures = 0, running = 0, lost = 0, gone = 0,
    quoted = {} }, Remote)
  if not (options and options.later) then self:replay() end
  return self
end

local function spool_of(self)
  if not self.spool then
    self.spool = spool.create(self.folder, self.address)
    if self.joining then self.spool:write(json.encode { op = "join", id = self.joining }) end
  end
  return self.spool
end

--- Log into a run that another process has begun and will end; what is not sent by the end of this one, that one sends.
---@param id string
function Remote:join(id) self.joining = id end

--- Processes that have joined a run of ours are gone: what they have left is ours to send.
function Remote:gather() self.behind, self.gathers, self.gone = true, true, self.gone + 1 end

local function add(self, operation) spool_of(self):append(operation) end

--- The experiment of that name, which is made when there is none: its id, or while the server is away "name:NAME".
function Remote:ensure_experiment(name)
  names.experiment(name)
  local id, message, code = experiment_id(self, name)
  if id then return id end
  if not is_waiting(code) then error({ code = code, message = message }, 0) end
  return "name:" .. name
end

--- Tags without those that are of use in a local store alone.
local function tags_to_send(tags)
  local list = {}
  for _, tag in ipairs(tags or {}) do
    if tag.key ~= process.tag then list[#list + 1] = { key = tag.key, value = tag.value } end
  end
  return list
end

--- Make a run. While the server is away it has an id of ours, under which it is known from then on.
function Remote:create_run(request)
  local id = store.new_id()
  local name = request.run_name and request.run_name ~= "" and request.run_name or words.name()
  local by_name = tostring(request.experiment_id):match "^name:(.*)$"
  add(self, { op = "create", id = id, experiment = not by_name and request.experiment_id or nil,
    experiment_name = by_name, request = { run_name = name, user_id = request.user_id,
    start_time = request.start_time or store.now(), tags = tags_to_send(request.tags) } })
  self.running, self.begun[id] = self.running + 1, true
  self:push(remote.patience)
  return { info = { run_id = id, run_name = name, experiment_id = request.experiment_id, status = "RUNNING",
    artifact_uri = "remote:" .. id } }
end

--- What the server calls a run, and where its page is; nil while it has not heard of it.
---@return string? id
---@return string? url
function Remote:where(id)
  local known = self.spool and self.spool.state.ids[id]
  return known, known and ("%s/#/runs/%s"):format(self.address, known)
end

local function write(self, line) spool_of(self):write(line) end

--- Add a line to the spool, and look after what is under way.
---@return boolean? done  nil, message, code when there is no room
local function add_line(self, line)
  local ok, problem = pcall(write, self, line)
  if not ok then
    self.lost = self.lost + 1
    return nil, exit.message_of(problem), "io"
  end
  self:pump()
  return true
end

--- A value of a metric as JSON.
local function value_text(value)
  if value ~= value then return '"NaN"' end
  if value == math.huge then return '"Infinity"' end
  return value == -math.huge and '"-Infinity"' or ("%.17g"):format(value)
end

local METRIC <const> = '{"op":"metric","id":"%s","key":%s,"value":%s,"timestamp":%d,"step":"%d"}'

--- Log soon a value of a metric that names.metric has looked at.
---@return boolean? done  nil, message, code when the spool cannot be written
function Remote:note_metric(id, key, value, timestamp, step_at)
  local quoted = self.quoted[key] or json.encode(key)
  self.quoted[key] = quoted
  return add_line(self, METRIC:format(id, quoted, value_text(value), timestamp, step_at))
end

--- Log soon a parameter that names.param has looked at.
function Remote:note_param(id, key, value)
  return add_line(self, json.encode { op = "log", id = id, metrics = {}, params = { { key = key, value = value } },
    tags = {} })
end

--- Log soon a tag that names.tag has looked at; one that is of use in a local store alone is not sent.
function Remote:note_tag(id, key, value)
  if key == process.tag then return true end
  return add_line(self, json.encode { op = "log", id = id, metrics = {}, params = {},
    tags = { { key = key, value = value } } })
end

--- What was noted is in the spool, where no kill loses it.
---@return boolean? done  nil, message, code when the spool could not be written
function Remote:flush()
  if self.lost == 0 then return true end
  local lost = self.lost
  self.lost = 0
  return nil, ("%d values did not find room in %s/spool"):format(lost, self.folder), "io"
end

--- Change a run's status, end or name. The end of a run waits for the server for a while.
function Remote:update_run(request)
  if request.status == "RUNNING" and not self.begun[request.run_id] then -- an earlier process's
    self.running, self.begun[request.run_id] = self.running + 1, true
    local lost, tags = request.lost or {}, {}
    for key, value in pairs(lost.tags or {}) do tags[#tags + 1] = { key = key, value = tostring(value) } end
    add(self, { op = "adopt", id = request.run_id, experiment_name = lost.experiment or "Default",
      request = { run_name = lost.run_name, user_id = source.user(), start_time = store.now(), tags = tags } })
    self:push(remote.patience)
  end
  local ends = request.status and request.status ~= "RUNNING"
  if self.gathers and ends and self:push(remote.patience) then self:replay_all(remote.patience) end
  add(self, { op = "update", id = request.run_id, status = request.status, end_time = request.end_time,
    run_name = request.run_name })
  if ends then
    self.running = self.running - 1
    push_out(self)
    if self.gathers and self.behind then self:replay_all(remote.patience) end
    if self.running <= 0 then self:close() end
  else
    self:pump()
  end
  return { run_id = request.run_id, artifact_uri = "remote:" .. request.run_id }
end

function Remote:log_inputs(request)
  add(self, { op = "inputs", id = request.run_id, datasets = request.datasets })
  self:pump()
end

local function place_of(uri)
  local id, path = uri:match "^remote:([^/]+)/(.+)$"
  if not id then names.refuse("INVALID_PARAMETER_VALUE", "Invalid artifact path: '%s'", uri) end
  return id, require("recsys.track.artifacts").checked(path)
end

--- Put bytes at an artifact's address, "remote:RUN/path".
function Remote:write_artifact(uri, bytes)
  local id, path = place_of(uri)
  add(self, { op = "artifact", id = id, path = path, file = spool_of(self):keep(nil, bytes) })
  self:pump()
end

--- Put a file at an artifact's address.
function Remote:put_artifact(uri, path, how)
  local id, place = place_of(uri)
  add(self, { op = "artifact", id = id, path = place, file = spool_of(self):keep(path, nil, how) })
  if how == "move" then uv.fs_unlink(path) end
  self:pump()
end

--- Register a model whose files are the run's artifacts below 'path' as a version there.
---@param request { run_id: string, name: string, path: string, tags: table[] }
function Remote:register(request)
  add(self, { op = "register", id = request.run_id, name = request.name, path = request.path, tags = request.tags })
  self:pump()
end

--- The parameters that a run was given so far, as far as the server can tell by now: key -> value.
---@return table<string, string>
function Remote:known_params(id)
  local known, there = {}, self.spool and self.spool.state.ids[id]
  local answer = there and self.wire:call("GET", "runs/get", { run_id = there })
  for _, param in ipairs(answer and answer.run.data and answer.run.data.params or {}) do
    known[param.key] = param.value
  end
  return known
end

--- Let go of the spool: what the server has is removed, what waits stays for later.
function Remote:close()
  if not self.spool then return end
  self.wire:abandon()
  if self.spool:is_sent() then self.spool:remove() else self.spool:close() end
  self.spool = nil
end
Remote.__close = Remote.close

return remote
