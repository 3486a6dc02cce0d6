--- SASRec (models/sas_rec.lua) at the size of MovieLens-1M: an epoch, as the median step of 128 users times the epoch's
--- steps. 128 wide, two blocks of one head, dropout .2, each user's last 200 items, the softmax over all items; Adam.

local feature = require "recsys.feature"
local interactions = require "recsys.bench.interactions"
local lookup = require "recsys.lookup"
local train = require "recsys.train"
local watching = require "recsys.bench.watching"

local BATCH, RATE, LENGTH, STEPS = 128, 1e-3, 200, 16
local CONFIG = { dim = 128, blocks = 2, heads = 1, dropout = 0.2, loss = "softmax", negatives = 0, temperature = 1,
  bias = false }

--- The model, its loss watched.
local function definition(watch)
  return function(config, encoder, settings)
    local made = lookup.model "sas_rec"(config, encoder, settings)
    local loss = made.loss
    function made:loss(tape, step)
      watch:begins()
      local value = loss(self, tape, step)
      watch:notes(value)
      return value
    end
    return made
  end
end

return {
  about = "an epoch of SASRec at the size of MovieLens-1M, 128 wide, the full softmax, 128 users a batch",
  unit = "epoch", per = function() return 1 end, same = false,
  prepare = function(folder, options)
    local arguments = interactions.make(folder, interactions.movielens, options.scale)
    arguments.batch, arguments.length = math.min(BATCH, arguments.users // 8), LENGTH
    arguments.steps = math.max(5, math.ceil(STEPS * options.scale))
    return arguments
  end,
  setup = function(arguments)
    local data, split = interactions.dataset(arguments)
    local declared = { user = { feature.id { "user" } }, item = { feature.id { "item" } },
      event = { feature.history { of = "id", length = LENGTH } } }
    return { data = data, split = split, encoder = feature.fit(data, split.train, declared), arguments = arguments }
  end,
  run = function(state)
    local batch, steps = math.tointeger(state.arguments.batch), math.tointeger(state.arguments.steps)
    state.watch = watching.new()
    train.fit(definition(state.watch), { kind = "bench", config = CONFIG, encoder = state.encoder, data = state.data,
      split = state.split, metric = "none", seed = 1, train = { epochs = 1, batch = batch, by = "user",
      learning_rate = RATE, rows_per_epoch = batch * steps, warmup = 0, optimizer = "adam" } })
    return nil, state.watch:median() * state.arguments.users / batch
  end,
  facts = function(state) return state.watch:facts() end,
  --- Who met what is independent in these data: what is learned is popularity, and by both sides alike.
  judge = function(sides) return watching.judge(sides, 0.1) end,
  peers = { torch = "sas_rec.py torch", torch_tuned = "tuned sas_rec.py torch" },
  target = { times = { torch = 2 } },
}
