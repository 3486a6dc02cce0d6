--- What flow.db knows of a run: who is at work on it, and the state of each of its tasks, and of each element of a map,
--- with every change, committed before it is acted on.
---
--- States of tasks: pending, running, retrying, cached, completed, failed, timed_out, cancelled, skipped, crashed; of
--- runs: running, completed, failed, refused, cancelled, crashed. A run whose database cannot be written goes on
--- without, and says so: it can then be resumed from what is kept by content alone.

local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local now = require("recsys.clock").now
local process = require "recsys.track.process"
local resume = require "recsys.resume"
local state = require "recsys.flow.state"
local store = require "recsys.store"
local text = require "recsys.text"
local uv = require "luv"

--- `states`: those of runs.
local record = { states = { "running", "completed", "failed", "refused", "cancelled", "crashed" } }

local FEW <const> = 8 -- runs of one name that are told apart by their folders

local Record = {}
Record.__index = Record

--- The folder with flow.db for runs in a folder: the one above.
---@param runs string
---@return string
function record.place(runs)
  local above = runs:gsub("(.)/+$", "%1"):match "^(.*)/[^/]+$"
  return above == "" and "/" or above or "."
end

local function open_joined(self)
  local place = self.place
  self.place = nil
  local ok, db = pcall(state.open, place)
  if ok then self.db = db else log.warn("what the task shows is not recorded: %s", exit.message_of(db)) end
end

--- Do something with the database; a refusal ends recording, not the run.
local function attempt(self, fn, ...)
  if self.place then open_joined(self) end
  if not self.db then return nil end
  local ok, problem = pcall(self.db.transaction, self.db, fn, ...)
  if ok then return problem end
  if type(problem) == "table" and problem.signal then error(problem, 0) end
  log.warn("what becomes of the run's tasks is not recorded: %s", exit.message_of(problem))
  self.db:close()
  self.db = nil
end

local function add_transition(self, number, to, reason, at, element)
  self.db:run("INSERT INTO transitions (run_id, number, state, reason, at, element) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    { self.id, number, to, reason, at, element })
end

--- When a run was last heard of: nobody saw its process end.
local function last_heard_of(db, id)
  return db:row("SELECT max(at) AS at FROM transitions WHERE run_id = ?", { id }).at
end

--- What was at work when the run's process ended, tasks and elements, has crashed; whoever resumes the run begins it
--- anew.
---@param at integer     now
---@param last integer  when it was last heard of
local function mark_crashed(self, at, last)
  local reason = "the process that ran it is gone"
  for _, table_name in ipairs { "tasks", "elements" } do
    for _, row in ipairs(self.db:rows(("SELECT * FROM %s WHERE run_id = ? AND state IN ('running', 'retrying')")
      :format(table_name), { self.id })) do
      self.db:run(("UPDATE %s SET state = 'crashed', reason = ?3, ended = ?4 WHERE run_id = ?1 AND number = ?2%s")
        :format(table_name, row.element and " AND element = ?5" or ""),
        { self.id, row.number, reason, last, row.element })
      add_transition(self, row.number, "crashed", reason, at, row.element)
    end
  end
end

local function begin(self, run)
  local at = now()
  local known = self.db:row("SELECT id FROM runs WHERE folder = ?", { run.folder })
  if known then
    self.db:run("UPDATE runs SET state = 'running', reason = 'resumed', ended = NULL, pid = ?2, host = ?3, since = ?4, "
      .. "holder = ?5, home = ?6 WHERE id = ?1",
      { known.id, uv.os_getpid(), uv.os_gethostname(), at, process.name(), uv.cwd() })
    self.id = known.id
    mark_crashed(self, at, last_heard_of(self.db, known.id))
  else
    self.db:run("INSERT INTO runs (name, folder, recipe, path, state, started, pid, host, since, holder, home) "
      .. "VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7, ?5, ?8, ?9)", { run.name, run.folder, run.recipe, run.path, at,
      uv.os_getpid(), uv.os_gethostname(), process.name(), uv.cwd() })
    self.id = self.db:last_id()
  end
  add_transition(self, nil, "running", known and "resumed" or nil, at)
end

--- Begin to record a run, or go on with one.
---@param run { folder: string, runs: string, recipe: string, path: string }
---@return Record
function record.begin(run)
  local self = setmetatable({ rows = {}, elements = {} }, Record)
  local ok, db = pcall(state.open, record.place(run.runs))
  if not ok then
    if type(db) == "table" and db.signal then error(db, 0) end
    log.warn("what becomes of the run's tasks is not recorded: %s", exit.message_of(db))
    return self
  end
  self.db, self.folder = db, record.place(run.runs)
  attempt(self, begin, self, { folder = uv.fs_realpath(run.folder) or run.folder, recipe = run.recipe,
    path = run.path, name = run.folder:match "[^/]+$" })
  for _, row in ipairs(self.db and self.db:rows("SELECT * FROM tasks WHERE run_id = ?", { self.id }) or {}) do
    self.rows[row.number] = row
  end
  for _, row in ipairs(self.db and self.db:rows("SELECT * FROM elements WHERE run_id = ?", { self.id }) or {}) do
    self.elements[row.number] = self.elements[row.number] or {}
    self.elements[row.number][row.element] = row
  end
  return self
end

--- The names of the tasks that a task follows, separated by spaces.
local function followed(task)
  local names = {}
  for name in pairs(task.after or {}) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, " ")
