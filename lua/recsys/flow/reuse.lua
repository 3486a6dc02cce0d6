--- When a task need not run: what its result depends on is what it was in an earlier run that kept it.
---
--- What a function depends on among its arguments, which files it reads, and whether what it once made still stands are
--- said beside the function, by flow.identity, flow.reads and flow.valid; without a word all arguments count, and no
--- file. The hash of all that names an entry of recsys.flow.cache. The Lua files that were loaded when it was made
--- stand in the entry, as which they are is known only then, and are compared when it is found.

local cache = require "recsys.cache"
local exit = require "recsys.exit"
local frame = require("recsys.core").frame
local lazy = require "recsys.lazy"
local kept = lazy "recsys.flow.cache"
local keys = lazy "recsys.flow.key"
local log = require "recsys.log"
local outputs = require "recsys.flow.outputs"
local provenance = lazy "recsys.provenance"
local now = require("recsys.clock").now
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local uv = require "luv"

local reuse = {}

local identities, readers, validities = {}, {}, {}
for _, map in ipairs { identities, readers, validities } do setmetatable(map, { __mode = "k" }) end

--- Let identity(...) say what a result of 'fn' depends on among its arguments, handles as they are: what it gives
--- stands for them in the key of a task that calls fn. nil, why: on something that arguments do not tell, so that no
--- result is taken from an earlier run.
---@param fn function
---@param identity fun(...): ...
function reuse.identity(fn, identity) identities[fn] = identity end

--- Let reads(...) name the files and folders that a task which calls 'fn' reads, from its arguments, handles as they
--- are: their content is part of the key.
---@param fn function
---@param reads fun(...): string[]?, boolean?  second: the task may make or change them itself
function reuse.reads(fn, reads) readers[fn] = reads end

--- Let holds(value) say whether a kept result of 'fn' still stands: what it points to outside of the run is there.
---@param fn function
---@param holds fun(value: any): boolean, string?  second: why it does not
function reuse.valid(fn, holds) validities[fn] = holds end

--- The files that a task says it reads, as they are now, for what the run was made of.
local function said_reads(flow, task, fn, arguments)
  local found = {}
  if flow.plan_only or task.how.map or not readers[fn] then return found end
  for _, path in ipairs(readers[fn](table.unpack(arguments, 1, arguments.n)) or {}) do
    found[path] = not flow:inside(path) and keys.of_path(path) or nil
  end
  return found
end

--- Note what a task says it reads, now that it has run: it may have made or changed some of it itself.
---@param task table
function reuse.note_reads(task)
  for path, hash in pairs(task.said_reads and task.said_reads() or {}) do
    task.inputs = task.inputs or {}
    task.inputs[path] = hash
  end
end

--- What there is to a task's key: its `base`, the content of the files that it reads (`read`, and look(), which looks
--- anew), `key`, the names in the run's folder that it is given (`outputs`); or `why` it has none.
local function identify(flow, task, fn, arguments)
  if not flow.caches then return end
  task.is_ours = keys.is_ours(fn)
  local given, is_map = arguments, task.how.map
  if is_map and readers[fn] then
    task.why = "it reads files for each element"
    return
  end
  if identities[fn] and not is_map then
    given = table.pack(identities[fn](table.unpack(arguments, 1, arguments.n)))
    if given[1] == nil and given.n == 2 and type(given[2]) == "string" then
      task.why = given[2]
      return
    end
  end
  local named = is_map and task.name .. ", each" or task.name
  local base, more, code = keys.of(flow, named, fn, given)
  if not base then
    task.why = code == "not yet" and more or "it is given " .. more
    task.outputs = outputs.paths_in(flow, arguments, {})
    return
  end
  function task.look()
    if not readers[fn] then return "" end
    local paths, makes = readers[fn](table.unpack(arguments, 1, arguments.n))
    return keys.of_files(paths or {}), makes
  end
  local held = code
  function task.is_pure() return task.is_ours or keys.held(flow, named, fn) == held end
  task.base, task.outputs, task.read = base, more, task.look()
  task.key = frame.hash(base .. task.read)
