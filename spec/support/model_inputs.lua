--- Everything that a model of the news job is given, as hashes: the encoder, and the features of users, items and the
--- events of each part of the split. Equal inputs have equal hashes, to the bit.

local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"

local model_inputs = {}

local function hash_tensors(into, prefix, tensors)
  for name, t in pairs(tensors) do
    into[prefix .. name] = ("%s %s %s"):format(t:dtype(), table.concat(t:size(), "x"), frame.hash(t:to_string()))
  end
end

--- Load the folder, split it by time, fit the news features, encode all. Gives name -> "dtype shape hash".
---@param dir string  with devices.csv, contents.csv, events.csv
---@return table<string, string>
function model_inputs.of(dir)
  local hashes = {}
  local dataset = assert(data.load { source = "news", dir = dir })
  local split = data.split_by_time(dataset, { valid = 0.1, test = 0.1 })
  local encoder = feature.fit(dataset, split.train, require "recipes.features.news")
  local saved = encoder:save()
  hashes.encoder = frame.hash(saved.json)
  hash_tensors(hashes, "encoder ", saved.tensors)
  local items = encoder:encode_items(dataset.items)
  hash_tensors(hashes, "items ", items:tensors())
  hash_tensors(hashes, "users ", encoder:encode_users(dataset.users):tensors())
  split:end_selection "what is encoded is compared"
  for part, rows in pairs { train = split.train, valid = split.valid, test = split:open_test() } do
    hashes[part .. " rows"] = frame.hash(rows:to_string())
    hash_tensors(hashes, part .. " ", encoder:encode_events(dataset, rows, { items = items }):tensors())
  end
  return hashes
end

return model_inputs
