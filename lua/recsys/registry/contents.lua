--- What a model's bundle holds (docs/bundle.md): its members and its manifest.

local attributes = require "recsys.registry.attributes"
local core = require "recsys.core"
local index = require "recsys.registry.index"
local json = require "recsys.json"
local log = require "recsys.log"
local network = require "recsys.network"
local popular = require "recsys.registry.popular"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local contents = {}

local CODED = 2 ^ 22 -- numbers of a catalogue's vectors from which on their codes are kept: made anew they take 5 ms

--- Strings one after another, and where each begins: u8 [total] and i64 [n + 1]. A nil is an empty string.
---@param n integer
---@param text fun(i: integer): string?
local function packed(n, text)
  local strings, offsets, total = {}, { 0 }, 0
  for i = 1, n do
    strings[i] = text(i) or ""
    total = total + #strings[i]
    offsets[i + 1] = total
  end
  return tensor.from_string(table.concat(strings), "u8", total), tensor.new(offsets, "i64")
end

local function item_tensors(items, vectors, by_columns)
  local tensors = { [by_columns and "columns" or "vectors"] = vectors }
  tensors["ids.bytes"], tensors["ids.offsets"] = packed(items:rows(), function(i) return items:text("item", i) end)
  if items:has "title" then
    tensors["titles.bytes"], tensors["titles.offsets"] = packed(items:rows(),
      function(i) return items:text("title", i) end)
  end
  if items:has "created" then tensors.created = items:column "created" end
  return tensors
end

--- Ids, and as "moment.x" the columns x of users that event features read.
local function user_tensors(users, program)
  local bytes, offsets = packed(users:rows(), function(i) return users:text("user", i) end)
  local tensors = { ["ids.bytes"] = bytes, ["ids.offsets"] = offsets }
  for _, column in ipairs(program:columns "event") do
    local name = column.name:match "^user%.(.+)$"
    if name and users:has(name) then tensors["moment." .. name] = users:column(name) end
  end
  return tensors
end

local function json_of(plan)
  return type(plan) == "string" and plan or plan:json()
end

--- What tells the towers of one training from those of any other: a hash of all weights and of both plans, as a tensor
--- that stands beside the user tower's weights and beside the item tower's vectors.
local function tower_version(model)
  local names, parts = {}, { json_of(model.plans.user), model.plans.item and json_of(model.plans.item) or "columns" }
  for name in pairs(model.weights) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = name .. core.frame.hash(model.weights[name]) end
  return tensor.from_string(core.frame.hash(table.concat(parts, "\n")), "u8")
end

--- A copy of the tensors with the version beside them.
local function with_version(tensors, version)
  local all = { ["tower.version"] = version }
  for name, t in pairs(tensors) do all[name] = t end
  return all
end

--- Just after the last interaction that has a time, ms; interactions are in order of time.
local function end_of(dataset)
  local interactions = dataset.interactions
  for i = interactions:rows(), 1, -1 do
    local time = interactions:value("time", i)
    if time then return time + 1 end
  end
  return 0
end

--- What filters and caps read, and what is popular.
local function add_serving(members, request, history)
  local dataset, wanted = request.dataset, request.popular or {}
  if request.attributes ~= false then
    members[#members + 1] = { "items.attributes.safetensors",
      tensors = attributes.tensors(dataset.items, (attributes.choose(dataset.items, request.attributes))) }
  end
  if request.popular ~= false then
    members[#members + 1] = { "popular.safetensors", tensors = popular.tensors { users = dataset.users,
      n_items = dataset.items:rows(), history = history, as_of = request.as_of or end_of(dataset),
      window = request.window, half_life = wanted.half_life, segments = wanted.segments } }
  end
end

