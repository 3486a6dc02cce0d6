--- `recsys-run recommend BUNDLE --user ID`: a user's best items from a published model.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local json = require "recsys.json"

local recommend = { about = "Recommend items to a user from a published model" }

local function moment(word)
  local ms = math.tointeger(tonumber(word)) or require("recsys.frame").parse_time(word)
  if ms then return ms end
  return nil, ("'%s' is neither a date such as 2024-01-31T12:00 nor milliseconds"):format(word)
end

local function object(word)
  local value = json.decode(word)
  if type(value) == "table" then return word end
  return nil, "the fields must be a JSON object, as in '{\"platform\": \"android\"}'"
end

local function split(word)
  local ids = {}
  for id in word:gmatch "[^,]+" do ids[#ids + 1] = id end
  return ids
end

function recommend.options(parser)
  parser:argument("BUNDLE", "A bundle's file, or the NAME or NAME-VERSION of a published model")
  parser:option("--user", "The user's id"):argname "ID"
  parser:option("-k", "How many items"):argname "N":convert(argument.whole_number(1)):default "10"
  parser:option("--history", "Items that the user engaged with, oldest first, instead of what the bundle knows")
    :argname "ID,ID":convert(split)
  parser:option("--fields", "Fields of a user whom the bundle does not know, as a JSON object")
    :argname "JSON":convert(object)
  parser:option("--now", "The moment to answer for (default: just after the last event the bundle knows)")
    :argname "TIME":convert(moment)
  parser:flag("--include-seen", "Also items that the user has engaged with already"):target "include_seen"
  parser:option("--models", "Where published models lie"):argname "DIR"
  parser:flag("--json", "Put the answer on stdout as one JSON object")
end

local function print_notes(answer, args)
  if args.user and not answer.known then
    io.stderr:write(("user '%s' is not known to this model: scored as a new user%s\n"):format(args.user,
      args.history and " with the given history" or " without a history"))
  end
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
    items[rank] = { rank = rank, item = found.item, title = found.title, score = found.score }
  end
  print(json.encode { user = args.user, known = answer.known, now = answer.now, foreign = answer.foreign,
    items = items })
end

function recommend.run(args)
  if not args.user and not args.history and not args.fields then
    exit.usage_error "whom to recommend to? Give --user ID, or --history ID,ID for somebody new"
  end
  local path, missing = require("recsys.registry").resolve(args.BUNDLE, args.models)
  if not path then exit.usage_error("%s", missing) end
  local model, message = require("recsys.serve").open(path)
  if not model then error({ code = "failed", message = message }, 0) end
  local ok, answer, refusal = pcall(model.recommend, model, { user = args.user, history = args.history,
    fields = args.fields, now = args.now, k = args.k, exclude_seen = not args.include_seen })
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
