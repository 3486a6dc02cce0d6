--- A server that behaves as few do, for specs: it takes whatever is logged, keeps artifacts elsewhere, answers late, or
--- answers by 500 what has a certain word in it.

local command = require "spec.support.command"
local json = require "recsys.json"
local uv = require "luv"

local odd = {}

local Server = {}
Server.__index = Server

local SCRIPT <const> = [[
local http, json = require "recsys.http", require "recsys.json"
local options = json.decode(arg[1])
local server = assert(http.server { spool = options.folder })
local notes, runs, made = io.open(options.folder .. "/requests", "w"), 0, {}
notes:setvbuf "no"
local function answer(status, value)
  return { status = status, headers = { ["Content-Type"] = "application/json" }, body = json.encode(value) }
end
local unknown <const> = { error_code = "RESOURCE_DOES_NOT_EXIST", message = "there is none" }
local known = {
  ["experiments/get-by-name"] = function() return 200, { experiment = { experiment_id = "1" } } end,
  ["runs/get"] = function() return 404, unknown end,
  ["runs/search"] = function(body) return 200, { runs = { made[body.filter:match "= '(.*)'"] } } end,
  ["runs/create"] = function(body)
    runs = runs + 1
    local id = ("%032x"):format(runs)
    local run = { info = { run_id = id, artifact_uri = options.artifacts .. "/" .. id .. "/artifacts" } }
    for _, tag in ipairs(body.tags) do
      if tag.key == "recsys.logged_as" then made[tag.value] = run end
    end
    return 200, { run = run }
  end,
}
local function handle(request)
  local body, name = request.body or "", request.path:match "/mlflow/(.*)$" or "artifact"
  notes:write(json.encode { name = name, path = request.path, body = json.decode(body) }, "\n")
  if options.poison and body:find(options.poison, 1, true) then
    if options.once then options.poison = nil end
    return answer(500, { error_code = "INTERNAL_ERROR", message = "boom" })
  end
  if name == "artifact" then require("luv").sleep(options.delay or 0) end
  if known[name] then return answer(known[name](json.decode(body))) end
  return answer(200, {})
end
local file = io.open(options.folder .. "/port.new", "w")
file:write(server:port())
file:close()
os.rename(options.folder .. "/port.new", options.folder .. "/port")
while true do server:step(-1, handle) end]]

--- Start one.
---@param options { folder: string, artifacts?: string, poison?: string, once?: boolean, delay?: integer }
---   folder: made, for its own use; artifacts: the beginning of artifacts' addresses; once: the word is answered by 500
---   one time; delay: ms before it answers to a file
function odd.start(options)
  options.artifacts = options.artifacts or "mlflow-artifacts:/1"
  command.run(("mkdir -p '%s'"):format(options.folder))
  local self = setmetatable({ folder = options.folder }, Server)
  local script = command.write(options.folder .. "/server.lua", SCRIPT)
  self.handle = assert(uv.spawn(command.program, { args = { "lua", script, json.encode(options) },
    stdio = { nil, nil, nil } }, function() self.ended = true end))
  local file
  for _ = 1, 1200 do
    file = io.open(options.folder .. "/port")
    if file then break end
    uv.sleep(25)
  end
  self.url = "http://127.0.0.1:" .. assert(file, "the server does not begin"):read "a"
  file:close()
  return self
end

--- What it was asked so far: { name = "runs/create" or "artifact", path, body }.
---@param name? string  that alone
function Server:requests(name)
  local list = {}
  for line in io.lines(self.folder .. "/requests") do
    local request = json.decode(line)
    if not name or request.name == name then list[#list + 1] = request end
  end
  return list
end

function Server:stop()
  uv.process_kill(self.handle, "sigkill")
  while not self.ended do uv.run "once" end
  self.handle:close()
  uv.run "nowait"
end

return odd
