--- Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a quality gate refused, 75 worth retrying,
--- 128+n by signal n.
---
--- Whoever ends a command early raises a table { code = word, message = text }; the word decides the exit code.

local exit = { done = 0, failed = 1, usage = 2, quality = 3, retry = 75 }

local codes = { usage = exit.usage, config = exit.usage, objective = exit.usage, quality = exit.quality,
  leak = exit.quality, retry = exit.retry, busy = exit.retry }

--- Stop with a usage error: exit code 2.
function exit.usage_error(format, ...)
  error({ code = "usage", message = format:format(...) }, 0)
end

--- "recipes/two_tower.lua:68": the line that runs at this level of the caller's stack, where Lua knows it.
---@param level integer  1: the caller itself
---@return string?
function exit.line(level)
  local info = debug.getinfo(level + 1, "Sl")
  return info and info.currentline > 0 and ("%s:%d"):format(info.short_src, info.currentline) or nil
end

--- Call fn(...), whose arguments come from the command line: what it refuses by one of MLflow's codes, such as
--- "INVALID_PARAMETER_VALUE", is a usage error.
function exit.asked(fn, ...)
  local function ended(ok, problem, ...)
    if ok then return problem, ... end
    local code = type(problem) == "table" and problem.code
    if type(code) == "string" and code:find "^%u[%u_]+$" then exit.usage_error("%s", problem.message) end
    error(problem, 0)
  end
  return ended(pcall(fn, ...))
end

--- The exit code of something raised.
---@param problem any       a table { code, message, exit?, signal? }, or anything else
---@return integer
function exit.code_of(problem)
  if type(problem) ~= "table" then return exit.failed end
  if problem.signal then return 128 + problem.signal end
  return problem.exit or codes[problem.code] or exit.failed
end

--- Call fn(...), and take what it raises as an answer; but a signal goes on, for it is meant for the whole program.
---@return boolean ok, any ...  as pcall
function exit.try(fn, ...)
  local function ended(ok, problem, ...)
    if not ok and type(problem) == "table" and problem.signal then error(problem, 0) end
    return ok, problem, ...
  end
  return ended(pcall(fn, ...))
end

--- What people read about something raised.
---@return string
function exit.message_of(problem)
  if type(problem) == "table" and problem.message then return tostring(problem.message) end
  local plain = type(problem) == "table" and not getmetatable(problem)
  return (plain or problem == nil) and "an error without a message" or tostring(problem)
end

--- Message handler for xpcall: a described refusal stays as it is; anything else is a bug, and becomes a table with
--- its message and, beside it, its traceback.
function exit.traced(problem)
  if type(problem) == "table" then return problem end
  local traceback = debug.traceback("", 2):gsub("^\n", "")
  return { code = "failed", message = exit.message_of(problem), traceback = traceback }
end

return exit