end

--- Why an entry may not stand for the task; nil when it may.
local function objection(flow, task, fn, entry)
  local lasts = type(task.cache) ~= "boolean" and task.cache and text.milliseconds(task.cache)
  if lasts and now() - entry.made > lasts then return ("the result is older than %s"):format(task.cache) end
  if entry.trains and (flow.profiled or flow.only) then return "training is looked at" end
  local changed = keys.changed(entry.lua)
    or flow.outputs:clash(kept.left(entry), entry.found or {}, entry.paths)
  if changed then return changed .. " has changed" end
  local holds = not task.how.map and validities[fn]
  if not holds then return nil end
  local ok, value = exit.try(kept.value, entry, flow.folder or "RUN")
  if not ok and type(value) == "table" and value.signal then error(value, 0) end
  if not ok then return "its result is gone" end
  local stands, why = holds(value)
  return not stands and (why or "what it made is gone") or nil
end

--- Why no result is to be taken whatever is kept.
local function refusal(flow, task)
  if not task.save then return "save = false" end
  if task.cache == false then return "cache = false" end
  if flow.refresh[task.name] or flow.refresh.all then return "--refresh" end
  if not cache.allowed() then return "--no-cache" end
end

--- Whether a value is made of numbers and rows alone, so that what the task read to make it is nothing to later tasks:
--- a text, or an object of the library, may say where files are that these read.
local function is_plain(value)
  local kind, class = type(value), getmetatable(value)
  if kind == "number" or kind == "boolean" or tensor.is(value) then return true end
  if kind == "userdata" then return type(class) == "table" and class.__name == "recsys.Frame" end
  if kind ~= "table" or class then return false end
  for key, part in next, value do
    if type(key) ~= "string" and type(key) ~= "number" or not is_plain(part) then return false end
  end
  return true
end

--- The hash of all that a task gave: its value, the files that it left, and what it read where that may matter.
local function content_of(value, read, left) return frame.hash(value .. (read or "") .. outputs.text(left)) end

--- What this run itself has completed of a task before it was cut short; nil when it has not, or what the task depends
--- on has changed since. What has no key is as it was unless something before it was run again.
local function own(flow, task)
  local row = flow.resumed and flow.record and task.save and flow.record:completed(task)
  if not row or row.key ~= task.key or not task.key and flow.again then
    flow.again = flow.again or row ~= nil
    return nil
  end
  local place, about = flow:place(task), row.about
  local ok, content = exit.try(kept.content, place)
  local left = about.left or {}
  local is_same = ok and (content_of(content, task.read, left) == row.content -- the same key: the same files read
    or content_of(content, nil, left) == row.content)
  local is_whole = is_same and flow.outputs:holds(left)
  if not is_whole or keys.changed(about.lua or {}) then
    flow.again = true
    return nil
  end
  flow.outputs:add(left)
  return { own = true, left = left, place = place, content = row.content, inputs = about.inputs or {},
    result = about.result, lua = about.lua, noted = about.noted, origin = row.origin, started = row.started,
    ended = row.ended }
end

--- The entry of an earlier run that may stand for a task; nil, and task.why, when there is none.
---@param flow Flow
---@param task table
---@param fn function
---@param arguments table  packed, handles as they are
---@return table? entry
function reuse.find(flow, task, fn, arguments)
  identify(flow, task, fn, arguments)
  function task.said_reads() return said_reads(flow, task, fn, arguments) end
  local before = own(flow, task)
  if before or not task.key then return before end
  if not task.save then task.content = "key " .. task.key end -- what follows goes by what it is made of
  task.why = refusal(flow, task)
  if task.why then return nil end
  local entry = kept.get(task.key)
  task.why = not entry and "no result is kept" or entry and objection(flow, task, fn, entry)
  return not task.why and entry or nil
end