--- The first look's codes of a large catalogue (docs/retrieval.md), so that a server maps them.
---@param members BundleMember[]  which they join
---@param wanted? boolean  default: of large catalogues
function contents.add_codes(members, wanted, vectors, version)
  if wanted == nil then wanted = vectors:count() >= CODED end
  if not wanted then return end
  local exact <close> = retrieval.exact(vectors, true)
  local codes = exact:codes()
  if codes then members[#members + 1] = { "items.int8.safetensors", tensors = with_version(codes, version) } end
end

--- What items are found by, as the manifest has it; a graph becomes a member.
local function add_index(members, request, vectors, version)
  local model = request.model or request
  if model.columns then
    if request.index then error("a model by columns has no item vectors: leave the index out", 0) end
    return { engine = "columns", reason = "users have a score for each item, items no vectors" }
  end
  local engine, reason = index.choose({ items = vectors:size(1),
    counts_events = json.decode((model.encoder.program:save())).period ~= nil }, request.index)
  if vectors:size(1) >= index.LARGE or request.index then log.info("index: %s (%s)", engine, reason) end
  if engine == "exact" then return { engine = engine, reason = reason } end
  local tensors, facts = index.build(vectors, request.index)
  members[#members + 1] = { index.member, tensors = with_version(tensors, version) }
  facts.engine, facts.reason = engine, reason
  return facts
end

--- The members of a model's bundle (docs/bundle.md), its item vectors, and what the manifest says of its index.
function contents.members(request)
  local model, dataset = request.model or request, request.dataset
  local encoded = model.encoder:save()
  local items = request.items or model.encoder:encode_items_at(dataset, request.as_of)
  local users = request.users or model.encoder:encode_users(dataset.users)
  local history = request.history or model.encoder:sequences(dataset)
  local vectors = request.vectors or (model.columns and model:item_columns(items) or model:item_vectors(items))
  local version = tower_version(model)
  local members = {
    { "features.json", bytes = encoded.json },
    { "vocabularies.safetensors", tensors = encoded.tensors },
    { "plan.user.json", bytes = json_of(model.plans.user) },
    { "weights.safetensors", tensors = with_version(model.weights, version) },
    { "items.safetensors", tensors = with_version(item_tensors(dataset.items, vectors, model.columns), version) },
    { "items.features.safetensors", tensors = items:tensors() },
    { "users.safetensors", tensors = user_tensors(dataset.users, model.encoder.program) },
    { "users.features.safetensors", tensors = users:tensors() },
    { "history.safetensors", tensors = history:tensors() },
  }
  if model.plans.item then table.insert(members, 4, { "plan.item.json", bytes = json_of(model.plans.item) }) end
  local found_by = add_index(members, request, vectors, version)
  if found_by.engine == "exact" or request.codes and not model.columns then
    contents.add_codes(members, request.codes, vectors, version)
  end
  add_serving(members, request, history:tensors())
  if request.card then members[#members + 1] = { "card.md", bytes = request.card } end
  return members, vectors, found_by
end

--- The commit of the working folder, nil outside of git.
local function git_commit()
  local pipe = io.popen "git rev-parse HEAD 2>/dev/null"
  local commit = pipe and pipe:read "l"
  if pipe then pipe:close() end
  return commit and commit:match "^%x+$"
end

local function weights_of(tensors)
  local count = 0
  for _, t in pairs(tensors) do count = count + t:count() end
  return count
end

--- The manifest, but for name and version.
function contents.manifest(request, vectors, found_by)
  local model, dataset = request.model or request, request.dataset
  return {
    created = request.created or os.date "!%Y-%m-%dT%H:%M:%SZ",
    model = { kind = model.kind, config = model.config or {}, weights = weights_of(model.weights),
      dimensions = model.columns and network.column_input(model.encoder, model.columns).rows or vectors:size(2),
      likeness = model.likeness, columns = model.columns },
    parameters = request.parameters or {}, metrics = request.metrics or {}, run = request.run, seed = request.seed,
    intervals = request.intervals, test = request.test, rival = request.rival,
    data = { name = dataset.name, fingerprint = dataset.fingerprint, users = dataset.users:rows(),
      items = dataset.items:rows(), interactions = dataset.interactions:rows(),
      trained_until = request.trained_until },
    serving = { as_of = request.as_of or end_of(dataset), window = request.window, index = found_by },
    git_commit = request.git_commit or git_commit(),
    runtime = { version = core.version, commit = core.commit },
  }
end

return contents
