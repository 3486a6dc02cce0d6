--- Files in a run's folder: what they hold, and which task has made them.
---
--- A path that a task is given counts by what lies there when the task begins; a task's own are the files below its
--- paths that appeared or changed while it ran. Both follow from one list of known files with their hashes: what is not
--- on it, or is not any more what it says, is new. A file's size, time and inode tell whether it is what it was; where
--- it was hashed so soon after it was written that its time would not tell of the next change, its hash does.
---
--- In a run that goes on, files that lie there from before and belong to no finished task are what an attempt left that
--- was cut short: they count for nothing until a task ends that has them.

local files = require "recsys.files"
local frame = require("recsys.core").frame
local lfs = require "lfs"
local uv = require "luv"

local outputs = {}

local Outputs = {}
Outputs.__index = Outputs

local TICK <const> = 0.02 -- seconds: more than the steps in which a file system tells times

--- What every run has, made by no task.
local of_the_run = { tasks = true, logs = true, notes = true, unfinished = true, ["log.txt"] = true,
  ["params.json"] = true, ["environment.json"] = true, ["tasks.json"] = true, ["provenance.json"] = true,
  ["hooks.txt"] = true, ["result.json"] = true, ["report.html"] = true }

local FOLDER <const> = "/" -- what stands for the hash of one in which there is nothing

