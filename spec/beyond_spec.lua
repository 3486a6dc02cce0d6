--- Metrics of lists beside accuracy, and which systems differ: by hand, and by the definitions written out.

local base = require "recsys.base"
local beyond = require "recsys.evaluate.beyond"
local metrics = require "recsys.metrics"
local segments = require "recsys.evaluate.segments"
local significance = require "recsys.evaluate.significance"
local tensor = require "recsys.tensor"

local function near(expected, value, tolerance)
  assert.is_true(math.abs(value - expected) <= (tolerance or 1e-12),
    ("%.17g is not %.17g"):format(value, expected))
end

local function lists(rows) return tensor.new(rows, "i64") end

describe("metrics of lists", function()
  local counts = tensor.new({ 8, 4, 2, 1, 0, 1 }, "i64") -- of items 0 .. 5, 16 events

  it("tell novelty in bits, an item that nobody has met as one that one has", function()
    near((1 + 2) / 2, beyond.novelty(lists { { 0, 1 } }, counts, 16))       -- 16/8, 16/4
    near((1 + 4 + 4) / 3, beyond.novelty(lists { { 0, 3, 4 } }, counts, 16)) -- 16/1 twice
    near(2, beyond.novelty(lists { { 1, -1, -1 } }, counts, 16))
    local none = beyond.novelty(lists { { -1, -1 } }, counts, 16)
    assert.is_true(none ~= none)
  end)

  it("tell the mean popularity, and the share of the tail", function()
    near((8 + 4 + 2 + 0) / 4, beyond.popularity(lists { { 0, 1 }, { 2, 4 } }, counts))
    assert.same({ 1, 1, 1, 0, 0, 0 }, beyond.head(counts):tolist()) -- 8 + 4 + 2 of 16: 12 are below 80 %
    assert.same({ 1, 0, 0, 0, 0, 0 }, beyond.head(counts, 0.5):tolist())
    near(1 / 4, beyond.tail_share(lists { { 0, 1 }, { 2, 4 } }, counts))
  end)

  it("tell concentration as Gini's coefficient of all items that could be shown", function()
    near(0, beyond.gini(lists { { 0, 1 }, { 2, 3 } }, 4))
    near(3 / 4, beyond.gini(lists { { 2 }, { 2 }, { 2 } }, 4))
    near((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (4 * 4), beyond.gini(lists { { 0, 1 }, { 0, 2 } }, 4))
    near(1 / 2, beyond.gini(lists { { 1 }, { 1 } }, tensor.new({ 1, 3 }, "i64")))
  end)

  it("tell diversity as the mean of 1 - cosine over a list's pairs", function()
    local vectors = tensor.new { { 3, 0 }, { 0, 2 }, { 1, 1 }, { -5, 0 } }
    near(1, beyond.diversity(lists { { 0, 1 } }, vectors), 1e-6)
    near(2, beyond.diversity(lists { { 0, 3 } }, vectors), 1e-6)
    near(0, beyond.diversity(lists { { 2, 2 } }, vectors), 1e-6)
    near((1 + (1 - 0.5 ^ 0.5) * 2) / 3, beyond.diversity(lists { { 0, 1, 2 } }, vectors), 1e-6)
    near((1 + 2) / 2, beyond.diversity(lists { { 0, 1, -1 }, { 3, 0, -1 }, { 2, -1, -1 } }, vectors), 1e-6)
  end)

  it("tell coverage as what stands in the lists at all", function()
    near(3 / 6, beyond.coverage(lists { { 0, 1 }, { 1, 4 }, { -1, -1 } }, 6))
  end)

  it("are what their definitions, written out, give for lists drawn at random", function()
    local draw, n, k, items, d = base.stream(7, "user"), 40, 5, 17, 3
    local rows, at = {}, 0
    for q = 1, n do
      rows[q] = draw:permutation(items):narrow(1, 1, k):tolist()
      draw = base.stream(7 + q, "user")
    end
    local met, vectors = {}, {}
    for i = 1, items do
      met[i], vectors[i] = draw:below(i, 30), {}
      for c = 1, d do vectors[i][c], at = draw:normal(at), at + 1 end
    end
    local novelty, similar, shown = 0, 0, {}
    for i = 1, items do shown[i] = 0 end
    local function cosine(a, b)
      local ab, aa, bb = 0, 0, 0
      for c = 1, d do ab, aa, bb = ab + a[c] * b[c], aa + a[c] * a[c], bb + b[c] * b[c] end
      return ab / (aa * bb) ^ 0.5
    end
    for q = 1, n do
      for i = 1, k do
        local item = rows[q][i] + 1
        novelty, shown[item] = novelty - math.log(math.max(1, met[item]) / 50, 2), shown[item] + 1
        for j = i + 1, k do similar = similar + cosine(vectors[item], vectors[rows[q][j] + 1]) end
      end
    end
    local apart, total = 0, 0
    for i = 1, items do
      total = total + shown[i]
      for j = 1, items do apart = apart + math.abs(shown[i] - shown[j]) end
    end
    local of, counted = lists(rows), tensor.new(met, "i64")
    near(novelty / (n * k), beyond.novelty(of, counted, 50), 1e-9)
    near(1 - similar / (n * k * (k - 1) / 2), beyond.diversity(of, tensor.new(vectors)), 1e-5)
    near(apart / (2 * items * total), beyond.gini(of, items), 1e-9) -- the mean difference, over twice the mean
  end)

  it("have segments of the head and the tail", function()
    local queries = { item_rows = tensor.new({ 0, 3, 4, 2, 5 }, "i64") }
    local found = segments.by_popularity(queries, counts)
    assert.equal("head_items", found[1][1])
    assert.same({ 0, 3 }, found[1][2]:tolist())
    assert.equal("tail_items", found[2][1])
    assert.same({ 1, 4 }, found[2][2]:tolist()) -- item 4 was never met: it is neither
  end)
end)

describe("which systems differ", function()
  it("is adjusted as Holm does", function()
    local adjusted = significance.holm { 0.01, 0.04, 0.03, 0.005 } -- statsmodels: multipletests(p, method = "holm")
    for i, expected in ipairs { 0.03, 0.06, 0.06, 0.02 } do near(expected, adjusted[i]) end
    assert.same({ 1, 1 }, significance.holm { 0.7, 0.9 })
    assert.same({}, significance.holm {})
  end)

  it("is seen where it is there, and not where it is not", function()
    local draw, n = base.stream(3, "user"), 400
    local shared, noise = draw:normals(n):to "f64", base.stream(4, "user"):normals(n):to "f64"
    local values = tensor.concat { shared:reshape(1, n), (shared + 0.2 + noise * 0.3):reshape(1, n),
      (shared + noise * 0.3 - noise:mean() * 0.3):reshape(1, n) }
    local pairs_of, samples = significance.pairs(values, tensor.arange(n))
    assert.equal(1000, samples)
    assert.equal(3, #pairs_of)
    local differ, same = pairs_of[1], pairs_of[2]
    near(metrics.means(values)[1] - metrics.means(values)[2], differ.difference)
    near(2 / 1001, differ.p)
    assert.is_true(differ.adjusted < 0.05 and differ.interval[2] < 0)
    assert.is_true(same.adjusted > 0.5 and same.interval[1] < 0 and same.interval[2] > 0)
  end)

  it("takes a user's queries together", function()
    local n = 200 -- of two users alone: one for whom a is better, one for whom b is
    local users, a = {}, {}
    for i = 1, n do users[i], a[i] = i <= 120 and 0 or 1, i <= 120 and 1.0 or 0.0 end
    local values = tensor.concat { tensor.new(a, "f64"):reshape(1, n), (1 - tensor.new(a, "f64")):reshape(1, n) }
    local by_user = significance.pairs(values, tensor.new(users, "i64"))[1]
    local alone = significance.pairs(values, tensor.arange(n))[1]
    assert.is_true(alone.p < 0.02 and by_user.p > 0.4)
  end)

  it("has resamples enough for as many pairs as there are", function()
    for _, n in ipairs { 2, 8, 15, 30 } do
      local pairs_of = n * (n - 1) // 2
      assert.is_true(pairs_of * 2 / (1 + significance.samples(n)) < 0.0101)
    end
  end)
end)
