--- The rows hnsw* of `retrieval`: a graph's queries a second against its recall, beside hnswlib's over the same vectors
--- with the same M and ef_construction.
---
--- Both sides build their index by all threads. Then they search in turns, right after one another: for the 10 best of
--- each query by one thread and by all, at an ef, as often as fits into the time for it, of which the fastest pass
--- counts; then at the next ef, and all that ROUNDS times, whose medians make a side's curve. Ours is searched as a
--- server has it, mapped from a file. A side's figure is the time of a query at a recall of 0.95, between the points
--- around it.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local bundle = require "recsys.bundle"
local catalogue = require "recsys.bench.catalogue"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local graph = {}

local ITEMS, QUERIES, WIDTH, K, M, EF_CONSTRUCTION = 1000000, 10000, 64, 10, 16, 100
local EFS = { 10, 12, 14, 16, 20, 24, 32, 48, 80, 160 }
local RECALL, SECONDS, ROUNDS = 0.95, 0.2, 5

local function prepare(folder, options)
  local n, q = math.ceil(ITEMS * options.scale), math.max(100, math.ceil(QUERIES * options.scale))
  local arguments = { folder = folder, n = n, q = q, width = WIDTH, m = M, ef_construction = EF_CONSTRUCTION, ef = EFS,
    seconds = options.scale == 1 and SECONDS or SECONDS / 10, items = catalogue.clustered(folder, "items", n, WIDTH),
    queries = catalogue.clustered(folder, "searches", q, WIDTH) }
  arguments.truth = bench.once(("%s/truth-%d-%d.npy"):format(folder, n, q), function(part)
    local rows = retrieval.topk { users = assert(tensor.load_npy(arguments.queries)),
      items = assert(tensor.load_npy(arguments.items)), k = K }
    assert(tensor.save_npy(part, rows))
  end)
  return arguments
end

--- The index as a server has it, and how long it took to build.
local function served(arguments, codes)
  local items = assert(tensor.load_npy(arguments.items))
  local began = base.clock()
  local built <close> = retrieval.hnsw(items, { m = M, ef_construction = EF_CONSTRUCTION, codes = codes })
  local seconds = base.clock() - began
  local path = ("%s/hnsw-%s.safetensors"):format(arguments.folder, codes and "codes" or "f32")
  local tensors = built:save()
  tensors.vectors = items
  assert(bundle.write_safetensors(path, tensors))
  local mapped = assert(bundle.read_safetensors(path))
  local vectors = mapped.vectors
  mapped.vectors = nil
  return assert(retrieval.load(mapped, vectors)), { build_seconds = seconds,
    memory_mib = (built:facts().bytes + (codes and 0 or 4 * vectors:count())) / 2 ^ 20 }
end

local function recall(rows, truth)
  local found, wanted, hits = rows:tolist(), truth:tolist(), 0
  for q, best in ipairs(wanted) do
    local is_best = {}
    for _, row in ipairs(best) do is_best[row] = true end
    for _, row in ipairs(found[q]) do hits = hits + (is_best[row] and 1 or 0) end
  end
  return hits / (#wanted * K)
end

--- Queries a second, and what was found.
local function rate(state, ef, threads)
  base.threads(threads)
  local best, start = 0, base.clock()
  while true do
    local began = base.clock()
    local rows = state.index:search { users = state.queries, k = K, ef = ef }
    best = math.max(best, state.queries:size(1) / (base.clock() - began))
    if base.clock() - start >= state.seconds then return best, rows end
  end
end

--- A figure of a curve at a recall, between the points around it; of a curve that lies above or below, its nearest end.
function graph.at(curve, wanted, key)
  for i, point in ipairs(curve) do
    if point.recall >= wanted then
      local before = curve[i - 1]
      if not before then return point[key] end
      local share = (wanted - before.recall) / (point.recall - before.recall)
      return 1 / ((1 - share) / before[key] + share / point[key])
    end
  end
  return curve[#curve][key]
end

--- A turn: both rates at an ef.
local function run(state, turn)
  local at = (turn - 1) % #EFS + 1
  local one, rows = rate(state, EFS[at], 1)
  local all = rate(state, EFS[at], state.threads)
  local point = state.points[at] or { ef = EFS[at], recall = recall(rows, state.truth), one = {}, all = {} }
  state.points[at] = point
  table.insert(point.one, one)
  table.insert(point.all, all)
  return nil, 1 / all
end

local function facts(state)
  local told = state.facts
  told.curve = {}
  for i, point in ipairs(state.points) do
    told.curve[i] = { ef = point.ef, recall = point.recall, qps1 = bench.median(point.one),
      qps = bench.median(point.all) }
  end
  return told
end

local function judge(sides)
  local ours, theirs = sides.recsys.facts, sides.hnswlib and sides.hnswlib.facts
  local verdicts, last = {}, ours.curve[#ours.curve]
  local function add(what, reached, wanted)
    verdicts[#verdicts + 1] = { what = what, reached = reached, wanted = wanted, holds = wanted and reached >= wanted }
  end
  add("of the 10 best found at the largest ef", last.recall, RECALL)
  if not theirs then return verdicts end
  add("times hnswlib's queries a second of one thread", graph.at(ours.curve, RECALL, "qps1")
    / graph.at(theirs.curve, RECALL, "qps1"), 1)
  add("times as little memory as hnswlib", theirs.memory_mib / ours.memory_mib, ours.codes and 2 or 1)
  add("times hnswlib's speed of building", theirs.build_seconds / ours.build_seconds)
  for i, point in ipairs(ours.curve) do
    add(("of hnswlib's recall at ef %d"):format(point.ef), point.recall / theirs.curve[i].recall)
  end
  return verdicts
end

--- A row.
---@param about string
---@param codes boolean  items are compared by bytes
function graph.row(about, codes)
  return {
    about = about, unit = "query", per = function() return 1 end, same = false, once = true,
    turns = ROUNDS * #EFS,
    prepare = prepare,
    setup = function(arguments)
      local index, told = served(arguments, codes)
      told.codes = codes
      return { index = index, facts = told, points = {}, threads = base.threads(), seconds = arguments.seconds,
        queries = assert(tensor.load_npy(arguments.queries)), truth = assert(tensor.load_npy(arguments.truth)) }
    end,
    run = run, facts = facts,
    seconds = function(told) return { 1 / graph.at(told.curve, RECALL, "qps") } end,
    against = function(ours, theirs)
      return { ours = 1 / graph.at(ours.curve, RECALL, "qps"), peer = 1 / graph.at(theirs.curve, RECALL, "qps"),
        what = ("seconds a query at recall@10 of %g by all threads"):format(RECALL) }
    end,
    judge = judge, peers = { hnswlib = "hnswlib.py" }, target = { times = { hnswlib = 1 } },
  }
end

return graph
