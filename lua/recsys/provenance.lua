--- What a run was made of: the hashes of its Lua files, of the program and of the data files that it read.
---
--- That is what this process has loaded and read, what the tasks' own processes have, and, for results of earlier runs,
--- what those were made of.
--- It is written into the run's folder (provenance.json) when the run is done, and compared with what is there now
--- before the run is reproduced (`recsys-run reproduce`). Hashes are XXH3: they tell what changed, not who meddled.

local core = require "recsys.core"
local files = require "recsys.files"
local host = require "recsys.host"
local json = require "recsys.json"
local keys = require "recsys.flow.key"
local source = require "recsys.track.source"
local uv = require "luv"

local provenance = {}

local inputs, lua = {}, {} -- path -> hash, of the run that is on its way

--- Forget what was read before a run begins.
function provenance.begin() inputs, lua = {}, {} end

--- Note that a file was read, by the task that runs: the run has it when the task has ended well.
---@param path string
---@param hash string
function provenance.read(path, hash)
  local flow = package.loaded["recsys.flow"]
  local task = flow and flow.reader()
  if not task then return provenance.add(inputs, { [path] = hash }) end
  task.inputs = task.inputs or {}
  task.inputs[path] = hash
end

--- Add what was read elsewhere, or earlier: a file of two contents is none of both.
---@param all table<string, string>
---@param read? table<string, string>
function provenance.add(all, read)
  for path, hash in pairs(read or {}) do
    all[path] = (all[path] or hash) == hash and hash or "changed meanwhile"
  end
end

--- Note what a task has read that ended well, or of which an earlier result is taken.
---@param read? table<string, string>
function provenance.took(read) provenance.add(inputs, read) end

--- Note that Lua files were loaded: by a task's own process, or when a result was made that the run takes.
---@param list { path: string, hash: string }[]
function provenance.loaded(list)
  for _, file in ipairs(list) do
    lua[file.path] = (lua[file.path] or file.hash) == file.hash and file.hash or "changed meanwhile"
  end
end

--- A path as it is told: below the program's folder from there on, so that another checkout compares.
local function shown(path)
  local real = uv.fs_realpath(path) or path
  if real:sub(1, #host.root + 1) == host.root .. "/" then return "@/" .. real:sub(#host.root + 2) end
  return (path:gsub("^%./", ""))
end

local function place_of(name)
  return name:sub(1, 2) == "@/" and host.root .. name:sub(2) or name
end

--- The recipe's file, those of modules that are not the library's, and what else was loaded: told path -> hash.
local function lua_files(recipe)
  provenance.loaded(keys.lua_files(0, recipe))
  local found = {}
  for path, hash in pairs(lua) do found[shown(path)] = hash end
  return found
end

--- What was read and is not among the Lua files.
local function data_files(of_lua)
  local found = {}
  for path, hash in pairs(inputs) do
    if not of_lua[shown(path)] then found[shown(path)] = hash end
  end
  return found
end

local function cpu()
  local known = uv.cpu_info()
  return known and known[1] and known[1].model or nil
end

--- The matrix kernels in use, whose last digits are their own: BLAS and its build, as OPENBLAS_CORETYPE may have it.
local function blas()
  local used = core.doctor.blas()
  return used.parallel .. " " .. used.core
end

--- What the run in this process was made of.
---@param recipe string  its file
---@return table
function provenance.current(recipe)
  local of_lua = lua_files(recipe)
  return { recipe = recipe, commit = source.commit(recipe:match "^(.*)/[^/]+$" or "."), version = core.version,
    program_commit = core.commit, program = keys.program(), lua = of_lua, inputs = data_files(of_lua), cpu = cpu(),
    blas = blas() }
end

--- Write it into a run's folder.
---@param secrets? table<string, string>  the files that secrets are from
function provenance.write(folder, recipe, secrets)
  local said = provenance.current(recipe)
  said.secrets = secrets
  files.write(folder .. "/provenance.json", json.pretty(said), true)
end

local function compare_files(kind, recorded, list)
  local names = {}
  for name in pairs(recorded or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local now = keys.of_path(place_of(name))
    if not now then
      list[#list + 1] = { kind = kind, name = name, was = recorded[name] }
    elseif now ~= recorded[name] then
      list[#list + 1] = { kind = kind, name = name, was = recorded[name], now = now }
    end
  end
end

--- What differs now from what a run was made of.
---@param recorded table  of provenance.json
---@return { kind: string, name: string, was: string?, now: string? }[]
---   kind: "commit", "program", "cpu", "blas", "lua" or "input"; now: nil for a file that is gone
function provenance.differences(recorded)
  local list = {}
  local function compare(kind, name, was, now)
    if was ~= now then list[#list + 1] = { kind = kind, name = name, was = was, now = now } end
  end
  compare("commit", "the recipe's commit", recorded.commit,
    source.commit(tostring(recorded.recipe):match "^(.*)/[^/]+$" or "."))
  compare("program", "the program", recorded.program, keys.program())
  compare("cpu", "the processor", recorded.cpu, cpu())
  if recorded.blas then compare("blas", "the kernels of BLAS", recorded.blas, blas()) end
  compare_files("lua", recorded.lua, list)
  compare_files("input", recorded.inputs, list)
  return list
end

return provenance
