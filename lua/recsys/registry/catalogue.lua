--- An open registry: the database, the bundles by their hash, and the folder that shows them by name and version.
---
--- The database lies beside the folder when that is called `models` (artifacts/mlflow.db beside artifacts/models), and
--- in it otherwise. A version becomes visible by one transaction, after its bundle lies under its hash; what a killed
--- process leaves is a bundle that nothing points to, or a version whose file DIR/NAME-VERSION.tar is yet to be made.
--- Files that recsys-run published before there was a database become versions when the registry is opened for writing.

local artifacts = require "recsys.track.artifacts"
local bundle = require "recsys.bundle"
local bundles = require "recsys.registry.bundles"
local files = require "recsys.files"
local lfs = require "lfs"
local lineage = require "recsys.registry.lineage"
local log = require "recsys.log"
local logged = require "recsys.registry.logged"
local rows = require "recsys.registry.rows"
local schema = require "recsys.track.schema"
local trail = require "recsys.registry.trail"
local versions = require "recsys.registry.versions"

local catalogue = {}

local Catalogue = {}
Catalogue.__index = Catalogue

--- The folder of the database that knows what lies in 'dir'.
---@param dir string
---@return string
function catalogue.store_of(dir)
  dir = #dir > 1 and dir:gsub("/+$", "") or dir
  local above = dir:match "^(.*)/models$"
  if above then return above == "" and "/" or above end
  return dir == "models" and "." or dir
end

--- NAME-VERSION.tar files of a folder: { name, version, path, bytes }, in no order.
function catalogue.named_files(dir)
  local found = {}
  for _, file in ipairs(files.names(dir)) do
    local name, version = file:match "^([a-z][a-z0-9_%-]*)%-(%d+)%.tar$"
    local path = dir .. "/" .. file
    if name then
      found[#found + 1] = { name = name, version = math.tointeger(tonumber(version)), path = path,
        bytes = lfs.attributes(path, "size") }
    end
  end
  return found
end

--- Open the registry of a folder, with its database and folder made when they are not there.
---@param dir string  where published models lie
---@return Catalogue
function catalogue.open(dir)
  local self = setmetatable({ dir = files.make_folder(dir), store = catalogue.store_of(dir) }, Catalogue)
  self.db = schema.open(self.store .. "/mlflow.db")
  local ok, problem = pcall(self.adopt, self)
  if ok then return self end
  self.db:close()
  error(problem, 0)
end

--- Open it for reading alone. nil where there is no database yet, or none that can be opened: then what lies in the
--- folder is all there is.
---@param dir string
---@return Catalogue?
function catalogue.peek(dir)
  local store = catalogue.store_of(dir)
  if not files.exists(store .. "/mlflow.db") then return nil end
  local ok, db = pcall(schema.open, store .. "/mlflow.db", { read_only = true })
  if ok then return setmetatable({ dir = dir, store = store, db = db }, Catalogue) end
  log.warn("the registry is not asked: %s", type(db) == "table" and db.message or tostring(db))
end

function Catalogue:close()
  self.db:close()
end
Catalogue.__close = Catalogue.close

--- The key of a version in what Catalogue:known gives.
---@return string
function catalogue.key(name, version) return ("%s\n%d"):format(name, version) end
local key = catalogue.key

--- Every version's row and digest: by name and version, those that were deleted with deleted = true.
---@return table<string, { name: string, version: integer, digest?: string, deleted: boolean }>
function Catalogue:known()
  local known = {}
  for _, row in ipairs(self.db:rows [[
    SELECT v.name, v.version, v.current_stage AS stage, v.source, t.value AS digest FROM model_versions AS v
    LEFT JOIN model_version_tags AS t ON t.name = v.name AND t.version = v.version AND t.key = 'recsys.digest']]) do
    known[key(row.name, row.version)] = { name = row.name, version = row.version, source = row.source,
      digest = bundles.is_digest(row.digest) and row.digest or nil, deleted = row.stage == rows.deleted }
  end
  return known
end

--- DIR/NAME-VERSION.tar, whether it is there or not.
function Catalogue:named_path(name, version)
  return ("%s/%s-%d.tar"):format(self.dir, name, version)
end

