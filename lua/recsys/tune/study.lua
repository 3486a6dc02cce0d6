--- A study: trials of one search space in flow.db, by any number of processes at once.
---
--- Who wants work asks: under the database's lock a trial is taken, one whose worker died before all others, else the
--- sampler makes one. A trial is `waiting`, `running`, and at its end `complete`, `pruned` or `failed`; an end is
--- committed at once, so a kill costs no completed trial, and final, but for pruned ones that the pruner takes up again
--- (recsys.tune.pruners) before a new one is made. A running trial names its process; when that is gone
--- (recsys.track.process) it waits to be tried again with the same values, 20 times at the most.

local clock = require "recsys.clock"
local current = require "recsys.tune.current"
local exit = require "recsys.exit"
local front = require "recsys.tune.front"
local importance = require "recsys.tune.importance"
local json = require "recsys.json"
local process = require "recsys.track.process"
local pruners = require "recsys.tune.pruners"
local random = require "recsys.tune.random"
local samplers = require "recsys.tune.samplers"
local space_of = require "recsys.tune.space"
local sql = require "recsys.sql"
local state = require "recsys.flow.state"
local trial_of = require "recsys.tune.trial"

local study = {}

local Study = { __name = "recsys.Study" }
Study.__index = Study

local ATTEMPTS <const> = 20 -- of a trial whose workers die; they may be killed with all of the study
local HOPELESS <const> = 20 -- trials, all of which failed, after which no more are made where nothing else counts them

local function check_directions(directions)
  if #directions == 0 then exit.usage_error "a study needs an objective: directions = { \"minimize\" }" end
  for _, direction in ipairs(directions) do
    if direction ~= "minimize" and direction ~= "maximize" then
      exit.usage_error("a direction is minimize or maximize, not '%s'", tostring(direction))
    end
  end
end

