-- Losses of users against a whole table of items: definition, gradients, masks, bits, refusals.
local autograd = require "recsys.autograd"
local base = require "recsys.base"
local gradcheck = require "spec.support.gradcheck"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local function normals(purpose, ...)
  local n = 1
  for _, size in ipairs { ... } do n = n * size end
  return base.stream(17, "user", purpose, 0):normals(n):reshape(...)
end

local function i64(list) return tensor.new(list, "i64") end

--- The definition, in plain Lua, for lists of lists of item codes.
local Reference = {}

local function holds(list, code)
  for _, other in ipairs(list or {}) do
    if other == code then return true end
  end
  return false
end

local function softplus(x) return math.max(x, 0) + math.log(1 + math.exp(-math.abs(x))) end

--- What row u sums over: the scores of columns that are left, positives out or not; and what each column counts.
function Reference.rivals(o, scores, u, positives_out)
  local list, counts = {}, {}
  for j = o.first or 1, #scores do
    local code = o.codes and o.codes[j] or j - 1
    local positive, excluded = holds(o.positives[u], code), holds(o.excluded and o.excluded[u], code)
    local out = positives_out and (positive or excluded) or not positives_out and excluded and not positive
    if not out then list[#list + 1], counts[#counts + 1] = scores[j], o.column_weights and o.column_weights[j] or 1 end
  end
  return list, counts
end

local function sum_exp(list)
  local sum = 0
  for _, s in ipairs(list) do sum = sum + math.exp(s) end
  return sum
end

local function sum_of(list, f, counts)
  local sum = 0
  for i, s in ipairs(list) do sum = sum + (f and f(s) or s) * (counts and counts[i] or 1) end
  return sum
end

--- { s, weight, counts } of row u's positives, `counts` of the column.
local function pairs_of(o, scores, u)
  local list = {}
  for k, code in ipairs(o.positives[u]) do
    local column = code + 1
    if o.codes then
      for j = #o.codes, 1, -1 do if o.codes[j] == code then column = j end end
    end
    list[k] = { s = scores[column], weight = o.weights and o.weights[u][k] or 1,
      counts = o.column_weights and o.column_weights[column] or 1 }
  end
  return list
end

local terms = {}

function terms.catalogue_softmax(o, u, scores)
  local alone, e, total = o.rivals == "negatives", o.smoothing or 0, 0
  local rivals = Reference.rivals(o, scores, u, alone)
  for _, pair in ipairs(pairs_of(o, scores, u)) do
    local list = { table.unpack(rivals) }
    if alone then list[#list + 1] = pair.s end
    total = total + pair.weight
      * (math.log(sum_exp(list)) - (1 - e) * pair.s - e * sum_of(list) / #list)
  end
  return total
end

function terms.bilateral_softmax(o, u, scores, dots)
  local rivals, sum, weight = Reference.rivals(o, scores, u, o.rivals ~= "all"), 0, 0
  local negative, positive = o.temperature or 1, o.positive_temperature or o.temperature or 1
  for _, pair in ipairs(pairs_of(o, dots, u)) do
    sum, weight = sum + pair.weight * math.exp(pair.s / positive), weight + pair.weight
  end
  if weight == 0 then return 0 end
  local against = #rivals > 0 and math.log(sum_exp(rivals)) or 0
  return weight * ((o.emphasis or negative / positive) * against - math.log(sum / weight))
end

function terms.cosine_contrastive(o, u, scores)
  local rivals, total = Reference.rivals(o, scores, u, true), 0
  local hinge = sum_of(rivals, function(s) return math.max(0, s - (o.margin or 0)) end) / math.max(#rivals, 1)
  for _, pair in ipairs(pairs_of(o, scores, u)) do
    total = total + pair.weight * (1 - pair.s + (o.emphasis or 1) * hinge)
  end
  return total
end

function terms.gbce(o, u, scores)
  local rivals, counts = Reference.rivals(o, scores, u, true)
  local total = 0
  for _, pair in ipairs(pairs_of(o, scores, u)) do
    total = total + pair.weight * ((o.beta or 1) * pair.counts * softplus(-pair.s) + sum_of(rivals, softplus, counts))
      / (#rivals + 1)
  end
  return total
end

local function reference(name, users, items, o)
  local total, count = 0, 0
  for u = 1, #users do
    local dots, scores = {}, {}
    for j = 1, #items do
      dots[j] = (users:select(1, u) * items:select(1, j)):sum()
      scores[j] = dots[j] / (o.temperature or 1) - (o.log_q and o.log_q[j] or 0)
    end
    total, count = total + terms[name](o, u, scores, dots), count + #o.positives[u]
  end
  return total / count
end

--- Lists of lists as starts and values.
local function flat(lists, dtype)
  local starts, values = { 0 }, {}
  for u, list in ipairs(lists) do
    table.move(list, 1, #list, #values + 1, values)
    starts[u + 1] = #values
  end
  return i64(starts), #values > 0 and tensor.new(values, dtype) or tensor.zeros(0, dtype)
end

local function loss(name, users, items, o, dtype)
  dtype = dtype or "f64"
  local given = { users = users, items = items }
  for key, value in pairs(o) do given[key] = value end
  given.starts, given.positives = flat(o.positives, "i64")
  if o.excluded then given.excluded_starts, given.excluded = flat(o.excluded, "i64") end
  if o.weights then given.weights = select(2, flat(o.weights, dtype)) end
  if o.log_q then given.log_q = tensor.new(o.log_q, dtype) end
  if o.column_weights then given.column_weights = tensor.new(o.column_weights, dtype) end
  if o.codes then given.codes = i64(o.codes) end
  return nn[name](given)
end

-- The losses as operations of a tape over all scores at once ----------------------------------------------------------

local composed = {}

--- f32 [lists, m]: the sum of the values of each list's cells { column, value }.
local function matrix(lists, m)
  local rows = {}
  for i, cells in ipairs(lists) do
    rows[i] = {}
    for j = 1, m do rows[i][j] = 0 end
    for _, cell in ipairs(cells) do rows[i][cell[1]] = rows[i][cell[1]] + cell[2] end
  end
  return tensor.new(rows, "f32")
end

--- Per row the weights of its positives, and ones where columns are rivals, which are the negatives unless told
--- otherwise; both f32 [n, m].
local function masks(o, n, m)
  local hits, open, columns = {}, {}, {}
  for j = 1, m do columns[j] = j end
  for u = 1, n do
    hits[u], open[u] = {}, {}
    for k, pair in ipairs(pairs_of(o, columns, u)) do hits[u][k] = { pair.s, pair.weight } end
    for k, j in ipairs(Reference.rivals(o, columns, u, o.rivals ~= "all")) do open[u][k] = { j, 1 } end
  end
  return matrix(hits, m), matrix(open, m)
end

local function pairs_in(o)
  local count = 0
  for _, list in ipairs(o.positives) do count = count + #list end
  return count
end

--- <u, v> / temperature - log q
local function scores_of(u, v, o)
  local s = autograd.affine(u:matmul(v, false, true), 1 / (o.temperature or 1), 0)
  return o.log_q and s - u:tape():input(nil, tensor.new(o.log_q, "f32")) or s
end

--- A row for each pair, equal ones computed again.
function composed.catalogue_softmax(u, v, o)
  local alone, e, m, columns = o.rivals == "negatives", o.smoothing or 0, v:size(1), {}
  local rows, targets, open = {}, {}, {}
  for j = 1, m do columns[j] = j end
  for r in ipairs(o.positives) do
    for _, pair in ipairs(pairs_of(o, columns, r)) do
      local rivals = Reference.rivals(o, columns, r, alone)
      if alone then rivals[#rivals + 1] = pair.s end
      local target, cells = { { pair.s, (1 - e) * pair.weight } }, {}
      for k, j in ipairs(rivals) do
        cells[k], target[k + 1] = { j, 1 }, { j, e * pair.weight / #rivals }
      end
      rows[#rows + 1], targets[#targets + 1], open[#open + 1] = r - 1, target, cells
    end
  end
  local tape = u:tape()
  local s = scores_of(u:embedding(tape:input(nil, tensor.new(rows, "i32"))), v, o)
  local log_p = (s + tape:input(nil, (matrix(open, m) - 1) * 1e30)):log_softmax()
  return autograd.affine((log_p * tape:input(nil, matrix(targets, m))):sum(), -1 / #rows, 0)
end

function composed.bilateral_softmax(u, v, o)
  local hits, open = masks(o, u:size(1), v:size(1))
  local weight, tape = hits:sum(2), u:tape()
  local none = weight:eq(0):to "f32"
  local dots = u:matmul(v, false, true)
  local function sums(x, mask) return (x:exp() * tape:input(nil, mask)):sum(2) end
  local positives = sums(autograd.affine(dots, 1 / o.positive_temperature, 0), hits) + tape:input(nil, none)
  local mean = positives / tape:input(nil, weight + none)
  local negatives = autograd.affine(sums(scores_of(u, v, o), open):log(), o.emphasis, 0)
  return ((negatives - mean:log()) * tape:input(nil, weight)):sum() / pairs_in(o)
end

function composed.cosine_contrastive(u, v, o)
  local hits, open = masks(o, u:size(1), v:size(1))
  local tape, s = u:tape(), scores_of(u, v, o)
  local each = open * (hits:sum(2) * o.emphasis / open:sum(2)):reshape(-1, 1)
  local hinges = autograd.affine(s, 1, -o.margin):relu() * tape:input(nil, each)
  local distances = autograd.affine(s, -1, 1) * tape:input(nil, hits)
  return (hinges:sum() + distances:sum()) / pairs_in(o)
end

function composed.gbce(u, v, o)
  local n, m = u:size(1), v:size(1)
  local hits, open = masks(o, n, m)
  local share, tape = 1 / (open:sum(2) + 1):reshape(-1, 1), u:tape()
  local weights = hits * share * o.beta + open * share * hits:sum(2):reshape(-1, 1)
  local mean = autograd.bce(scores_of(u, v, o), tape:input(nil, hits:gt(0):to "f32"), tape:input(nil, weights))
  return autograd.affine(mean, n * m / pairs_in(o), 0)
end

-- Cases ---------------------------------------------------------------------------------------------------------------

local n, m, d = 4, 7, 3
local positives = { { 2, 0 }, {}, { 5 }, { 6, 1, 3 } }
local everything = { positives = positives, weights = { { 0.5, 2 }, {}, { 1.5 }, { 1, 0.25, 3 } },
  excluded = { { 1, 2, 4, 4 }, { 0 }, {}, { 0, 6 } }, log_q = { -1, -2, -0.5, -3, -1, -0.2, -2.5 } }
local sampled = { positives = positives, first = 4, codes = { 0, 2, 5, 6, 1, 3, 2 }, rivals = "negatives",
  excluded = { { 3 }, {}, { 2, 77 }, {} } }

local function with(o, more)
  local all = {}
  for key, value in pairs(o) do all[key] = value end
  for key, value in pairs(more or {}) do all[key] = value end
  return all
end

local cases = {
  catalogue_softmax = { { positives = positives }, with(everything, { temperature = 0.4, smoothing = 0.1 }),
    with(everything, { rivals = "negatives", smoothing = 0.2 }), sampled, with(sampled, { smoothing = 0.3 }) },
  bilateral_softmax = { { positives = positives }, with(everything, { temperature = 0.4, positive_temperature = 0.7 }),
    with(everything, { emphasis = 1.22, temperature = 0.5 }), with(sampled, { rivals = nil }),
    with(everything, { rivals = "all", emphasis = 0.84, temperature = 0.5 }) },
  cosine_contrastive = { { positives = positives }, with(everything, { margin = 0.3, emphasis = 5 }),
    with(sampled, { rivals = nil, margin = -0.2 }) },
  gbce = { { positives = positives }, with(everything, { beta = 0.3, temperature = 0.5 }),
    with(sampled, { rivals = nil }), with(everything, { column_weights = { 2, 0.5, 1, 0, 3, 1, 0.25 } }),
    with(sampled, { column_weights = { 0.5, 2, 1, 0.25, 1, 3, 1 } }) },
}
cases.bilateral_softmax[4].rivals, cases.cosine_contrastive[3].rivals, cases.gbce[3].rivals = nil, nil, nil
cases.gbce[5].rivals = nil

--- Of n rows and m columns, row u with u % 4 positives and as many excluded items.
local function many(rows, columns)
  local o = { positives = {}, excluded = {} }
  for u = 1, rows do
    o.positives[u], o.excluded[u] = {}, {}
    for k = 1, u % 4 do
      o.positives[u][k] = (u * 31 + k * 977) % columns
      o.excluded[u][k] = (u * 17 + k * 1409) % columns
    end
  end
  return o
end

for name, list in pairs(cases) do
  describe(name, function()
    it("is its definition, with every option", function()
      local users, items = normals(6, n, d), normals(7, m, d)
      for _, o in ipairs(list) do
        local tape <close> = autograd.tape {}
        local value = loss(name, tape:input("u", users), tape:input("v", items), o):item()
        assert.is_true(math.abs(value - reference(name, users, items, o)) < 1e-12)
      end
    end)

    it("has the gradients of central differences", function()
      for _, o in ipairs(list) do
        local worst = gradcheck(function(users, items) return loss(name, users, items, o) end,
          { normals(6, n, d), normals(7, m, d) })
        assert.is_true(worst < 1e-6)
      end
      local one = { positives = { { 0 } } }
      assert.is_true(gradcheck(function(u, v) return loss(name, u, v, one) end,
        { normals(8, 1, 1), normals(9, 2, 1) }) < 1e-6)
    end)

    it("has them over several panels and tiles", function()
      local o = many(131, 2061)
      if name == "cosine_contrastive" then o.margin = -50 end -- below all scores: of so many some lie near any other
      local worst = gradcheck(function(u, v) return loss(name, u, v, o) end,
        { normals(8, 131, 2), normals(9, 2061, 2) })
      assert.is_true(worst < 1e-6)
    end)

    it("gives the same bits with one thread and with two, and float32 is near float64", function()
      local users, items, o = normals(10, 700, 16), normals(11, 1500, 16), many(700, 1500)
      local function run(threads, dtype)
        local before = base.threads()
        base.threads(threads)
        local tape <close> = autograd.tape { train = true }
        local u, v = tape:input("u", users:to(dtype), true), tape:input("v", items:to(dtype), true)
        local value = loss(name, u, v, o, dtype)
        tape:backward(value)
        base.threads(before)
        return value:item(), u:grad(), v:grad()
      end
      local value, user_grad, item_grad = run(1, "f32")
      local again, user_again, item_again = run(2, "f32")
      assert.equal(value, again)
      assert.equal(user_grad:to_string(), user_again:to_string())
      assert.equal(item_grad:to_string(), item_again:to_string())
      local exact, user_exact, item_exact = run(2, "f64")
      assert.is_true(math.abs(value - exact) < 4 * 2^-23 * math.sqrt(1500) * math.abs(exact))
      for rounded, gradient in pairs { [user_grad] = user_exact, [item_grad] = item_exact } do
        local difference = (rounded:to "f64" - gradient):abs():max()
        assert.is_true(difference < 1e-6 * gradient:abs():max() * math.sqrt(1500))
      end
    end)

    it("is the same without gradients, and gives rows without positives none", function()
      local users, items = normals(6, n, d), normals(7, m, d)
      local plain <close> = autograd.tape { gradients = false }
      local value = loss(name, plain:input("u", users), plain:input("v", items), list[2]):item()
      local tape <close> = autograd.tape { train = true }
      local u, v = tape:input("u", users, true), tape:input("v", items, true)
      local l = loss(name, u, v, list[2])
      assert.equal(value, l:item())
      tape:backward(l)
      assert.equal(0, u:grad():select(1, 2):abs():max())
      assert.is_true(u:grad():select(1, 1):abs():max() > 0)
    end)
  end)
end

--- f32 rows of length 1.
local function directions(purpose, n_rows, width)
  local t = normals(purpose, n_rows, width)
  return (t / (t * t):sum(2):sqrt():reshape(-1, 1)):to "f32"
end

--- Rows 1 .. distinct, and then the first of them again.
local function some_twice(distinct, rows)
  local list = {}
  for i = 1, rows do list[i] = (i - 1) % distinct + 1 end
  return i64(list)
end

--- A margin near 0.1 that no score is near: on either side of a kink two roundings have different gradients.
local function clear_margin(users, items, log_q)
  local scores = users:to "f64":matmul(items:to "f64", false, true) - (log_q and tensor.new(log_q, "f64") or 0)
  local sorted = scores:reshape(-1):sort()
  local from = sorted:search_sorted(tensor.new({ 0.1, 0.11 }, "f64"))
  local near = sorted:narrow(1, from:get(1) + 1, from:get(2) - from:get(1) - 1)
  local gaps = near:narrow(1, 2, #near - 1) - near:narrow(1, 1, #near - 1)
  local widest = gaps:argmax()
  assert(gaps:max() > 1e-6)
  return near:get(widest) + gaps:max() / 2
end

local options_of = {
  catalogue_softmax = { { temperature = 0.3 }, { temperature = 0.2, smoothing = 0.1 },
    { temperature = 0.3, rivals = "negatives", smoothing = 0.2 }, { temperature = 0.2, rivals = "negatives" } },
  bilateral_softmax = { { temperature = 0.2, positive_temperature = 0.5, emphasis = 0.9 },
    { temperature = 0.3, positive_temperature = 0.3, emphasis = 0.8, rivals = "all" },
    { temperature = 0.3, positive_temperature = 0.3, emphasis = 1 } },
  cosine_contrastive = { { emphasis = 5 }, { emphasis = 2 } },
  gbce = { { temperature = 0.2, beta = 0.4 }, { temperature = 1, beta = 1 } },
}

--- Rows with one item twice, positives that are excluded, weights and log q; and, last, such rows over sampled columns,
--- of which some hold one item.
local function composed_cases(name, users, items)
  local n_rows, columns = #users, #items
  local full = { positives = {}, excluded = {}, weights = {}, log_q = {} }
  for u = 1, n_rows do
    local positive, weight = {}, {}
    for k = 1, u % 5 do positive[k], weight[k] = (u * u + 7 * k) % 40, (k + u % 3) / 4 end
    if u % 5 == 4 then positive[4] = positive[1] end
    full.positives[u], full.weights[u] = positive, weight
    full.excluded[u] = { (u * 17) % columns, (u * 29) % 40, positive[1] }
  end
  for j = 1, columns do full.log_q[j] = -((j * 37) % 50) / 25 end
  local drawn = { positives = full.positives, excluded = full.excluded, codes = {}, first = 60 }
  for j = 1, columns do drawn.codes[j] = (j - 1) % 1050 end
  local list = {}
  for i, o in ipairs(options_of[name]) do
    list[i] = with(i == #options_of[name] and drawn or full, o)
    if name == "cosine_contrastive" then list[i].margin = clear_margin(users, items, list[i].log_q) end
  end
  return list
end

-- Roundings of half an epsilon that add up at random in sums of 1100 terms.
local epsilon <const> = 2^-23
local bound = epsilon / 2 * math.sqrt(1100)

describe("losses over a catalogue", function()
  for name in pairs(cases) do
    it(("equal the same composed of plain operations, to float32 rounding: %s"):format(name), function()
      local users, items = directions(3, 140, 24):index_select(some_twice(110, 140)), directions(4, 1100, 24)
      for _, o in ipairs(composed_cases(name, users, items)) do
        local function gradients(make)
          local tape <close> = autograd.tape { train = true }
          local u, v = tape:input("u", users, true), tape:input("v", items, true)
          local value = make(u, v)
          tape:backward(value)
          return value:item(), u:grad():clone(), v:grad():clone()
        end
        local value, u, v = gradients(function(a, b) return loss(name, a, b, o, "f32") end)
        local expected, u_plain, v_plain = gradients(function(a, b) return composed[name](a, b, o) end)
        assert.is_true(math.abs(value - expected) < 4 * epsilon * math.abs(expected))
        assert.is_true((u - u_plain):abs():max() < bound * u_plain:abs():max())
        assert.is_true((v - v_plain):abs():max() < bound * v_plain:abs():max())
      end
    end)
  end

  it("do not cancel where a positive outweighs all negatives", function()
    local tape <close> = autograd.tape { train = true }
    local users, items = tape:input("u", tensor.new({ { 1 } }), true), tape:input("v", tensor.new({ { 40 }, { 0 } }))
    local value = loss("catalogue_softmax", users, items, { positives = { { 0 } }, rivals = "negatives" }, "f32")
    tape:backward(value)
    assert.is_true(math.abs(value:item() / math.exp(-40) - 1) < 1e-5)
    assert.is_true(math.abs(users:grad():get(1, 1) / (-40 * math.exp(-40)) - 1) < 1e-5)
  end)

  it("show that a score is not a number", function()
    for name in pairs(cases) do
      local tape <close> = autograd.tape {}
      local users, items = tape:input("u", tensor.new({ { 0 / 0 } })), tape:input("v", tensor.new({ { 1 }, { 2 } }))
      local value = loss(name, users, items, { positives = { { 0 } } }, "f32"):item()
      assert.is_true(value ~= value)
    end
  end)

  it("refuse what does not fit", function()
    local tape <close> = autograd.tape {}
    local users, items = tape:input("u", normals(6, n, d)), tape:input("v", normals(7, m, d))
    local function refused(o, message, name)
      local call = nn[name or "catalogue_softmax"]
      assert.has_error(function() call(with({ users = users, items = items }, o)) end, message)
    end
    local starts = i64 { 0, 2, 2, 3, 6 }
    local codes = i64 { 0, 1, 2, 3, 4, 5 }
    refused({}, "catalogue_softmax: starts and positives are needed")
    refused({ starts = i64 { 0, 1 }, positives = codes }, "catalogue_softmax: starts is [2], not [5]")
    refused({ starts = i64 { 0, 2, 1, 3, 6 }, positives = codes },
      "catalogue_softmax: the starts of the positives do not rise from 0 to their number, 6")
    refused({ starts = i64 { 0, 2, 2, 3, 5 }, positives = codes },
      "catalogue_softmax: the starts of the positives do not rise from 0 to their number, 6")
    refused({ starts = i64 { 0, 0, 0, 0, 0 }, positives = tensor.zeros(0, "i64") },
      "gbce: there are no positives, and no mean of nothing", "gbce")
    refused({ starts = starts, positives = i64 { 0, 1, 2, 3, 4, 7 } },
      "catalogue: positive 7 is in no column of the items")
    refused({ starts = starts, positives = codes, excluded = codes },
      "catalogue_softmax: excluded and excluded_starts go together")
    refused({ starts = starts, positives = codes, first = 3 },
      "catalogue_softmax: columns that are no negatives go with negatives as rivals")
    refused({ starts = starts, positives = codes, first = 9, rivals = "negatives" },
      "catalogue_softmax: the first negative is column 8 of 7")
    refused({ starts = starts, positives = codes, column_weights = tensor.zeros(6, "f64") },
      "gbce: column_weights is [6], not [7]", "gbce")
    refused({ starts = starts, positives = codes, weights = tensor.zeros(6) },
      "catalogue_softmax: weights is f32, not f64")
    refused({ starts = starts, positives = codes, log_q = tensor.zeros(3, "f64") },
      "catalogue_softmax: log_q is [3], not [7]")
    refused({ starts = starts, positives = codes, temperature = 0 })
    refused({ starts = starts, positives = codes, temperatur = 1 })
  end)
end)
