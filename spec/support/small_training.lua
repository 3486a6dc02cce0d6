--- A training that takes milliseconds: 90 events of 11 users with 13 items, ids as features, 63 rows to train on.

local data_sources = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"

local small = {}

function small.dataset()
  local users, items, times = {}, {}, {}
  for i = 1, 90 do users[i], items[i], times[i] = "u" .. i * 7 % 11, "i" .. i * i % 13, i * 60000 end
  local interactions = frame.from { { "user", "string", users }, { "item", "string", items },
    { "time", "time", times } }
  return (data_sources.new { name = "made", interactions = interactions })
end

--- What recsys.train.fit takes, for models/two_tower.lua.
---@param settings table  the group train
---@param changes? table  to the request; `config` is changed field by field
function small.request(settings, changes)
  local data = small.dataset()
  local split = data_sources.split_random(data, { valid = 0.2, test = 0.1, seed = 3 })
  local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
  local request = { kind = "two_tower", encoder = feature.fit(data, split.train, ids), data = data,
    split = split:selection(), seed = 5, metric = "x", train = settings,
    config = { dim = 4, hidden = { 6 }, dropout = 0.2, temperature = 0.2, log_q = true, bias = true,
      id_dropout = 0.3 } }
  for name, value in pairs(changes or {}) do
    if name == "config" then
      for field, of in pairs(value) do request.config[field] = of end
    else
      request[name] = value
    end
  end
  return request
end

return small
