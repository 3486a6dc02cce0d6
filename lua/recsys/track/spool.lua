--- What is to be sent to a tracking server, in a file, until the server has it.
---
--- A spool is one process's: FOLDER/spool/NAME.jsonl holds operations in order, a line each, written before anything is
--- sent, and NAME.json how far the server has followed and which of its runs are ours. What a process leaves behind, by
--- kill -9 or because the server was away, is sent by the next one that tracks there, or by `recsys-run runs push`.
--- A line that was cut short by a kill is not complete and is left out.

local files = require "recsys.files"
local json = require "recsys.json"
local process = require "recsys.track.process"
local uv = require "luv"

local spool = {}

local Spool = { __name = "recsys.Spool" }
Spool.__index = Spool

local open = {} -- names of those that this process writes

local function folder_of(folder) return folder .. "/spool" end

--- Begin a spool of this process.
---@param folder string   of the store, "artifacts"
---@param address string  of the server
---@return Spool
function spool.create(folder, address)
  files.make_folder(folder_of(folder))
  local seconds, micro = uv.gettimeofday() -- the names are in the order of time
  local name = ("%s/%s%06d-%d-%s"):format(folder_of(folder), os.date("!%Y%m%dT%H%M%S", seconds), micro, uv.os_getpid(),
    uv.random(4):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  local file, message = uv.fs_open(name .. ".jsonl", "a", tonumber("644", 8))
  if not file then error({ code = "io", message = message }, 0) end
  open[name] = true
  local self = setmetatable({ name = name, file = file, address = address, size = 0, copies = 0,
    state = { offset = 0, ids = {}, uris = {}, open = {} } }, Spool)
  self:append { op = "open", address = address, process = process.name() }
  self.state.offset = self.size -- that line is ours alone
  return self
end

--- Add a line. It is the kernel's when this returns: a kill does not lose it. Raises when there is no room.
---@param line string  an operation as JSON
function Spool:write(line)
  line = (self.torn and "\n" or "") .. line .. "\n"
  local written, message = uv.fs_write(self.file, line)
  self.size = self.size + (written or 0)
  if written == #line then
    self.torn = false
    return
  end
  self.torn = self.torn or (written or 0) > 0 -- a line of which a part is there stands alone
  error({ code = "io", message = ("cannot write %s.jsonl: %s"):format(self.name, message or "the disk is full") }, 0)
end

--- Add an operation.
---@param operation table  plain values
function Spool:append(operation) self:write(json.encode(operation)) end

--- The next operations that the server has not got: { at = where it ends, ... }, at most 'most'.
---@param most integer
---@return table[]
function Spool:pending(most)
  local list = {}
  if self.state.offset >= self.size then return list end
  local reader = io.open(self.name .. ".jsonl", "rb")
  if not reader then return list end
  reader:seek("set", self.state.offset)
  local at = self.state.offset
  for line in reader:lines "L" do
    if line:sub(-1) ~= "\n" or #list == most then break end
    at = at + #line
    local operation = json.decode(line)
    if type(operation) == "table" then
      operation.at = at
      list[#list + 1] = operation
    end
  end
  reader:close()
  return list
end

--- Whether the server has everything.
function Spool:is_sent() return self.state.offset >= self.size end

--- Note how far the server has followed.
function Spool:advance(offset)
  self.state.offset = offset
  self:save()
end

function Spool:save()
  files.write(self.name .. ".json", json.encode(self.state), true)
end

--- Keep an operation that the server refuses for good, for people to look at.
function Spool:refuse(operation, message)
  local file = io.open(self.name .. ".refused", "ab")
  if not file then return end
  operation.refused = message
  file:write(json.encode(operation), "\n")
  file:close()
  self.has_refused = true
end

--- A file of the spool's own with the bytes of another, or those given.
---@param how? string  "link": the same file, where that can be
---@return string path
function Spool:keep(source, bytes, how)
  self.copies = self.copies + 1
  local path = ("%s.%d.bin"):format(self.name, self.copies)
  if bytes then
    files.write(path, bytes, true)
    return path
  end
  local ok, message = how == "link" and uv.fs_link(uv.fs_realpath(source) or source, path), nil
  if not ok then ok, message = uv.fs_copyfile(source, path, { ficlone = true }) end
  if not ok then error({ code = "io", message = ("cannot copy %s: %s"):format(source, message) }, 0) end
  return path
end

--- Bytes of files that wait beside it.
---@return integer
function Spool:file_bytes()
  local folder, prefix = self.name:match "^(.*/)([^/]+)$"
  local bytes = 0
  for _, file in ipairs(files.names(folder)) do
    local about = file:sub(1, #prefix) == prefix and file:find "%.bin$" and uv.fs_stat(folder .. file)
    bytes = bytes + (about and about.size or 0)
  end
  return bytes
end

--- Remove it: the server has everything.
function Spool:remove()
  if self.file then uv.fs_close(self.file) end
  self.file, open[self.name] = nil, nil
  for _, ending in ipairs { ".jsonl", ".json", ".lock" } do uv.fs_unlink(self.name .. ending) end
end

--- Let go of it without removing it.
function Spool:close()
  if self.file then uv.fs_close(self.file) end
  self.file, open[self.name] = nil, nil
  uv.fs_unlink(self.name .. ".lock")
end

--- Whether this process may send a spool that another has left: one at a time.
local function lock(name)
  local path = name .. ".lock"
  for _ = 1, 2 do
    local handle = uv.fs_open(path, "wx", tonumber("644", 8))
    if handle then
      uv.fs_write(handle, process.name())
      uv.fs_close(handle)
      return true
    end
    local owner = files.read(path)
    if not owner or owner == "" or not process.is_gone(owner) then return false end
    uv.fs_unlink(path)
  end
  return false
end

local function read_state(name)
  local state = json.decode(files.read(name .. ".json") or "")
  if type(state) ~= "table" then state = {} end
  local function map(value) return type(value) == "table" and value or {} end
  return { offset = math.tointeger(state.offset) or 0, ids = map(state.ids), uris = map(state.uris),
    open = map(state.open), attempted = state.attempted, failed = map(state.failed),
    singly = math.tointeger(state.singly) }
end

--- The names of the spools of a server, oldest first, each with the process that writes it.
local function spools(folder, address)
  local list = {}
  for _, file in ipairs(files.names(folder_of(folder))) do
    local name = file:match "^(.+)%.jsonl$"
    name = name and folder_of(folder) .. "/" .. name
    local reader = name and io.open(name .. ".jsonl", "rb")
    local first = reader and json.decode(reader:read "l" or "")
    if reader then reader:close() end
    if type(first) == "table" and type(first.process) == "string" and (not address or first.address == address) then
      list[#list + 1] = { name = name, address = first.address, process = first.process }
    end
  end
  return list
end

local function holds(name, kind, id)
  for line in io.lines(name .. ".jsonl") do
    local operation = line:find(id, 1, true) and line:find(kind, 1, true) and json.decode(line)
    if type(operation) == "table" and operation.op == kind and operation.id == id then return true end
  end
  return false
end

--- Whether another spool for the same server has an operation of that kind for a run.
---@param folder string
---@param own Spool
---@param kind string  "create", "adopt"
---@param id string    of the run
function spool.is_elsewhere(folder, own, kind, id)
  for _, one in ipairs(spools(folder, own.address)) do
    local _, found = pcall(holds, one.name, kind, id) -- one that is removed meanwhile holds nothing
    if found == true and one.name ~= own.name then return true end
  end
  return false
end

--- Whether nobody writes it any more.
local function is_left(one)
  return process.is_gone(one.process) or one.process == process.name() and not open[one.name]
end

--- The spools that processes have left behind, oldest first, each locked for us.
---@param folder string
---@param address? string  of one server; default: all
---@return Spool[]
function spool.left(folder, address)
  local list = {}
  for _, one in ipairs(spools(folder, address)) do
    if is_left(one) and lock(one.name) then
      list[#list + 1] = setmetatable({ name = one.name, address = one.address,
        size = uv.fs_stat(one.name .. ".jsonl").size, copies = 0, state = read_state(one.name), orphan = true }, Spool)
    end
  end
  return list
end

return spool
