--- What people meet when something is wrong: each through the command line, with the message and the exit code of
--- docs/recipes.md. What a module refuses in detail is in its own spec.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local lfs = require "lfs"

local folder, news, published

--- Run the host program in the specs' folder.
local function recsys_run(words)
  return command.run(("cd %s && OMP_NUM_THREADS=1 %s %s"):format(folder, command.program, words))
end

--- Run the main job for one epoch on a tiny sample, or on the data in 'dir'.
local function train(words, dir)
  return recsys_run(("two_tower --threads 1 --set data.dir=%s --set data.scale=0.0005 --set train.epochs=1 "
    .. "--set eval.samples=10 %s"):format(dir or "news", words or ""))
end

--- The command ended with this code and said each of the texts, in one line and without a traceback.
local function assert_refused(ran, code, ...)
  assert.equal(code, ran.code, ran.err)
  assert.equal("", ran.out)
  local said = ran.err:match "recsys%-run: ([^\n]*)"
  for _, text in ipairs { ... } do assert.truthy((said or ""):find(text, 1, true), ran.err) end
  assert.is_nil(ran.err:find("stack traceback", 1, true), ran.err)
end

--- A copy of the sample's three files, one of them changed: people's own data, which nobody makes anew.
local function data_with(name, file, change)
  local dir = folder .. "/" .. name
  assert(lfs.mkdir(dir))
  for _, each in ipairs { "devices.csv", "contents.csv", "events.csv" } do
    local bytes = command.read(news .. "/" .. each)
    command.write(dir .. "/" .. each, each == file and change(bytes) or bytes)
  end
  return name
end

local function recipe(name, body)
  command.write(("%s/%s.lua"):format(folder, name), body)
  return name .. ".lua"
end

