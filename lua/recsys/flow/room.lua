--- How many bytes the results that are kept for later runs take, known without a look at each: FOLDER.room, beside the
--- folder of recsys.flow.cache.
---
--- Processes add lines to it, "BYTES WORD PROCESS". One claims room before it keeps a result, so much at once that this
--- happens rarely, and gives back at its end what it has not used: when it is killed in between, too much counts and
--- never too little. A look at all results, which is due when they seem to be over their limit, and once a day, says
--- what is right. A claim of a process that is gone tells that there may be something which it has left half-made.

local files = require "recsys.files"
local process = require "recsys.track.process"
local uv = require "luv"

local room = {}

local CLAIM <const> = 16 << 20 -- bytes
local LASTS <const> = 86400 -- seconds from one look at all results to the next
local LONG <const> = 1 << 18 -- bytes of the file, from which on it is written anew
local MODE <const> = tonumber("666", 8) -- less the umask: who may write to the folder may to this, too

local claims = {} -- of this process, by folder: { claimed, used }

--- Add a line, which goes into the file whole.
local function add(folder, bytes, word, name)
  local handle, message = uv.fs_open(folder .. ".room", "a", MODE)
  local ok = handle
  if handle then
    ok, message = uv.fs_write(handle, ("%d %s %s\n"):format(bytes, word, name or process.name()), -1)
    uv.fs_close(handle)
  end
  if not ok then error({ code = "io", message = ("cannot write %s.room: %s"):format(folder, message) }, 0) end
end

--- A result of so many bytes is about to be kept.
---@param folder string
---@param bytes integer
---@param limit integer  of all, of which a claim is a small part
function room.use(folder, bytes, limit)
  local own = claims[folder] or { claimed = 0, used = 0 }
  own.used = own.used + bytes
  if own.used > own.claimed then
    local more = own.used - own.claimed + math.min(CLAIM, limit // 100)
    add(folder, more, "claims")
    own.claimed = own.claimed + more
  end
  claims[folder] = own
end

--- What the file says: the sum, when all were looked at last, and who has claimed and not ended.
local function read(folder)
  local sum, looked, open = 0, nil, {}
  for bytes, word, name in (files.read(folder .. ".room") or ""):gmatch "(%-?%d+) (%l+) ([^\n]*)\n" do
    sum = (word == "looked" and 0 or sum) + math.tointeger(bytes)
    if word == "claims" then open[name] = true end
    if word == "ends" then open[name] = nil end
    if word == "looked" then looked = math.tointeger(name) end
  end
  return sum, looked, open
end

--- This process keeps no more, for now: it gives back what it has not used.
---@param folder string
---@return integer? bytes   of all; nil: a look at all is due
---@return boolean is_torn  a process that is gone may have left something half-made
function room.settle(folder)
  local own = claims[folder]
  claims[folder] = nil
  if own then add(folder, own.used - own.claimed, "ends") end
  local sum, looked, open = read(folder)
  local is_torn = false
  for name in pairs(open) do
    if process.is_gone(name) then
      add(folder, 0, "ends", name)
      is_torn = true
    end
  end
  local is_known = looked and os.time() - looked < LASTS and looked <= os.time()
  return is_known and math.max(sum, 0) or nil, is_torn
end

--- All results were looked at: they have so many bytes. What was said before counts no more, and goes when it is much.
---@param folder string
---@param bytes integer
function room.looked(folder, bytes)
  local about = uv.fs_stat(folder .. ".room")
  if not about or about.size < LONG then return add(folder, bytes, "looked", os.time()) end
  local _, _, open = read(folder)
  local lines = { ("%d looked %d\n"):format(bytes, os.time()) }
  for name in pairs(open) do lines[#lines + 1] = ("0 claims %s\n"):format(name) end
  files.write(folder .. ".room", table.concat(lines), "checked")
  uv.fs_chmod(folder .. ".room", about.mode & MODE)
end

return room
