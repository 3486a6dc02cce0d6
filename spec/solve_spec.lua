--- Closed forms from Lua, beside what other programs make of the same numbers; bits, threads and normal equations are
--- in runtime/solve/*_test.c.

local autograd = require "recsys.autograd"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"

local function pairs_of(shift)
  return tensor.csr(tensor.new({ 0, 3, 5, 6, 10 }, "i64"), tensor.new({ 0, 2, 4, 1, 2, 3, 0, 1, 3, 4 }, "i32"),
    tensor.new({ 2, 1, 3, 1, 1.5, 4, 1, 1, 2, 1 }, "f32") - shift, 5)
end

local function begin()
  return tensor.new({ { .1, .2, -.3 }, { .4, -.1, .2 }, { 0, .3, .1 }, { -.2, .1, .5 } }, "f32"),
    tensor.new({ { .3, .1, 0 }, { -.1, .2, .4 }, { .2, -.3, .1 }, { .5, .1, -.2 }, { .1, .1, .3 } }, "f32")
end

local function assert_near(expected, t, tolerance)
  for i, row in ipairs(t:tolist()) do
    for j, x in ipairs(row) do assert.near(expected[i][j], x, tolerance, ("%d, %d"):format(i, j)) end
  end
end

describe("solve.implicit", function()
  --- Sweeps of Hu, Koren & Volinsky as implicit has them: its confidence c is ours of 1 and a weight of c - 1.
  local function sweeps(n, steps)
    local x, y = begin()
    local by_user = pairs_of(1)
    local by_item = by_user:transpose()
    for _ = 1, n do
      solve.implicit { pairs = by_user, factors = y, into = x, confidence = true, regularization = .1, steps = steps }
      solve.implicit { pairs = by_item, factors = x, into = y, confidence = true, regularization = .1, steps = steps }
    end
    return x, y
  end

  it("comes to implicit's vectors, by Cholesky and by conjugate gradients", function()
    -- implicit 0.7.3, AlternatingLeastSquares(factors=3, regularization=.1, iterations=2, use_cg=False) from begin().
    local x, y = sweeps(2, 0)
    assert_near({ { 1.693408, -0.422295, 1.756948 }, { 0.424908, -0.725668, 1.271044 },
      { 1.227683, 0.634716, -0.581184 }, { 1.637692, 1.467896, 1.134579 } }, x, 2e-5)
    assert_near({ { 0.200194, 0.204607, 0.351787 }, { -0.145809, 0.369194, 0.501107 },
      { 0.286166, -0.517335, 0.252086 }, { 0.489407, 0.319145, -0.258809 }, { 0.216143, 0.187861, 0.353928 } }, y, 2e-5)
    -- The same with use_cg=True, iterations=1 and cg_steps = 1, 2: the users.
    assert_near({ { 1.829414, 0.4922, 1.658757 }, { 0.416919, -0.721775, 1.625429 },
      { 1.384871, 0.517712, -0.492622 }, { 1.925601, 0.880354, 0.552484 } }, (sweeps(1, 1)), 2e-5)
    assert_near({ { 1.958364, -0.513103, 1.922396 }, { 0.632276, -0.959573, 1.607293 },
      { 1.362078, 0.631197, -0.508192 }, { 1.98822, 1.488793, 1.437045 } }, (sweeps(1, 2)), 2e-5)
  end)

  it("has a penalty that grows with a row's pairs", function()
    -- NumPy: solve(.3 Y'Y + Y_u' W Y_u + .05 (n_u + .3 * 5)^.8 I, Y_u' w) in f64.
    local x, y = begin()
    solve.implicit { pairs = pairs_of(0), factors = y, into = x, unobserved = .3, regularization = .05, scaling = .8 }
    assert_near({ { 1.8030591, 0.049186, 1.5776952 }, { 0.5360812, -0.7606573, 1.5207559 },
      { 1.376659, 0.4601579, -0.5186468 }, { 1.502271, 1.0336434, 0.9180028 } }, x, 5e-6)
  end)

  it("says what is wrong", function()
    local x, y = begin()
    local function refuses(message, sweep)
      sweep.pairs, sweep.factors = sweep.pairs or pairs_of(0), sweep.factors or y
      assert.has_error(function() solve.implicit(sweep) end, message)
    end
    refuses("bad argument #1 to 'implicit' (option 'into' must be an open Tensor)", {})
    refuses("bad argument #1 to 'implicit' (there is no option 'step')", { into = x, step = 1 })
    refuses("bad argument #1 to 'implicit' (option 'pairs' must be a Csr)", { into = x, pairs = y })
    refuses("implicit: rows [5, 3] and factors [5, 3] for pairs [4, 5]", { into = y })
    refuses("implicit: the rows are f64, the pairs f32 and the factors f32, not f32", { into = x:to "f64" })
    refuses("implicit: weight -1 of pair 1", { into = x, pairs = pairs_of(2) })
    refuses("implicit: regularization 0 (above 0), unobserved 1, scaling 0 (0 to 16), steps 0 and others 0 (0 or more)",
      { into = x, regularization = 0 })
    refuses("implicit: row 1 has no finite solution: its pairs, its weights or its penalty hold a number that is " ..
      "not finite or far too large", { into = x, pairs = tensor.csr(tensor.new({ 0, 0, 1, 1, 1 }, "i64"),
      tensor.new({ 2 }, "i32"), tensor.new({ 1 / 0 }, "f32"), 5) })
  end)
end)

describe("solve.basis", function()
  it("gives axes on which the Gramian is diagonal", function()
    local _, y = begin()
    local spectrum, turn = solve.basis(y)
    local gram = solve.gram(y:matmul(turn)):tolist()
    for i = 1, 3 do
      for j = 1, 3 do assert.near(i == j and spectrum:get(i) or 0, gram[i][j], 1e-6) end
    end
    assert.is_true(spectrum:get(1) <= spectrum:get(2) and spectrum:get(2) <= spectrum:get(3))
  end)
end)

describe("autograd.fold_in", function()
  local function fold(items, spectrum, list, at, weights, options)
    local tape <close> = autograd.tape()
    local codes = #list > 0 and tensor.new(list, "i32") or tensor.zeros(0, "i32")
    local given = weights and tape:input("w", tensor.new(weights, "f32"))
    return autograd.fold_in(tape:input("items", items), tape:input("spectrum", spectrum), tape:input("codes", codes),
      tape:input("at", tensor.new(at, "i64")), given, options):value()
  end

  for _, confidence in ipairs { false, true } do
    it(("gives what a half sweep gives, %s confidence"):format(confidence and "with" or "without"), function()
      local x, y = begin()
      local spectrum, turn = solve.basis(y)
      local options = { unobserved = .3, regularization = .05, scaling = .8, others = 5, confidence = confidence }
      local sweep = { pairs = pairs_of(0), factors = y, into = x, others = 5, confidence = confidence, unobserved = .3,
        regularization = .05, scaling = .8 }
      local expected = solve.implicit(sweep):matmul(turn)
      local items = tensor.concat({ tensor.full(7, 1, 3), y:matmul(turn) }, 1)
      local weights = { 2, 1, 3, 1, 1.5, 4, 1, 1, 2, 1 }
      assert_near(expected:tolist(), fold(items, spectrum, { 1, 3, 5, 2, 3, 4, 1, 2, 4, 5 }, { 0, 3, 5, 6, 10 },
        weights, options), 2e-5)
    end)
  end

  it("leaves out what is unknown and what weighs nothing", function()
    local _, y = begin()
    local spectrum, turn = solve.basis(y)
    local items, options = y:matmul(turn), { scaling = 1, others = 4 }
    local found = fold(items, spectrum, { 1, 0, 2, 2, 1, 2, 0 }, { 0, 4, 6, 7, 7 }, { 1, 1, 1, 0, 1, 1, 1 }, options)
    assert.same(found:select(1, 2):tolist(), found:select(1, 1):tolist())
    assert.same({ { 0, 0, 0 }, { 0, 0, 0 } }, found:narrow(1, 3, 2):tolist())
  end)
end)

describe("solve.elastic_net", function()
  local dense = { { 0, 0, 0, 2.38, 2.48, 1.95 }, { 2.12, .81, 1.93, 0, 0, 1.61 }, { 1.46, 0, 0, 0, .5, 1.34 },
    { 0, 2.37, 0, 1.15, 0, .88 }, { 0, 0, 1.31, 0, 0, 2.16 }, { 0, 1.55, 0, 1.48, 1.61, .71 },
    { 0, 1.06, 1.39, 0, .51, 0 }, { 1.18, 2.36, 0, 0, 0, 1.83 }, { 2.22, 0, 2.09, 0, 1.69, 0 },
    { 1.5, 0, 0, .51, 0, 0 }, { 0, .91, .6, 0, 1.7, 0 }, { 0, 1.23, 0, 1.86, 2.07, 0 } }

  local function matrix()
    local starts, columns, values = { 0 }, {}, {}
    for i, row in ipairs(dense) do
      for j, x in ipairs(row) do
        if x ~= 0 then columns[#columns + 1], values[#values + 1] = j - 1, x end
      end
      starts[i + 1] = #columns
    end
    return tensor.csr(tensor.new(starts, "i64"), tensor.new(columns, "i32"), tensor.new(values, "f32"), 6)
  end

  it("comes to scikit-learn's weights", function()
    -- scikit-learn 1.9.1, ElasticNet(alpha=(.7+1.3)/12, l1_ratio=.7/2, fit_intercept=False, positive=..., tol=1e-12).
    local options = { l1 = .7, l2 = 1.3, tolerance = 1e-7, sweeps = 1000 }
    assert_near({ { 0, 0.062868, 0.425819, 0, 0.018013, 0.250721 }, { 0.012984, 0, 0, 0.124553, 0, 0.2221 },
      { 0.508695, 0.054301, 0, 0, 0.328607, 0.168048 }, { 0, 0.333971, 0, 0, 0.804509, 0.295066 },
      { 0, 0.000691, 0.10607, 0.483302, 0, 0 }, { 0.196695, 0.269912, 0.070576, 0.090139, 0, 0 } },
      solve.elastic_net(matrix(), options):dense(), 3e-6)
    options.positive = false
    assert_near({ { 0, 0.062868, 0.374278, -0.038996, 0.021357, 0.250721 },
      { 0.012984, 0, 0.006557, 0.127885, 0, 0.2221 }, { 0.508695, 0.054301, 0, -0.23585, 0.331262, 0.168048 },
      { 0, 0.333971, -0.235457, 0, 0.809482, 0.295066 }, { 0, 0.000691, 0.235853, 0.52733, 0, 0 },
      { 0.196695, 0.269912, 0.126254, 0.163168, -0.010913, 0 } },
      solve.elastic_net(matrix(), options):dense(), 3e-6)
  end)

  it("lets but the nearest neighbours take part", function()
    local m = matrix()
    local one = solve.elastic_net(m, { l1 = .1, l2 = .1, neighbours = 1 }):dense():tolist()
    local columns = m:dense():tolist()
    for j = 1, 6 do
      local best, found = { 0 }, 0
      for k = 1, 6 do
        local dot, square = 0, 0
        for i = 1, 12 do dot, square = dot + columns[i][j] * columns[i][k], square + columns[i][k] ^ 2 end
        if k ~= j and dot / square ^ .5 > best[1] then best = { dot / square ^ .5, k, (dot - .1) / (square + .1) } end
        if one[k][j] ~= 0 then found = found + 1 end
      end
      assert.equal(1, found)
      assert.near(best[3], one[best[2]][j], 1e-6)
    end
  end)

  it("says what is wrong", function()
    assert.has_error(function() solve.elastic_net(matrix(), { l1 = 0, l2 = 0 }) end,
      "elastic_net: l1 0 and l2 0 must be 0 or more, and not both 0")
    assert.has_error(function() solve.elastic_net(matrix(), { tolerance = 0 }) end,
      "elastic_net: neighbours 100 and sweeps 100 must be 1 or more, tolerance 0 above 0")
    assert.has_error(function() solve.elastic_net(matrix():to "f64") end, "elastic_net: the matrix is f64, not f32")
    local bad = tensor.csr(tensor.new({ 0, 1 }, "i64"), tensor.new({ 0 }, "i32"), tensor.new({ -2 }, "f32"), 1)
    assert.has_error(function() solve.elastic_net(bad) end,
      "elastic_net: value -2 of entry 0 is not 0 or more, or far too large")
  end)
end)
