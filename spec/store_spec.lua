--- Values that cross tasks, there and back.

local command = require "spec.support.command"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

local function folder()
  return command.scratch(finally) .. "/stored"
end

describe("store", function()
  it("brings plain values back to the last bit", function()
    local value = { 1, 2.5, "three\n\0", { deep = { true, false } }, [10] = 1 / 3, inf = math.huge, name = "x",
      [-1] = math.mininteger }
    local path = folder()
    store.save(path, value)
    assert.same(value, store.load(path))
  end)

  it("brings tensors back with dtype and shape", function()
    local path = folder()
    store.save(path, { a = tensor.new({ { 1, 2 }, { 3, 4 } }, "i64"), b = { tensor.new({ 0.5 }, "f32") } })
    local loaded = store.load(path)
    assert.same({ { 1, 2 }, { 3, 4 } }, loaded.a:tolist())
    assert.equal("i64", loaded.a:dtype())
    assert.same({ 0.5 }, loaded.b[1]:tolist())
  end)

  it("leaves the disk its time where it is told to, until all is settled", function()
    local files, uv, synced = require "recsys.files", require "luv", {}
    files.settle()
    local sync = uv.fs_fsync
    finally(function() uv.fs_fsync = sync end)
    uv.fs_fsync = function(handle)
      synced[#synced + 1] = uv.fs_readlink("/proc/self/fd/" .. handle):match "[^/]*$"
      return sync(handle)
    end
    local path = folder()
    store.save(path, { a = tensor.zeros(3), n = 1 }, true)
    files.write(path .. "/gone", "x", true)
    os.remove(path .. "/gone")
    assert.same({}, synced)
    assert.same({ 0, 0, 0 }, store.load(path).a:tolist())
    files.settle()
    assert.same({ "value.safetensors", "stored", "value.lua" }, synced)
    files.settle()
    assert.equal(3, #synced)
    store.save(path, { n = 2 })
    assert.equal("stored", synced[#synced])
  end)

  it("brings objects of a registered class back", function()
    local Point = {}
    Point.__index = Point
    function Point:norm() return math.sqrt(self.x ^ 2 + self.y ^ 2) end
    store.class("spec.Point", Point, function(p) return { p.x, p.y } end,
      function(v) return setmetatable({ x = v[1], y = v[2] }, Point) end)
    local path = folder()
    store.save(path, { point = setmetatable({ x = 3, y = 4 }, Point) })
    assert.equal(5, store.load(path).point:norm())
  end)

  it("names the place of what cannot be saved", function()
    assert.has_error(function() store.save(folder(), { a = { print } }) end,
      "a task's result cannot be saved: the result.a[1] is a function")
    local knot = {}
    knot.me = knot
    assert.has_error(function() store.save(folder(), knot) end,
      "a task's result cannot be saved: the result.me is part of itself")
    assert.has_error(function() store.save(folder(), setmetatable({}, {})) end)
  end)
end)
