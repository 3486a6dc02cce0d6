--- `recsys-run recommend BUNDLE --user ID`: a user's best items from a published model; `--users FILE --out FILE`:
--- those of many.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local json = require "recsys.json"
local lfs = require "lfs"

local recommend = { about = "Recommend items to a user, or to all users of a file, from a published model" }

local function moment(word)
  local ms = math.tointeger(tonumber(word)) or require("recsys.frame").parse_time(word)
  if ms then return ms end
  return nil, ("'%s' is neither a date such as 2024-01-31T12:00 nor milliseconds"):format(word)
end

local function object(example)
  return function(word)
    local value = json.decode(word)
    if type(value) == "table" then return word end
    return nil, ("it must be a JSON object, as in '%s'"):format(example)
  end
end

local function split(word)
  local ids = {}
  for id in word:gmatch "[^,]+" do ids[#ids + 1] = id end
  return ids
end

--- "category=2"
local function cap(word)
  local name, most = word:match "^(.+)=(%d+)$"
  if name and math.tointeger(tonumber(most)) and tonumber(most) > 0 then return { name, math.tointeger(most) } end
  return nil, ("'%s' is no cap such as category=2"):format(word)
end

local function share(word)
  local number = tonumber(word)
  if number and number > 0 and number <= 1 then return number end
  return nil, ("'%s' is no number above 0, up to 1"):format(word)
end

local UNITS <const> = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, w = 604800000 }

--- "0.5:3d": the boost and the half-life.
local function freshness(word)
  local boost, n, unit = word:match "^([^:]+):(%d+)(%a+)$"
  boost = tonumber(boost)
  if boost and boost >= 0 and UNITS[unit] then return { boost = boost, half_life = math.tointeger(n) * UNITS[unit] } end
  return nil, ("'%s' is no boost and half-life such as 0.5:3d"):format(word)
end

function recommend.options(parser)
  parser:argument("BUNDLE", "A bundle's file, or the NAME or NAME-VERSION of a published model")
  parser:option("--user", "The user's id"):argname "ID"
  parser:option("-k", "How many items"):argname "N":convert(argument.whole_number(1)):default "10"
  parser:option("--history", "Items that the user engaged with, oldest first, instead of what the bundle knows")
    :argname "ID,ID":convert(split)
  parser:option("--fields", "Fields of a user whom the bundle does not know, as a JSON object")
    :argname "JSON":convert(object '{"platform": "android"}')
  parser:option("--users", "Answer all users of this file: ids, CSV with a column user, or JSON Lines of requests")
    :argname "FILE"
  parser:option("--out", "Write their items to this file: .csv or .jsonl"):argname "FILE"
  parser:option("--exclude", "Items that are not to be recommended"):argname "ID,ID":convert(split)
  parser:option("--filter", "Only items of these attributes"):argname "JSON":convert(object '{"category": ["sport"]}')
  parser:option("--cap", "At most so many items of one value of an attribute; several are fine")
    :argname "ATTRIBUTE=N":count "*":convert(cap)
  parser:option("--diversity", "Maximal marginal relevance: what the score counts against likeness, above 0, up to 1")
    :argname "LAMBDA":convert(share)
  parser:option("--freshness", "Add a boost to an item's score that halves with its age: 0.5:3d")
    :argname "BOOST:HALF-LIFE":convert(freshness)
  parser:flag("--model-only", "No popular items where the model knows nothing of the user"):target "model_only"
  parser:option("--now", "The moment to answer for (default: just after the last event the bundle knows)")
    :argname "TIME":convert(moment)
  parser:flag("--include-seen", "Also items that the user has engaged with already"):target "include_seen"
  parser:option("--models", "Where published models lie"):argname "DIR"
  parser:flag("--json", "Put the answer on stdout as one JSON object")
end

--- Tell on stderr which fields of users nothing reads: one that is misspelt would cost quality in silence.
local function warn_of_ignored(names, where)
  if not names or #names == 0 then return end
  io.stderr:write(("warning: %s: this model reads no field '%s' of a user; GET /schema of its server tells which it "
    .. "reads\n"):format(where, table.concat(names, "', '")))
end

