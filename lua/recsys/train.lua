--- The training loop: shuffled batches, one optimiser, a validation metric after every epoch, the best weights kept.
---
--- A model definition (models/<kind>.lua) is called as `definition(config, encoder, settings)` and gives a table with
--- `parameters`, `user(tape, batch)`, `item(tape, batch)` and `loss(tape, step)`, or `round(epoch)` where no gradients
--- are needed; see docs/models.md. The loop knows nothing else of it. What is drawn is a function of (seed, epoch,
--- step), so equal runs give equal bits, and a run that was cut short goes on from its last checkpoint
--- (recsys.train.checkpoint) with the same ones.

local ahead = require "recsys.train.ahead"
local autograd = require "recsys.autograd"
local base = require("recsys.core").base
local by_user = require "recsys.train.by_user"
local checkpoint = require "recsys.train.checkpoint"
local exit = require "recsys.exit"
local feature = require "recsys.feature"
local frame = require("recsys.core").frame
local log = require "recsys.log"
local logged = require "recsys.train.logged"
local model = require "recsys.model"
local monitors = require "recsys.train.monitors"
local network = require "recsys.network"
local note = require "recsys.flow.note"
local numeric = require "recsys.train.numeric"
local optim = require "recsys.optim"
local profile = require "recsys.train.profile"
local rate_finder = require "recsys.train.rate_finder"
local train_rows = require "recsys.train.rows"
local train_weights = require "recsys.train.weights"
local schedule = require "recsys.schedule"
local settings_of = require "recsys.settings"
local signals = require "recsys.signals"
local sparkline = require "recsys.report.sparkline"
local step_of = require "recsys.train.step"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local warm_start = require "recsys.train.warm_start"

local train = {}

local WORTH_RELEASING <const> = 128 << 20 -- bytes: a smaller process keeps what it will ask for again

--- What batches are made of: the encoded tables and, for each interaction, its user and item row.
---
---@param encoder Encoder
---@param data Dataset
---@param split Split       says how histories treat equal times, and which rows they may know
---@param rows Tensor       i64, 0-based interactions to train or score on
---@param settings table    of training: what shares of items are counted over
---@param events? Features  their encoded moments, where they are at hand
---@param by string         "row" or "user": what batches count
local function prepare(encoder, data, split, rows, settings, events, by)
  local at, counting, weight = feature.rows(data), train_weights.of(data, rows, settings.weight)
  if counting ~= rows then rows, events = counting, nil end
  local items = encoder:encode_items(data.items)
  local item_rows, user_rows = at.items:index_select(rows), at.users:index_select(rows)
  local times = data.interactions:column("time"):index_select(rows)
  local source = {
    over_time = encoder:items_over_time(data, { log = feature.log_of_items(split), items = items }),
    data = data, rows = rows, n = #rows, weights = weight,
    log_q = train_rows.log_shares({ item_rows = item_rows, user_rows = user_rows, times = times }, data.items:rows(),
      settings),
    users = encoder:encode_users(data.users), items = items,
    events = events or encoder:encode_events(data, rows, { ties = split.ties, log = split.history_log, items = items }),
    user_rows = user_rows, item_rows = item_rows, times = times, static_users = #encoder:inputs "event" == 0,
    strengths = data.interactions:has "strength" and data.interactions:column("strength"):index_select(rows) or nil,
  }
  source.groups = by == "user" and by_user.groups(source) or nil
  source.units = source.groups and source.groups.n or source.n
  return source
end

--- From when to when each catalogue item can be shown, ms: nil where items do not age.
local function lifetimes(data, window)
  if not window or not data.items:has "created" then return end
  local created = data.items:column "created"
  return { from = created, to = created + text.milliseconds(window) }
end

--- What a model's definition is told of the training rows.
local function training_of(source)
  return { users = source.users, items = source.items, user_rows = source.user_rows, item_rows = source.item_rows,
    times = source.times, strengths = source.strengths, weights = source.weights }
end

