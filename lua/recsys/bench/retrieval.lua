--- The retrieval rows of `train`: two towers over ids and a few features, in-batch softmax with logQ, Adam, by the
--- training loop that recipes run (recsys.train.fit). A side's figure is the median time of a step, from one step's
--- loss to the next one's: batch, forward, backward and update.
---
--- Towers are linear 128, ReLU, linear 64, normalised; ids 64 wide, other features 16. Every column of the batch is a
--- negative but for the row's own, also where it is the same item (no masking): what costs the peers least.

local interactions = require "recsys.bench.interactions"
local nn = require "recsys.nn"
local profile = require "recsys.train.profile"
local towers = require "recsys.towers"
local train = require "recsys.train"
local watching = require "recsys.bench.watching"

local retrieval = {}

local WIDTH, NARROW, HIDDEN, TEMPERATURE, RATE = 64, 16, 128, 0.05, 1e-3
local ACCOUNTED = 0.95 -- of a step's time, by --profile
local TURNS, MORE_AT_TABLES = 3, 4e-3 -- seconds a step, of a row with `small`
retrieval.BATCH = 4096

-- A model as a file of models/ has it.
local Retriever = {}
Retriever.__index = Retriever

function Retriever:user(tape, batch) return self.user_tower:forward(tape, batch) end
function Retriever:item(tape, batch) return self.item_tower:forward(tape, batch) end

function Retriever:loss(tape, step)
  self.watch:begins()
  local users, items = step:sides()
  local loss = nn.in_batch_softmax { users = self:user(tape, users.batch), rows = users.of,
    items = self:item(tape, items.batch), columns = items.of, temperature = TEMPERATURE, log_q = items.log_q }
  self.watch:notes(loss)
  return loss
end

