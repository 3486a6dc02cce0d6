--- What a run keeps of its configuration and of what it was made of, and `recsys-run reproduce`.

local command = require "spec.support.command"
local json = require "recsys.json"

local SMALL = "--set data.scale=0.002 --set train.epochs=1 --set model.dim=8 --set eval.window="

local RECIPE = [[
local recsys = require "recsys"
local config = recsys.config
return recsys.recipe { name = "tiny", about = "Counts", params = {
    shop = { token = config.secret("of the shop", { optional = true }),
      rows = config.param(3, "how many", { unit = "rows" }) } },
  run = function(flow, p)
    local sum = flow:task("sum", function(n, token)
      if token then recsys.log.info("asked with %s", token:reveal()) end
      if n == 13 then error("the shop refused " .. token:reveal()) end
      return { total = n * require("models.factor") }
    end, p.shop.rows, p.shop.token)
    if p.shop.rows == 14 then
      local options = { on_error = "keep", process = false }
      flow:map("each", options, function(i, token)
        if i == 2 then error("kept " .. token:reveal()) end
        return i
      end, { 1, 2 }, p.shop.token)
      flow:task("own", { process = true }, function(token)
        print("printed " .. token:reveal())
        os.execute("echo told " .. token:reveal())
        error("raised " .. token:reveal())
      end, p.shop.token)
    end
    return { metrics = { total = sum.total }, seen = p.shop.token }
  end } ]]

