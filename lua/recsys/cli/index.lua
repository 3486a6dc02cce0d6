--- `recsys-run index BUNDLE`: another version of a published model, with another index to find items by
--- (docs/retrieval.md). A bundle never changes: this one stays as it is.

local argument = require "recsys.argument"
local contents = require "recsys.registry.contents"
local exit = require "recsys.exit"
local index = require "recsys.registry.index"
local json = require "recsys.json"
local log = require "recsys.log"
local registry = require "recsys.registry"

local command = { about = "Give a published model an index to find items by, as its next version" }

function command.options(parser)
  parser:argument("BUNDLE", "A bundle's file, or the NAME, NAME-VERSION or NAME@ALIAS of a published model")
  parser:option("--engine", "exact (all items are looked at) or hnsw (a graph); default: by the number of items")
    :argname "ENGINE":choices { "exact", "hnsw" }
  parser:option("--m", "Neighbours of an item in the graph, twice as many on its lowest level"):argname "N"
    :default "16":convert(argument.whole_number(2, 128))
  parser:option("--ef-construction", "Candidates among which they are chosen"):argname "N":default "100"
    :convert(argument.whole_number(1, 4096)):target "ef_construction"
  parser:option("--seed", "Of the graph's levels"):argname "N":default "1":convert(argument.whole_number(0))
  parser:flag("--f32", "Compare items by their vectors, not by bytes: three times the memory")
  parser:option("--out", "Write this file instead of publishing a version"):argname "FILE"
  parser:option("--models", "Where published models lie"):argname "DIR"
  parser:flag("--json", "Put what was made on stdout as one JSON object")
end

local function refuse(message, code)
  error({ code = code or "failed", message = message }, 0)
end

local function checked(value, message, code)
  if value == nil then refuse(message, code) end
  return value
end

--- The member's tensors; raises when the bundle has none.
local function tensors_of(request, name, path)
  for _, member in ipairs(request.members) do
    if member[1] == name then return member.tensors end
  end
  refuse(("%s is no model: it has no member '%s'"):format(path, name), "format")
end

--- Whether the model makes its item vectors anew while it serves.
local function counts_events(request)
  for _, member in ipairs(request.members) do
    if member[1] == "features.json" then
      local features = json.decode(member.bytes)
      return type(features) == "table" and features.period ~= nil
    end
  end
end

--- Put the index that was asked for into the request, which has none then but this; gives what the manifest says.
local function put_index(request, args, path)
  local items = tensors_of(request, "items.safetensors", path)
  if items.columns then
    refuse(("%s: its items have no vectors to find them by: users have a score for each"):format(path))
  end
  if not items.vectors then refuse(("%s: items.safetensors holds no vectors"):format(path), "format") end
  local engine, reason = index.choose({ items = items.vectors:size(1), counts_events = counts_events(request) },
    args.engine)
  for i = #request.members, 1, -1 do
    local name = request.members[i][1]
    if name == index.member or name == "items.int8.safetensors" then table.remove(request.members, i) end
  end
  if engine == "exact" then
    contents.add_codes(request.members, nil, items.vectors, items["tower.version"])
    return { engine = engine, reason = reason }
  end
  local tensors, facts = index.build(items.vectors, { m = args.m, ef_construction = args.ef_construction,
    seed = args.seed, codes = not args.f32 })
  tensors["tower.version"] = items["tower.version"]
  request.members[#request.members + 1] = { index.member, tensors = tensors }
  facts.engine, facts.reason = engine, reason
  return facts
end

function command.run(args)
  local path, message = registry.resolve(args.BUNDLE, args.models)
  if not path then exit.usage_error("%s", message) end
  local request = checked(registry.reopen(path))
  local began = os.time()
  local facts = put_index(request, args, path)
  log.info("index: %s (%s)%s", facts.engine, facts.reason, facts.bytes
    and (", %.1f MiB, built in %d s"):format(facts.bytes / 2 ^ 20, os.difftime(os.time(), began)) or "")
  request.manifest.serving = request.manifest.serving or {}
  request.manifest.serving.index = facts
  request.dir = args.models
  local written = args.out
  if written then
    checked(registry.write(written, request))
  else
    written = checked(registry.add(request))
  end
  io.stdout:write(args.json and json.encode { path = written, index = facts } or written, "\n")
  return exit.done
end

return command