--- A tower over some sides of the encoder, each id 64 wide and each other input 16.
local function new_tower(name, tables, encoder, sides, seed)
  local inputs = {}
  for _, side in ipairs(sides) do
    for _, input in ipairs(encoder:inputs(side)) do
      local width = input.table:match "%.id$" and WIDTH or NARROW
      tables[input.table] = tables[input.table]
        or nn.embedding { name = input.table .. ".table", rows = input.rows, width = width, seed = seed }
      local layer = tables[input.table]
      if input.kind == "bag" then layer = nn.embedding_bag { table = layer, mode = "mean" } end
      inputs[#inputs + 1] = { name = input.name, layer = layer }
    end
  end
  return nn.tower { name = name, inputs = inputs, hidden = { HIDDEN }, outputs = WIDTH, activation = "relu",
    normalize = true, seed = seed }
end

local function definition(watch)
  return function(_, encoder, settings)
    local tables = {}
    local self = setmetatable({ watch = watch }, Retriever)
    self.user_tower = new_tower("user", tables, encoder, { "user", "event" }, settings.seed)
    self.item_tower = new_tower("item", tables, encoder, { "item" }, settings.seed)
    self.parameters = towers.parameters(self.user_tower, self.item_tower)
    return self
  end
end

--- Floating-point operations of a step, from its distinct users and items: three products over their logits (scores,
--- and the gradients of both sides), and the towers' layers on distinct rows, forward and backward (thrice). A history
--- makes every row of the user tower another one. Lookups, the optimiser and what is computed again do not count.
---@param distinct { users: integer, items: integer }  in a batch
function retrieval.flops(distinct, batch, history)
  local users = history and batch or distinct.users
  local function tower(rows, inputs) return 3 * 2 * rows * (inputs * HIDDEN + HIDDEN * WIDTH) end
  return 3 * 2 * users * distinct.items * WIDTH + tower(users, WIDTH + 4 * NARROW + (history and WIDTH or 0))
    + tower(distinct.items, WIDTH + NARROW)
end

local function prepare(size, options)
  return function(folder, given)
    local arguments = interactions.make(folder, size, given.scale)
    arguments.batch, arguments.history = math.min(retrieval.BATCH, arguments.rows // 4), options.history or 0
    arguments.steps = math.max(5, math.ceil(options.steps * given.scale))
    arguments.distinct = interactions.distinct(arguments, arguments.batch)
    arguments.profile = ("%s/profile-%dx%d-%d"):format(folder, size.users, size.items, arguments.history)
    arguments.small = options.small and prepare(options.small, { steps = options.steps })(folder, given) or nil
    return arguments
  end
end

local function setup(arguments)
  local data, split = interactions.dataset(arguments)
  local length = arguments.history > 0 and math.tointeger(arguments.history) or nil
  return { data = data, split = split, encoder = interactions.encoder(data, split, length), arguments = arguments }
end

--- An epoch of 'steps' steps by the loop of recipes. The seconds are the median of a step's.
local function run(state)
  local batch, steps = math.tointeger(state.arguments.batch), math.tointeger(state.arguments.steps)
  local watch = watching.new()
  train.fit(definition(watch), { kind = "bench", config = {}, encoder = state.encoder, data = state.data,
    split = state.split, metric = "none", seed = 1, train = { epochs = 1, batch = batch, learning_rate = RATE,
    rows_per_epoch = batch * steps, warmup = 0, optimizer = "adam" } })
  state.watch = watch
  return nil, watch:median()
end

-- What a step does with tables, by the names of the profile: it samples and gathers rows, and updates those touched.
local of_tables = { ["wait for the batch"] = true, ["gather features"] = true, ["select rows"] = true,
  ["find distinct rows"] = true, draw = true, embedding = true, ["embedding, backward"] = true, embedding_bag = true,
  ["embedding_bag, backward"] = true, ["merge gradients of tables"] = true, norm = true, update = true }

--- Seconds a step of a job at its tables, in a run that is not timed.
local function table_seconds(state)
  profile.into(state.arguments.profile, true)
  run { data = state.data, split = state.split, encoder = state.encoder, arguments = state.arguments }
  profile.into()
  local seconds = 0
  for _, row in ipairs(profile.rows()) do
    if of_tables[row.name] then seconds = seconds + row.seconds end
  end
  return seconds
end

--- The same beside a job with small tables, in turns; of each the least, which what else the machine does raises least.
---@return { large: number, small: number }
local function compare_tables(state)
  local small, least = setup(state.arguments.small), { large = math.huge, small = math.huge }
  for _ = 1, TURNS do
    least.large = math.min(least.large, table_seconds(state))
    least.small = math.min(least.small, table_seconds(small))
  end
  return least
end

--- What --profile accounts for of a step's time, in a run that is not timed. Its trace stays beside the inputs.
local function accounted(state)
  profile.into(state.arguments.profile, true)
  run { data = state.data, split = state.split, encoder = state.encoder, arguments = state.arguments }
  profile.into()
  return profile.named()
end

local function judge(sides)
  local verdicts, reached = watching.judge(sides), sides.recsys.facts.accounted
  verdicts[#verdicts + 1] = { what = "of a step's time accounted for by --profile", reached = reached,
    wanted = ACCOUNTED, holds = reached >= ACCOUNTED }
  local tables = sides.recsys.facts.tables
  if tables then
    local more = tables.large - tables.small
    verdicts[#verdicts + 1] = { what = ("ms a step more at tables than with a small vocabulary, %.2f and %.2f")
      :format(tables.large * 1e3, tables.small * 1e3), reached = more * 1e3, wanted = MORE_AT_TABLES * 1e3,
      holds = more <= MORE_AT_TABLES }
  end
  return verdicts
end

--- A row.
---@param about string
---@param size table  of recsys.bench.interactions
---@param options { steps: integer, history?: integer, small?: table, peers: table, target: table }
---  small: the size of a job whose steps at tables this one's are held against
function retrieval.row(about, size, options)
  return {
    about = about, unit = "step", per = function() return 1 end, same = false, one_thread = true,
    prepare = prepare(size, options), setup = setup, run = run, judge = judge,
    flops = function(arguments)
      return retrieval.flops(arguments.distinct, arguments.batch, arguments.history > 0)
    end,
    facts = function(state)
      local facts = state.watch:facts()
      facts.distinct, facts.accounted = state.arguments.distinct, accounted(state)
      facts.tables = state.arguments.small and compare_tables(state) or nil
      return facts
    end,
    peers = options.peers, target = options.target,
  }
end

return retrieval
