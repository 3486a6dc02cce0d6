--- The index that a bundle carries to find items by (docs/retrieval.md): which one, and why.

local retrieval = require "recsys.retrieval"

local index = { member = "index.hnsw.safetensors" }

--- From how many items on a search of all of them takes a worker more than about half a millisecond.
index.LARGE = 100000

--- What was asked for: "exact", "hnsw", { engine = ..., and options of retrieval.hnsw }; nil: by size.
local function asked_of(given)
  if given == nil or type(given) == "string" then return { engine = given } end
  local asked = {}
  for key, value in pairs(given) do asked[key] = value end
  return asked
end

--- The engine for a catalogue and the reason, as people read it.
---@param catalogue { items: integer, counts_events: boolean? }  counts_events: the item vectors are made anew while the
---  model serves
---@param given? string|table  as publish takes it
---@return "exact"|"hnsw" engine
---@return string reason
function index.choose(catalogue, given)
  local engine = asked_of(given).engine
  if engine == "exact" or engine == "hnsw" then return engine, "asked for" end
  if engine ~= nil then
    error(("there is no index '%s'; there are: exact, hnsw"):format(engine), 0)
  end
  if catalogue.counts_events then return "exact", "the item vectors change while the model serves" end
  if catalogue.items < index.LARGE then
    return "exact", ("%d items, fewer than %d"):format(catalogue.items, index.LARGE)
  end
  return "hnsw", ("%d items, %d or more"):format(catalogue.items, index.LARGE)
end

--- The tensors of the index over these vectors, and what the manifest says of it.
---@param vectors Tensor  f32 [items, d]
---@param given? string|table
---@return table<string, Tensor> tensors
---@return table facts
function index.build(vectors, given)
  local options = asked_of(given)
  options.engine = nil
  local built <close> = retrieval.hnsw(vectors, options)
  return built:save(), built:facts()
end

return index
