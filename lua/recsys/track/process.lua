--- Which process is at work on something, so that one that was killed can be told from one that works.
---
--- A process is named by the kernel's boot id, its namespace, its number and the moment it was started at, which
--- together no other process ever has. Tracked runs that are open have it as the tag `recsys.process`, and flow.db has
--- it of who is at work on runs, studies and schedules. Whoever looks at them asks process.is_gone, and says of those
--- whose process has ended without a word that they were killed.

local files = require "recsys.files"
local uv = require "luv"

local process = { tag = "recsys.process" }

--- When a process was started, in ticks since the kernel was; nil when there is none, or only its remains.
---@param pid integer
---@return string?
function process.started(pid)
  local stat = files.read(("/proc/%d/stat"):format(pid))
  local fields = stat and stat:match "^.*%) (.*)$" -- the name before may hold anything
  if not fields or fields:find "^[ZX]" then return nil end
  local position = 2
  for field in fields:gmatch "%S+" do
    position = position + 1
    if position == 22 then return field end
  end
end

local function place()
  local boot = files.read "/proc/sys/kernel/random/boot_id"
  return boot and boot:match "%S+" or "?", (uv.fs_readlink "/proc/self/ns/pid" or "?"):match "%d+" or "?"
end

--- A process of this namespace, as the tag has it: "BOOT NAMESPACE PID START HOST".
---@param pid? integer  default: this process
---@return string
function process.name(pid)
  local boot, namespace = place()
  pid = pid or uv.os_getpid()
  return ("%s %s %d %s %s"):format(boot, namespace, pid, process.started(pid) or "?", uv.os_gethostname())
end

--- Whether the process of that name has ended, as far as can be seen from here: processes of other machines and of
--- other containers are taken to be alive, those of this machine before it was booted anew to be gone. A machine is
--- known by its host name.
---@param name string
---@return boolean
function process.is_gone(name)
  local boot, namespace, pid, start, host = name:match "^(%S+) (%S+) (%d+) (%S+) (.*)$"
  if not boot then return false end
  local here, space = place()
  if boot ~= here then return host == uv.os_gethostname() end
  if namespace ~= space then return false end
  local number = math.tointeger(tonumber(pid)) or 0
  local now = process.started(number)
  if now then return now ~= start end
  return select(3, uv.kill(number, 0)) ~= "EPERM" -- hidden: another user's, where users do not see each other's
end

--- Where the process of that name is, or was: only here its number means something.
---@param name string
---@return "here"|"container"|"machine"  another container of this kernel; another machine, or before the last boot
function process.where(name)
  local here, space = place()
  local boot, namespace = name:match "^(%S+) (%S+)"
  return boot ~= here and "machine" or namespace ~= space and "container" or "here"
end

return process
