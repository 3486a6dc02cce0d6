--- How much a model leans on each feature: what a metric loses when the feature's values change rows.
---
--- Permutation importance (Breiman 2001, doi:10.1023/A:1010933404324; Fisher, Rudin & Dominici 2019, arXiv:1801.01489):
--- a feature's values are dealt anew among the users, moments or items of the evaluation, everything else stays, and
--- the same queries are ranked. A drop near 0 says that this model does not need the feature beside the others, not
--- that the feature knows nothing: two that say the same cover for one another.

local base = require("recsys.core").base
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local importance = {}

--- The features of an encoder: outputs that have to move together, in the encoder's order.
---@return { name: string, side: string, kind: string, outputs: string[] }[]
local function groups_of(encoder)
  local groups, by_output = {}, {}
  for _, side in ipairs { "user", "event", "item" } do
    for _, input in ipairs(encoder:inputs(side)) do
      local beside = input.of and by_output[input.of]
      local group = beside or { name = input.name, side = side, kind = input.feature, outputs = {} }
      group.outputs[#group.outputs + 1] = input.name
      by_output[input.name] = group
      if not beside then groups[#groups + 1] = group end
    end
  end
  return groups
end

--- What lies at a row of an output comes from the row that 'from' says; lists keep their values and move their slices.
local function moved(features, outputs, from)
  local tensors = features:tensors()
  for _, name in ipairs(outputs) do
    local parts = tensors[name] and { name } or { name .. ".starts", name .. ".lengths" }
    for _, part in ipairs(parts) do tensors[part] = tensors[part]:index_select(from) end
  end
  return assert(feature.load_features(tensors))
end

--- Rows 0 .. n-1 with those of 'some' (i64) dealt anew among themselves.
local function dealt(n, some, stream)
  local from = tensor.arange(0, n, "i64")
  from:index_copy_(some, some:index_select(stream:permutation(#some)))
  return from
end

--- The rows of a side that the evaluation asks: users of queries, all moments, the whole catalogue.
local function rows_asked(inputs)
  return { user = inputs.user_rows:unique(), event = tensor.arange(0, inputs.events:rows(), "i64"),
    item = tensor.arange(0, inputs.items:rows(), "i64") }
end

local fields = { user = "users", event = "events", item = "items" }

--- The metric with one group of outputs dealt anew.
local function without(request, group, asked, stream)
  local inputs, field = request.inputs, fields[group.side]
  local from = dealt(inputs[field]:rows(), asked[group.side], stream)
  local changed <close> = moved(inputs[field], group.outputs, from)
  local trial = setmetatable({ [field] = changed }, { __index = inputs })
  local model = request.model
  if model.columns then return evaluate.metric(request.queries, model:scorer(trial), request.metric) end
  local vectors = group.side == "item"
    and { users = request.vectors.users, items = model:item_vectors(changed) }
    or { users = model:user_vectors(trial.users, trial.events, trial.user_rows), items = request.vectors.items }
  return evaluate.metric(request.queries, vectors, request.metric)
end

local function table_of(report)
  local rows = { { "feature", "is", "drop of " .. report.metric, "of it", "least", "most" } }
  for _, entry in ipairs(report.features) do
    rows[#rows + 1] = { entry.name, entry.kind, ("%.4f"):format(entry.drop),
      report.value > 0 and ("%.1f %%"):format(100 * entry.drop / report.value) or "-", ("%.4f"):format(entry.least),
      ("%.4f"):format(entry.most) }
  end
  return ("Importance of features: %s is %.4f on the %s queries; values dealt anew %d time%s\n%s"):format(
    report.metric, report.value, report.split, report.repeats, report.repeats == 1 and "" or "s", text.columns(rows))
end

--- How much each feature of a model's encoder carries, most first. The same seed gives the same bits.
---@param request { model: Model, inputs: { users: Features, events: Features, items: Features, user_rows: Tensor },
---   queries: Queries, metric?: string, repeats?: integer, seed?: integer }
---   inputs: what the model scores these queries by; metric: default "ndcg_10"; repeats: permutations of each feature,
---   whose mean, least and most drop are told, default 3; seed: default 1
---@return table report  metric, value, repeats, seed, split and
---   features: { name, side, kind, outputs, drop, least, most }[]
---@return string text
function importance.of(request)
  local metric, repeats, seed = request.metric or "ndcg_10", request.repeats or 3, request.seed or 1
  local inputs, model = request.inputs, request.model
  evaluate.ranking_for(request.queries, metric)
  local vectors = model.columns and model:scorer(inputs) or { items = model:item_vectors(inputs.items),
    users = model:user_vectors(inputs.users, inputs.events, inputs.user_rows) }
  local asked = rows_asked(inputs)
  request = setmetatable({ metric = metric, vectors = vectors }, { __index = request })
  local report = { metric = metric, repeats = repeats, seed = seed, split = request.queries.name, features = {},
    value = evaluate.metric(request.queries, vectors, metric) }
  for g, group in ipairs(groups_of(model.encoder)) do
    local sum, least, most = 0, math.huge, -math.huge
    for i = 1, repeats do
      local drop = report.value - without(request, group, asked, base.stream(seed, "shuffle", g, i))
      sum, least, most = sum + drop, math.min(least, drop), math.max(most, drop)
    end
    report.features[g] = { name = group.name, side = group.side, kind = group.kind, outputs = group.outputs,
      drop = sum / repeats, least = least, most = most }
  end
  table.sort(report.features, function(a, b)
    if a.drop ~= b.drop then return a.drop > b.drop end
    return a.name < b.name
  end)
  return report, table_of(report)
end

return importance
