--- Secrets in what goes wrong and in what processes print: in no file of a run, of its children, of a study.

local command = require "spec.support.command"
local log = require "recsys.log"
local output = require "recsys.flow.output"

local RECIPE = [[
local recsys = require "recsys"
local current = require "recsys.tune.current"
local function refused(_, token) error("no such token " .. token:reveal()) end
return recsys.recipe { name = "shop", about = "Asks", search = { x = recsys.tune.uniform(0, 1) }, params = { x = 0.5,
    mode = "map", process = false, train = { metric = "m" }, token = recsys.config.secret "of the shop" },
  run = function(flow, p)
    if p.mode == "map" then
      return { all = flow:map("ask", { on_error = "keep", process = p.process }, function(i, token)
        return i == 2 and i or refused(i, token)
      end, { 1, 2 }, p.token) }
    end
    flow:task("ask", { process = p.process or nil }, function(mode, token)
      if mode == "print" then
        local text = token:reveal()
        io.stdout:write("printed ", text:sub(1, 5))
        io.stdout:flush()
        recsys.log.info "meanwhile"
        io.stdout:write(text:sub(6), "\n", ("x"):rep(300000), "\n")
        io.stdout:flush()
        os.execute(("echo told by another: %s >&2"):format(text))
        return 1
      end
      refused(1, token)
    end, p.mode, p.token)
    return {}
  end } ]]

local TEXT <const> = "open-sesame-%d+"