--- Show a version's bundle in the folder, when it is not there. Names that no file should have are not shown.
---@return string path  the file by its name, or where it lies by its hash
function Catalogue:show(name, version, digest)
  local path, from = self:named_path(name, version), bundles.path(self.store, digest)
  if not name:find "^[a-z][a-z0-9_%-]*$" then return from end
  if files.exists(path) then return path end
  if not files.exists(from) then return from end
  local made, message = bundles.link(from, path)
  if made == nil then log.warn("cannot make %s: %s", path, message) end
  return files.exists(path) and path or from
end

--- The file of a version that has a row: the one in the folder when it is there, else the one by its hash; nil where
--- neither is.
---@return string?
function Catalogue:file_of(name, version, digest)
  local path = self:named_path(name, version)
  if name:find "^[a-z][a-z0-9_%-]*$" and files.exists(path) then return path end
  path = digest and bundles.path(self.store, digest)
  return path and files.exists(path) and path or nil
end

--- The first version of a model is its champion: there is nothing that it could be compared with.
local function crown(db, name, version, reason)
  trail.move(db, name, "champion", version, { action = "first", reason = reason })
end

--- Make a version visible, in one transaction. Its bundle must lie under its hash.
---@param about { name: string, version: integer, digest: string, manifest: table, created?: integer,
---  run?: { id: string, path: string, source: string }, adopted?: boolean }
---@return boolean done  false when the number is taken, or the bundle was swept away meanwhile
function Catalogue:register(about)
  local db, name, version = self.db, about.name, about.version
  local done = db:transaction(function()
    local last = versions.next_number(db, name) - 1
    local taken = about.adopted and db:row("SELECT 1 FROM model_versions WHERE name = ? AND version = ?",
      { name, version })
    if taken or not about.adopted and version <= last then return false end
    if not files.exists(bundles.path(self.store, about.digest)) then return false end
    local now = about.created or rows.now()
    db:run("INSERT OR IGNORE INTO registered_models (name, creation_time, last_updated_time) VALUES (?, ?, ?)",
      { name, now, now })
    local run = about.run or {}
    versions.insert(db, { name = name, version = version, created = now, run_id = run.id, user = trail.who(),
      source = run.source or bundles.address(about.digest),
      tags = lineage.tags(about.digest, about.manifest) })
    if about.run then logged.add(db, about.run, about) end
    if last == 0 and not about.adopted then crown(db, name, version, "the first version") end
    return true
  end)
  if done then bundles.mark(self.store, about.digest) end
  return done
end

--- Whether a version that was not deleted points to a bundle: by its tag, by where its files are, or, where another
--- program took the tag away, by what its run has logged.
function Catalogue:points_to(digest)
  return self.db:row([[
    SELECT 1 FROM model_versions AS v
    LEFT JOIN model_version_tags AS t ON t.name = v.name AND t.version = v.version AND t.key = 'recsys.digest'
    WHERE v.current_stage <> :deleted AND (t.value = :digest OR v.source = :place OR v.storage_location = :place
      OR t.value IS NULL AND EXISTS (SELECT 1 FROM tags AS h WHERE h.run_uuid = v.run_id
        AND h.key = 'mlflow.log-model.history' AND instr(h.value, :digest) > 0))]],
    { deleted = rows.deleted, digest = digest, place = bundles.address(digest) }) ~= nil
end

--- Remove a bundle unless a version points to it. No version can begin to, meanwhile.
---@return boolean removed
function Catalogue:drop(digest)
  return self.db:transaction(function()
    if self:points_to(digest) then return false end
    bundles.drop(self.store, digest)
    return true
  end)
end

--- The number that the next version of a model gets.
---@return integer
function Catalogue:next_version(name)
  local last = versions.next_number(self.db, name) - 1
  for _, file in ipairs(catalogue.named_files(self.dir)) do
    if file.name == name then last = math.max(last, file.version) end
  end
  return last + 1
end

--- The digest and the manifest of a file; nil when it cannot be read.
local function read(path)
  local opened = bundle.open(path, { verify = false })
  if not opened then return nil end
  local _ <close> = opened
  return opened:digest(), opened:manifest()
end