local function steps_of(source, settings)
  return math.max(1, train_rows.per_epoch(source, settings) // settings.batch)
end

--- What the model's loss reads in a step of training on the rows 'at', whose inputs are 'batch'.
local function training_input(run, epoch, step, at, batch)
  local input = step_of.new(run.source, at, run.shared, batch)
  input.epoch, input.stream = epoch, base.stream(run.settings.seed, "negatives", epoch, step)
  return input
end

--- Step 'step' of the epoch on the rows 'at', whose inputs are 'batch'. Returns the loss.
local function take_step(run, epoch, step, steps, at, batch)
  local settings, optimizer, watch = run.settings, run.optimizer, run.profile
  local kept, close = run.place.monitor, monitors.is_close(step)
  local function check(what, value)
    if numeric.is_finite(value) then return value end
    numeric.explain(run, what, value, { train = true, seed = settings.seed, epoch = epoch, step = step },
      training_input(run, epoch, step, at))
  end
  watch:enter "batch"
  local tape <close> = autograd.tape { train = true, seed = settings.seed, epoch = epoch, step = step }
  watch:watch(tape)
  local input = training_input(run, epoch, step, at, batch)
  watch:enter "forward"
  local loss = network.loss(run.network, settings.kind, tape, input)
  local value = check("loss", loss:item())
  if close then monitors.units(kept, tape) end
  watch:enter "backward"
  tape:backward(loss)
  watch:merge()
  watch:enter "norm"
  monitors.norm(kept, check("gradient's norm", settings.clip > 0 and optimizer:clip(settings.clip) or optimizer:norm()))
  watch:enter "update"
  optimizer:set_learning_rate(settings.rate((epoch - 1) * steps + step))
  local found = close and monitors.before(run.network.parameters)
  optimizer:step()
  if found then monitors.after(kept, found) end
  optimizer:zero_grad()
  watch:enter "free the tape"
  return value
end

--- The shuffled rows of each step of an epoch, how many steps there are, and what gathers the steps behind one ahead.
---@return fun(step: integer): Tensor, integer, fun(done: integer): Batches?
local function batches(run, epoch)
  local source, settings = run.source, run.settings
  local n, size = train_rows.per_epoch(source, settings), settings.batch
  local order = train_rows.order(source, settings, epoch)
  local steps = steps_of(source, settings)
  return function(step)
    local first, last = ahead.span(step, steps, size, n)
    return order:narrow(1, first + 1, last - first)
  end, steps, function(done) return ahead.new(source, order, done, steps, size, n) end
end

--- Whether the time that the training has is up: docs/training.md, "A limit of time".
local function is_over(run) return run.deadline ~= nil and base.clock() >= run.deadline end

--- The steps of the epoch that place.epoch names, from behind place.step on; place.sum adds up their losses. A signal
--- waits until a step is done.
local function run_epoch(run)
  local place, settings, epoch = run.place, run.settings, run.place.epoch
  local rows_of, steps, gather = batches(run, epoch)
  local progress = log.progress(("epoch %2d/%d"):format(epoch, settings.epochs), steps)
  local gathered <close> = gather(place.step)
  for step = place.step + 1, steps do
    signals.hold()
    run.profile:begin_step()
    run.profile:enter "wait for the batch"
    place.sum = place.sum + take_step(run, epoch, step, steps, rows_of(step), gathered and gathered:next())
    run.profile:end_step()
    place.step = step
    if run.checkpoint and step < steps and run.checkpoint:is_due(false) then run:save() end
    signals.release()
    progress:update(step, ("loss %.4f"):format(place.sum / step))
    if is_over(run) then break end
  end
  progress:finish()
  return place.sum / place.step
end

--- The epoch that place.epoch names as the one step that a pass of a model without a loss is. A signal waits for it.
local function run_round(run)
  local place = run.place
  if place.step == 0 then
    signals.hold()
    place.sum = network.round(run.network, run.settings.kind, place.epoch)
    place.step = 1
    signals.release()
  end
  return place.sum
end

--- The mean loss over rows that are not trained on, by their weights, in evaluation mode.
local function held_out_loss(made, source, shared, settings)
  local sum, rows = 0, 0 -- or what the rows weigh
  for first = 0, source.units - 1, settings.batch do
    local n = math.min(settings.batch, source.units - first)
    local tape <close> = autograd.tape { train = false, gradients = false, seed = settings.seed }
    local input = step_of.new(source, tensor.arange(first, first + n, "i64"), shared)
    input.stream = base.stream(settings.seed, "negatives", 0, 1 + first // settings.batch)
    n = input.total or n
    sum, rows = sum + network.loss(made, settings.kind, tape, input):item() * n, rows + n
  end
  return rows > 0 and sum / rows or nil
end

--- A row of each tower's inputs, to record plans from.
local function example(source)
  local first = tensor.zeros(1, "i64")
  return { user = model.merge(source.events:gather(first), source.users:gather(source.user_rows:index_select(first))),
    item = source.items:gather(source.item_rows:index_select(first)) }
end

local function snapshot(parameters)
  local values = {}
  for i, parameter in ipairs(parameters) do values[i] = parameter:value():clone() end
  return values
end

--- The weights of this moment, to come back to: the weights themselves once no pass of the model can change them,
--- as those of a closed form may fill the memory.
local function keep(run)
  if run.network.round and run.place.epoch >= run.settings.epochs then
    local values = {}
    for i, parameter in ipairs(run.network.parameters) do values[i] = parameter:value() end
    return values
  end
  return snapshot(run.network.parameters)
end

local function restore(parameters, values)
  for i, parameter in ipairs(parameters) do parameter:value():copy_(values[i]) end
end

local optimizers = {
  adam = optim.adam, adamw = optim.adamw, adagrad = optim.adagrad, sgd = optim.sgd,
}

local function new_optimizer(made, settings)
  if made.round then return nil end
  return optimizers[settings.optimizer](made.parameters, { learning_rate = settings.learning_rate,
    weight_decay = settings.weight_decay, seed = settings.seed })
end

local function shown(value)
  return value and ("%.4f"):format(value) or "-"
end

--- How the validation metric went so far, or the loss where there is none: " ▁▄▆█"; nothing for one epoch.
local function trend(row, metric, curves)
  local name, values = row["valid/" .. metric] and "valid/" .. metric or "train/loss", {}
  for i, earlier in ipairs(curves) do values[i] = earlier[name] or false end
  if #values == 0 then return "" end
  values[#values + 1] = row[name] or false
  return " " .. sparkline(values)
end

local function describe_epoch(row, metric, curves)
  return ("  epoch %2d  train/loss %s  valid/loss %s  valid/%s %s%s  %s  %s"):format(row.epoch,
    shown(row["train/loss"]), shown(row["valid/loss"]), metric, shown(row["valid/" .. metric]),
    trend(row, metric, curves), monitors.describe(row), text.duration(row.seconds))
end

local Run = {}
Run.__index = Run

--- Write a checkpoint.
function Run:save()
  local weights, place = {}, self.place
  for i, parameter in ipairs(self.network.parameters) do weights[i] = parameter:value() end
  place.seconds, self.began = place.seconds + base.clock() - self.began, base.clock()
  self.checkpoint:write { place = place, weights = weights, best = self.kept,
    optimizer = self.optimizer and self.optimizer:state() or {},
    at_best = place.step == 0 and place.best_epoch == place.epoch - 1,
    extra = self.network.state and self.network:state() }
end

--- Take up the last checkpoint, if there is one.
local function take_up(run)
  local saved = run.checkpoint and run.checkpoint:read()
  if not saved then return end
  restore(run.network.parameters, saved.weights)
  if run.optimizer then run.optimizer:load_state(saved.optimizer) end
  if saved.extra ~= nil then run.network:load_state(saved.extra) end
  run.place, run.kept = saved.place, saved.best
  log.info("  resumed behind step %d of epoch %d", saved.place.step, saved.place.epoch)
end

--- Train the epoch that the place names, or what is left of it, and measure: a row of the curves.
local function epoch_row(run)
  run.began = base.clock()
  local place, metric = run.place, "valid/" .. run.metric
  local by_gradients = run.network.loss ~= nil
  local row = { epoch = place.epoch, ["train/loss"] = (by_gradients and run_epoch or run_round)(run) }
  if run.network.settle then run.network:settle() end
  if by_gradients and run.held_out then
    row["valid/loss"] = held_out_loss(run.network, run.held_out, run.shared, run.settings)
  end
  row[metric] = run.validate and run.validate(run.trained)
  if row[metric] and row[metric] ~= row[metric] then
    error({ code = "numeric", message = ("%s is not a number: the validation rows hold nothing to rank; "
      .. "check split.valid, or set it to 0 to train without validation"):format(metric) }, 0)
  end
  local dead = monitors.row(row, place.monitor, run.network.parameters)
  -- The epoch's order, batches and rankings, which would pile up to several times what is in use.
  base.release(WORTH_RELEASING)
  row.seconds = place.seconds + base.clock() - run.began
  row.memory_mib = select(2, base.memory()) / 2^20
  run.log_row(row)
  note.progress(place.epoch, run.settings.epochs, "epochs")
  log.info("%s", describe_epoch(row, run.metric, place.curves))
  monitors.warn(row, place.curves[1] or row, dead, run.warned)
  return row
end

--- An epoch is over: keep its weights if they are the best, and move on to the next. Without validation the last one
--- is the best.
local function end_epoch(run, row)
  local place, value = run.place, row["valid/" .. run.metric] or row.epoch
  place.curves[row.epoch] = row
  if value > place.best then
    place.best, place.best_epoch = value, row.epoch
    run.kept = keep(run)
  end
  if value > place.mark + run.settings.min_delta then place.mark, place.mark_epoch = value, row.epoch end
  place.epoch, place.step, place.sum, place.seconds = row.epoch + 1, 0, 0, 0
  place.monitor = monitors.new()
end

local function is_patient(run)
  local place, settings = run.place, run.settings
  if place.epoch <= 1 or place.epoch - 1 - place.mark_epoch < settings.patience then return true end
  log.info("  no better for %d epochs: stopped, weights of epoch %d kept", settings.patience, place.best_epoch)
end

--- Whether there is time for more; what is left undone is told.
local function has_time(run)
  if run.place.epoch == 1 or not is_over(run) then return true end
  log.info("  the time is up: stopped behind epoch %d of %d, weights of epoch %d kept", run.place.epoch - 1,
    run.settings.epochs, run.place.best_epoch)
  run.trained.cut = { epochs = run.place.epoch - 1, of = run.settings.epochs }
end

local function goes_on(run)
  return run.place.epoch <= run.settings.epochs and is_patient(run) and has_time(run) == true
end

--- Tell of an epoch. Only then a checkpoint may lie behind it: who goes on from there does not tell it again.
local function tell(run, row, last)
  local ok, problem = xpcall(run.report, exit.traced, row.epoch, row, last)
  if ok then return end
  if type(problem) == "table" and problem.paused and run.checkpoint then run:save() end
  error(problem, 0)
end

local function run_all(run)
  local going = goes_on(run)
  while going do
    local row = epoch_row(run)
    signals.hold()
    end_epoch(run, row)
    run.began = base.clock()
    going = goes_on(run)
    if run.report then tell(run, row, not going) end
    if run.checkpoint and run.checkpoint:is_due(true) and (going or not run.network.round) then run:save() end
    signals.release()
  end
end

--- All epochs until the patience ends; the weights of the best one stay. What a signal interrupts is saved first.
local function run_epochs(run)
  run.log_row = logged.begin()
  run.profile = profile.begin(run.network.parameters, run.source.items, run.settings.optimizer)
  local ok, problem = xpcall(run_all, exit.traced, run)
  signals.release()
  run.profile:finish()
  if not ok then
    if type(problem) == "table" and problem.signal and run.checkpoint then
      run:save()
      problem.message = ("%s behind step %d of epoch %d; a checkpoint is written, go on by --resume%s"):format(
        problem.message, run.place.step, run.place.epoch, run.checkpoint.run and " " .. run.checkpoint.run or "")
    end
    error(problem, 0)
  end
  restore(run.network.parameters, run.kept)
  run.trained.epoch = run.place.best_epoch
  return run.place.curves
end

--- The loss of the best constant, for models that tell it, beside which theirs is to be read.
local function constant_losses(run)
  if not run.network.constant_loss then return end
  local losses = {}
  for name, source in pairs { train = run.source, valid = run.held_out } do
    losses[name .. "/loss"] = run.network:constant_loss(source.strengths, source.weights)
  end
  log.info("  the best constant has train/loss %s, valid/loss %s", shown(losses["train/loss"]),
    shown(losses["valid/loss"]))
  return losses
end

local by_batches = { "rows_per_epoch", "user_cap", "log_q_window" }

--- Refuse what only batches know of where there are none, and make no more epochs than the model has rounds.
local function without_batches(kind, made, settings)
  for _, name in ipairs(by_batches) do
    if settings[name] then
      exit.usage_error("models/%s.lua takes all training rows in one pass: leave train.%s out", kind, name)
    end
  end
  settings.epochs = math.min(settings.epochs, made.rounds or settings.epochs)
end

--- A network, what it is trained on, and where it stands: at the beginning.
local function new_run(definition, request)
  local settings = model.merge({ seed = request.seed, kind = request.kind }, settings_of.read("train", request.train))
  local split, data, encoder = request.split, request.data, request.encoder
  local source = prepare(encoder, data, split, split.train, settings, nil, settings.by)
  local run = setmetatable({ settings = settings, metric = request.metric, validate = request.validate,
    report = request.report, deadline = request.deadline,
    network = network.build(definition, request.kind, request.config, encoder, { seed = settings.seed,
      training = training_of(source) }),
    source = source,
    shared = { life = lifetimes(data, request.window), met = source.item_rows, log_shares = source.log_q },
    place = { epoch = 1, step = 0, sum = 0, seconds = 0, curves = {}, best = -math.huge, best_epoch = 0,
      mark = -math.huge, mark_epoch = 0, monitor = monitors.new() }, warned = {}, profile = profile.none }, Run)
  if run.network.round then without_batches(request.kind, run.network, settings) end
  if settings.warm_start then warm_start.apply(run.network.parameters, encoder, settings.warm_start) end
  run.trained = model.record(run.network, encoder, request.kind, request.config, example(source))
  run.shared.pool = source.item_rows:bincount(data.items:rows()):gt(0):nonzero()
  run.shared.train, run.shared.trained = source, run.trained
  run.optimizer = new_optimizer(run.network, settings)
  return run
end

--- A learning rate that has fallen when the time is up, though training ends before its last step: where the clock is
--- ahead of the steps the rate is that of the clock's share (Li, Yumer & Ramanan 2020, arXiv:1905.04753). Training
--- that fits its time is ahead of the clock, and as without one.
local function by_time(rate, total, deadline)
  local began
  return function(at)
    began = began or base.clock()
    local share = math.min(1, (base.clock() - began) / math.max(deadline - began, 1e-9))
    return rate(math.max(at, math.floor(share * total)))
  end
end

--- Train a model.
---@param definition fun(config, encoder, settings): table   what models/<kind>.lua returns
---@param request { kind: string, config: table, train: table, encoder: Encoder, data: Dataset, split: Split,
---   validate?: fun(model): number, metric: string, window?: string, seed: integer, valid_events?: Features,
---   checkpoint?: table, deadline?: number, report?: fun(epoch: integer, row: table, last: boolean) }
---   train: the group of recsys.settings, which has the defaults
---   validate: the ranking metric on validation rows, higher is better; called after every epoch. Without it all
---   epochs are trained and the last one's weights kept
---   valid_events: encoded moments of split.valid, where they are at hand
---   checkpoint: where to keep checkpoints (flow.kept); nil: nowhere
---   deadline: on base.clock, when training is to end: the step that reaches it is its epoch's last, the epoch is
---   validated as it is, and none follows; the learning rate falls until then; the model's `cut` tells { epochs, of }.
---   Equal runs are then equal no more
---   report: told of each epoch's row of the curves when all of it is done, before a checkpoint is behind it; one that
---   goes on may tell an epoch again. What it raises ends the training, behind a checkpoint where it says `paused`
---@return Model  with `curves` (a row an epoch) and the weights of the best epoch
function train.fit(definition, request)
  local run = new_run(definition, request)
  local settings, split, data, encoder = run.settings, request.split, request.data, request.encoder
  run.held_out = split.valid and #split.valid > 0
    and prepare(encoder, data, split, split.valid, settings, request.valid_events, settings.by) or nil
  if request.checkpoint and settings.checkpoint > 0 then
    run.checkpoint = checkpoint.new(request.checkpoint, settings.checkpoint, function()
      return checkpoint.fingerprint(definition, request, run)
    end)
  end
  local steps, laid_out = steps_of(run.source, settings), settings.rate_epochs or settings.epochs
  local rate = schedule.warmup_cosine { peak = settings.learning_rate, total = steps * laid_out + 1,
    warmup = math.min(math.floor(settings.warmup * steps), steps * laid_out) }
  settings.rate = run.deadline and by_time(rate, steps * laid_out, run.deadline) or rate
  log.info("  %s rows of %s users x %s items, %s parameters", text.count(run.source.n),
    text.count(data.users:rows()), text.count(data.items:rows()), text.count(run.trained:size()))
  run.trained.constant = constant_losses(run)
  base.release(WORTH_RELEASING) -- what preparing used on the way
  take_up(run)
  run.trained.curves = run_epochs(run)
  run.trained.trained_on = frame.hash(split.train)
  return run.trained
end

--- The learning-rate range test: train a network of its own, which is thrown away, with rates that grow.
---@param definition fun(config, encoder, settings): table
---@param request table   as for train.fit; of its `train` the rate and the epochs do not matter
---@param options? table  of recsys.train.rate_finder.sweep, which says what is given
function train.find_rate(definition, request, options)
  local run = new_run(definition, request)
  if run.network.round then
    exit.usage_error("models/%s.lua is not trained by gradients: it has no learning rate to find", request.kind)
  end
  local epoch, rows_of, steps = 0, nil, steps_of(run.source, run.settings)
  return rate_finder.sweep(function(i, rate)
    local step = (i - 1) % steps + 1
    if step == 1 then
      epoch = epoch + 1
      rows_of = batches(run, epoch)
    end
    run.settings.rate = function() return rate end
    local ok, loss = pcall(take_step, run, epoch, step, steps, rows_of(step))
    if not ok and not (type(loss) == "table" and loss.code == "numeric") then error(loss, 0) end
    return ok and loss or nil
  end, options)
end

return train
