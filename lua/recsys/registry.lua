--- Published models: versions of names, each a bundle that is complete before it can be seen.
---
--- A version is a row in MLflow's registry tables (artifacts/mlflow.db), which points to its bundle by the bundle's
--- hash; DIR/NAME-VERSION.tar is the same file by a name for people. Two publishers of one moment get two versions,
--- and a killed one leaves nothing that anybody would open. docs/registry.md is the manual.

local bundle = require "recsys.bundle"
local bundles = require "recsys.registry.bundles"
local catalogue = require "recsys.registry.catalogue"
local contents = require "recsys.registry.contents"
local current = require "recsys.tune.current"
local expectations = require "recsys.serve.expectations"
local lfs = require "lfs"
local logged = require "recsys.registry.logged"
local rows = require "recsys.registry.rows"
local words = require "recsys.registry.words"

local registry = { dir = "artifacts/models" }

local function name_is_plain(name)
  return type(name) == "string" and #name <= 64 and name:match "^[a-z][a-z0-9_%-]*$" ~= nil
    and not name:match "%-%d+$"
end

--- Open the registry of a folder: its database, bundles and names (recsys.registry.catalogue).
---@param dir? string   default registry.dir
---@return Catalogue
function registry.open(dir)
  return catalogue.open(dir or registry.dir)
end

--- Versions of one model, or of all (name nil), sorted by name and version.
---@param name? string
---@param dir? string   default registry.dir
---@return { name: string, version: integer, path: string, bytes: integer }[]
function registry.list(name, dir)
  dir = dir or registry.dir
  local opened = catalogue.peek(dir)
  if not opened then return catalogue.sorted(catalogue.named_files(dir), name) end
  local _ <close> = opened
  return opened:list(name)
end