--- The Lua files that are loaded here, and those that the task's own processes have loaded beside.
---@return table[] list
---@return string? changed  one of which two versions were loaded
local function lua_files(flow, task)
  local list, seen, changed = keys.lua_files(task.is_ours and task.began or 0, flow.recipe), {}, nil
  for _, file in ipairs(list) do seen[file.path] = file.hash end
  for _, file in ipairs(task.lua or {}) do
    if not seen[file.path] then list[#list + 1] = file end
    seen[file.path] = seen[file.path] or file.hash
    if seen[file.path] ~= file.hash then changed = file.path end
  end
  return list, changed
end

--- Note what a task gave, and keep it for later runs where it has a key.
---@param flow Flow
---@param task table
---@param value any
function reuse.keep(flow, task, value)
  local place = flow:place(task)
  local read, makes = "", nil
  if task.look then read, makes = task.look() end
  local class = type(value) == "table" and getmetatable(value)
  local content, hashes, value_text = kept.content(place)
  local is_own = task.is_beside and flow.outputs:said_in(place, task.outputs) or nil
  local left, found, doubtful = flow.outputs:own(task.outputs, is_own)
  local told = not is_plain(value) and read or nil
  task.content, task.left = content_of(content, told, left), left
  reuse.note_reads(task)
  task.gives_result = type(class) == "table" and class.__result and true or nil
  local changed
  task.lua_files, changed = lua_files(flow, task)
  if task.base then task.key = frame.hash(task.base .. read) end
  if not task.base or task.cache == false then return end
  if task.altered then
    log.note("the result of task %s is not kept for later runs: it has changed %s in place, which those would not see; "
      .. "change a copy", task.name, task.altered)
    return
  end
  if not task.is_pure() then
    log.note("the result of task %s is not kept for later runs: what its function has captured, or a global, was "
      .. "changed while it ran, which those would not see", task.name)
    return
  end
  changed = task.changed or changed or read ~= task.read and not makes and "a file that it reads"
  if changed then
    log.note("the result of task %s is not kept for later runs: %s has changed meanwhile", task.name, changed)
    return
  end
  flow.real = flow.real or uv.fs_realpath(flow.folder) or flow.folder
  local entry = { task = task.name, run = flow.name, folder = flow.real, found = found, content = task.content,
    seconds = (uv.hrtime() - task.began) / 1e9, lua = task.lua_files, inputs = task.inputs, trains = task.trains,
    rows = task.rows, data = task.data, result = task.gives_result, notes = task.notes,
    paths = not task.element and #task.outputs > 0 and task.outputs or nil }
  local function put()
    entry.content = content_of(content, told, left)
    kept.put(task.key, place, flow.folder, left, hashes, value_text, entry)
  end
  if #doubtful == 0 then return put() end
  task.doubtful, task.put = doubtful, put
end

--- Keep the results of elements of which it is known only now, when all are at their ends, which files are theirs.
---@param flow Flow
---@param ones table[]
---@param shared string[]  paths that all were given
function reuse.settle(flow, ones, shared)
  local unclear = flow.outputs:share_out(ones, shared)
  for _, one in ipairs(ones) do
    if unclear[one] then
      log.note("the result of task %s, element %d, is not kept for later runs: %s may be another's; what it returned "
        .. "has no path to it", one.name, one.element, unclear[one])
    elseif one.put then
      one.put()
    end
  end
end

--- Log again what a task has logged: the files that it has read, the rows of its trainings, and its data set.
---@param entry table
---@param value any  needed where the entry says `data`
function reuse.log_again(entry, value)
  provenance.took(entry.inputs)
  provenance.loaded(entry.lua or {})
  local logged = require "recsys.train.logged"
  local of, write
  for _, row in ipairs(entry.rows or {}) do
    if row[1] ~= of then of, write = row[1], logged.begin() end
    write(row[2])
  end
  local track = package.loaded["recsys.track"]
  local run = entry.data and track and track.current()
  if run then run:dataset(value) end
end

return reuse
