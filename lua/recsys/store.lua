--- Values that cross tasks, on disk: a Lua literal beside one safetensors file.
---
--- Plain values (nil, booleans, numbers to the last bit, strings, tables of them), tensors, and objects of a registered
--- class. Anything else (a function, a coroutine, a cycle) is refused with the path to it: a task must be resumable.
--- The files are the run's own and trusted; what comes from outside is a bundle and read by recsys.bundle.

local files = require "recsys.files"

local store = {}

local classes = {}  -- name -> { save, load }
local names = setmetatable({}, { __mode = "k" }) -- metatable -> name

--- Let objects with this metatable be saved.
---@param name string        stable: it is written into files
---@param metatable table    the object's metatable
---@param save fun(object): any   a value that store can save
---@param load fun(value): any    the object again
function store.class(name, metatable, save, load)
  classes[name] = { save = save, load = load, metatable = metatable }
  names[metatable] = name
end

--- What would be saved of an object of a registered class.
---@param object any
---@return string? class  nil: it is of none
---@return any value
function store.saved(object)
  local metatable = getmetatable(object)
  local class = metatable and type(object) ~= "string" and names[metatable]
  if class then return class, classes[class].save(object) end
end

local Writer = {}
Writer.__index = Writer

function Writer:put(piece) self[#self + 1] = piece end

function Writer:tensor(t)
  local id = ("t%05d"):format(self.count)
  self.count = self.count + 1
  self.tensors[id] = t
  self:put(("T(%q)"):format(id))
end

local function refuse(path, what)
  error(("a task's result cannot be saved: %s is %s"):format(path, what), 0)
end

function Writer:table(value, path)
  if self.open[value] then refuse(path, "part of itself") end
  self.open[value] = true
  self:put "{"
  local length = #value
  for i = 1, length do
    self:value(value[i], ("%s[%d]"):format(path, i))
    self:put ","
  end
  local keys = {}
  for key in pairs(value) do
    if not (math.type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    self:put(("[%q]="):format(key))
    self:value(value[key], ("%s.%s"):format(path, key))
    self:put ","
  end
  self:put "}"
  self.open[value] = nil
end

function Writer:value(value, path)
  local kind, metatable = type(value), getmetatable(value)
  local class = metatable and kind ~= "string" and names[metatable]
  if class then
    self:put(("C(%q,"):format(class))
    self:value(classes[class].save(value), path)
    self:put ")"
  elseif kind == "userdata" and metatable and metatable.__name == "recsys.Tensor" then
    self:tensor(value)
  elseif kind == "table" then
    if metatable then refuse(path, "an object of an unregistered class") end
    self:table(value, path)
  elseif kind == "string" and self.run and value:sub(1, #self.run + 1) == self.run .. "/" then
    self:put(("R(%q)"):format(value:sub(#self.run + 2)))
  elseif kind == "nil" or kind == "boolean" or kind == "number" or kind == "string" then
    self:put(("%q"):format(value))
  else
    refuse(path, "a " .. kind)
  end
end

--- A value without tensors as Lua text, the same for equal values. Raises when part of it cannot be saved.
---@param value any
---@return string
function store.text(value)
  local writer = setmetatable({ tensors = {}, count = 0, open = {} }, Writer)
  writer:value(value, "the value")
  if writer.count > 0 then error("a value with tensors has no text", 0) end
  return table.concat(writer)
end

--- Save a value into a folder, which is made. Raises when part of it cannot be saved or the disk refuses.
---@param folder string
---@param value any
---@param later? boolean|"checked"  as for files.write
---@param run? string     a run's folder: paths in it are kept as such, and become those of the run that loads them
function store.save(folder, value, later, run)
  local writer = setmetatable({ tensors = {}, count = 0, open = {}, run = run }, Writer)
  writer:put "local T, C, R = ...\nreturn "
  writer:value(value, "the result")
  files.make_folder(folder)
  if writer.count > 0 then
    local bundle = require "recsys.bundle"
    local path = folder .. "/value.safetensors"
    local ok, message, code = bundle.write_safetensors(path, writer.tensors, later)
    if not ok then error({ code = code, message = message }, 0) end
    if later then files.owe(path) end
  end
  files.write(folder .. "/value.lua", table.concat(writer), later)
end

--- The value that a text of store.save stands for.
---@param text string
---@param path string  of its file, for messages and for the tensors beside it
---@param run string
local function evaluate(text, path, run)
  local chunk = assert(load(text, "@" .. path, "t", {}))
  local tensors
  local function tensor(id)
    tensors = tensors or assert(require("recsys.bundle").read_safetensors((path:gsub("%.lua$", ".safetensors"))))
    return tensors[id]
  end
  return chunk(tensor, function(class, value)
    local known = classes[class] or (pcall(require, class) and classes[class])
    if not known then error(("%s: there is no class '%s' to load"):format(path, class), 0) end
    return known.load(value)
  end, function(name) return run .. "/" .. name end)
end

--- Load what store.save put into a folder. Raises when it is not there or damaged.
---@param folder string
---@param run? string  the run's folder; default the one that 'folder' lies in, as RUN/tasks/NAME
---@return any
function store.load(folder, run)
  local path = folder .. "/value.lua"
  return evaluate(assert(files.read(path)), path, run or folder:match "^(.*)/tasks/[^/]+/*$" or "RUN")
end

--- The value of a text that stood in a value.lua without tensors beside it.
---@param text string
---@param name string  for messages
---@param run string   the run's folder
---@return any
function store.value_of(text, name, run) return evaluate(text, name, run) end

--- Put a value without tensors into one file: a file costs a disk more than what stands in it.
---@param path string
---@param value any
---@param later? boolean|"checked"  as for files.write
function store.write(path, value, later)
  files.write(path, "local T, C, R = ...\nreturn " .. store.text(value), later)
end

--- What store.write put into a file. Raises when it is not there or damaged.
---@param path string
---@return any
function store.read(path) return evaluate(assert(files.read(path)), path, "RUN") end

return store
