--- `recsys-run runs ...`: tracked runs as tables, and carried from place to place.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local text = require "recsys.text"

local command = { about = "List, show, push, pull, export, import and delete tracked runs" }

local function with_store(parser)
  parser:option("--store", "The folder of the store"):argname "FOLDER":default "artifacts"
  parser:flag("--json", "Put the result on stdout as JSON")
  return parser
end

local function with_choice(parser)
  parser:argument("RUN", "Runs: ids, their beginnings, or names"):args "*"
  parser:option("--experiment", "All runs of this experiment"):argname "NAME"
  parser:option("--filter", "All runs that meet this, as in \"metrics.ndcg_10 > 0.1\""):argname "FILTER"
  parser:flag("--all", "All runs")
  return parser
end

function command.options(parser)
  parser:command_target "action"
  local list = with_store(parser:command("list", "Show runs, the youngest first"))
  list:option("--experiment", "Those of this experiment"):argname "NAME"
  list:option("--filter", "Those that meet this, as in \"metrics.ndcg_10 > 0.1\""):argname "FILTER"
  list:option("--order-by", "Sort by this, as in \"metrics.ndcg_10 DESC\""):argname "KEY":count "*":target "order_by"
  list:option("--max", "Show so many"):argname "N":convert(argument.whole_number(1, 50000)):default "20"
  list:flag("--deleted", "Those that were deleted")
  with_store(parser:command("show", "Show what a run logged")):argument("RUN", "An id, its beginning, or a name")
  local push = with_choice(with_store(parser:command("push", "Send runs to a server; without any, what waits for one")))
  push:option("--to", "The server; default $MLFLOW_TRACKING_URI"):argname "URL"
  local pull = with_store(parser:command("pull", "Fetch runs from a server"))
  pull:argument("RUN", "Ids of runs; without any, all"):args "*"
  pull:option("--from", "The server; default $MLFLOW_TRACKING_URI"):argname "URL"
  pull:option("--experiment", "Those of this experiment"):argname "NAME"
  pull:option("--filter", "Those that meet this"):argname "FILTER"
  local export = with_store(parser:command("export", "Write runs to a folder"))
  export:argument("FOLDER", "The folder, which is made")
  with_choice(export)
  with_store(parser:command("import", "Read runs from a folder")):argument("FOLDER", "The folder of an export")
  local delete = with_store(parser:command("delete", "Mark runs as deleted"))
  delete:argument("RUN", "Ids, their beginnings, or names"):args "+"
  delete:flag("--restore", "Take deleted runs back instead")
end

-- What people see -----------------------------------------------------------------------------------------------------

--- Control characters come from strangers: a terminal must not act on them.
local function printable(value, most)
  local plain = tostring(value):gsub("[%c\127]", " ")
  local length = utf8.len(plain)
  if most and length and length > most then plain = plain:sub(1, utf8.offset(plain, most) - 1) .. "…" end
  return plain
end