end

--- Go on with the record of a run whose owner is another process. The database is opened when there is something to
--- say.
---@param ticket { place: string, id: integer }  what Record:ticket gave there
---@return Record
function record.join(ticket) return setmetatable({ rows = {}, place = ticket.place, id = ticket.id }, Record) end

--- What a process of a task needs to tell of it; nil where nothing is recorded.
---@return { place: string, id: integer }?
function Record:ticket() return self.db and { place = self.folder, id = self.id } or nil end

--- Note the tasks that the run is going to have, as far as they are known before it begins.
---@param tasks { number: integer, name: string, after?: table<string, boolean> }[]
function Record:expect(tasks)
  attempt(self, function()
    local at = now()
    for _, task in ipairs(tasks) do
      if self.db:run("INSERT OR IGNORE INTO tasks (run_id, number, name, state, after) VALUES (?1, ?2, ?3, 'pending', "
        .. "?4)", { self.id, task.number, task.name, followed(task) }) > 0 then
        add_transition(self, task.number, "pending", nil, at)
      end
    end
  end)
end

local ended = { cached = true, completed = true, failed = true, timed_out = true, cancelled = true, skipped = true,
  crashed = true }

--- Note that a task goes through a list of so many elements.
---@param task table
---@param count integer
function Record:expect_elements(task, count)
  attempt(self, function()
    local at = now()
    self.db:run("DELETE FROM elements WHERE run_id = ?1 AND number = ?2 AND element > ?3",
      { self.id, task.number, count })
    for i = 1, count do
      if self.db:run("INSERT OR IGNORE INTO elements (run_id, number, element, state) VALUES (?1, ?2, ?3, 'pending')",
        { self.id, task.number, i }) > 0 then
        add_transition(self, task.number, "pending", nil, at, i)
      end
    end
  end)
end

local function move(self, task, reason)
  local at = now()
  local is_ready = task.state == "completed" or task.state == "cached"
  local more = is_ready and store.text { inputs = task.inputs, result = task.gives_result, lua = task.lua_files,
    noted = task.noted, left = task.left } or nil
  local values = { self.id, task.number, task.element or task.name, task.state, reason, task.attempts, task.started,
    ended[task.state] and (task.ended or at) or nil, task.key, task.content, more, task.origin,
    not task.element and followed(task) or nil }
  self.db:run(("INSERT OR REPLACE INTO %s (run_id, number, %s, state, reason, attempts, started, ended, key, content, "
    .. "more, origin%s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12%s)"):format(
    task.element and "elements" or "tasks", task.element and "element" or "name", task.element and "" or ", after",
    task.element and "" or ", ?13"), values)
  add_transition(self, task.number, task.state, reason, at, task.element)
end

--- A task, or an element of its list, is in another state now, its `state`.
---@param task table
---@param reason? string
function Record:move(task, reason)
  attempt(self, move, self, task, reason and log.veiled(reason))
end

-- What tasks show ----------------------------------------------------------------------------------------------------

--- A task shows something of itself, recsys.flow.note.
---@param task table
---@param note { kind: string, title: string, element: integer, body?: table, file?: string }
function Record:note(task, note)
  attempt(self, function()
    self.db:run("INSERT INTO notes (run_id, number, element, kind, title, body, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
      .. "?7)", { self.id, task.number, note.element, note.kind, note.title,
      note.body and json.encode(note.body), note.file })
  end)
