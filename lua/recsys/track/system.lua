--- What the machine and this process are doing, as metrics of a run: processors and memory, once a second.
---
--- Names and units are MLflow's where it has them, "system/cpu_utilization_percentage", so that its pages show them
--- apart; the step counts samples. A sample is taken when the run is next at work (Run:tick) after a second, by no
--- thread of its own: it costs some 40 microseconds, and nothing while nothing happens.

local files = require "recsys.files"
local uv = require "luv"

local system = {}

local SECOND <const> = 1e9 -- ns

--- Ticks of all processors together: at work, and all.
local function processors()
  local line = (files.read "/proc/stat" or ""):match "^cpu +([^\n]+)"
  local busy, all, column = 0, 0, 0
  for ticks in (line or ""):gmatch "%d+" do
    column = column + 1
    if column > 8 then break end -- guests are in the first two
    all = all + tonumber(ticks)
    if column ~= 4 and column ~= 5 then busy = busy + tonumber(ticks) end -- neither idle nor waiting for a disk
  end
  return busy, all
end

--- Bytes of the machine's memory that are in use, and all.
local function memory()
  local text = files.read "/proc/meminfo" or ""
  local total, available = tonumber(text:match "MemTotal: +(%d+)"), tonumber(text:match "MemAvailable: +(%d+)")
  if total and available then return (total - available) * 1024, total * 1024 end
  return uv.get_total_memory() - uv.get_free_memory(), uv.get_total_memory()
end

--- Seconds of processor time that this process has used.
local function used()
  local usage = uv.getrusage()
  return usage.utime.sec + usage.utime.usec / 1e6 + usage.stime.sec + usage.stime.usec / 1e6
end

local Sampler = {}
Sampler.__index = Sampler

--- What samples at the most so often.
---@param every? number  seconds, default 1
---@return Sampler
function system.sampler(every)
  local self = setmetatable({ every = (every or 1) * SECOND, at = uv.hrtime(), step = 0, used = used() }, Sampler)
  self.busy, self.all = processors()
  return self
end

--- A sample, when it is time for one.
---@return table<string, number>? values
---@return integer? step
function Sampler:sample()
  local now = uv.hrtime()
  if now - self.at < self.every then return nil end
  local busy, all = processors()
  local spent, in_use, total = used(), memory()
  local values = {
    ["system/system_memory_usage_megabytes"] = in_use / 1e6,
    ["system/system_memory_usage_percentage"] = 100 * in_use / total,
    ["system/process_memory_usage_megabytes"] = uv.resident_set_memory() / 1e6,
    ["system/process_cpu_utilization_percentage"] = 100 * (spent - self.used) * SECOND / (now - self.at),
  }
  if all > self.all then values["system/cpu_utilization_percentage"] = 100 * (busy - self.busy) / (all - self.all) end
  self.at, self.used, self.busy, self.all, self.step = now, spent, busy, all, self.step + 1
  return values, self.step - 1
end

return system
