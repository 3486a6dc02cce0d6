--- `recsys-run bench SUITE`: how fast we are, beside peers where a Python with them is at hand.

local argument = require "recsys.argument"
local bench = require "recsys.bench"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local json = require "recsys.json"
local text = require "recsys.text"
local uv = require "luv"

local command = { about = "Time the runtime, beside its peers" }

function command.options(parser)
  parser:argument("SUITE", "One of: " .. table.concat(bench.list(), ", ")):args "?"
  parser:option("--row", "Run this row (several times: these; default: all)"):argname "NAME":count "*":target "rows"
  parser:option("--repeats", "Counted calls in a process"):argname "N":default "3":convert(argument.whole_number(1))
  parser:option("--rounds", "Processes of each side, in turns"):argname "N":default "3"
    :convert(argument.whole_number(1))
  parser:option("--threads", "Threads of every side"):argname "N":convert(argument.whole_number(1, 4096))
  parser:option("--scale", "Share of the full data; targets are judged at 1"):argname "X":default "1":convert(tonumber)
  parser:option("--python", "A Python with the peers (default: $RECSYS_PEER_PYTHON, or one made here)")
    :argname "PATH"
  parser:flag("--no-peers", "Run our side alone"):target "no_peers"
  parser:option("--folder", "Where inputs are made, once"):argname "PATH":default "artifacts/cache/bench"
  parser:flag("--json", "One JSON object on stdout, all else on stderr")
  parser:option("--worker", "Run one side (the bench does this itself)"):argname "ROW":hidden(true)
  parser:option("--arguments", "Of the worker"):argname "JSON":hidden(true)
  parser:flag("--turns", "The worker makes the calls that it is told to make"):hidden(true)
end

local function work(args)
  local arguments = json.decode(args.arguments or "{}")
  local repeats = not args.turns and args.repeats or nil
  io.stdout:write(json.encode(bench.work(bench.row(args.SUITE, args.worker), arguments, repeats)), "\n")
  return exit.done
end

--- The rows asked for; a name that is none is a usage error.
local function rows_of(args)
  local known = bench.list(args.SUITE)
  if #args.rows == 0 then return known end
  for _, name in ipairs(args.rows) do
    local found = false
    for _, row in ipairs(known) do found = found or row == name end
    if not found then
      exit.usage_error("there is no row '%s' in bench %s; there are: %s", name, args.SUITE, table.concat(known, ", "))
    end
  end
  return args.rows
end

local function time_of(seconds, outcome)
  if outcome.per then
    local each = seconds / outcome.per
    return each < 1e-3 and ("%.3g us/%s"):format(each * 1e6, outcome.unit)
      or ("%.3g ms/%s"):format(each * 1e3, outcome.unit)
  end
  return seconds < 1 and ("%.3g ms"):format(seconds * 1e3) or ("%.3g s"):format(seconds)
end

