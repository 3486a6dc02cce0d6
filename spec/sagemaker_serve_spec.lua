--- `recsys-run serve` as SageMaker's contract for inference containers has it (docs/sagemaker.md): each row of the
--- table is a test here or in the specs of the server.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local new_tree = require "spec.support.sagemaker_tree"
local server_at = require "spec.support.sagemaker_server"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local tree, folder, path, client, running

local function start(words, variables)
  running = server_at(tree, words or "serve", variables)
  return running
end

local function ask(method, place, body, headers) return running:ask(client, method, place, body, headers) end

--- Words that the program says when it does not begin.
local function refused(variables, words)
  local ran = tree:run("serve", variables)
  assert.equal(2, ran.code, ran.err)
  assert.truthy(ran.err:find(words, 1, true), ran.err)
end

--- A port that is free now.
local function free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  uv.run "nowait"
  return port
end

setup(function()
  folder = command.temporary()
  path = tiny.publish(tiny.build(), folder)
  client = assert(http.client { timeout_ms = 20000 })
end)
teardown(function()
  client:close()
  command.remove(folder)
end)

before_each(function() tree = new_tree() end)
after_each(function()
  if running then running:kill() end
  running = nil
  tree:remove()
end)

describe("recsys-run serve in a container", function()
  local function give_model() command.run(("cp %s %s"):format(path, tree:path "model/tiny-1.tar")) end

  it("serves the bundle of /opt/ml/model on all addresses, at the port that it is told", function()
    give_model()
    local port = free_port()
    start("serve", { SAGEMAKER_BIND_TO_PORT = port, SAGEMAKER_SAFE_PORT_RANGE = "20000-30000" })
    assert.equal(port, running.port)
    assert.equal(200, ask("GET", "/ping").status)
    assert.equal("", ask("GET", "/ping").body)
    local listening = command.run(("grep -i ' *[0-9]*: 00000000:%04X 00000000:0000 0A' /proc/net/tcp"):format(port))
    assert.equal(0, listening.code)
    local version = json.decode(ask("GET", "/version").body)
    assert.equal("tiny-1", version.live.version)
  end)

  it("takes port 8080 and the cores unless told otherwise", function()
    give_model()
    local serving = require "recsys.sagemaker.serving"
    uv.os_setenv("SAGEMAKER_BASE_DIR", tree.base)
    finally(function() uv.os_unsetenv "SAGEMAKER_BASE_DIR" end)
    local options = serving.options(3)
    assert.same({ 8080, "0.0.0.0", 3, 6 << 20 }, { options.port, options.host, options.workers, options.max_body })
    assert.is_nil(options.accept)
    assert.equal(tree:path "model/tiny-1.tar", options.word)
    uv.os_setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "2")
    uv.os_setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    finally(function()
      for _, name in ipairs { "SAGEMAKER_BASE_DIR", "SAGEMAKER_MODEL_SERVER_WORKERS",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT" } do uv.os_unsetenv(name) end
    end)
    options = serving.options(3)
    assert.same({ 2, "text/csv" }, { options.workers, options.accept })
  end)

  it("says what is wrong with a model's folder and with a variable, and ends with 2", function()
    refused({}, "there is no bundle in " .. tree:path "model" .. ": a model's folder holds its bundle, NAME-")
    give_model()
    command.run(("cp %s %s"):format(path, tree:path "model/other-1.tar"))
    refused({}, tree:path "model" .. " holds 2 bundles, and one is served: other-1.tar, tiny-1.tar")
    os.remove(tree:path "model/other-1.tar")
    command.write(tree:path "model/._tiny-1.tar", "what a Mac packs beside a file")
    assert.equal(tree:path "model/tiny-1.tar", require("recsys.sagemaker.serving").bundle(tree:path "model"))
    refused({ SAGEMAKER_BIND_TO_PORT = "http" },
      "the variable SAGEMAKER_BIND_TO_PORT must be a whole number, 1 to 65535, not 'http'")
    refused({ SAGEMAKER_SAFE_PORT_RANGE = "3-2" }, "must be two ports such as 20000-30000, not '3-2'")
    refused({ SAGEMAKER_MODEL_SERVER_WORKERS = "0" }, "must be a whole number, 1 to 1024, not '0'")
    refused({ SAGEMAKER_MULTI_MODEL = "perhaps" }, "must be true or false, not 'perhaps'")
    refused({ SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT = "text/html" },
      "must be application/json, application/jsonlines or text/csv, not 'text/html'")
    refused({ SAGEMAKER_BATCH_STRATEGY = "ALL" }, "must be SINGLE_RECORD or MULTI_RECORD, not 'ALL'")
    command.run(("rm -r %s"):format(tree:path "model"))
    refused({}, "there is no folder " .. tree:path "model")
  end)

  it("tells batch transform what the environment says, and no strategy of its own", function()
    give_model()
    start("serve --port 0 --workers 2")
    assert.same({ MaxConcurrentTransforms = 2, MaxPayloadInMB = 6 },
      json.decode(ask("GET", "/execution-parameters").body))
    running:kill()
    start("serve --port 0", { SAGEMAKER_BATCH = "true", SAGEMAKER_BATCH_STRATEGY = "MULTI_RECORD",
      SAGEMAKER_MAX_PAYLOAD_IN_MB = "1", SAGEMAKER_MAX_CONCURRENT_TRANSFORMS = "3" })
    assert.same({ MaxConcurrentTransforms = 3, MaxPayloadInMB = 1, BatchStrategy = "MULTI_RECORD" },
      json.decode(ask("GET", "/execution-parameters").body))
  end)

  it("answers in the type of SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT where the client takes any", function()
    give_model()
    start("serve --port 0", { SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT = "text/csv" })
    local function type_of(accept)
      local headers = { ["Content-Type"] = "application/json", Accept = accept }
      return ask("POST", "/invocations", '{"user":"u1","k":2}', headers).headers["content-type"]:match "^[^;]*"
    end
    assert.same({ "text/csv", "text/csv", "application/json" }, { type_of(nil), type_of "*/*",
      type_of "application/json" })
  end)

  it("refuses a body of more than SAGEMAKER_MAX_PAYLOAD_IN_MB by 413", function()
    give_model()
    start("serve --port 0", { SAGEMAKER_MAX_PAYLOAD_IN_MB = "1" })
    assert.equal(413, ask("POST", "/models", (" "):rep((1 << 20) + 1)).status)
    assert.equal(404, ask("POST", "/models", (" "):rep(1 << 20)).status)
  end)

  it("by SIGTERM answers what has come and ends with 0 within 30 s", function()
    give_model()
    start("serve --port 0")
    assert.equal(200, ask("GET", "/ping").status)
    local code, seconds = running:stop()
    assert.equal(0, code)
    assert.is_true(seconds < 30)
  end)
end)

