--- Scaling, quantile buckets and window counts beside scikit-learn, pandas and polars.

local base = require "recsys.base"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local json = require "recsys.json"
local tensor = require "recsys.tensor"

local ROWS, TRAIN, HOUR = 3000, 2000, 3600000

local python = os.getenv "RECSYS_PEER_PYTHON"

--- Users with a number each, a tenth missing, and their events, one of each training user first.
local function make()
  local stream, numbers, events = base.stream(9, "user", 0, 0), {}, { user = {}, time = {}, kind = {} }
  local users, distinct = {}, {}
  local order = base.stream(9, "shuffle", 0, 0):permutation(ROWS):tolist()
  for i = 1, ROWS do
    users[i], distinct[i] = "u" .. i, order[i] / 8
    numbers[i] = stream:below(4 * i, 10) > 0 and stream:below(4 * i + 1, 8000) / 8 - 300
    events.user[i] = "u" .. (i <= TRAIN and i or 1 + stream:below(4 * i + 2, 25))
    events.time[i] = 1700000000000 + i // 3 * HOUR
    events.kind[i] = ({ "read", "shared", "saved", false })[1 + stream:below(4 * i + 3, 4)]
  end
  return users, numbers, distinct, events
end

local function with_nulls(values)
  local list = {}
  for i, value in ipairs(values) do list[i] = value or json.null end
  return json.list(list)
end

describe("features", function()
  if not python then pending "set RECSYS_PEER_PYTHON to a Python with the packages that peers need" return end

  local users, numbers, distinct, events = make()
  local items = {}
  for i = 1, ROWS do items[i] = "i1" end
  local data = { users = frame.from { { "user", "string", users }, { "number", "number", numbers },
      { "distinct", "number", distinct } },
    items = frame.from { { "item", "string", { "i1" } } },
    interactions = frame.from { { "user", "string", events.user }, { "item", "string", items },
      { "time", "time", events.time }, { "kind", "string", events.kind } } }
  local reference

  setup(function()
    local folder = command.temporary()
    command.write(folder .. "/in", json.encode { train = with_nulls(table.move(numbers, 1, TRAIN, 1, {})),
      all = with_nulls(numbers), distinct = json.list(distinct), n = 8, window = 100 * HOUR,
      kinds = json.list { "shared", "saved" }, events = { user = json.list(events.user), time = json.list(events.time),
        kind = with_nulls(events.kind) } })
    local ended = command.run(("'%s' spec/peers/feature_reference.py '%s/in' '%s/out'"):format(python, folder, folder))
    reference = ended.code == 0 and json.decode(command.read(folder .. "/out"))
    command.remove(folder)
    assert(reference, ended.err)
  end)

  local fitted = feature.fit(data, tensor.arange(0, TRAIN, "i64"), { user = { feature.number { "number" },
      feature.number { "number", name = "robust", transform = "robust" } },
    event = { feature.count { window = "100h", transform = "none", name = "n" },
      feature.count { window = "100h", where = { kind = { "saved", "shared" } }, transform = "none",
        name = "some" } } })

  local function compare(name, expected, missing)
    local values, worst = fitted:encode_users(data.users):output(name).values, 0
    for row = 1, ROWS do
      local value = expected[row]
      if value == json.null then value = missing end
      worst = math.max(worst, math.abs(values:get(row, 1) - math.max(-10, math.min(10, value))))
      assert.are.equal(numbers[row] and 0 or 1, values:get(row, 2))
    end
    assert.is_true(worst < 1e-6, worst) -- values up to 3, rounded to f32
  end

  it("are standardised as scikit-learn's StandardScaler does", function()
    compare("user.number", reference.standard, 0)
  end)

  it("are scaled by quartiles as scikit-learn's RobustScaler does", function()
    compare("user.robust", reference.robust, 0)
  end)

  it("fall into the quantile buckets that pandas' ranks give", function()
    local all = feature.fit({ users = data.users, items = data.items, interactions = frame.from {
      { "user", "string", users }, { "item", "string", items }, { "time", "time", events.time } } }, nil,
      { user = { feature.buckets { "distinct", n = 8 } } })
    assert.are.same(reference.buckets, all:encode_users(data.users):output "user.distinct".values:tolist())
    assert.are.equal(9, all:inputs "user"[1].rows) -- eight ranges, and unknown
  end)

  it("count events in windows as polars does", function()
    local made = fitted:encode_events(data)
    for name, expected in pairs(reference.counts) do
      local values = made:output("event." .. name).values
      for row = 1, ROWS do assert.are.equal(expected[row], values:get(row, 1)) end
    end
  end)
end)
