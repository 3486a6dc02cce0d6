--- feature.vectors: vectors of files joined to items by id.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local json = require "recsys.json"
local tensor = require "recsys.tensor"

--- Items a, b, c and d, of which d is never trained on; column 'at' is a number.
local function dataset()
  return {
    users = frame.from { { "user", "string", { "u" } } },
    items = frame.from { { "item", "string", { "a", "b", "c", "d" } }, { "at", "number", { 2, 0, false, 7 } } },
    interactions = frame.from { { "user", "string", { "u", "u", "u" } }, { "item", "string", { "a", "b", "c" } },
      { "time", "time", { 1, 2, 3 } } },
  }
end

local function fit(options)
  return feature.fit(dataset(), nil, { item = { feature.vectors(options) } })
end

local function values_of(encoder, name)
  return encoder:encode_items(dataset().items):output(name).values
end

describe("feature.vectors", function()
  local folder

  before_each(function() folder = command.temporary() end)
  after_each(function() command.remove(folder) end)

  local function path_of(name) return folder .. "/" .. name end

  local function save(name, rows, dtype)
    assert(tensor.save_npy(path_of(name), tensor.new(rows, dtype)))
    return path_of(name)
  end

  it("joins rows of a .npy file by the ids of a text file, with a flag for what has none", function()
    local file = save("v.npy", { { 1, 2 }, { 3, 4 }, { 5, 6 } }, "f64")
    local ids = command.write(path_of "ids.txt", "d\r\nz\r\na\r\n")
    local encoder <close> = fit { "item", file = file, ids = ids, name = "vector" }
    local expected = { { 5, 6, 0 }, { 0, 0, 1 }, { 0, 0, 1 }, { 1, 2, 0 } }
    assert.same(expected, values_of(encoder, "item.vector"):tolist())
    local input = encoder:inputs("item")[1]
    assert.same({ "item.vector", "numbers", "vectors", 3 }, { input.name, input.kind, input.feature, input.width })
    assert.near(2 / 3, encoder:describe()[1].missing, 1e-12)

    local saved = encoder:save()
    os.remove(file)
    local loaded <close> = assert(feature.load(saved.json, saved.tensors))
    for i, id in ipairs { "a", "b", "c", "d" } do
      local row = assert(loaded.program:request("item", json.encode { item = id })):output "item.vector".values
      assert.same({ expected[i] }, row:tolist())
    end
    local absent = assert(loaded.program:request("item", "{}")):output "item.vector".values
    assert.same({ { 0, 0, 1 } }, absent:tolist())
  end)

  it("takes row numbers from 0 when there are no ids", function()
    local file = save("v.npy", { { 1 }, { 2 }, { 3 } }, "i32")
    local encoder <close> = fit { "at", file = file }
    assert.same({ { 3, 0 }, { 1, 0 }, { 0, 1 }, { 0, 1 } }, values_of(encoder, "item.at"):tolist())
  end)

  it("reads the one matrix of a safetensors file, or the one that is named", function()
    local path = path_of "v.safetensors"
    assert(bundle.write_safetensors(path, { x = tensor.new { { 1, 2 }, { 3, 4 }, { 5, 6 } }, ids = tensor.zeros(3) }))
    local one <close> = fit { "at", file = path }
    assert.same({ 5, 6, 0 }, values_of(one, "item.at"):select(1, 1):tolist())
    assert(bundle.write_safetensors(path, { x = tensor.new { { 1 } }, y = tensor.new { { 7 }, { 8 }, { 9 } } }))
    local named <close> = fit { "at", file = path, tensor = "y" }
    assert.same({ 9, 0 }, values_of(named, "item.at"):select(1, 1):tolist())
    assert.error_matches(function() fit { "at", file = path } end,
      "holds several matrices: option 'tensor' must name one", 1, true)
    assert.error_matches(function() fit { "at", file = path, tensor = "z" } end, "holds no tensor 'z'", 1, true)
  end)

  it("makes rows of length 1 when asked, and leaves zeros", function()
    local file = save("v.npy", { { 3, 4 }, { 0, 0 }, { 0, -2 } }, "f32")
    local encoder <close> = fit { "at", file = file, normalize = true }
    local got, expected = values_of(encoder, "item.at"), { { 0, -1, 0 }, { 0.6, 0.8, 0 } }
    for i = 1, 2 do
      for j = 1, 3 do assert.near(expected[i][j], got:get(i, j), 1e-6) end
    end
  end)

  it("declares another thing once its files have changed", function()
    local file = save("v.npy", { { 1 }, { 2 }, { 3 } }, "f32")
    local one, same = feature.vectors { "at", file = file }, feature.vectors { "at", file = file }
    assert.equal(one.stamp, same.stamp)
    save("v.npy", { { 1 }, { 2 }, { 3 }, { 4 } }, "f32")
    assert.not_equal(one.stamp, feature.vectors { "at", file = file }.stamp)
  end)

  it("says what is wrong with the files", function()
    local file = save("v.npy", { { 1 }, { 2 } }, "f32")
    local function refused(message, options)
      local ok, reason = pcall(fit, options)
      assert.is_false(ok)
      assert.truthy(reason:find(message, 1, true), reason)
    end
    local function ids(text) return command.write(path_of "ids.txt", text) end
    refused("ids.txt holds 3 ids for 2 vectors", { "item", file = file, ids = ids "a\nb\nc\n" })
    refused("ids.txt: index: repeats a value in row 1", { "item", file = file, ids = ids "a\na\n" })
    refused("ids.txt: line 2 is empty; an id is expected on each", { "item", file = file, ids = ids "a\n\n" })
    refused("no value of column 'item' is an id of " .. path_of "ids.txt" .. ": 'a' is not there, 'x' is",
      { "item", file = file, ids = ids "x\ny\n" })
    refused("none.txt", { "item", file = file, ids = path_of "none.txt" })
    refused("none.npy", { "item", file = path_of "none.npy" })
    refused("row 1 holds a NaN or an infinity, rows counted from 0",
      { "at", file = save("nan.npy", { { 1 }, { math.huge } }, "f32") })
    refused("Tensor f32 [2] is no matrix with a row an item", { "at", file = save("flat.npy", { 1, 2 }, "f32") })
    command.write(path_of "broken.npy", "hello, I am no array")
    refused("broken.npy: byte 0: this is no .npy file", { "at", file = path_of "broken.npy" })
    assert.has_error(function() feature.vectors { "item", file = "v.csv" } end,
      "bad argument #1 to 'vectors' (option 'file' must name a .npy or a .safetensors file)")
    assert.has_error(function() feature.vectors { "item" } end,
      "bad argument #1 to 'vectors' (option 'file' is required)")
    assert.has_error(function() feature.vectors { "item", file = "v.npy", tensor = "x" } end,
      "bad argument #1 to 'vectors' (option 'tensor' is for safetensors files)")
  end)

  it("is refused when its program and tensors do not fit", function()
    local encoder <close> = fit { "at", file = save("v.npy", { { 1 }, { 2 }, { 3 } }, "f32") }
    local saved = encoder:save()
    saved.tensors["vectors.item.at"] = tensor.zeros(2, 1)
    local loaded, message, code = feature.load(saved.json, saved.tensors)
    assert.is_nil(loaded)
    assert.equal("encoder: item side, step 2: vectors are [2, 1] for 3 codes above 0", message)
    assert.equal("format", code)
  end)

  it("refuses a file without vectors, and a folder for ids, by name", function()
    local empty = path_of "empty.npy"
    assert(tensor.save_npy(empty, tensor.zeros(0, 3, "f32")))
    local ok, message = pcall(fit, { "at", file = empty })
    assert.is_false(ok)
    assert.truthy(message:find(empty .. " holds no vectors", 1, true), message)
    ok, message = pcall(fit, { "item", file = save("v.npy", { { 1 } }, "f32"), ids = folder })
    assert.is_false(ok)
    assert.truthy(message:find(folder .. " is a folder", 1, true), message)
  end)
end)