--- What there is, for those who asked for what there is not.
local function missing(word, dir)
  if word == "" then return "no bundle is named: its file, NAME-VERSION, NAME@ALIAS or NAME is" end
  local known, seen = {}, {}
  for _, found in ipairs(registry.list(nil, dir)) do
    if not seen[found.name] then known[#known + 1] = found.name end
    seen[found.name] = true
  end
  local near = require("recsys.text").nearest((word:gsub("@.*", "")), known)
  local hint = near and near ~= word and ("; did you mean '%s'?"):format(near)
    or #known > 0 and ("; there are: " .. table.concat(known, ", ")) or ""
  local as_file = lfs.attributes(word, "mode") == "directory" and "which is a folder, nor" or "neither as a file nor"
  return ("there is no bundle '%s', %s in %s%s"):format(word, as_file, dir, hint)
end

--- The version's file among those of a list; without a version the latest.
local function among(list, version)
  local found
  for _, candidate in ipairs(list) do
    if not version or candidate.version == version then found = candidate end
  end
  return found
end

--- The version that an alias stands for, as the database has it.
local function aliased(name, alias, dir)
  local opened = catalogue.peek(dir)
  if not opened then return nil end
  local _ <close> = opened
  return rows.aliased(opened.db, name, alias)
end

--- The file that a word stands for: a path, NAME-VERSION, NAME@ALIAS, or NAME, which is its latest version.
---@param word string
---@param dir? string
---@return string? path
---@return string? message   with what there is
function registry.resolve(word, dir)
  dir = dir or registry.dir
  if lfs.attributes(word, "mode") == "file" then return word end
  local asked = words.parse(word)
  local version = asked.version
  if asked.alias then
    version = aliased(asked.name, asked.alias, dir)
    if not version and #registry.list(asked.name, dir) == 0 then return nil, missing(word, dir) end
    if not version then return nil, ("%s has no version with the alias '%s'"):format(asked.name, asked.alias) end
  end
  local found = among(registry.list(asked.name, dir), version) or among(registry.list(word, dir))
  if found then return found.path end
  return nil, missing(word, dir)
end

--- Write a bundle to 'path', with the members that only the finished file can tell.
local function write_bundle(request, manifest, path)
  local members = request.members
  local digest, message, code = bundle.write(path, { manifest = manifest, members = members })
  if not digest or not request.complete then return digest, message, code end
  local more, refusal, word = request.complete(path)
  if not more then return nil, refusal, word end
  members = table.move(members, 1, #members, 1, {})
  table.move(more, 1, #more, #members + 1, members)
  return bundle.write(path, { manifest = manifest, members = members })
end

--- Write a bundle where its hash says.
local function store_bundle(opened, request, manifest)
  local hidden = bundles.hidden(opened.store)
  local digest, message, code = write_bundle(request, manifest, hidden)
  if digest then
    bundles.keep(opened.store, hidden, digest, manifest)
    return digest
  end
  os.remove(hidden)
  return nil, message, code
end

--- Write a bundle as the next version of 'name'. 'manifest' gets the fields name and version; 'complete' is asked with
--- the path of the finished file before anybody sees it, and gives members to add, or refuses it by nil, message, code.
--- Where a run is being tracked in the same database, the version is that run's, and the bundle a model that it has
--- logged; where one is tracked by a server, the version is registered there, too.
---@param request { name: string, manifest: table, members: BundleMember[], dir?: string,
---   complete?: fun(path: string): BundleMember[]? }
---@return string? path
---@return string? message
---@return string? code
function registry.add(request)
  local name = request.name
  if not name_is_plain(name) then
    error("bad argument #1 to 'add' (field 'name' must be of a-z, 0-9, _ and -, without a number at its end)", 2)
  end
  local opened <close> = registry.open(request.dir)
  local run = logged.run(opened)
  bundles.sweep(opened.store)
  while true do
    local version = opened:next_version(name)
    local manifest = { name = name, version = version }
    for key, value in pairs(request.manifest) do manifest[key] = manifest[key] or value end
    local digest, message, code = store_bundle(opened, request, manifest)
    if not digest then return nil, message, code end
    local about = { name = name, version = version, digest = digest, manifest = manifest }
    about.run = run and logged.put(opened, run, about)
    if opened:register(about) then
      local far = logged.far_run()
      if far then logged.send(opened, far, about) end
      return opened:show(name, version, digest)
    end
    opened:drop(digest) -- another publisher has this number now
  end
end

local function check(request)
  local model = request.model or request
  local function need(holder, field, kind)
    local lua_type = (kind == "Tensor" or kind == "Encoder") and type(holder[field]) or kind
    if holder[field] == nil or type(holder[field]) ~= lua_type then
      error(("bad argument #1 to 'publish' (field '%s' must be a %s)"):format(field, kind), 4)
    end
  end
  need(request, "name", "string")
  need(request, "dataset", "table")
  need(model, "kind", "string")
  need(model, "plans", "table")
  need(model, "weights", "table")
  need(model, "encoder", "Encoder")
  if not model.item_vectors then need(request, "vectors", "Tensor") end
end

--- What the finished file answers, which a server asks for again before it serves it; refused when it does not answer.
local function expected(path)
  local text, message, code = expectations.of(path)
  if not text then return nil, "the model cannot be published: " .. message, code end
  return { { expectations.member, bytes = text } }
end

--- Publish a model as the next version of its name, once it has been loaded and has answered.
---
--- request.model is a Model (recsys.model): kind, config, encoder, plans, weights, likeness, and item_vectors unless
--- 'vectors' are given; these may also stand in the request itself. Optional: vectors (f32 [items, d], by row of the
--- catalogue), items and users (encoded Features), history (encoder:sequences), as_of (ms; the moment that requests
--- are answered for by default: just after the last interaction), window (ms that an item stays a candidate after its
--- creation; nil: for ever), parameters, metrics, intervals, test (what they were measured on), rival (the champion
--- on that, recsys.registry.rival), trained_until (ms), run, seed, card (Markdown), created (ISO 8601), dir (default
--- registry.dir), attributes (columns of items that filters may name; default: all of modest size; false: none),
--- popular ({ half_life = ms, segments = columns of users }; false: no popularity to fall back to), index ("exact",
--- "hnsw", or { engine = "hnsw", and options of retrieval.hnsw }; default: by the number of items, docs/retrieval.md),
--- codes (whether the vectors' codes are kept beside them; default: of large catalogues that the exact index searches).
---@param request { name: string, model: Model, dataset: Dataset }
---@return string? path      DIR/NAME-VERSION.tar
---@return string? message
---@return string? code      "io", "memory"; "format" for a model that would not answer, such as one with NaN weights
function registry.publish(request)
  current.forbid "publishes a model"
  check(request)
  local members, vectors, found_by = contents.members(request)
  return registry.add { name = request.name, dir = request.dir, members = members, complete = expected,
    manifest = contents.manifest(request, vectors, found_by) }
end

--- What a published bundle holds, but for what it says of its own answers, for another version of it.
---@param path string
---@return { name: string, manifest: table, members: BundleMember[] }? request  for registry.add or registry.write
---@return string? message
---@return string? code
function registry.reopen(path)
  local opened <close>, message, code = bundle.open(path)
  if not opened then return nil, message, code end
  local manifest, members = opened:manifest(), {}
  local request = { name = manifest.name, manifest = manifest, members = members, complete = expected }
  for _, member in ipairs(opened:members()) do
    local tensors
    if member.name:match "%.safetensors$" then
      tensors, message, code = opened:tensors(member.name)
      if not tensors then return nil, message, code end
    end
    if member.name ~= expectations.member then
      local bytes = not tensors and opened:text(member.name) or nil
      members[#members + 1] = { member.name, tensors = tensors, bytes = bytes }
    end
  end
  for _, key in ipairs { "name", "version", "format", "members" } do manifest[key] = nil end
  return request
end

--- Write a bundle as a file that no registry knows.
---@param path string
---@param request table  as for registry.add; 'version' is the manifest's
---@return string? digest
---@return string? message
---@return string? code
function registry.write(path, request)
  local manifest = { name = request.name, version = request.version }
  for key, value in pairs(request.manifest) do manifest[key] = value end
  return write_bundle(request, manifest, path)
end

return registry