end

--- How far a task, or an element of its list, is.
---@param task table
---@param element integer
---@param far { done: number, total?: number, word?: string }
function Record:progress(task, element, far)
  attempt(self, function()
    self.db:run("INSERT OR REPLACE INTO progress (run_id, number, element, done, total, word, at) VALUES (?1, ?2, ?3, "
      .. "?4, ?5, ?6, ?7)", { self.id, task.number, element, far.done, far.total, far.word, now() })
  end)
end

--- What a task, or an element, showed before is gone.
---@param task table
---@param element integer
function Record:forget_notes(task, element)
  attempt(self, function()
    for _, name in ipairs { "notes", "progress" } do
      self.db:run(("DELETE FROM %s WHERE run_id = ?1 AND number = ?2 AND element = ?3"):format(name),
        { self.id, task.number, element })
    end
  end)
end

-- The end ------------------------------------------------------------------------------------------------------------

--- What is known of a task, or an element, whose result an earlier process of this run completed, or was given; nil:
--- none has.
---@param task table
---@return table?
function Record:completed(task)
  local row = self.rows[task.number]
  if task.element then
    row = row and row.name == task.name and (self.elements[task.number] or {})[task.element]
  elseif row and row.name ~= task.name then
    row = nil
  end
  if not row or row.state ~= "completed" and row.state ~= "cached" then return nil end
  local chunk = load("return " .. (row.more or "{}"), "=more", "t", {})
  row.about = chunk and chunk() or {}
  return row
end

--- The run has ended.
---@param to string  completed, failed, refused or cancelled
---@param reason? string
function Record:finish(to, reason)
  attempt(self, function()
    local at = now()
    reason = reason and text.readable(log.veiled(reason))
    self.db:run("UPDATE runs SET state = ?2, reason = ?3, ended = ?4 WHERE id = ?1", { self.id, to, reason, at })
    add_transition(self, nil, to, reason, at)
  end)
  if self.db then self.db:close() end
  self.db = nil
end

-- For who looks ------------------------------------------------------------------------------------------------------

--- Whether the process at work on a run is there. That of another container shows by the lock of the run's folder; of
--- another machine nothing is known.
---@param run { folder: string, host: string, pid: integer, holder: string? }
---@return boolean
function record.is_held(run)
  if run.holder then
    if process.is_gone(run.holder) then return false end
    return process.where(run.holder) ~= "container" or resume.is_at_work(run.folder)
  end
  if run.host ~= uv.os_gethostname() then return true end
  local there, _, name = uv.kill(run.pid, 0) -- a run of before holders had names
  return there == 0 or name == "EPERM" -- somebody else's
end

--- Say of runs whose process is gone that they crashed, with the tasks that were at work, or that they are done when it
--- went at the very end.
---@param db Database
function record.sweep(db)
  for _, run in ipairs(db:rows "SELECT * FROM runs WHERE state = 'running'") do
    if not record.is_held(run) then
      db:transaction(function()
        local reason, at, last = ("its process %d is gone"):format(run.pid), now(), last_heard_of(db, run.id)
        local done = files.exists(run.folder .. "/result.json") and not files.exists(run.folder .. "/unfinished")
        local to = done and "completed" or "crashed"
        if db:run("UPDATE runs SET state = ?5, reason = ?2, ended = ?3 WHERE id = ?1 AND state = 'running' "
          .. "AND pid = ?4", { run.id, reason, last, run.pid, to }) > 0 then
          local of_run = { db = db, id = run.id }
          mark_crashed(of_run, at, last)
          add_transition(of_run, nil, to, reason, at)
        end
      end)
    end
  end
end

--- Say how a run ended whose process was killed before it could, and somebody else knows.
---@param db Database
---@param folder string  absolute
---@param to string      completed or failed
---@param reason? string
function record.amend(db, folder, to, reason)
  local run = db:row("SELECT * FROM runs WHERE folder = ? AND state IN ('running', 'crashed')", { folder })
  if not run or run.state == "running" and record.is_held(run) then return end
  db:transaction(function()
    local at = now()
    db:run("UPDATE runs SET state = ?2, reason = ?3, ended = ?4 WHERE id = ?1", { run.id, to, reason, at })
    add_transition({ db = db, id = run.id }, nil, to, reason, at)
  end)