--- What stands for the hash of what is no file: of a link "->" and where it leads, "=>" and the name when that is an
--- absolute path in the run's folder; of a folder "/". nil for files and for nothing.
local function sign_of(path, run)
  local about = uv.fs_lstat(path)
  if about and about.type == "directory" then return FOLDER end
  if not about or about.type ~= "link" then return nil end
  local target, root = uv.fs_readlink(path) or "", uv.fs_realpath(run) or run
  if target:sub(1, #root + 1) == root .. "/" then return "=>" .. target:sub(#root + 2) end
  return "->" .. target
end

--- Whether a hash is what stands for that of a link or a folder.
---@param hash string
---@return boolean
function outputs.is_sign(hash) return hash == FOLDER or hash:find "^[-=]>" ~= nil end

--- Make the link or the folder that a sign stands for.
---@param sign string
---@param path string  whose folder is there
---@param run string   the run's folder
function outputs.make(sign, path, run)
  if sign == FOLDER then
    files.make_folder(path)
    return
  end
  local target = sign:sub(3)
  if sign:sub(1, 1) == "=" then target = (uv.fs_realpath(run) or run) .. "/" .. target end
  uv.fs_unlink(path)
  local ok, message = uv.fs_symlink(target, path)
  if not ok then error({ code = "io", message = ("cannot make the link %s: %s"):format(path, message) }, 0) end
end

local function seconds_of(time) return time.sec + time.nsec / 1e9 end

local function clock()
  local seconds, micros = uv.gettimeofday()
  return seconds + micros / 1e6
end

--- The names of paths in the run's folder that a value holds, also in plain tables.
---@param flow Flow
---@param value any
---@param paths string[]  to which they are added
---@return string[]
function outputs.paths_in(flow, value, paths, seen)
  seen = seen or {}
  if type(value) == "string" then
    paths[#paths + 1] = flow:inside(value)
  elseif type(value) == "table" and not getmetatable(value) and not seen[value] then
    seen[value] = true
    for _, part in next, value do outputs.paths_in(flow, part, paths, seen) end
  end
  return paths
end

--- The files of a run.
---@param folder? string    nil: that of a plan, in which there are none but those of results that would be taken
---@param resumed? boolean  the run goes on
---@return Outputs
function outputs.new(folder, resumed)
  return setmetatable({ folder = folder, known = {}, since = resumed and clock() - TICK or nil }, Outputs)
end

--- A name below the run's folder in one spelling; nil for what leads out of it.
local function plain(name)
  if ("/" .. name .. "/"):find("/../", 1, true) then return nil end
  return (("/" .. name .. "/"):gsub("/%./", "/"):gsub("/%./", "/"):gsub("//+", "/"):gsub("^/", ""):gsub("/$", ""))
end

local function add_files(root, name, found, folders)
  local path = name == "" and root or root .. "/" .. name
  local mode = lfs.symlinkattributes(path, "mode")
  if (mode == "file" or mode == "link") and not files.is_unfinished(name) then
    found[#found + 1] = name
  elseif mode == "directory" then
    local parts = files.names(path)
    if folders and #parts == 0 and name ~= "" then found[#found + 1] = name end
    for _, part in ipairs(parts) do
      if name ~= "" then
        add_files(root, name .. "/" .. part, found, folders)
      elseif not of_the_run[part] then
        add_files(root, part, found, folders)
      end
    end
  end
end

--- Names of the files and links at and below paths in the run's folder, sorted, each once.
---@param folders? boolean  also of folders in which there is nothing
function Outputs:names(paths, folders)
  local found, seen, list = {}, {}, {}
  for _, path in ipairs(paths) do
    local name = plain(path)
    if name and self.folder then
      add_files(self.folder, name, found, folders)
    elseif name then
      for known, file in pairs(self.known) do
        local below = name == "" or known == name or known:sub(1, #name + 1) == name .. "/"
        if below and file.hash ~= FOLDER then found[#found + 1] = known end
      end
    end
  end
  for _, name in ipairs(found) do
    if not seen[name] then list[#list + 1] = name end
    seen[name] = true
  end
  table.sort(list)
  return list
end

local function stamp_of(about)
  return ("%d %d.%09d %d"):format(about.size, about.mtime.sec, about.mtime.nsec, about.ino)
end

--- Whether a file was written so lately that its time may not tell of the next change.
local function is_fresh(about) return clock() - seconds_of(about.mtime) < TICK end

--- A file as it is now: its hash, its stamp, and whether that will tell of the next change; nil when it went meanwhile.
local function look(path)
  local about = uv.fs_stat(path)
  local hash, message, code = frame.hash_file(path)
  if about and not hash and files.exists(path) then error({ code = code, message = message }, 0) end
  return about and hash and { hash = hash, stamp = stamp_of(about), is_fresh = is_fresh(about) }
end

--- A file as it is now, as it is known when it is that.
---@param unread? boolean  it is not to be read, as somebody may be writing it
---@return { hash: string, stamp: string }? file  nil: it is not there, or was not read
---@return boolean is_known
function Outputs:see(name, unread)
  local path, known = self.folder .. "/" .. name, self.known[name]
  local sign = sign_of(path, self.folder)
  if sign then return { hash = sign, stamp = sign }, known ~= nil and known.hash == sign end
  local about = uv.fs_stat(path)
  if not about or about.type ~= "file" then return nil, false end
  if known and known.stamp == stamp_of(about) and (unread or not known.is_fresh) then return known, true end
  local now = not unread and look(path) or nil
  return now, known ~= nil and now ~= nil and known.stamp == now.stamp and known.hash == now.hash
end

--- Whether a file that is not known lies there from an attempt that was cut short.
function Outputs:is_left_over(name)
  local about = self.since and uv.fs_lstat(self.folder .. "/" .. name)
  return about and seconds_of(about.ctime) < self.since or false
end

--- The hash of a file that was there before the task that asks; nil when there was none.
function Outputs:hash_of(name)
  if not self.folder then return self.known[name] and self.known[name].hash end
  if not self.known[name] and self:is_left_over(name) then return nil end
  local file = self:see(name)
  self.known[name] = file
  return file and file.hash or files.exists(self.folder .. "/" .. name) and "no file" or nil
end

--- Hashes of files as one text; "" for none.
---@param hashes table<string, string>  by name
---@return string
function outputs.text(hashes)
  local lines = {}
  for name, hash in pairs(hashes) do lines[#lines + 1] = ("%s %s\n"):format(name, hash) end
  table.sort(lines)
  return table.concat(lines)
end

--- What lies at a path in the run's folder before a task begins, as a text.
---@param path string
---@return string  "" for nothing
function Outputs:before(path)
  if self.frozen and self.frozen[path] then return self.frozen[path] end
  local hashes = {}
  for _, name in ipairs(self:names { path }) do hashes[name] = self:hash_of(name) end
  local text = outputs.text(hashes)
  if self.frozen then self.frozen[path] = text end
  return text
end

--- From here on, or no more, paths count by what lay there when they were first asked for: the elements of a list are
--- alike in that, whichever were made before the others.
--- What elements leave is forgotten with that: it is the whole list's.
---@param on boolean
function Outputs:freeze(on)
  if on then
    self.frozen, self.outer, self.known = {}, self.known, setmetatable({}, { __index = self.known })
  else
    self.frozen, self.outer, self.known = nil, nil, self.outer
  end
end

--- What a task that has ended left below its paths.
---@param paths string[]
---@param is_own? fun(name: string): boolean  where others make files there at the same time
---@return table<string, string> left   hashes of its own files by name
---@return table<string, string> found  and of those that were there before, also where it changed them
---@return string[] doubtful            those of which is_own does not say that they are its own
function Outputs:own(paths, is_own)
  local left, found, doubtful = {}, {}, {}
  local before = self.outer or self.known
  for _, name in ipairs(self:names(paths, true)) do
    found[name] = before[name] and before[name].hash
    local is_mine = not is_own or is_own(name)
    local file, is_known = self:see(name, not is_mine)
    if is_known or is_mine then
      left[name] = not is_known and file and file.hash or nil
      self.known[name] = file
    else
      doubtful[#doubtful + 1] = name
    end
  end
  return left, found, doubtful
end

--- Whether a name is that of a path, or lies below it.
local function is_below(name, path) return name == path or name:sub(1, #path + 1) == path .. "/" end

--- What tells an element's files from those of others at work: its stored value has their paths, or that of a folder
--- of its own. The folder that all were given says nothing.
---@param place string     of the value
---@param paths string[]   that it was given
---@return fun(name: string): boolean
function Outputs:said_in(place, paths)
  local said = {}
  for quoted in (files.read(place .. "/value.lua") or ""):gmatch 'R%(("[^"\n]*")%)' do
    local name = plain(load("return " .. quoted)())
    local is_all = false
    for _, path in ipairs(paths) do is_all = is_all or name and is_below(plain(path) or "", name) end
    if name and not (is_all and lfs.attributes(self.folder .. "/" .. name, "mode") == "directory") then
      said[#said + 1] = name
    end
  end
  return function(name)
    for _, path in ipairs(said) do
      if is_below(name, path) then return true end
    end
    return false
  end
end

--- How many elements were given, or have asked for, which path; all of them those that are shared.
local function givers_of(ones, shared)
  local givers = {}
  for _, path in ipairs(shared) do givers[plain(path) or ""] = #ones + 1 end
  for _, one in ipairs(ones) do
    local seen = {}
    for _, path in ipairs(one.outputs) do
      path = plain(path) or ""
      givers[path] = (givers[path] or 0) + (seen[path] and 0 or 1)
      seen[path] = true
    end
  end
  return givers
end

--- Give elements of a list the files of which only one of them can be the maker: those below a path that no other has.
---@param ones { left: table<string, string>, doubtful?: string[], outputs: string[] }[]  all are at their ends
---@param shared string[]  paths that all were given
---@return table<table, string> unclear  a file that is perhaps another's, by element
function Outputs:share_out(ones, shared)
  local givers, claimed, unclear = givers_of(ones, shared), {}, {}
  for _, one in ipairs(ones) do
    for _, name in ipairs(one.doubtful or {}) do
      for _, path in ipairs(one.outputs) do
        path = plain(path) or ""
        if givers[path] == 1 and is_below(name, path) then
          local file = self:see(name)
          one.left[name] = file and file.hash
        end
      end
    end
    for name in pairs(one.left or {}) do claimed[name] = true end
  end
  for _, one in ipairs(ones) do
    for _, name in ipairs(one.doubtful or {}) do
      if not claimed[name] and files.exists(self.folder .. "/" .. name) then unclear[one] = name end
    end
  end
  return unclear
end

--- Note files that a result brought.
---@param hashes table<string, string>
function Outputs:add(hashes)
  for name, hash in pairs(hashes) do
    local about = self.folder and not outputs.is_sign(hash) and uv.fs_stat(self.folder .. "/" .. name)
    self.known[name] = { hash = hash, stamp = about and stamp_of(about), is_fresh = about and is_fresh(about) }
  end
end

--- Whether files are there as they were left.
---@param hashes table<string, string>
function Outputs:holds(hashes)
  for name, hash in pairs(hashes) do
    local path = self.folder .. "/" .. name
    if (sign_of(path, self.folder) or files.exists(path) and frame.hash_file(path)) ~= hash then return false end
  end
  return true
end

--- The first file that is not what a kept result found there, so that to take it would bring back what another task
--- has made anew.
---@param left table<string, string>
---@param found table<string, string>
---@param paths? string[]  at which it looked while it ran
---@return string? name
function Outputs:clash(left, found, paths)
  for _, name in ipairs(self:names(paths or {})) do
    if self:hash_of(name) ~= found[name] then return name end
  end
  for name, hash in pairs(found) do
    if hash ~= FOLDER and self:hash_of(name) ~= hash then return name end
  end
  for name, hash in pairs(left) do
    if hash ~= FOLDER and not found[name] and self:hash_of(name) then return name end
  end
end

return outputs
