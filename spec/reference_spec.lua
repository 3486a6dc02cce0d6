--- Recommenders in closed form: against plain sums on a small case, and against published figures on real data, which
--- proves the evaluation.

local base = require "recsys.base"
local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local ncf = require "recsys.data.ncf"
local reference = require "recsys.evaluate.reference"
local tensor = require "recsys.tensor"

log.level = "quiet"

--- 12 users x 9 items, each pair with chance a third; item 9 is nobody's but user 12's, whose only one it is.
local function make()
  local users, items, known, draw = {}, {}, {}, base.stream(3, "user"):uniforms(12 * 9):tolist()
  for u = 1, 12 do
    known[u] = {}
    for i = 1, 9 do
      local last = u == 12 or i == 9
      if (last and u == 12 and i == 9) or (not last and draw[(u - 1) * 9 + i] < 0.4) then
        users[#users + 1], items[#items + 1], known[u][i] = "u" .. u, "i" .. i, 1
      end
    end
  end
  users[#users + 1], items[#items + 1] = "u1", "i9"
  local d = data.new { interactions = frame.from { { "user", "string", users }, { "item", "string", items } },
    users = frame.from { { "user", "string", { "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11",
      "u12" } } }, items = frame.from { { "item", "string", { "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8",
      "i9" } } } }
  local n = d.interactions:rows()
  local split = { train = tensor.arange(n - 1), open_test = function() return tensor.new({ n - 1 }, "i64") end }
  local queries = evaluate.protocol_per_user(d, split):queries "test"
  queries.user_rows = tensor.arange(12) -- scores of all users
  return queries, known
end

local function dense(known)
  local rows = {}
  for u = 1, 12 do
    rows[u] = {}
    for i = 1, 9 do rows[u][i] = known[u][i] or 0 end
  end
  return tensor.new(rows, "f64")
end

local function assert_near(expected, got)
  local off = (expected - got:to "f64"):abs():max()
  assert.is_true(off < 1e-5, tostring(off))
end

describe("references on a small case", function()
  local queries, known = make()
  local x = dense(known)

  it("EASE is its closed form", function()
    local penalty = tensor.zeros(9, 9, "f64")
    for i = 1, 9 do penalty:set(i, i, 2) end
    local inverse = (x:matmul(x, true, false) + penalty):inverse_definite()
    local map = tensor.zeros(9, 9, "f64")
    for i = 1, 9 do
      for j = 1, 9 do
        map:set(i, j, i == j and 0 or -inverse:get(i, j) / inverse:get(j, j))
      end
    end
    local score = reference.ease(queries, { l2 = 2 })
    assert_near(x:matmul(map), score(1, 12))
    assert_near(x:matmul(map):narrow(1, 4, 3):contiguous(), score(4, 3))
  end)

  it("GF-CF is its filter, with all singular vectors the whole of it", function()
    local of_user, of_item = x:sum(2):clamp(1, 99), x:sum(1):clamp(1, 99)
    local normal = x / of_user:sqrt():reshape(-1, 1) / of_item:sqrt():reshape(1, -1)
    local linear = x:matmul(normal:matmul(normal, true, false))
    local score = reference.gf_cf(queries, { rank = 9, share = 0.3 })
    local whole = linear + 0.3 * x -- V V' = I
    assert_near(whole, score(1, 12))
    assert_near(whole:narrow(1, 2, 5):contiguous(), score(2, 5))
  end)

  it("popularity counts training rows", function()
    assert.same(x:sum(1):tolist(), reference.popularity(queries):tolist())
  end)
end)

describe("EASE", function()
  it("refuses catalogues whose matrices would not fit", function()
    local ease = require "recsys.ease"
    local bytes = ease.bytes
    ease.bytes = function() return 2 ^ 60 end
    finally(function() ease.bytes = bytes end)
    local ok, problem = pcall(reference.ease, (make()), { l2 = 1 })
    assert.is_false(ok)
    assert.truthy(problem.message:find("9 items take 1152921504.6 GB in f64", 1, true), problem.message)
  end)
end)

describe("published figures", function()
  local function real(name)
    local root = os.getenv "RECSYS_TEST_DATA"
    local path = root and root .. "/" .. name
    if path and lfs.attributes(path) then return path end
    pending(("needs %s in the folder RECSYS_TEST_DATA"):format(name))
  end

  local function agree(expected, queries, scorer, k)
    local means, got = evaluate.means(queries, scorer, { k }), {}
    for name in pairs(expected) do got[name] = tonumber(("%.4f"):format(means[name])) end
    assert.same(expected, got)
  end

  it("are met on ML-1M with given negatives: popularity (Rendle et al. 2020) and EASE", function()
    local dir = real "ml-1m-ncf"
    if not dir then return end
    local d = assert(data.load { source = "ncf", dir = dir })
    local split = data.split_given(d, ncf.parts(d))
    split:end_selection "a spec"
    local queries = evaluate.protocol_per_event(d, split, { candidates = ncf.candidates(d, split, 1) }):queries "test"
    agree({ hit_10 = 0.4535, ndcg_10 = 0.2543 }, queries, reference.popularity(queries), 10)
    agree({ hit_10 = 0.7182, ndcg_10 = 0.4511 }, queries, reference.ease(queries, { l2 = 1000 }), 10)
  end)

  it("are met on ML-1M in full: popularity", function()
    local dir = real "ml-1m-sasrec"
    if not dir then return end
    local d = assert(data.load { source = "sasrec", dir = dir })
    local split = data.split_leave_last_out(d)
    split:end_selection "a spec"
    local queries = evaluate.protocol_leave_last_out(d, split):queries "test"
    agree({ hit_10 = 0.0369, ndcg_10 = 0.0180 }, queries, reference.popularity(queries), 10)
  end)

  it("are met on Gowalla: GF-CF", function()
    local dir = real "gowalla"
    if not dir then return end
    if not os.getenv "RECSYS_LONG" then return pending "takes minutes: set RECSYS_LONG" end
    local d = assert(data.load { source = "lightgcn", dir = dir })
    local split = data.split_given(d, { train = "train.txt", test = "test.txt" })
    split:end_selection "a spec"
    local queries = evaluate.protocol_per_user(d, split):queries "test"
    agree({ recall_20 = 0.1849, ndcg_20 = 0.1518 }, queries, reference.gf_cf(queries), 20)
  end)
end)
