--- `recsys-run ui`: the page of experiments, and MLflow's REST API, over a store.

local argument = require "recsys.argument"

local command = { about = "Show experiments, runs and models in the browser; MLflow's clients can log here" }

function command.options(parser)
  parser:option("--port", "The port to listen on; 0 for any that is free"):argname "N"
    :convert(argument.whole_number(0, 65535)):default "5000"
  parser:option("--address", "The address to listen on; * for all of this machine's"):argname "ADDRESS"
    :default "127.0.0.1":convert(argument.address)
  parser:option("--token", "What every request must bring; default $RECSYS_UI_TOKEN, else none"):argname "TOKEN"
  parser:option("--allow-host", "A further name that the server is called by"):argname "NAME":count "*":target "names"
    :convert(argument.host_name)
  parser:option("--store", "The folder of the store"):argname "FOLDER":default "artifacts"
end

function command.run(args)
  local guard, ui = require "recsys.ui.guard", require "recsys.ui"
  local token = args.token or os.getenv "RECSYS_UI_TOKEN"
  if token == "" then token = nil end
  local opened <close> = ui.open { store = args.store, address = args.address, port = args.port, token = token,
    names = args.names }
  if not guard.is_loopback(args.address) and not token then
    io.stderr:write("warning: whoever reaches ", args.address,
      " can read and change all of this; --token keeps them out\n")
  end
  print(("%s shows %s/mlflow.db; MLFLOW_TRACKING_URI=%s logs to it. Ctrl-C stops."):format(opened:url(args.address),
    args.store, opened:url(args.address):gsub("/$", "")))
  io.stdout:flush()
  return 128 + opened:run()
end

return command
