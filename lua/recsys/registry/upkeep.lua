--- Keeping a registry whole: verify says what is damaged or missing, collect removes what nothing needs.

local bundle = require "recsys.bundle"
local bundles = require "recsys.registry.bundles"
local catalogue = require "recsys.registry.catalogue"
local files = require "recsys.files"
local lfs = require "lfs"
local versions = require "recsys.registry.versions"

local upkeep = {}

local HOUR <const> = 3600

--- What is wrong with the file of a digest; nil when it is whole.
local function damage(path, digest)
  if not files.exists(path) then return path .. " is missing" end
  local b, message = bundle.open(path)
  if not b then return message end
  local _ <close> = b
  if b:digest() ~= digest then return ("%s is another bundle: its digest is %s"):format(path, b:digest()) end
  local ok, refusal = b:verify()
  return not ok and refusal or nil
end

--- What is wrong with a version: its bundle, then the file of its name.
local function problems_of(opened, row)
  local problems, from = {}, bundles.path(opened.store, row.digest)
  problems[1] = damage(from, row.digest)
  local named = opened:show(row.name, row.version, row.digest)
  if named ~= from and not bundles.same_file(named, from) then problems[#problems + 1] = damage(named, row.digest) end
  return problems
end

--- Mend a version whose other copy is whole: the bundle from the file of its name.
local function mend(opened, row)
  local named = opened:named_path(row.name, row.version)
  local from = bundles.path(opened.store, row.digest)
  if not damage(from, row.digest) or damage(named, row.digest) then return false end
  local b = assert(bundle.open(named))
  local manifest = b:manifest()
  b:close()
  local hidden = bundles.hidden(opened.store)
  assert(bundles.link(named, hidden))
  bundles.keep(opened.store, hidden, row.digest, manifest)
  bundles.mark(opened.store, row.digest)
  return true
end

--- Check the bundle of every version, and make names that are missing. A bundle that is gone or damaged is taken from
--- the file of its name where that is whole.
---@param opened Catalogue
---@param name? string
---@return { name: string, version: integer, digest: string, bytes?: integer, problems: string[], mended: boolean }[]
---@return string[] loose  files that are no versions, as they cannot be read
function upkeep.verify(opened, name)
  local found, known = {}, opened:known()
  for _, row in pairs(known) do
    if not row.deleted and row.digest and (not name or row.name == name) then
      local mended = mend(opened, row)
      found[#found + 1] = { name = row.name, version = row.version, digest = row.digest, mended = mended,
        bytes = lfs.attributes(bundles.path(opened.store, row.digest), "size"), problems = problems_of(opened, row) }
    end
  end
  local loose = {}
  for _, file in ipairs(opened:list(name)) do
    if not file.digest then loose[#loose + 1] = file.path end
  end
  return catalogue.sorted(found), loose
end

--- Whether a run that is not deleted has logged this bundle as its model.
local function run_points_to(db, digest)
  return db:row("SELECT 1 FROM tags AS t JOIN runs AS r ON r.run_uuid = t.run_uuid "
    .. "WHERE t.key = 'mlflow.log-model.history' AND r.lifecycle_stage = 'active' AND instr(t.value, ?) > 0",
    { digest }) ~= nil
end

--- Versions that may go: without an alias, not of a run that is still there, and not among the newest 'keep'.
local function old_versions(db, keep)
  local old = {}
  for _, row in ipairs(db:rows([[
    SELECT v.name, v.version,
      (SELECT COUNT(*) FROM model_versions AS w WHERE w.name = v.name AND w.version > v.version
        AND w.current_stage <> 'Deleted_Internal') AS newer
    FROM model_versions AS v
    WHERE v.current_stage = 'None'
      AND EXISTS (SELECT 1 FROM model_version_tags AS t WHERE t.name = v.name AND t.version = v.version
        AND t.key = 'recsys.digest')
      AND NOT EXISTS (SELECT 1 FROM registered_model_aliases AS a WHERE a.name = v.name AND a.version = v.version)
      AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.run_uuid = v.run_id AND r.lifecycle_stage = 'active')
    ORDER BY v.name, v.version]])) do
    if row.newer >= keep then old[#old + 1] = row end
  end
  return old
end

--- Remove a file of the folder of names whose version is deleted or gone.
local function remove_name(opened, name, version, digest)
  local path = opened:named_path(name, version)
  local b = files.exists(path) and bundle.open(path, { verify = false })
  if not b then return end
  local found = b:digest()
  b:close()
  if found == digest then os.remove(path) end
end

--- Names in the folder of bundles that no version points to.
local function stale_names(opened, digest)
  local known = opened:known()
  for _, file in ipairs(catalogue.named_files(opened.dir)) do
    local row = known[("%s\n%d"):format(file.name, file.version)]
    if not row or row.deleted then remove_name(opened, file.name, file.version, digest) end
  end
end

--- Whether a bundle has lain here long enough that no publisher can be about to register it.
local function is_settled(opened, digest, age)
  local changed = lfs.attributes(bundles.folder(opened.store, digest), "modification")
  return changed and os.time() - changed >= age
end

--- Remove what nothing needs: with 'keep' versions that have no alias, are of no run that is still there and are not
--- among the newest; then bundles that no version and no run points to. What an alias or a run points to stays.
---@param opened Catalogue
---@param options { keep?: integer, dry_run?: boolean, age?: integer }
---   keep: without it, all versions stay; age: seconds that an unneeded bundle must have lain there, default an hour
---@return { versions: { name: string, version: integer }[], bundles: { digest: string, bytes: integer }[] } removed
function upkeep.collect(opened, options)
  local db, removed = opened.db, { versions = {}, bundles = {} }
  local going = {}
  if options.keep then
    db:transaction(function()
      for _, row in ipairs(old_versions(db, options.keep)) do
        removed.versions[#removed.versions + 1] = { name = row.name, version = row.version }
        local tag = db:row("SELECT value FROM model_version_tags WHERE name = ? AND version = ? "
          .. "AND key = 'recsys.digest'", { row.name, row.version })
        going[tag.value] = true
        if not options.dry_run then
          versions.delete(db, { name = row.name, version = row.version })
        end
      end
    end)
  end
  for _, digest in ipairs(bundles.all(opened.store)) do
    local needed = opened:points_to(digest) and not (options.dry_run and going[digest]) or run_points_to(db, digest)
    if not needed and (going[digest] or is_settled(opened, digest, options.age or HOUR)) then
      removed.bundles[#removed.bundles + 1] = { digest = digest,
        bytes = lfs.attributes(bundles.path(opened.store, digest), "size") or 0 }
      if not options.dry_run then
        stale_names(opened, digest)
        opened:drop(digest)
      end
    end
  end
  bundles.sweep(opened.store)
  return removed
end

return upkeep
