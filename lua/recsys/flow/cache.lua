--- Results of tasks, kept by what they depend on: artifacts/cache/tasks/KEY holds a result as recsys.store saves it,
--- the files that the task left in its run's folder, and entry.lua, which says what they are. A small result without
--- tensors and files is one file, KEY.lua, an entry that has the result's text.
---
--- A run links to values (a hard link, or a copy where the disk has none), so one lies on the disk once however many
--- runs have it, and a run keeps its own when the entry goes. Files are copied: whoever has a run may write to them and
--- must change those of no other. An entry appears whole, by a rename. Whoever uses one looks whether its files are
--- those that were put there, by size and time, and when these differ by their hash: what somebody changed in place, or
--- a power cut left empty, is made anew.

local cache = require "recsys.cache"
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local now = require("recsys.clock").now
local process = require "recsys.track.process"
local outputs = require "recsys.flow.outputs"
local parsed = require "recsys.parsed"
local resume = require "recsys.resume"
local room = require "recsys.flow.room"
local store = require "recsys.store"
local uv = require "luv"

local kept = {}

--- The folder of all entries.
---@return string
function kept.folder() return cache.folder() .. "/tasks" end

local function place_of(key) return kept.folder() .. "/" .. key end

local BIG <const> = 64 << 20 -- bytes of a file that is not to lie on the disk twice for who runs a recipe once
local SMALL <const> = 4096 -- bytes of a result that its entry holds: to make a file costs more than to write so much
local ABOUT <const> = 2048 -- bytes of such an entry that say what it is

--- Make a second file with what one holds, which shares blocks with it where the disk can. An older one goes.
---@return boolean  false: there is no such file
local function copy(from, to)
  uv.fs_unlink(to)
  local ok, message = uv.fs_copyfile(from, to, { ficlone = true })
  if ok then return true end
  if not uv.fs_stat(from) then return false end
  error({ code = "io", message = ("cannot write %s: %s"):format(to, message) }, 0)
end

--- Give a file a second name; a copy where the disk has no links. An older file of that name goes.
---@return boolean  false: there is no such file
local function link(from, to)
  uv.fs_unlink(to)
  if uv.fs_link(from, to) then return true end
  return copy(from, to)
end

--- Keep a file that a task left: as a copy, so that the run may change its own, and a big one as a link. When the run
--- changes that, it is found to be damaged.
local function keep(from, to)
  local about = uv.fs_stat(from)
  return (about and about.size > BIG and link or copy)(from, to)
end

-- Writing -----------------------------------------------------------------------------------------------------------

local function stamp(path)
  local about = uv.fs_stat(path)
  return about and ("%d %d.%09d"):format(about.size, about.mtime.sec, about.mtime.nsec), about and about.size
end

--- What an entry says of a file.
local function describe(path, name, hash)
  local sign, size = stamp(path)
  return { name = name, stamp = sign, bytes = size, hash = hash }
end

--- The text of a small file; nil for a larger one, and where there is none.
local function small_text(path)
  local file <close> = io.open(path, "rb")
  local bytes = file and file:read(SMALL + 1)
  return bytes and #bytes <= SMALL and bytes or nil
end

--- The hash of a stored result: of its text and of its tensors.
---@param folder string  that store.save wrote into
---@return string
---@return table<string, string> hashes  of its files, by name
---@return string? text                  where it is small and has no tensors
function kept.content(folder)
  local hashes, tensors, path = {}, folder .. "/value.safetensors", folder .. "/value.lua"
  local bytes = small_text(path)
  hashes["value.lua"] = bytes and frame.hash(bytes) or assert(frame.hash_file(path))
  hashes["value.safetensors"] = files.exists(tensors) and assert(frame.hash_file(tensors)) or nil
  return frame.hash(hashes["value.lua"] .. (hashes["value.safetensors"] or "")), hashes,
    not hashes["value.safetensors"] and bytes or nil
end

