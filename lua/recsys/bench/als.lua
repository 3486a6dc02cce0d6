--- What the rows of alternating least squares share: Gowalla's pairs (recsys.bench.checkins), vectors 64 wide that all
--- sides begin with, 15 sweeps over both sides. A pair weighs 10 and any two 1, as in Hu, Koren & Volinsky 2008. Sides
--- that solve the same systems come to the same loss.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local checkins = require "recsys.bench.checkins"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"

local als = {}

local WIDTH, SWEEPS, WEIGHT, PENALTY, APART = 64, 15, 10, 1, 1e-4

local function begin_with(folder, made, side, step)
  local n = math.tointeger(made[side])
  return bench.once(("%s/als-%d-%d-%s.npy"):format(folder, n, WIDTH, side), function(part)
    local drawn = base.stream(17, "user", 0, step):normals(n * WIDTH) * 0.1
    assert(tensor.save_npy(part, drawn:to("f32"):reshape(n, WIDTH)))
  end)
end

local function load(arguments, name) return (assert(tensor.load_npy(arguments[name]))) end

local function pairs_of(arguments)
  local users, items = load(arguments, "train_users"):to "i64", load(arguments, "train_items"):to "i32"
  local n = math.tointeger(arguments.users)
  local order = users:argsort()
  local starts = tensor.concat { tensor.zeros(1, "i64"), users:bincount(n):cumsum():to "i64" }
  return tensor.csr(starts, items:index_select(order), tensor.full(arguments.weight - 1, #users, "f32"),
    math.tointeger(arguments.items))
end

local function run(state)
  local a = state.arguments
  local x, y = load(a, "begin_users"):clone(), load(a, "begin_items"):clone() -- what is mapped is read-only
  local by_user = pairs_of(a)
  local by_item = by_user:transpose()
  local function half(pairs_here, factors, into)
    return { pairs = pairs_here, factors = factors, into = into, unobserved = 1, confidence = true,
      regularization = a.penalty, steps = math.tointeger(a.steps) }
  end
  local began = base.clock()
  for _ = 1, math.tointeger(a.sweeps) do
    solve.implicit(half(by_user, y, x))
    solve.implicit(half(by_item, x, y))
  end
  local seconds = base.clock() - began
  state.loss = solve.implicit_loss(half(by_user, y, x))
  return nil, seconds
end

local function judge(sides)
  local verdicts, ours = {}, sides.recsys.facts.loss
  for name, side in pairs(sides) do
    if name ~= "recsys" then
      local apart = math.abs(side.facts.loss / ours - 1)
      verdicts[#verdicts + 1] = { what = name .. ": its loss, and ours", reached = apart, wanted = APART,
        holds = apart <= APART }
    end
  end
  return verdicts
end

--- A row of the bench.
---@param solver string   what peers call it: "cholesky" or "cg"
---@param steps integer   of conjugate gradients; 0: Cholesky
function als.row(solver, steps)
  return {
    about = ("15 sweeps of implicit ALS by %s, 64 wide, on Gowalla's pairs"):format(solver),
    unit = "sweep", per = function(arguments) return arguments.sweeps end, same = false, one_thread = true,
    prepare = function(folder, options)
      local arguments = checkins.make(folder, options.scale)
      arguments.begin_users = begin_with(folder, arguments, "users", 1)
      arguments.begin_items = begin_with(folder, arguments, "items", 2)
      arguments.sweeps, arguments.weight, arguments.penalty, arguments.steps = SWEEPS, WEIGHT, PENALTY, steps
      return arguments
    end,
    setup = function(arguments) return { arguments = arguments } end,
    run = run,
    facts = function(state) return { loss = state.loss } end,
    judge = judge,
    peers = { implicit = "ials.py implicit " .. solver },
    target = { times = { implicit = 1.5 } },
  }
end

return als
