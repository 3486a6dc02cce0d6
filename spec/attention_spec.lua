--- Causal attention over bags: against its formula, against PyTorch, its gradients, and what its bits depend on.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local cjson = require "cjson"
local command = require "spec.support.command"
local gradcheck = require "spec.support.gradcheck"
local tensor = require "recsys.tensor"

--- Standard normal numbers, f64.
local function normal(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return base.stream(seed, "user", 9, 9):normals(count):reshape(...)
end

local function offsets(list) return tensor.new(list, "i64") end

--- The value of f(vars of some tensors, offsets).
local function value_of(f, tensors, bags, options)
  local tape <close> = autograd.tape(options or {})
  local vars = {}
  for i, t in ipairs(tensors) do vars[i] = tape:input("x" .. i, t) end
  return f(tape:input("o", bags), table.unpack(vars)):value():clone()
end

--- The same attention from softmax and products, bag by bag and head by head, out of rows that are narrowed.
local function composed(q, k, v, bags, heads)
  local tape <close> = autograd.tape {}
  local d, total = q:size(2), q:size(1)
  local width, result = d // heads, tensor.zeros(total, d, "f64")
  for bag = 1, #bags - 1 do
    local from, n = bags:get(bag), bags:get(bag + 1) - bags:get(bag)
    for head = 1, n > 0 and heads or 0 do
      local function part(t)
        return tape:input(nil, t:narrow(1, from + 1, n):narrow(2, (head - 1) * width + 1, width):contiguous())
      end
      local hidden = tensor.zeros(n, n, "f64")
      for p = 1, n do for j = 1, p - 1 do hidden:set(p, j, -1e30) end end -- what is in front of a row is newer
      local scores = part(q):matmul(part(k), false, true) * (1 / math.sqrt(width)) + tape:input(nil, hidden)
      result:narrow(1, from + 1, n):narrow(2, (head - 1) * width + 1, width):copy_(
        scores:softmax():matmul(part(v)):value())
    end
  end
  return result
end

local function worst(a, b)
  return ((a:to "f64" - b:to "f64"):abs()):max()
end

local function attention(heads, rate)
  return function(o, q, k, v) return q:causal_attention(k, v, o, heads, rate) end
end

describe("causal attention", function()
  local lengths = { 0, 1, 3, 17, 64, 65, 200, 0, 131 }
  local list = { 0 }
  for i, n in ipairs(lengths) do list[i + 1] = list[i] + n end
  local bags, total = offsets(list), list[#list]

  it("is that of its formula, in f64 and in f32, for bags of any length and several heads", function()
    for _, case in ipairs { { 1, 17 }, { 3, 12 }, { 4, 4 }, { 2, 96 } } do
      local heads, d = table.unpack(case)
      local q, k, v = normal(1, total, d) * 2, normal(2, total, d), normal(3, total, d)
      local expected = composed(q, k, v, bags, heads)
      assert(worst(value_of(attention(heads), { q, k, v }, bags), expected) < 1e-13)
      local narrow = value_of(attention(heads), { q:to "f32", k:to "f32", v:to "f32" }, bags)
      assert(worst(narrow, expected) < 2e-6 * math.sqrt(d)) -- roundings of scores of some units
    end
  end)

  it("is PyTorch's, with its gradients", function()
    local python = os.getenv "RECSYS_PEER_PYTHON"
    if not python then return pending "set RECSYS_PEER_PYTHON to a Python that has PyTorch" end
    local heads, d, short = 2, 6, offsets { 0, 5, 5, 6, 75 }
    local given = { normal(1, 75, d), normal(2, 75, d), normal(3, 75, d), normal(4, 75, d) }
    local tape <close> = autograd.tape { train = true }
    local vars = {}
    for i = 1, 3 do vars[i] = tape:input("x" .. i, given[i], true) end
    local y = vars[1]:causal_attention(vars[2], vars[3], tape:input("o", short), heads)
    tape:backward((y * tape:input(nil, given[4])):sum())
    local lists = {}
    for i, t in ipairs(given) do lists[i] = t:tolist() end
    local path = command.scratch(finally) .. "/given.json"
    local file = assert(io.open(path, "w"))
    file:write(cjson.encode { x = lists, offsets = short:tolist(), heads = heads }):close()
    local pipe = assert(io.popen(("%s spec/peers/attention.py %s"):format(python, path)))
    local found = cjson.decode(pipe:read "a")
    pipe:close()
    assert(worst(y:value(), tensor.new(found.y, "f64")) < 1e-13)
    for i = 1, 3 do assert(worst(vars[i]:grad(), tensor.new(found.gradients[i], "f64")) < 1e-12) end
  end)

  it("has gradients by central differences, with shares dropped or not", function()
    for _, case in ipairs { { { 0, 3, 3, 4, 8 }, 1, 3, 0 }, { { 0, 3, 3, 4, 8 }, 2, 4, 0.4 },
      { { 0, 70, 71 }, 1, 2, 0.3 } } do
      local at, heads, d, rate = table.unpack(case)
      local n = at[#at]
      local worst_error = gradcheck(function(q, k, v, o) return q:causal_attention(k, v, o, heads, rate) end,
        { normal(1, n, d), normal(2, n, d), normal(3, n, d), { data = offsets(at) } })
      assert(worst_error < 1e-6, worst_error)
    end
    local one = gradcheck(function(x, o) return x:causal_attention(x, x, o, 1):bag_first(o) end,
      { normal(1, 6, 3), { data = offsets { 0, 2, 2, 6 } } })
    assert(one < 1e-6, one)
  end)

  it("of a bag has the bits of the bag alone, on any number of threads", function()
    local q, k, v = normal(1, total, 32):to "f32", normal(2, total, 32):to "f32", normal(3, total, 32):to "f32"
    local all = value_of(attention(2), { q, k, v }, bags)
    local from, n = list[7], lengths[7]
    local alone = value_of(attention(2), { q:narrow(1, from + 1, n), k:narrow(1, from + 1, n),
      v:narrow(1, from + 1, n) }, offsets { 0, n })
    assert.same(alone:tolist(), all:narrow(1, from + 1, n):tolist())
    local had = base.threads()
    finally(function() base.threads(had) end)
    local function trained(threads)
      base.threads(threads)
      local tape <close> = autograd.tape { train = true, seed = 3 }
      local x = tape:input("q", q, true)
      local y = x:causal_attention(tape:input("k", k), tape:input("v", v), tape:input("o", bags), 2, 0.3)
      tape:backward((y * y):sum())
      return y:value():tolist(), x:grad():tolist()
    end
    local y, g = trained(1)
    local y2, g2 = trained(2)
    assert.same(y, y2)
    assert.same(g, g2)
  end)

  it("drops shares at its rate while the tape trains, and nothing in evaluation", function()
    local n, d = 150, 1
    local ones = tensor.full(1, n, d, "f64")
    local function with(options)
      local given = { ones * 0, ones, ones }
      return value_of(attention(1, 0.25), given, offsets { 0, n }, options)
    end
    assert(worst(with {}, ones) < 1e-14)
    local kept = with { train = true, seed = 1 }
    assert.equal(0, #kept:reshape(-1):gt(n * 4 / 3 + 1e-9):nonzero())
    -- Row p sums n - p shares alike, each kept with .75: the first hundred have a deviation of 0.58 / sqrt(50 to 150).
    assert.near(1, kept:reshape(-1):narrow(1, 1, 100):mean(), 4 * 0.58 / math.sqrt(100 * 50))
    assert(worst(kept, with { train = true, seed = 2 }) > 0.01)
    assert.equal(0, worst(kept, with { train = true, seed = 1 }))
  end)

  it("refuses what does not fit", function()
    local function raises(message, f)
      assert.has_error(function()
        local tape <close> = autograd.tape {}
        f(function(...) return tape:input(nil, tensor.zeros(...)) end, tape:input("o", offsets { 0, 3 }))
      end, message)
    end
    raises("causal_attention: q is [3, 4], k [3, 2] and v [3, 4], not all [total, d]",
      function(put, o) put(3, 4):causal_attention(put(3, 2), put(3, 4), o, 1) end)
    raises("causal_attention: the width 4 is no multiple of 3 heads",
      function(put, o) put(3, 4):causal_attention(put(3, 4), put(3, 4), o, 3) end)
    raises("causal_attention: input 'o' must ascend from 0 to the number of rows, 2",
      function(put, o) put(2, 4):causal_attention(put(2, 4), put(2, 4), o, 1) end)
    raises("bad argument #4 to 'causal_attention' (1 to 65536 heads are expected)",
      function(put, o) put(3, 4):causal_attention(put(3, 4), put(3, 4), o, 0) end)
    raises("bad argument #5 to 'causal_attention' (rate must be in [0, 1))",
      function(put, o) put(3, 4):causal_attention(put(3, 4), put(3, 4), o, 1, 1) end)
    raises("bag_first: input 'o' must ascend from 0 to the number of rows, 2",
      function(put, o) put(2, 4):bag_first(o) end)
  end)
end)

describe("bag_first", function()
  it("is the first row of each bag, 0 of an empty one, and gives its gradient to those rows", function()
    local x, at = tensor.new({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, "f32"), offsets { 0, 0, 2, 3 }
    local found = value_of(function(o, v) return v:bag_first(o) end, { x }, at)
    assert.same({ { 0, 0 }, { 1, 2 }, { 5, 6 } }, found:tolist())
    local worst_error = gradcheck(autograd.bag_first, { normal(1, 3, 5), { data = at } })
    assert(worst_error < 1e-6, worst_error)
  end)
end)