--- The models of bundles, by digest: of all versions, those that were deleted, too.
---@return table<string, string>
local function models_of(known)
  local models = {}
  for _, row in pairs(known) do
    if row.digest then models[row.digest] = row.name end
  end
  return models
end

--- Whether a file goes by a name that its model had before it was renamed.
local function is_former(file, digest, models)
  local model = models[digest or ""]
  return model ~= nil and model ~= file.name
end

--- Remove a name of a bundle that its version had before the model was renamed. A copy, which may be the only whole
--- one, stays where it is, unseen.
local function forget(self, file, digest)
  if bundles.same_file(file.path, bundles.path(self.store, digest)) then os.remove(file.path) end
end

--- Take a file in as the version that it is. What cannot be read stays a file.
local function adopt(self, file, models)
  local digest, manifest = read(file.path)
  if not digest then return end
  if is_former(file, digest, models) then return forget(self, file, digest) end
  if bundles.is_marked(self.store, digest) then return end -- a version that was deleted
  local hidden = bundles.hidden(self.store)
  local made, message = bundles.link(file.path, hidden)
  if not made then error({ code = "io", message = ("cannot register %s: %s"):format(file.path, message) }, 0) end
  bundles.keep(self.store, hidden, digest, manifest)
  self:register { name = file.name, version = file.version, digest = digest, manifest = manifest, adopted = true,
    created = (lfs.attributes(file.path, "modification") or os.time()) * 1000 }
end

--- Take in the bundle of a version that was registered by its source alone, as another machine's run does by REST:
--- a file of that hash among what lies there.
local function fetch(self, row)
  local run, path_there = (row.source or ""):match "^runs:/+([^/]+)/(.+)$"
  local home = run and self.db:row("SELECT artifact_uri FROM runs WHERE run_uuid = ?", { run })
  local ok, below = pcall(artifacts.of, home and home.artifact_uri .. "/" .. path_there or row.source or "")
  local folder
  if ok and below then ok, folder = pcall(artifacts.path, self.store, below) end
  for _, name in ipairs(ok and folder and files.names(folder) or {}) do
    local path = folder .. "/" .. name
    local digest, manifest = nil, nil
    if name:find "%.tar$" then digest, manifest = read(path) end
    local hidden = digest == row.digest and bundles.hidden(self.store)
    if hidden and bundles.link(path, hidden) then
      bundles.keep(self.store, hidden, digest, manifest)
      bundles.mark(self.store, digest)
      return
    end
  end
end

--- Take in all files that are no versions yet, bundles that lie where a version's source says, and make names of
--- versions that are missing.
function Catalogue:adopt()
  local known = self:known()
  local models = models_of(known)
  for _, file in ipairs(catalogue.named_files(self.dir)) do
    if not known[key(file.name, file.version)] then adopt(self, file, models) end
  end
  for _, row in pairs(known) do
    if row.digest and not row.deleted then
      if not files.exists(bundles.path(self.store, row.digest)) then fetch(self, row) end
      self:show(row.name, row.version, row.digest)
    end
  end
end

--- Versions with a bundle, and files that are no versions yet: { name, version, path, bytes, digest? }, sorted. A file
--- by the name that its model had before it was renamed is neither.
---@param name? string
function Catalogue:list(name)
  local known, list = self:known(), {}
  local models = models_of(known)
  for _, file in ipairs(catalogue.named_files(self.dir)) do
    local is_version = known[key(file.name, file.version)] ~= nil
    if not is_version and not is_former(file, (read(file.path)), models) then list[#list + 1] = file end
  end
  for _, row in pairs(known) do
    local path = not row.deleted and self:file_of(row.name, row.version, row.digest)
    if path then
      list[#list + 1] = { name = row.name, version = row.version, path = path, digest = row.digest,
        bytes = lfs.attributes(path, "size") }
    end
  end
  return catalogue.sorted(list, name)
end

--- Those of one name (all without), by name and version.
function catalogue.sorted(list, name)
  local wanted = {}
  for _, found in ipairs(list) do
    if not name or found.name == name then wanted[#wanted + 1] = found end
  end
  table.sort(wanted, function(a, b)
    if a.name ~= b.name then return a.name < b.name end
    return a.version < b.version
  end)
  return wanted
end

return catalogue
