--- The server behind the page: how it writes, what hostile words become, and its command.

local command = require "spec.support.command"
local json = require "recsys.json"
local server = require "spec.support.ui_server"
local wire = require "recsys.ui.wire"

local ask, call, mlflow, new_run = server.ask, server.call, server.mlflow, server.new_run

before_each(server.start)
after_each(server.stop)

describe("the writer of answers", function()
  it("writes what recsys.json does, but for the order of keys", function()
    for _, value in ipairs { 1, -0.1, 1 / 3, 1e300, math.mininteger, 0x1.fffffffffffffp+1023, "a\0\n\"\\\127é", true,
      { 1, { 2, {} } }, {}, json.list {}, { ["a\"b"] = { c = false } }, { [7] = 1 }, json.null } do
      assert.equal(json.encode(value), wire.encode(value))
    end
    assert.same({ "null", "null", "null" },
      { wire.encode(0 / 0), wire.encode(math.huge), wire.encode(-math.huge) })
    assert.same({ a = 1, b = { "x", ("y"):rep(100) } }, json.decode(wire.encode { a = 1, b = { "x", ("y"):rep(100) } }))
  end)
end)

describe("hostile words", function()
  it("come back as they went, as JSON, and harm nothing", function()
    local word = '<script>alert(1)</script>\'"; DROP TABLE runs; --'
    local run = new_run("0", word)
    mlflow("POST", "runs/set-tag", { run_id = run, key = "mlflow.note.content", value = word })
    mlflow("POST", "runs/log-parameter", { run_id = run, key = "p", value = word })
    local reply = ask("GET", "/api/2.0/mlflow/runs/get?run_id=" .. run)
    assert.equal("application/json", reply.headers["content-type"])
    assert.equal(word, json.decode(reply.body).run.data.params[1].value)
    assert.equal(word, call("GET", "/api/recsys/runs").runs[1].info.run_name)
    mlflow("POST", "runs/set-tag", { run_id = run, key = "long", value = ("é"):rep(5 << 20) })
    assert.equal(8000, utf8.len(call("GET", "/api/recsys/runs").runs[1].tags.long))
    assert.equal(404, ask("GET", "/..%2f..%2fartifacts/mlflow.db").status)
    assert.equal(404, ask("GET", "/chart.js/..%2f..%2fpasswd").status)
    assert.equal(400, ask("GET", "/%ff").status)
  end)

  it("and numbers of every kind are the same in a search, which is written in another way, as of one run", function()
    local run, store = new_run("0", 'a "name" \\ of\ttabs'), server.opened.store
    local words = { "", '"', "\\", "\0in\0between", "\1\8\t\n\12\r\31\127", "</script>", "é\u{2028}\u{10ffff}", "{",
      "[1]", "null", "1.50", "1e400", ("long "):rep(400) }
    for i, word in ipairs(words) do
      store.db:run("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", { "p" .. i .. word, word, run })
      store.db:run("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", { "t" .. i .. word, word, run })
    end
    store.db:run("INSERT INTO tags (key, value, run_uuid) VALUES ('nothing', NULL, ?)", { run })
    local metrics = {}
    for i, value in ipairs { 0 / 0, math.huge, -math.huge, 0, -0.0, 1, 1 / 3, 0.1, -1e-310, 2 ^ 53,
      0x1.fffffffffffffp+1023, 5e-324, 1e15, 123456789.123456789 } do
      metrics[i] = { "m" .. i .. '"', value, i, math.maxinteger - i }
    end
    store:log(run, metrics, {}, {})
    local bare = new_run "0" -- with neither
    local found = {}
    for _, one in ipairs(mlflow("POST", "runs/search", { experiment_ids = { "0" } }).runs) do
      found[one.info.run_id] = one
    end
    for _, id in ipairs { run, bare } do
      local alone = mlflow("GET", "runs/get?run_id=" .. id).run
      for _, data in ipairs { alone.data, found[id].data } do
        for _, list in pairs(data) do table.sort(list, function(x, y) return x.key < y.key end) end
      end
      assert.same(alone, found[id])
    end
    assert.same({ #words, #metrics }, { #found[run].data.params, #found[run].data.metrics })
  end)
end)

describe("recsys-run ui", function()
  it("serves until a signal, and says where", function()
    server.opened:close()
    local folder = server.folder
    local line = ("'%s' ui --port 0 --store '%s/artifacts' >'%s/out' 2>&1 & pid=$!; "):format(command.program, folder,
      folder) .. ("for i in $(seq 100); do grep -q http '%s/out' && break; sleep 0.1; done; "):format(folder)
      .. ("url=$(grep -o 'http://[^ ]*' '%s/out' | head -n 1); "):format(folder)
      .. "exec 3<>/dev/tcp/127.0.0.1/$(echo $url | grep -o '[0-9]*/$' | tr -d /); "
      .. "printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3; "
      .. "kill -TERM $pid; wait $pid; echo \" code $?\""
    local result = command.run("bash -c " .. "'" .. line:gsub("'", "'\\''") .. "'")
    assert.truthy(result.out:find("\r\n\r\nOK", 1, true), result.out .. result.err)
    assert.truthy(result.out:find(" code 143", 1, true), result.out)
    server.open()
  end)

  it("refuses a port that is taken", function()
    local result = command.run(("'%s' ui --port %d --store '%s/artifacts'"):format(command.program,
      server.opened.server:port(), server.folder))
    assert.equal(1, result.code)
    assert.truthy(result.err:find "Address already in use")
  end)
end)
