--- Benches: our side and its peers, alternating on one machine in one run, as medians and their ratios.
---
--- A row is a file lua/recsys/bench/<suite>/<row>.lua; docs/development.md, "Benches", says what it returns. Each side
--- runs in a process of its own: a first call that is not counted, then some that are. The processes of the sides take
--- turns, so that what else the machine does falls on all of them alike; where getting ready takes long each side has
--- one, and the calls take turns. Memory is what a process had in anonymous pages at the most, looked at every few
--- milliseconds: mapped files are the kernel's to drop and do not count.
---
--- Rows of `train` are run with one thread, too (at full scale), and set their speed beside the machine's: what a large
--- product of matrices reaches is measured between the rounds, with as many threads.

local base = require("recsys.core").base
local files = require "recsys.files"
local host = require "recsys.host"
local json = require "recsys.json"
local machine = require "recsys.machine"
local process = require "recsys.bench.side"
local lfs = require "lfs"
local uv = require "luv"

local bench = {}

local PEAK, PEAK_ROUNDS = 2048, 10 -- sizes of the product whose fastest is called the machine's peak

--- Names of the suites, or of the rows of one, sorted.
---@param suite? string
---@return string[]
function bench.list(suite)
  local names = {}
  for entry in lfs.dir(host.root .. "/lua/recsys/bench" .. (suite and "/" .. suite or "")) do
    local name = suite and entry:match "^([%w_]+)%.lua$" or not suite and entry:match "^[%w_]+$"
    names[#names + 1] = name or nil
  end
  table.sort(names)
  return names
end

---@param suite string
---@param name string
---@return table
function bench.row(suite, name)
  return require(("recsys.bench.%s.%s"):format(suite, name))
end

--- The turns that the bench tells a side to take, one line each, behind the line that says that it is ready.
local function told_turns()
  io.stdout:write "{}\n"
  io.stdout:flush()
  local before = false
  return function()
    if before then io.stdout:write "{}\n" end
    io.stdout:flush()
    before = true
    return math.tointeger(io.read "n")
  end
end

local function counted_turns(n)
  local turn = 0
  return function()
    turn = turn + 1
    return turn <= n and turn or nil
  end
end

--- Our side, in the process that the bench started for it: one uncounted call (less where the row says `once`), then
--- 'repeats' counted ones, or those that it is told to make. A row's run(state, turn) may give, second, the seconds
--- that count, where these are not the call's.
---@param repeats integer?  nil: as told
---@return { seconds: number[], check: any, facts: table? }
function bench.work(row, arguments, repeats)
  local clock = base.clock
  local state = row.setup and row.setup(arguments) or arguments
  local check, seconds = not row.once and row.run(state, 1) or nil, {}
  for turn in repeats and counted_turns(repeats) or told_turns() do
    collectgarbage()
    local began = clock()
    local counted
    check, counted = row.run(state, turn)
    seconds[turn] = counted or clock() - began
  end
  return { seconds = seconds, check = check, facts = row.facts and row.facts(state) }
end

-- Processes -----------------------------------------------------------------------------------------------------------

--- What has glibc keep freed memory, rather than give it back and fault it in again: the allocator of peers "tuned".
local tuned = { "MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=10000000000", "MALLOC_TOP_PAD_=268435456" }

--- The peers' environment: ours, less what would choose other kernels for their OpenBLAS than they would.
local function environment(threads, is_tuned)
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not name:match "^OPENBLAS_" then list[#list + 1] = name .. "=" .. value end
  end
  for _, name in ipairs { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS" } do
    list[#list + 1] = ("%s=%d"):format(name, threads)
  end
  return is_tuned and table.move(tuned, 1, #tuned, #list + 1, list) or list
end

--- Start our side; a side that takes turns has no number of repeats.
local function ours(suite, name, arguments, options)
  local words = { "bench", suite, "--worker", name, "--arguments", json.encode(arguments), "--threads",
    tostring(options.threads), options.turns and "--turns" or "--repeats" }
  if not options.turns then words[#words + 1] = tostring(options.repeats) end
  return process.start(host.executable, words)
end

--- Start a peer, whose command is "[old|mlflow] [tuned] FILE WORDS...": "old" runs it by the Python with the older
--- packages, "mlflow" by that with MLflow, "tuned" with an allocator that keeps memory.
local function peer(command, arguments, options)
  local words, python, is_tuned = {}, options.python, false
  for word in command:gmatch "%S+" do words[#words + 1] = word end
  local others = { old = options.python_old or false, mlflow = options.python_mlflow or false }
  if others[words[1]] ~= nil then python = others[table.remove(words, 1)] end
  if words[1] == "tuned" then is_tuned = table.remove(words, 1) ~= nil end
  if not python then return nil, "no Python with it is at hand" end
  words[1] = host.root .. "/spec/peers/" .. words[1]
  words[#words + 1] = json.encode(arguments)
  words[#words + 1] = options.turns and "turns" or tostring(options.repeats)
  return process.start(python, words, environment(options.threads, is_tuned))
end

-- Figures -------------------------------------------------------------------------------------------------------------

---@param values number[]
---@return number
function bench.median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

--- A side's figures over all its processes.
local function add_process(side, result)
  side = side or { runs = {}, anonymous_mib = 0, all_facts = {} }
  table.move(result.seconds, 1, #result.seconds, #side.runs + 1, side.runs)
  side.all_facts[#side.all_facts + 1] = result.facts
  side.check, side.facts = result.check, result.facts
  side.version = type(result.version) == "string" and result.version or nil -- a script may be of no library alone
  side.anonymous_mib = math.max(side.anonymous_mib, result.anonymous_mib)
  side.seconds = bench.median(side.runs)
  side.least, side.most = math.min(table.unpack(side.runs)), math.max(table.unpack(side.runs))
  return side
end

--- Whether two checks say the same: numbers within a millionth, all else equal.
local function agree(a, b)
  if type(a) == "number" and type(b) == "number" then return math.abs(a - b) <= 1e-6 * math.max(1, math.abs(a)) end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not agree(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

--- The seconds of ours and a peer's that are set beside each other: medians of all calls; or, where a row says what
--- counts between two runs (`against`), medians of that over the rounds, in which each run stands beside the other
--- side's.
---@return { ours: number, peer: number, what: string? }
local function pair_of(row, us, them)
  if not row.against then return { ours = us.seconds, peer = them.seconds } end
  local our_seconds, peers, what = {}, {}, nil
  for i = 1, math.min(#us.all_facts, #them.all_facts) do
    local pair = row.against(us.all_facts[i], them.all_facts[i])
    our_seconds[i], peers[i], what = pair.ours, pair.peer, pair.what
  end
  return { ours = bench.median(our_seconds), peer = bench.median(peers), what = what }
end

--- The ratio of the peer that comes nearest to us, and its name; nil where none ran.
local function nearest(ratios)
  local least, who
  for name, ratio in pairs(ratios) do
    if not least or ratio < least then least, who = ratio, name end
  end
  return least, who
end

--- A row's target against what was measured.
---@param target table                  docs/development.md, "Benches"
---@param sides table<string, table>    a side's seconds and anonymous_mib, by name; ours is recsys
---@param ratios table<string, number>  a peer's seconds by ours
---@param share? number                 of the machine's peak
---@return { what: string, reached: number, wanted: number, holds: boolean }[]
function bench.judge(target, sides, ratios, share)
  local verdicts = {}
  local function add(what, reached, wanted, holds)
    verdicts[#verdicts + 1] = { what = what, reached = reached, wanted = wanted, holds = holds }
  end
  for name, wanted in pairs(target.times or {}) do
    if ratios[name] then add("times as fast as " .. name, ratios[name], wanted, ratios[name] >= wanted) end
  end
  local ratio, who = nearest(ratios)
  if target.fastest and ratio then
    add(("times as fast as %s, the fastest peer"):format(who), ratio, target.fastest, ratio >= target.fastest)
  end
  local us = sides.recsys
  for name, wanted in pairs(target.memory_times or {}) do
    local reached = sides[name] and sides[name].anonymous_mib / us.anonymous_mib
    if reached then add("times as little memory as " .. name, reached, wanted, reached >= wanted) end
  end
  if target.share_of_peak and share then
    add("of the machine's peak", share, target.share_of_peak, share >= target.share_of_peak)
  end
  if target.seconds then add("seconds", us.seconds, target.seconds, us.seconds <= target.seconds) end
  if target.anonymous_mib then
    add("MiB of anonymous memory", us.anonymous_mib, target.anonymous_mib, us.anonymous_mib <= target.anonymous_mib)
  end
  table.sort(verdicts, function(a, b) return a.what < b.what end)
  return verdicts
end

--- The names of a row's peers, sorted; none where none are to run.
---@return string[]
function bench.peers(row, options)
  local names = {}
  for name in pairs(options.python and row.peers or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- The processes of the sides one after another, round by round.
local function by_rounds(row, names, options, start, add)
  local peaks, rounds = {}, row.rounds or options.rounds
  for round = 1, rounds do
    if row.flops then peaks[round] = machine.sgemm(PEAK, PEAK, PEAK, false, PEAK_ROUNDS) end
    for _, name in ipairs(names) do
      options.say(("round %d of %d, %s, threads: %d"):format(round, rounds, name, options.threads))
      local started, why = start(name)
      if started then
        add(name, started:finish())
      else
        add(name, nil, why)
      end
    end
  end
  return #peaks > 0 and math.max(table.unpack(peaks)) or nil
end

--- One process of each side, all of which are made ready first; then they take turns, in which each stands right beside
--- the other sides', every other time in the opposite order.
local function by_turns(row, names, options, start, add)
  local started, turns = {}, row.turns == true and options.repeats * options.rounds or row.turns
  for _, name in ipairs(names) do
    options.say(("%s gets ready, threads: %d"):format(name, options.threads))
    local why
    started[name], why = start(name)
    if not started[name] then
      add(name, nil, why)
    else
      started[name]:says()
    end
  end
  for turn = 1, turns do
    options.say(("turn %d of %d, threads: %d"):format(turn, turns, options.threads))
    for i = 1, #names do
      local one = started[names[turn % 2 == 1 and i or #names + 1 - i]]
      if one then one:turn(turn) end
    end
  end
  for _, name in ipairs(names) do
    if started[name] then add(name, started[name]:finish()) end
  end
end

--- Every side of a row: sides, ratios, problems and the peak, operations a second, that was measured between.
local function run_sides(suite, row, name, arguments, options)
  local sides, ratios, beside, problems = {}, {}, {}, json.list {}
  options = setmetatable({ turns = row.turns }, { __index = options })
  local function start(side)
    if side == "recsys" then return ours(suite, name, arguments, options) end
    return peer(row.peers[side], arguments, options)
  end
  local function add(side, result, why)
    if result then
      if row.seconds then result.seconds = row.seconds(result.facts) end
      sides[side] = add_process(sides[side], result)
    else
      problems[#problems + 1] = ("%s: %s"):format(side, why)
    end
  end
  local names = { "recsys", table.unpack(bench.peers(row, options)) }
  local peak = (row.turns and by_turns or by_rounds)(row, names, options, start, add)
  local us = sides.recsys
  for side, figures in pairs(us and sides or {}) do
    if side ~= "recsys" then
      beside[side] = pair_of(row, us, figures)
      ratios[side] = beside[side].peer / beside[side].ours
      if row.same ~= false and not agree(us.check, figures.check) then
        problems[#problems + 1] = ("%s came to another result: %s, ours is %s"):format(side, json.encode(figures.check),
          json.encode(us.check))
      end
    end
  end
  return { sides = sides, ratios = ratios, beside = beside, problems = problems, threads = options.threads,
    peak = peak }
end

--- What a run's median speed is of the peak that was measured in it; nil for rows that count no operations.
local function share_of(row, run, arguments)
  local us = run.sides.recsys
  if not us or not run.peak then return nil end
  return row.flops(arguments) / us.seconds / run.peak
end

--- Run every side of a row in turns. 'options' are repeats, rounds, threads, python (nil: no peers), python_old,
--- python_mlflow, folder, scale and say(text).
---@return { row: string, sides: table, ratios: table, verdicts: table, problems: string[], one_thread: table?,
---   skipped: string? }
function bench.measure(suite, name, options)
  local row = bench.row(suite, name)
  local lacks = row.skip and row.skip()
  if lacks then
    return { suite = suite, row = name, about = row.about, skipped = lacks, sides = {}, verdicts = json.list {},
      problems = json.list {}, peers = json.list {} }
  end
  local folder = files.make_folder(("%s/scale-%g"):format(options.folder, options.scale))
  options.say("preparing")
  local arguments = row.prepare and row.prepare(folder, { scale = options.scale }) or json.list {}
  if row.once then options = setmetatable({ repeats = 1 }, { __index = options }) end
  local outcome = run_sides(suite, row, name, arguments, options)
  outcome.share_of_peak = share_of(row, outcome, arguments)
  if row.one_thread and options.threads > 1 and options.scale == 1 then
    local threads = base.threads()
    local single = setmetatable({ threads = base.threads(1), rounds = 1 }, { __index = options })
    outcome.one_thread = run_sides(suite, row, name, arguments, single)
    outcome.one_thread.share_of_peak = share_of(row, outcome.one_thread, arguments)
    base.threads(threads)
    table.move(outcome.one_thread.problems, 1, #outcome.one_thread.problems, #outcome.problems + 1, outcome.problems)
  end
  local us, judged = outcome.sides.recsys, options.scale == 1
  local verdicts = us and judged and bench.judge(row.target or {}, outcome.sides, outcome.ratios, outcome.share_of_peak)
    or {}
  for _, verdict in ipairs(us and judged and row.judge and row.judge(outcome.sides) or {}) do
    verdicts[#verdicts + 1] = verdict
  end
  outcome.suite, outcome.row, outcome.about, outcome.unit = suite, name, row.about, row.unit
  outcome.quiet = row.quiet
  outcome.arguments = arguments
  outcome.per, outcome.target = row.per and row.per(arguments) or nil, row.target
  outcome.peers, outcome.verdicts = json.list(bench.peers(row, options)), json.list(verdicts)
  return outcome
end

--- A run of an outcome as figures, appended to 'list'.
local function add_figures(list, outcome, run, names, target)
  local us = run.sides.recsys
  local function add(unit, key, name, goal, limit)
    local other = run.sides[name]
    local here, there, timed = us[key], other and other[key], key == "seconds"
    if timed and other then here, there = run.beside[name].ours, run.beside[name].peer end
    local ratio = there and there / here or json.null
    if timed and outcome.per then here, there = here / outcome.per, there and there / outcome.per end
    list[#list + 1] = { name = outcome.row, peer_name = name, threads = run.threads,
      unit = timed and outcome.unit and "s/" .. outcome.unit or unit, ours = here, peer = there or json.null,
      ratio = ratio, goal = goal or json.null,
      limit = limit or json.null, share_of_peak = timed and run.share_of_peak or json.null,
      peer_version = other and other.version or json.null }
  end
  local model = us.facts and us.facts.model_seconds
  if model then
    list[#list + 1] = { name = outcome.row, peer_name = "model", threads = run.threads, unit = "s", ours = us.seconds,
      peer = model, ratio = model / us.seconds, goal = target.model and 1 / target.model or json.null,
      limit = json.null, share_of_peak = run.share_of_peak or json.null, peer_version = json.null }
  end
  for _, name in ipairs(#names > 0 and names or { false }) do
    name = name or nil
    local goal = name and (target.times and target.times[name] or target.fastest)
    add("s", "seconds", name, goal or nil, target.seconds)
    add("MiB", "anonymous_mib", name, name and target.memory_times and target.memory_times[name],
      target.anonymous_mib)
  end
end

--- An outcome as the figures of our side beside each peer's: { name, peer_name, threads, ours, peer, ratio, goal, unit,
--- share_of_peak, peer_version }, time and memory alike. `ratio` above 1 says that ours is better; it is null, and
--- `peer` too, for a peer that did not run. Rows without peers have a goal of their own alone. Goals are of the run
--- with all threads; that with one thread follows.
---@return table[]
function bench.figures(outcome, names)
  local list = {}
  if outcome.sides.recsys then add_figures(list, outcome, outcome, names, outcome.target or {}) end
  local single = outcome.one_thread
  if single and single.sides.recsys then add_figures(list, outcome, single, names, {}) end
  return list
end

--- Make a file once: 'make(part)' writes it under another name first. For `prepare`.
---@param path string
---@param make fun(part: string)
---@return string path
function bench.once(path, make)
  if not files.exists(path) then
    make(path .. ".part")
    assert(os.rename(path .. ".part", path))
  end
  return path
end

return bench