--- What differs between the space that a study was begun with and ours: "x: 0 to 1, not 0 to 2".
local function differences(self, text)
  local before, list = space_of.read(text), {}
  for _, name in ipairs(before.names) do
    local was, is = before.dimensions[name], self.space.dimensions[name]
    if not is then
      list[#list + 1] = ("%s is missing"):format(name)
    elseif space_of.new({ [name] = was }):text() ~= space_of.new({ [name] = is }):text() then
      list[#list + 1] = ("%s was %s, not %s"):format(name, tostring(was), tostring(is))
    end
  end
  for _, name in ipairs(self.space.names) do
    if not before.dimensions[name] then list[#list + 1] = ("%s is new"):format(name) end
  end
  return table.concat(list, ", ")
end

--- Refuse to go on with a study under other conditions.
local function check_same(self, row, compare)
  local unlike
  if row.settings ~= json.encode(self.settings) then
    unlike = compare and compare(json.decode(row.settings)) or not compare and "" or nil
  end
  local what = row.space ~= self.space:text() and "another search space"
    or row.directions ~= json.encode(self.directions) and "other objectives"
    or unlike and "other settings" or row.seed ~= self.seed and "another seed"
  if not what then return end
  local how = what == "another search space" and differences(self, row.space) or what == "other settings" and unlike
  local more = how and how ~= "" and (" (%s)"):format(how) or ""
  exit.usage_error("the study '%s' was begun with %s%s; take these, or another name", self.name, what, more)
end

--- The study's row, made when there is none.
local function enter(self, compare)
  local row = self.db:row("SELECT * FROM studies WHERE name = ?", { self.name })
  if row then
    if not self.attached then check_same(self, row, compare) end
  else
    self.db:run("INSERT INTO studies (name, directions, space, seed, settings, created) VALUES (?, ?, ?, ?, ?, ?)",
      { self.name, json.encode(self.directions), self.space:text(), self.seed, json.encode(self.settings),
        clock.now() })
    row = self.db:row("SELECT * FROM studies WHERE name = ?", { self.name })
  end
  self.id, self.run_id = row.study_id, row.run_id
end

--- Open a study, or begin it.
---@param request { name: string, search: table<string, Dimension>, directions?: string[], store?: string,
---  sampler?: string, sampler_options?: table, pruner?: string, pruner_options?: table, seed?: integer,
---  settings?: table, compare?: fun(before: table): string?, process?: string, first?: table<string, any> }
---   directions: one for each objective, default { "minimize" }; store: the folder of flow.db, default "artifacts", or
---   ":memory:"; sampler: "tpe" (default), "random", "halton" or "grid"; pruner: "none" (default), "median", "asha",
---   "hyperband" or "patience"; settings: plain data that all processes of the study share;
---   compare: what differs in settings that the study was begun with, nil: nothing; default: they are to be the same;
---   process: whose trials are worked on here, default this process's;
---   first: the values of the first trial, in the place of the sampler's: those that one would take without a search
---@return Study  raises { code = "usage" } when there is one of that name with another space, objectives or settings
function study.open(request)
  if type(request.name) ~= "string" or #request.name > 200 or not request.name:match "^[%w_][%w_%.%-]*$" then
    exit.usage_error("the name of a study is of letters, digits, _, - and ., not '%s'", tostring(request.name))
  end
  local self = setmetatable({ name = request.name, space = space_of.new(request.search),
    directions = request.directions or { "minimize" }, seed = request.seed or 1, settings = request.settings or {},
    sampler = samplers.new(request.sampler or "tpe", request.sampler_options), first = request.first,
    attached = request.attached, process = request.process or process.name(), ended = {} }, Study)
  self.pruner, self.promoter = pruners.new(request.pruner or "none", request.pruner_options)
  check_directions(self.directions)
  if self.pruner and #self.directions > 1 then
    exit.usage_error "a pruner goes by one objective; this study has several"
  end
  self.db = state.open(request.store or "artifacts")
  self.db:transaction(enter, self, request.compare)
  return self
end

--- Open a study that there is, as it was begun.
---@param request { name: string, store: string, pruner?: string, pruner_options?: table, sampler?: string,
---  sampler_options?: table, process?: string }
---@return Study
function study.attach(request)
  local db <close> = state.open(request.store)
  local row = db:row("SELECT * FROM studies WHERE name = ?", { request.name })
  if not row then exit.usage_error("there is no study '%s' in %s/flow.db", request.name, request.store) end
  return study.open { name = request.name, store = request.store, search = space_of.read(row.space).dimensions,
    directions = json.decode(row.directions), seed = row.seed, settings = json.decode(row.settings),
    sampler = request.sampler, sampler_options = request.sampler_options, pruner = request.pruner,
    pruner_options = request.pruner_options, process = request.process, attached = true }
end

-- Reading -------------------------------------------------------------------------------------------------------------

local function read_params(self, id)
  local params = {}
  for row in self.db:each("SELECT name, value FROM trial_params WHERE trial_id = ?", { id }) do
    params[row.name] = self.space.dimensions[row.name]:read(row.value)
  end
  return params
end

local function read_trial(self, row)
  local trial = { id = row.trial_id, number = row.number, name = "trial_" .. row.number, state = row.state,
    process = row.process, attempts = row.attempts, started = row.started, ended = row.ended, message = row.message,
    promoted = row.promoted, params = read_params(self, row.trial_id), values = {}, intermediate = {} }
  for value in self.db:each("SELECT objective, value FROM trial_values WHERE trial_id = ?", { trial.id }) do
    trial.values[value.objective] = value.value
  end
  for report in self.db:each("SELECT step, value FROM trial_reports WHERE trial_id = ?", { trial.id }) do
    trial.intermediate[report.step] = report.value
    trial.last_step = math.max(trial.last_step or report.step, report.step)
  end
  return trial
end

local over = { complete = true, pruned = true, failed = true }

--- All trials, by number.
---@return { number: integer, name: string, state: string, params: table, values: number[], intermediate: table,
---  last_step: integer?, message: string?, attempts: integer, started: integer?, ended: integer? }[]
function Study:trials()
  local list = {}
  for i, row in ipairs(self.db:rows("SELECT * FROM trials WHERE study_id = ? ORDER BY number", { self.id })) do
    local trial = self.ended[row.trial_id]
    if not trial or trial.state ~= row.state or trial.promoted ~= row.promoted then trial = read_trial(self, row) end
    self.ended[trial.id] = over[trial.state] and trial or nil
    list[i] = trial
  end
  return list
end

--- The best completed trial; of several objectives one of the front's.
---@return table?
function Study:best()
  return front.pareto(self:trials(), self.directions)[1]
end

--- The completed trials that no other one beats in all objectives.
---@return table[]
function Study:front()
  return front.pareto(self:trials(), self.directions)
end

--- How much of the objective's variance each parameter accounts for by itself, see recsys.tune.importance.
---@param objective? integer  default 1
---@return { name: string, share: number }[]?  nil, message where too few trials are complete
function Study:importance(objective)
  return importance.of(self.space, self:trials(), objective or 1, self.seed)
end

-- Asking --------------------------------------------------------------------------------------------------------------

--- Give the trials of processes that are gone back to those who ask, but for those that are held.
local function reclaim(self, held)
  local running = self.db:rows([[SELECT trial_id, process, attempts FROM trials
    WHERE study_id = ? AND state = 'running']], { self.id })
  for _, row in ipairs(running) do
    if not held[row.trial_id] and row.process ~= self.process and process.is_gone(row.process) then
      local again = row.attempts < ATTEMPTS
      self.db:run("UPDATE trials SET state = ?, process = NULL, ended = ?, message = ? WHERE trial_id = ?",
        { again and "waiting" or "failed", again and sql.null or clock.now(),
          not again and ("its worker died, %d times"):format(row.attempts) or sql.null, row.trial_id })
    end
  end
end

--- Whether one of some losses is as good as others in all objectives.
local function is_reached(losses, before)
  for _, other in ipairs(before) do
    local as_good = true
    for i, loss in ipairs(losses) do as_good = as_good and other[i] <= loss end
    if as_good then return true end
  end
  return false
end

--- Whether the last so many trials that ended brought nothing better, in the order of their ends: of several objectives
--- nothing that belonged to the front.
local function is_flat(self, trials, plateau)
  local ended, best, since = {}, {}, 0
  for _, trial in ipairs(trials) do
    if over[trial.state] then ended[#ended + 1] = trial end
  end
  table.sort(ended, function(a, b)
    if a.ended ~= b.ended then return a.ended < b.ended end
    return a.number < b.number
  end)
  for _, trial in ipairs(ended) do
    local losses = trial.state == "complete" and front.losses(trial, self.directions)
    since = since + 1
    if losses and not is_reached(losses, best) then best[#best + 1], since = losses, 0 end
  end
  return since >= plateau
end

--- Whether many trials were tried and all have failed.
local function is_hopeless(trials)
  if #trials < HOPELESS then return false end
  for _, trial in ipairs(trials) do
    if trial.state ~= "failed" then return false end
  end
  return true
end

local function take_waiting(self)
  local row = self.db:row([[SELECT trial_id FROM trials WHERE study_id = ? AND state = 'waiting'
    ORDER BY number LIMIT 1]], { self.id })
  if not row then return nil end
  self.db:run([[UPDATE trials SET state = 'running', process = ?, attempts = attempts + 1, started = ?, heard = ?
    WHERE trial_id = ?]], { self.process, clock.now(), clock.now(), row.trial_id })
  return row.trial_id
end

--- Whether the process that has pruned a trial is done with its run; a worker is at that for a moment yet.
local function is_left(self, trial)
  return trial.process == self.process or not trial.process or process.is_gone(trial.process)
end

--- Take up a pruned trial again, where it is among the best by now; at the end, where no trial would be complete, the
--- one that came furthest.
local function promote(self, trials, at_end, held)
  if not self.promoter then return nil end
  local sign = self.directions[1] == "maximize" and -1 or 1
  local found = at_end ~= "seconds" and self.promoter(trials, sign, self.seed)
    or at_end and pruners.furthest(trials, sign) or nil
  if not found or held[found.id] or not is_left(self, found) then return nil end
  self.db:run([[UPDATE trials SET state = 'running', process = ?, promoted = ?, message = NULL, started = ?, heard = ?,
    ended = NULL WHERE trial_id = ?]], { self.process, found.last_step, clock.now(), clock.now(), found.id })
  return found.id
end

local function make(self, trials)
  local number = #trials
  local values = number == 0 and self.first or self.sampler { space = self.space, number = number, seed = self.seed,
    directions = self.directions, random = random.new(self.seed, number), trials = trials }
  if not values then return nil end
  self.db:run([[INSERT INTO trials (study_id, number, state, process, attempts, started, heard)
    VALUES (?, ?, 'running', ?, 1, ?, ?)]], { self.id, number, self.process, clock.now(), clock.now() })
  local id = self.db:last_id()
  for name, value in pairs(values) do
    self.db:run("INSERT INTO trial_params VALUES (?, ?, ?)", { id, name, json.encode(value) })
  end
  return id
end

--- Why no new trial is to be made; nil while there may be one.
local function end_of(self, trials, budget)
  return budget.is_over and "seconds" or budget.trials and #trials >= budget.trials and "trials"
    or budget.plateau and is_flat(self, trials, budget.plateau) and "plateau"
    or not budget.trials and is_hopeless(trials) and "failures" or nil
end

local function next_id(self, budget)
  local held = budget.held or {}
  reclaim(self, held)
  local waiting = not budget.is_over and take_waiting(self)
  if waiting then return waiting end
  local trials = self:trials()
  local why = end_of(self, trials, budget)
  local id = why ~= "plateau" and promote(self, trials, why, held)
  if id or why then return id or nil, why end
  id = make(self, trials)
  if id then return id end
  return promote(self, trials, "all is tried"), "all is tried"
end

--- The trial of an id, as this process's.
---@param id integer
---@return Trial
function Study:trial(id)
  local row = assert(self.db:row("SELECT * FROM trials WHERE trial_id = ? AND study_id = ?", { id, self.id }))
  return trial_of.new(self, read_trial(self, row))
end

--- Take a trial: one whose worker is gone, one that was pruned and is taken up again, or a new one.
---@param budget? { trials?: integer, plateau?: integer, is_over?: boolean, held?: table<integer, true> }
---   trials: how many the study may have, of all states; plateau: stop when so many trials that ended in a row brought
---   nothing better; is_over: no time is left, but for one of those that were pruned when none is complete; held: ids
---   of trials that whoever asks has yet to look at, since their processes may have ended
---@return Trial?
---@return string? why  "trials", "plateau", "seconds", "failures" or "all is tried" when there is none
function Study:ask(budget)
  local id, why = self.db:transaction(next_id, self, budget or {})
  if id then return self:trial(id) end
  return nil, why
end

-- Working -------------------------------------------------------------------------------------------------------------

--- Run the objective for one trial. One that asks test rows ends the study: no trial would do better.
local function attempt(trial, objective)
  local ok, result = current.selecting(objective, trial)
  if trial:is_over() then return end
  if ok then return trial:complete(result) end
  if type(result) == "table" and result.signal then
    trial:release()
    error(result, 0)
  end
  trial:fail(exit.message_of(result))
  if type(result) == "table" and result.code == "objective" then error(result, 0) end
end

--- Try one trial after another until the budget is spent.
---@param objective fun(trial: Trial): number|number[]  its value, or one for each objective; what it raises is
---  recorded, and the trial failed
---@param budget { trials?: integer, seconds?: number, plateau?: integer }
---@return string why  it ended: "trials", "seconds", "plateau", "all is tried", or "failures": all have failed
function Study:optimize(objective, budget)
  if not (budget.trials or budget.seconds or budget.plateau) then
    exit.usage_error "a study needs a budget: trials, seconds or plateau"
  end
  local began = clock.now()
  while true do
    local is_over = budget.seconds and clock.now() - began >= budget.seconds * 1000
    local trial, why = self:ask(is_over and { is_over = true } or budget)
    if not trial then return why end
    attempt(trial, objective)
  end
end

--- Close the database. Twice is fine.
function Study:close() self.db:close() end

Study.__close = Study.close

function Study.__tostring(self) return ("study %s"):format(self.name) end

--- Whether a store has a study of that name.
---@param store string
---@param name string
---@return boolean
function study.exists(store, name)
  local db <close> = state.open(store)
  return db:row("SELECT 1 FROM studies WHERE name = ?", { name }) ~= nil
end

--- The names of all studies of a store, the youngest first.
---@param store string
---@return string[]
function study.names(store)
  local db, names = state.open(store), {}
  for row in db:each "SELECT name FROM studies ORDER BY study_id DESC" do names[#names + 1] = row.name end
  db:close()
  return names
end

return study
