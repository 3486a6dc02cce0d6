--- MLflow's own Python clients against `recsys-run ui`: every call of spec/peers/mlflow_client.py, which checks what it
--- reads back, and what MLflow's own tests ask of a server, spec/peers/mlflow_rest.py. Need RECSYS_PEER_MLFLOW, a
--- Python with spec/peers/requirements-mlflow.txt, and RECSYS_PEER_MLFLOW_OLD, one with MLflow 2.9 (spec/peers/setup
--- FOLDER mlflow mlflow-old makes FOLDER/mlflow/bin/python and FOLDER/mlflow-old/bin/python).

local command = require "spec.support.command"
local tracking_server = require "spec.support.tracking_server"

--- Run a script by a Python against a server of its own: what it printed last, and all. 'finally' is the test's.
local function run(finally, python, script)
  local folder = command.temporary()
  local server = tracking_server.new(folder .. "/artifacts")
  finally(function()
    server:stop()
    command.remove(folder)
  end)
  server:start()
  local ran = command.run(("cd '%s' && env MLFLOW_TRACKING_URI=%s NO_PROXY=127.0.0.1 MLFLOW_DISABLE_TELEMETRY=true "
    .. "'%s' '%s/spec/peers/%s.py'"):format(folder, server.url, python, command.root, script))
  return ran.out:match "([^\n]*)\n$", ran.out .. ran.err
end

describe("MLflow's client", function()
  for _, which in ipairs { { "of today", "RECSYS_PEER_MLFLOW" }, { "of 2023", "RECSYS_PEER_MLFLOW_OLD" } } do
    it(which[1] .. " finds what MLflow's own tests of its REST API ask for", function()
      local python = os.getenv(which[2])
      if not python then return pending(which[2] .. " is not set") end
      local last, all = run(finally, python, "mlflow_rest")
      local held, not_held = tostring(last):match "^(%d+) hold, (%d+) do not$"
      assert.equal("0", not_held, all)
      assert.is_true(tonumber(held) >= 35, last)
    end)
  end

  it("logs to recsys-run ui, reads, searches and registers, as with its own server", function()
    local python = os.getenv "RECSYS_PEER_MLFLOW"
    if not python then return pending "RECSYS_PEER_MLFLOW is not set" end
    local last, all = run(finally, python, "mlflow_client")
    assert.equal("all of it holds", last, all)
  end)
end)