--- The table of a run's sides, fastest first, and lines of their facts.
local function show_run(outcome, run)
  local rows = { { "", "version", "median", "least", "most", "memory MiB", "ratio" } }
  local names = {}
  for name in pairs(run.sides) do names[#names + 1] = name end
  table.sort(names, function(a, b) return run.sides[a].seconds < run.sides[b].seconds end)
  for _, name in ipairs(names) do
    local side = run.sides[name]
    rows[#rows + 1] = { name, side.version or "", time_of(side.seconds, outcome), time_of(side.least, outcome),
      time_of(side.most, outcome), ("%.0f"):format(side.anonymous_mib),
      run.ratios[name] and ("%.2f"):format(run.ratios[name]) or "" }
  end
  local lines = { text.columns(rows) }
  if run.share_of_peak then
    lines[#lines + 1] = ("  %.0f %% of the machine's peak, %.0f GFLOP/s"):format(100 * run.share_of_peak,
      run.peak / 1e9)
  end
  for _, name in ipairs(names) do
    local pair = run.beside[name]
    if pair and pair.what then
      lines[#lines + 1] = ("  %s: %s: ours %.3g, %s's %.3g"):format(name, pair.what, pair.ours, name, pair.peer)
    end
  end
  for _, name in ipairs(names) do
    local facts = run.sides[name].facts
    if facts and not outcome.quiet then lines[#lines + 1] = ("  %s: %s"):format(name, json.encode(facts)) end
  end
  return table.concat(lines, "\n")
end

--- A verdict, or a figure that is told without a goal.
local function line_of(verdict)
  if verdict.wanted == nil then return ("         %s: %.3g"):format(verdict.what, verdict.reached) end
  return ("  %s %s: %.3g (target %.3g)"):format(verdict.holds and "holds " or "MISSED", verdict.what, verdict.reached,
    verdict.wanted)
end

--- A row's tables for people.
local function show(outcome)
  if outcome.skipped then return ("%s: skipped: %s\n\n"):format(outcome.row, outcome.skipped) end
  local lines = { ("%s: %s"):format(outcome.row, outcome.about), show_run(outcome, outcome) }
  if outcome.one_thread then
    lines[#lines + 1] = " with one thread:"
    lines[#lines + 1] = show_run(outcome, outcome.one_thread)
  end
  for _, verdict in ipairs(outcome.verdicts) do lines[#lines + 1] = line_of(verdict) end
  for _, problem in ipairs(outcome.problems) do lines[#lines + 1] = "  PROBLEM " .. problem end
  return table.concat(lines, "\n") .. "\n\n"
end

local function settle(args)
  if not args.SUITE then exit.usage_error("name a suite: recsys-run bench %s", table.concat(bench.list(), " | ")) end
  local suites, found = bench.list(), false
  for _, suite in ipairs(suites) do found = found or suite == args.SUITE end
  if not found then
    exit.usage_error("there is no bench '%s'; there are: %s", args.SUITE, table.concat(suites, ", "))
  end
  if not host.executable then exit.usage_error "benches start recsys-run itself: run them with it" end
  if not args.scale or args.scale <= 0 then exit.usage_error "--scale must be a number above 0" end
end

-- The Pythons of the peers: variables that name them, and what spec/peers/setup calls them.
local variables = { new = "RECSYS_PEER_PYTHON", old = "RECSYS_PEER_PYTHON_OLD", mlflow = "RECSYS_PEER_MLFLOW" }

--- The Pythons that a suite's peers need: those given, or else ones made beside the inputs, once.
local function pythons(args)
  if args.no_peers then return {} end
  local wanted = ({ track = { "mlflow" }, tune = { "new" }, retrieval = { "new" },
    serve = { "new" } })[args.SUITE] or { "new", "old" }
  local found, folder, setup = {}, "artifacts/cache/peers", host.root .. "/spec/peers/setup"
  for _, which in ipairs(wanted) do found[which] = os.getenv(variables[which]) end
  found[wanted[1]] = args.python or found[wanted[1]]
  if not found[wanted[1]] and files.exists(setup) then
    io.stderr:write("peers: their packages are looked after in ", folder, " (--no-peers: ours alone)\n")
    if not os.execute(("'%s' '%s' %s >&2"):format(setup, folder, table.concat(wanted, " "))) then
      io.stderr:write "peers: they cannot be installed (python3-venv, network?); --no-peers runs ours alone\n"
    end
    for _, which in ipairs(wanted) do found[which] = ("%s/%s/bin/python"):format(folder, which) end
  end
  return found
end

function command.run(args)
  settle(args)
  local base = require("recsys.core").base
  local threads = base.threads(args.threads)
  if args.worker then return work(args) end
  local python = pythons(args)
  local sound, figures, outcomes = true, {}, {}
  for _, name in ipairs(rows_of(args)) do
    local function say(what) io.stderr:write(("\27[2K%s: %s\r"):format(name, what)) end
    local outcome = bench.measure(args.SUITE, name, { repeats = args.repeats, rounds = args.rounds,
      threads = threads, python = python.new or python.mlflow, python_old = python.old,
      python_mlflow = python.mlflow, folder = args.folder, scale = args.scale,
      say = uv.guess_handle(2) == "tty" and say or function() end })
    sound = sound and #outcome.problems == 0
    if not args.json then io.stdout:write(show(outcome)):flush() end
    local list = bench.figures(outcome, outcome.peers)
    table.move(list, 1, #list, #figures + 1, figures)
    outcomes[#outcomes + 1] = outcome
  end
  if args.json then
    io.stdout:write(json.encode { suite = args.SUITE, threads = threads, scale = args.scale, rows = json.list(figures),
      details = json.list(outcomes) }, "\n")
  end
  return sound and exit.done or exit.failed
end

return command
