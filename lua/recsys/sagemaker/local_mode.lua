--- SageMaker's local mode without Docker: what its Python client does around a container (sagemaker/local/image.py and
--- entities.py) as steps for a recipe, recipes/sagemaker_local.lua. The container is this program in a tree like
--- /opt/ml. Each step looks whether the container has done its part, and says what it has not.

local files = require "recsys.files"
local host = require "recsys.host"
local http = require "recsys.http"
local json = require "recsys.json"
local loop = require "recsys.loop"
local text = require "recsys.text"
local uv = require "luv"

local mode = {}

local HOST <const> = "algo-1"
local GRACE <const> = 30 -- seconds from SIGTERM to SIGKILL of a serving container

local function refuse(message, ...) error({ code = "failed", message = message:format(...) }, 0) end

local function quoted(path) return "'" .. path:gsub("'", "'\\''") .. "'" end

--- What a shell command says; raises when it fails.
local function said_by(command)
  local pipe <close> = io.popen("LC_ALL=C " .. command .. " 2>&1", "r")
  local said = pipe:read "a"
  if not pipe:close() then refuse("%s: %s", command, (said:gsub("%s+$", ""))) end
  return said
end

-- Containers ---------------------------------------------------------------------------------------------------------

local Container = {}
Container.__index = Container

