--- `recsys-run serve BUNDLE`: answer HTTP calls from published models, until a signal asks to stop.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local lfs = require "lfs"

local command = { about = "Answer HTTP calls from a published model" }

local LARGEST <const> = 1 << 30 -- bytes of a body

--- WORD=PERCENT: whom the candidate answers.
local function share(word)
  local name, percent = word:match "^(.+)=([%d.]+)$"
  percent = tonumber(percent)
  if not name or not percent or percent > 100 then
    return nil, ("'%s' is not VERSION=PERCENT, as in registry:two_tower@candidate=10"):format(word)
  end
  return { word = name, share = math.floor(percent * 100 + 0.5) }
end

local function size(word)
  local bytes = require("recsys.text").bytes(word)
  if not bytes or bytes < 1 then return nil, ("'%s' is not a size such as 6M"):format(word) end
  if bytes <= LARGEST then return bytes end
  return nil, ("'%s' is more than 1G: each body is held in memory while it is answered"):format(word)
end

function command.options(parser)
  parser:argument("BUNDLE", "A bundle's file, what the registry knows (registry:NAME@ALIAS, NAME-VERSION, NAME), or a "
    .. "serve recipe, FILE.lua; without it as SageMaker's container: that of /opt/ml/model"):args "?"
  parser:option("--host", "The address to listen on; * for all of this machine's (default: 127.0.0.1; in a container "
    .. "0.0.0.0)"):argname "ADDRESS":convert(argument.address)
  parser:option("--port", "The port to listen on; 0 for any that is free (default: 8080)"):argname "N"
    :convert(argument.whole_number(0, 65535))
  parser:option("--allow-host", "A further name that the server is called by, where it listens on loopback and has no "
    .. "tokens"):argname "NAME":count "*":target "names":convert(argument.host_name)
  parser:option("--workers", "Threads that answer (default: the cores)"):argname "N"
    :convert(argument.whole_number(1, 1024))
  parser:option("--models", "Where published models lie"):argname "DIR"
  parser:option("--bundle", "What a serve recipe serves, instead of the bundle that it names"):argname "BUNDLE"
  parser:option("--split", "A second version, which answers a share of the users beside the first")
    :argname "VERSION=PERCENT":convert(share)
  parser:option("--shadow", "A version that is asked what the first is asked, and only compared with it")
    :argname "VERSION"
  parser:option("--events", "The database in which posted events and items are kept (default: artifacts/flow.db)")
    :argname "FILE"
  parser:flag("--no-events", "Take no events and items")
  parser:option("--keep-days", "Days that events are kept; 0: for ever (default: as long as they matter)")
    :argname "N":convert(argument.whole_number(0, 36500))
  parser:option("--poll", "Seconds between looks at the registry for an alias that has moved; 0: none"):argname "S"
    :convert(argument.whole_number(0, 86400)):default "2"
  parser:option("--tokens", "A file of tokens that callers must show (default: what $RECSYS_SERVE_TOKENS holds, else "
    .. "none)"):argname "FILE"
  parser:option("--certificate", "A PEM file: listen by TLS"):argname "FILE"
  parser:option("--key", "The PEM file of its key"):argname "FILE"
  parser:option("--access-log", "Append a line of JSON for each request to a file; - for standard output")
    :argname "FILE":target "access_log"
  parser:flag("--log-addresses", "With the clients' addresses in it"):target "log_addresses"
  parser:option("--connections", "Connections at once"):argname "N":convert(argument.whole_number(1, 1000000))
  parser:option("--per-address", "Connections at once of one client's address"):argname "N"
    :convert(argument.whole_number(1, 1000000)):target "per_address"
  parser:option("--trusted-proxies", "Proxies before this server, whose X-Forwarded-For tells the client's address")
    :argname "ADDRESS[/BITS],...":target "trusted_proxies"
  parser:option("--rate", "Requests a second of a token, or of an address that shows none"):argname "N"
    :convert(argument.whole_number(1, 1000000000))
  parser:option("--burst", "Of them at once"):argname "N":convert(argument.whole_number(1, 1000000000))
  parser:option("--max-body", "Bytes of a request's body, such as 6M; 1G at the most"):argname "SIZE":convert(size)
    :target "max_body"
  parser:option("--drain", "Seconds that calls under way, and posts that are not written yet, have when a signal asks "
    .. "to stop"):argname "S"
    :convert(argument.whole_number(0, 3600)):default "25"
