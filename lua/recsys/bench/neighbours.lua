--- What the rows of item-kNN share: the 100 items that are most alike by the users they have in common, by cosine
--- of binary rows, from a sparse matrix items x users in memory to one of similarities. All sides must find
--- similarities of the same mean, which equal neighbours have, whichever of equally similar ones are taken.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local checkins = require "recsys.bench.checkins"
local files = require "recsys.files"
local interactions = require "recsys.bench.interactions"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"

local neighbours = {}

local K = 100

local function load(arguments, name) return (assert(tensor.load_npy(arguments[name]))) end

--- The users and items of MovieLens-1M's ratings, as codes from 0.
local function ratings(path)
  local users, items = {}, {}
  for line in io.lines(path) do
    local user, item = line:match "^(%d+)::(%d+)::"
    users[#users + 1], items[#items + 1] = math.tointeger(user), math.tointeger(item)
  end
  local function codes(values)
    values = tensor.new(values, "i64")
    return values:unique():search_sorted(values):to "i32"
  end
  return codes(users), codes(items)
end

--- MovieLens-1M's pairs at full scale, where they are at hand, else made-up ones of its size.
function neighbours.movielens(folder, options)
  local made = interactions.make(folder, interactions.movielens, options.scale)
  local path = (os.getenv "RECSYS_TEST_DATA" or "") .. "/ml-1m/ratings.dat"
  if options.scale ~= 1 or not files.exists(path) then
    return { data = "made up", train_users = made.user_codes, train_items = made.item_codes }
  end
  local users, items
  local function once(name, pick)
    return bench.once(("%s/knn-movielens-%s.npy"):format(folder, name), function(part)
      if not users then users, items = ratings(path) end
      assert(tensor.save_npy(part, pick()))
    end)
  end
  return { data = "MovieLens-1M", train_users = once("users", function() return users end),
    train_items = once("items", function() return items end) }
end

--- Items x users, 1 for each pair.
function neighbours.matrix(arguments)
  local users, items = load(arguments, "train_users"):to "i64", load(arguments, "train_items"):to "i64"
  local width, rows = math.tointeger(users:max()) + 1, math.tointeger(items:max()) + 1
  local pairs_of = (items * width + users):unique()
  local starts = pairs_of:search_sorted(tensor.arange(0, rows + 1, "i64") * width)
  return tensor.csr(starts, (pairs_of % width):to "i32", tensor.full(1, #pairs_of), width)
end

local function run(state)
  local began = base.clock()
  local near = solve.neighbours(state.matrix, math.tointeger(state.arguments.k))
  local seconds = base.clock() - began
  local values = near:tensors().values:to "f64"
  return values:sum() / #values, seconds
end

--- A row of the bench.
---@param data "movielens"|"gowalla"
---@param peers table<string, string>
function neighbours.row(data, peers)
  local goals = {}
  for name in pairs(peers) do goals[name] = 5 end
  return {
    about = ("the %d most similar items of each by cosine, of %s pairs"):format(K,
      data == "gowalla" and "Gowalla's" or "MovieLens-1M's"),
    unit = "call", one_thread = true,
    prepare = function(folder, options)
      local make = data == "gowalla" and checkins.make or neighbours.movielens
      local arguments = make(folder, data == "gowalla" and options.scale or options)
      arguments.k = K
      return arguments
    end,
    setup = function(arguments) return { arguments = arguments, matrix = neighbours.matrix(arguments) } end,
    run = run, peers = peers, target = { times = goals },
  }
end

return neighbours