describe("a secret", function()
  local folder

  local function run(words)
    return command.run(("cd %s && RECSYS_SET_TOKEN='%s' %s %s"):format(folder, TEXT, command.program, words))
  end

  --- No file below the folder, and nothing that was told, has the text.
  local function is_nowhere(ran)
    assert.equal("", command.run(("grep -rlF -e '%s' %s"):format(TEXT, folder)).out)
    assert.is_nil((ran.out .. ran.err):find(TEXT, 1, true))
  end

  before_each(function()
    folder = command.temporary()
    command.write(folder .. "/shop.lua", RECIPE)
  end)

  after_each(function() command.remove(folder) end)

  for _, process in ipairs { "true", "false" } do
    it("is not in the elements that failed, process = " .. process, function()
      local ran = run("shop.lua --json --set process=" .. process)
      assert.equal(0, ran.code, ran.err)
      assert.matches("no such token (secret)", ran.out, 1, true)
      is_nowhere(ran)
    end)

    it("is not in how a task failed, process = " .. process, function()
      local ran = run("shop.lua --set mode=fail --set process=" .. process)
      assert.equal(1, ran.code)
      assert.matches("no such token (secret)", ran.err, 1, true)
      is_nowhere(ran)
    end)
  end

  it("is not in the log of a process that prints it, in pieces, much, or by another program", function()
    local ran = run "shop.lua --set mode=print --set process=true"
    assert.equal(0, ran.code, ran.err)
    is_nowhere(ran)
    local said = command.run(("cat %s/artifacts/runs/*/logs/01-ask.txt"):format(folder)).out
    assert.matches("printed (secret)\n" .. ("x"):rep(1000), said, 1, true)
    assert.matches("told by another: (secret)\n", said, 1, true)
    assert.matches("Z meanwhile\n", said, 1, true)
    assert.is_true(#said > 300000)
  end)

  it("is in nothing that a task shows, however it is spelt there, nor in the names of its files", function()
    local secret = [[sesame "&<>\ ]] .. ("5"):rep(60)
    command.write(folder .. "/shows.lua", [[
      local recsys, note = require "recsys", require "recsys.flow.note"
      local function show(token)
        local text, picture = token:reveal(), os.tmpname()
        os.rename(picture, picture .. ".svg")
        local svg <close> = assert(io.open(picture .. ".svg", "w"))
        svg:write('<svg xmlns="http://www.w3.org/2000/svg"><text>',
          text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;"):gsub('"', "&quot;"), "</text></svg>")
        svg:close()
        note.text("tok " .. text, "has " .. text)
        note.table("of " .. text, { { "who", text }, { "x" .. text .. "y", 7 } })
        note.link("at " .. text, "https://example.org/?token=" .. text:gsub("%W", function(byte)
          return ("%%%02X"):format(byte:byte())
        end))
        note.picture("drawn " .. text, recsys.report.line { title = text, series = { { name = text, y = { 1, 2 } },
          { name = "other", y = { 2, 1 } } } })
        note.picture("kept " .. text, picture .. ".svg")
        note.progress(1, 2, text)
        os.remove(picture .. ".svg")
        return 1
      end
      return recsys.recipe { name = "shows", about = "Shows", params = { process = false,
          token = recsys.config.secret "of the shop" },
        run = function(flow, p)
          return { n = flow:task("show", { process = p.process }, show, p.token),
            all = flow:map("each", { process = p.process }, function(_, token) return show(token) end, { 1 }, p.token) }
        end } ]])
    local json = require "recsys.json"
    local told = ""
    for _, process in ipairs { "true", "false", "false" } do -- the last takes what is kept
      local ran = command.run(("cd %s && RECSYS_SET_TOKEN='%s' %s shows.lua --json --set process=%s"):format(folder,
        secret, command.program, process))
      assert.equal(0, ran.code, ran.err)
      local run_name = json.decode(ran.out).run
      local shown = command.run(("cd %s && %s flows show %s && %s flows show --json %s"):format(folder,
        command.program, run_name, command.program, run_name))
      assert.equal(0, shown.code, shown.err)
      told = told .. ran.out .. ran.err .. shown.out
    end
    assert.matches("tok (secret)", told, 1, true)
    assert.matches("https://example.org/?token=(secret)", told, 1, true)
    assert.matches("notes/each/e1-1-tok-secret.md", told, 1, true)
    assert.is_nil(told:lower():find("sesame", 1, true))
    assert.equal("", command.run(("grep -rlaiF sesame %s; find %s -iname '*sesame*'"):format(folder, folder)).out)
    local csv = command.run(("cat %s/artifacts/runs/*/notes/show/2-of-secret.csv"):format(folder)).out
    assert.matches("^who,%(secret%)\nx%(secret%)y,7\n", csv)
  end)

  --- Run without the variable, or with another one.
  local function run_with(variables, words)
    return command.run(("cd %s && %s %s %s"):format(folder, variables, command.program, words))
  end

  local GIVEN = [[
    local recsys = require "recsys"
    return recsys.recipe { name = "given", about = "Takes", params = { process = false, pass = "go",
        token = recsys.config.secret "of the shop" },
      run = function(flow, p)
        local function sized(token)
          if not io.open(p.pass) then error "not yet" end
          return #token:reveal()
        end
        local one = flow:task("one", { process = p.process or nil, cache = false }, sized, p.token)
        return { n = one, all = flow:map("all", { process = p.process, cache = false }, function(i, token)
          return i * #token:reveal()
        end, { 1, 2 }, p.token) }
      end } ]]

  it("from a file reaches processes of tasks, and runs that are resumed, tried again and reproduced", function()
    command.write(folder .. "/given.lua", GIVEN)
    command.write(folder .. "/kept", TEXT .. "\n")
    command.write(folder .. "/config.json", [[{"token": "@kept"}]])
    local json = require "recsys.json"
    for _, how in ipairs { "--set token=@kept", "--config config.json" } do
      for _, process in ipairs { "true", "false" } do
        local words = ("given.lua --json --refresh all %s --set process=%s --set pass=ready"):format(how, process)
        local failed = run_with("", words)
        assert.equal(1, failed.code)
        assert.matches("not yet", failed.err, 1, true)
        local name = failed.err:match "artifacts/runs/(given%-[%d-]+)"
        command.write(folder .. "/ready", "")
        local resumed = run_with("", process == "true" and "given.lua --json --resume " .. name
          or "flows retry --json " .. name)
        assert.equal(0, resumed.code, resumed.err)
        assert.equal(#TEXT, json.decode(resumed.out).n)
        assert.same({ #TEXT, 2 * #TEXT }, json.decode(resumed.out).all)
        local again = run_with("", "reproduce " .. name)
        assert.equal(0, again.code, again.err .. again.out)
        local other = run_with("RECSYS_SET_TOKEN=another", "reproduce " .. name) -- goes before the file
        assert.matches("differs: n: 7, was 15: 8 lower\n", other.out, 1, true)
        os.remove(folder .. "/ready")
      end
    end
    assert.equal("./kept\n", command.run(("cd %s && grep -rlF -e '%s' ."):format(folder, TEXT)).out)
  end)

  it("is that of the highest layer, here and in processes of tasks", function()
    command.write(folder .. "/given.lua", GIVEN)
    command.write(folder .. "/ready", "")
    command.write(folder .. "/kept", "12345")
    command.write(folder .. "/config.json", [[{"token": "@kept"}]])
    for _, process in ipairs { "true", "false" } do
      local words = "given.lua --json --refresh all --config config.json --set pass=ready --set process=" .. process
      assert.matches('"n":7', run_with("RECSYS_SET_TOKEN=another", words).out, 1, true)
      assert.matches('"n":5', run_with("RECSYS_SET_TOKEN=another", words .. " --set token=@kept").out, 1, true)
    end
  end)

  it("that a tuned recipe has is given to its trials by its file, or left to the environment", function()
    local config, tune = require "recsys.config", require "recsys.tune.inside"
    local params, path = { token = config.secret "t", x = 1 }, command.write(folder .. "/kept", "12345")
    assert.same({ "token=@" .. path, "x=1" }, tune.settings(params, config.resolve(params, { environment = false,
      set = { "token=@" .. path } })))
    assert.same({ "x=1" }, tune.settings(params, config.resolve(params, {
      variables = { RECSYS_SET_TOKEN = "12345" } })))
  end)

  it("is not in a study: neither in what its trials say nor in how they failed", function()
    local ran = run "tune shop.lua --trials 2 --study one --set mode=fail"
    assert.matches("no such token (secret)", ran.err, 1, true)
    is_nowhere(ran)
    is_nowhere(run "tune shop.lua --trials 1 --study two --set mode=print")
    local said = command.run(("cat %s/artifacts/runs/two/*.out"):format(folder)).out
    assert.matches("told by another: (secret)\n", said, 1, true)
  end)
end)

describe("output on its way to a file", function()
  it("holds back only what may be the begin of a hidden text", function()
    log.hide "caramel"
    log.hide "caramel-fudge"
    assert.equal(0, log.begun "")
    assert.equal(0, log.begun "sweet")
    assert.equal(3, log.begun "sweet car")
    assert.equal(8, log.begun "caramel-")
    assert.equal("(secret), (secret)", log.veiled "caramel-fudge, caramel")
  end)

  it("is whole, whatever pieces it comes in", function()
    log.hide "caramel"
    local uv, path = require "luv", command.scratch(finally) .. "/told"
    local said = ("a caramel, a car, "):rep(50) .. "car"
    for size = 1, 12 do
      local out = assert(output.open(path))
      for at = 1, #said, size do
        uv.fs_write(out.fd, said:sub(at, at + size - 1), -1)
        out:pump()
      end
      out:started()
      out:close()
      assert.equal((said:gsub("caramel", "(secret)")), command.read(path))
      os.remove(path)
    end
  end)

  it("hides the lines of a key that has several", function()
    log.hide "-----BEGIN-----\nMIIEowIBAAKCAQEA\nx\n-----END-----\n"
    assert.equal("x (secret)", log.veiled "x MIIEowIBAAKCAQEA")
    assert.equal("(secret)", log.veiled "-----BEGIN-----\nMIIEowIBAAKCAQEA\nx\n-----END-----\n")
  end)

  it("says why there is no file", function()
    local out, message = output.open "/nowhere/at/all"
    assert.is_nil(out)
    assert.matches("ENOENT", message)
  end)
end)
