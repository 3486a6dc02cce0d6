--- Tensors from Lua: making, viewing, arithmetic, rows and order.

local tensor = require "recsys.tensor"
local base = require "recsys.base"

local DTYPES = { "f32", "f64", "i32", "i64", "u8" }

describe("tensor", function()
  it("is made from nested tables, a number or bytes", function()
    local t = tensor.new({ { 1, 2, 3 }, { 4, 5, 6 } })
    assert.same({ 2, 3 }, t:size())
    assert.equal("f32", t:dtype())
    assert.equal(2, #t)
    assert.equal(6, t:get(2, -1))
    assert.equal(7, tensor.new(7, "i64"):item())
    assert.same({ 0, 2 }, tensor.new({ {}, {} }):transpose():size())
    assert.same({ 1, 2, 3 }, tensor.from_string(string.pack("<i4i4i4", 1, 2, 3), "i32"):tolist())
    assert.equal(string.pack("<dd", 1, 4), t:to("f64"):select(2, 1):to_string())
    assert.has_error(function() tensor.new({ { 1, 2 }, { 3 } }) end,
      "tensor.new: the nested tables have different lengths")
    assert.has_error(function() tensor.new({ 1, "x" }) end, "tensor.new: a number expected, got string")
  end)

  it("prints in one line", function()
    assert.equal("Tensor f32 [256, 64]", tostring(tensor.zeros(256, 64)))
    local t = tensor.zeros(1)
    t:close()
    t:close()
    assert.equal("Tensor (closed)", tostring(t))
    assert.has_error(function() t:sum() end, "calling 'sum' on bad self (tensor is closed)")
  end)

  it("names the argument that is out of range", function()
    assert.has_error(function() tensor.zeros(4, 8):narrow(3, 1, 1) end,
      "bad argument #1 to 'narrow' (index 3 out of range 1..2)")
    assert.has_error(function() tensor.zeros(2, "f16") end,
      "bad argument #2 to 'zeros' (there is no dtype 'f16' (f32, f64, i32, i64, u8 or bf16))")
  end)

  it("counts positions from 1 and from the end", function()
    local t = tensor.arange(12):reshape(3, 4)
    assert.equal(5, t:get(2, 2))
    assert.equal(11, t:get(-1, -1))
    assert.same({ { 4, 5 }, { 8, 9 } }, t:narrow(1, 2, 2):narrow(2, 1, 2):tolist())
    assert.same({ 1, 5, 9 }, t:select(-1, 2):tolist())
    t:set(1, 1, 100)
    assert.equal(100, t:transpose():get(1, 1))
    assert.equal(0, t:narrow(1, 4, 0):size(1))
  end)

  it("keeps integers of 64 bits exact", function()
    local t = tensor.new({ math.maxinteger, math.mininteger }, "i64")
    assert.same({ math.maxinteger, math.mininteger }, t:tolist())
    assert.equal(math.mininteger, (t + 1):get(1))
  end)

  it("fills and counts", function()
    assert.same({ { 2.5, 2.5 } }, tensor.full(2.5, 1, 2):tolist())
    assert.same({ 3, 5, 7 }, tensor.arange(3, 9, 2):tolist())
    assert.same({ 3, 2, 1 }, tensor.arange(3, 0, -1):tolist())
    assert.equal("i64", tensor.arange(3):dtype())
    assert.same({ 0, 0.5 }, tensor.arange(0, 1, 0.5):tolist())
    assert.equal(0, #tensor.arange(5, 2))
    local t = tensor.zeros(2, 3)
    t:select(1, 2):fill_(7)
    t:narrow(2, 1, 2):copy_(tensor.new { 1, 2 })
    assert.same({ { 1, 2, 0 }, { 1, 2, 7 } }, t:tolist())
  end)

  it("broadcasts as NumPy does", function()
    local column, row = tensor.new { { 10 }, { 20 }, { 30 } }, tensor.new { 1, 2 }
    assert.same({ { 11, 12 }, { 21, 22 }, { 31, 32 } }, (column + row):tolist())
    assert.same({ { 9, 8 }, { 19, 18 }, { 29, 28 } }, (column - row):tolist())
    assert.same({ { 10, 5 }, { 20, 10 }, { 30, 15 } }, (column / row):tolist())
    assert.same({ { 2, 4 } }, (row * 2):reshape(1, -1):tolist())
    assert.has_error(function() return tensor.zeros(3) + tensor.zeros(2) end, "add: [3] and [2] do not broadcast")
  end)

  it("agrees with plain loops for every operator, dtype and layout", function()
    local stream = base.stream(5, "user")
    local a64 = (stream:uniforms(7 * 5) * 20):floor():reshape(7, 5) - 8
    local b64 = (stream:uniforms(5 * 7, 100) * 6):floor():reshape(5, 7) + 1
    local operators = {
      add = function(x, y) return x + y end,
      sub = function(x, y) return x - y end,
      mul = function(x, y) return x * y end,
      maximum = math.max,
      minimum = math.min,
      gt = function(x, y) return x > y and 1 or 0 end,
      ge = function(x, y) return x >= y and 1 or 0 end,
      lt = function(x, y) return x < y and 1 or 0 end,
      le = function(x, y) return x <= y and 1 or 0 end,
      eq = function(x, y) return x == y and 1 or 0 end,
      ne = function(x, y) return x ~= y and 1 or 0 end,
    }
    for _, dtype in ipairs(DTYPES) do
      local a, b = a64:to(dtype), b64:to(dtype):transpose()
      if dtype == "u8" then a = a64:abs():to("u8") end
      local mod, idiv = a % b, a // b
      for i = 1, 7 do
        for j = 1, 5 do
          local x, y = a:get(i, j), b:get(i, j)
          assert.equal(x % y, mod:get(i, j))
          assert.equal(x // y, idiv:get(i, j))
        end
      end
      for name, plain in pairs(operators) do
        local c = a[name](a, b)
        for i = 1, 7 do
          for j = 1, 5 do
            local expected = plain(a:get(i, j), b:get(i, j))
            if dtype == "u8" then expected = expected & 255 end
            assert.equal(expected, c:get(i, j), name .. " " .. dtype)
          end
        end
      end
    end
  end)

  it("meets in the wider dtype", function()
    local i, f, d = tensor.new({ 1, 2 }, "i32"), tensor.new({ 1, 2 }), tensor.new({ 1, 2 }, "f64")
    assert.equal("f32", (i + f):dtype())
    assert.equal("f64", (f * d):dtype())
    assert.equal("i32", (i + 1):dtype())
    assert.equal("i64", (i + (1 << 40)):dtype())
    assert.equal("f64", (i * 0.5):dtype())
    assert.equal("f64", (i / i):dtype())
    assert.equal("f32", (1 - f):dtype())
    assert.same({ 0, -1 }, (1 - i):tolist())
    assert.equal("i64", (i:to("u8") - 300):dtype())
    assert.has_error(function() i:add_(f) end, "bad argument #1 to 'add_' (f32 does not fit in i32)")
  end)

  it("changes in place what ends in an underscore", function()
    local w = tensor.new { 1, 2, 3 }
    w:add_(tensor.new { 10, 10, 10 }, -0.1):mul_(2):sub_(1):div_(tensor.new { 1, 1, 3 })
    assert.same({ -1, 1, 1 }, w:tolist())
    assert.same({ 4, 5, 6 }, tensor.new { 1, 2, 3 }:add_(3):tolist()) -- once, not 3 times 3
    assert.same({ -2, -1, 0 }, tensor.new { 1, 2, 3 }:sub_(3):tolist())
    assert.same({ 4, 5, 6 }, tensor.new { 1, 2, 3 }:add_(tensor.full(3, 3, "i32")):tolist())
    assert.same({ 7, 8, 9 }, tensor.new { 1, 2, 3 }:add_(3, 2):tolist())
    local t = tensor.arange(5):to("f32")
    t:narrow(1, 2, 4):add_(t:narrow(1, 1, 4)) -- overlapping views read what was there before
    assert.same({ 0, 1, 3, 5, 7 }, t:tolist())
  end)

  it("refuses integer division by 0", function()
    local i = tensor.new({ 1, 2 }, "i64")
    assert.has_error(function() return i // 0 end, "idiv: integer division by 0")
    assert.has_error(function() return i % tensor.new({ 1, 0 }, "i64") end, "mod: integer division by 0")
    assert.same({ math.mininteger }, (tensor.new({ math.mininteger }, "i64") // -1):tolist())
  end)

  it("maps element by element", function()
    local t = tensor.new({ -1.5, 0, 4 }, "f64")
    assert.same({ 1.5, 0, 4 }, t:abs():tolist())
    assert.same({ 1.5, 0, -4 }, (-t):tolist())
    assert.same({ math.exp(-1.5), 1, math.exp(4) }, t:exp():tolist())
    assert.same({ -2, 0, 4 }, t:floor():tolist())
    assert.equal(2, t:sqrt():get(3))
    assert.equal(math.log(4), t:log():get(3))
    assert.same({ -1, 0, 2 }, t:clamp(-1, 2):tolist())
    assert.same({ 0, 0, 4 }, t:clamp(0):tolist())
    assert.has_error(function() tensor.zeros(2, "i32"):exp() end, "exp: i32 is not served")
  end)

  it("casts with saturation, and NaN to 0", function()
    local t = tensor.new({ 0 / 0, 1e30, -1e30, 2.9, -2.9 }, "f64")
    assert.same({ 0, 2147483647, -2147483648, 2, -2 }, t:to("i32"):tolist())
    assert.same({ 0, math.maxinteger, math.mininteger, 2, -2 }, t:to("i64"):tolist())
    assert.same({ 0, 255, 0, 2, 0 }, t:to("u8"):tolist())
    assert.same({ 255, 0 }, tensor.new({ 1000, -1 }, "i64"):to("u8"):tolist())
  end)

  it("keeps NaN visible", function()
    local t = tensor.new({ 1, 0 / 0, 3 }, "f64")
    for _, value in ipairs { t:sum(), t:mean(), t:max(), t:min(), t:maximum(5):get(2), t:clamp(0, 1):get(2) } do
      assert.is_true(value ~= value)
    end
    assert.equal(2, t:argmax())
    assert.same({ 0, 2, 1 }, t:argsort():tolist())
    assert.same({ 2, 0, 1 }, t:argsort(true):tolist())
  end)

  it("reduces over everything and over each dimension", function()
    for _, dtype in ipairs(DTYPES) do
      local t = tensor.arange(24):to(dtype):reshape(2, 3, 4)
      assert.equal(276, t:sum())
      assert.equal(11.5, t:mean())
      assert.equal(23, t:max())
      assert.equal(0, t:min())
      assert.equal(24, t:argmax())
      assert.same({ { 12, 14, 16, 18 }, { 20, 22, 24, 26 }, { 28, 30, 32, 34 } }, t:sum(1):tolist())
      assert.same({ { 4, 5, 6, 7 }, { 16, 17, 18, 19 } }, t:mean(2):tolist())
      assert.same({ { 3, 7, 11 }, { 15, 19, 23 } }, t:max(3):tolist())
      assert.same({ { 2, 2, 2, 2 }, { 2, 2, 2, 2 } }, t:argmax(2):tolist())
      assert.same({ { 0, 0, 0 }, { 0, 0, 0 } }, t:transpose(1, 3):argmin(1):transpose():tolist())
    end
    assert.equal(0, tensor.zeros(0):sum())
    assert.same({ 0, 0, 0 }, tensor.zeros(0, 3):sum(1):tolist())
    assert.has_error(function() tensor.zeros(0):max() end, "max: nothing to take it of in [0]")
  end)

  it("reduces large tensors to the same bits with any number of threads", function()
    local threads = base.threads()
    local t = base.stream(1, "user"):normals(100003)
    local plain = 0
    for i = 1, #t do plain = plain + t:get(i) end
    local results = {}
    for n = 1, 3 do
      base.threads(n)
      results[n] = { t:sum(), t:argmax(), t:min(), (t * t + 1):sqrt():mean() }
    end
    base.threads(threads)
    assert.same(results[1], results[2])
    assert.same(results[1], results[3])
    assert.is_true(math.abs(plain - results[1][1]) < 1e-9)
    assert.equal(t:max(), t:get(results[1][2]))
  end)

  it("multiplies matrices with either transposed", function()
    local a, b = tensor.new { { 1, 2, 3 }, { 4, 5, 6 } }, tensor.new { { 1, 0 }, { 0, 1 }, { 1, 1 } }
    assert.same({ { 4, 5 }, { 10, 11 } }, a:matmul(b):tolist())
    assert.same({ { 4, 5 }, { 10, 11 } }, tensor.matmul(a:transpose():contiguous(), b, true):tolist())
    assert.same({ { 4, 5 }, { 10, 11 } }, a:matmul(b:transpose():contiguous(), false, true):tolist())
    assert.has_error(function() a:matmul(a) end, "matmul: a is [2, 3], b is [2, 3], the result [2, 3]")
  end)

  it("sorts stably, by any dtype", function()
    for _, dtype in ipairs(DTYPES) do
      local t = tensor.new({ 3, 1, 2, 1, 3, 0 }, dtype)
      assert.same({ 5, 1, 3, 2, 0, 4 }, t:argsort():tolist())
      assert.same({ 0, 4, 2, 1, 3, 5 }, t:argsort(true):tolist())
      assert.same({ 0, 1, 1, 2, 3, 3 }, t:sort():tolist())
      local values, counts = t:unique()
      assert.same({ 0, 1, 2, 3 }, values:tolist())
      assert.same({ 1, 2, 1, 2 }, counts:tolist())
    end
    assert.same({ 1, 3, 0, 2 }, tensor.new({ 0, -1, 0.0, -0.5 }):argsort():tolist())
    local t = base.stream(2, "user"):normals(3000)
    local list = t:tolist()
    table.sort(list)
    assert.same(list, t:sort():tolist())
  end)

  it("finds distinct integers in the order of their first place, and where each element's stands", function()
    for _, dtype in ipairs { "i32", "i64" } do
      local values, of = tensor.new({ 7, -1, 7, 3, -1, 7 }, dtype):distinct()
      assert.same({ { 7, -1, 3 }, { 0, 1, 0, 2, 1, 0 } }, { values:tolist(), of:tolist() })
      assert.same({ dtype, "i64" }, { values:dtype(), of:dtype() })
    end
    local every_other = tensor.new({ 5, 0, 6, 0, 5, 0 }, "i64"):reshape(3, 2):select(2, 1)
    assert.same({ 5, 6 }, every_other:distinct():tolist())
    assert.equal(0, tensor.zeros(0, "i64"):distinct():count())
    assert.has_error(function() tensor.zeros(3):distinct() end, "distinct: wants i64 or i32, not f32")
  end)

  it("counts, accumulates and searches", function()
    local codes = tensor.new({ 1, 3, 1, 0 }, "i32")
    assert.same({ 1, 2, 0, 1 }, codes:bincount():tolist())
    assert.same({ 1, 2, 0, 1, 0 }, codes:bincount(5):tolist())
    assert.same({ 4, 4, 0, 2 }, codes:bincount(nil, tensor.new { 1, 2, 3, 4 }):tolist())
    assert.has_error(function() codes:bincount(3) end, "bincount: 3 lies outside 0 .. 2")
    assert.same({ 1, 4, 5, 5 }, codes:cumsum():tolist())
    assert.same({ 0.5, 1 }, tensor.new({ 0.5, 0.5 }):cumsum():tolist())
    local edges = tensor.new({ 1, 2, 2, 4 }, "f64")
    local values = tensor.new({ 0, 2, 3, 9 }, "f64")
    assert.same({ 0, 1, 3, 4 }, edges:search_sorted(values):tolist())
    assert.same({ 0, 3, 3, 4 }, edges:search_sorted(values, true):tolist())
  end)

  it("selects, gathers, adds and copies rows, which count from 0", function()
    local t = tensor.arange(8):to("f32"):reshape(4, 2)
    local rows = tensor.new({ 3, 0, 3 }, "i64")
    assert.same({ { 6, 7 }, { 0, 1 }, { 6, 7 } }, t:index_select(rows):tolist())
    assert.same({ 3, 1 }, t:select(2, 2):index_select(tensor.new({ 1, 0 }, "i32")):tolist())
    assert.has_error(function() t:index_select(tensor.new({ 4 }, "i64")) end,
      "index_select: row 4 of 4 rows (they count from 0)")
    local sums = tensor.zeros(4, 2):index_add_(rows, tensor.new { { 1, 1 }, { 2, 2 }, { 3, 3 } })
    assert.same({ { 2, 2 }, { 0, 0 }, { 0, 0 }, { 4, 4 } }, sums:tolist())
    sums:index_copy_(rows, tensor.new { { 1, 1 }, { 2, 2 }, { 3, 3 } })
    assert.same({ { 2, 2 }, { 0, 0 }, { 0, 0 }, { 3, 3 } }, sums:tolist())
    assert.same({ { 1 }, { 2 }, { 5 }, { 6 } }, t:gather(tensor.new({ { 1 }, { 0 }, { 1 }, { 0 } }, "i64")):tolist())
    local mask = t:select(2, 1):gt(1)
    assert.equal(3, mask:sum())
    assert.same({ 1, 2, 3 }, mask:nonzero():tolist())
    assert.same({ 0, 2, 4, 6 }, tensor.where(mask, t:select(2, 1), 0):tolist())
    local column = tensor.new { { 1 }, { 1 } }
    assert.same({ { 1, 5 }, { 1, 5 } }, tensor.where(tensor.new({ 1, 0 }, "u8"), column, 5):tolist())
  end)

  it("concatenates along a dimension", function()
    local a, b = tensor.new { { 1, 2 } }, tensor.new { { 3, 4 }, { 5, 6 } }
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, tensor.concat({ a, b }):tolist())
    assert.same({ { 3, 4, 4, 3 }, { 5, 6, 6, 5 } }, tensor.concat({ b, b:transpose():transpose() * 0 + b:index_select(
      tensor.arange(2)):matmul(tensor.new { { 0, 1 }, { 1, 0 } }) }, 2):tolist())
    assert.has_error(function() tensor.concat({ a, b }, 2) end, "concat: f32 [2, 2] does not continue f32 [1, 2]")
  end)
end)

describe(".npy files", function()
  local command = require "spec.support.command"

  it("come back as they were written, mapped and read-only", function()
    local path = command.scratch(finally) .. "/a.npy"
    local t = tensor.new({ { 1, 2, 3 }, { 4, 5, 6 } }, "f64")
    assert(tensor.save_npy(path, t:transpose()))
    local back = assert(tensor.load_npy(path))
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, back:tolist())
    assert.equal("Tensor f64 [3, 2]", tostring(back))
    assert.has_error(function() back:set(1, 1, 0) end, "calling 'set' on bad self (tensor is a read-only mapping)")
  end)

  it("are refused with their path and byte when they are broken", function()
    local path = command.scratch(finally) .. "/a.npy"
    for bytes, reason in pairs { ["hello, this is no array"] = ": byte 0: this is no .npy file", [""] = " is empty" } do
      command.write(path, bytes)
      local t, message, code = tensor.load_npy(path)
      assert.is_nil(t)
      assert.equal(path .. reason, message)
      assert.equal("format", code)
    end
    assert.equal("io", select(3, tensor.load_npy(path .. ".none")))
    assert.equal("io", select(3, tensor.save_npy(path .. "/a.npy", tensor.zeros(1))))
  end)

  it("are those of NumPy, in every kind of element and order", function()
    local python = os.getenv "RECSYS_PEER_PYTHON"
    if not python then return pending "set RECSYS_PEER_PYTHON to a Python that has numpy" end
    local folder = command.scratch(finally)
    local script = command.write(folder .. "/peer.py", [[
import sys
import numpy
folder = sys.argv[1]
for kind in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 b1 >f2 >f4 >f8 >i2 >i4 >i8 >u2 >u4".split():
    array = (numpy.arange(12) % 5 * 3 % 7).reshape(3, 4).astype(kind)
    numpy.save(folder + "/" + kind + ".c.npy", array)
    numpy.save(folder + "/" + kind + ".f.npy", numpy.asfortranarray(array))
    print(kind, " ".join(str(float(x)) for x in array.ravel()))
back = numpy.load(folder + "/ours.npy")
print("ours", back.dtype, back.shape, back.ravel().tolist())
]])
    assert(tensor.save_npy(folder .. "/ours.npy", tensor.new({ { 1, -2 }, { 3, 4 } }, "i32")))
    local result = command.run(("%s %s %s"):format(python, script, folder))
    assert.equal(0, result.code, result.err)
    assert.truthy(result.out:find("ours int32 (2, 2) [1, -2, 3, 4]", 1, true), result.out)
    local kinds = 0
    for kind, values in result.out:gmatch "([<>%w]+) ([%d. ]+)\n" do
      kinds = kinds + 1
      for _, order in ipairs { "c", "f" } do
        local list = {}
        local t = assert(tensor.load_npy(("%s/%s.%s.npy"):format(folder, kind, order)))
        for i, x in ipairs(t:reshape(12):tolist()) do list[i] = tostring(x + 0.0) end
        assert.equal(values, table.concat(list, " "), kind .. order)
      end
    end
    assert.equal(19, kinds)
  end)
end)
