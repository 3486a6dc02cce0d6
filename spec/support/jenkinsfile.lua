--- A strict check of a declarative Jenkinsfile, for want of a controller's linter.
---
--- It knows the declarative grammar: which sections, conditions, options, triggers, parameters and steps there are and
--- where, which must be there, that none stands twice or is empty, how many arguments of which kind they take, and
--- cron's fields. A step that it does not know is refused, so that a plugin's is added here on purpose. Beyond the
--- grammar it refuses an `sh` into whose text Groovy puts values: secrets would show, and a parameter would be code.

local cron = require "recsys.cron"
local groovy = require "spec.support.groovy"
local text = require "recsys.text"

local jenkinsfile = {}

local Check = {}
Check.__index = Check

local function set(words)
  local names = {}
  for word in words:gmatch "%S+" do names[word] = true end
  return names
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

function Check:problem(line, format, ...)
  self.problems[#self.problems + 1] = { line = line, message = format:format(...) }
end

--- Refuse a statement whose name is not allowed here, with the nearest that is.
function Check:known(statement, names, where)
  if names[statement.name] then return true end
  local near = text.nearest(statement.name, sorted(names))
  self:problem(statement.line, "'%s' may not stand in %s%s", statement.name, where,
    near and ("; did you mean '%s'?"):format(near) or "")
  return false
end

--- The statements of a block; an absent or empty one is a problem, and so are arguments before one that takes none.
function Check:block(statement, what, takes_arguments)
  if #statement.arguments > 0 and not takes_arguments then
    self:problem(statement.line, "%s takes no arguments, only a block", what)
  end
  if statement.value then self:problem(statement.line, "%s cannot be assigned", what) end
  if not statement.block then
    self:problem(statement.line, "%s needs a block: %s { ... }", what, statement.name)
  elseif #statement.block == 0 then
    self:problem(statement.line, "%s is empty", what)
  end
  return statement.block or {}
end

--- Refuse what stands twice.
function Check:once(list, where)
  local seen = {}
  for _, statement in ipairs(list) do
    if seen[statement.name] then
      self:problem(statement.line, "'%s' stands twice in %s, first in line %d", statement.name, where,
        seen[statement.name])
    end
    seen[statement.name] = seen[statement.name] or statement.line
  end
  return seen
end

-- Arguments -----------------------------------------------------------------------------------------------------------

--- What an argument must be: true when it is, or may be for all that can be seen.
local function is_kind(value, kind)
  if value.kind == "expression" or value.kind == "call" and kind ~= "call" then return kind ~= "literal" end
  if kind == "string" or kind == "literal" then return value.kind == "string" end
  if kind == "integer" then
    return value.kind == "number" and value.value:find "^%d+$" ~= nil and math.tointeger(tonumber(value.value)) ~= nil
  end
  if kind == "boolean" then return value.kind == "constant" and value.value ~= "null" end
  if kind == "choices" then return value.kind == "list" and #value.value > 0 or value.kind == "string" end
  return kind == "any" or kind == value.kind
end

local articles = { string = "a text", literal = "a text", integer = "a whole number", boolean = "true or false",
  list = "a list", choices = "a list of choices", call = "a call", any = "anything" }

--- Check arguments by their names. 'known' says of each what it is ("string!": it must be there); the first stands for
--- an argument without a name.
function Check:arguments(statement, first, known)
  local seen, name = {}, statement.name
  for _, value in ipairs(statement.arguments) do
    local key = value.key or first
    local kind = key and known[key]
    if not kind then
      local near = key and text.nearest(key, sorted(known))
      self:problem(value.line, "'%s' takes no %s%s", name, value.key and "'" .. key .. "'" or "argument",
        near and ("; did you mean '%s'?"):format(near) or "")
    elseif seen[key] then
      self:problem(value.line, "'%s' is given '%s' twice", name, key)
    elseif not is_kind(value, (kind:gsub("!", ""))) then
      self:problem(value.line, "'%s': %s must be %s, not %s", name, key, articles[kind:gsub("!", "")], value.text)
    end
    if key then seen[key] = value end
  end
  for key, kind in pairs(known) do
    if kind:find "!" and not seen[key] then self:problem(statement.line, "'%s' needs '%s'", name, key) end
    if kind:find "!" and seen[key] and seen[key].value == "" then
      self:problem(seen[key].line, "'%s': %s is empty", name, key)
    end
  end
  return seen
end

-- Options, triggers, parameters, environment --------------------------------------------------------------------------

local units = set "NANOSECONDS MICROSECONDS MILLISECONDS SECONDS MINUTES HOURS DAYS"

local function check_timeout(self, statement)
  local seen = self:arguments(statement, "time", { time = "integer!", unit = "string", activity = "boolean" })
  if seen.unit and seen.unit.kind == "string" and not units[seen.unit.value] then
    self:problem(seen.unit.line, "'timeout': there is no unit '%s'; there are %s", seen.unit.value,
      table.concat(sorted(units), ", "))
  end
end

local function check_discarder(self, statement)
  local strategy = self:arguments(statement, "strategy", { strategy = "call!" }).strategy
  if not strategy or strategy.kind ~= "call" then return end
  if not self:known(strategy.value, set "logRotator", "buildDiscarder") then return end
  if #strategy.value.arguments == 0 then self:problem(strategy.line, "'logRotator' says nothing to keep") end
  self:arguments(strategy.value, nil, { numToKeepStr = "string", daysToKeepStr = "string",
    artifactNumToKeepStr = "string", artifactDaysToKeepStr = "string" })
end

--- { first argument, known arguments } or a function of its own; {}: it takes none.
local options = {
  buildDiscarder = check_discarder, timeout = check_timeout, timestamps = {}, skipStagesAfterUnstable = {},
  skipDefaultCheckout = { "skip", { skip = "boolean" } }, retry = { "count", { count = "integer!" } },
  disableConcurrentBuilds = { nil, { abortPrevious = "boolean" } }, newContainerPerStage = {},
  preserveStashes = { nil, { buildCount = "integer" } }, quietPeriod = { "seconds", { seconds = "integer!" } },
  checkoutToSubdirectory = { "folder", { folder = "string!" } }, disableResume = {}, overrideIndexTriggers =
  { "enabled", { enabled = "boolean!" } }, parallelsAlwaysFailFast = {}, disableRestartFromStage = {},
  ansiColor = { "map", { map = "string!" } }, lock = { "resource", { resource = "string", label = "string" } },
}

local stage_options = set "skipDefaultCheckout timeout retry timestamps ansiColor lock"

function Check:by_table(statement, rules, takes_block)
  if statement.block and not takes_block then self:problem(statement.line, "'%s' takes no block", statement.name) end
  if statement.value then self:problem(statement.line, "'%s' cannot be assigned", statement.name) end
  local rule = rules[statement.name]
  if type(rule) == "function" then return rule(self, statement) end
  self:arguments(statement, rule[1], rule[2] or {})
end

local function check_options(self, section, allowed)
  local list = self:block(section, "options")
  self:once(list, "options")
  for _, option in ipairs(list) do
    if self:known(option, allowed or options, allowed and "a stage's options" or "options") then
      if not options[option.name] then error("no rule for " .. option.name) end
      self:by_table(option, options)
    end
  end
end

--- Lines of cron, with comments and TZ=.
local function check_cron(self, statement)
  local spec = self:arguments(statement, "spec", { spec = "literal!" }).spec
  if not spec or spec.kind ~= "string" then return end
  for line in spec.value:gmatch "[^\n]+" do
    line = line:match "^%s*(.-)%s*$"
    if line ~= "" and not line:find "^#" and not line:find "^TZ=%S+$" then
      local ok, message = cron.parse(line, { hash = true })
      if not ok then self:problem(spec.line, "'%s': %s", statement.name, message) end
    end
  end
end

local triggers = { cron = check_cron, pollSCM = check_cron, githubPush = {},
  upstream = { "upstreamProjects", { upstreamProjects = "string!", threshold = "any" } } }

local function check_triggers(self, section)
  local list = self:block(section, "triggers")
  self:once(list, "triggers")
  for _, trigger in ipairs(list) do
    if self:known(trigger, triggers, "triggers") then self:by_table(trigger, triggers) end
  end
end

local function parameter(kind, more)
  local known = { name = "literal!", defaultValue = kind, description = "string" }
  for key, value in pairs(more or {}) do known[key] = value end
  return { nil, known }
end

local parameters = { string = parameter("string", { trim = "boolean" }),
  text = parameter("string", { trim = "boolean" }),
  booleanParam = parameter "boolean", password = parameter "string", file = parameter "any",
  choice = { nil, { name = "literal!", choices = "choices!", description = "string" } } }

local function check_parameters(self, section)
  local seen = {}
  for _, one in ipairs(self:block(section, "parameters")) do
    if self:known(one, parameters, "parameters") then
      self:by_table(one, parameters)
      for _, value in ipairs(one.arguments) do
        if value.key == "name" and seen[value.value] then
          self:problem(value.line, "there are two parameters '%s', the first in line %d", value.value,
            seen[value.value])
        end
        if value.key == "name" then seen[value.value] = seen[value.value] or value.line end
      end
    end
  end
end

--- Whether an expression may be a variable's value: texts, names and calls, put together by + alone.
local function is_joined(value)
  local first = value.text:sub(1, 1)
  local bare = value.text:gsub("'[^'\n]*'", ""):gsub('"[^"\n]*"', "")
  return not first:find "%d" and not bare:find "[%-*/%%<>?:{}]"
end

local function check_environment(self, section)
  local list = self:block(section, "environment")
  self:once(list, "environment")
  for _, one in ipairs(list) do
    if not one.value then
      self:problem(one.line, "'%s' is no NAME = value", one.name)
    elseif one.value.kind == "call" then
      if self:known(one.value.value, set "credentials", "a value of environment") then
        self:arguments(one.value.value, "id", { id = "literal!" })
      end
    elseif one.value.kind ~= "string" and not (one.value.kind == "expression" and is_joined(one.value)) then
      self:problem(one.line, "'%s' must be a text or credentials(...), not %s", one.name, one.value.text)
    end
  end
end

-- Agents --------------------------------------------------------------------------------------------------------------

local label = { "label", { label = "string!" } }
local agents = { label = label, node = "block", docker = "block", dockerfile = "block", kubernetes = "block" }
local agent_words = set "any none"
local inner_agent = set ("label customWorkspace image args registryUrl registryCredentialsId alwaysPull reuseNode "
  .. "filename dir additionalBuildArgs yaml yamlFile cloud inheritFrom defaultContainer")

local function check_agent(self, section)
  if not section.block then
    local word = section.arguments[1]
    if #section.arguments ~= 1 or not agent_words[word.text] then
      self:problem(section.line, "'agent' takes any, none or a block such as { label 'debian-12' }%s",
        word and ", not " .. word.text or "")
    end
    return
  end
  if #section.arguments > 0 then self:problem(section.line, "'agent' takes arguments or a block, not both") end
  local list = self:block(section, "agent")
  if #list > 1 then self:problem(list[2].line, "'agent' takes one kind of agent") end
  for _, one in ipairs(list) do
    if self:known(one, agents, "agent") then
      if not one.block then
        local takes = one.name == "dockerfile" and { "use", { use = "boolean!" } } or { "name", { name = "string!" } }
        self:arguments(one, takes[1], takes[2])
      else
        local inner = self:block(one, one.name)
        local named = self:once(inner, one.name)
        local needed = one.name == "docker" and "image" or one.name == "node" and "label"
        if needed and not named[needed] then self:problem(one.line, "'%s' needs '%s'", one.name, needed) end
        for _, detail in ipairs(inner) do
          self:known(detail, inner_agent, one.name)
          local word = detail.arguments[1]
          if detail.name == "filename" and word and tostring(word.value):find("/", 1, true) then
            self:problem(detail.line, "'filename' is a name without a folder: 'dir' says the folder")
          end
        end
      end
    end
  end
end

-- Steps ---------------------------------------------------------------------------------------------------------------

local results = set "SUCCESS UNSTABLE FAILURE NOT_BUILT ABORTED"

local function check_shell(self, statement)
  local seen = self:arguments(statement, "script", { script = "string!", label = "string", returnStatus = "boolean",
    returnStdout = "boolean", encoding = "string" })
  local script = seen.script
  if script and (script.inserts or script.kind ~= "string") then
    self:problem(script.line, "'%s': Groovy puts values into the command, where secrets show and parameters become "
      .. "code: use single quotes and the shell's own variables", statement.name)
  end
end

local function check_results(self, statement)
  local seen = self:arguments(statement, "message", { buildResult = "string", stageResult = "string",
    message = "string", catchInterruptions = "boolean" })
  for _, key in ipairs { "buildResult", "stageResult" } do
    local value = seen[key]
    if value and value.kind == "string" and not results[value.value] then
      self:problem(value.line, "'%s': there is no result '%s'; there are %s", statement.name, value.value,
        table.concat(sorted(results), ", "))
    end
  end
end

local bindings = { string = { credentialsId = "literal!", variable = "literal!" },
  file = { credentialsId = "literal!", variable = "literal!" },
  usernamePassword = { credentialsId = "literal!", usernameVariable = "literal!", passwordVariable = "literal!" },
  sshUserPrivateKey = { credentialsId = "literal!", keyFileVariable = "literal!", usernameVariable = "string",
    passphraseVariable = "string" } }

local function check_credentials(self, statement)
  local list = self:arguments(statement, "bindings", { bindings = "list!" }).bindings
  for _, value in ipairs(list and list.kind == "list" and list.value or {}) do
    if value.kind ~= "call" then
      self:problem(value.line, "'withCredentials': %s is no binding such as string(...)", value.text)
    elseif self:known(value.value, bindings, "withCredentials") then
      self:arguments(value.value, nil, bindings[value.value.name])
    end
  end
end

--- Steps that are followed by a block.
local around = { catchError = check_results, withCredentials = check_credentials, timeout = check_timeout,
  retry = { "count", { count = "integer!", conditions = "list" } }, dir = { "path", { path = "string!" } },
  warnError = { "message", { message = "string!" } }, withEnv = { "overrides", { overrides = "list!" } },
  timestamps = {}, ansiColor = { "map", { map = "string!" } }, node = { "label", { label = "string" } },
  lock = { "resource", { resource = "string!", quantity = "integer" } } }

local steps = {
  sh = check_shell, bat = check_shell, pwsh = check_shell, powershell = check_shell,
  echo = { "message", { message = "string!" } }, error = { "message", { message = "string!" } },
  unstable = { "message", { message = "string!" } }, sleep = { "time", { time = "integer!", unit = "string" } },
  checkout = { "scm", { scm = "any!", changelog = "boolean", poll = "boolean" } },
  git = { "url", { url = "string!", branch = "string", credentialsId = "string" } }, deleteDir = {},
  cleanWs = { nil, { deleteDirs = "boolean", notFailBuild = "boolean", patterns = "list" } },
  junit = { "testResults", { testResults = "string!", allowEmptyResults = "boolean", skipPublishingChecks = "boolean",
    skipMarkingBuildUnstable = "boolean", healthScaleFactor = "any", keepLongStdio = "boolean",
    keepTestNames = "boolean" } },
  archiveArtifacts = { "artifacts", { artifacts = "string!", excludes = "string", allowEmptyArchive = "boolean",
    fingerprint = "boolean", onlyIfSuccessful = "boolean", followSymlinks = "boolean", caseSensitive = "boolean",
    defaultExcludes = "boolean" } },
  fingerprint = { "targets", { targets = "string!" } }, milestone = { "ordinal", { ordinal = "integer" } },
  stash = { "name", { name = "string!", includes = "string", excludes = "string", allowEmpty = "boolean" } },
  unstash = { "name", { name = "string!" } }, input = { "message", { message = "string!", ok = "string" } },
  mail = { nil, { to = "string!", subject = "string!", body = "string!", cc = "string", from = "string" } },
  emailext = { nil, { to = "string", subject = "string!", body = "string!", recipientProviders = "list",
    attachLog = "boolean", mimeType = "string" } },
  writeFile = { nil, { file = "string!", text = "string!", encoding = "string" } },
  build = { "job", { job = "string!", wait = "boolean", propagate = "boolean", parameters = "list" } },
  script = true,
}

local step_names = {}
for name in pairs(steps) do step_names[name] = true end
for name in pairs(around) do step_names[name] = true end

local function check_steps(self, list)
  for _, step in ipairs(list) do
    if self:known(step, step_names, "steps") then
      if step.name == "script" then
        if not (step.raw or ""):find "%S" then self:problem(step.line, "'script' is empty") end
      else
        self:by_table(step, around[step.name] and around or steps, around[step.name] ~= nil)
        if around[step.name] then check_steps(self, self:block(step, "'" .. step.name .. "'", true)) end
      end
    end
  end
end

-- Stages --------------------------------------------------------------------------------------------------------------

local nested = set "not allOf anyOf"
local conditions = { branch = { "pattern", { pattern = "string!", comparator = "string" } }, buildingTag = {},
  changelog = { "pattern", { pattern = "string!" } }, changeset = { "pattern", { pattern = "string!" } },
  changeRequest = { nil, { target = "string", branch = "string", id = "string", author = "string" } },
  environment = { nil, { name = "string!", value = "string!" } },
  equals = { nil, { expected = "any!", actual = "any!" } },
  tag = { "pattern", { pattern = "string", comparator = "string" } },
  triggeredBy = { "type", { type = "string", cause = "string", detail = "string" } },
  beforeAgent = { "yes", { yes = "boolean!" } }, beforeInput = { "yes", { yes = "boolean!" } },
  beforeOptions = { "yes", { yes = "boolean!" } }, expression = true, ["not"] = true, allOf = true, anyOf = true }

local function check_conditions(self, section)
  local list = self:block(section, "'" .. section.name .. "'")
  if section.name == "not" and #list > 1 then self:problem(list[2].line, "'not' takes one condition") end
  for _, one in ipairs(list) do
    if self:known(one, conditions, section.name) then
      if nested[one.name] then
        check_conditions(self, one)
      elseif one.name == "expression" then
        if not (one.raw or ""):find "%S" then self:problem(one.line, "'expression' is empty") end
      else
        self:by_table(one, conditions)
        if one.name == "triggeredBy" and #one.arguments == 0 then
          self:problem(one.line, "'triggeredBy' needs a type")
        end
      end
    end
  end
end

local moments = set "always changed fixed regression aborted failure success unstable unsuccessful cleanup"

local function check_post(self, section)
  local list = self:block(section, "post")
  self:once(list, "post")
  for _, moment in ipairs(list) do
    if self:known(moment, moments, "post") then check_steps(self, self:block(moment, "'" .. moment.name .. "'")) end
  end
end

local function check_tools(self, section)
  for _, tool in ipairs(self:block(section, "tools")) do self:arguments(tool, "name", { name = "string!" }) end
end

local check_stages

local function check_input(self, section)
  local known = { message = "string!", id = "string", ok = "string", submitter = "string",
    submitterParameter = "string" }
  local list = self:block(section, "input")
  local seen = self:once(list, "input")
  for _, field in ipairs(list) do
    if field.name == "parameters" then
      check_parameters(self, field)
    elseif self:known(field, known, "input") then
      self:arguments(field, "text", { text = "string!" })
    end
  end
  if #list > 0 and not seen.message then self:problem(section.line, "input needs 'message'") end
end

--- An axis of a matrix, or of what it leaves out.
local function check_axis(self, axis)
  local list = self:block(axis, "axis")
  local seen = self:once(list, "axis")
  for _, field in ipairs(list) do
    if self:known(field, set "name values notValues", "axis") then
      local values = {}
      if #field.arguments == 0 then self:problem(field.line, "'%s' of an axis is empty", field.name) end
      for _, value in ipairs(field.arguments) do
        if value.kind ~= "string" or value.value == "" then
          self:problem(value.line, "'%s' of an axis must be a text, not %s", field.name, value.text)
        elseif values[value.value] then
          self:problem(value.line, "'%s' stands twice in an axis", value.value)
        end
        values[value.value] = true
      end
    end
  end
  if not seen.name then self:problem(axis.line, "axis needs 'name'") end
  if not seen.values and not seen.notValues then self:problem(axis.line, "axis needs 'values'") end
end

local function check_axes(self, section)
  local names = {}
  for _, axis in ipairs(self:block(section, section.name)) do
    if self:known(axis, set "axis", section.name) then
      check_axis(self, axis)
      for _, field in ipairs(axis.block or {}) do
        local name = field.name == "name" and field.arguments[1] and field.arguments[1].value
        if name and names[name] then self:problem(field.line, "there are two axes '%s'", name) end
        if name then names[name] = true end
      end
    end
  end
end

local function check_matrix(self, section)
  local list = self:block(section, "matrix")
  local seen = self:once(list, "matrix")
  for _, name in ipairs { "axes", "stages" } do
    if #list > 0 and not seen[name] then self:problem(section.line, "matrix needs '%s'", name) end
  end
  local parts = { axes = check_axes, stages = check_stages, agent = check_agent, environment = check_environment,
    when = check_conditions, post = check_post, tools = check_tools, input = check_input,
    options = function(_, one) check_options(self, one, stage_options) end,
    excludes = function(_, one)
      for _, exclude in ipairs(self:block(one, "excludes")) do
        if self:known(exclude, set "exclude", "excludes") then check_axes(self, exclude) end
      end
    end }
  for _, part in ipairs(list) do
    if self:known(part, parts, "matrix") then parts[part.name](self, part) end
  end
end

--- Check what stands in parallel or matrix, which hold neither of them again.
local function check_within(self, section, check)
  local outer = self.within
  self.within = outer or section.name
  check(self, section)
  self.within = outer
end

local stage_sections = set "agent environment tools input when options post steps stages parallel matrix failFast"
local works = { "steps", "stages", "parallel", "matrix" }

local function check_work(self, stage, seen)
  local found = {}
  for _, name in ipairs(works) do
    if seen[name] then found[#found + 1] = name end
  end
  if #found == 0 then self:problem(stage.line, "the stage has nothing to do: it needs steps { ... }") end
  if #found > 1 then self:problem(stage.line, "the stage has %s: one is allowed", table.concat(found, " and ")) end
  local several = seen.parallel and "parallel" or seen.matrix and "matrix"
  if not several then return end
  for _, name in ipairs { "agent", "tools" } do
    if seen[name] then self:problem(seen[name], "a stage with '%s' has no '%s' of its own", several, name) end
  end
  if self.within then self:problem(stage.line, "'%s' may not stand within '%s'", several, self.within) end
end

local stage_checks = {
  agent = check_agent, environment = check_environment, tools = check_tools, when = check_conditions,
  options = function(self, section) check_options(self, section, stage_options) end, post = check_post,
  steps = function(self, section) check_steps(self, self:block(section, "steps")) end,
  stages = function(self, section) check_stages(self, section) end,
  parallel = function(self, section) check_within(self, section, check_stages) end,
  matrix = function(self, section) check_within(self, section, check_matrix) end, input = check_input,
  failFast = function(self, section) self:arguments(section, "yes", { yes = "boolean!" }) end,
}

local function check_stage(self, stage)
  local name = self:arguments(stage, "name", { name = "literal!" }).name
  if name and name.kind == "string" and name.value ~= "" then
    if self.stages[name.value] then
      self:problem(name.line, "there are two stages '%s', the first in line %d", name.value, self.stages[name.value])
    end
    self.stages[name.value] = self.stages[name.value] or name.line
  end
  local list = self:block(stage, "the stage", true)
  if #list == 0 then return end
  check_work(self, stage, self:once(list, "the stage"))
  for _, section in ipairs(list) do
    if self:known(section, stage_sections, "a stage") and stage_checks[section.name] then
      stage_checks[section.name](self, section)
    end
  end
end

function check_stages(self, section)
  for _, stage in ipairs(self:block(section, section.name)) do
    if self:known(stage, set "stage", section.name) then check_stage(self, stage) end
  end
end

local sections = { agent = check_agent, stages = check_stages, environment = check_environment, tools = check_tools,
  options = check_options, parameters = check_parameters, triggers = check_triggers, post = check_post,
  libraries = function(self, section)
    for _, one in ipairs(self:block(section, "libraries")) do
      if self:known(one, set "lib", "libraries") then self:arguments(one, "name", { name = "literal!" }) end
    end
  end }

local function check_pipeline(self, pipeline)
  local list = self:block(pipeline, "pipeline")
  local seen = self:once(list, "pipeline")
  for _, name in ipairs { "agent", "stages" } do
    if not seen[name] then self:problem(pipeline.line, "pipeline needs '%s'", name) end
  end
  for _, section in ipairs(list) do
    if self:known(section, sections, "pipeline") then sections[section.name](self, section) end
  end
end

--- The tree of a Jenkinsfile, and what is wrong with it.
---@param source string
---@return table? pipeline  the statement `pipeline { ... }`; nil when it cannot be parsed
---@return { line: integer, message: string }[] problems  in the order of lines; none when the file is right
function jenkinsfile.check(source)
  local ok, list = pcall(groovy.parse, source)
  if not ok then
    if type(list) ~= "table" then error(list, 0) end
    return nil, { list }
  end
  local self = setmetatable({ problems = {}, stages = {} }, Check)
  local pipeline
  for _, statement in ipairs(list) do
    if statement.name ~= "pipeline" then
      self:known(statement, set "pipeline", "the file itself")
    elseif pipeline then
      self:problem(statement.line, "'pipeline' stands twice")
    else
      pipeline = statement
    end
  end
  if pipeline then check_pipeline(self, pipeline) else self:problem(1, "there is no pipeline { ... }") end
  table.sort(self.problems, function(a, b) return a.line < b.line or a.line == b.line and a.message < b.message end)
  return pipeline, self.problems
end

return jenkinsfile