describe("recsys-run serve of many models", function()
  local function folder_of(name, bundle)
    command.run(("mkdir -p '%s' && cp %s '%s'"):format(tree:path("models/" .. name .. "/model"), bundle or path,
      tree:path("models/" .. name .. "/model/tiny-1.tar")))
    return tree:path("models/" .. name .. "/model")
  end

  local function load(name, url)
    return ask("POST", "/models", json.encode { model_name = name, url = url })
  end

  before_each(function()
    command.run(("rm -r '%s' && mkdir '%s'"):format(tree:path "model", tree:path "models"))
    start("serve --port 0 --workers 2", { SAGEMAKER_MULTI_MODEL = "true" })
  end)

  it("is well without a model, loads one by name, and knows it", function()
    assert.equal(200, ask("GET", "/ping").status)
    assert.same({ models = {} }, json.decode(ask("GET", "/models").body))
    local url = folder_of "a"
    assert.equal(404, ask("GET", "/models/a").status)
    local reply = load("a", url)
    assert.equal(200, reply.status, reply.body)
    assert.same({ modelName = "a", modelUrl = url }, json.decode(ask("GET", "/models/a").body))
    assert.same({ models = { { modelName = "a", modelUrl = url } } }, json.decode(ask("GET", "/models").body))
  end)

  it("answers 409 for a model that is loaded, 404 for one that is not, and unloads", function()
    local url = folder_of "a"
    assert.equal(200, load("a", url).status)
    local reply = load("a", url)
    assert.equal(409, reply.status)
    assert.equal("the model 'a' is loaded already", json.decode(reply.body).error.message)
    assert.equal(200, ask("DELETE", "/models/a").status)
    assert.equal(404, ask("DELETE", "/models/a").status)
    assert.equal(404, ask("GET", "/models/a").status)
    assert.equal(200, load("a", url).status)
  end)

  it("invokes each by its name, as /invocations would, and answers 404 for one that is not loaded", function()
    load("a", folder_of "a")
    local other = tiny.publish(tiny.build(), folder, { name = "other" })
    command.run(("mkdir -p '%s' && cp %s '%s'"):format(tree:path "models/b", other, tree:path "models/b/other-1.tar"))
    load("b", tree:path "models/b")
    for name, version in pairs { a = "tiny-1", b = "other-1" } do
      local reply = ask("POST", ("/models/%s/invoke"):format(name), '{"user":"u1","k":2}',
        { ["Content-Type"] = "application/json" })
      assert.equal(200, reply.status, reply.body)
      local answer = json.decode(reply.body)
      assert.same({ version, 2, "u1" }, { answer.model_version, #answer.items, answer.user })
    end
    local reply = ask("POST", "/models/a/invoke", '{"user":"u1"}\nno\n{"user":"u2"}\n',
      { ["Content-Type"] = "application/jsonlines" })
    assert.equal(3, select(2, reply.body:gsub("\n", "")))
    reply = ask("POST", "/models/c/invoke", '{"user":"u1","k":2}', { ["Content-Type"] = "application/json" })
    assert.equal(404, reply.status)
    assert.equal("there is no model 'c' here", json.decode(reply.body).error.message)
    assert.equal(503, ask("POST", "/invocations", '{"user":"u1"}', { ["Content-Type"] = "application/json" }).status)
  end)

  it("answers 507 where there is no room, until another one is unloaded", function()
    running:kill()
    local bytes = uv.fs_stat(path).size
    start("serve --port 0", { SAGEMAKER_MULTI_MODEL = "true", RECSYS_MEMORY = tostring(bytes * 2 + 100) })
    for i, name in ipairs { "a", "b", "c" } do
      local reply = load(name, folder_of(name))
      assert.equal(i < 3 and 200 or 507, reply.status, reply.body)
    end
    assert.equal(200, ask("DELETE", "/models/a").status)
    assert.equal(200, load("c", tree:path "models/c/model").status)
  end)

  it("tells of 100 models at a time, by pages", function()
    local url = folder_of "a"
    for i = 1, 205 do assert.equal(200, load(("m%03d"):format(i), url).status) end
    local names, token, pages = {}, nil, 0
    repeat
      local page = json.decode(ask("GET", "/models" .. (token and "?next_page_token=" .. token or "")).body)
      for _, model in ipairs(page.models) do names[#names + 1] = model.modelName end
      token, pages = page.nextPageToken, pages + 1
    until not token
    assert.same({ 205, 3, "m001", "m205" }, { #names, pages, names[1], names[205] })
    assert.equal(200, ask("DELETE", "/models/m100").status)
    local second = json.decode(ask("GET", "/models?next_page_token=after:m100").body).models
    assert.same({ 100, "m101" }, { #second, second[1].modelName })
    for _, odd in ipairs { "zzz", "-1", "m100" } do
      local reply = ask("GET", "/models?next_page_token=" .. odd)
      assert.equal(400, reply.status)
      assert.matches("next_page_token: is '.*', no nextPageToken of a page", reply.body)
    end
  end)

  it("opens nothing outside of its folder, and no bundle that is damaged", function()
    local bad = command.read(path)
    bad = bad:sub(1, #bad // 2) .. string.char(bad:byte(#bad // 2 + 1) ~ 1) .. bad:sub(#bad // 2 + 2)
    local damaged = folder_of("damaged", command.write(folder .. "/bad.tar", bad))
    command.run(("mkdir -p '%s' && ln -s '%s' '%s'"):format(tree:path "models/link", path,
      tree:path "models/link/tiny-1.tar"))
    for url, words in pairs { [folder] = "url must be a folder below", ["/etc/passwd"] = "url must be a folder below",
      [tree:path "models/../../x"] = "url must be a folder below", [tree:path "models"] = "url must be a folder below",
      [tree:path "models/link"] = "is a link that leads out of", [damaged] = "damaged",
      ["/dev/zero"] = "url must be a folder below" } do
      local reply = load("x", url)
      assert.equal(400, reply.status, url)
      assert.truthy(reply.body:find(words, 1, true), reply.body)
    end
    folder_of "two"
    command.run(("cp '%s' '%s'"):format(path, tree:path "models/two/model/more-1.tar"))
    assert.matches("holds 2 bundles", load("x", tree:path "models/two/model").body)
    for _, body in ipairs { "", "[]", "{}", '{"model_name":"a"}', '{"model_name":"a/b","url":"/x"}',
      '{"model_name":"","url":"/x"}', '{"model_name":1,"url":"/x"}', '{"model_name":"a\\u0000b","url":"/x"}',
      json.encode { model_name = ("a"):rep(256), url = "/x" } } do
      assert.equal(400, ask("POST", "/models", body).status, body)
    end
    assert.same({ models = {} }, json.decode(ask("GET", "/models").body))
  end)

  --- Begin a process that asks a model until a file is there, and ends with 0 when each answer was one of its own.
  local function asker(name, version, until_file)
    local script = command.write(folder .. "/ask.lua", [[
      local url, name, version, until_file = ...
      local http, json, lfs = require "recsys.http", require "recsys.json", require "lfs"
      local client, asked = assert(http.client { timeout_ms = 20000 }), 0
      local body = ('{"user":"u1","k":2}\n'):rep(20)
      repeat
        local reply = assert(client:request { method = "POST", url = url .. "/models/" .. name .. "/invoke",
          body = body, headers = { ["Content-Type"] = "application/jsonlines" } })
        assert(reply.status == 200, reply.body)
        local lines = 0
        for line in reply.body:gmatch "[^\n]+" do
          assert(json.decode(line).model_version == version, line)
          lines = lines + 1
        end
        assert(lines == 20, reply.body)
        asked = asked + 1
      until lfs.attributes(until_file) and asked > 20]])
    local one = {}
    one.handle = assert(uv.spawn(command.program, { args = { "lua", script, running.url, name, version, until_file },
      stdio = { nil, nil, 2 } }, function(code, signal) one.code = signal ~= 0 and 128 + signal or code end))
    return one
  end

  it("loads and unloads while others ask, and ends with 0", function()
    local other = tiny.publish(tiny.build(), folder, { name = "second" })
    load("a", folder_of "a")
    command.run(("mkdir -p '%s' && cp %s '%s'"):format(tree:path "models/b", other, tree:path "models/b/second-1.tar"))
    load("b", tree:path "models/b")
    local enough = folder .. "/enough"
    local askers = { asker("a", "tiny-1", enough), asker("b", "second-1", enough) }
    for i = 1, 120 do
      local name = ("%s%d"):format(i % 2 == 0 and "0" or "m", i % 7) -- in front of those that are asked, and behind
      local reply = load(name, tree:path "models/a/model")
      assert.is_true(reply.status == 200 or reply.status == 409, reply.body)
      if i % 3 ~= 0 then assert.equal(200, ask("DELETE", "/models/" .. name).status) end
    end
    command.write(enough, "")
    for _, one in ipairs(askers) do
      while not one.code do uv.run "once" end
      one.handle:close()
      assert.equal(0, one.code)
    end
    uv.run "nowait"
    os.remove(enough)
    assert.equal(0, (running:stop()))
  end)
end)

describe("the variables that serving reads", function()
  it("are those of SageMaker's inference toolkit, and of the service for batch transform", function()
    local python = os.getenv "RECSYS_PEER_SAGEMAKER"
    if not python then pending "needs RECSYS_PEER_SAGEMAKER: spec/peers/setup FOLDER sagemaker" return end
    local asked = command.run(python .. " -c 'from sagemaker_inference import parameters as p; "
      .. "print(*[v for v in vars(p).values() if isinstance(v, str)])'")
    assert.equal(0, asked.code, asked.err)
    local known = { SAGEMAKER_BATCH_STRATEGY = true, SAGEMAKER_MAX_CONCURRENT_TRANSFORMS = true }
    for name in asked.out:gmatch "SAGEMAKER_[%u_]+" do known[name] = true end
    local source, count = command.read "lua/recsys/sagemaker/serving.lua", 0
    for name in source:gmatch '"(SAGEMAKER_[%u_]+)"' do
      assert.is_true(known[name], name)
      count = count + 1
    end
    assert.is_true(count >= 8)
  end)
end)

describe("recsys-run serve of one model", function()
  it("has no models by name", function()
    command.run(("cp %s %s"):format(path, tree:path "model/tiny-1.tar"))
    start("serve --port 0")
    for _, one in ipairs { { "GET", "/models" }, { "POST", "/models" }, { "GET", "/models/a" },
      { "DELETE", "/models/a" }, { "POST", "/models/a/invoke" } } do
      local reply = ask(one[1], one[2], one[1] == "POST" and "{}" or nil)
      assert.equal(404, reply.status)
      assert.truthy(reply.body:find("SAGEMAKER_MULTI_MODEL=true", 1, true))
    end
  end)
end)
