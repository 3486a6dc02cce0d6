--- Which process is at work on a run, so that one that was killed can be told from one that works.
---
--- While a run is open it has the tag `recsys.process`: the kernel's boot id, the process's namespace, its number and
--- the moment it was started at, which together no other process ever has. Whoever looks at runs asks
--- process.is_gone, and marks those KILLED whose process has ended without a word.

local files = require "recsys.files"
local uv = require "luv"

local process = { tag = "recsys.process" }

--- When a process was started, in ticks since the kernel was; nil when there is none, or only its remains.
local function started(pid)
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

--- This process, as the tag has it: "BOOT NAMESPACE PID START HOST".
---@return string
function process.name()
  local boot, namespace = place()
  local pid = uv.os_getpid()
  return ("%s %s %d %s %s"):format(boot, namespace, pid, started(pid) or "?", uv.os_gethostname())
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
  return namespace == space and started(math.tointeger(tonumber(pid)) or 0) ~= start
end

return process