describe("recsys-run reproduce", function()
  local folder, run_name

  local function run(words, variables)
    return command.run(("cd %s && %s %s %s"):format(folder, variables or "", command.program, words))
  end

  setup(function()
    folder = command.temporary()
    command.run(("mkdir -p %s/recipes %s/models"):format(folder, folder))
    command.write(folder .. "/recipes/mine.lua", command.read "recipes/mf.lua")
    command.write(folder .. "/models/mf.lua", command.read "models/mf.lua")
    command.write(folder .. "/recipes/tiny.lua", RECIPE)
    command.write(folder .. "/models/factor.lua", "return 2\n")
    command.run(("mkdir -p %s/artifacts/data/news"):format(folder))
    command.write(folder .. "/artifacts/data/news/events.csv.part", "what a kill has left")
    command.write(folder .. "/artifacts/data/news/stamp.json",
      '{ "generator": "recsys.sample.news", "unfinished": true }\n')
    local ran = run("recipes/mine.lua --json " .. SMALL)
    assert.equal(0, ran.code, ran.err)
    run_name = json.decode(ran.out).run
  end)

  teardown(function() command.remove(folder) end)

  it("gives the same figures from the same code and data", function()
    local kept = json.decode(command.read(("%s/artifacts/runs/%s/params.json"):format(folder, run_name)))
    assert.equal(json.null, kept.eval.window)
    local inputs = json.decode(command.read(("%s/artifacts/runs/%s/provenance.json"):format(folder, run_name))).inputs
    assert.is_string(inputs["artifacts/data/news/events.csv"])
    assert.is_string(inputs["artifacts/data/news/hidden"])
    assert.is_nil(inputs["artifacts/data/news/events.csv.part"])
    local ran = run("reproduce --json " .. run_name, "RECSYS_SET_TRAIN__EPOCHS=3")
    assert.equal(0, ran.code, ran.err)
    local told = json.decode(ran.out)
    assert.same({}, told.differences)
    assert.same({}, told.differing)
    assert.is_true(told.compared > 50)
    assert.matches("code, program and data are those of the run", ran.err, 1, true)
    local models = run("registry list --json").out
    assert.equal(1, json.decode(models).models[1].latest or json.decode(models).models[1].version, models)
  end)

  it("tells other kernels of BLAS, whose last digits are their own", function()
    local path = ("%s/artifacts/runs/%s/provenance.json"):format(folder, run_name)
    local bytes = command.read(path)
    local kernels = json.decode(bytes).blas
    assert.matches("^%l+ %w+$", kernels)
    finally(function() command.write(path, bytes) end)
    command.write(path, (bytes:gsub('"blas": "[^"]*"', '"blas": "openmp Prescott"')))
    local checked = run("reproduce --check " .. run_name)
    assert.equal(3, checked.code)
    assert.equal(("differs: other kernels multiply matrices (OPENBLAS_CORETYPE, or another OpenBLAS): %s, was %s\n")
      :format(kernels, "openmp Prescott"), checked.out)
  end)

  it("says which files differ, and by how much the figures do", function()
    local model = folder .. "/models/mf.lua"
    local source = command.read(model)
    command.write(model, (source:gsub("config.dim, settings", "config.dim // 2, settings")))
    local events = folder .. "/artifacts/data/news/events.csv"
    local bytes = command.read(events)
    local cut = bytes:sub(1, #bytes // 2):match "^.*\n"
    command.write(events, cut)
    finally(function()
      command.write(model, source)
      command.write(events, bytes)
    end)
    local checked = run("reproduce --check " .. run_name)
    assert.equal(3, checked.code, checked.err)
    assert.matches("differs: models/mf.lua has changed\n", checked.out, 1, true)
    assert.matches("differs: artifacts/data/news/events.csv has changed\n", checked.out, 1, true)
    assert.not_matches("devices.csv", checked.out, 1, true)
    local again = run("reproduce " .. run_name)
    assert.equal(3, again.code, again.err)
    -- the sample was cut, and without the cache it is made anew: the difference is the model's alone
    assert.matches("differs: metrics.ndcg_10: [%d.e-]+, was [%d.e-]+: [%d.e-]+ %a+er\n", again.out)
    assert.matches("\n%d+ of %d+ figures of artifacts/runs/mf%-[%d-]+ are the same in artifacts/runs/mf%-[%d-]+\n$",
      again.out)
  end)

  it("keeps no secret, in no file of a run and in nothing that is told", function()
    local ran = run("recipes/tiny.lua", "RECSYS_SET_SHOP__TOKEN=open-sesame")
    assert.equal(0, ran.code, ran.err)
    local failed = run("recipes/tiny.lua --set shop.rows=13", "RECSYS_SET_SHOP__TOKEN=open-sesame")
    assert.equal(1, failed.code)
    assert.matches("asked with %(secret%)", ran.err)
    assert.matches("the shop refused %(secret%)", failed.err)
    local inner = run("recipes/tiny.lua --set shop.rows=14", "RECSYS_SET_SHOP__TOKEN=open-sesame")
    assert.equal(1, inner.code)
    assert.matches("raised %(secret%)", inner.err)
    for _, words in ipairs { "kept", "printed", "told" } do
      local kept = command.run(("grep -rh '%s (secret)' %s/artifacts"):format(words, folder))
      assert.not_equal("", kept.out, words)
    end
    local found = command.run(("grep -rl open-sesame %s"):format(folder))
    assert.equal("", found.out)
    for _, one in ipairs { ran, failed, inner, run "recipes/tiny.lua --help", run("recipes/tiny.lua --show-config",
      "RECSYS_SET_SHOP__TOKEN=open-sesame") } do
      assert.is_nil((one.out .. one.err):find("open-sesame", 1, true))
    end
    local again = run("reproduce artifacts/runs/" .. ran.err:match "artifacts/runs/(tiny%-[%d-]+)",
      "RECSYS_SET_SHOP__TOKEN=open-sesame")
    assert.equal(0, again.code, again.err)
    assert.matches("2 of 2 figures", again.out)
  end)

  --- Write a recipe, run it, and give the name of its run.
  local function made(name, source, words)
    command.write(("%s/recipes/%s.lua"):format(folder, name), ([[
      local recsys = require "recsys"
      package.path = "./?.lua;" .. package.path
      local helper = dofile "helper.lua"
      local function prices(path)
        local file <close> = assert(io.open(path))
        return file:read "n"
      end
      recsys.flow.reads(prices, function(path) return { path } end)
      return recsys.recipe { name = %q, about = "Counts", params = { process = false }, run = function(flow, p)
        local out = flow:path "out"
        %s
      end } ]]):format(name, source))
    command.write(folder .. "/helper.lua", "return { k = 2 }")
    command.write(folder .. "/lazy.lua", "return 4")
    command.write(folder .. "/prices.txt", "5")
    local ran = run(("recipes/%s.lua %s"):format(name, words or ""))
    assert.equal(0, ran.code, ran.err)
    return ran.err:match("artifacts/runs/(" .. name .. "%-[%d-]+)")
  end

  local LAZY = [[return { n = flow:task("lazy", { process = p.process or nil }, function() return require "lazy" end),
    price = flow:task("price", prices, "prices.txt"), k = helper.k, out = out, note = "as ever" }]]

  for label, words in pairs { here = "", ["in a process of its own"] = "--set process=true" } do
    it("knows all Lua files and the files that flow.reads names, made " .. label .. " or taken", function()
      local name = words == "" and "here" or "apart"
      local fresh = made(name, LAZY, words)
      local cached = made(name, LAZY, words)
      for _, one in ipairs { fresh, cached } do
        local kept = json.decode(command.read(("%s/artifacts/runs/%s/provenance.json"):format(folder, one)))
        local lua = {}
        for path in pairs(kept.lua) do lua[#lua + 1] = path end
        table.sort(lua)
        assert.same({ "helper.lua", "lazy.lua", ("recipes/%s.lua"):format(name) }, lua)
        assert.is_string(kept.inputs["prices.txt"])
        local same = run("reproduce --check " .. one)
        assert.equal(0, same.code, same.out)
        for path, bytes in pairs { ["helper.lua"] = "return { k = 3 }", ["lazy.lua"] = "return 5",
          ["prices.txt"] = "6" } do
          local before = command.read(folder .. "/" .. path)
          command.write(folder .. "/" .. path, bytes)
          local checked = run("reproduce --check " .. one)
          command.write(folder .. "/" .. path, before)
          assert.equal(3, checked.code, path)
          assert.equal(("differs: %s has changed\n"):format(path), checked.out)
        end
      end
      local again = run("reproduce " .. cached)
      assert.equal(0, again.code, again.out)
      assert.matches("5 of 5 figures", again.out, 1, true)
    end)
  end

  it("says of a file that tasks have read in two forms that it changed meanwhile", function()
    local name = made("between", [[
      local first = flow:task("first", prices, "prices.txt")
      flow:task("write", { cache = false }, function()
        local file <close> = assert(io.open("prices.txt", "w"))
        return file:write "6" and true
      end)
      return { first = first, second = flow:task("second", prices, "prices.txt") }]])
    local kept = json.decode(command.read(("%s/artifacts/runs/%s/provenance.json"):format(folder, name)))
    assert.equal("changed meanwhile", kept.inputs["prices.txt"])
    local checked = run("reproduce --check " .. name)
    assert.equal(3, checked.code)
    assert.equal("differs: prices.txt has changed\n", checked.out)
  end)

  it("compares a folder however the way there is spelt, and leaves out what a kill has left half written", function()
    command.run(("mkdir -p %s/shop/deep"):format(folder))
    command.write(folder .. "/shop/deep/a.txt", "1")
    command.write(folder .. "/shop/events.csv.part", "half")
    local name = made("folders", [[
      local function count(dir) return #dir end
      recsys.flow.reads(count, function(dir) return { dir } end)
      return { n = flow:task("count", count, "shop") }]])
    os.remove(folder .. "/shop/events.csv.part")
    local checked = run("reproduce --check " .. name)
    assert.equal(0, checked.code, checked.out)
    local kept_at = ("%s/artifacts/runs/%s/provenance.json"):format(folder, name)
    local bytes = command.read(kept_at)
    command.write(kept_at, (bytes:gsub('"shop"', '"' .. folder .. '/shop"')))
    checked = run("reproduce --check " .. name)
    assert.equal(0, checked.code, checked.out)
    command.write(folder .. "/shop/deep/a.txt", "2")
    assert.equal(3, run("reproduce --check " .. name).code)
  end)

  it("tells the content that each task has read, also when a later one is taken from a run before a change", function()
    local source = [[
      local price = flow:task("price", prices, "prices.txt")
      local sign = flow:task("sign", function(n) return n > 0 and 1 or -1 end, price)
      return { twice = flow:task("twice", function(n) return n * 2 end, sign) }]]
    made("chain", source)
    command.write(folder .. "/prices.txt", "6")
    local ran = run "recipes/chain.lua"
    assert.equal(0, ran.code, ran.err)
    assert.matches("twice +cached", ran.err)
    local name = ran.err:match "artifacts/runs/(chain%-[%d-]+)"
    local checked = run("reproduce --check " .. name)
    assert.equal(0, checked.code, checked.out)
    command.write(folder .. "/prices.txt", "5")
    checked = run("reproduce --check " .. name)
    assert.equal(3, checked.code, checked.out)
    assert.equal("differs: prices.txt has changed\n", checked.out)
  end)

  for label, words in pairs { here = "false", ["in processes"] = "true" } do
    it("tells it of the elements of a map, of which some are taken, made " .. label, function()
      local name = words == "true" and "each_apart" or "each_here"
      local source = [[
        local list = flow:task("list", function() return { "one.txt", "two.txt", "three.txt" } end)
        local all = flow:map("each", { process = p.process, concurrency = 1 }, prices, list)
        return { total = flow:task("sum", function(l) return l[1] + l[2] + l[3] end, all) }]]
      for i, file in ipairs { "one", "two", "three" } do
        command.write(("%s/%s.txt"):format(folder, file), tostring(i))
      end
      made(name, source, "--set process=" .. words)
      command.write(folder .. "/two.txt", "7")
      local ran = run(("recipes/%s.lua --set process=%s"):format(name, words))
      assert.equal(0, ran.code, ran.err)
      local again = ran.err:match("artifacts/runs/(" .. name .. "%-[%d-]+)")
      local checked = run("reproduce --check " .. again)
      assert.equal(0, checked.code, checked.out)
      command.write(folder .. "/two.txt", "2")
      checked = run("reproduce --check " .. again)
      assert.equal("differs: two.txt has changed\n", checked.out)
    end)
  end

  it("takes no result that was made with another file which dofile has loaded", function()
    local first = made("filed", LAZY)
    command.write(folder .. "/helper.lua", "return { k = 3 }")
    local again = run "recipes/filed.lua"
    assert.not_matches("cached", again.err)
    assert.is_string(first)
  end)

  it("compares every number and text, at any depth, but times and memory", function()
    local name = made("noise", [[
      -- math.random may begin alike in programs that begin in the same second
      local now = math.tointeger(require("luv").hrtime())
      return { total = 1, deep = { list = { 1, 2, { noise = now } } }, seconds_spent = 3, seconds = 5,
        fit_seconds = os.clock(), peak_mib = now, word = "w" .. now, sure = now > 0, at = flow.folder .. "/x" }]])
    local again = run("reproduce " .. name)
    assert.equal(3, again.code, again.err)
    assert.matches("differs: deep.list.3.noise: %d+, was %d+: ", again.out)
    assert.matches('differs: word: "w%d+", was "w%d+"\n', again.out)
    assert.matches("\n6 of 8 figures", again.out)
  end)

  it("does not say that a run is reproduced when there is nothing to compare", function()
    local again = run("reproduce " .. made("silent", "return { seconds = 1 }"))
    assert.equal(1, again.code)
    assert.matches("nothing is proved: there is nothing to compare", again.out, 1, true)
  end)

  it("shows the configuration that would be used, and runs nothing", function()
    local shown = run("recipes/tiny.lua --show-config --json --set shop.rows=5")
    assert.equal(0, shown.code, shown.err)
    assert.same({ ["shop.rows"] = "--set" }, json.decode(shown.out).origins)
    assert.equal(5, json.decode(shown.out).parameters.shop.rows)
    local help = run "recipes/tiny.lua --help"
    assert.matches("shop.rows +integer +3 +how many %[rows%]", help.out)
    assert.matches("shop.token +secret +none +of the shop", help.out)
  end)

  it("warns of a variable that means nothing, once", function()
    local ran = run("recipes/tiny.lua --plan", "RECSYS_SHOP__ROWS=4 RECSYS_MEMROY=1G")
    assert.equal(0, ran.code)
    assert.matches("RECSYS_SHOP__ROWS means nothing here; did you mean RECSYS_SET_SHOP__ROWS?", ran.err, 1, true)
    assert.matches("RECSYS_MEMROY means nothing here; did you mean RECSYS_MEMORY?", ran.err, 1, true)
  end)

  it("compares what the environment sets with a run that is resumed by its name", function()
    command.write(folder .. "/recipes/stopped.lua", (RECIPE:gsub('name = "tiny"', 'name = "stopped"'):gsub("n == 13",
      "n == 3")))
    local failed = run("recipes/stopped.lua", "RECSYS_SET_SHOP__TOKEN=open-sesame")
    local name = failed.err:match "artifacts/runs/(stopped%-[%d-]+)"
    local other = run("recipes/stopped.lua --resume " .. name, "RECSYS_SET_SHOP__ROWS=5")
    assert.equal(2, other.code)
    assert.matches("was begun with other values of shop.rows", other.err)
    local again = run("recipes/stopped.lua --resume " .. name, "RECSYS_SET_SHOP__TOKEN=close-sesame")
    assert.matches("the shop refused %(secret%)", again.err)
    local without = run("recipes/stopped.lua --resume " .. name)
    assert.equal(2, without.code)
    assert.matches("shop.token is a secret and was not given", without.err)
  end)

  it("says what is wrong with a run that cannot be reproduced", function()
    assert.matches("there is no run 'nothing'", run("reproduce nothing").err, 1, true)
    assert.equal(2, run("reproduce nothing").code)
    command.run(("mkdir -p %s/artifacts/runs/half/unfinished"):format(folder))
    assert.matches("the run is unfinished", run("reproduce half").err, 1, true)
  end)
end)
