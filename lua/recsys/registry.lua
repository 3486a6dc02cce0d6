--- Published models: `DIR/NAME-VERSION.tar`, versions counted from 1, each bundle complete before it can be seen.
---
--- A bundle is written under a hidden name that holds its digest, then linked to its public name: linking fails when
--- the name is taken, so two publishers get two versions, and a killed one leaves nothing that anybody would open.

local bundle = require "recsys.bundle"
local core = require "recsys.core"
local files = require "recsys.files"
local lfs = require "lfs"
local tensor = require "recsys.tensor"
local uv = require "luv"

local registry = { dir = "artifacts/models" }

local function name_is_plain(name)
  return type(name) == "string" and #name <= 64 and name:match "^[a-z][a-z0-9_%-]*$" ~= nil
    and not name:match "%-%d+$"
end

--- Versions of one model, or of all (name nil), sorted by name and version.
---@param name? string
---@param dir? string   default registry.dir
---@return { name: string, version: integer, path: string, bytes: integer }[]
function registry.list(name, dir)
  dir = dir or registry.dir
  local list = {}
  if lfs.attributes(dir, "mode") ~= "directory" then return list end
  for file in lfs.dir(dir) do
    local model, version = file:match "^([a-z][a-z0-9_%-]*)%-(%d+)%.tar$"
    if model and (not name or name == model) then
      local path = dir .. "/" .. file
      list[#list + 1] = { name = model, version = math.tointeger(tonumber(version)), path = path,
        bytes = lfs.attributes(path, "size") }
    end
  end
  table.sort(list, function(a, b)
    if a.name ~= b.name then return a.name < b.name end
    return a.version < b.version
  end)
  return list
end

