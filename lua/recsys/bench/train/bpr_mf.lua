--- Matrix factorisation by BPR (Rendle et al. 2009) at the size of Gowalla, negatives drawn uniformly, batch 2,048: an
--- epoch, as the median step times the epoch's steps. Adam moves the rows that a step touches, on both sides.

local feature = require "recsys.feature"
local interactions = require "recsys.bench.interactions"
local nn = require "recsys.nn"
local train = require "recsys.train"
local towers = require "recsys.towers"
local watching = require "recsys.bench.watching"

local WIDTH, BATCH, RATE, DECAY, STEPS = 64, 2048, 1e-2, 1e-4, 100

local MF = {}
MF.__index = MF

function MF:user(tape, batch) return self.users:forward(tape:input("user.id", batch["user.id"])) end
function MF:item(tape, batch) return self.items:forward(tape:input("item.id", batch["item.id"])) end

--- log(1 + exp(score of the drawn - score of the positive)), and half the squared lengths of what took part.
function MF:loss(tape, step)
  self.watch:begins()
  local drawn = step.pool:index_select(step.stream:integers(#step.item_rows, #step.pool))
  local loss = nn.bpr { users = tape:parameter(self.users:parameters()[1]),
    items = tape:parameter(self.items:parameters()[1]), user_codes = step.batch["user.id"],
    positives = step.items:gather(step.item_rows)["item.id"], negatives = step.items:gather(drawn)["item.id"],
    decay = DECAY }
  self.watch:notes(loss)
  return loss
end

local function definition(watch)
  return function(_, encoder, settings)
    local self = setmetatable({ watch = watch }, MF)
    local function table_of(side)
      local input = encoder:inputs(side)[1]
      return nn.embedding { name = side, rows = input.rows, width = WIDTH, seed = settings.seed }
    end
    self.users, self.items = table_of "user", table_of "item"
    self.parameters = towers.parameters(self.users, self.items)
    return self
  end
end

return {
  about = "an epoch of BPR at the size of Gowalla, 64 wide, batch 2,048",
  unit = "epoch", per = function() return 1 end, same = false, one_thread = true,
  prepare = function(folder, options)
    local arguments = interactions.make(folder, interactions.gowalla, options.scale)
    arguments.batch = math.min(BATCH, arguments.rows // 4)
    arguments.steps = math.max(5, math.ceil(STEPS * options.scale))
    return arguments
  end,
  setup = function(arguments)
    local data, split = interactions.dataset(arguments)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local encoder = feature.fit(data, split.train, ids)
    return { data = data, split = split, encoder = encoder, arguments = arguments }
  end,
  run = function(state)
    local batch, steps = math.tointeger(state.arguments.batch), math.tointeger(state.arguments.steps)
    state.watch = watching.new()
    train.fit(definition(state.watch), { kind = "bench", config = {}, encoder = state.encoder, data = state.data,
      split = state.split, metric = "none", seed = 1, train = { epochs = 1, batch = batch, learning_rate = RATE,
      rows_per_epoch = batch * steps, warmup = 0, optimizer = "adam" } })
    return nil, state.watch:median() * state.arguments.rows / batch
  end,
  facts = function(state) return state.watch:facts() end,
  --- Who met what is independent in these data: the loss stays where it begins, and must on all sides.
  judge = function(sides) return watching.judge(sides, 0.01, true) end,
  peers = { torch = "bpr_mf.py torch", torch_tuned = "tuned bpr_mf.py torch" },
  target = { times = { torch = 5 } },
}
