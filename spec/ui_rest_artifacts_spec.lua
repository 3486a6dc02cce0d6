--- The server behind the page: files of runs, which stay in their folder.

local command = require "spec.support.command"
local files = require "recsys.files"
local server = require "spec.support.ui_server"

local ask, call, mlflow, refusal, new_run = server.ask, server.call, server.mlflow, server.refusal, server.new_run

before_each(server.start)
after_each(server.stop)

describe("artifacts", function()
  local run
  before_each(function() run = new_run() end)

  local function put(path, body)
    return ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. path, body, { ["Content-Type"] = "text/plain" })
  end

  it("are put, listed, sent and removed", function()
    local root = ("0/%s/artifacts"):format(run)
    assert.equal(200, put(root .. "/d/a%20b.txt", "hello").status)
    assert.equal(200, put(root .. "/page.html", "<script>").status)
    assert.equal(200, put(root .. "/big.bin", ("x"):rep(17 << 20)).status)
    assert.same({ { path = "d/a b.txt", is_dir = false, file_size = 5 } },
      mlflow("GET", ("artifacts/list?run_id=%s&path=d"):format(run)).files)
    assert.same({ { path = "a b.txt", is_dir = false, file_size = 5 } },
      call("GET", ("/api/2.0/mlflow-artifacts/artifacts?path=%s/d"):format(root)).files)
    assert.equal("hello", ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/d/a%%20b.txt"):format(root)).body)
    assert.equal(17 << 20, #ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/big.bin"):format(root)).body)
    local reply = ask("GET", ("/get-artifact?run_uuid=%s&path=page.html"):format(run))
    assert.same({ "<script>", "text/html; charset=utf-8", "nosniff" },
      { reply.body, reply.headers["content-type"], reply.headers["x-content-type-options"] })
    assert.truthy(reply.headers["content-security-policy"]:find "^sandbox;")
    assert.equal(200, ask("DELETE", ("/api/2.0/mlflow-artifacts/artifacts/%s/d"):format(root)).status)
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" },
      refusal(ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/d/a%%20b.txt"):format(root))))
  end)

  it("never leave their server.folder", function()
    local root, outside = ("0/%s/artifacts"):format(run), server.folder .. "/artifacts/mlflow.db"
    put(root .. "/a", "x")
    command.run(("ln -s / '%s/artifacts/mlartifacts/%s/out'"):format(server.folder, root))
    for _, path in ipairs { "..%2Fmlflow.db", "%2e%2e/mlflow.db", root .. "/../../../../mlflow.db", "%2Fetc%2Fpasswd",
      "/etc/passwd", root .. "/out/etc/passwd", root .. "/out/tmp", "a/./b", "a//b", "a%5C..%5Cb", "a%0Ab", "..",
      "." } do
      local whole = "/api/2.0/mlflow-artifacts/artifacts/" .. path
      for _, method in ipairs { "GET", "PUT", "DELETE" } do
        local reply = ask(method, whole, method == "PUT" and "x" or nil)
        assert.equal(400, reply.status, method .. " " .. path .. " " .. reply.body)
      end
      assert.is_true(ask("GET", ("/get-artifact?run_uuid=%s&path=%s"):format(run, path)).status >= 400, path)
      local listed = ask("GET", "/api/2.0/mlflow-artifacts/artifacts?path=" .. path:gsub("/", "%%2F"))
      local is_plain = path == "." or path == "a/./b" -- as clients of MLflow's ask for "" and "a/b"
      assert.equal(is_plain and 200 or 400, listed.status, path)
    end
    assert.equal(400, ask("DELETE", "/api/2.0/mlflow-artifacts/artifacts/").status)
    assert.equal("SQLite format 3", command.read(outside):sub(1, 15))
    assert.equal("x", ask("GET", ("/get-artifact?run_uuid=%s&path=a"):format(run)).body)
  end)

  it("are listed below '.', as clients ask for all of them", function()
    put(("0/%s/artifacts/d/a"):format(run), "x")
    local function listed(path)
      local found = mlflow("GET", ("artifacts/list?run_id=%s&path=%s"):format(run, path)).files
      return found and found[1].path
    end
    assert.same({ "d", "d", "d/a", "d/a", "d/a" },
      { listed "", listed ".", listed "./d", listed "d/.", listed "./d/./" })
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/api/2.0/mlflow/artifacts/list?run_id=%s&path=./../x"):format(run))))
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/api/2.0/mlflow/artifacts/list?run_id=%s&path=/./etc"):format(run))))
  end)

  it("are put by pages, too, but not by those of others", function()
    local path = ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=%s&path=a/b.txt"):format(run)
    assert.equal(200, ask("POST", path, "hello").status)
    assert.equal("hello", ask("GET", ("/get-artifact?run_uuid=%s&path=a/b.txt"):format(run)).body)
    assert.equal(200, ask("POST", path, ("x"):rep(17 << 20)).status)
    assert.equal(17 << 20, #ask("GET", ("/get-artifact?run_uuid=%s&path=a/b.txt"):format(run)).body)
    assert.equal(403, ask("POST", path, "hello", { Origin = "https://example.org" }).status)
    assert.equal(400, ask("POST", path, "").status)
    assert.equal(400, ask("POST", (path:gsub("a/b", "../b")), "x").status)
    assert.equal(404, ask("POST", (path:gsub(run, ("0"):rep(32))), "x").status)
  end)

  it("are on the disk when they are acknowledged", function()
    local synced, settled, sync = {}, {}, files.sync
    files.sync = function(path)
      table.insert(synced, (path:gsub("^.*/mlartifacts/", "")))
      return sync(path)
    end
    local proxy = "/api/2.0/mlflow-artifacts/artifacts/0/x/"
    local posted = ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=%s&path=posted"):format(run)
    local ok, problem = pcall(function()
      for path, size in pairs { [proxy .. "small"] = 5, [proxy .. "large"] = 17 << 20, [posted] = 5 } do
        synced = {}
        assert.equal(200, ask(path == posted and "POST" or "PUT", path, ("x"):rep(size)).status)
        settled[path] = synced
      end
      synced = {}
      files.settle() -- of which nothing is left to do: it would grow with each upload
    end)
    files.sync = sync
    assert(ok, problem)
    local there = "0/" .. run .. "/artifacts"
    assert.same({ { "0/x/small", "0/x" }, { "0/x/large", "0/x" }, { there .. "/posted", there }, {} },
      { settled[proxy .. "small"], settled[proxy .. "large"], settled[posted], synced })
  end)

  it("of runs elsewhere are not fetched for anybody", function()
    local id = mlflow("POST", "experiments/create", { name = "else", artifact_location = "file:///etc" }).experiment_id
    local other = new_run(id)
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/get-artifact?run_uuid=%s&path=passwd"):format(other))))
  end)
end)
