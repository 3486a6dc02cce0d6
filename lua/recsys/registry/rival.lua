--- The champion on a candidate's own test rows: what a promotion compares with when the champion was measured on other
--- ones, as it was when it was trained on last month's data.
---
--- The step that publishes the candidate has its test rows at hand: it opens the champion's bundle, asks it the same
--- questions, and the figures go into the candidate's manifest (field `rival`), for which its hash vouches. The
--- champion keeps its own encoder and weights; only the data are the candidate's.

local autograd = require "recsys.autograd"
local bundle = require "recsys.bundle"
local catalogue = require "recsys.registry.catalogue"
local evaluate = require "recsys.evaluate"
local exit = require "recsys.exit"
local feature = require "recsys.feature"
local log = require "recsys.log"
local model = require "recsys.model"
local rows = require "recsys.registry.rows"

local rival = {}

--- A bundle's model, as training gave it; nil, message when it holds none.
---@param opened Bundle
---@return Model?
---@return string? message
local function model_of(opened)
  local manifest = opened:manifest()
  local program, vocabularies = opened:text "features.json", opened:tensors "vocabularies.safetensors"
  local saved = opened:tensors "weights.safetensors"
  if not (manifest.model and program and vocabularies and saved) then return nil, "it is no model" end
  local encoder, message = feature.load(program, vocabularies)
  if not encoder then return nil, message end
  local weights, plans = {}, {}
  for name, weight in pairs(saved) do
    if name ~= "tower.version" then weights[name] = weight end
  end
  for _, side in ipairs { "user", "item" } do
    plans[side], message = autograd.plan_from_json(opened:text("plan." .. side .. ".json") or "")
    if not plans[side] then return nil, message end
  end
  return setmetatable({ kind = manifest.model.kind, config = manifest.model.config, encoder = encoder,
    weights = weights, plans = plans }, model.Model)
end

--- The champion of a name, when it was measured on other test rows than these.
---@return { label: string, version: integer, digest: string, manifest: table, bundle: Bundle }?
local function holder_of(name, dir, fingerprint)
  local opened = catalogue.peek(dir)
  if not opened then return nil end
  local _ <close> = opened
  local version = rows.aliased(opened.db, name, "champion")
  local known = version and opened:known()[catalogue.key(name, version)]
  local path = known and opened:file_of(name, version, known.digest)
  if not path or not known.digest then return nil end
  local b = assert(bundle.open(path))
  local manifest, digest = b:manifest(), b:digest()
  if digest == known.digest and (manifest.test or {}).fingerprint ~= fingerprint then
    return { label = ("%s-%d"):format(name, version), version = version, digest = digest, manifest = manifest,
      bundle = b }
  end
  b:close()
end

--- Whether the holder's training may have known some of the questions: it went on until after the first of them, or
--- nobody can tell.
local function may_have_seen(manifest, queries)
  local data, serving = manifest.data or {}, manifest.serving or {}
  local known_until = data.trained_until or serving.as_of and serving.as_of - 1
  return not (queries.times and known_until and known_until < queries.times:min())
end

local function measured(holder, request)
  local trained, message = model_of(holder.bundle)
  if not trained then error({ code = "format", message = message }, 0) end
  local report = evaluate.ranking { queries = request.queries, scorers = { model = request.scorer(trained) },
    k = request.k, samples = request.samples, seed = request.seed, baselines = false, segments = false }
  local seen = may_have_seen(holder.manifest, request.queries)
  log.info("  %s, the champion, on these test rows: %s %.4g%s", holder.label, report.metric,
    report.metrics[report.metric], seen and "; it may have been trained on some of them" or "")
  return { version = holder.version, digest = holder.digest, test = request.fingerprint, metrics = report.metrics,
    intervals = report.intervals, seen = seen }
end

--- Ask the champion of a name the questions that a candidate was asked. nil where there is no champion, where its own
--- figures are of these very questions, and, with a warning, where it cannot answer them.
---@param request { name: string, dir: string, fingerprint: string, queries: Queries, k: integer[], samples: integer,
---  seed: integer, scorer: fun(trained: Model): table|function }
---   fingerprint: of the queries; scorer: of a model over them
---@return { version: integer, digest: string, test: string, metrics: table, intervals: table, seen: boolean }?
function rival.measure(request)
  local ok, holder = pcall(holder_of, request.name, request.dir, request.fingerprint)
  local found
  if ok and holder then
    local _ <close> = holder.bundle
    ok, found = pcall(measured, holder, request)
  elseif not ok then
    found = holder
  end
  if ok then return found end
  if type(found) == "table" and found.signal then error(found, 0) end
  log.warn("the champion of %s cannot be asked these test rows, so nothing can be promoted by a gate against it: %s",
    request.name, exit.message_of(found))
end

return rival
