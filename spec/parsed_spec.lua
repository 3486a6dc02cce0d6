--- Parsed files, kept: what is opened is what reading gives, and never what a file held before.

local cache = require "recsys.cache"
local command = require "spec.support.command"
local data = require "recsys.data"
local frame = require "recsys.frame"
local lfs = require "lfs"
local parsed = require "recsys.parsed"
local uv = require "luv"

local header = "user,when,score,tags\n"
local options = { types = { user = "string", when = "time_ms", score = "number", tags = { "list", "|" } } }

--- Rows i = from .. to; every 50th is malformed.
local function rows(from, to)
  local lines = {}
  for i = from, to do
    lines[#lines + 1] = i % 50 == 0 and ("u%d,1,2\n"):format(i)
      or ("u%d,%d,%g,%s\n"):format(i % 37, 1000 * i, i / 8, i % 3 == 0 and "" or "a|b" .. i % 5)
  end
  return table.concat(lines)
end

describe("a kept file", function()
  local folder, path

  before_each(function()
    folder = command.temporary()
    path = folder .. "/events.csv"
    command.write(path, header .. rows(1, 500))
  end)
  after_each(function()
    cache.allow(true)
    command.remove(folder)
  end)

  --- Read with the folder as cache; further options override.
  local function read(changes)
    local own = { cache = folder .. "/cache", bad_limit = 0.05 }
    for _, set in ipairs { options, changes or {} } do
      for name, value in pairs(set) do own[name] = value end
    end
    return frame.read_csv(path, own)
  end

  --- A frame as plain data.
  local function plain(f)
    local columns = {}
    for i, name in ipairs(f:names()) do
      columns[i] = { name, f:type(name) }
      for row = 1, f:rows() do columns[i][row + 2] = f:value(name, row) or "missing" end
    end
    return columns
  end

  local function entries(pattern)
    local list = {}
    for name in lfs.dir(folder .. "/cache") do
      if name:match(pattern) then list[#list + 1] = folder .. "/cache/" .. name end
    end
    table.sort(list)
    return list
  end

  local function uncached(changes)
    return plain((assert(frame.read_csv(path, { types = changes and changes.types or options.types,
      bad_limit = 0.05 }))))
  end

  it("opens as it was read, with its report and its malformed rows", function()
    local first, report = assert(read { quarantine = folder .. "/bad.csv" })
    local bad = command.read(folder .. "/bad.csv")
    assert.is_nil(report.cached)
    os.remove(folder .. "/bad.csv")
    local again, kept = assert(read { quarantine = folder .. "/bad.csv" })
    assert.is_true(kept.cached)
    kept.cached = nil
    assert.same(report, kept)
    assert.equal("integer", math.type(kept.rows))
    assert.equal(10, kept.quarantined)
    assert.equal(bad, command.read(folder .. "/bad.csv"))
    assert.same(plain(first), plain(again))
    assert.same(uncached(), plain(again))
    assert.is_true(again:sort("-score"):rows() == 490)
  end)

  it("opens under another name and for lack of a change, but not for other options", function()
    assert(read())
    assert.is_true(select(2, read()).cached)
    assert.is_true(select(2, read { bad_limit = 0.5 }).cached)
    local other = { types = { user = "string", when = "number", score = "number", tags = "string" } }
    local f, report = assert(read(other))
    assert.is_nil(report.cached)
    assert.same(uncached(other), plain(f))
    assert.is_nil(select(2, read { columns = { "user" } }).cached)
    command.write(path, header .. rows(1, 49))
    assert.is_nil(select(2, read()).cached)
    command.write(folder .. "/copy.csv", header .. rows(1, 49))
    path = folder .. "/copy.csv"
    assert.is_true(select(2, read()).cached)
    assert.equal(path, select(2, read()).path)
  end)

  it("is read again where a malformed row would name another file, or there are too many", function()
    assert(read())
    local f, message, code = read { bad_limit = 0.01 }
    assert.is_nil(f)
    assert.equal("format", code)
    assert.matches("10 of 500 rows are malformed", message)
    command.write(folder .. "/copy.csv", header .. rows(1, 500))
    path = folder .. "/copy.csv"
    assert.is_nil(select(2, read { quarantine = folder .. "/bad.csv" }).cached)
    assert.matches("copy.csv\",51,", command.read(folder .. "/bad.csv"))
  end)

  it("is read again when its content changes, with the same size and time too", function()
    -- Old enough that its hash is remembered.
    local function write(bytes)
      command.write(path, bytes)
      assert(uv.fs_utime(path, 1700000000, 1700000000))
    end
    write(header .. rows(1, 40))
    assert(read())
    uv.sleep(3100)
    assert(read())
    assert.equal(1, #entries "%.file%.json$")
    assert.is_true(select(2, read()).cached)
    write((header .. rows(1, 40)):gsub("u7", "u8"))
    local f, report = assert(read())
    assert.is_nil(report.cached)
    assert.same(uncached(), plain(f))
  end)

  it("is made anew when an entry is damaged, wherever that is", function()
    local expected = plain((assert(read())))
    local entry, described = entries "%.safetensors$"[1], entries "^%x+%.json$"[1]
    local bytes, words = command.read(entry), command.read(described)
    local function again(what)
      local f, report = read()
      assert.is_truthy(f, what)
      assert.same(expected, plain(f), what)
      return report.cached
    end
    for _, at in ipairs { 1, 9, 200, #bytes // 2, #bytes } do
      command.write(entry, bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 0x55) .. bytes:sub(at + 1))
      assert.is_nil(again("byte " .. at))
      assert.is_true(again("after byte " .. at))
    end
    for _, length in ipairs { 0, 7, #bytes // 2, #bytes - 1 } do
      command.write(entry, bytes:sub(1, length))
      assert.is_nil(again("cut to " .. length))
    end
    for _, text in ipairs { "", "[]", "{}", "null", words:sub(1, #words // 2), words:gsub('"name":"user"', '"name":1'),
      words:gsub('"type":"string"', '"type":"time"'), words:gsub('"rows":%d+', '"rows":"many"') } do
      command.write(described, text)
      assert.is_nil(again(text))
    end
    os.remove(entry)
    assert.is_nil(again "removed")
    command.write(entry, bytes) -- the same bytes in another file
    assert.is_true(again "copied")
  end)

  it("is not used under --no-cache, but made anew", function()
    assert(read())
    cache.allow(false)
    local before = uv.fs_stat(entries "%.safetensors$"[1]).ino
    assert.is_nil(select(2, read()).cached)
    assert.are_not.equal(before, uv.fs_stat(entries "%.safetensors$"[1]).ino)
    cache.allow(true)
    assert.is_true(select(2, read()).cached)
  end)

  it("gives way to those used later when the folder is full", function()
    local sizes = {}
    for i = 1, 4 do
      command.write(path, header .. rows(i, i + 40))
      assert(read())
      sizes[i] = #entries "%.safetensors$"
      uv.sleep(20)
    end
    assert.same({ 1, 2, 3, 4 }, sizes)
    command.write(path, header .. rows(1, 41))
    assert.is_true(select(2, read()).cached) -- the oldest is the one used last now
    local entry = entries "%.safetensors$"[1]
    parsed.trim(folder .. "/cache", 2 * (lfs.attributes(entry, "size") + 1000))
    assert.equal(2, #entries "%.safetensors$")
    assert.equal(2, #entries "^%x+%.json$")
    assert.is_true(select(2, read()).cached)
    command.write(folder .. "/cache/0123abcd.safetensors.x7Yz12", "left by a killed process")
    assert(uv.fs_utime(folder .. "/cache/0123abcd.safetensors.x7Yz12", 1700000000, 1700000000))
    command.write(folder .. "/cache/notes.txt", "somebody's")
    parsed.trim(folder .. "/cache", 0)
    assert.same({ folder .. "/cache/notes.txt" }, entries "^%w")
  end)

  it("is written by several processes at once", function()
    local script = command.write(folder .. "/read.lua", ([[
      local f, report = assert(require("recsys.frame").read_csv(%q, { cache = %q, bad_limit = 0.05,
        types = { user = "string", when = "time_ms", score = "number", tags = { "list", "|" } } }))
      io.write(f:rows(), " ", f:column("score"):sum(), "\n") ]]):format(path, folder .. "/cache"))
    local ran = command.run(("for i in 1 2 3 4 5 6; do %s lua %s & done; wait"):format(command.program, script))
    assert.equal(0, ran.code, ran.err)
    local line = ran.out:match "^[^\n]+\n"
    assert.equal("490 ", line:sub(1, 4))
    assert.equal(line:rep(6), ran.out)
    assert.equal(1, #entries "%.safetensors$")
    assert.equal(2, #entries "%w") -- nothing half-written beside it: the file is too new for its hash to be kept
    assert.is_true(select(2, read()).cached)
  end)

  it("is a convenience: a folder that takes nothing costs nothing but time", function()
    command.write(folder .. "/file", "")
    local f, report = frame.read_csv(path, { types = options.types, bad_limit = 0.05, cache = folder .. "/file/x" })
    assert.same(uncached(), plain(f))
    assert.is_nil(report.cached)
    local script = command.write(folder .. "/read.lua", ([[
      local f = assert(require("recsys.frame").read_csv(%q, { cache = %q, bad_limit = 0.05 }))
      io.write(f:rows()) ]]):format(path, folder .. "/cache"))
    local ran = command.run(("trap '' XFSZ && ulimit -f 1 && %s lua %s"):format(command.program, script))
    assert.equal(0, ran.code, ran.err)
    assert.equal("490", ran.out)
    assert.same({}, entries "safetensors")
    assert.has_error(function() frame.read_csv(path, { cache = 7 }) end,
      "bad argument #2 to 'read_csv' ('cache' must be the name of a folder)")
  end)

  it("is what data sources open from a mebibyte on, in the cache folder", function()
    local script = command.write(folder .. "/read.lua", ([[
      local data, report = require "recsys.data", {}
      assert(data.read(%q, { bad_limit = 0.05 }, report))
      io.write(tostring(report.files[1].cached), "\n") ]]):format(path))
    local run = ("RECSYS_CACHE=%s/cache %s lua %s"):format(folder, command.program, script)
    local ran = command.run(run .. " && " .. run)
    assert.equal("nil\nnil\n", ran.out, ran.err)
    command.write(path, header .. rows(1, 60000))
    ran = command.run(run .. " && " .. run)
    assert.equal("nil\ntrue\n", ran.out, ran.err)
    assert.equal(1, #entries "^parsed$")
    assert.is_truthy(data.read(path, { bad_limit = 0.05, cache = folder .. "/own" }, {}))
    assert.equal("directory", lfs.attributes(folder .. "/own", "mode"))
  end)
end)
