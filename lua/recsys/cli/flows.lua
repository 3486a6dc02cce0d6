--- `recsys-run flows ...`: runs and their tasks as flow.db has them, and what is kept of their results.

local argument = require "recsys.argument"
local cache = require "recsys.cache"
local cli = require "recsys.cli"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local kept = require "recsys.flow.cache"
local lfs = require "lfs"
local logs = require "recsys.flow.logs"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local state = require "recsys.flow.state"
local text = require "recsys.text"

local command = { about = "List, show, cancel and retry the runs of flows, and clear away what they kept", raw = true }

local PLACE <const> = "artifacts"

local function with_place(parser)
  parser:option("--place", "The folder with flow.db"):argname "FOLDER":default(PLACE)
  parser:flag("--json", "Put the answer on stdout as JSON")
  return parser
end

--- The database, with runs whose process is gone marked so; nil where there is none.
local function open(place)
  if place ~= PLACE and not files.exists(place) then exit.usage_error("--place: there is no folder %s", place) end
  if not files.exists(place .. "/flow.db") then return nil end
  local db = state.open(place)
  record.sweep(db)
  return db
end

local function when(ms) return ms and os.date("!%Y-%m-%d %H:%M:%S", ms // 1000) or "" end

local function lasting(row, now)
  local ended = row.ended or row.state == "running" and now
  return row.started and ended and text.duration(math.max(0, ended - row.started) / 1000) or ""
end

--- Reasons hold what recipes said: a terminal must not act on it.
local function printable(said, most)
  local plain = (said or ""):gsub("[%c\127]", " ")
  if #plain > most then plain = plain:sub(1, (utf8.offset(plain, 0, most) or most) - 1) .. "…" end
  return plain
end

local function one_line(row, most) return printable(row.reason and row.reason:match "^[^\n]*", most) end

-- list --------------------------------------------------------------------------------------------------------------

local order = { "completed", "cached", "running", "retrying", "pending", "failed", "timed_out", "cancelled", "skipped",
  "crashed" }

--- "3 completed, 5 cached".
local function counts(tasks)
  local parts = {}
  for _, name in ipairs(order) do
    if tasks[name] then parts[#parts + 1] = ("%d %s"):format(tasks[name], name) end
  end
  return table.concat(parts, ", ")
end

local function list_options(parser)
  with_place(parser)
  parser:option("--recipe", "Runs of this recipe"):argname "NAME"
  parser:option("--state", "Runs in this state"):choices(record.states)
  parser:option("--max", "Show so many, the youngest first"):argname "N":convert(argument.whole_number(1)):default "20"
end

local function list(args)
  local db <close> = open(args.place)
  local runs = db and record.runs(db, { recipe = args.recipe, state = args.state, most = args.max }) or {}
  if args.json then
    io.stdout:write(json.encode(json.list(runs)), "\n")
    return exit.done
  end
  if #runs == 0 then
    local kind = (args.recipe or args.state) and " of that kind" or ""
    io.stdout:write(("no run%s in %s/flow.db\n"):format(kind, args.place))
    return exit.done
  end
  local now, rows = require("recsys.clock").now(), { { "run", "state", "started (UTC)", "took", "tasks" } }
  for _, run in ipairs(runs) do
    rows[#rows + 1] = { run.study and ("%s/%s"):format(run.study, run.name) or run.name,
      run.trial == "pruned" and run.state == "completed" and "pruned" or run.state,
      when(run.started), lasting(run, now), counts(run.tasks) }
  end
  io.stdout:write(text.columns(rows), "\n")
  return exit.done
end

-- show --------------------------------------------------------------------------------------------------------------

local function show_options(parser)
  with_place(parser)
  parser:argument("RUN", "The name of a run, or its folder")
  parser:flag("--transitions", "Each change of a state, too")
  parser:flag("--elements", "Each element of a map, not only those that are neither completed nor cached")
end

local function show_transitions(run)
  local names = {}
  for _, task in ipairs(run.tasks) do names[task.number] = task.name end
  local rows = { { "at (UTC)", "what", "state", "reason" } }
  for _, change in ipairs(run.transitions) do
    local name = change.number and names[change.number] or "the run"
    rows[#rows + 1] = { ("%s.%03d"):format(when(change.at), change.at % 1000),
      change.element and ("%s, element %d"):format(name, change.element) or name, change.state, one_line(change, 60) }
  end
  io.stdout:write("\n", text.columns(rows), "\n")
end

local FEW <const> = 20 -- elements of a map that are shown when not all are asked for

--- Rows of a map's elements, beneath its own: how many are in which state, and those worth a look.
local function add_elements(rows, task, args, now)
  local states, shown = {}, 0
  for _, one in ipairs(task.elements) do states[one.state] = (states[one.state] or 0) + 1 end
  rows[#rows + 1] = { "", "  elements", counts(states) }
  for i, one in ipairs(task.elements) do
    local ready = one.state == "completed" or one.state == "cached" or one.state == "pending"
    if args.elements or not ready and shown < FEW then
      shown = shown + 1
      local tries = (one.attempts or 0) > 1 and ("%d attempts%s"):format(one.attempts, one.reason and ": " or "") or ""
      rows[#rows + 1] = { "", ("  %d"):format(i), one.state, when(one.started), lasting(one, now),
        tries .. one_line(one, 60) }
    end
  end
end

--- "12 of 30 weeks", of a task that is at work; nil where nothing is known.
local function far(run, task)
  if task.state ~= "running" then return nil end
  for _, one in ipairs(run.progress) do
    if one.number == task.number and one.element == 0 then
      return printable(("%.14g%s%s"):format(one.done, one.total and (" of %.14g"):format(one.total) or "",
        one.word and " " .. one.word or ""), 60)
    end
  end
end

--- Rows of the logs that tasks have: of all elements of a map one.
local function add_logs(rows, tasks)
  for _, task in ipairs(tasks) do
    local step, name = logs.step(task), printable(task.name, 60)
    local own = task.logs[1] == 0 and 1 or 0
    if own == 1 then rows[#rows + 1] = { name, "log", ("logs/%s.txt"):format(step) } end
    if #task.logs > own then
      rows[#rows + 1] = { name, ("logs of %s elements"):format(text.count(#task.logs - own)),
        ("logs/%s.N.txt"):format(step) }
    end
  end
end

--- What tasks show of themselves, and what they told: where each thing lies, or leads to.
local function show_notes(run)
  local names, rows = {}, { { "task", "shows", "" } }
  for _, task in ipairs(run.tasks) do names[task.number] = task.name end
  add_logs(rows, run.tasks)
  for _, one in ipairs(run.notes) do
    local name = printable(names[one.number], 60)
    rows[#rows + 1] = { one.element > 0 and ("%s, element %d"):format(name, one.element) or name,
      printable(one.title, 60), one.file or one.kind == "link" and printable(one.body.url, 200) or one.kind }
  end
  if #rows > 1 then io.stdout:write("\n", text.columns(rows), "\n") end
end

local function show(args)
  local db <close> = open(args.place)
  local run = db and record.run(db, args.RUN)
  if not run then
    local names = {}
    for i, known in ipairs(db and record.runs(db) or {}) do names[i] = known.name end
    local near = text.nearest(args.RUN, names)
    exit.usage_error("there is no run '%s' in %s/flow.db%s", args.RUN, args.place,
      near and ("; did you mean '%s'?"):format(near) or "")
  end
  logs.find(run.folder, run.tasks)
  if args.json then
    for _, task in ipairs(run.tasks) do json.list(task.logs) end
    for _, field in ipairs { "tasks", "transitions", "notes", "progress" } do run[field] = json.list(run[field]) end
    for _, task in ipairs(run.tasks) do task.elements = task.elements and json.list(task.elements) end
    io.stdout:write(json.encode(run), "\n")
    return exit.done
  end
  local now = require("recsys.clock").now()
  io.stdout:write(("%s: %s%s\n"):format(run.name, run.state, run.reason and ", " .. one_line(run, 200) or ""),
    run.study and ("trial   of the study %s, %s\n"):format(run.study, run.trial) or "",
    ("folder  %s\nrecipe  %s (%s)\nholder  process %d on %s, since %s UTC\n\n"):format(run.folder, run.recipe,
    run.path or "?", run.pid, run.host, when(run.since)))
  local rows = { { "", "task", "state", "started (UTC)", "took", "reason" } }
  for _, task in ipairs(run.tasks) do
    rows[#rows + 1] = { tostring(task.number), task.name, task.state, when(task.started), lasting(task, now),
      far(run, task) or one_line(task, 60) }
    if task.elements then add_elements(rows, task, args, now) end
  end
  io.stdout:write(text.columns(rows), "\n")
  show_notes(run)
  if args.transitions then show_transitions(run) end
  return exit.done
end

-- prune -------------------------------------------------------------------------------------------------------------

local function span(word)
  local ms = text.span(word)
  if not ms or ms < 0 then return nil, ("'%s' is no span of time such as 30d or 12h"):format(word) end
  return ms
end

local function size(word)
  local bytes = text.bytes(word)
  if not bytes then return nil, ("'%s' is no size such as 2G or 500M"):format(word) end
  return bytes
end

local function prune_options(parser)
  with_place(parser)
  parser:option("--older", "Forget runs that ended so long ago (30d, 12h; 90m: minutes), and remove results "
    .. "that were not used since")
    :argname "SPAN":convert(span)
  parser:option("--size", "Remove the results used least recently, beyond this size"):argname "SIZE":convert(size)
  parser:flag("--dry-run", "Only tell what would be forgotten and removed"):target "dry_run"
end

--- Remove what runs that were reproduced before a moment have published.
local function prune_reproduced(folder, before)
  for _, name in ipairs(files.names(folder)) do
    local path = folder .. "/" .. name
    local at = lfs.attributes(path, "modification")
    if at and at * 1000 < before then resume.remove(path) end
  end
end

--- Runs' folders stay: they are people's. What goes is the memory of runs that ended, and results kept for later runs.
local function prune(args)
  local before = args.older and require("recsys.clock").now() - args.older
  local db <close> = open(args.place)
  local runs = db and record.prune(db, before, args.dry_run) or 0
  local results, bytes = kept.prune { age = args.older and args.older / 1000, bytes = args.size,
    only_count = args.dry_run, folder = cache.folder(args.place) .. "/tasks" }
  if before and not args.dry_run then prune_reproduced(cache.folder(args.place) .. "/reproduced", before) end
  if args.json then
    io.stdout:write(json.encode { runs = runs, results = results, bytes = bytes }, "\n")
  else
    local said = args.dry_run and "%s runs would be forgotten, %s results removed, %.1f MiB\n"
      or "%s runs forgotten, %s results removed, %.1f MiB\n"
    io.stdout:write(said:format(text.count(runs), text.count(results), bytes / 2 ^ 20))
  end
  return exit.done
end

local actions = {
  { name = "list", about = "Show runs, the youngest first", options = list_options, run = list },
  { name = "show", about = "Show a run's tasks, their states and reasons", options = show_options, run = show },
  { name = "prune", about = "Forget runs whose folder is gone or that are old, and remove results kept for later runs",
    options = prune_options, run = prune },
}

table.move(require("recsys.flow.control").actions, 1, 2, #actions + 1, actions)

function command.run(words)
  return cli.act("flows", command.about, actions, words)
end

return command
