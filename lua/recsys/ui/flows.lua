--- Runs of flows as the page shows them, from flow.db beside the store, which is only read here.
---
--- A run that is called running while its process is gone is told as crashed, though nobody has said so in the database
--- yet. Files are read below the store's folder alone, whatever the database says.

local files = require "recsys.files"
local json = require "recsys.json"
local logs = require "recsys.flow.logs"
local now = require("recsys.clock").now
local record = require "recsys.flow.record"
local rest = require "recsys.ui.rest"
local state = require "recsys.flow.state"
local tail = require "recsys.ui.tail"
local uv = require "luv"

local flows = {}

--- Call fn(db, ...) with flow.db open; nil where there is none.
---@param context table
function flows.with(context, fn, ...)
  local db <close> = state.read(context.store.folder)
  if not db then return nil end
  return fn(db, ...)
end

--- The ids of runs whose process is gone without a word, as a JSON list.
local function gone(db)
  local ids = {}
  for _, run in ipairs(db:rows "SELECT id, folder, pid, host, holder FROM runs WHERE state = 'running'") do
    if not record.is_held(run) then ids[#ids + 1] = run.id end
  end
  return json.encode(json.list(ids))
end

local shown <const> = [[SELECT id, name, recipe, path, folder, reason, started, ended, pid, host, since,
  CASE WHEN id IN (SELECT value FROM json_each(?1)) THEN 'crashed' ELSE state END AS state FROM runs]]

--- The state of a task: one that was at work when its run's process went is told as crashed.
local function state_in(run, word)
  return run.state ~= "running" and (word == "running" or word == "retrying") and "crashed" or word
end

-- Lists --------------------------------------------------------------------------------------------------------------

--- What a run is called: its name, behind that of the study where it is one of a study's trials.
local function label_of(home, run)
  local below = home and run.folder:sub(1, #home + 1) == home .. "/" and run.folder:sub(#home + 2)
  local label = below and below:match "^[^/]+/(.+)$"
  return label and label:match "[^/]+$" == run.name and label or run.name
end

--- Give each of these runs how many of its tasks are in which state.
local function count_tasks(db, runs)
  local ids, by_id = {}, {}
  for i, run in ipairs(runs) do
    ids[i], by_id[run.id], run.tasks = run.id, run, {}
  end
  for row in db:each("SELECT run_id, state, count(*) AS n FROM tasks WHERE run_id IN (SELECT value FROM json_each(?)) "
    .. "GROUP BY run_id, state", { json.encode(json.list(ids)) }) do
    local run = by_id[row.run_id]
    local word = state_in(run, row.state)
    run.tasks[word] = (run.tasks[word] or 0) + row.n
  end
  return json.list(runs)
end

--- Runs, the youngest first: { total, runs, recipes = names of all recipes }.
---@param db Database
---@param store string  the folder of flow.db
---@param asked { recipe?: string, state?: string, offset: integer, limit: integer }
function flows.page(db, store, asked)
  local where = ("SELECT * FROM (%s) WHERE (?2 IS NULL OR recipe = ?2) AND (?3 IS NULL OR state = ?3)"):format(shown)
  local values = { gone(db), asked.recipe, asked.state }
  local total = db:row(where:gsub("%*", "count(*) AS n", 1), values).n
  values[4], values[5] = asked.limit, asked.offset
  local runs = db:rows(where .. " ORDER BY started DESC, id DESC LIMIT ?4 OFFSET ?5", values)
  local home = uv.fs_realpath(store)
  for _, run in ipairs(runs) do run.label = label_of(home, run) end
  local recipes = json.list {}
  for row in db:each "SELECT DISTINCT recipe FROM runs ORDER BY recipe" do recipes[#recipes + 1] = row.recipe end
  return { total = total, runs = count_tasks(db, runs), recipes = recipes, now = now() }
end

-- One run ------------------------------------------------------------------------------------------------------------

--- The folder of a run; nil when it is gone, or not below the store's folder. A store that was moved has its runs where
--- they were in it.
local function folder_of(store, run)
  local home = uv.fs_realpath(store)
  for _, path in ipairs { run.folder, ("%s/runs/%s"):format(store, run.name) } do
    local there = uv.fs_realpath(path)
    if home and there and there:sub(1, #home + 1) == home .. "/" then return there end
  end
end

--- A file below a run's folder; nil where there is none, or a link leads elsewhere.
local function inside(folder, name)
  local there = folder and not name:find "%z" and uv.fs_realpath(folder .. "/" .. name)
  return there and there:sub(1, #folder + 1) == folder .. "/" and there or nil
end

--- The tracked run that a run's folder names.
local function tracked_of(folder)
  local known = folder and json.decode(files.read(folder .. "/track.json") or "")
  return type(known) == "table" and type(known.run_id) == "string" and known.run_id or nil
end

--- The run that a result is from, by its folder, or by its name where there is one of that name alone.
local function origin_of(db, said)
  local row = db:row("SELECT id, name, folder FROM runs WHERE folder = ?", { said })
  if row then return row end
  local rows = db:rows("SELECT id, name, folder FROM runs WHERE name = ? LIMIT 2", { said:match "[^/]*$" })
  return #rows == 1 and rows[1] or nil
end

--- Say of cached tasks, or elements, which run of this database their results are from, and what it is called.
local function find_origins(db, home, tasks)
  local known = {}
  for _, task in ipairs(tasks) do
    local said = task.origin
    if said then
      if known[said] == nil then known[said] = origin_of(db, said) or false end
      local run = known[said]
      task.origin, task.origin_id = run and label_of(home, run) or said:match "[^/]*$", run and run.id or nil
    end
  end
end

local function run_of(db, id)
  local run = db:row(shown .. " WHERE id = ?2", { gone(db), id })
  if not run then rest.refuse("RESOURCE_DOES_NOT_EXIST", "There is no run %d in flow.db.", id) end
  return run
end

--- What tasks show of themselves, and how far they are; bodies are JSON.
local function told(db, run)
  run.notes = json.list(db:rows("SELECT id, number, element, kind, title, body, file FROM notes WHERE run_id = ? "
    .. "ORDER BY number, element, id", { run.id }))
  for _, note in ipairs(run.notes) do note.body = note.body and json.decode(note.body) end
  run.progress = json.list(db:rows("SELECT number, element, done, total, word, at FROM progress WHERE run_id = ?",
    { run.id }))
end

--- A run with its tasks, transitions and what they tell.
---@param db Database
---@param store string  the folder of flow.db
---@param id integer
function flows.run(db, store, id)
  local run = run_of(db, id)
  local folder = folder_of(store, run)
  run.tasks = json.list(db:rows("SELECT number, name, state, reason, attempts, started, ended, key, after, origin "
    .. "FROM tasks WHERE run_id = ? ORDER BY number", { id }))
  run.elements = json.list(db:rows("SELECT number, element, state, reason, attempts, started, ended, key, origin "
    .. "FROM elements WHERE run_id = ? ORDER BY number, element", { id }))
  for _, list in ipairs { run.tasks, run.elements } do
    for _, one in ipairs(list) do one.state = state_in(run, one.state) end
    find_origins(db, uv.fs_realpath(store), list)
  end
  run.transitions = json.list(db:rows("SELECT number, element, state, reason, at FROM transitions WHERE run_id = ? "
    .. "ORDER BY id", { id }))
  logs.find(folder, run.tasks)
  for _, task in ipairs(run.tasks) do json.list(task.logs) end
  told(db, run)
  run.label = label_of(uv.fs_realpath(store), run)
  run.tracked, run.here, run.now = tracked_of(folder), folder ~= nil, now()
  return run
end

--- The run of a tracked run, found by the name of its folder; nil when there is none.
---@param folder string  the tag recsys.run
---@param tracked string
---@return integer? id
function flows.of_tracked(db, store, folder, tracked)
  for _, run in ipairs(db:rows("SELECT id, name, folder FROM runs WHERE name = ? ORDER BY started DESC",
    { folder:match "([^/]+)/*$" })) do
    if tracked_of(folder_of(store, run)) == tracked then return run.id end
  end
end

-- Logs and files -----------------------------------------------------------------------------------------------------

--- What a task, or one of its elements, has told since an offset: { text, offset, running }.
---@param asked { task: integer, element: integer, offset: integer }
function flows.log(db, store, id, asked)
  local run = run_of(db, id)
  local task = db:row("SELECT number, name, state FROM tasks WHERE run_id = ? AND number = ?", { id, asked.task })
  if not task then rest.refuse("RESOURCE_DOES_NOT_EXIST", "The run %s has no task %d.", run.name, asked.task) end
  local step, element = logs.step(task), asked.element > 0 and "." .. asked.element or ""
  local path = step and inside(folder_of(store, run), ("logs/%s%s.txt"):format(step, element))
  local answer = { running = run.state == "running" }
  answer.text, answer.offset = tail.read(path, asked.offset)
  return answer
end

--- The path of a note's file; refused where it is gone.
function flows.file(db, store, id, note)
  local run = run_of(db, id)
  local row = db:row("SELECT file FROM notes WHERE run_id = ? AND id = ?", { id, note })
  local path = row and row.file and inside(folder_of(store, run), row.file)
  if not path then rest.refuse("RESOURCE_DOES_NOT_EXIST", "The run %s has no such file any more.", run.name) end
  return path
end

return flows
