--- Matrix factorisation by BPR at the size of Gowalla: the wall time of training to a validation NDCG@20 of 0.98 times
--- the lower of two sides' best. Each side has the settings that were best for it on these validation rows (ours here,
--- the peers' in spec/peers/bpr_quality.py), and gives its vectors after every few epochs; one evaluator, ours, ranks
--- them for all while the clock stands still.
---
--- To search for settings, take `arguments` of a run's --json (details[1].arguments) and add what is to be another:
---     recsys-run bench train --worker bpr_time_to_quality --arguments '{ ..., "settings": { "decay": 0.02 } }'
--- Best NDCG@20 on Gowalla's tune_valid.txt, ten epochs of about 0.4 s (one thread):
---     rate 5e-3   decay .01 .0660   .02 .0696
---     rate 1e-2   decay .005 .0588   .01 .0628   .02 .0660 (8 epochs, a longer warm-up)
---     rate 2e-2   decay .02 .0592 (8 epochs)

local checkins = require "recsys.bench.checkins"
local clock = require("recsys.core").base.clock
local feature = require "recsys.feature"
local host = require "recsys.host"
local json = require "recsys.json"
local model = require "recsys.model"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"
local train = require "recsys.train"

local WIDTH, SHARE = 64, 0.98
local chosen = { batch = 2048, epochs = 10, learning_rate = 5e-3, decay = 2e-2 }

local MF = {}
MF.__index = MF

function MF:user(tape, batch) return self.users:forward(tape:input("user.id", batch["user.id"])) end
function MF:item(tape, batch) return self.items:forward(tape:input("item.id", batch["item.id"])) end

--- Negatives are drawn uniformly from the items that training rows name.
function MF:loss(tape, step)
  local drawn = step.pool:index_select(step.stream:integers(#step.item_rows, #step.pool))
  return nn.bpr { users = tape:parameter(self.users:parameters()[1]),
    items = tape:parameter(self.items:parameters()[1]), user_codes = step.batch["user.id"],
    positives = step.items:gather(step.item_rows)["item.id"], negatives = step.items:gather(drawn)["item.id"],
    decay = self.decay }
end

--- The definition, which leaves the model it made in state.model.
local function definition(state)
  return function(_, encoder, settings)
    local self = setmetatable({ decay = state.settings.decay }, MF)
    local function table_of(side)
      local input = encoder:inputs(side)[1]
      return nn.embedding { name = side, rows = input.rows, width = WIDTH, seed = settings.seed }
    end
    self.users, self.items = table_of "user", table_of "item"
    self.parameters = towers.parameters(self.users, self.items)
    state.model = self
    return self
  end
end

--- A table's rows in the order of the files' codes.
local function vectors(layer, features, key, n)
  return layer:parameters()[1]:value():index_select(features:gather(tensor.arange(0, n, "i64"))[key])
end

--- What train.fit calls after every epoch: notes the seconds of training so far, and the quality that they bought.
local function watcher(state)
  local data, encoder = state.data, state.encoder
  local users, items = encoder:encode_users(data.users), encoder:encode_items(data.items)
  local began, aside = clock(), 0
  state.curve = json.list {}
  return function()
    local stopped = clock()
    local ndcg = state.quality(vectors(state.model.users, users, "user.id", data.users:rows()),
      vectors(state.model.items, items, "item.id", data.items:rows()))
    state.curve[#state.curve + 1] = { seconds = stopped - began - aside, ndcg = ndcg }
    aside = aside + clock() - stopped
    return ndcg
  end
end

--- NDCG@20 of the vectors that a peer has saved.
local function rank(arguments)
  return checkins.quality(arguments)(assert(tensor.load_npy(arguments.vectors[1])),
    assert(tensor.load_npy(arguments.vectors[2])))
end

local function best(facts)
  local most = 0
  for _, at in ipairs(facts.curve) do most = math.max(most, at.ndcg) end
  return most
end

local function seconds_to(facts, mark)
  for _, at in ipairs(facts.curve) do
    if at.ndcg >= mark then return at.seconds end
  end
end

return {
  about = "training by BPR at the size of Gowalla to 0.98 of the lower best validation NDCG@20",
  same = false, one_thread = true, once = true,
  prepare = function(folder, options)
    local arguments = checkins.make(folder, options.scale)
    arguments.ranker, arguments.place = { host.executable, "bench", "train", "--worker", "bpr_time_to_quality" }, folder
    return arguments
  end,
  setup = function(arguments)
    if arguments.vectors then return arguments end
    local data, split = checkins.dataset(arguments)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    return { data = data, split = split, encoder = feature.fit(data, split.train, ids),
      quality = checkins.quality(arguments), settings = model.merge(chosen, arguments.settings or {}) }
  end,
  run = function(state)
    if state.vectors then return rank(state) end
    local settings = state.settings
    local epochs, batch = math.tointeger(settings.epochs), math.tointeger(settings.batch)
    train.fit(definition(state), { kind = "bench", config = {}, encoder = state.encoder, data = state.data,
      split = state.split, metric = "ndcg_20", validate = watcher(state), seed = 1,
      train = { epochs = epochs, patience = epochs, batch = batch, optimizer = "adam",
        learning_rate = settings.learning_rate } })
    return nil, state.curve[#state.curve].seconds
  end,
  facts = function(state) return { curve = state.curve } end,
  --- The seconds of two sides' runs to their common mark.
  against = function(us, them)
    local mark = SHARE * math.min(best(us), best(them))
    return { ours = seconds_to(us, mark), peer = seconds_to(them, mark),
      what = ("seconds to a validation NDCG@20 of %.4f"):format(mark) }
  end,
  peers = { implicit = "bpr_quality.py implicit", lightfm = "bpr_quality.py lightfm" },
  target = { times = { implicit = 1, lightfm = 1 } },
}
