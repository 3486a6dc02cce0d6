--- What a process that we start prints, on its way to a file: where there are secrets it comes through here, so that
--- they are left out of it, else the process writes the file itself.
---
--- The pipe is read whenever somebody who waits for the process looks (`pump`), so one that prints much waits for us.

local log = require "recsys.log"
local uv = require "luv"

local output = {}

local Output = {}
Output.__index = Output

local CHUNK <const> = 1 << 16

--- Open the file, to add to it.
---@param path string
---@return Output?   its `fd` is for stdout and stderr of the process; nil, message
---@return string? message
function output.open(path)
  local file, refused = uv.fs_open(path, "a", tonumber("644", 8))
  if not file then return nil, refused end
  if not log.hides() then return setmetatable({ fd = file }, Output) end
  local pipe, message = uv.pipe({ nonblock = true }, {})
  if not pipe then
    uv.fs_close(file)
    return nil, message
  end
  return setmetatable({ fd = pipe.write, file = file, from = pipe.read, held = "" }, Output)
end

--- The process has its own of `fd` now, or does not come to be.
function Output:started()
  uv.fs_close(self.fd)
end

local function write(self, said)
  if said ~= "" then uv.fs_write(self.file, said, -1) end
end

--- Write what has been printed. The last of it stays here while a secret may begin with it.
function Output:pump()
  if not self.from then return end
  for bytes in function() return uv.fs_read(self.from, CHUNK) end do
    if bytes == "" then return end
    local said = log.veiled(self.held .. bytes)
    local told = #said - log.begun(said)
    self.held = said:sub(told + 1)
    write(self, said:sub(1, told))
  end
end

--- The process has ended. What others still print that it has started goes nowhere.
function Output:close()
  if not self.from then return end
  self:pump()
  write(self, self.held)
  uv.fs_close(self.from)
  uv.fs_close(self.file)
  self.from = nil
end

return output
