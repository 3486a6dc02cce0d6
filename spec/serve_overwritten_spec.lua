--- `recsys-run serve FILE` while others write into the file, as cp, rsync --inplace and docker cp do: nobody is cut
--- off, no answer changes before the new version is whole, and then that one answers.

local command = require "spec.support.command"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local folder, first, second, live

local function answer(one)
  local reply, body = assert(program.ask(one, "POST", "/recommend", { user = "u1", k = 5 }))
  assert.equal(200, reply.status)
  return { model_version = body.model_version, items = body.items }
end

--- Ask for a time; each answer is the version's, as it was.
local function ask_on(one, expected, seconds)
  local ends = uv.hrtime() + seconds * 1e9
  repeat
    assert.same(expected, answer(one))
  until uv.hrtime() > ends
end

--- Ask until another version answers; all answers are of the one or the other.
local function until_version(one, version)
  local ends = uv.hrtime() + 10e9
  repeat
    local got = answer(one)
    if got.model_version == version then return got end
    assert.is_true(got.model_version == "tiny-1" or got.model_version == "tiny-2")
  until uv.hrtime() > ends
  error("it did not come to " .. version)
end

--- Write pieces into the file as it is, one after another; what 'between' does comes before each.
local function write_into(mode, pieces, between)
  local file = assert(io.open(live, mode))
  for _, piece in ipairs(pieces) do
    between()
    file:write(piece)
    file:flush()
  end
  file:close()
end

local function start(poll)
  command.write(live, first)
  local one = program.start { live, "--workers", "2", "--no-events", "--poll", poll }
  assert.truthy(one.url, one.err)
  for _ = 1, 400 do
    if program.ask(one, "GET", "/ready").status == 200 then return one end
    uv.sleep(10)
  end
  error "it is not ready"
end

describe("a served file that is written into", function()
  setup(function()
    folder = command.temporary()
    first = command.read(tiny.publish(tiny.build(), folder .. "/models"))
    second = command.read(tiny.publish(tiny.build(), folder .. "/models", { created = "2024-02-02T00:00:00Z" }))
    live = folder .. "/live.tar"
  end)
  teardown(function() command.remove(folder) end)

  it("is served on as it was, and the new one when it is whole", function()
    local one = start "1"
    local before = answer(one)
    assert.equal("tiny-1", before.model_version)
    local half = #second // 2
    write_into("w", { second:sub(1, half), second:sub(half + 1) }, function() ask_on(one, before, 0.1) end)
    until_version(one, "tiny-2")
    assert.is_nil(one.code)
    command.run(("cp '%s/models/tiny-1.tar' '%s'"):format(folder, live))
    until_version(one, "tiny-1")
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("is refused while it is cut short, and asked for again when it has changed", function()
    local one = start "1"
    local before = answer(one)
    write_into("w", { first:sub(1, #first - 5000) }, function() ask_on(one, before, 0.1) end)
    ask_on(one, before, 1.5)
    assert.is_true(program.wait_for(one, "live stays tiny-1"), one.err)
    assert.matches("live%.tar is truncated or damaged", one.err)
    write_into("r+", { second }, function() end)
    until_version(one, "tiny-2")
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("gives no answers of bytes that were written over it", function()
    local one = start "0"
    local before = answer(one)
    local at = 4096
    write_into("r+", { first:sub(1, at), ("\255"):rep(#first - at) }, function() ask_on(one, before, 0.1) end)
    ask_on(one, before, 0.1)
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("is mapped itself where the registry keeps it, which replaces and never changes a file", function()
    local function maps(words)
      local one = program.start(words)
      for _ = 1, 400 do
        if program.ask(one, "GET", "/ready").status == 200 then break end
        uv.sleep(10)
      end
      local text = command.read(("/proc/%d/maps"):format(one.pid))
      assert.equal(0, program.stop(one, "sigterm"))
      return text:find("tiny-1.tar", 1, true) ~= nil or text:find("bundle.tar", 1, true) ~= nil
    end
    local path, common = folder .. "/models/tiny-1.tar", { "--workers", "1", "--no-events" }
    assert.is_true(maps { path, "--models", folder .. "/models", table.unpack(common) })
    assert.is_true(maps { "tiny@champion", "--models", folder .. "/models", table.unpack(common) })
    assert.is_false(maps { path, "--models", folder .. "/others", table.unpack(common) })
  end)
end)
