--- Who was where, for the row of `train` that needs something to be learnt: Gowalla's tuning split (docs/data.md,
--- "lightgcn") where RECSYS_TEST_DATA has it, else a made-up set of its size, in which users keep to a few groups of
--- items. As .npy files that all sides read, and the one measure of quality that all of them are given.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local files = require "recsys.files"
local frame = require "recsys.frame"
local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

local checkins = {}

local SIZE = { users = 29858, items = 40981, rows = 810128 } -- of Gowalla
local GROUPS, USER_GROUPS, STRAY, HELD_OUT, SPREAD = 100, 2, 0.2, 0.1, 1.2

--- The pairs of a file with lines "user item item ...": users and items, i32.
local function read_lines(path)
  local users, items = {}, {}
  for line in io.lines(path) do
    local user
    for word in line:gmatch "%d+" do
      local id = math.tointeger(word)
      if user then users[#users + 1], items[#items + 1] = user, id end
      user = user or id
    end
  end
  return tensor.new(users, "i32"), tensor.new(items, "i32")
end

--- The folder with Gowalla's split; nil where it is not at hand.
local function gowalla()
  local folder = (os.getenv "RECSYS_TEST_DATA" or "") .. "/gowalla"
  return files.exists(folder .. "/tune_train.txt") and files.exists(folder .. "/tune_valid.txt") and folder or nil
end

-- Made-up pairs -------------------------------------------------------------------------------------------------------

local function stream(step) return base.stream(16, "user", 0, step) end

--- Log-normal popularity of n codes: running sums.
local function popularity(n, step) return ((stream(step):normals(n) * SPREAD):exp()):cumsum() end

--- Codes at 'shares' (in [0, 1)) of the way from the running sums 'from' to those 'to'.
local function at_shares(sums, shares, from, to)
  return sums:search_sorted(from + shares * (to - from), true):to("f64"):clamp(0, #sums - 1):to "i64"
end

--- Distinct pairs in random order. Items stand by group, in equal numbers; a user has a few groups, and takes an item
--- of one of these by its popularity there, or a stray one of all.
local function draw(users, items, rows)
  local sums, each = popularity(items, 2), items / GROUPS
  local activity = popularity(users, 1)
  local user = at_shares(activity, stream(3):uniforms(rows), 0, activity:get(users))
  local slots = stream(4):integers(users * USER_GROUPS, GROUPS)
  local group = slots:index_select(user * USER_GROUPS + stream(5):integers(rows, USER_GROUPS)):to "f64"
  local bounds = tensor.concat { tensor.zeros(1, "f64"), sums }
  local function bound(of) return bounds:index_select((of * each):to "i64") end
  local near = at_shares(sums, stream(6):uniforms(rows), bound(group), bound(group + 1))
  local far = at_shares(sums, stream(6):uniforms(rows), 0, sums:get(items))
  local stray = stream(7):uniforms(rows):lt(STRAY):to "i64"
  local keys = (user * items + near + (far - near) * stray):unique()
  keys = keys:index_select(stream(8):permutation(#keys))
  local of = (keys:to "f64" / items):floor():to "i64"
  return of:to "i32", (keys - of * items):to "i32"
end

--- Made-up pairs to train on, and some that are held out.
local function make_up(users, items, rows)
  local of, item = draw(users, items, rows)
  local n = math.ceil(#of * (1 - HELD_OUT))
  local function cut(t, first, length) return t:narrow(1, first, length):contiguous() end
  return { train_users = cut(of, 1, n), train_items = cut(item, 1, n), valid_users = cut(of, n + 1, #of - n),
    valid_items = cut(item, n + 1, #of - n) }
end

local function read_gowalla(folder)
  local columns = {}
  for part, name in pairs { train = "tune_train.txt", valid = "tune_valid.txt" } do
    columns[part .. "_users"], columns[part .. "_items"] = read_lines(folder .. "/" .. name)
  end
  return columns
end

--- Make the files once. Gives plain values: paths, users, items, and which data they are.
---@param folder string
---@param scale number  below 1 the data are made up
function checkins.make(folder, scale)
  local real = scale == 1 and gowalla() or nil
  local function scaled(n) return math.max(GROUPS, math.ceil(n * scale)) end
  local made = { data = real and "Gowalla" or "made up", users = scaled(SIZE.users), items = scaled(SIZE.items) }
  local columns
  for _, name in ipairs { "train_users", "train_items", "valid_users", "valid_items" } do
    made[name] = bench.once(("%s/checkins-%s-%s.npy"):format(folder, real and "gowalla" or "made-up", name),
      function(part)
        columns = columns or (real and read_gowalla(real) or make_up(made.users, made.items, scaled(SIZE.rows)))
        assert(tensor.save_npy(part, columns[name]))
      end)
  end
  return made
end

local function load(made, name) return (assert(tensor.load_npy(made[name]))) end

local function names(prefix, n)
  local list = {}
  for i = 1, n do list[i] = prefix .. i end
  return list
end

--- The training pairs as a dataset: row i of its users and items is code i of the files.
---@return Dataset, Split
function checkins.dataset(made)
  local users, items = names("u", math.tointeger(made.users)), names("i", math.tointeger(made.items))
  local of = load(made, "train_users")
  local function column(name, codes, strings) return { name, "string", { codes = codes + 1, strings = strings } } end
  local interactions = frame.from { column("user", of, users), column("item", load(made, "train_items"), items),
    { "time", "time", tensor.arange(0, #of, "i64") } }
  return { users = frame.from { { "user", "string", users } }, items = frame.from { { "item", "string", items } },
    interactions = interactions }, { train = tensor.arange(0, #of, "i64"), valid = tensor.zeros(0, "i64"),
    ties = "order", causal = true, protocol = "by_time" }
end

-- Quality -------------------------------------------------------------------------------------------------------------

local function pick(lists, users)
  return { starts = lists.starts:index_select(users), lengths = lists.lengths:index_select(users),
    values = lists.values }
end

--- NDCG@20 on the held-out pairs: of each user who has some, all items ranked but for those that he trained on.
---@return fun(users: Tensor, items: Tensor): number  f32 [users, d] and [items, d]: scores are their dot products
function checkins.quality(made)
  local function lists(part)
    local n <close> = metrics.sequences(load(made, part .. "_users"):to "i64", load(made, part .. "_items"):to "i64",
      math.tointeger(made.users))
    return n:lists()
  end
  local relevant, seen = lists "valid", lists "train"
  local asked = relevant.lengths:gt(0):nonzero()
  local question = metrics.ranking { items = math.tointeger(made.items), relevant = pick(relevant, asked),
    excluded = pick(seen, asked), k = { 20 }, coverage = false }
  return function(users, items)
    local ranked <close> = question:ranked()
    ranked:factors(users:index_select(asked), items)
    local means = metrics.means(ranked:finish().metrics)
    for i, name in ipairs(question:names()) do
      if name == "ndcg_20" then return means[i] end
    end
  end
end

return checkins