local function when(ms)
  return ms and os.date("%Y-%m-%d %H:%M", ms // 1000) or ""
end

local function lasting(info)
  if not info.end_time or not info.start_time then return "" end
  return text.duration(math.max(0, info.end_time - info.start_time) / 1000)
end

local function value_text(value)
  if type(value) ~= "number" then return tostring(value) end
  return ("%.5g"):format(value)
end

local function by_key(list)
  local map = {}
  for _, pair in ipairs(list or {}) do map[pair.key] = pair.value end
  return map
end

--- Metrics that say more of the machine or of others than of the run.
local function is_aside(key)
  return key:find "^system/" or key:find "^seconds/" or key:find "^epoch/" or key:find "^baseline/"
    or key:find "^monitor/" or key == "memory_peak_mib" or key == "best_epoch"
    or key:find "_low$" or key:find "_high$"
end

--- The metrics that most runs of a table have, four at the most.
local function common_metrics(runs)
  local counts, keys = {}, {}
  for _, run in ipairs(runs) do
    for _, metric in ipairs(run.data.metrics or {}) do
      if not is_aside(metric.key) then
        if not counts[metric.key] then keys[#keys + 1] = metric.key end
        counts[metric.key] = (counts[metric.key] or 0) + 1
      end
    end
  end
  table.sort(keys, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  return table.move(keys, 1, math.min(4, #keys), 1, {})
end

--- What a run is called: a study's trial behind its study, as in "night/trial_3".
local function label_of(run, tags)
  local name = run.info.run_name or ""
  local below = tags["recsys.trial.number"] and tostring(tags["recsys.run"]):match "[^/]+/[^/]+$"
  return below and below:match "[^/]+$" == name and below or name
end

local function print_table(runs)
  local keys = common_metrics(runs)
  local rows = { { "run", "name", "status", "started", "took" } }
  for _, key in ipairs(keys) do table.insert(rows[1], printable(key, 24)) end
  for _, run in ipairs(runs) do
    local info, values, tags = run.info, by_key(run.data.metrics), by_key(run.data.tags)
    local cut = tags["recsys.trial.state"] == "pruned" and ", pruned" or ""
    local row = { info.run_id:sub(1, 8), printable(label_of(run, tags), 48), (info.status or "") .. cut,
      when(info.start_time), lasting(info) }
    for _, key in ipairs(keys) do row[#row + 1] = values[key] ~= nil and value_text(values[key]) or "" end
    rows[#rows + 1] = row
  end
  print(text.columns(rows))
end

local function print_pairs(title, list)
  if not list or #list == 0 then return end
  table.sort(list, function(a, b) return a.key < b.key end)
  local width = 0
  for _, pair in ipairs(list) do width = math.max(width, text.width(printable(pair.key, 60))) end
  print("\n" .. title)
  for _, pair in ipairs(list) do
    local step = pair.step and pair.step ~= 0 and ("  (step %d)"):format(pair.step) or ""
    print("  " .. text.pad(printable(pair.key, 60), width) .. "  " .. printable(value_text(pair.value), 100) .. step)
  end
end

local function print_run(run, experiment, paths)
  local info = run.info
  print(("%s  %s\nexperiment %s, by %s, %s, begun %s%s"):format(info.run_id, printable(info.run_name or ""),
    printable(experiment), printable(info.user_id or "?"), info.status or "?", when(info.start_time),
    info.end_time and ", took " .. lasting(info) or ""))
  print_pairs("parameters", run.data.params)
  print_pairs("metrics", run.data.metrics)
  print_pairs("tags", run.data.tags)
  if #paths > 0 then
    print "\nfiles"
    for _, path in ipairs(paths) do print("  " .. printable(path)) end
  end
end

-- Which runs ----------------------------------------------------------------------------------------------------------

local function open_store(args)
  local store = require("recsys.track").open(args.store)
  return store, require("recsys.track.transfer").store(store)
end

--- The same, where there is one: who looks makes none.
local function open_existing(args)
  if not files.exists(args.store .. "/mlflow.db") then
    exit.usage_error("there are no tracked runs in %s; --store names the folder of the store", printable(args.store))
  end
  return open_store(args)
end

--- The id of the run of that stage of life that a word stands for: an id, the beginning of one, or a name, whose
--- youngest run it is.
local function find_run(store, word, stage)
  local function rows(condition, parameter)
    return store.db:rows("SELECT run_uuid FROM runs WHERE lifecycle_stage = ? AND " .. condition, { stage, parameter })
  end
  local found = rows("run_uuid = ?", word)
  if #found == 0 and word:find "^%x%x%x%x+$" then
    found = rows("run_uuid GLOB ? LIMIT 2", word .. "*")
    if #found > 1 then exit.usage_error("several runs begin with %s; give more of the id", word) end
  end
  if #found == 0 then found = rows("name = ? ORDER BY start_time DESC LIMIT 1", word) end
  return found[1] and found[1].run_uuid
end

--- The id of the run that a word stands for, of the first of these stages that has one.
local function resolve(store, word, ...)
  for _, stage in ipairs { ... } do
    local id = find_run(store, word, stage)
    if id then return id end
  end
  exit.usage_error("there is no %srun '%s'; `recsys-run runs list%s` shows what there is",
    ... == "deleted" and "deleted " or "", printable(word, 80), ... == "deleted" and " --deleted" or "")
end

local function check_experiment(place, name)
  if not name then return end
  local there = {}
  for _, experiment in ipairs(place:experiments()) do
    if experiment.name == name then return end
    there[#there + 1] = experiment.name
  end
  local near = text.nearest(name, there)
  exit.usage_error("there is no experiment '%s'%s", printable(name, 80),
    near and ("; did you mean '%s'?"):format(near) or "")
end

--- The ids that the words and options of a command choose.
local function chosen(args, store, place)
  local ids = {}
  for i, word in ipairs(args.RUN) do ids[i] = store and resolve(store, word, "active", "deleted") or word end
  if #ids > 0 then return ids end
  check_experiment(place, args.experiment)
  local options = { experiment = args.experiment, filter = args.filter }
  return exit.asked(require("recsys.track.transfer").find, place, options)
end

local function open_server(url)
  local wire = require "recsys.track.wire"
  url = url or wire.address()
  if not url then exit.usage_error "name the server: --to or --from URL, or MLFLOW_TRACKING_URI=http://HOST:PORT" end
  if not url:find "^https?://[^/]" then
    exit.usage_error("'%s' is no address of a server, such as http://HOST:5000", printable(url, 80))
  end
  return url, require("recsys.track.transfer").server(wire.open(url, { timeout_ms = 120000 }))
end

local function model_text(report)
  local aliases = {}
  for alias, version in pairs(report.aliases) do aliases[#aliases + 1] = ("%s = %d"):format(alias, version) end
  for alias, version in pairs(report.kept) do aliases[#aliases + 1] = ("%s stays %d"):format(alias, version) end
  table.sort(aliases)
  local n = 0
  for _ in pairs(report.versions) do n = n + 1 end
  return ("model %s  %d versions, %d new%s"):format(printable(report.model, 40), n, report.made,
    #aliases > 0 and "; " .. printable(table.concat(aliases, ", ")) or "")
end

--- Carry registered models after their runs: of 'done' alone, or all.
local function copy_models(args, from, to, done, all)
  local runs, only = {}, not all and {} or nil
  for _, one in ipairs(done) do
    runs[one.from] = one.id
    if only and one.id then only[one.from] = true end
  end
  for _, report in ipairs(require("recsys.registry.carry").copy(from, to, { runs = runs, only = only })) do
    if not args.json then print(model_text(report)) end
    done[#done + 1] = report
  end
end

--- Call fn(...); what is refused is told, and stops nothing but itself: nil, message.
local function attempt(what, fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result or true end
  if not require("recsys.track.transfer").is_refusal(result) or result.code == "usage" then error(result, 0) end
  log.warn("%s: %s", printable(what), printable(result.message))
  return nil, result.message
end

--- Carry one run, and tell what became of it.
local function copy_one(args, from, to, id)
  local one, message = attempt(id, require("recsys.track.transfer").copy, from, to, id)
  if not one then return { from = id, refused = json.list { { message = message } } } end
  for _, file in ipairs(one.refused) do
    log.warn("%s: %s is not there: %s", one.id, printable(file.path), printable(file.message))
  end
  if not args.json then
    print(("%s  %s  %d metrics, %d files%s"):format(one.id, printable(one.name or "", 40), one.metrics, one.files,
      one.known and "  (was there, completed)" or ""))
  end
  return one
end

--- Carry runs and then models, all of these or those of the runs. What is refused does not stop the others.
local function copy_all(args, from, to, ids, all)
  local done, failed = {}, false
  for i, id in ipairs(ids) do
    done[i] = copy_one(args, from, to, id)
    failed = failed or #done[i].refused > 0
  end
  failed = not attempt("registered models", copy_models, args, from, to, done, all) or failed
  if args.json then print(json.encode(json.list(done))) end
  if #done == 0 and not args.json then print "no run meets this" end
  return failed and exit.failed or exit.done
end

-- Actions -------------------------------------------------------------------------------------------------------------

local actions = {}

function actions.list(args)
  local store <close>, place = open_existing(args)
  check_experiment(place, args.experiment)
  local ids = {}
  for _, experiment in ipairs(place:experiments()) do
    if not args.experiment or experiment.name == args.experiment then ids[#ids + 1] = experiment.experiment_id end
  end
  local found = exit.asked(store.search_runs, store, { experiment_ids = ids, filter = args.filter,
    order_by = args.order_by, max_results = args.max, run_view_type = args.deleted and "DELETED_ONLY" or nil })
  if args.json then
    print(json.encode { runs = json.list(found.runs), next_page_token = found.next_page_token })
  elseif #found.runs == 0 then
    print "no run meets this"
  else
    print_table(found.runs)
    if found.next_page_token then print(("... only the first %d; --max shows more"):format(args.max)) end
  end
  return exit.done
end

function actions.show(args)
  local store <close>, place = open_existing(args)
  local run = store:run(resolve(store, args.RUN, "active", "deleted"))
  local paths = {}
  for i, entry in ipairs(place:files(run)) do paths[i] = entry.path end
  if args.json then
    run.files = json.list(paths)
    print(json.encode(run))
  else
    print_run(run, place:title(run.info.experiment_id), paths)
  end
  return exit.done
end

--- Send what runs have left in the spool, each to its server.
local function push_waiting(args)
  local url = args.to or require("recsys.track.wire").address()
  if not url then
    exit.usage_error("which server? --to URL, or MLFLOW_TRACKING_URI; which runs? RUN..., --experiment, --filter "
      .. "or --all")
  end
  local of <close> = require("recsys.track.remote").open(url, args.store, { timeout_ms = 120000, later = true })
  local sent, left = of:replay_all(60)
  if args.json then print(json.encode { sent = sent, left = left })
  else print(("%d of %d that waited for %s were sent"):format(sent, sent + left, url)) end
  return left > 0 and exit.retry or exit.done
end

function actions.push(args)
  if #args.RUN == 0 and not args.experiment and not args.filter and not args.all then return push_waiting(args) end
  local store <close>, place = open_existing(args)
  local _, server = open_server(args.to)
  return copy_all(args, place, server, chosen(args, store, place), args.all)
end

function actions.pull(args)
  local _, server = open_server(args.from)
  local _ <close>, place = open_store(args)
  return copy_all(args, server, place, chosen(args, nil, server), #args.RUN == 0 and not args.experiment
    and not args.filter)
end

function actions.export(args)
  local store <close>, place = open_existing(args)
  return copy_all(args, place, require("recsys.track.transfer").folder(args.FOLDER), chosen(args, store, place),
    args.all)
end

actions["import"] = function(args)
  local folder = require("recsys.track.transfer").folder(args.FOLDER)
  local ids = folder:ids()
  if #ids == 0 then exit.usage_error("%s holds no exported runs", args.FOLDER) end
  local _ <close>, place = open_store(args)
  return copy_all(args, folder, place, ids, true)
end

function actions.delete(args)
  local store <close> = open_existing(args)
  local done = {}
  for i, word in ipairs(args.RUN) do done[i] = resolve(store, word, args.restore and "deleted" or "active") end
  for _, id in ipairs(done) do
    if args.restore then store:restore_run(id) else store:delete_run(id) end
    if not args.json then print(id .. (args.restore and " is back" or " is deleted; --restore takes it back")) end
  end
  if args.json then print(json.encode(json.list(done))) end
  return exit.done
end

function command.run(args) return actions[args.action](args) end

return command
