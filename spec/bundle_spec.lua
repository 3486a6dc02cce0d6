--- Bundles and safetensors: what is written reads back, and hostile files are refused.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local json = require "recsys.json"
local tensor = require "recsys.tensor"

local scratch

local function path_of(name)
  return scratch .. "/" .. name
end

local function spew(name, bytes)
  return command.write(path_of(name), bytes)
end

local function sha256(bytes)
  local pipe <close> = assert(io.popen("sha256sum " .. spew("hashed", bytes)))
  return pipe:read(64)
end

--- One member of a tar as bytes: a ustar header with its checksum, and the padded contents.
local function entry(name, contents, kind, target)
  local function octal(n, width) return ("%0" .. width - 1 .. "o\0"):format(n) end
  local function field(s, width) return s .. ("\0"):rep(width - #s) end
  local head = field(name, 100) .. octal(420, 8) .. octal(0, 8) .. octal(0, 8) .. octal(#contents, 12) .. octal(0, 12)
  local tail = (kind or "0") .. field(target or "", 100) .. "ustar\00000" .. ("\0"):rep(64) .. octal(0, 8):rep(2)
  local sum = 8 * 32
  for c in (head .. tail):gmatch "." do sum = sum + c:byte() end
  local header = head .. octal(sum, 7) .. " " .. tail
  return header .. ("\0"):rep(512 - #header) .. contents .. ("\0"):rep(-#contents % 512)
end

local function tar(...)
  return table.concat { ... } .. ("\0"):rep(1024)
end

--- A tar that starts with a manifest and its right hash.
local function sealed(manifest, ...)
  return tar(entry("manifest.json", manifest), entry("manifest.sha256", sha256(manifest) .. "  manifest.json\n"), ...)
end

local function refused(bytes, ...)
  local path = spew("hostile.tar", bytes)
  local opened, message, code = bundle.open(path)
  assert.is_nil(opened)
  assert.equal("format", code)
  assert.truthy(message:find(path, 1, true), message)
  for _, part in ipairs { ... } do assert.truthy(message:find(part, 1, true), message) end
end

local function sample()
  local path = path_of "sample.tar"
  local digest = assert(bundle.write(path, {
    manifest = { name = "sample", version = 3, metrics = { ndcg_10 = 0.1, third = 1 / 3 } },
    members = {
      { "notes.txt", bytes = "a note\n" },
      { "weights.safetensors", tensors = {
        w = tensor.new({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, "f32"), ids = tensor.new({ 2^53 // 1 | 0, -1 }, "i64"),
        raw = tensor.new({ 104, 105 }, "u8") } },
    },
  }))
  return path, digest
end

describe("bundle", function()
  setup(function() scratch = command.temporary() end)
  teardown(function() command.remove(scratch) end)

  it("brings manifest, text and tensors back", function()
    local path, digest = sample()
    local b <close> = assert(bundle.open(path))
    local manifest = b:manifest()
    assert.equal("sample", manifest.name)
    assert.equal(1 / 3, manifest.metrics.third)
    assert.equal(1, manifest.format)
    assert.equal("integer", math.type(manifest.version))
    assert.equal("a note\n", b:text "notes.txt")
    assert.is_nil(b:text "absent")
    local tensors = b:tensors "weights.safetensors"
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, tensors.w:tolist())
    assert.same({ 9007199254740992, -1 }, tensors.ids:tolist())
    assert.equal("u8", tensors.raw:dtype())
    assert.equal(digest, b:digest())
    assert.is_true(b:verify())
    local members = b:members()
    assert.equal("weights.safetensors", members[2].name)
    assert.equal(7, members[1].bytes)
    assert.equal(sha256 "a note\n", members[1].sha256)
  end)

  it("lets tensors outlive it, and is closed only once", function()
    local b = assert(bundle.open(sample()))
    local tensors = b:tensors "weights.safetensors"
    b:close()
    b:close()
    assert.has_error(function() b:manifest_text() end, "calling 'manifest_text' on bad self (bundle is closed)")
    collectgarbage()
    assert.same({ 104, 105 }, tensors.raw:tolist())
    assert.equal("Bundle (closed)", tostring(b))
  end)

  it("is an ordinary tar whose manifest sha256sum can check", function()
    local path = sample()
    local unpacked = path_of "unpacked"
    assert.is_true(os.execute(("mkdir %s && tar -C %s -xf %s && cd %s && sha256sum --status -c manifest.sha256")
      :format(unpacked, unpacked, path, unpacked)))
    assert.equal("a note\n", command.read(unpacked .. "/notes.txt"))
  end)

  it("gives the same bytes for the same contents", function()
    local first = command.read((sample()))
    assert.equal(first, command.read((sample())))
  end)

  it("refuses a member without contents, with both, or with a name that could leave", function()
    local function write(member)
      return function() bundle.write(path_of "x.tar", { manifest = {}, members = { member } }) end
    end
    assert.has_error(write { "a" }, "bad argument #3 to 'write' (member 'a' must have either bytes or tensors)")
    assert.has_error(write { "a", bytes = "", tensors = {} },
      "bad argument #3 to 'write' (member 'a' must have either bytes or tensors)")
    assert.has_error(write { "../a", bytes = "" }, "bundle: a member cannot be called '../a'")
    assert.has_error(write { "manifest.json", bytes = "" }, "bundle: a member cannot be called 'manifest.json'")
    assert.has_error(write { bytes = "" },
      "bad argument #3 to 'write' (each member must be a table that starts with its name)")
    assert.has_error(function() bundle.write(path_of "x.tar", { manifest = { members = 1 }, members = {} }) end,
      "bundle: the manifest's fields 'format' and 'members' are written by the bundle itself")
    assert.has_error(function() bundle.write(path_of "x.tar", {}) end,
      "bad argument #2 to 'write' (a table with manifest and members is expected)")
  end)

  it("says that a file is missing or that its folder is", function()
    local opened, message, code = bundle.open(path_of "absent.tar")
    assert.is_nil(opened)
    assert.equal("io", code)
    assert.truthy(message:find("absent.tar: No such file", 1, true))
    local _, _, word = bundle.write(path_of "no/where.tar", { manifest = {}, members = {} })
    assert.equal("io", word)
  end)

  it("refuses a bundle cut at any of many lengths", function()
    local whole = command.read((sample()))
    for n = 0, #whole - 1, 101 do refused(whole:sub(1, n)) end
    refused(whole:sub(1, -2), "truncated")
    refused(whole:sub(1, 2000), "truncated")
  end)

  it("refuses one flipped byte and names the member", function()
    local whole = command.read((sample()))
    local function flip(at)
      return whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 1) .. whole:sub(at + 1)
    end
    refused(flip(whole:find("a note\n", 1, true)), "damaged", "member 'notes.txt'", "SHA-256")
    refused(flip(whole:find('"dtype"', 1, true)), "damaged", "member 'weights.safetensors'")
    refused(flip(whole:find('"name"', 1, true)), "damaged", "manifest.json")
    refused(flip(whole:find("  manifest.json", 1, true) - 3), "damaged", "manifest.sha256")
    refused(flip(whole:find("notes.txt", 600, true)))
    refused(flip(#whole), "stray bytes")
  end)

  it("refuses files that are no bundles", function()
    refused("hello", "is not a bundle")
    refused("", "is empty")
    refused(("\0"):rep(4096), "is not a bundle")
    refused(tar(entry("a.txt", "hi")), "does not start with manifest.json")
    refused(sealed '{"format":1,"members":[}', "line 1")
    refused(sealed '{"format":1,"format":1,"members":[]}', "duplicate")
    refused(sealed '{"format":2,"members":[]}', "has bundle format 2; this recsys-run reads format 1")
    refused(sealed '[]', "is not an object")
  end)

  it("refuses names that could leave the bundle", function()
    for _, name in ipairs { "../escape", "/etc/passwd", "a/../../b", "./a", "A.txt", "a//b", ".hidden", "caf\u{e9}" } do
      refused(tar(entry("manifest.json", "{}"), entry(name, "x")), "refused")
    end
    refused(tar(entry("../escape", "x")), "member '../escape'", "could leave the bundle")
    refused(tar(entry("\27[2Jx", "x")), "member '?[2Jx'")
  end)

  it("refuses links, folders, devices and members that come twice", function()
    refused(tar(entry("link", "", "2", "/etc/passwd")), "member 'link' is a link")
    refused(tar(entry("hard", "", "1", "manifest.json")), "member 'hard' is a link")
    refused(tar(entry("folder", "", "5")), "member 'folder' is a folder")
    refused(tar(entry("device", "", "3")), "member 'device' is a device")
    refused(tar(entry("pipe", "", "6")), "member 'pipe' is a device")
    refused(tar(entry("a", "x"), entry("a", "y")), "holds member 'a' twice")
  end)

  it("refuses a sparse file", function()
    local records = { "22 GNU.sparse.major=1\n", "22 GNU.sparse.minor=0\n", "26 GNU.sparse.name=sparse\n",
      "30 GNU.sparse.realsize=100000\n" }
    local map = "1\n50000\n5\n"
    local contents = map .. ("\0"):rep(512 - #map) .. "hello"
    refused(tar(entry("pax", table.concat(records), "x"), entry("sparse", contents)),
      "member 'sparse' is a sparse file")
  end)

  it("refuses a manifest that lies about its members", function()
    local hash = sha256 "hello"
    local function claim(members, ...)
      return sealed(('{"format":1,"members":[%s]}'):format(members), ...)
    end
    local right = ('{"name":"a.txt","bytes":5,"sha256":"%s"}'):format(hash)
    assert(bundle.open(spew("right.tar", claim(right, entry("a.txt", "hello")))))
    refused(claim(right), "lists 1 members, the file holds 0")
    refused(claim("", entry("a.txt", "hello")), "member 'a.txt' is not in its manifest")
    refused(claim(right, entry("b.txt", "hello")), "'a.txt'", "'b.txt'")
    refused(claim((right:gsub(":5", ":6")), entry("a.txt", "hello")), "another size")
    refused(claim((right:gsub(":5", ":-1")), entry("a.txt", "hello")), "no size")
    refused(claim((right:gsub(":5", ":1e300")), entry("a.txt", "hello")), "no size")
    refused(claim((right:gsub(hash, "00")), entry("a.txt", "hello")), "broken hash")
    refused(claim((right:gsub("}", ',"chunks":[]}')), entry("a.txt", "hello")), "chunks")
    refused(claim(right, entry("a.txt", "hallo")), "member 'a.txt' does not have its SHA-256")
    refused(claim("7", entry("a.txt", "hello")), "member 'a.txt'")
  end)

  it("refuses bytes between and behind the members", function()
    local whole = command.read((sample()))
    refused(whole .. ("x"):rep(512), "stray bytes")
    local padding = whole:find("a note\n", 1, true) + 20
    refused(whole:sub(1, padding - 1) .. "x" .. whole:sub(padding + 1), "stray bytes behind member 'notes.txt'")
  end)

  it("refuses more members than it serves", function()
    local many = {}
    for i = 1, 300 do many[i] = entry("m" .. i, "") end
    refused(tar(table.unpack(many)), "more than 256 members")
  end)
end)

describe("docs/bundle.md", function()
  it("shows examples that run", function()
    local tiny = require "spec.support.tiny_model"
    local recsys, uv = require "recsys", require "luv"
    require "recsys.serve"
    local here, folder, built = command.root, command.temporary(), tiny.build()
    local blocks = {}
    for source in command.read("docs/bundle.md"):gmatch "```lua\n(.-)```" do blocks[#blocks + 1] = source end
    assert.equal(3, #blocks)
    assert(uv.chdir(folder))
    finally(function()
      assert(uv.chdir(here))
      command.remove(folder)
    end)
    for _ = 1, 3 do tiny.publish(built, "artifacts/models", { name = "two_tower" }) end
    local printed = 0
    local env = setmetatable({ recsys = recsys, data = built.dataset, params = { seed = 3 }, run = "a-run",
      report = { metrics = { ndcg_10 = 0.5 } }, model = tiny.model(built),
      print = function() printed = printed + 1 end }, { __index = _G })
    for i, source in ipairs(blocks) do assert(load(source, "example " .. i, "t", env))() end
    assert.equal(5 + 1, printed)
    assert.equal(0.5, assert(bundle.open "artifacts/models/two_tower-4.tar"):manifest().metrics.ndcg_10)
  end)
end)

describe("recsys-run inspect", function()
  setup(function() scratch = command.temporary() end)
  teardown(function() command.remove(scratch) end)

  local function inspect(...)
    return command.run(command.program .. " inspect " .. table.concat({ ... }, " "))
  end

  it("shows what a bundle holds", function()
    local path, digest = sample()
    local ran = inspect(path, "--verify")
    assert.equal(0, ran.code, ran.err)
    for _, part in ipairs { "sample, version 3", digest, "whole", "ndcg_10", "f32 [3, 2]", "weights.safetensors" } do
      assert.truthy(ran.out:find(part, 1, true), part)
    end
  end)

  it("puts all of it on stdout as JSON", function()
    local path, digest = sample()
    local found = json.decode(inspect(path, "--json").out)
    assert.equal(digest, found.digest)
    assert.equal("i64 [2]", found.tensors["weights.safetensors"].ids)
    assert.equal("notes.txt", found.members[1].name)
    assert.is_true(found.whole)
  end)

  it("ends with 1 and a reason for a damaged and for a hostile file", function()
    local whole = command.read((sample()))
    local ran = inspect(spew("cut.tar", whole:sub(1, 2000)))
    assert.equal(1, ran.code)
    assert.equal("", ran.out)
    assert.matches("^recsys%-run: .*cut.tar is truncated or damaged", ran.err)
    ran = inspect(spew("flipped.tar", (whole:gsub("a note", "a vote"))))
    assert.equal(1, ran.code)
    assert.matches("member 'notes.txt' does not have its SHA%-256", ran.err)
    ran = inspect(spew("hostile.tar", tar(entry("../../etc/cron.d/x", "x"))))
    assert.equal(1, ran.code)
    assert.matches("member '../../etc/cron.d/x' has a name that could leave the bundle", ran.err)
  end)

  it("ends with 2 without a file, and with one that is not there", function()
    assert.equal(2, inspect().code)
    local ran = inspect "absent.tar"
    assert.equal(2, ran.code)
    assert.matches("there is no bundle 'absent.tar'", ran.err)
  end)

  it("lets no control character of a bundle through to the terminal", function()
    local path = path_of "escape.tar"
    bundle.write(path, { manifest = { name = "a\27[2Jb", metrics = { ["\27c"] = 1, list = { "\27]0;x" } } },
      members = {} })
    local ran = inspect(path)
    assert.equal(0, ran.code)
    assert.is_nil(ran.out:find "[\0-\9\11-\31]")
  end)
end)

describe("a safetensors file", function()
  setup(function() scratch = command.temporary() end)
  teardown(function() command.remove(scratch) end)

  local function values()
    return {
      f32 = tensor.new({ { 0.5, -1.25, 3e38 }, { 1e-40, 0, -0.0 } }, "f32"),
      f64 = tensor.new({ 1 / 3, math.pi }, "f64"),
      i32 = tensor.new({ { { -2147483648 }, { 2147483647 } } }, "i32"),
      i64 = tensor.new({ math.mininteger, math.maxinteger, 7 }, "i64"),
      u8 = tensor.new({ 0, 255, 7 }, "u8"),
      none = tensor.zeros(0, 3, "f32"),
      view = tensor.new({ { 1, 2 }, { 3, 4 } }, "f32"):transpose(),
    }
  end

  it("brings every dtype back to the last bit, views included", function()
    assert.is_true(bundle.write_safetensors(path_of "t.safetensors", values()))
    local back = bundle.read_safetensors(path_of "t.safetensors")
    for name, t in pairs(values()) do
      assert.equal(tostring(t), tostring(back[name]))
      assert.equal(t:to_string(), back[name]:to_string())
    end
    assert.same({ { 1, 3 }, { 2, 4 } }, back.view:tolist())
  end)

  it("is refused with its path when it is broken", function()
    for _, bytes in ipairs { "short", ("\255"):rep(16), "\2\0\0\0\0\0\0\0{}x", "\20\0\0\0\0\0\0\0{}" } do
      local tensors, message, code = bundle.read_safetensors(spew("broken.safetensors", bytes))
      assert.is_nil(tensors)
      assert.equal("format", code)
      assert.truthy(message:find("broken.safetensors", 1, true), message)
    end
  end)

  it("comes as f32 from halves, as bf16 from bfloats", function()
    local header = '{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},'
      .. '"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]}}'
    local bytes = string.pack("<I8", #header) .. header .. "\0\x3E\0\xC0" .. "\xC0\x3F\0\xC0"
    local tensors = assert(bundle.read_safetensors(spew("halves.safetensors", bytes)))
    assert.same({ 1.5, -2 }, tensors.h:tolist())
    assert.same({ { 1.5, -2 } }, tensors.b:tolist())
    assert.equal("f32 bf16", tensors.h:dtype() .. " " .. tensors.b:dtype())
  end)

  it("is what Python's safetensors reads", function()
    local python = os.getenv "RECSYS_PEER_PYTHON"
    if not python then
      pending "set RECSYS_PEER_PYTHON to a Python that has safetensors and numpy"
      return
    end
    bundle.write_safetensors(path_of "t.safetensors", values())
    local script = spew("peer.py", [[
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as f:
    for name in sorted(f.keys()):
        t = f.get_tensor(name)
        print(name, t.dtype, list(t.shape), t.tobytes().hex())
]])
    local pipe <close> = assert(io.popen(("%s %s %s"):format(python, script, path_of "t.safetensors")))
    local names = { f32 = "float32", f64 = "float64", i32 = "int32", i64 = "int64", u8 = "uint8" }
    local expected = {}
    for name, t in pairs(values()) do
      local hex = t:to_string():gsub(".", function(c) return ("%02x"):format(c:byte()) end)
      expected[#expected + 1] = ("%s %s %s %s"):format(name, names[t:dtype()], tostring(t):match "%[.*%]", hex)
    end
    table.sort(expected)
    assert.equal(table.concat(expected, "\n") .. "\n", pipe:read "a")
  end)
end)