end

--- A serve recipe with its path, and what it serves.
local function serve_recipe(path, bundle)
  local found = require("recsys.serve_recipe").load(path)
  if not bundle and not found.bundle then
    local message = path .. " names no bundle: give the recipe bundle = \"NAME@ALIAS\", or --bundle"
    error({ code = "usage", message = message }, 0)
  end
  return { path = path, bundle = bundle or found.bundle, limits = found.limits }
end

--- What is refused before anything is opened: words that would do something else than they say.
local function check(args)
  if args.host == "" then exit.usage_error "--host names no address; * stands for all of this machine's" end
  if args.bundle and not (args.BUNDLE or ""):find "%.lua$" then
    exit.usage_error "--bundle is for a serve recipe, FILE.lua: what it serves"
  end
  for name, word in pairs(args) do -- as of a variable of the shell that is not set: --tokens "" would let everybody in
    if word == "" and name ~= "BUNDLE" then exit.usage_error(("--%s is empty"):format(name:gsub("_", "-"))) end
  end
  if (args.certificate == nil) ~= (args.key == nil) then exit.usage_error "--certificate and --key need each other" end
  if args.burst and not args.rate then exit.usage_error "--burst is for --rate N: how many of them at once" end
  for name, path in pairs { ["--events"] = args.events, ["--access-log"] = args.access_log } do
    local folder = path:match "^(.+)/[^/]*$"
    if folder and lfs.attributes(folder, "mode") ~= "directory" then
      error({ code = "failed", message = ("%s %s: there is no folder %s"):format(name, path, folder) }, 0)
    end
  end
end

--- The tokens of the environment; of a variable that is empty none, of which a server that others can reach warns.
local function told_tokens()
  local text = os.getenv "RECSYS_SERVE_TOKENS"
  return text ~= "" and text or nil
end

--- What to serve, and where: what the command line says, and without a bundle what a container is told.
local function options_of(args)
  local workers = args.workers or require("recsys.base").threads()
  local recipe = args.BUNDLE and args.BUNDLE:find "%.lua$" and serve_recipe(args.BUNDLE, args.bundle) or nil
  local options = { word = recipe and recipe.bundle or args.BUNDLE, recipe = recipe,
    names = args.names, host = args.host or "127.0.0.1", port = args.port or 8080, workers = workers,
    models = args.models, split = args.split, shadow = args.shadow, poll = args.poll,
    events = not args.no_events and (args.events or args.BUNDLE and "artifacts/flow.db") or nil,
    keep_days = args.keep_days, tokens = args.tokens,
    token_text = not args.tokens and told_tokens() or nil, certificate = args.certificate,
    key = args.key, access_log = args.access_log, log_addresses = args.log_addresses, connections = args.connections,
    per_address = args.per_address, proxies = args.trusted_proxies, rate = args.rate, burst = args.burst,
    max_body = args.max_body }
  if args.BUNDLE then return options end
  local serving = require "recsys.sagemaker.serving"
  if not serving.is_container() then exit.usage_error "what to serve? A bundle's file, or registry:NAME@ALIAS" end
  for name, value in pairs(serving.options(workers)) do
    local said = name == "workers" and args.workers or name ~= "workers" and args[name]
    options[name] = said or value
  end
  return options
end

function command.run(args)
  local guard, operation = require "recsys.ui.guard", require "recsys.serve.operation"
  check(args)
  local options = options_of(args)
  local opened <close> = operation.open(options)
  if args.BUNDLE and not guard.is_loopback(options.host) and not (options.tokens or options.token_text) then
    io.stderr:write("warning: whoever reaches ", options.host, " can ask this server; --tokens keeps them out\n")
  end
  opened:watch() -- before anybody knows that it is there
  print(("%s answers at %s with %d worker%s"):format(opened.slots[1] and opened.slots[1].version
    or options.models_root, opened:url(), options.workers, options.workers == 1 and "" or "s"))
  io.stdout:flush()
  opened:run(args.drain * 1000)
  return exit.done
end

return command