local function fill(part, folder, run, left, hashes, entry)
  entry.files = {}
  for name, hash in pairs(hashes) do
    assert(link(folder .. "/" .. name, part .. "/" .. name))
    entry.files[#entry.files + 1] = describe(part .. "/" .. name, name, hash)
  end
  for name, hash in pairs(left) do
    local at = "out/" .. name
    if outputs.is_sign(hash) then
      entry.files[#entry.files + 1] = { name = at, hash = hash, bytes = 0 }
    else
      files.make_folder(part .. "/" .. at:match "^(.*)/")
      assert(keep(run .. "/" .. name, part .. "/" .. at))
      entry.files[#entry.files + 1] = describe(part .. "/" .. at, at, hash)
    end
  end
end

--- Show a filled folder under its name, in place of an older one.
local function show(part, place)
  if uv.fs_rename(part, place) then return end
  local gone = ("%s.%d.gone"):format(place, uv.os_getpid())
  uv.fs_rename(place, gone)
  resume.remove(gone)
  if not uv.fs_rename(part, place) then resume.remove(part) end -- another process was faster
end

local function size_of(entry)
  local bytes = 0
  for _, file in ipairs(entry.files) do bytes = bytes + file.bytes end
  return bytes
end

local made = {} -- folders that were seen to be there

--- Keep a result that was saved into 'folder'. Where the disk refuses, the log says so and the run goes on without.
---@param key string
---@param folder string     RUN/tasks/NN-name
---@param run string        the run's folder
---@param left table        hashes of the files below it that are the task's, by name
---@param hashes table     what kept.content gave, second
---@param value_text string?  third
---@param entry table       what else is to be known: task, content, seconds, lua, ...
function kept.put(key, folder, run, left, hashes, value_text, entry)
  local place = place_of(key)
  local part = ("%s.%d.part"):format(place, uv.os_getpid())
  local ok, problem = pcall(function()
    if not made[kept.folder()] then made[files.make_folder(kept.folder())] = true end
    entry.made, entry.text = now(), not next(left) and value_text or nil
    if entry.text then
      entry.hash = hashes["value.lua"]
      room.use(kept.folder(), #entry.text + ABOUT, parsed.limit())
      store.write(place .. ".lua", entry, "checked")
      return resume.remove(place) -- of an earlier one, when there is any
    end
    uv.fs_unlink(place .. ".lua")
    assert(uv.fs_mkdir(part, tonumber("755", 8)))
    fill(part, folder, run, left, hashes, entry)
    local file = assert(io.open(part .. "/entry.lua", "w"))
    assert(file:write("return ", store.text(entry)))
    assert(file:close())
    room.use(kept.folder(), size_of(entry), parsed.limit())
    show(part, place)
  end)
  if ok then return end
  if type(problem) == "table" and problem.signal then error(problem, 0) end
  made[kept.folder()] = nil
  log.note("the result of task %s is not kept for later runs: %s", entry.task, exit.message_of(problem))
  resume.remove(part)
end

-- Reading -----------------------------------------------------------------------------------------------------------

--- The entry that is one file; nil when there is none, or it is not whole.
local function read_small(place)
  local bytes = files.read(place .. ".lua")
  if not bytes then return nil end
  local ok, entry = exit.try(store.value_of, bytes, place, "RUN")
  if ok and type(entry) == "table" and type(entry.text) == "string" and frame.hash(entry.text) == entry.hash then
    return entry
  end
  log.note("the kept result %s.lua is damaged and made anew", place)
end

local function read_entry(place)
  local bytes = files.read(place .. "/entry.lua")
  local chunk = bytes and load(bytes, "=entry", "t", {})
  local ok, entry = pcall(chunk or error)
  return ok and type(entry) == "table" and type(entry.files) == "table" and entry or nil
end

--- The first file of an entry that is not what it was.
local function damaged(place, entry)
  for _, file in ipairs(entry.files) do
    local path = place .. "/" .. file.name
    if file.stamp and stamp(path) ~= file.stamp and frame.hash_file(path) ~= file.hash then return file.name end
  end
end

--- The entry of a key; nil when there is none, or it was damaged, which the log tells.
---@param key string
---@return table? entry  with its `place`
function kept.get(key)
  local place = place_of(key)
  local entry = read_small(place)
  if entry then
    entry.place = place .. ".lua"
    return entry
  end
  entry = read_entry(place)
  if not entry then return nil end
  local file = damaged(place, entry)
  if file then
    log.note("the kept result of task %s is damaged (%s/%s) and made anew", entry.task, place, file)
    return nil
  end
  entry.place = place
  return entry
end

--- The result of an entry.
---@param entry table
---@param run string  the folder of the run that takes it
---@return any
function kept.value(entry, run)
  return entry.text and store.value_of(entry.text, entry.place, run) or store.load(entry.place, run)
end

--- Hashes of the files that a task left in its run's folder, by their names there.
---@param entry table
---@return table<string, string>
function kept.left(entry)
  local left = {}
  for _, file in ipairs(entry.files or {}) do
    local name = file.name:match "^out/(.*)$"
    if name then left[name] = file.hash end
  end
  return left
end

local function note_use(path)
  local seconds, micros = uv.gettimeofday()
  uv.fs_utime(path, seconds + micros / 1e6, seconds + micros / 1e6)
end

--- Put the files of an entry to where a run has them, those of the run's folder under names of their own: whether all
--- were there, and of that one entry. Others may remove it meanwhile, or put another in its place.
---@param given table<string, string>  file -> name that it is to have
local function give_files(entry, folder, run, given)
  for _, file in ipairs(entry.files) do
    local inside = file.name:match "^out/(.*)$"
    local to = inside and run .. "/" .. inside or folder .. "/" .. file.name
    if inside then files.make_folder(to:match "^(.*)/") end
    local at = inside and ("%s.%d.tmp"):format(to, uv.os_getpid()) or to
    local give = inside and copy or link -- the run may change its files, and nobody a value
    if not file.stamp then
      outputs.make(file.hash, to, run)
    elseif give(entry.place .. "/" .. file.name, at) then
      given[at] = to
    else
      return false
    end
  end
  local there = read_entry(entry.place)
  return not there or there.made == entry.made
end

--- Give a run what an entry holds: its result in 'folder', the task's files below the run's.
---@param entry table
---@param folder string
---@param run string
---@return boolean  false: the entry was removed meanwhile, and nothing is given
function kept.give(entry, folder, run)
  files.make_folder(folder)
  if entry.text then
    files.write(folder .. "/value.lua", entry.text, "checked")
    note_use(entry.place)
    return true
  end
  local given = {}
  if give_files(entry, folder, run, given) then
    for at, to in pairs(given) do
      if at ~= to then assert(os.rename(at, to)) end
    end
    note_use(entry.place .. "/entry.lua")
    return true
  end
  for path in pairs(given) do uv.fs_unlink(path) end
  resume.remove(folder)
  log.note("the kept result of task %s was removed while it was taken", entry.task)
  return false
end

-- Pruning -----------------------------------------------------------------------------------------------------------

local ABANDONED <const> = 3600 -- seconds after which what a killed process left goes

--- Remove what processes that are gone have left half-made. One of another machine that uses the folder, too, may lose
--- what it is making: its result is then not kept.
function kept.sweep()
  for _, name in ipairs(files.names(kept.folder())) do
    local pid = name:match "%.(%d+)%.part$" or name:match "%.(%d+)%.gone$" or name:match "%.(%d+)%.tmp$"
    if pid and not process.started(math.tointeger(tonumber(pid)) or 0) then resume.remove(place_of(name)) end
  end
end

--- All entries, the one used last first: { key, task, bytes, used, made }; used in seconds, made in ms.
---@param folder? string  of another place than the run's
---@param only_look? boolean  leave what was abandoned half made
---@return table[]
function kept.list(folder, only_look)
  folder = folder or kept.folder()
  local list = {}
  for _, name in ipairs(files.names(folder)) do
    local place, small = folder .. "/" .. name, name:match "^(%x+)%.lua$"
    local entry = small and read_small(folder .. "/" .. small) or name:find "^%x+$" and read_entry(place)
    local about = entry and lfs.attributes(small and place or place .. "/entry.lua")
    if about then
      list[#list + 1] = { key = small or name, path = place, task = entry.task,
        bytes = small and about.size or size_of(entry), used = about.modification, made = entry.made }
    elseif not only_look and os.time() - (lfs.attributes(place, "modification") or os.time()) > ABANDONED then
      resume.remove(place)
    end
  end
  table.sort(list, function(a, b) return a.used > b.used end)
  return list
end

--- Remove entries: those not used since `age` seconds, and beyond `bytes` those that were not used for longest. Runs
--- keep what they link to.
---@param limits { age?: number, bytes?: integer, folder?: string, only_count?: boolean }  bytes: default that of
---   RECSYS_CACHE_LIMIT, 10G; only_count: remove none
---@return integer removed, integer bytes
function kept.prune(limits)
  local total, removed, freed = 0, 0, 0
  local most, folder = limits.bytes or parsed.limit(), limits.folder or kept.folder()
  for _, entry in ipairs(kept.list(folder, limits.only_count)) do
    total = total + entry.bytes
    if total > most or limits.age and os.time() - entry.used > limits.age then
      total = total - entry.bytes
      if not limits.only_count then resume.remove(entry.path) end
      removed, freed = removed + 1, freed + entry.bytes
    end
  end
  if files.exists(folder) and not limits.only_count then room.looked(folder, total) end
  return removed, freed
end

local function settle()
  local bytes, is_torn = room.settle(kept.folder())
  if is_torn or not bytes then kept.sweep() end
  if not bytes then kept.prune {} end
  local limit = parsed.limit()
  if bytes and bytes > limit then kept.prune { bytes = limit - limit // 10 } end
end

--- A run is done: what is kept stays within its limit. All entries are looked at only when they seem to be over it,
--- and then a tenth of the room is made free so that the next run need not look again; or when nobody has for a day.
function kept.settle()
  local ok, problem = exit.try(settle)
  if ok then return end
  if type(problem) == "table" and (problem.signal or problem.code == "usage") then error(problem, 0) end
  log.note("what is kept for later runs is not looked after: %s", exit.message_of(problem))
end

return kept