--- Files below the folder whose path matches, hidden ones too.
local function find(pattern)
  local found = {}
  for path in command.run("find " .. folder .. " -type f").out:gmatch "[^\n]+" do
    if path:find(pattern) then found[#found + 1] = path end
  end
  return found
end

local function count(list)
  return #list
end

setup(function()
  folder = command.temporary()
  news = folder .. "/news"
  local ran = train()
  assert(ran.code == 0, ran.err)
  published = folder .. "/artifacts/models/two_tower-1.tar"
end)

teardown(function() command.remove(folder) end)

describe("a recipe over damaged data", function()
  it("fails above the limit of bad rows and names file, line, reason and what to do", function()
    local dir = data_with("many_bad", "events.csv", function(bytes) return bytes .. ("a,b,c\n"):rep(40) end)
    assert_refused(train("", dir), 1, "task 'load'", "many_bad/events.csv", "50 of 1800 rows are malformed",
      "the limit is 1 %", "line 22: 12 fields instead of 6", "raise bad_limit", "quarantine/events.csv.quarantine.csv")
  end)

  it("goes on below the limit, and keeps the bad rows in the run's folder", function()
    local dir = data_with("few_bad", "events.csv", function(bytes) return bytes .. "a,b,c\n" end)
    local ran = train("", dir)
    assert.equal(0, ran.code, ran.err)
    local quarantine = ran.err:match "few_bad/events.csv: %d+ of [%d,]+ rows are malformed.-all are in ([^\n]+)"
    assert.matches("artifacts/runs/two_tower%-[%d-]+/quarantine/events.csv", quarantine)
    assert.matches("a,b,c", command.read(folder .. "/" .. quarantine))
  end)

  it("fails on a file cut off in its header, and on an empty one", function()
    local dir = data_with("cut", "events.csv", function(bytes) return bytes:sub(1, 20) end)
    assert_refused(train("", dir), 1, "task 'load'", "cut/events.csv has no column 'eventTimestamp'")
    dir = data_with("empty", "contents.csv", function() return "" end)
    assert_refused(train("", dir), 1, "task 'load'", "empty/contents.csv")
  end)

  it("fails on a folder without the files, and says how to get some", function()
    assert(lfs.mkdir(folder .. "/nothing"))
    assert_refused(train("", "nothing"), 1, "task 'load'", "missing in nothing", "recipes/news_sample.lua")
    assert_refused(train("--set data.source=movielens", "nothing"), 1, "no MovieLens data in nothing",
      "https://grouplens.org")
  end)

  it("says that the sample is invented when it makes one in a new folder", function()
    local ran = train("--set data.scale=0.0001 --set split.test=0.2", "new_folder")
    assert.equal(0, ran.code, ran.err)
    assert.matches("there is no folder new_folder yet: the sample of an invented news app is made there", ran.err)
  end)
end)

describe("a damaged bundle", function()
  --- inspect and recommend both refuse it, with these texts.
  local function assert_both_refuse(path, ...)
    assert_refused(recsys_run("inspect " .. path), 1, path, ...)
    assert_refused(recsys_run("recommend " .. path .. " --user u1"), 1, path, ...)
  end

  it("is refused when it is cut short", function()
    local bytes = command.read(published)
    for i, share in ipairs { 0.01, 0.5, 0.99 } do
      local path = command.write(("%s/cut-%d.tar"):format(folder, i), bytes:sub(1, math.floor(#bytes * share)))
      assert_both_refuse(path)
    end
  end)

  it("is refused when one byte is another", function()
    local bytes = command.read(published)
    for i, share in ipairs { 0.3, 0.6, 0.9 } do
      local at = math.floor(#bytes * share)
      local flipped = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1) .. bytes:sub(at + 1)
      local path = command.write(("%s/flipped-%d.tar"):format(folder, i), flipped)
      assert_both_refuse(path)
    end
  end)

  it("is refused when a member would leave its folder, and nothing is written", function()
    assert(lfs.mkdir(folder .. "/inner"))
    command.write(folder .. "/escaped", "x")
    assert.equal(0, command.run(("cd %s/inner && tar -cPf ../leaving.tar ../escaped"):format(folder)).code)
    os.remove(folder .. "/escaped")
    assert_both_refuse(folder .. "/leaving.tar", "'../escaped'", "could leave the bundle")
    assert.is_nil(lfs.attributes(folder .. "/escaped"))
  end)

  it("is refused when a user's code lies outside its embedding table, whoever sealed it", function()
    local b, members = assert(bundle.open(published)), {}
    for i, member in ipairs(b:members()) do
      members[i] = { member.name, bytes = b:text(member.name) }
      if member.name == "users.features.safetensors" then
        local tensors = b:tensors(member.name)
        local codes = tensors["user.platform"]:clone()
        codes:set(1, 1000000)
        tensors["user.platform"] = codes
        members[i] = { member.name, tensors = tensors }
      end
    end
    local manifest = b:manifest()
    manifest.format, manifest.members = nil, nil
    local path = folder .. "/outside.tar"
    assert(bundle.write(path, { manifest = manifest, members = members }))
    assert_refused(recsys_run("recommend " .. path .. " --user u1"), 1, path, "users.features.safetensors holds codes")
  end)

  it("is told apart from one that is not there, which is a usage error", function()
    assert_refused(recsys_run "inspect two_towr", 2, "no bundle 'two_towr'", "did you mean 'two_tower'?")
    assert_refused(recsys_run "recommend two_tower-7 --user u1", 2, "no bundle 'two_tower-7'")
  end)
end)

describe("a request that makes no sense", function()
  it("is refused with the reason", function()
    local asked = {
      ["-k 0"] = "'0' is not a whole number of 1 or more",
      ["--now yesterday"] = "'yesterday' is neither a date",
      ["--fields '{'"] = "must be a JSON object",
      ["--fields '[]'"] = "not an object",
      ["--fields '{\"platform\": {}}'"] = "field 'platform' is an object",
      ["--usr u1"] = "did you mean",
    }
    for words, reason in pairs(asked) do
      assert_refused(recsys_run("recommend two_tower --user u1 " .. words), 2, reason)
    end
    assert_refused(recsys_run "recommend two_tower", 2, "whom to recommend to?")
  end)

  it("is answered with a warning when it gives a history to a model without a history feature", function()
    assert.equal(0, recsys_run("mf --threads 1 --set data.dir=news --set data.scale=0.0005 --set train.epochs=1").code)
    local item = recsys_run "recommend mf --user u1 -k 1 --json".out:match '"item":"([^"]+)"'
    for words, warned in pairs { ["mf --history " .. item] = true, ["two_tower --history " .. item] = false,
      ["mf --user u1"] = false } do
      local ran = recsys_run("recommend " .. words)
      assert.equal(0, ran.code, ran.err)
      assert.equal(warned, ran.err:find("warning: this model has no history feature", 1, true) ~= nil, words)
    end
  end)
end)

describe("a misspelled word", function()
  it("is refused with the nearest one: parameter, choice, command, recipe, option", function()
    assert_refused(train "--set train.epoch=3", 2, "no parameter 'train.epoch'", "did you mean 'train.epochs'?")
    assert_refused(train "--set data.source=movielen", 2, "'movielen' is not one of", "did you mean 'movielens'?")
    assert_refused(recsys_run "inspct x", 2, "no command or recipe 'inspct'", "did you mean 'inspect'?")
    assert_refused(recsys_run "recipes/two_towr.lua", 2, "did you mean 'recipes/two_tower.lua'?")
    assert_refused(train "--jsn", 2, "unknown option '--jsn'", "did you mean '--json'?")
  end)

  it("is found before anything is made", function()
    local before = count(find "artifacts/runs/")
    for _, setting in ipairs { "train.learning_rate=1e999", "eval.k=", "eval.k=0", "eval.k=5,5", "eval.window=banana",
      "publish.name=../x", "publish.dir=", "runs=", "model.hidden=0", "train..epochs=1", ".train=1",
      "data.scale=nan" } do
      assert_refused(train("--set " .. setting), 2, setting:match "[^.=]%a+[%a._]*")
    end
    assert_refused(train "--threads 0", 2, "'0' is not a whole number of 1")
    assert_refused(train "--seed x", 2, "'x' is not a whole number of 0")
    assert.equal(before, count(find "artifacts/runs/"))
  end)
end)

describe("a recipe that is wrong itself", function()
  it("is refused when it is not Lua, or no recipe", function()
    assert_refused(recsys_run(recipe("syntax", "local x =\nthis is no Lua")), 2, "syntax.lua:2: syntax error")
    assert_refused(recsys_run(recipe("five", "return 5")), 2, "five.lua returns no recipe",
      "return recsys.recipe { ... }")
    assert_refused(recsys_run(recipe("nameless", [[return require "recsys".recipe { about = "x", run = print }]])), 2,
      "nameless.lua: ", "field 'name' must be a string")
    assert_refused(recsys_run(recipe("odd", [[
      return require "recsys".recipe { name = "odd", about = "x", run = print, shap = 1 }]])), 2, "odd.lua: ",
      "there is no field 'shap'")
  end)

  local raising = [[
    local recsys = require "recsys"
    return recsys.recipe { name = "raising", about = "Raise", run = function(flow)
      flow:task("first", function()
        local nothing
        return nothing.field
      end)
    end }]]

  it("names the task, its line in the recipe and the line of the mistake; the log keeps the traceback", function()
    local ran = recsys_run(recipe("raising", raising))
    assert_refused(ran, 1, "task 'first' (raising.lua:3): raising.lua:5: attempt to index a nil value")
    assert.matches("stack traceback:.*raising.lua:5", command.read(folder .. "/" .. ran.err:match "log: ([^\n]+)"))
  end)

  it("names the task whose result cannot be saved", function()
    assert_refused(recsys_run(recipe("unsaved", (raising:gsub("nothing.field", "print")))), 1,
      "task 'first' (unsaved.lua:3)", "cannot be saved", "a function")
  end)

  it("ends with the code that a task's refusal asks for, in its words alone", function()
    local busy = raising:gsub("return nothing.field", "return nil, 'the shop is closed', 'busy'")
    assert_refused(recsys_run(recipe("busy", busy)), 75, "task 'first': the shop is closed")
  end)
end)

describe("a recipe of one's own over the steps of recsys.job", function()
  --- One with these params (Lua text).
  local function text_of(params)
    return ([[
      local recsys = require "recsys"
      local feature, job, param = recsys.feature, recsys.job, recsys.config.param
      return recsys.recipe { name = "own", about = "Of one's own", params = %s, run = function(flow, p)
        local data = flow:task("load", job.load, p.data)
        local split = flow:task("split", job.split, data, p.split, p.seed)
        local encoder = flow:task("features", feature.fit, data, split.train,
          { user = { feature.id { "user" } }, item = { feature.id { "item" } } })
        local model = flow:task("train", job.train, p, encoder, data, split)
        local report = flow:task("evaluate", job.evaluate, p, model, data, split)
        local written = flow:task("recommend", job.recommend, p, model, data, flow:path "recommendations")
        local bundle = flow:task("publish", job.publish, p, model, data, report, flow.name)
        return flow:task("report", job.result, report, model, written, bundle)
      end }]]):format(params)
  end

  local function own(params, words)
    local path = recipe("own", text_of(params))
    return recsys_run(("%s --threads 1 --set runs=own_runs %s"):format(path, words or ""))
  end

  local whole = [[{ data = { source = "news", dir = "news", scale = 0.0005 }, split = { kind = "time" },
    model = { kind = "mf", dim = 4 }, publish = { name = "own" } }]]

  --- The same with the text 'part' replaced.
  local function with(part, other)
    local from, to = whole:find(part, 1, true)
    return whole:sub(1, from - 1) .. other .. whole:sub(to + 1)
  end

  it("needs no groups but those that hold what has no default", function()
    local ran = own(whole)
    assert.equal(0, ran.code, ran.err)
    assert.matches("model mf: [^\n]*/models/mf.lua\n", ran.err)
    assert.matches("recommendations +own_runs/", ran.out)
  end)

  it("names what it must declare, before a run begins", function()
    assert(os.execute(("rm -rf %s/own_runs"):format(folder)))
    for part, name in pairs { ['source = "news", '] = "data.source", ['dir = "news", '] = "data.dir",
      ['kind = "time"'] = "split.kind", ['{ kind = "time" }'] = "split.kind",
      ['kind = "mf", '] = "model.kind", ['{ name = "own" }'] = "publish.name",
      ['publish = { name = "own" }'] = "publish.name" } do
      local group, key = name:match "(%a+)%.(%a+)"
      assert_refused(own(with(part, part:find "^{" and "{}" or "")), 2, name, " is not declared",
        ("the recipe's params need %s = { %s = ... }"):format(group, key))
    end
    assert.is_nil(lfs.attributes(folder .. "/own_runs"))
  end)

  it("names its line where it declares a feature of a column that is not there", function()
    local path = recipe("features", (text_of(whole):gsub('"item" }', '"movie" }')))
    assert_refused(recsys_run(path .. " --threads 1"), 1, "task 'features' (features.lua:7): feature.fit: the items "
      .. "have no column 'movie'", "(declared at features.lua:8)")
  end)

  it("is warned of a name that no step reads and that looks misspelled", function()
    local ran = own(with("publish", "train = { epoch = 1, own_name = 2 }, publish"))
    assert.equal(0, ran.code, ran.err)
    local warned = "warning: no step reads train.epoch, which the recipe declares; is train.epochs meant?"
    assert.truthy(ran.err:find(warned, 1, true), ran.err)
    assert.is_nil(ran.err:find("own_name", 1, true))
  end)

  it("may leave a parameter to whoever runs it", function()
    local params = with('dir = "news"', 'dir = param(nil, "where the files lie", { type = "string" })')
    assert_refused(own(params), 2, "data.dir must be given (where the files lie): --set data.dir=...")
    assert.equal(0, own(params, "--set data.dir=news").code)
  end)

  it("is refused a model, a folder and a value that there are not, before a run begins", function()
    assert(os.execute(("rm -rf %s/own_runs"):format(folder)))
    assert_refused(own(with('"mf"', '"mff"')), 2, "model.kind: there is no models/mff.lua; looked in ./models, ",
      "did you mean 'mf'?")
    assert_refused(own(with('"news", dir = "news"', '"movielens", dir = "nope"')), 2,
      "data.dir: there is no folder 'nope'")
    assert_refused(own(with("publish", "train = { optimizer = 'adm' }, publish")), 2,
      "train.optimizer: 'adm' is not one of", "did you mean 'adam'?")
    assert_refused(own(with("publish", "eval = { k = { 0 } }, publish")), 2, "eval.k: 0 is outside 1")
    assert.is_nil(lfs.attributes(folder .. "/own_runs"))
    local text = text_of(whole)
    for other, said in pairs { ["job.train, p.train,"] = "the recipe's parameters, p, are expected, not nil",
      ["job.trian, p,"] = "own_2.lua:9: task 'train' is given no function to call",
      ["job.train, require 'models.none',"] = "there is no models/none.lua; looked in ., " } do
      local from, to = text:find("job.train, p,", 1, true)
      assert_refused(recsys_run(recipe("own_2", text:sub(1, from - 1) .. other .. text:sub(to + 1))), 2, said)
    end
    assert_refused(recsys_run "own.lua --plan", 2, "eval.k: 0 is outside 1")
  end)
end)

describe("a model that is wrong itself", function()
  --- Train models/NAME.lua, models/mf.lua with some text replaced.
  local function train_model(name, part, other)
    local source = command.read "models/mf.lua"
    local from, to = source:find(part, 1, true)
    command.run(("mkdir -p %s/models"):format(folder))
    command.write(("%s/models/%s.lua"):format(folder, name), source:sub(1, from - 1) .. other .. source:sub(to + 1))
    return recsys_run("mf --threads 1 --set data.dir=news --set data.scale=0.0005 --set model.kind=" .. name)
  end

  it("is refused before any data are loaded when its file gives no definition", function()
    local ran = train_model("not_returned", "return function", "local _ = function")
    assert_refused(ran, 2, "./models/not_returned.lua returns nothing", "return function(config, encoder, settings)")
    assert_refused(train_model("no_lua", "local MF", "locl MF"), 2, "./models/no_lua.lua cannot be loaded",
      "no_lua.lua:8: syntax error")
  end)

  it("is refused before the first epoch, in words of the model", function()
    for name, case in pairs {
      nothing = { "  return self\nend", "end", "models/nothing.lua: its definition returns nothing" },
      no_item = { "function MF:item", "function MF:items", "models/no_item.lua: the model has no method 'item'" },
      lost = { "self.items, self.bias", "self.items", "item() uses 'item.id.bias', which is not among" },
      misnamed = { 'batch["item.id"]', 'batch["item.ids"]', "no tensor for the input 'item.id'",
        "the batch of item() has no 'item.ids', it holds item.id" },
      renamed = { 'input("item.id"', 'input("items"', "item() reads an input 'items', but its batches hold item.id" },
      uneven = { "{ user, towers.ones(user) }", "{ user }", "user() gives vectors of 32 numbers, item() of 33" },
      biased = { '"item.id", settings', '"item.idd", settings', "biased.lua:30: bad argument #2 to 'bias'",
        "did you mean 'item.id'?" },
      sideways = { '{ "user" })', '{ "users" })', "there is no side 'users'; there are user, event and item" },
      loose = { "return nn.in_batch", "local _ = nn.in_batch", "models/loose.lua: loss() returns nothing, not a Var" },
    } do
      local ran = train_model(name, case[1], case[2])
      assert_refused(ran, 1, "task 'train'", table.unpack(case, 3))
      assert.is_nil(ran.err:find("epoch  1 ", 1, true))
    end
  end)
end)

describe("training that goes wrong", function()
  it("stops at a loss that is no number and says what to lower", function()
    assert_refused(train "--set train.learning_rate=1e30 --set train.batch=64", 1, "task 'train'", "the loss is",
      "epoch 1", "not finite: ", "Lower train.learning_rate")
  end)

  it("is not begun with settings that cannot train, also where a recipe sets no limits", function()
    for _, setting in ipairs { "train.epochs=0", "train.batch=0", "train.batch=-4", "train.learning_rate=-1" } do
      assert_refused(recsys_run("mf --threads 1 --set data.dir=news --set data.scale=0.0005 --set " .. setting), 2,
        setting:match "[%w._]+", setting:match "=(.*)", " is outside ")
    end
  end)

  it("knows the metric that chooses the epoch before it starts", function()
    local ran = train "--set train.metric=ndgc_10"
    assert_refused(ran, 2, "no metric 'ndgc_10'", "ndcg_10")
    assert.is_nil(ran.err:find("epoch  1", 1, true))
  end)

  it("says so when runs, bundles or recommendations cannot be written", function()
    command.write(folder .. "/file", "in the way")
    assert_refused(train "--set runs=file/runs", 1, "cannot make the folder file")
    assert_refused(train "--set publish.dir=file/models", 1, "task 'publish'", "cannot make the folder file")
  end)

  it("says so when the disk is full, and leaves no file half-written", function()
    -- Files beyond 64 KiB are refused, as a full disk would.
    local ran = command.run(("cd %s && trap '' XFSZ && ulimit -f 128 && %s two_tower --threads 1 --set data.dir=news "
      .. "--refresh all --set data.scale=0.0005 --set train.epochs=1 --set eval.samples=10 --set runs=full/runs "
      .. "--set publish.dir=full/models"):format(folder, command.program))
    assert_refused(ran, 1, "task '", "cannot write")
    assert.same({}, find "/full/.*%.tmp$")
    assert.same({}, find "/full/.*%.part$")
    assert.same({}, find "/full/models/")
  end)

  it("ends with 143 on SIGTERM and leaves nothing half-written", function()
    local ran = command.run(([[cd %s && %s two_tower --threads 1 --set data.dir=news --set data.scale=0.0005 \
      --set train.epochs=100000 --set train.patience=100000 --set runs=killed/runs --set publish.dir=killed/models \
      2>log & until grep -q 'epoch  2' %s/log; do sleep 0.05; done
      kill -TERM $!; wait $!; code=$?; cat %s/log >&2; exit $code]]):format(folder, command.program, folder, folder))
    assert.equal(143, ran.code, ran.err)
    assert.matches("task 'train': stopped by signal 15", ran.err)
    assert.is_nil(ran.err:find("stack traceback", 1, true))
    assert.is_true(count(find "/killed/runs/.*/log.txt$") == 1)
    assert.same({}, find "/killed/.*%.tmp$")
    assert.same({}, find "/killed/.*%.part$")
    assert.same({}, find "/killed/models/")
  end)

  it("ends with 143 while the sample is being made, and leaves no part of a file", function()
    local ran = command.run(([[cd %s && %s news_sample --set data.dir=begun --set data.scale=0.2 2>log &
      until ls %s/begun/*.part >/dev/null 2>&1; do sleep 0.02; done
      kill -TERM $!; wait $!]]):format(folder, command.program, folder))
    assert.equal(143, ran.code, ran.err)
    assert.same({}, find "/begun/.*%.part$")
  end)
end)