--- The file that a word stands for: a path, NAME-VERSION, or NAME, which is its latest version.
---@param word string
---@param dir? string
---@return string? path
---@return string? message   with what there is
function registry.resolve(word, dir)
  dir = dir or registry.dir
  if lfs.attributes(word, "mode") == "file" then return word end
  local exact = ("%s/%s.tar"):format(dir, word)
  if name_is_plain((word:gsub("%-%d+$", ""))) then
    if lfs.attributes(exact, "mode") == "file" then return exact end
    local versions = registry.list(word, dir)
    if #versions > 0 then return versions[#versions].path end
  end
  local known, seen = {}, {}
  for _, found in ipairs(registry.list(nil, dir)) do
    if not seen[found.name] then known[#known + 1] = found.name end
    seen[found.name] = true
  end
  local near = require("recsys.text").nearest(word, known)
  local hint = near and ("; did you mean '%s'?"):format(near)
    or #known > 0 and ("; there are: " .. table.concat(known, ", ")) or ""
  return nil, ("there is no bundle '%s', neither as a file nor in %s%s"):format(word, dir, hint)
end

local function sync(dir)
  local handle = assert(uv.fs_open(dir, "r", 0))
  uv.fs_fsync(handle)
  uv.fs_close(handle)
end

local DAY = 86400

--- Remove what killed publishers left behind more than a day ago: hidden files that no name leads to.
local function sweep(dir)
  for file in lfs.dir(dir) do
    local path = dir .. "/" .. file
    local age = file:match "^%.[%w_%-]" and os.time() - (lfs.attributes(path, "modification") or os.time())
    if age and age > DAY then os.remove(path) end
  end
end

--- Make the finished file 'hidden' visible as dir/name-version.tar, unless that is taken; returns the path.
local function reveal(hidden, dir, name, version)
  local path = ("%s/%s-%d.tar"):format(dir, name, version)
  local ok, message, code = uv.fs_link(hidden, path)
  if not ok and code ~= "EEXIST" then
    error({ code = "io", message = ("cannot publish %s: %s"):format(path, message) }, 0)
  end
  return ok and path
end

--- Write a bundle as the next version of 'name'. 'manifest' gets the fields name and version; 'check' is asked with the
--- path of the finished file before anybody sees it, and refuses it by nil, message, code.
---@param request { name: string, manifest: table, members: BundleMember[], dir?: string, check?: fun(path: string) }
---@return string? path
---@return string? message
---@return string? code
function registry.add(request)
  local name, dir = request.name, request.dir or registry.dir
  if not name_is_plain(name) then
    error("bad argument #1 to 'add' (field 'name' must be of a-z, 0-9, _ and -, without a number at its end)", 2)
  end
  sweep(files.make_folder(dir))
  local versions = registry.list(name, dir)
  local version = #versions > 0 and versions[#versions].version + 1 or 1
  local unfinished = ("%s/.%s-%d"):format(dir, name, uv.os_getpid())
  while true do
    local manifest = { name = name, version = version }
    for key, value in pairs(request.manifest) do manifest[key] = manifest[key] or value end
    local digest, message, code = bundle.write(unfinished, { manifest = manifest, members = request.members })
    if not digest then return nil, message, code end
    local hidden = ("%s/.%s.tar"):format(dir, digest)
    assert(uv.fs_rename(unfinished, hidden))
    local fine, refusal, word = true, nil, nil
    if request.check then fine, refusal, word = request.check(hidden) end
    if not fine then
      uv.fs_unlink(hidden)
      return nil, refusal, word
    end
    local path = reveal(hidden, dir, name, version)
    uv.fs_unlink(hidden)
    sync(dir)
    if path then return path end
    version = version + 1
  end
end

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

local function item_tensors(items, vectors)
  local tensors = { vectors = vectors }
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
  local names, parts = {}, { json_of(model.plans.user), json_of(model.plans.item) }
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

--- The members of a model's bundle (docs/bundle.md), and its item vectors.
local function members_of(request)
  local model, dataset = request.model or request, request.dataset
  local encoded = model.encoder:save()
  local items = request.items or model.encoder:encode_items_at(dataset, request.as_of)
  local users = request.users or model.encoder:encode_users(dataset.users)
  local history = request.history or model.encoder:sequences(dataset)
  local vectors = request.vectors or model:item_vectors(items)
  local version = tower_version(model)
  local members = {
    { "features.json", bytes = encoded.json },
    { "vocabularies.safetensors", tensors = encoded.tensors },
    { "plan.user.json", bytes = json_of(model.plans.user) },
    { "plan.item.json", bytes = json_of(model.plans.item) },
    { "weights.safetensors", tensors = with_version(model.weights, version) },
    { "items.safetensors", tensors = with_version(item_tensors(dataset.items, vectors), version) },
    { "items.features.safetensors", tensors = items:tensors() },
    { "users.safetensors", tensors = user_tensors(dataset.users, model.encoder.program) },
    { "users.features.safetensors", tensors = users:tensors() },
    { "history.safetensors", tensors = history:tensors() },
  }
  if request.card then members[#members + 1] = { "card.md", bytes = request.card } end
  return members, vectors
end

--- The commit of the working folder, nil outside of git.
local function git_commit()
  local pipe = io.popen "git rev-parse HEAD 2>/dev/null"
  local commit = pipe and pipe:read "l"
  if pipe then pipe:close() end
  return commit and commit:match "^%x+$"
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

local function weights_of(tensors)
  local count = 0
  for _, t in pairs(tensors) do count = count + t:count() end
  return count
end

local function manifest_of(request, vectors)
  local model, dataset = request.model or request, request.dataset
  return {
    created = request.created or os.date "!%Y-%m-%dT%H:%M:%SZ",
    model = { kind = model.kind, config = model.config or {}, weights = weights_of(model.weights),
      dimensions = vectors:size(2) },
    parameters = request.parameters or {}, metrics = request.metrics or {}, run = request.run, seed = request.seed,
    data = { name = dataset.name, fingerprint = dataset.fingerprint, users = dataset.users:rows(),
      items = dataset.items:rows(), interactions = dataset.interactions:rows() },
    serving = { as_of = request.as_of or end_of(dataset), window = request.window },
    git_commit = request.git_commit or git_commit(),
    runtime = { version = core.version, commit = core.commit },
  }
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

--- Whether the file is a model that answers.
local function answers(path)
  local model, message, code = core.serve.open(path)
  if not model then return nil, "the model cannot be published: " .. message, code end
  model:close()
  return true
end

--- Publish a model as the next version of its name, once it has been loaded and has answered.
---
--- request.model is a Model (recsys.model): kind, config, encoder, plans, weights, and item_vectors unless 'vectors'
--- are given; these may also stand in the request itself. Optional: vectors (f32 [items, d], one a row of the
--- catalogue), items and users (encoded Features), history (encoder:sequences), as_of (ms; the moment that requests
--- are answered for by default: just after the last interaction), window (ms that an item stays a candidate after its
--- creation; nil: for ever), parameters, metrics, run, seed, card (Markdown), created (ISO 8601), dir (default
--- registry.dir).
---@param request { name: string, model: Model, dataset: Dataset }
---@return string? path      DIR/NAME-VERSION.tar
---@return string? message
---@return string? code      "io", "memory"; "format" for a model that would not answer, such as one with NaN weights
function registry.publish(request)
  check(request)
  local members, vectors = members_of(request)
  return registry.add { name = request.name, dir = request.dir, manifest = manifest_of(request, vectors),
    members = members, check = answers }
end

return registry