local function print_notes(answer, args)
  local popular = answer.fallback == "unknown_user"
  if args.user and not answer.known then
    io.stderr:write(("user '%s' is not known to this model: %s\n"):format(args.user, popular and "what is popular"
      or args.history and "scored as a new user with the given history" or "scored as a new user without a history"))
  elseif popular then
    io.stderr:write "the model knows nothing of this user: what is popular\n"
  end
  if answer.fallback == "no_score" then
    io.stderr:write "the model has no finite scores for this request: what is popular\n"
  end
  if answer.unknown > 0 then
    io.stderr:write(("%d of the %d excluded items are not in the catalogue\n"):format(answer.unknown, #args.exclude))
  end
  warn_of_ignored(answer.ignored, "--fields")
  if answer.foreign > 0 then
    io.stderr:write(("%d of the %d items in the history are not in the catalogue\n"):format(answer.foreign,
      #args.history))
  end
  if #answer.items == 0 then io.stderr:write "there is no item left to recommend at this moment\n" end
end

--- Whether what a user engaged with can move the model's scores: the event side reads more than the request's own
--- columns, and the user's plan reads the event side. A model of ids alone scores anybody new alike.
local function reads_history(path)
  local opened = assert(require("recsys.bundle").open(path, { verify = false })) -- serve.open has just verified it
  local event = json.decode(opened:text "features.json").sides.event
  local plan = assert(require("recsys.autograd").plan_from_json(opened:text "plan.user.json"))
  local remembers, names = false, {}
  for _, step in ipairs(event.steps) do remembers = remembers or not step.input and step.op ~= "read" end
  for _, output in ipairs(event.outputs) do names[output.name] = true end
  for _, name in ipairs(plan:inputs()) do
    if remembers and names[name] then return true end
  end
  return false
end

--- Control characters in titles come from strangers: a terminal must not act on them.
local function printable(s)
  return (s:gsub("%c", " "))
end

local function print_table(answer)
  local text = require "recsys.text"
  local rows = { { "rank", "item", "score", "title" } }
  for rank, found in ipairs(answer.items) do
    rows[#rows + 1] = { tostring(rank), printable(found.item), ("%.4f"):format(found.score),
      printable(found.title or "") }
  end
  local widths = { 0, 0, 0 }
  for _, row in ipairs(rows) do
    for c = 1, 3 do widths[c] = math.max(widths[c], text.width(row[c])) end
  end
  for _, row in ipairs(rows) do
    local line = ("%s  %s  %s  %s"):format(text.pad(row[1], widths[1], true), text.pad(row[2], widths[2]),
      text.pad(row[3], widths[3], true), row[4])
    print((line:gsub("%s+$", "")))
  end
end

local function print_json(answer, args)
  local items = json.list {}
  for rank, found in ipairs(answer.items) do
    items[rank] = { rank = rank, item = found.item, title = found.title, score = found.score, source = found.source,
      reasons = json.list(found.reasons) }
  end
  print(json.encode { user = args.user, known = answer.known, now = answer.now, foreign = answer.foreign,
    unknown = answer.unknown, ignored = answer.ignored and json.list(answer.ignored), filtered = answer.filtered,
    fallback = answer.fallback, missing = answer.missing, items = items })
end

--- The options that hold for every user.
local function standard_of(args)
  local caps
  for _, pair in ipairs(args.cap or {}) do
    caps = caps or {}
    caps[pair[1]] = pair[2]
  end
  return { now = args.now, k = args.k, exclude_seen = not args.include_seen, exclude = args.exclude,
    filter = args.filter, caps = caps, diversity = args.diversity and { lambda = args.diversity },
    freshness = args.freshness, fallback = not args.model_only }
end

--- The same as JSON, for a batch.
local function json_of(standard)
  local filter = standard.filter
  standard.filter = nil
  if standard.exclude then standard.exclude = json.list(standard.exclude) end
  local text = json.encode(standard)
  return filter and text:sub(1, -2) .. ',"filter":' .. filter .. "}" or text
end

local function check_batch(args)
  if args.user or args.history or args.fields then
    exit.usage_error "--users answers all users of a file: --user, --history and --fields are for one"
  end
  if not args.out or not (args.out:match "%.csv$" or args.out:match "%.jsonl$") then
    exit.usage_error "where to? --users wants --out FILE.csv or --out FILE.jsonl"
  end
  local from = lfs.attributes(args.users) -- behind links, too
  for _, ending in ipairs { "", ".part", ".part.at" } do -- and what is written before it has its name
    local to = lfs.attributes(args.out .. ending)
    if from and to and from.dev == to.dev and from.ino == to.ino then
      exit.usage_error("--out is the file of users, %s: the answers need a file of their own", args.users)
    end
  end
  if lfs.attributes(args.out, "mode") == "directory" then exit.usage_error("--out is a folder, %s", args.out) end
end

local function counted(n, word)
  return ("%s %s%s"):format(require("recsys.text").count(n), word, n == 1 and "" or "s")
end

local codes = { argument = "usage", format = "failed", io = "failed", busy = "busy", memory = "failed" }

local function run_batch(model, args)
  local users = require "recsys.recommend.users"
  local facts, message, code = users.write(model, { users = args.users, out = args.out, most = math.max(args.k, 1000),
    request = json_of(standard_of(args)), quiet = args.json })
  if not facts then error({ code = codes[code] or "failed", message = message }, 0) end
  warn_of_ignored(facts.ignored, args.users)
  if args.json then
    print(json.encode { out = args.out, users = facts.users, items = facts.items, fallbacks = facts.fallbacks,
      short = facts.short, refused = facts.refused })
    return exit.done
  end
  print(("%s: %s for %s"):format(args.out, counted(facts.items, "item"), counted(facts.users, "user")))
  if facts.fallbacks > 0 then print(("  popular items for %s"):format(counted(facts.fallbacks, "user"))) end
  if facts.short > 0 then print(("  fewer items than asked for for %s"):format(counted(facts.short, "user"))) end
  if facts.refused > 0 then
    print(("  %s could not be answered: the reason stands in its place"):format(counted(facts.refused, "request")))
  end
  return exit.done
end

function recommend.run(args)
  if args.users then
    check_batch(args)
  elseif args.out then
    exit.usage_error "--out is for --users FILE"
  elseif not args.user and not args.history and not args.fields then
    exit.usage_error "whom to recommend to? Give --user ID, or --history ID,ID for somebody new"
  end
  local path, missing = require("recsys.registry").resolve(args.BUNDLE, args.models)
  if not path then exit.usage_error("%s", missing) end
  local model, message = require("recsys.serve").open(path)
  if not model then error({ code = "failed", message = message }, 0) end
  if args.users then return run_batch(model, args) end
  local request = standard_of(args)
  request.user, request.history, request.fields = args.user, args.history, args.fields
  local ok, answer, refusal = pcall(model.recommend, model, request)
  if not ok and type(answer) == "table" then error(answer, 0) end -- a signal's
  if not ok then exit.usage_error("%s", answer) end
  if not answer then error({ code = "failed", message = refusal }, 0) end
  if args.history and not reads_history(path) then
    io.stderr:write "warning: this model has no history feature: the given history changes no score\n"
  end
  if args.json then
    print_json(answer, args)
  else
    print_notes(answer, args)
    print_table(answer)
  end
  return exit.done
end

return recommend
