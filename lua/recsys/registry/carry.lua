--- Registered models carried from one place to another, after their runs (recsys.track.transfer): versions with their
--- bundles, aliases, tags, notes and what is on record of their aliases.
---
--- A version is known by its bundle's hash, so that carrying it again doubles nothing; its number is kept in a store
--- where that is free, and is the next one on a server. An alias that the other place has already stays where it is.
--- In a folder of exported runs, models are registered_models.json and bundles/DIGEST.tar for those of no run there. It
--- comes from strangers: names and tags go through the registry's checks, and a bundle must have the hash it is said
--- to have.

local artifacts = require "recsys.track.artifacts"
local bundle = require "recsys.bundle"
local bundles = require "recsys.registry.bundles"
local catalogue = require "recsys.registry.catalogue"
local files = require "recsys.files"
local json = require "recsys.json"
local registered = require "recsys.track.registered"
local rows = require "recsys.registry.rows"
local trail = require "recsys.registry.trail"
local uv = require "luv"
local versions = require "recsys.registry.versions"

local carry = {}

local CARRIED <const>, DIGEST <const> = "recsys.carried_from", "recsys.digest"

local function fail(message, code)
  if code == "away" or code == "broken" then code = "busy" end
  if code == "denied" then code = "failed" end
  error({ code = code or "failed", message = message }, 0)
end

local function whole(value) return math.tointeger(tonumber(value)) end

local function list_of(value) return type(value) == "table" and value or {} end

--- The path of a version's files below its run's artifacts; nil where the source is no run's.
local function path_in_run(version)
  local run, source = version.run_id, version.source or ""
  if not run or run == "" or run:find "[^%w_%-]" then return nil end
  local plain = run:gsub("%-", "%%-")
  return source:match("^runs:/+" .. plain .. "/(.+)$") or source:match("/" .. plain .. "/artifacts/(.+)$")
end

