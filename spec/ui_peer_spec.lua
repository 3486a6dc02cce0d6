--- MLflow's own Python client against `recsys-run ui`: every call of spec/peers/mlflow_client.py, which checks what it
--- reads back. Needs RECSYS_PEER_MLFLOW, a Python with spec/peers/requirements-mlflow.txt (spec/peers/setup FOLDER
--- mlflow makes FOLDER/mlflow/bin/python).

local command = require "spec.support.command"
local uv = require "luv"

describe("MLflow's client", function()
  local python = os.getenv "RECSYS_PEER_MLFLOW"

  it("logs to recsys-run ui, reads, searches and registers, as with its own server", function()
    if not python then
      pending "set RECSYS_PEER_MLFLOW to a Python with MLflow (spec/peers/setup FOLDER mlflow)"
      return
    end
    local folder = command.scratch(finally)
    local out = uv.new_pipe()
    local said, ended = "", false
    local server = assert(uv.spawn(command.program, { args = { "ui", "--port", "0", "--store", folder .. "/artifacts" },
      stdio = { nil, out, 2 } }, function() ended = true end))
    finally(function()
      server:kill "sigterm"
      while not ended do uv.run "once" end
      server:close()
      out:close()
      uv.run "nowait" -- the handles are let go of before the state is
      command.remove(folder)
    end)
    out:read_start(function(_, bytes) said = said .. (bytes or "") end)
    while not ended and not said:find "\n" do uv.run "once" end
    local url = assert(said:match "MLFLOW_TRACKING_URI=(%S+)", said)
    local ran = command.run(("cd '%s' && env MLFLOW_TRACKING_URI=%s NO_PROXY=127.0.0.1 MLFLOW_DISABLE_TELEMETRY=true "
      .. "'%s' '%s/spec/peers/mlflow_client.py'"):format(folder, url, python, command.root))
    assert.equal("all of it holds", ran.out:match "([^\n]*)\n$", ran.out .. ran.err)
  end)
end)
