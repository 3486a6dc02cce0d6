--- `recsys-run reproduce RUN`: run a recipe again as a run was made, and compare what it measured.

local cache = require "recsys.cache"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local provenance = require "recsys.provenance"

local reproduce = { about = "Run a run's recipe again with its configuration, and compare the results" }

function reproduce.options(parser)
  parser:argument("RUN", "A run's folder, or its name in artifacts/runs")
  parser:flag("--check", "Only tell whether code, program and data are those of the run")
  parser:option("--threads", "Threads to compute with"):argname "N":convert(
    require("recsys.argument").whole_number(1, 4096))
  parser:flag("--json", "Put the comparison on stdout as one JSON object, all else on stderr")
end

local function folder_of(run)
  run = run:gsub("(.)/+$", "%1")
  for _, folder in ipairs { run, "artifacts/runs/" .. run } do
    if lfs.attributes(folder, "mode") == "directory" then return folder end
  end
  exit.usage_error("there is no run '%s', neither a folder of that name nor one in artifacts/runs", run)
end

local function read(folder, name)
  local bytes = files.read(folder .. "/" .. name)
  local value = bytes and json.exact(bytes)
  if type(value) == "table" then return value end
  exit.usage_error("%s has no %s that can be read: %s", folder, name, files.exists(folder .. "/unfinished")
    and "the run is unfinished; --resume goes on with it" or "only a run that is done can be reproduced")
end

--- A trial ends where its training does: the recipe as a whole is another run.
local function refuse_trial(folder, recipe)
  local study = (json.exact(files.read(folder .. "/environment.json") or "") or {}).study
  if not study then return end
  exit.usage_error("%s is a trial of the study '%s': it ended where its training ended, so that there is no whole run "
    .. "to make again. The run that the study trained again can be reproduced; recsys-run %s --config %s/params.json "
    .. "makes a run with the trial's values", folder, study, recipe, folder)
end

local kinds = { commit = "the recipe's folder is at another commit", program = "the program is another build",
  cpu = "the processor is another",
  blas = "other kernels multiply matrices (OPENBLAS_CORETYPE, or another OpenBLAS)" }

local function difference_text(one)
  if one.kind == "lua" or one.kind == "input" then
    return ("%s %s"):format(one.name, one.now and "has changed" or "is gone")
  end
  return ("%s: %s, was %s"):format(kinds[one.kind], one.now or "unknown", one.was or "unknown")
end

-- What of a result differs from run to run though all is the same: what the run is called, where it lies, and, at any
-- depth, times and memory. What the recipe is and its seed are what the run was given.
local aside = { run = true, paths = true, recipe = true, seed = true, threads = true }

local function is_aside(name)
  return name == "seconds" or name:find "_seconds$" or name:find "_per_second$" or name:find "_mib$"
end

--- A text without what names this run: its folder, and the time at which it, or a study of it, was begun.
local function without_run(said, places)
  for _, place in ipairs(places) do
    local at, last = said:find(place, 1, true)
    if at == 1 and said:sub(last + 1, last + 1) == "/" then return "PLACE" end -- a version of its own there, too
  end
  return (said:gsub("%-%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d", "-TIME"))
end

--- Numbers, texts and truth values of a tree by their whole names, such as metrics.ndcg_10 or intervals.ndcg_10.1.
local function figures(value, prefix, places, into)
  for key, part in pairs(value) do
    local name = prefix .. tostring(key)
    if type(part) == "table" and not is_aside(tostring(key)) then
      figures(part, name .. ".", places, into)
    elseif not is_aside(tostring(key)) then
      into[name] = type(part) == "string" and without_run(part, places) or part
    end
  end
  return into
end

--- What a result says that is to be compared.
---@param result table
---@param params table  the run's
local function measured(result, params)
  local picked, places = {}, { result.paths and result.paths.run }
  if type(params.publish) == "table" then places[#places + 1] = params.publish.dir end
  for name, value in pairs(result) do picked[name] = not aside[name] and value or nil end
  return figures(picked, "", places, {})
end

--- What two results measured differently, sorted by name.
---@return { name: string, was: any, now: any }[] differing
---@return integer compared
local function compare(was, now)
  local differing, seen, compared = {}, {}, 0
  for name in pairs(was) do seen[name] = true end
  for name in pairs(now) do seen[name] = true end
  for name in pairs(seen) do
    compared = compared + 1
    if was[name] ~= now[name] then differing[#differing + 1] = { name = name, was = was[name], now = now[name] } end
  end
  table.sort(differing, function(a, b) return a.name < b.name end)
  return differing, compared
end

local function shown(value) return value == nil and "absent" or json.encode(value) end

local function figure_text(one)
  local said = ("%s: %s, was %s"):format(one.name, shown(one.now), shown(one.was))
  if type(one.was) ~= "number" or type(one.now) ~= "number" then return said end
  return ("%s: %.3g %s"):format(said, math.abs(one.now - one.was), one.now > one.was and "higher" or "lower")
end

--- The settings under which the run is made again: what it publishes lies aside, as the registry has it already.
local function settings(params, folder)
  local set = {}
  if type(params.publish) == "table" and params.publish.dir then
    set[1] = ("publish.dir=%s/reproduced/%s/models"):format(cache.folder(), folder:match "[^/]+$")
  end
  return set
end

local function show(args, told, lines)
  if args.json then io.stdout:write(json.encode(told), "\n") end
  (args.json and io.stderr or io.stdout):write(table.concat(lines, "\n"), "\n")
end

function reproduce.run(args)
  local folder = folder_of(args.RUN)
  local recorded, params = read(folder, "provenance.json"), read(folder, "params.json")
  local before = read(folder, "result.json")
  if not files.exists(tostring(recorded.recipe)) then
    exit.usage_error("the run's recipe %s is gone", tostring(recorded.recipe))
  end
  local differences, lines = provenance.differences(recorded), {}
  for i, one in ipairs(differences) do lines[i] = "differs: " .. difference_text(one) end
  if next(recorded.inputs or {}) == nil then lines[#lines + 1] = "the run tells of no data file that it read" end
  if #differences == 0 then lines[#lines + 1] = "code, program and data are those of the run" end
  if args.check then
    show(args, { run = folder, differences = json.list(differences) }, lines)
    return #differences == 0 and exit.done or exit.quality
  end
  io.stderr:write(table.concat(lines, "\n"), "\n")
  refuse_trial(folder, recorded.recipe)
  local result
  local code = require("recsys.recipe").main(recorded.recipe, { config = { folder .. "/params.json" },
    set = settings(params, folder), threads = args.threads, no_cache = true, reproduce = recorded.secrets or {},
    command = "recsys-run reproduce " .. folder, told = function(made) result = made end })
  if not result then return code end
  local again = json.exact(json.encode(result)) -- as it can be read again
  local differing, compared = compare(measured(before, params), measured(again, read(result.paths.run, "params.json")))
  lines = {}
  for i, one in ipairs(differing) do lines[i] = "differs: " .. figure_text(one) end
  lines[#lines + 1] = compared == 0 and ("nothing is proved: there is nothing to compare in %s/result.json beside "
    .. "times and memory; let the recipe return what it has found"):format(folder)
    or ("%d of %d figures of %s are the same in %s"):format(compared - #differing, compared, folder, result.paths.run)
  show(args, { run = folder, again = result.paths.run, differences = json.list(differences),
    compared = compared, differing = json.list(differing) }, lines)
  if compared == 0 then return exit.failed end
  return #differing == 0 and exit.done or exit.quality
end

return reproduce