--- A version as it is to be there, but for its number: 'run' is what its run is called there, nil where it is not.
local function moved(version, run, digest)
  local description = version.description ~= "" and version.description or nil
  local copy = { name = version.name, description = description, user = version.user_id, run_id = run,
    created = whole(version.creation_timestamp), tags = {}, source = version.source }
  for _, tag in ipairs(version.tags or {}) do copy.tags[#copy.tags + 1] = { key = tag.key, value = tag.value } end
  if not registered.tag(copy.tags, DIGEST) and not registered.tag(copy.tags, CARRIED) then
    copy.tags[#copy.tags + 1] = { key = CARRIED, value = registered.identity(version) }
  end
  local path = path_in_run(version)
  if run and path then
    copy.source = ("runs:/%s/%s"):format(run, path)
  elseif digest then
    copy.source = "mlflow-artifacts:/models/" .. digest
  end
  return copy
end

--- The model's tags, with what is on record told in the numbers of that place; events of versions that are not there
--- are left out.
local function tags_there(model, numbers)
  local tags = {}
  for _, tag in ipairs(model.tags or {}) do
    local event = trail.is_key(tag.key) and json.decode(tag.value)
    if type(event) == "table" then
      local known = true
      for _, field in ipairs { "from", "to" } do
        local number = whole(event[field])
        if number then event[field], known = numbers[number], known and numbers[number] ~= nil end
      end
      if known then tags[#tags + 1] = { key = tag.key, value = json.encode(event) } end
    elseif not rows.is_record(tag.key) then
      tags[#tags + 1] = { key = tag.key, value = tag.value }
    end
  end
  return tags
end

--- Whether a file is the bundle of that hash.
local function has_digest(path, digest)
  local b = bundle.open(path, { verify = false })
  local found = b and b:digest()
  if b then b:close() end
  return found == digest
end

-- A store -------------------------------------------------------------------------------------------------------------

local Local = {}
Local.__index = Local

function Local:close() self.opened:close() end

function Local:models()
  local db, list = self.opened.db, {}
  for i, row in ipairs(db:rows("SELECT name, creation_time, last_updated_time, description FROM registered_models "
    .. "ORDER BY name")) do
    list[i] = rows.registered_model(db, row)
    list[i].versions = {}
    for _, found in ipairs(db:rows("SELECT name, version, creation_time, last_updated_time, description, user_id, "
      .. "current_stage, source, run_id, run_link, status, status_message FROM model_versions "
      .. "WHERE name = ? AND current_stage <> ? ORDER BY version", { row.name, rows.deleted })) do
      table.insert(list[i].versions, rows.model_version(db, found))
    end
  end
  return list
end

--- The file of a bundle, to be read alone.
function Local:bundle(version)
  local digest = registered.tag(version.tags, DIGEST)
  local path = bundles.is_digest(digest) and bundles.path(self.opened.store, digest)
  return path and files.exists(path) and path or nil
end

function Local:run(id)
  local row = self.opened.db:row("SELECT artifact_uri FROM runs WHERE run_uuid = ?", { id })
  return row and id or nil, row and row.artifact_uri
end

--- Store a bundle under its hash, unless it is there.
local function keep(opened, digest, path)
  if files.exists(bundles.path(opened.store, digest)) then return end
  local b, message = bundle.open(path)
  if not b then fail(message, "format") end
  local found, manifest = b:digest(), b:manifest()
  b:close()
  if found ~= digest then fail(("%s is another bundle than %s, which it is said to be"):format(path, digest)) end
  local hidden = bundles.hidden(opened.store)
  local made, problem = bundles.link(path, hidden)
  if not made then fail(problem, "io") end
  bundles.keep(opened.store, hidden, digest, manifest)
end

local function insert_tags(db, name, tags)
  for _, tag in ipairs(tags) do
    db:run("INSERT OR IGNORE INTO registered_model_tags (key, value, name) VALUES (?, ?, ?)",
      { trail.is_key(tag.key) and tag.key or rows.key(tag), rows.value(tag), name })
  end
end

--- Insert what is not there, within a transaction: numbers there by those of the other place, and how many are new.
local function insert_versions(self, model, list)
  local db, numbers, made = self.opened.db, {}, 0
  local there = {}
  for _, row in ipairs(db:rows("SELECT name, version, creation_time FROM model_versions WHERE name = ? "
    .. "AND current_stage <> ?", { model.name, rows.deleted })) do
    local known = rows.model_version(db, row)
    there[registered.identity(known)] = row.version
  end
  for _, version in ipairs(list) do
    local number = there[registered.identity(version.from)]
    if not number then
      number = whole(version.from.version)
      local taken = db:row("SELECT 1 FROM model_versions WHERE name = ? AND version = ?", { model.name, number })
      if taken then number = versions.next_number(db, model.name) end
      version.to.version, made = number, made + 1
      versions.insert(db, version.to)
    end
    numbers[whole(version.from.version)] = number
  end
  return numbers, made
end

--- Where a version's files are here: of a run at its address.
local function source_here(self, to)
  local _, uri = nil, nil
  if to.run_id then _, uri = self:run(to.run_id) end
  local path = path_in_run(to)
  return uri and path and uri .. "/" .. path or to.source
end

function Local:take(model, list)
  local opened, db = self.opened, self.opened.db
  for _, version in ipairs(list) do
    rows.name(version.to)
    rows.tags(version.to)
    version.to.source = source_here(self, version.to)
    if version.file then keep(opened, version.digest, version.file) end
  end
  local report = { model = model.name, versions = {}, aliases = {}, kept = {} }
  db:transaction(function()
    local is_new = db:run("INSERT OR IGNORE INTO registered_models (name, creation_time, last_updated_time, "
      .. "description) VALUES (?, ?, ?, ?)", { rows.name(model), whole(model.creation_timestamp) or rows.now(),
      rows.now(), rows.optional(model, "description", 100000) }) > 0
    report.versions, report.made = insert_versions(self, model, list)
    for _, tag in ipairs(tags_there(model, report.versions)) do
      if is_new or not trail.is_key(tag.key) then insert_tags(db, model.name, { tag }) end
    end
    for _, alias in ipairs(model.aliases or {}) do
      local number, holder = report.versions[whole(alias.version)], rows.aliased(db, model.name, rows.alias(alias))
      if number and not holder then
        trail.move(db, model.name, alias.alias, number, { action = "alias", reason = "carried here" })
      end
      if number then report[(holder or number) == number and "aliases" or "kept"][alias.alias] = holder or number end
    end
  end)
  for _, version in ipairs(list) do
    if version.file then bundles.mark(opened.store, version.digest) end
  end
  opened:adopt() -- bundles that lie among the runs' files, and names
  return report
end

-- A server ------------------------------------------------------------------------------------------------------------

local Server = {}
Server.__index = Server

function Server.close() end

local function sure(value, message, code)
  if value == nil then fail(message, code) end
  return value
end

function Server:models()
  local list, by_name = sure(registered.models(self.wire)), {}
  for _, model in ipairs(list) do model.versions, by_name[model.name] = {}, model end
  for _, version in ipairs(sure(registered.versions(self.wire))) do
    if by_name[version.name] then table.insert(by_name[version.name].versions, version) end
  end
  for _, model in ipairs(list) do
    table.sort(model.versions, function(a, b) return whole(a.version) < whole(b.version) end)
  end
  return list
end

--- Where the server may have a version's bundle: under its hash, or among its run's files.
local function addresses(self, version, digest)
  local list = { ("mlflow-artifacts:/models/%s/bundle.tar"):format(digest) }
  local path = path_in_run(version)
  local run = path and self.wire:call("GET", "runs/get", { run_id = version.run_id })
  local found = run and self.wire:call("GET", "artifacts/list", { run_id = version.run_id, path = path })
  for _, file in ipairs(found and found.files or {}) do
    if file.path:find "%.tar$" then list[#list + 1] = ("%s/%s"):format(run.run.info.artifact_uri, file.path) end
  end
  return list
end

--- A file with the bundle, which the caller removes; nil where the server has none of that hash.
function Server:bundle(version)
  local digest = registered.tag(version.tags, DIGEST)
  if not bundles.is_digest(digest) then return nil end
  local path = os.tmpname()
  for _, uri in ipairs(addresses(self, version, digest)) do
    if self.wire:get_file(uri, path) and has_digest(path, digest) then return path, true end
  end
  os.remove(path)
end

function Server:run(id)
  local answer, message, code = self.wire:call("GET", "runs/get", { run_id = id })
  if answer then return answer.run.info.run_id end
  if code == "away" or code == "denied" or code == "broken" then fail(message, code) end
end

--- A run there that holds the bundle of a version of no run: servers of today want a source to be a run's.
local function run_for(self, version)
  local experiment = self.runs:experiment "Registered models"
  local found = self.runs:search { experiment_ids = { experiment }, max_results = 1, run_view_type = "ALL",
    filter = ("tags.`recsys.logged_as` = '%s'"):format(version.digest) }
  local run = found.runs and found.runs[1] or sure(self.wire:call("POST", "runs/create", {
    experiment_id = experiment, start_time = whole(version.to.created) or rows.now(), user_id = version.to.user,
    run_name = ("%s-%s"):format(version.from.name, version.from.version),
    tags = { { key = "recsys.logged_as", value = version.digest } } })).run
  local uri, id = run.info.artifact_uri .. "/model/", run.info.run_id
  sure(self.wire:put_file(uri .. "bundle.tar", version.file))
  local b <close> = assert(bundle.open(version.file, { verify = false }))
  local about = os.tmpname()
  files.write(about, bundles.mlmodel { digest = version.digest, manifest = b:manifest(), run_id = id })
  local ok, message, code = self.wire:put_file(uri .. "MLmodel", about)
  os.remove(about)
  sure(ok, message, code)
  sure(self.wire:call("POST", "runs/update", { run_id = id, status = "FINISHED",
    end_time = whole(version.to.created) or rows.now() }))
  return id
end

--- Make a version on the server, with its bundle where it has no run: its number, and whether it was made.
local function add_version(self, version, there)
  local to = version.to
  if version.file and not registered.known(to, there) then
    sure(self.wire:put_file(("mlflow-artifacts:/models/%s/bundle.tar"):format(version.digest), version.file))
  end
  local number, made, code = registered.add(self.wire, to, there)
  if not number and version.file and code == "INVALID_PARAMETER_VALUE" then
    to.run_id = run_for(self, version)
    to.source = ("runs:/%s/model"):format(to.run_id)
    number, made, code = registered.add(self.wire, to, there)
  end
  if not number then fail(made, code) end
  return number, made
end

function Server:take(model, list)
  local wire, report = self.wire, { model = model.name, versions = {}, made = 0, aliases = {}, kept = {} }
  local expected = {}
  for i, version in ipairs(list) do expected[whole(version.from.version)] = i end -- in a model that is new there
  sure(registered.make(wire, { name = model.name, description = model.description,
    tags = tags_there(model, expected) }))
  local there = sure(registered.versions(wire, model.name))
  for _, version in ipairs(list) do
    local number, made = add_version(self, version, there)
    report.versions[whole(version.from.version)] = number
    if made then report.made = report.made + 1 end
  end
  for _, alias in ipairs(model.aliases or {}) do
    local number = report.versions[whole(alias.version)]
    if number then
      local holder = sure(registered.alias(wire, model.name, alias.alias, number))
      report[holder == number and "aliases" or "kept"][alias.alias] = holder
    end
  end
  return report
end

-- A folder ------------------------------------------------------------------------------------------------------------

local Folder = {}
Folder.__index = Folder

function Folder.close() end

local function file_of(self) return self.path .. "/registered_models.json" end

function Folder:models()
  local bytes = files.read(file_of(self))
  if not bytes then return {} end
  local list = json.decode(bytes)
  local function bad() fail(file_of(self) .. ": these are no exported models", "format") end
  if type(list) ~= "table" then bad() end
  for _, model in ipairs(list) do
    if type(model) ~= "table" or type(model.name) ~= "string" then bad() end
    model.versions, model.aliases, model.tags = list_of(model.versions), list_of(model.aliases), list_of(model.tags)
    for _, version in ipairs(model.versions) do
      if type(version) ~= "table" or not whole(version.version) or type(version.source) ~= "string" then bad() end
      version.name, version.tags = model.name, list_of(version.tags)
    end
  end
  return list
end

local function bundle_of(self, digest) return ("%s/bundles/%s.tar"):format(self.path, digest) end

local function is_file(path)
  local about = uv.fs_lstat(path)
  return about ~= nil and about.type == "file"
end

--- The file of a bundle: by itself, or among its run's files.
function Folder:bundle(version)
  local digest = registered.tag(version.tags, DIGEST)
  if not bundles.is_digest(digest) then return nil end
  if is_file(bundle_of(self, digest)) then return bundle_of(self, digest) end
  local path = path_in_run(version)
  local home = path and ("%s/%s/artifacts/%s"):format(self.path, version.run_id, artifacts.checked(path))
  for _, name in ipairs(home and files.names(home) or {}) do
    local file = home .. "/" .. name
    if name:find "%.tar$" and is_file(file) and has_digest(file, digest) then return file end
  end
end

function Folder:run(id)
  return not id:find "[^%w_%-]" and files.exists(("%s/%s/run.json"):format(self.path, id)) and id or nil
end

function Folder:take(model, list)
  local all, kept = files.exists(file_of(self)) and self:models() or {}, {}
  for _, one in ipairs(all) do
    if one.name ~= model.name then kept[#kept + 1] = one end
  end
  local copy = { name = model.name, description = model.description, aliases = json.list {},
    creation_timestamp = model.creation_timestamp, versions = json.list {} }
  local report = { model = model.name, versions = {}, made = #list, aliases = {}, kept = {} }
  for i, version in ipairs(list) do
    copy.versions[i], report.versions[whole(version.from.version)] = version.from, whole(version.from.version)
    if version.file then
      files.make_folder(self.path .. "/bundles")
      local ok, message = uv.fs_copyfile(version.file, bundle_of(self, version.digest), { ficlone = true })
      if not ok then fail(message, "io") end
    end
  end
  for _, alias in ipairs(model.aliases or {}) do
    local number = report.versions[whole(alias.version)]
    if number then
      copy.aliases[#copy.aliases + 1] = { alias = alias.alias, version = tostring(number) }
      report.aliases[alias.alias] = number
    end
  end
  copy.tags = json.list(tags_there(model, report.versions))
  kept[#kept + 1] = copy
  files.write(file_of(self), json.pretty(json.list(kept)))
  return report
end

-- Carrying ------------------------------------------------------------------------------------------------------------

--- The models of a place of recsys.track.transfer.
local function place_of(place)
  if place.store then return setmetatable({ opened = catalogue.open(place.store.folder .. "/models") }, Local) end
  if place.wire then return setmetatable({ wire = place.wire, runs = place }, Server) end
  return setmetatable({ path = place.path }, Folder)
end

--- The versions of a model that are to be carried: { from, to, digest, file }, oldest first.
local function chosen(from, to, model, options)
  local list = {}
  for _, version in ipairs(model.versions) do
    local run = version.run_id and version.run_id ~= "" and version.run_id or nil
    if not options.only or run and options.only[run] then
      local there = run and (options.runs[run] or to:run(run))
      local digest = registered.tag(version.tags, DIGEST)
      local one = { from = version, digest = bundles.is_digest(digest) and digest or nil }
      if not (there and path_in_run(version)) then one.file, one.temporary = from:bundle(version) end
      one.to = moved(version, there, one.file and one.digest)
      list[#list + 1] = one
    end
  end
  return list
end

--- Carry registered models.
---@param from table     a place of recsys.track.transfer
---@param to table       another
---@param options { runs: table<string, string>, only?: table<string, boolean> }
---   runs: what runs are called there; only: versions of these runs alone, default all models with all versions
---@return { model: string, versions: table<string, integer>, made: integer, aliases: table<string, integer>,
---  kept: table<string, integer> }[]
---   versions: numbers there by those here; made: how many are new there; kept: aliases of others that stay
function carry.copy(from, to, options)
  local reports = {}
  local source <close> = setmetatable({ place_of(from) }, { __close = function(s) s[1]:close() end })
  local target <close> = setmetatable({ place_of(to) }, { __close = function(s) s[1]:close() end })
  for _, model in ipairs(source[1]:models()) do
    local list = chosen(source[1], target[1], model, options)
    if #list > 0 or not options.only then
      local ok, report = pcall(target[1].take, target[1], model, list)
      for _, one in ipairs(list) do
        if one.temporary then os.remove(one.file) end
      end
      if not ok then error(report, 0) end
      local numbers = {}
      for here, there in pairs(report.versions) do numbers[tostring(here)] = there end
      report.versions = numbers
      reports[#reports + 1] = report
    end
  end
  return reports
end

return carry