--- Start the program as a container of a tree; what it says goes to a file.
local function start(base, word, variables, log)
  local env, set = {}, { SAGEMAKER_BASE_DIR = base, TRAINING_JOB_NAME = variables.TRAINING_JOB_NAME or "local",
    AWS_REGION = "local" }
  for name, value in pairs(variables) do set[name] = value end
  for name, value in pairs(uv.os_environ()) do
    if set[name] == nil and not name:find "^SAGEMAKER_" and not name:find "^RECSYS_SET_" then
      env[#env + 1] = name .. "=" .. value
    end
  end
  for name, value in pairs(set) do env[#env + 1] = name .. "=" .. value end
  local self = setmetatable({ log = log }, Container)
  local out = assert(uv.fs_open(log, "w", tonumber("644", 8)))
  local handle, problem = uv.spawn(host.executable, { args = { word }, env = env, cwd = base,
    stdio = { nil, out, out } }, function(code, signal) self.code = signal > 0 and 128 + signal or code end)
  uv.fs_close(out)
  if not handle then refuse("the program cannot be started: %s", problem) end
  self.handle = handle
  return self
end

--- Wait for its end; nil when there is none after so many seconds.
function Container:wait(seconds)
  local ends = uv.hrtime() + seconds * 1e9
  while not self.code and uv.hrtime() < ends do loop.rest(20) end
  return self.code
end

--- The last lines that it said.
function Container:words()
  local said = files.read(self.log) or ""
  return said:sub(-2000)
end

--- It goes, whatever it is at.
function Container:close()
  if not self.handle then return end
  if not self.code then self.handle:kill "sigkill" end
  self:wait(10)
  self.handle:close()
  self.handle = nil
  uv.run "nowait"
end
Container.__close = Container.close

-- Training -----------------------------------------------------------------------------------------------------------

local function write_config(folder, hyperparameters)
  local config = files.make_folder(folder .. "/input/config")
  files.write(config .. "/hyperparameters.json", json.encode(hyperparameters))
  files.write(config .. "/inputdataconfig.json", json.encode { training = { TrainingInputMode = "File" } })
  files.write(config .. "/resourceconfig.json", json.encode { current_host = HOST, hosts = json.list { HOST },
    network_interface_name = "eth0" })
end

--- Build the tree of a training container, with a small sample of an imagined news app in the channel `training`.
---@param folder string
---@param p { recipe: string, scale: number, hyperparameters: string[] }
---@return { base: string }
function mode.tree(folder, p)
  local hyperparameters = { recsys_recipe = p.recipe }
  for _, setting in ipairs(p.hyperparameters) do
    local name, value = setting:match "^([^=]+)=(.*)$"
    if not name then error({ code = "usage", message = "a hyper-parameter is NAME=VALUE, not " .. setting }, 0) end
    hyperparameters[name] = value
  end
  for _, name in ipairs { "/model", "/output/data", "/input/data" } do files.make_folder(folder .. name) end
  write_config(folder, hyperparameters)
  local sample = require "recsys.sample.news"
  assert(sample.generate { dir = folder .. "/input/data/training", scale = p.scale, seed = 1 })
  return { base = uv.fs_realpath(folder) }
end

--- Start the container with the word `train`, and see what it leaves.
---@param tree { base: string }
---@param seconds number  that it gets
---@return { model: string, metrics: integer }
function mode.train(tree, seconds)
  local container <close> = start(tree.base, "train", {}, tree.base .. "/train.log")
  local code = container:wait(seconds)
  if not code then refuse("training did not end within %s", text.duration(seconds)) end
  local failure = files.read(tree.base .. "/output/failure")
  if code ~= 0 then
    refuse("training ended with code %d; output/failure says: %s", code, failure or "nothing\n" .. container:words())
  end
  if failure then refuse("training ended with code 0, and output/failure says: %s", failure) end
  if not files.exists(tree.base .. "/output/success") then refuse "training ended with code 0 and no output/success" end
  local names = files.names(tree.base .. "/model")
  if #names ~= 1 then refuse("training left %d files in model, not one bundle", #names) end
  local _, metrics = (files.read(container.log) or ""):gsub("recsys_metric ", "")
  if metrics == 0 then refuse "training printed no line of metrics" end
  return { model = names[1], metrics = metrics }
end

--- Make model.tar.gz of what the container left, its paths relative to the folder `model`.
---@param tree { base: string }
---@param trained { model: string }
---@param path string
---@return { path: string }
function mode.pack(tree, trained, path)
  said_by(("tar -czf %s -C %s ."):format(quoted(path), quoted(tree.base .. "/model")))
  local listed = "\n" .. said_by("tar -tzf " .. quoted(path))
  if not listed:find("\n./" .. trained.model .. "\n", 1, true) then
    refuse("%s does not hold %s", path, trained.model)
  end
  return { path = path }
end

--- Unpack it into the tree of a serving container: plain files and folders below it alone.
---@param packed { path: string }
---@param folder string
---@return { base: string, files: integer }
function mode.unpack(packed, folder)
  local model, count = files.make_folder(folder .. "/model"), 0
  for line in said_by("tar -tvzPf " .. quoted(packed.path)):gmatch "[^\n]+" do
    local kind, name = line:sub(1, 1), line:match "%d%d:%d%d (.+)$"
    if kind ~= "-" and kind ~= "d" then
      refuse("%s holds what is neither a file nor a folder: %s", packed.path, line)
    end
    if name:find "^/" or ("/" .. name .. "/"):find("/../", 1, true) then
      refuse("%s holds a path that leads out of its folder: %s", packed.path, name)
    end
    count = count + (kind == "-" and 1 or 0)
  end
  if count == 0 then refuse("%s is empty", packed.path) end
  said_by(("tar -xzf %s -C %s --no-same-owner"):format(quoted(packed.path), quoted(model)))
  return { base = uv.fs_realpath(folder), files = count }
end

-- Serving ------------------------------------------------------------------------------------------------------------

local Endpoint = {}
Endpoint.__index = Endpoint

--- An endpoint, which is not there yet; it goes with its scope.
---@return table
function mode.endpoint() return setmetatable({}, Endpoint) end

function Endpoint:close()
  if self.container then self.container:close() end
  if self.client then self.client:close() end
  self.container, self.client = nil, nil
end
Endpoint.__close = Endpoint.close

local function free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  return port
end

--- Start the container with the word `serve`.
---@param unpacked { base: string }
---@return { port: integer }
function Endpoint:start(unpacked)
  local port = free_port()
  self.url = ("http://127.0.0.1:%d"):format(port)
  self.client = assert(http.client { timeout_ms = 60000 }) -- as the service waits for an answer
  self.container = start(unpacked.base, "serve", { SAGEMAKER_BIND_TO_PORT = tostring(port) },
    unpacked.base .. "/serve.log")
  return { port = port }
end

local function ask(self, method, path, body, headers)
  local reply, message = self.client:request { method = method, url = self.url .. path, body = body, headers = headers }
  if not reply then refuse("%s %s: %s", method, path, message) end
  return reply
end

--- Ask until it is well, as the service does: 200 and nothing else.
---@param seconds number  until it gives up
---@return { seconds: number, attempts: integer }
function Endpoint:ping(seconds)
  local began, attempts = uv.hrtime(), 0
  while true do
    if self.container.code then
      refuse("serving ended with code %d: %s", self.container.code, self.container:words())
    end
    attempts = attempts + 1
    local reply = self.client:request { method = "GET", url = self.url .. "/ping" }
    local waited = (uv.hrtime() - began) / 1e9
    if reply and reply.status == 200 then
      if reply.body ~= "" then refuse "GET /ping has a body" end
      return { seconds = waited, attempts = attempts }
    end
    if waited > seconds then
      refuse("GET /ping was not 200 within %s: %s", text.duration(seconds), reply and reply.status
        or self.container:words())
    end
    loop.rest(50)
  end
end

--- POST /invocations, which must be answered with 200.
local function invoke(self, body, kind, accept, more)
  local headers = { ["Content-Type"] = kind, Accept = accept }
  for name, value in pairs(more or {}) do headers[name] = value end
  local reply = ask(self, "POST", "/invocations", body, headers)
  if reply.status ~= 200 then refuse("POST /invocations of %s: %d, %s", kind, reply.status, reply.body) end
  return reply
end

local function lines_of(body)
  local list = {}
  for line in body:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

--- The ids of an answer's items, as one text.
local function ids_of(answer)
  local ids = {}
  for i, item in ipairs(answer.items or {}) do ids[i] = item.id end
  return table.concat(ids, " ")
end

--- The answer of a line; refuses one that is not of that user.
local function answer_to(user, line, what)
  local answer = json.decode(line)
  if type(answer) ~= "table" or answer.user ~= user or ids_of(answer) == "" then
    refuse("%s: the answer to user %s is %s", what, user, line)
  end
  return answer
end

--- Users that the training job has made recommendations for.
---@param tree { base: string }
---@param most integer
---@return string[]
function mode.users(tree, most)
  local list, seen = {}, {}
  for line in io.lines(tree.base .. "/output/data/recommendations/recommendations.csv") do
    local user = line:match "^([^,]+),"
    if user and user ~= "user" and not seen[user] and #list < most then
      seen[user], list[#list + 1] = true, user
    end
  end
  if #list < 3 then refuse("the job has recommended to %d users, too few to ask for", #list) end
  return list
end

local function request(user) return json.encode { user = user, k = 5 } end

--- Ask for one user in JSON, and for several a line each in JSON Lines and CSV: the same items each time; a line that
--- is no request keeps its place.
---@param users string[]
---@return { items: string }
function Endpoint:invoke(users)
  local one, two = users[1], users[2]
  local plain = invoke(self, request(one), "application/json", "application/json",
    { ["X-Amzn-SageMaker-Custom-Attributes"] = "trace=7" })
  local best = answer_to(one, plain.body, "application/json")
  if plain.headers["x-amzn-sagemaker-custom-attributes"] ~= "trace=7" then
    refuse "the custom attributes of a request did not come back"
  end
  local body = table.concat({ request(one), "{ no request", request(two) }, "\n") .. "\n"
  local lines = lines_of(invoke(self, body, "application/jsonlines", "application/jsonlines").body)
  if #lines ~= 3 then refuse("three JSON Lines were answered by %d", #lines) end
  if ids_of(answer_to(one, lines[1], "JSON Lines")) ~= ids_of(best) then
    refuse "JSON Lines have other items than JSON"
  end
  if not (json.decode(lines[2]) or {}).error then refuse("a line that is no request was answered by %s", lines[2]) end
  answer_to(two, lines[3], "JSON Lines")
  lines = lines_of(invoke(self, ("%s,5\n%s,5\n"):format(one, two), "text/csv", "application/jsonlines").body)
  if #lines ~= 2 then refuse("two lines of CSV were answered by %d", #lines) end
  if ids_of(answer_to(one, lines[1], "CSV")) ~= ids_of(best) then refuse "CSV has other items than JSON" end
  answer_to(two, lines[2], "CSV")
  return { items = ids_of(best) }
end

--- The pieces that a file's lines are sent in: as many lines as are below so many bytes, or each by itself.
local function batches(lines, strategy, bytes)
  local list, size = {}, 0
  for _, line in ipairs(lines) do
    local last = list[#list]
    if not last or strategy == "SingleRecord" or size + #line + 1 > bytes then
      list[#list + 1], size = { line }, #line + 1
    else
      last[#last + 1], size = line, size + #line + 1
    end
  end
  return list
end

--- Transform a file by lines (SplitType=Line, AssembleWith=Line) into FILE.out.
local function transform(self, path, strategy, bytes)
  local out, sent = {}, 0
  for _, batch in ipairs(batches(lines_of(assert(files.read(path))), strategy, bytes)) do
    local reply = invoke(self, table.concat(batch, "\n") .. "\n", "application/jsonlines", "application/jsonlines")
    out[#out + 1] = (reply.body:gsub("\n$", ""))
    sent = sent + 1
  end
  files.write(path .. ".out", table.concat(out, "\n") .. "\n")
  return lines_of(table.concat(out, "\n")), sent
end

--- Run a batch transform over a file with a line a user, first many lines at a time, as GET /execution-parameters lets
--- them, then each by itself: an answer a line, in order, the same both times.
---@param users string[]
---@param path string
---@return { lines: integer, batches: integer }
function Endpoint:transform(users, path)
  local told = json.decode(ask(self, "GET", "/execution-parameters").body)
  if type(told) ~= "table" or not told.MaxPayloadInMB then refuse "GET /execution-parameters says no MaxPayloadInMB" end
  local lines = {}
  for i, user in ipairs(users) do lines[i] = request(user) end
  files.write(path, table.concat(lines, "\n") .. "\n")
  local several, sent = transform(self, path, told.BatchStrategy or "MultiRecord", told.MaxPayloadInMB << 20)
  local single = transform(self, path, "SingleRecord", 0)
  for _, out in ipairs { several, single } do
    if #out ~= #users then refuse("a file of %d lines was transformed into %d", #users, #out) end
  end
  for i, user in ipairs(users) do
    if ids_of(answer_to(user, several[i], "line " .. i)) ~= ids_of(answer_to(user, single[i], "line " .. i)) then
      refuse("line %d has another answer among others than by itself", i)
    end
  end
  return { lines = #users, batches = sent }
end

--- Ask it to stop as the service does: SIGTERM, and within 30 s it has ended with 0.
---@return { seconds: number }
function Endpoint:stop()
  local began = uv.hrtime()
  self.container.handle:kill "sigterm"
  local code = self.container:wait(GRACE)
  if not code then refuse("serving did not end within %d s of SIGTERM", GRACE) end
  if code ~= 0 then refuse("serving ended with code %d by SIGTERM: %s", code, self.container:words()) end
  self:close()
  return { seconds = (uv.hrtime() - began) / 1e9 }
end

--- What all steps have found, for people.
---@return { text: string }
function mode.report(trained, ready, lines, stopped)
  return { text = table.concat({
    ("the training container left %s and %d lines of metrics"):format(trained.model, trained.metrics),
    ("the serving container was well after %.2f s, and answers JSON, JSON Lines and CSV alike"):format(ready.seconds),
    ("%d lines were transformed by %d call%s, and one by one to the same"):format(lines.lines, lines.batches,
      lines.batches == 1 and "" or "s"),
    ("SIGTERM ended it with 0 after %.2f s"):format(stopped.seconds) }, "\n") }
end

return mode
