--- What a task's result depends on, as one hash: its name, its function and what that captured, its arguments by
--- content, the files that it reads, and the program.
---
--- A handle counts by the content of what its task gave, a tensor by its numbers, an object by what recsys.store would
--- save of it; the run's own name and folder count as the same in every run. Functions of the library count by their
--- place, since the hash of the whole library is in every key, and by what the call that made them has left in them;
--- others by their code, their file and all that they captured.
--- What has no content to go by (a coroutine, an open file) makes the task one that is not cached, and is told.

local captured = require("recsys.lazy") "recsys.flow.captured"
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = require("recsys.core").frame
local host = require "recsys.host"
local loaded_files = require "recsys.loaded"
local lookup = require "recsys.lookup"
local parsed = require("recsys.lazy") "recsys.parsed"
local recsys_cache = require "recsys.cache"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local lfs = require "lfs"

local key = {}

-- The program -------------------------------------------------------------------------------------------------------

local LIBRARY <const> = host.root .. "/lua/recsys/"
local beside = { cli = true, ui = true, bench = true } -- folders of the library that no task reaches

local function add_library(folder, parts, top)
  for _, name in ipairs(files.names(folder)) do
    local path = folder .. name
    if name:find "%.lua$" then
      parts[#parts + 1] = path:sub(#LIBRARY + 1)
      parts[#parts + 1] = files.read(path) or ""
    elseif not (top and beside[name]) and lfs.attributes(path, "mode") == "directory" then
      add_library(path .. "/", parts, false)
    end
  end
end

--- The same folder as functions name it, which may be another way there.
local CALLED <const> = debug.getinfo(1, "S").source:match "^@(.*/)flow/key%.lua$"

local program

--- The hash of the runtime's build and of the library, read once a process.
---@return string
function key.program()
  if not program then
    local core = host.executable or package.searchpath("recsys.core", package.cpath)
    local parts = { core and frame.hash_file(core) or "" }
    add_library(LIBRARY, parts, true)
    program = frame.hash(table.concat(parts, "\0"))
  end
  return program
end

-- Files -------------------------------------------------------------------------------------------------------------

local known = {} -- path -> hash of a Lua file that is not loaded as it was when it was first asked for

--- The hash of a Lua file as it was loaded: who edits it while the run is on its way changes nothing of what runs.
local function hash_of_lua(path)
  if lookup.loaded(path) then return lookup.loaded(path) end
  known[path] = known[path] or frame.hash_file(path) or "absent"
  return known[path]
end

local places = {} -- module -> its file, or false, as it was when it was first asked for

local function file_of(module)
  if places[module] == nil then places[module] = lookup.file(module) or false end
  return places[module]
end

--- Forget where Lua files were and what they held: a run begins.
function key.begin() known, places = {}, {} end

--- Modules that are no Lua files, or the program's own: to look for them in all places takes a millisecond.
local no_files = { _G = true, coroutine = true, debug = true, io = true, math = true, os = true, package = true,
  string = true, table = true, utf8 = true, argparse = true, lfs = true, luv = true, ["cjson.safe"] = true }

local is_ours = setmetatable({}, { __index = function(all, module) -- by name: it is asked for each task
  all[module] = type(module) ~= "string" or no_files[module] or module:find "^recsys%f[.\0]" ~= nil
  return all[module]
end })

--- The Lua files that are loaded now and are not the library's, with their hashes. The steps of the library use models
--- by recsys.lookup alone: what such a step has not asked for is left out.
---@param since integer   when the step began, as of uv.hrtime; 0 for a function of somebody else's
---@param recipe? string  the recipe's own file
---@return { module: string, path: string, hash: string }[]  module: "" for the recipe and what dofile has loaded
function key.lua_files(since, recipe)
  local list = { recipe and { module = "", path = recipe, hash = hash_of_lua(recipe) } }
  local unused = lookup.models_unused(since)
  for module in pairs(package.loaded) do
    if not is_ours[module] and not unused[module] then
      local path = file_of(module)
      if path then list[#list + 1] = { module = module, path = path, hash = hash_of_lua(path) } end
    end
  end
  for path, hash in pairs(loaded_files.files()) do
    if path ~= recipe then list[#list + 1] = { module = "", path = path, hash = hash } end
  end
  table.sort(list, function(a, b) return a.module < b.module or a.module == b.module and a.path < b.path end)
  return list
end

--- Whether the Lua files that a result was made with are still what `require` would load.
---@param list { module: string, path: string, hash: string }[]
---@return string? changed  the first that is not
function key.changed(list)
  for _, file in ipairs(list) do
    local moved = file.module ~= "" and file_of(file.module) ~= file.path
    if moved or hash_of_lua(file.path) ~= file.hash then return file.path end
  end
end

--- The first file that another process has loaded in another form than this one did or took it to be.
---@param loaded table<string, string>  hashes by path
---@return string? path
function key.loaded_otherwise(loaded)
  for path, hash in pairs(loaded) do
    local here = lookup.loaded(path) or known[path]
    if here and here ~= hash then return path end
  end
end

--- The hash of a file's bytes, nil where there is none: of a Lua file, perhaps of a model, as it was loaded; that of a
--- large one which did not change since is remembered.
local function hash_of_file(path)
  if path:find "%.lua$" then
    local hash = hash_of_lua(path)
    return hash ~= "absent" and hash or nil
  end
  local folder = recsys_cache.folder() .. "/parsed" -- where reading a table remembers the same
  local kept = (lfs.attributes(path, "size") or 0) > 1 << 20 and exit.try(files.make_folder, folder) and folder or nil
  return (parsed.hash_of(path, kept))
end

--- Add a file, or all that a folder holds, under a name of its own.
local function add_file(path, name, parts)
  if lfs.attributes(path, "mode") == "directory" then
    for _, part in ipairs(files.names(path)) do
      if not files.is_unfinished(part) then add_file(path .. "/" .. part, name .. "/" .. part, parts) end
    end
    return
  end
  parts[#parts + 1] = ("%s %s"):format(name, hash_of_file(path) or "absent")
end

local function hash_of_parts(parts) return #parts > 0 and frame.hash(table.concat(parts, "\n")) or "" end

--- The content of files and of all that folders hold, as one hash. The hash of a file that did not change since is
--- remembered.
---@param paths string[]
---@return string  "" for none
function key.of_files(paths)
  local parts = {}
  for _, path in ipairs(paths) do add_file(path, path, parts) end
  return hash_of_parts(parts)
end

--- The content of a file, or of all that a folder holds, as one hash, however the way there is spelt; nil where there
--- is none.
---@param path string
---@return string?
function key.of_path(path)
  if lfs.attributes(path, "mode") ~= "directory" then return hash_of_file(path) end
  local parts = {}
  add_file(path, ".", parts)
  return #parts > 0 and hash_of_parts(parts) or nil
end

-- Values ------------------------------------------------------------------------------------------------------------

local Digest = {}
Digest.__index = Digest

function Digest:put(...)
  for i = 1, select("#", ...) do self[#self + 1] = (select(i, ...)) end
end

--- The value has nothing to go by: give up. What a module holds of such goes by the module's file.
function Digest:refuse(format, ...)
  if self.in_module then return self:put "?" end
  local of_global = self.global and (", the global %s"):format(self.global) or ""
  error({ code = "no key", message = format:format(...) .. of_global }, 0)
end

--- The tables of loaded modules by what they are: table -> the first of its names.
local function loaded_modules()
  local names = {}
  for name, module in pairs(package.loaded) do
    if type(module) == "table" and not (names[module] and names[module] < name) then names[module] = name end
  end
  return names
end

local names_in_c = setmetatable({}, { __mode = "k" })

--- The name of a C function by the module that has it.
local function c_function_name(fn)
  for name, module in pairs(package.loaded) do
    for field, value in next, type(module) == "table" and module or {} do
      if rawequal(value, fn) then return ("%s.%s"):format(name, tostring(field)) end
    end
  end
end

function Digest:c_function(fn)
  names_in_c[fn] = names_in_c[fn] or c_function_name(fn)
  if not names_in_c[fn] then return self:refuse "a function in C that no module has" end
  self:put("c ", names_in_c[fn])
end

local codes = setmetatable({}, { __mode = "k" }) -- function -> { bytes, hash }

local function code_of(fn)
  if not codes[fn] then
    local bytes = string.dump(fn, true)
    codes[fn] = { bytes = bytes, hash = frame.hash(bytes) }
  end
  return codes[fn]
end

--- A name as it stands among the constants of dumped code: its length and one, the end marked by the high bit.
local function constant_of(name) return #name < 127 and string.char(#name + 1 | 0x80) .. name or name end

function Digest:put_global(name, value)
  self:put("\nglobal ", name, "=")
  self.global = name
  self:value(value)
  self.global = nil
end

--- The recipe's own globals that a function, or one within it, has the names of.
function Digest:own_globals_of(bytes)
  self.own_globals = self.own_globals or lookup.own_globals()
  for _, name in ipairs(self.own_globals) do
    if bytes:find(constant_of(name), 1, true) then self:put_global(name, _G[name]) end
  end
end

--- The globals of a function: of the usual ones the recipe's own; of others, which load or a local _ENV gives, what it
--- finds there by names that it has.
function Digest:globals(bytes, globals)
  self:own_globals_of(bytes)
  if rawequal(globals, _G) then return end
  local seen = {}
  for name in bytes:gmatch "[%a_][%w_]*" do
    local ok, value = exit.try(function() return globals[name] end)
    if not seen[name] and ok and not rawequal(value, _G[name]) then self:put_global(name, value) end
    seen[name] = true
  end
end

--- The name of a file in the library; nil for others.
local function in_library(file)
  for _, folder in ipairs { CALLED, LIBRARY } do
    if file and file:sub(1, #folder) == folder then return file:sub(#folder + 1) end
  end
end

local function is_field(fn, module)
  for _, value in next, type(module) == "table" and module or {} do
    if rawequal(value, fn) then return true end
  end
  return false
end

--- A function of the library: one that its module offers was made once; another perhaps by a call, whose arguments it
--- may have captured.
function Digest:library(fn, name, path)
  self:put(("library %s:%d %s"):format(name, debug.getinfo(fn, "S").linedefined, code_of(fn).hash))
  local module = "recsys." .. name:gsub("%.lua$", ""):gsub("/", ".")
  if is_field(fn, package.loaded[module]) then return end
  for _, i in ipairs(captured.of_call(fn, path)) do self:upvalue(fn, i) end
end

function Digest:upvalue(fn, i)
  local name, value = debug.getupvalue(fn, i)
  self:put("\n", name, "=")
  self:value(value)
end

function Digest:code(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return self:c_function(fn) end
  local file = info.source:match "^@(.*)$"
  local name = in_library(file)
  if name then return self:library(fn, name, file) end
  local code = code_of(fn)
  self:put("code ", code.hash, " ", file and hash_of_lua(file) or "")
  for i = 1, debug.getinfo(fn, "u").nups do
    local upvalue, value = debug.getupvalue(fn, i)
    if upvalue == "_ENV" or rawequal(value, _G) then self:globals(code.bytes, value) else self:upvalue(fn, i) end
  end
end

local function key_before(a, b)
  local x, y = type(a), type(b)
  if x ~= y then return x < y end
  if x == "boolean" then return b and not a end
  return a < b
end

function Digest:table(value)
  self.modules = self.modules or loaded_modules()
  local name = self.modules[value]
  if name then return self:module(name, value) end
  self:fields(value)
end

--- A module of the library, or one in C, counts by its name; another, whose fields and captured values the recipe may
--- have set, by these too.
function Digest:module(name, value)
  self:put("module ", name)
  if no_files[name] or name:find "^recsys%f[.\0]" or not file_of(name) then return end
  local outer = self.in_module
  self.in_module = true
  self:fields(value)
  self.in_module = outer
end

function Digest:fields(value)
  local keys = {}
  for k in next, value do
    if type(k) == "string" or type(k) == "number" or type(k) == "boolean" then
      keys[#keys + 1] = k
    else
      self:refuse("a table with a %s as a key", type(k))
    end
  end
  table.sort(keys, key_before)
  self:put "{"
  for _, k in ipairs(keys) do
    self:put(("[%q]="):format(k))
    self:value(rawget(value, k))
    self:put ","
  end
  self:put "}"
  if getmetatable(value) then self:value(getmetatable(value)) end
end

--- The run's folder counts as such, and a path in it by its name and by what lies there already.
function Digest:string(value)
  if value == self.flow.name then return self:put "run" end
  local inside = self.flow:inside(value)
  self:put(inside and "run " or "", ("%q"):format(inside or value))
  if not inside then return end
  self.paths[#self.paths + 1] = inside
  if self.before then self.before[#self.before + 1] = self.flow.outputs:before(inside) end
end

function Digest:object(value, metatable)
  local class, saved = store.saved(value)
  if class then
    self:put("object ", class, " ")
    return self:value(saved)
  end
  if type(value) == "table" then return self:table(value) end
  self:refuse("a %s", type(metatable) == "table" and metatable.__name or type(value))
end

function Digest:value(value)
  local kind = type(value)
  if kind == "string" then return self:string(value) end
  if kind == "nil" or kind == "boolean" or kind == "number" then return self:put(("%q"):format(value)) end
  if self.seen[value] then return self:put("again ", tostring(self.seen[value])) end
  self.count = self.count + 1
  self.seen[value] = self.count
  local identity, unknown = self.flow:identity_of(value)
  if identity then return self:put("task ", identity) end
  if unknown then error({ code = "not yet", message = unknown }, 0) end
  if kind == "function" then return self:code(value) end
  if tensor.is(value) then
    return self:put("tensor ", tostring(value), " ", frame.hash(value))
  end
  if kind == "table" and not getmetatable(value) then return self:table(value) end
  self:object(value, getmetatable(value))
end

--- Whether a function is one of the library's.
---@param fn function
---@return boolean
function key.is_ours(fn) return in_library(debug.getinfo(fn, "S").source:match "^@(.*)$") ~= nil end

local function new_digest(flow, name)
  local digest = setmetatable({ flow = flow, seen = {}, count = 0, paths = {} }, Digest)
  digest:put(key.program(), "\n", name, "\n")
  return digest
end

--- The hash of what a task is made of, without the files that it reads.
---@param flow Flow       answers inside(string) -> name in the run's folder, identity_of(value), and has `outputs`
---@param name string
---@param fn function
---@param arguments table  packed; what stands for them where the function says so (flow.identity)
---@return string? base    nil: there is none
---@return string|string[] paths_or_why  names in the run's folder among the arguments; or why there is none
---@return string? held_or_code  of what the function alone holds (key.held); or "not yet": a task that comes before has
---   not run; "no key"
function key.of(flow, name, fn, arguments)
  local digest = new_digest(flow, name)
  digest.before = {}
  local size
  local ok, problem = pcall(function()
    digest:code(fn)
    size = #digest
    for i = 1, arguments.n do
      digest:put "\n"
      digest:value(arguments[i])
    end
  end)
  if ok then
    local before = table.concat(digest.before, "\n")
    local held = frame.hash(table.concat(digest, "", 1, size))
    return frame.hash(table.concat(digest) .. "\n" .. before), digest.paths, held
  end
  if type(problem) == "table" and (problem.code == "not yet" or problem.code == "no key") then
    return nil, problem.message, problem.code
  end
  error(problem, 0)
end

--- The hash of what a digest's method makes of a value; nil when that has no content.
local function hash_by(flow, name, method, value)
  local digest = new_digest(flow, name)
  local ok, problem = exit.try(digest[method], digest, value)
  if not ok and not (type(problem) == "table" and problem.code) then error(problem, 0) end
  return ok and frame.hash(table.concat(digest)) or nil
end

--- The hash of a function and of what it has captured as that is now; nil when it has come to hold what has no content.
---@param flow Flow
---@param name string
---@param fn function
---@return string?
function key.held(flow, name, fn) return hash_by(flow, name, "code", fn) end

--- The hash of what a value holds now; nil when it has no content.
---@param flow Flow
---@param value any
---@return string?
function key.of_value(flow, value)
  local ok, hash = exit.try(hash_by, flow, "", "value", value) -- what is closed has none, either
  return ok and hash or nil
end

return key
