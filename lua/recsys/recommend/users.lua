--- Recommendations of a published model for a file of users: `recsys-run recommend BUNDLE --users FILE --out FILE`
--- (docs/serving.md, "In bulk").

local core = require "recsys.core"
local text = require "recsys.text"
local uv = require "luv"

local users = {}

local QUIET_S <const> = 10 -- between lines of progress that nobody watches

--- What a file of users holds: by its name, or a request's brace at its beginning.
---@return string format  "ids", "csv", "jsonl"
local function format_of(path)
  local ending = (path:match "%.(%w+)$" or ""):lower()
  if ending == "csv" then return "csv" end
  if ending == "jsonl" or ending == "ndjson" then return "jsonl" end
  local file = io.open(path, "rb")
  local first = file and file:read(4096) or ""
  if file then file:close() end
  return first:gsub("^\xEF\xBB\xBF", ""):match "^%s*{" and "jsonl" or "ids"
end

--- What the answers are a function of: a batch goes on from a file that was begun with the same.
local function key_of(model, request)
  local hash, message, code = core.frame.hash_file(request.users)
  if not hash then return nil, message, code end
  local parts = { model:digest(), hash, request.format, request.to, request.request, tostring(request.most or ""),
    core.version, core.commit or "" }
  return core.frame.hash(table.concat(parts, "\n"))
end

local function line_of(facts, seconds, before)
  local share = facts.bytes > 0 and facts.read / facts.bytes or 1
  local rate = seconds > 0 and (facts.users - before) / seconds or 0
  return ("%3.0f %%, %s users, %s a second"):format(100 * math.min(share, 1), text.count(facts.users),
    text.count(math.floor(rate)))
end

--- Tells how far it is: on a terminal in one line again and again, else now and then.
local function progress(facts)
  local watched = uv.guess_handle(2) == "tty"
  local began, told, before = uv.hrtime(), uv.hrtime(), facts.users
  return function(now_facts, finished)
    local now = uv.hrtime()
    if not finished and (now - told) / 1e9 < (watched and 0.2 or QUIET_S) then return end
    told = now
    local line = line_of(now_facts, (now - began) / 1e9, before)
    if watched then
      io.stderr:write("\r", line, finished and "\n" or "")
    elseif not finished then
      io.stderr:write(line, "\n")
    end
  end
end

--- Answer all users of a file. An interrupted one goes on when it is called again.
---@param model ServedModel
---@param request { users: string, out: string, request: string, most: integer?, every: integer?,
---   quiet: boolean? }  files; the options that hold for every user, as JSON; the rest as in ServedModel:batch
---@return table? facts  of ServedBatch
---@return string? message
---@return string? code
function users.write(model, request)
  local asked = { users = request.users, out = request.out, request = request.request, most = request.most,
    every = request.every, format = format_of(request.users), to = request.out:match "%.csv$" and "csv" or "jsonl" }
  local message, code, batch
  asked.key, message, code = key_of(model, asked)
  if not asked.key then return nil, message, code end
  batch, message, code = model:batch(asked)
  if not batch then return nil, message, code end
  local _ <close> = batch
  local facts = batch:facts()
  local tell = request.quiet and function() end or progress(facts)
  if facts.resumed > 0 and not request.quiet then
    io.stderr:write(("going on where an earlier run was stopped, behind %s users\n"):format(text.count(facts.users)))
  end
  repeat
    local done
    done, message, code = batch:step()
    if done == nil then return nil, message, code end
    facts = batch:facts()
    tell(facts, done)
  until done
  return facts
end

return users