end

--- Add what a study says of a run that is one of its trials: `study`, its name, and `trial`, the state of the trial.
local function add_study(db, run)
  local study, number = run.folder:match "([^/]+)/trial_(%d+)$"
  local row = study and db:row("SELECT t.state FROM trials t JOIN studies s USING (study_id) WHERE s.name = ? "
    .. "AND t.number = ?", { study, math.tointeger(tonumber(number)) })
  if row then run.study, run.trial = study, row.state end
end

--- The runs of a database, the youngest first, with how many of their tasks are in which state.
---@param db Database
---@param options? { recipe?: string, state?: string, most?: integer }
---@return table[]
function record.runs(db, options)
  options = options or {}
  local list = db:rows("SELECT * FROM runs WHERE (?1 IS NULL OR recipe = ?1) AND (?2 IS NULL OR state = ?2) "
    .. "ORDER BY started DESC, id DESC LIMIT ?3", { options.recipe, options.state, options.most or 1000000 })
  for _, run in ipairs(list) do
    add_study(db, run)
    run.tasks = {}
    for row in db:each("SELECT state, count(*) AS n FROM tasks WHERE run_id = ? GROUP BY state", { run.id }) do
      run.tasks[row.state] = row.n
    end
  end
  return list
end

--- The row of the run that a word means: its folder, its name, or the end of its folder, as in STUDY/trial_1. Raises
--- { code = "usage" } where it means several.
local function find(db, word)
  local by_folder = db:row("SELECT * FROM runs WHERE folder = ?", { uv.fs_realpath(word) or word })
  if by_folder then return by_folder end
  local rows = db:rows("SELECT * FROM runs WHERE name = ?1 OR substr(folder, -length(?2)) = ?2 ORDER BY started DESC",
    { word, "/" .. word })
  if #rows < 2 then return rows[1] end
  local names = {}
  for i = 1, math.min(#rows, FEW) do names[i] = rows[i].folder:match "[^/]*/[^/]+$" end
  exit.usage_error("there are %d runs '%s': which one? %s%s", #rows, word, table.concat(names, ", "),
    #rows > FEW and ", ..." or "")
end

--- A run by its name or folder, with its tasks, their elements where they are maps, and transitions; nil when there is
--- none.
---@param db Database
---@param word string  raises { code = "usage" } where it means several
---@return table?
function record.run(db, word)
  local run = find(db, word)
  if not run then return nil end
  add_study(db, run)
  run.tasks = db:rows("SELECT number, name, state, reason, attempts, started, ended, key, after, origin FROM tasks "
    .. "WHERE run_id = ? ORDER BY number", { run.id })
  run.transitions = db:rows("SELECT number, element, state, reason, at FROM transitions WHERE run_id = ? ORDER BY id",
    { run.id })
  local by_number = {}
  for _, task in ipairs(run.tasks) do by_number[task.number] = task end
  for row in db:each("SELECT number, element, state, reason, attempts, started, ended, key, origin FROM elements "
    .. "WHERE run_id = ? ORDER BY number, element", { run.id }) do
    local task = by_number[row.number]
    task.elements = task.elements or {}
    task.elements[row.element], row.number = row, nil
  end
  run.notes = db:rows("SELECT number, element, kind, title, body, file FROM notes WHERE run_id = ? ORDER BY number, "
    .. "element, id", { run.id })
  for _, one in ipairs(run.notes) do one.body = one.body and json.decode(one.body) end
  run.progress = db:rows("SELECT number, element, done, total, word FROM progress WHERE run_id = ?", { run.id })
  return run
end

--- Forget runs that ended before a moment, or whose folder is gone. Runs at work stay.
---@param db Database
---@param before? integer  ms since 1970; nil: those without a folder alone
---@param only_count? boolean  forget none
---@return integer removed
function record.prune(db, before, only_count)
  local removed = 0
  for _, run in ipairs(db:rows "SELECT id, folder, started, ended FROM runs WHERE state <> 'running'") do
    if before and (run.ended or run.started) < before or not files.exists(run.folder) then
      removed = removed + (only_count and 1 or db:run("DELETE FROM runs WHERE id = ?", { run.id }))
    end
  end
  return removed
end

return record
