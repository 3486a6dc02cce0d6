--- `recsys-run reproduce RUN`: run a recipe again as a run was made, and compare what it measured.

local cache = require "recsys.cache"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local provenance = require "recsys.provenance"

local reproduce = { about = "Run a run's recipe again with its configuration, and compare the metrics" }

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
  local value = bytes and json.decode(bytes)
  if type(value) == "table" then return value end
  exit.usage_error("%s has no %s that can be read: %s", folder, name, files.exists(folder .. "/unfinished")
    and "the run is unfinished; --resume goes on with it" or "only a run that is done can be reproduced")
end

local kinds = { commit = "the recipe's folder is at another commit", program = "the program is another build",
  cpu = "the processor is another" }

local function difference_text(one)
  if one.kind == "lua" or one.kind == "input" then
    return ("%s %s"):format(one.name, one.now and "has changed" or "is gone")
  end
  return ("%s: %s, was %s"):format(kinds[one.kind], one.now or "unknown", one.was or "unknown")
end

--- Numbers of a tree by their whole names, such as metrics.ndcg_10 or intervals.ndcg_10.1.
local function numbers(value, prefix, into)
  for key, part in pairs(value) do
    local name = prefix .. tostring(key)
    if type(part) == "table" then numbers(part, name .. ".", into)
    elseif type(part) == "number" then into[name] = part + 0.0 end
  end
  return into
end

local COMPARED <const> = { "metrics", "intervals", "baselines", "segments" }

local function measured(result)
  local into = {}
  for _, field in ipairs(COMPARED) do
    if type(result[field]) == "table" then numbers(result[field], field .. ".", into) end
  end
  return into
end

--- What two results measured differently, sorted by name.
---@return { name: string, was: number?, now: number? }[] differing
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

local function metric_text(one)
  if not (one.was and one.now) then
    return ("%s: %s, was %s"):format(one.name, one.now or "absent", one.was or "absent")
  end
  return ("%s: %.17g, was %.17g: %.3g %s"):format(one.name, one.now, one.was, math.abs(one.now - one.was),
    one.now > one.was and "higher" or "lower")
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
  local result
  local code = require("recsys.recipe").main(recorded.recipe, { config = { folder .. "/params.json" },
    set = settings(params, folder), threads = args.threads, no_cache = true, reproduce = true,
    command = "recsys-run reproduce " .. folder, told = function(made) result = made end })
  if not result then return code end
  local differing, compared = compare(measured(before), measured(result))
  lines = {}
  for i, one in ipairs(differing) do lines[i] = "differs: " .. metric_text(one) end
  lines[#lines + 1] = ("%d of %d figures of %s are the same in %s"):format(compared - #differing, compared, folder,
    result.paths.run)
  show(args, { run = folder, again = result.paths.run, differences = json.list(differences),
    compared = compared, differing = json.list(differing) }, lines)
  return #differing == 0 and exit.done or exit.quality
end

return reproduce
