--- `recsys-run inspect BUNDLE`: what a bundle holds, where it comes from, and whether it is whole.

local bundle = require "recsys.bundle"
local exit = require "recsys.exit"
local json = require "recsys.json"
local registry = require "recsys.registry"
local text = require "recsys.text"

local inspect = { about = "Show and check what a bundle holds" }

function inspect.options(parser)
  parser:argument("BUNDLE", "A bundle's file, or the NAME or NAME-VERSION of a published model")
  parser:flag("--verify", "Also hash every member as a whole, and load the model as `recommend` does")
  parser:option("--models", "Where published models lie"):argname "DIR"
  parser:flag("--json", "Put all of it on stdout as one JSON object")
end

local function refuse(message)
  error({ code = "failed", message = message }, 0)
end

local function size_text(bytes)
  if bytes < 1024 then return ("%d B"):format(bytes) end
  if bytes < 2^20 then return ("%.1f KiB"):format(bytes / 1024) end
  return ("%.1f MiB"):format(bytes / 2^20)
end

--- Control characters come from strangers: a terminal must not act on them.
local function printable(value)
  return (tostring(value):gsub("%c", " "))
end

--- Nested tables as sorted { "a.b", text } pairs.
local function flat(value, prefix, out)
  if type(value) ~= "table" or next(value) == nil or value[1] ~= nil then
    if type(value) ~= "table" then
      out[#out + 1] = { prefix, math.type(value) == "float" and ("%.6g"):format(value) or printable(value) }
    elseif value[1] ~= nil then
      out[#out + 1] = { prefix, printable(json.encode(value)) }
    end
    return out
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    flat(value[key], prefix == "" and printable(key) or prefix .. "." .. printable(key), out)
  end
  return out
end

local function section(title, value)
  local pairs_of = flat(value or {}, "", {})
  if #pairs_of == 0 then return end
  local width = 0
  for _, pair in ipairs(pairs_of) do width = math.max(width, text.width(pair[1])) end
  print("\n" .. title)
  for _, pair in ipairs(pairs_of) do print("  " .. text.pad(pair[1], width) .. "  " .. pair[2]) end
end

local function shape_of(t)
  return (tostring(t):gsub("^Tensor ", ""))
end

--- Name -> "f32 [3, 2]" of a safetensors member; raises when it is broken.
local function tensors_of(b, name)
  local tensors, message = b:tensors(name)
  if not tensors then refuse(message) end
  local shapes = {}
  for key, t in pairs(tensors) do shapes[key] = shape_of(t) end
  return shapes
end

--- The steps of a plan as lines; nil when it is not JSON of that form.
local function plan_steps(source)
  local plan = json.decode(source or "")
  if type(plan) ~= "table" or type(plan.steps) ~= "table" then return nil end
  local names = {}
  for i, step in ipairs(plan.steps) do names[i] = printable(type(step) == "table" and step.op or "?") end
  return names
end

local function features_of(b)
  local source = b:text "features.json"
  if not source then return nil end
  local tensors, message = b:tensors "vocabularies.safetensors"
  if not tensors then refuse(message) end
  local encoder, refusal = require("recsys.feature").load(source, tensors)
  if not encoder then refuse("features.json: " .. refusal) end
  return encoder
end

local function load_model(path)
  local model, message = require("recsys.serve").open(path)
  if not model then refuse(message) end
  local facts = model:facts()
  model:close()
  return facts
end

local function is_model(b)
  return b:text "features.json" ~= nil
end

local function gather(path, args)
  local b, message = bundle.open(path)
  if not b then refuse(message) end
  if args.verify then
    local ok, refusal = b:verify()
    if not ok then refuse(refusal) end
  end
  local found = { path = path, digest = b:digest(), manifest = b:manifest(), members = json.list(b:members()),
    tensors = {}, plans = {} }
  for _, member in ipairs(found.members) do
    if member.name:match "%.safetensors$" then found.tensors[member.name] = tensors_of(b, member.name) end
    local tower = member.name:match "^plan%.(%w+)%.json$"
    if tower then found.plans[tower] = plan_steps(b:text(member.name)) end
  end
  if is_model(b) then
    found.encoder = features_of(b)
    if args.verify then found.loaded = load_model(path) end
  end
  return found
end

local function print_members(found)
  print "\nmembers"
  local rows = { { "  member", "size", "sha256" } }
  for _, member in ipairs(found.members) do
    rows[#rows + 1] = { "  " .. member.name, size_text(member.bytes), member.sha256:sub(1, 16) }
  end
  print(text.columns(rows))
end

local function print_tensors(found)
  local listed = {}
  for member, shapes in pairs(found.tensors) do
    if member ~= "vocabularies.safetensors" then listed[(member:gsub("%.safetensors$", ""))] = shapes end
  end
  section("tensors", listed)
end

local function print_plans(found)
  local names = {}
  for name in pairs(found.plans) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    print(("\nplan of the %s tower: %d steps"):format(name, #found.plans[name]))
    print("  " .. table.concat(found.plans[name], " -> "))
  end
end

local function print_features(found)
  if not found.encoder then return end
  local _, described = found.encoder:describe()
  print("\nfeatures\n" .. (tostring(described):gsub("[^\n]+", "  %0")))
end

local function print_summary(found, args)
  local manifest = found.manifest
  print(("%s: %s, version %s, of %s"):format(found.path, printable(manifest.name or "a bundle"),
    printable(manifest.version or "?"), printable(manifest.created or "an unknown time")))
  print(("digest %s"):format(found.digest))
  print(args.verify and "whole: every member has its SHA-256, whole and by MiB"
    or "whole: every member has its SHA-256")
  for _, name in ipairs { "model", "data", "serving", "metrics", "parameters", "runtime" } do
    section(name, manifest[name])
  end
  print_features(found)
  print_plans(found)
  print_tensors(found)
  print_members(found)
  if found.loaded then print "\nthe model loads and answers" end
end

local function print_json(found)
  local features
  if found.encoder then features = (found.encoder:describe()) end
  local manifest = found.manifest
  manifest.members = nil
  print(json.encode { path = found.path, digest = found.digest, manifest = manifest, members = found.members,
    tensors = found.tensors, plans = found.plans, features = features, loaded = found.loaded, whole = true })
end

function inspect.run(args)
  local path, message = registry.resolve(args.BUNDLE, args.models)
  if not path then exit.usage_error("%s", message) end
  local found = gather(path, args)
  if args.json then print_json(found) else print_summary(found, args) end
  return exit.done
end

return inspect
