--- Carries out a declarative Jenkinsfile as a controller would, as far as one is needed to see its commands run.
---
--- Stages in their order with their conditions, `sh` by `sh -xe` with the parameters in the environment, catchError,
--- retry, credentials, `post`, and the build's result: a failing step fails it, failed tests make it unstable, after
--- which stages are left out where the options say so. What it does not know raises: nothing is passed over in silence.

local command = require "spec.support.command"

local jenkins_run = {}

local Build = {}
Build.__index = Build

local FAILED = {} -- what a failing step raises

local function first_of(statement, key)
  for _, value in ipairs(statement.arguments) do
    if value.key == key or not value.key then return value.value end
  end
end

local function named(statement, key)
  for _, value in ipairs(statement.arguments) do
    if value.key == key then return value.value end
  end
end

local function section(list, name)
  for _, statement in ipairs(list) do
    if statement.name == name then return statement end
  end
end

local rank = { SUCCESS = 0, UNSTABLE = 1, FAILURE = 2 }

function Build:worsen(result)
  if rank[result] > rank[self.result] then self.result = result end
  local stage = self.stages[#self.stages]
  if stage and rank[result] > rank[stage.result] then stage.result = result end
end

function Build:fail(format, ...)
  self.said[#self.said + 1] = format:format(...)
  error(FAILED, 0)
end

local function quoted(word) return "'" .. tostring(word):gsub("'", "'\\''") .. "'" end

--- The paths below the workspace that a list of Ant's patterns means.
function Build:matching(patterns)
  local found = {}
  local listed = command.run(("cd %s && find -L . -type f | sort"):format(quoted(self.workspace))).out
  for pattern in patterns:gmatch "[^,%s]+" do
    local lua = pattern:gsub("[%.%-%+%^%$%(%)%[%]%%]", "%%%0"):gsub("%*%*/?", "\1"):gsub("%*", "[^/]*")
      :gsub("\1", ".*")
    for path in listed:gmatch "%./([^\n]+)" do
      if path:match("^" .. lua .. "$") then found[#found + 1] = path end
    end
  end
  return found
end

-- Steps ---------------------------------------------------------------------------------------------------------------

local steps = {}

function steps.checkout() end -- the workspace is one already

function steps.sh(self, step)
  local script = self.scratch .. "/script.sh"
  command.write(script, first_of(step, "script"))
  local names = {}
  for name, value in pairs(self.environment) do names[#names + 1] = name .. "=" .. quoted(value) end
  table.sort(names)
  local ran = command.run(("cd %s && env -u RECSYS_BUILD -u OMP_NUM_THREADS %s sh -xe %s"):format(
    quoted(self.workspace), table.concat(names, " "), quoted(script)))
  local stage = self.stages[#self.stages]
  self.shells[#self.shells + 1] = { line = step.line, stage = stage and stage.name, code = ran.code, out = ran.out,
    err = ran.err }
  if ran.code ~= 0 then self:fail("line %d: exit code %d\n%s%s", step.line, ran.code, ran.out, ran.err) end
end

function steps.echo(self, step) self.said[#self.said + 1] = first_of(step, "message") end

function steps.retry(self, step)
  local most = math.tointeger(tonumber(first_of(step, "count")))
  for attempt = 1, most do
    local ok, problem = pcall(self.steps, self, step.block)
    if ok then return end
    if problem ~= FAILED or attempt == most then error(problem, 0) end
  end
end

function steps.catchError(self, step)
  local ok, problem = pcall(self.steps, self, step.block)
  if ok then return end
  if problem ~= FAILED then error(problem, 0) end
  self.said[#self.said + 1] = named(step, "message")
  self:worsen(named(step, "buildResult") or "FAILURE")
end

function steps.withCredentials(self, step)
  local added = {}
  for _, binding in ipairs(first_of(step, "bindings")) do
    local id, variable = named(binding.value, "credentialsId"), named(binding.value, "variable")
    assert(binding.value.name == "string", "only string(...) credentials are known here")
    self.environment[variable] = self.credentials[id] or self:fail("there is no credential '%s'", id)
    added[#added + 1] = variable
  end
  local ok, problem = pcall(self.steps, self, step.block)
  for _, variable in ipairs(added) do self.environment[variable] = nil end
  if not ok then error(problem, 0) end
end

function steps.junit(self, step)
  local tests, failed, found = 0, 0, self:matching(first_of(step, "testResults"))
  for _, path in ipairs(found) do
    local xml = command.read(self.workspace .. "/" .. path)
    tests = tests + select(2, xml:gsub("<testcase ", ""))
    failed = failed + select(2, xml:gsub("<failure ", "")) + select(2, xml:gsub("<error ", ""))
  end
  self.tests = { run = tests, failed = failed }
  if tests == 0 and named(step, "allowEmptyResults") ~= "true" then self:fail "there are no test results" end
  if failed > 0 then self:worsen "UNSTABLE" end
end

function steps.archiveArtifacts(self, step)
  local found = self:matching(first_of(step, "artifacts"))
  if #found == 0 and named(step, "allowEmptyArchive") ~= "true" then self:fail "there is nothing to archive" end
  for _, path in ipairs(found) do self.archived[path] = true end
end

function steps.emailext(self, step) self.mails[#self.mails + 1] = named(step, "subject") end

function Build:steps(list)
  for _, step in ipairs(list) do
    local carry_out = steps[step.name] or error(("line %d: no way to carry out '%s'"):format(step.line, step.name))
    carry_out(self, step)
  end
end

-- Conditions and stages -----------------------------------------------------------------------------------------------

local conditions = {}

function conditions.triggeredBy(self, one)
  return (named(one, "cause") or first_of(one, "type")) == self.trigger
end

conditions["not"] = function(self, one) return not self:holds(one.block[1]) end

function conditions.anyOf(self, one)
  for _, inner in ipairs(one.block) do
    if self:holds(inner) then return true end
  end
  return false
end

--- `params.NAME`, or `params.NAME != ''`.
function conditions.expression(self, one)
  local word = one.raw:match "^%s*(.-)%s*$"
  local name = word:match "^params%.([%w_]+)$"
  if name then return self.parameters[name] == true end
  name = word:match "^params%.([%w_]+) != ''$"
  if name then return self.parameters[name] ~= "" end
  error(("line %d: no way to evaluate %s"):format(one.line, word))
end

function Build:holds(one)
  local meets = conditions[one.name] or error(("line %d: no way to evaluate '%s'"):format(one.line, one.name))
  return meets(self, one)
end

local function all_hold(self, when)
  for _, one in ipairs(when and when.block or {}) do
    if not self:holds(one) then return false end
  end
  return true
end

--- Carry out what stands in post for these results; a failing step fails the build and ends its block.
function Build:post(list, result)
  for _, moment in ipairs(list) do
    if moment.name == "always" or moment.name == result:lower() then
      local ok, problem = pcall(self.steps, self, moment.block)
      if not ok and problem ~= FAILED then error(problem, 0) end
      if not ok then self:worsen "FAILURE" end
    end
  end
end

function Build:left_out()
  return self.result == "FAILURE" or self.result == "UNSTABLE" and self.skips_after_unstable
end

function Build:stage(stage)
  local name = first_of(stage, "name")
  local inner = section(stage.block, "stages")
  if self:left_out() or not all_hold(self, section(stage.block, "when")) then
    self.skipped[name] = true
    return
  end
  if inner then return self:run_stages(inner.block) end
  local told = { name = name, result = "SUCCESS" }
  self.stages[#self.stages + 1] = told
  local ok, problem = pcall(self.steps, self, section(stage.block, "steps").block)
  if not ok and problem ~= FAILED then error(problem, 0) end
  if not ok then self:worsen "FAILURE" end
  local post = section(stage.block, "post")
  if post then self:post(post.block, told.result) end
end

function Build:run_stages(list)
  for _, stage in ipairs(list) do self:stage(stage) end
end

--- Parameters by their names: what is given, else the default; of a choice the first.
local function parameters_of(pipeline, given)
  local values, known = {}, section(pipeline.block, "parameters")
  for _, one in ipairs(known and known.block or {}) do
    local name, default = named(one, "name"), named(one, "defaultValue")
    if one.name == "choice" then default = named(one, "choices")[1].value end
    if one.name == "booleanParam" then default = default == "true" end
    values[name] = default
    if given[name] ~= nil then values[name] = given[name] end
  end
  for name in pairs(given) do assert(values[name] ~= nil, "there is no parameter " .. name) end
  return values
end

--- Carry out a pipeline.
---@param pipeline table  of jenkinsfile.check
---@param options { workspace: string, scratch: string, number: integer, trigger: string, parameters?: table,
---  credentials?: table<string, string> }
---   trigger: "TimerTrigger", "SCMTrigger" or "UserIdCause"; scratch: a folder for the scripts
---@return { result: string, stages: table[], skipped: table, shells: table[], tests: table?, archived: table,
---  mails: string[], said: string[] }
function jenkins_run.build(pipeline, options)
  local self = setmetatable({ result = "SUCCESS", stages = {}, skipped = {}, shells = {}, archived = {}, mails = {},
    said = {}, workspace = options.workspace, scratch = options.scratch, trigger = options.trigger,
    credentials = options.credentials or {}, environment = {} }, Build)
  self.parameters = parameters_of(pipeline, options.parameters or {})
  for name, value in pairs(self.parameters) do self.environment[name] = tostring(value) end
  self.environment.BUILD_NUMBER, self.environment.WORKSPACE = tostring(options.number), options.workspace
  local settings = section(pipeline.block, "options")
  self.skips_after_unstable = settings and section(settings.block, "skipStagesAfterUnstable") ~= nil
  self:run_stages(section(pipeline.block, "stages").block)
  local post = section(pipeline.block, "post")
  self.stages[#self.stages + 1] = { name = "post", result = "SUCCESS" }
  if post then self:post(post.block, self.result) end
  return self
end

return jenkins_run
