--- Which upvalues of a function are those of a call that made it, and which are the locals of its file.
---
--- A function of a file's outermost level is made once: what it has captured is as the file made it. One that is made
--- anew by each call of another has captured that call's arguments and locals, too. Which is which the file's compiled
--- form tells (lua 5.4, ldump.c), read once for each file.

local captured = {}

local HEADER <const> = 32 -- bytes before the main function: signature, version, sizes of numbers, number of upvalues

local Reader = {}
Reader.__index = Reader

function Reader:byte()
  local at = self.at
  self.at = at + 1
  return self.bytes:byte(at)
end

--- An unsigned number: seven bits a byte, the last of which has the high bit set.
function Reader:number()
  local n = 0
  repeat
    local byte = self:byte()
    n = n << 7 | byte & 0x7f
  until byte & 0x80 ~= 0
  return n
end

function Reader:string()
  local size = self:number()
  if size == 0 then return nil end
  self.at = self.at + size - 1
  return self.bytes:sub(self.at - size + 1, self.at - 1)
end

function Reader:skip(size) self.at = self.at + size end

local sizes = { [0x03] = 8, [0x13] = 8, [0x00] = 0, [0x01] = 0, [0x11] = 0 } -- of constants that are no strings

function Reader:constants()
  for _ = 1, self:number() do
    local size = sizes[self:byte()]
    if size then self:skip(size) else self:string() end
  end
end

--- For each upvalue of a function whether it is of a call: a local of the function around it, or one of that one's own.
function Reader:upvalues(depth, around)
  local of_call = {}
  for i = 1, self:number() do
    local in_stack, index = self:byte(), self:byte()
    self:skip(1)
    if in_stack ~= 0 then of_call[i] = depth >= 2 else of_call[i] = around[index + 1] or false end
  end
  return of_call
end

--- Names of the upvalues, behind what debuggers ask for.
function Reader:names()
  self:skip(self:number())
  for _ = 1, 2 * self:number() do self:number() end
  for _ = 1, self:number() do
    self:string()
    self:number()
    self:number()
  end
  local names = {}
  for i = 1, self:number() do names[i] = self:string() or "?" end
  return names
end

local function name_of(first, last) return ("%d-%d"):format(first, last) end

--- A function and those within it. Several in the same lines are taken for one that has captured what any has.
function Reader:functions(depth, around, found)
  self:string()
  local lines = name_of(self:number(), self:number())
  self:skip(3)
  self:skip(4 * self:number())
  self:constants()
  local of_call = self:upvalues(depth, around)
  for _ = 1, self:number() do self:functions(depth + 1, of_call, found) end
  found[lines] = found[lines] or {}
  for i, name in ipairs(self:names()) do found[lines][name] = found[lines][name] or of_call[i] end
end

local known = {} -- path -> what is of calls, by lines and name

local function look(path)
  local chunk = loadfile(path)
  local found = {}
  if chunk then
    setmetatable({ bytes = string.dump(chunk), at = HEADER + 1 }, Reader):functions(0, {}, found)
  end
  return found
end

--- The upvalues of a Lua function that are of a call, by number. All of them where its file does not tell.
---@param fn function
---@param path string  of the file that it is in
---@return integer[]
function captured.of_call(fn, path)
  known[path] = known[path] or look(path)
  local info = debug.getinfo(fn, "S")
  local of_call, list = known[path][name_of(info.linedefined, info.lastlinedefined)], {}
  for i = 1, debug.getinfo(fn, "u").nups do
    local name = debug.getupvalue(fn, i)
    if name ~= "_ENV" and (not of_call or of_call[name] ~= false) then list[#list + 1] = i end
  end
  return list
end

return captured
