--- `recsys-run train` as SageMaker's contract for training containers has it (docs/sagemaker.md): each row of the table
--- is a test here. The tree is below SAGEMAKER_BASE_DIR; no Docker is needed.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local frame = require "recsys.frame"
local json = require "recsys.json"
local lfs = require "lfs"
local new_tree = require "spec.support.sagemaker_tree"
local uv = require "luv"

local SAMPLE <const> = { recsys_recipe = "mf", ["train.epochs"] = "2", ["model.dim"] = "8", ["train.batch"] = "512" }

local sample, tree -- a folder of the news sample; a tree with it

local function with(changes)
  local all = {}
  for name, value in pairs(SAMPLE) do all[name] = value end
  for name, value in pairs(changes or {}) do all[name] = value ~= "" and value or nil end
  return all
end

--- A recipe that only tells what it was given, or does what its parameter says.
local RECIPE = [[
local recsys = require "recsys"
local param = recsys.config.param
return recsys.recipe {
  name = "told", about = "Do as told",
  params = {
    what = param("nothing", "what to do"), count = param(1, "whole"), rate = param(0.5, "number"), on = param(true, ""),
    name = param("x", "text"), list = param({ 1, 2 }, "list"), words = param({ "a" }, "list"),
    most = param(nil, "optional", { type = "integer", optional = true }), group = { a = 1, b = 2.5 },
    data = { dir = param("nowhere", "data"), extra = param("", "more data") },
    token = recsys.config.secret("of a shop", { optional = true }),
  },
  run = function(flow, p)
    local done = flow:task("work", { cache = false }, function()
      if p.what == "fail" then return nil, p.name, "io" end
      if p.what == "raise" then error "broken" end
      if p.what == "busy" then error({ code = "busy", message = "the shop is closed" }, 0) end
      if p.what == "own words" then
        local file = io.open(os.getenv "SM_OUTPUT_DIR" .. "/failure", "w")
        file:write "in my own words"
        file:close()
        error "broken"
      end
      if p.what == "variables" then
        local all = {}
        for name, value in pairs(require "luv".os_environ()) do
          if name:find "^SM_" then all[name] = value end
        end
        return { variables = all }
      end
      return {}
    end)
    if p.what == "refuse" then return { refused = "worse than popularity" } end
    return { told = done.variables }
  end,
}]]

local function train(words, variables) return tree:run("train --threads 1 " .. (words or ""), variables) end

--- The parameters and origins that hyper-parameters come to.
local function resolved(hyperparameters, words, variables)
  tree:tell("hyperparameters", hyperparameters)
  local ran = train("--show-config --json " .. (words or ""), variables)
  assert.equal(0, ran.code, ran.err)
  return json.decode(ran.out), ran.err
end

--- A job that ends with this code and these words, on stderr and as the reason.
local function fails(code, words, variables)
  tree:renew()
  local ran = train("", variables)
  assert.equal(code, ran.code, ran.err)
  local reason = tree:read "output/failure"
  assert.truthy(reason:find(words, 1, true), reason)
  assert.truthy(ran.err:find(words, 1, true), ran.err)
  assert.is_false(tree:exists "output/success")
  assert.same({}, require("recsys.files").names(tree:path "model"))
  return reason
end

setup(function()
  sample = command.temporary()
  local ran = command.run(("cd %s && %s news_sample --set data.dir=%s/news --set data.scale=0.002"):format(sample,
    command.program, sample))
  assert(ran.code == 0, ran.err)
end)

teardown(function() command.remove(sample) end)

describe("recsys-run train with its hyper-parameters", function()
  setup(function()
    tree = new_tree(sample .. "/news")
    command.write(tree:path "here/told.lua", RECIPE)
  end)
  teardown(function() tree:remove() end)

  it("takes texts by the types that the recipe declares", function()
    local found = resolved { recsys_recipe = "told.lua", count = "3", rate = "1e-3", on = "false", name = "\"seven\"",
      list = "[10, 50]", words = "a,b", most = "null", group = "{\"a\": 4, \"b\": 5}", what = "7" }
    local p = found.parameters
    assert.same({ 3, 0.001, false, "seven", "7" }, { p.count, p.rate, p.on, p.name, p.what })
    assert.same({ { 10, 50 }, { "a", "b" }, { a = 4, b = 5 } }, { p.list, p.words, p.group })
    assert.equal(json.null, p.most)
    assert.equal("hyperparameters.json", found.origins.count)
    p = resolved { recsys_recipe = "\"told.lua\"", count = 9007199254740993, list = "7", words = "[\"q\"]",
      most = "5.0", name = "[1, 2]", ["group.a"] = "6", what = "true" }.parameters
    assert.same({ { 7 }, { "q" }, 5, "[1, 2]", 6, "true" }, { p.list, p.words, p.most, p.name, p.group.a, p.what })
    assert.matches("'count': 9007199254740993,", (train("--show-config --json").out:gsub('"', "'"):gsub("'count':",
      "'count': ")))
  end)

  it("refuses one that the recipe does not declare, with the nearest", function()
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", cuont = "3" })
    local reason = fails(2, "there is no parameter 'cuont' (hyperparameters.json); did you mean 'count'?")
    assert.equal("there is no parameter 'cuont' (hyperparameters.json); did you mean 'count'?", reason)
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", recsys_recipes = "3" })
    fails(2, "the hyper-parameter 'recsys_recipes' means nothing; did you mean 'recsys_recipe'?")
  end)

  it("refuses data that are not there, for which the recipe would make a sample, or advise one", function()
    tree:tell("hyperparameters", { recsys_recipe = "mf", ["data.dir"] = tree:path "nope" })
    fails(2, "data.dir: there is no folder " .. tree:path "nope" .. " in the container")
    assert.is_false(tree:exists "nope")
    tree:tell("hyperparameters", { recsys_recipe = "mf", data = ('{"dir": "%s"}'):format(tree:path "nope") })
    fails(2, "data.dir: there is no folder " .. tree:path "nope" .. " in the container")
    command.run(("mkdir '%s'"):format(tree:path "empty"))
    tree:tell("hyperparameters", { recsys_recipe = "mf", ["data.dir"] = tree:path "empty" })
    local reason = fails(1, "missing in " .. tree:path "empty")
    assert.falsy(reason:find("sample", 1, true), reason)
  end)

  it("refuses a value of another type or outside its limits", function()
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", count = "few" })
    fails(2, "count must be a whole number, not 'few' (hyperparameters.json)")
    tree:tell("hyperparameters", { recsys_recipe = "mf", ["train.epochs"] = "0", ["model.dim"] = "0" })
    fails(2, "model.dim: 0 is outside 1 .. inf (hyperparameters.json)")
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", group = "{\"a\": 1" })
    fails(2, "the hyper-parameter 'group' is no JSON object: line 1, column 8: ")
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", group = "{\"a\": 1}", ["group.a"] = "2" })
    fails(2, "'group.a' stands there twice (hyperparameters.json)")
  end)

  it("refuses a secret's value, and shows it to nobody", function()
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", token = "verysecret" })
    local reason = fails(2, "token is a secret, which is given by the variable RECSYS_SET_TOKEN")
    assert.is_nil(reason:find "verysecret")
  end)

  it("sets the service's own apart", function()
    local found = resolved { recsys_recipe = "told.lua", sagemaker_program = "\"x.py\"", sagemaker_region = "eu-west-1",
      _tuning_objective_metric = "valid:ndcg_10", count = "2" }
    assert.equal(2, found.parameters.count)
  end)

  it("puts them above the environment and the channels, and below --set", function()
    local given = { recsys_recipe = "told.lua", count = "3" }
    local environment = { RECSYS_SET_COUNT = "4", RECSYS_SET_RATE = "0.25" }
    local found = resolved(given, "", environment)
    assert.same({ 3, 0.25 }, { found.parameters.count, found.parameters.rate })
    assert.equal(tree:path "input/data/training", found.parameters.data.dir)
    assert.equal("the job's channels", found.origins["data.dir"])
    assert.equal(5, resolved(given, "--set count=5", environment).parameters.count)
    given["data.dir"] = tree:path "input"
    assert.equal(tree:path "input", resolved(given).parameters.data.dir)
  end)

  it("finds the recipe by its argument, its hyper-parameter, the variable, or takes the main one", function()
    local function about(hyperparameters, words, variables)
      return resolved(hyperparameters, words, variables).parameters
    end
    assert.equal("mf", about({ recsys_recipe = "told.lua" }, "mf").model.kind)
    assert.is_not_nil(about({ recsys_recipe = "told.lua" }, "", { RECSYS_TRAIN_RECIPE = "mf" }).what)
    assert.equal("mf", about({}, "", { RECSYS_TRAIN_RECIPE = "mf" }).model.kind)
    assert.equal("two_tower", about({}).model.kind)
    command.write(tree:path "input/data/training/mine.lua", (RECIPE:gsub("Do as told", "Mine")))
    assert.is_not_nil(about({ recsys_recipe = "training/mine.lua" }).what)
    os.remove(tree:path "input/data/training/mine.lua")
    tree:tell("hyperparameters", { recsys_recipe = "two_towers" })
    fails(2, "there is no command or recipe 'two_towers'; did you mean 'two_tower'?")
  end)

  it("says where a file of the job is damaged", function()
    tree:tell("hyperparameters", "{\"train.epochs\": \"3\",")
    fails(2, "input/config/hyperparameters.json is not a JSON object: line 1, column 22")
    tree:tell("hyperparameters", "{\"a\": \"3\", \"a\": \"4\"}")
    fails(2, "'a' stands there twice")
    tree:tell("hyperparameters", "[1]")
    fails(2, "hyperparameters.json is not a JSON object: it holds something else")
  end)
end)

describe("recsys-run train with its channels", function()
  before_each(function()
    tree = new_tree()
    command.write(tree:path "here/told.lua", RECIPE)
    tree:tell("hyperparameters", { recsys_recipe = "told.lua" })
  end)
  after_each(function() tree:remove() end)

  local function channels(all)
    for name in pairs(all) do
      command.run(("mkdir -p '%s' && touch '%s/part-0.csv'"):format(tree:path("input/data/" .. name),
        tree:path("input/data/" .. name)))
    end
    tree:tell("channels", all)
  end

  it("reads File and FastFile, whatever else the service says of them", function()
    channels { training = { TrainingInputMode = "FastFile", ContentType = "text/csv",
      S3DistributionType = "ShardedByS3Key", RecordWrapperType = "None" } }
    assert.equal(tree:path "input/data/training", resolved({ recsys_recipe = "told.lua" }).parameters.data.dir)
    channels { interactions = { TrainingInputMode = "File" } }
    local found, said = resolved({ recsys_recipe = "told.lua" })
    assert.equal(tree:path "input/data/interactions", found.parameters.data.dir)
    assert.truthy(said:find("channel 'interactions': .*/input/data/interactions, data.dir"), said)
  end)

  it("gives a channel that is called as a parameter to that, and the others to none", function()
    channels { train = {}, ["data.extra"] = {}, other = {} }
    local found, said = resolved({ recsys_recipe = "told.lua" })
    assert.equal(tree:path "input/data/train", found.parameters.data.dir)
    assert.equal(tree:path "input/data/data.extra", found.parameters.data.extra)
    assert.truthy(said:find("channel 'other': .*/other, of no parameter"), said)
  end)

  it("refuses Pipe mode and says what to take", function()
    channels { training = { TrainingInputMode = "Pipe" } }
    fails(2, "channel 'training' is in Pipe mode, whose bytes come once; recipes read files again: give the channel "
      .. "TrainingInputMode File or FastFile")
    channels { training = { TrainingInputMode = "Tape" } }
    fails(2, "channel 'training' has TrainingInputMode 'Tape'; there are File and FastFile")
  end)

  it("names a channel that is missing, empty, doubled or not called for", function()
    tree:tell("channels", { training = { TrainingInputMode = "File" } })
    fails(2, ("channel 'training' of %s/input/config/inputdataconfig.json is missing: there is no folder %s"):format(
      tree.base, tree:path "input/data/training"))
    lfs.mkdir(tree:path "input/data/training")
    fails(2, "channel 'training' is empty: " .. tree:path "input/data/training" .. " holds no file")
    channels { a = {}, b = {} }
    fails(2, "no channel is for the data, of a, b: InputDataConfig needs one called 'training'")
    channels { training = {}, train = {} }
    fails(2, "channels 'train' and 'training' are both for data.dir: give one of them another name")
    tree:tell("channels", { ["../../x"] = {} })
    fails(2, "'../../x' cannot be a channel's name")
    tree:tell("channels", {})
    fails(2, "the job has no channel: InputDataConfig needs one called 'training' with the recipe's data.dir, or the "
      .. "hyper-parameter data.dir must name a folder")
  end)

  it("refuses several hosts and says what to set", function()
    channels { training = {} }
    tree:tell("resources", { current_host = "algo-1", hosts = { "algo-1", "algo-2" } })
    fails(2, "the job has 2 hosts (algo-1, algo-2), and a recipe trains on one: set InstanceCount to 1 and take a "
      .. "larger instance")
  end)

  it("says outside of a container that it is none, and makes nothing", function()
    command.run(("rm -r '%s' '%s'"):format(tree:path "input", tree:path "output"))
    local ran = train()
    assert.equal(2, ran.code)
    assert.truthy(ran.err:find("this is no training container of SageMaker, and SAGEMAKER_BASE_DIR does not name a "
      .. "folder like /opt/ml. To train here: recsys-run RECIPE", 1, true), ran.err)
    assert.is_false(tree:exists "output")
  end)
end)

describe("a training job", function()
  local ran, before, result

  setup(function()
    tree = new_tree(sample .. "/news")
    tree:tell("hyperparameters", with())
    before = tree:listing "input"
    ran = train()
    result = ran.code == 0 and json.decode(tree:read "output/data/result.json")
  end)
  teardown(function() tree:remove() end)

  it("ends with 0, writes success and no failure, and leaves the model as one bundle that answers", function()
    assert.equal(0, ran.code, ran.err)
    assert.same({ "mf-1.tar" }, require("recsys.files").names(tree:path "model"))
    assert.equal("", tree:read "output/success")
    assert.same({ "data", "success" }, require("recsys.files").names(tree:path "output"))
    local asked = command.run(("%s recommend %s --history none --json -k 3"):format(command.program,
      tree:path "model/mf-1.tar"))
    assert.equal(3, #json.decode(asked.out).items, asked.err)
  end)

  it("leaves the run's report, results and recommendations in output/data", function()
    for _, name in ipairs { "report.html", "log.txt", "params.json", "recommendations/recommendations.csv",
      "quarantine/events.csv.quarantine.csv" } do
      assert.is_true(tree:exists("output/data/" .. name), name)
    end
    assert.equal(2, result.epoch and #result.curves)
  end)

  it("leaves its input as it was, and nothing in the temporary and the working folder", function()
    assert.equal(before, tree:listing "input")
    assert.same({}, require("recsys.files").names(tree:path "tmp"))
    assert.same({}, require("recsys.files").names(tree:path "here"))
  end)

  it("reads a channel that nobody may write to, as a FastFile one", function()
    if command.run("unshare -rm true").code ~= 0 then pending "nothing may be mounted here (unshare -rm)" return end
    tree:renew()
    local data = tree:path "input"
    local script = command.write(tree:path "here/read_only.sh", ("set -e\nmount --bind '%s' '%s'\nmount -o "
      .. "remount,bind,ro '%s' '%s'\n! touch '%s/input/data/training/x' 2>/dev/null\n%s"):format(data, data, data, data,
      tree.base, tree:words "train --threads 1"))
    local again = command.run(("unshare -rm bash '%s'"):format(script))
    os.remove(script)
    assert.equal(0, again.code, again.err)
    assert.is_true(tree:exists "model/mf-1.tar")
  end)

  it("prints each metric as a line that its definition finds, with the value of the result", function()
    local list = json.decode(train("mf --metric-definitions").out)
    assert.is_true(#list > 15 and #list <= 40)
    local function last(regex) -- the regular expressions are patterns of Lua, too, but for the sign of escape
      local found
      for value in ran.out:gmatch((regex:gsub("\\", "%%"))) do found = value end
      return tonumber(found)
    end
    local expected = { ["train:loss"] = result.curves[2]["train/loss"], ["test:ndcg_10"] = result.metrics.ndcg_10,
      ["best:valid:ndcg_10"] = result.curves[result.epoch]["valid/ndcg_10"] }
    for _, definition in ipairs(list) do
      assert.is_true(#definition.Name <= 255 and #definition.Regex <= 500)
      local value = last(definition.Regex)
      assert.equal("number", type(value), definition.Regex .. "\n" .. ran.out)
      local known = expected[definition.Name]
      if known then assert.is_true(math.abs(value - known) <= 1e-8 * math.abs(known), definition.Name) end
      expected[definition.Name] = nil
    end
    assert.same({}, expected)
    for line in ran.out:gmatch "recsys_metric[^\n]*" do
      assert.equal("recsys_metric", (line:gsub(" [%w_:.]+=%-?%d+%.?%d*;", "")))
    end
  end)

  it("offers 40 definitions at the most", function()
    assert.equal(40, #json.decode(train("mf --metric-definitions --set eval.k=1,2,3,4,5,6,7,8,9").out))
  end)
end)

describe("a training job with a channel called model", function()
  setup(function() tree = new_tree(sample .. "/news") end)
  teardown(function() tree:remove() end)

  it("goes on from the model of an earlier job, as a bundle or as its model.tar.gz", function()
    tree:tell("hyperparameters", with())
    assert.equal(0, train().code)
    local model = tree:path "input/data/model"
    command.run(("mkdir %s && tar -czf %s/model.tar.gz -C %s ."):format(model, model, tree:path "model"))
    tree:tell("channels", { interactions = {}, model = { ContentType = "application/x-sagemaker-model" } })
    command.run(("mv %s %s"):format(tree:path "input/data/training", tree:path "input/data/interactions"))
    tree:tell("hyperparameters", with { recsys_recipe = "two_tower" })
    local found, said = resolved(with { recsys_recipe = "two_tower" })
    assert.equal(tree:path "input/data/interactions", found.parameters.data.dir)
    assert.matches("/model/mf%-1%.tar$", found.parameters.train.warm_start)
    assert.truthy(said:find("channel 'model': .*/input/data/model, train.warm_start"), said)
    tree:renew()
    local ran = train()
    assert.truthy(ran.err:find("warm start from .*mf%-1"), ran.err)
    tree:renew()
    command.run(("cd %s && tar -xzf model.tar.gz && rm model.tar.gz"):format(model))
    assert.truthy(train().err:find("warm start from .*input/data/model/mf%-1.tar"))
    os.remove(model .. "/mf-1.tar")
    command.write(model .. "/notes.txt", "x")
    fails(2, "there is no bundle in " .. model)
  end)
end)

describe("the variables of a training job", function()
  setup(function()
    tree = new_tree(sample .. "/news")
    command.write(tree:path "here/told.lua", RECIPE)
  end)
  teardown(function() tree:remove() end)

  local HYPERPARAMETERS <const> = { recsys_recipe = "told.lua", what = "variables", count = "3", rate = "0.10",
    on = "true", name = "\"zürich\"", list = "[1, 2]", group = "{\"b\": 1.5, \"a\": 2}", most = "null",
    sagemaker_program = "train.py", sagemaker_region = "\"eu-west-1\"", sagemaker_mpi_enabled = "true",
    sagemaker_custom = "5", _tuning_objective_metric = "valid:ndcg_10" }

  local function told()
    tree:renew()
    tree:tell("hyperparameters", HYPERPARAMETERS)
    tree:tell("resources", { current_host = "algo-1", hosts = { "algo-1" }, network_interface_name = "eth0",
      current_instance_type = "ml.c5.xlarge", current_group_name = "homogeneousCluster", instance_groups = {
        { instance_group_name = "homogeneousCluster", instance_type = "ml.c5.xlarge", hosts = { "algo-1" } } } })
    local ran = train("", { TRAINING_JOB_NAME = "job-1" })
    assert.equal(0, ran.code, ran.err)
    return json.decode(tree:read "output/data/result.json").told
  end

  it("are those of SageMaker's toolkit", function()
    local found = told()
    for name, value in pairs { SM_MODEL_DIR = tree:path "model", SM_CHANNELS = '["training"]',
      SM_CHANNEL_TRAINING = tree:path "input/data/training", SM_HP_COUNT = "3", SM_HP_RATE = "0.1", SM_HP_ON = "true",
      SM_HP_NAME = "zürich", SM_HP_GROUP = '{"a":2,"b":1.5}', SM_HP_MOST = "", SM_CURRENT_HOST = "algo-1",
      SM_HOSTS = '["algo-1"]', SM_NUM_GPUS = "0", SM_LOG_LEVEL = "20", SM_NETWORK_INTERFACE_NAME = "eth0",
      SM_USER_ENTRY_POINT = "train.py", SM_MODULE_NAME = "train", SM_OUTPUT_DATA_DIR = tree:path "output/data",
      SM_FRAMEWORK_PARAMS = '{"sagemaker_custom":5,"sagemaker_mpi_enabled":true}', SM_IS_HETERO = "false",
      SM_HPS = '{"count":3,"group":{"a":2,"b":1.5},"list":[1,2],"most":null,"name":"z\\u00fcrich","on":true,"rate":0.1,'
        .. '"recsys_recipe":"told.lua","what":"variables"}' } do
      assert.equal(value, found[name], name)
    end
  end)

  it("agree with the toolkit itself", function()
    local python = os.getenv "RECSYS_PEER_SAGEMAKER"
    if not python then pending "needs RECSYS_PEER_SAGEMAKER: spec/peers/setup FOLDER sagemaker" return end
    local ours = told()
    local asked = command.run(("SAGEMAKER_BASE_DIR='%s' TRAINING_JOB_NAME=job-1 %s spec/peers/sagemaker_variables.py")
      :format(tree.base, python))
    assert.equal(0, asked.code, asked.err)
    local theirs = json.decode(asked.out)
    for name in pairs(theirs) do assert.equal(theirs[name], ours[name], name) end
    for name in pairs(ours) do assert.is_not_nil(theirs[name], name) end
  end)
end)

describe("a training job that fails", function()
  setup(function()
    tree = new_tree(sample .. "/news")
    command.write(tree:path "here/told.lua", RECIPE)
  end)
  teardown(function() tree:remove() end)

  local function told(what, name)
    tree:tell("hyperparameters", { recsys_recipe = "told.lua", what = what, name = name or "x" })
  end

  it("ends with 1 and its reason in output/failure, and the log in output/data", function()
    told("fail", "the shop is gone")
    assert.equal("task 'work': the shop is gone", fails(1, "task 'work': the shop is gone"))
    assert.is_true(tree:exists "output/data/log.txt")
    told "raise"
    fails(1, "broken")
  end)

  it("ends with 0 and a warning where the recipe publishes no model", function()
    told "nothing"
    tree:renew()
    local ran = train()
    assert.equal(0, ran.code, ran.err)
    assert.matches("warning: the recipe published no bundle: there is no model", ran.err)
    assert.same({}, require("recsys.files").names(tree:path "model"))
    assert.is_true(tree:exists "output/success")
  end)

  it("ends with 3 where a gate refuses, with 75 where trying again may help", function()
    told "refuse"
    tree:renew()
    assert.equal(3, train().code)
    assert.equal("worse than popularity", tree:read "output/failure")
    assert.is_false(tree:exists "output/success")
    told "busy"
    fails(75, "the shop is closed")
  end)

  it("cuts the reason to 1024 bytes at the border of a character", function()
    told("fail", "a" .. ("ü"):rep(600))
    local reason = fails(1, "task 'work': a" .. ("ü"):rep(3))
    assert.equal(1024, #reason)
    assert.equal("task 'work': a" .. ("ü"):rep(505), reason)
    told("fail", ("ü"):rep(600))
    reason = fails(1, "task 'work': ü")
    assert.equal("task 'work': " .. ("ü"):rep(505), reason) -- 1023 bytes
  end)

  it("leaves a reason that somebody has written", function()
    told "own words"
    tree:renew()
    assert.equal(1, train().code)
    assert.equal("in my own words", tree:read "output/failure")
    assert.same({ "data", "failure" }, require("recsys.files").names(tree:path "output"))
  end)

  it("ends with 1 and a reason when a file cannot grow, as on a full disk", function()
    tree:renew()
    tree:tell("hyperparameters", with { ["model.dim"] = "128" })
    local full = command.run(("trap '' XFSZ && ulimit -f 512 && %s"):format(tree:words "train --threads 1"))
    assert.equal(1, full.code, full.err)
    assert.matches("cannot write", tree:read "output/failure")
    assert.is_false(tree:exists "output/success")
  end)

  it("says which image to build where its user may not write to the folders", function()
    if command.run("id -u").out == "0\n" and command.run("setpriv --reuid=65534 --clear-groups true").code ~= 0 then
      pending "needs to become another user (setpriv)"
      return
    end
    tree:renew()
    local as = command.run("id -u").out == "0\n" and "setpriv --reuid=65534 --clear-groups " or ""
    command.run(("chmod 755 '%s' && chmod 777 '%s' && chmod 555 '%s'"):format(tree.folder, tree:path "output",
      tree:path "model"))
    local words = tree:words("train --threads 1"):gsub("env ", as .. "env ", 1)
    local refused = command.run(words)
    command.run(("chmod 755 '%s'"):format(tree:path "model"))
    assert.equal(1, refused.code, refused.err)
    local reason = ("cannot write to %s as this user: SageMaker gives the folders to root; build the image with "
      .. "--build-arg RUN_AS=root"):format(tree:path "model")
    assert.equal(reason, tree:read "output/failure")
    assert.truthy(refused.err:find(reason, 1, true), refused.err)
  end)

  it("has room for the reason on a disk that is full to the last byte", function()
    if command.run("unshare -rm true").code ~= 0 then pending "nothing may be mounted here (unshare -rm)" return end
    tree:renew()
    tree:tell("hyperparameters", with())
    -- The output's disk holds 64 KiB, and something else fills it as soon as the job has begun.
    local script = command.write(tree:path "here/full.sh", ([[
      set -e
      mount -t tmpfs -o size=64k none '%s'
      (while [ ! -e '%s/.failure' ]; do sleep 0.01; done; cat /dev/zero >'%s/filler' 2>/dev/null) &
      code=0
      (%s) || code=$?
      cat '%s/failure' >'%s'
      exit $code]]):format(tree:path "output", tree:path "output", tree:path "output", tree:words "train --threads 1",
      tree:path "output", tree:path "here/reason"))
    local full = command.run(("unshare -rm bash '%s'"):format(script))
    assert.equal(1, full.code, full.err)
    assert.matches("^cannot write .*no space left on device", tree:read "here/reason")
  end)
end)

describe("a training job that is stopped", function()
  local LONG <const> = { recsys_recipe = "two_tower", ["train.epochs"] = "12", ["train.patience"] = "12",
    ["train.checkpoint"] = "0.02", ["train.batch"] = "64", ["model.dim"] = "16", ["eval.samples"] = "10" }
  local whole, duration

  --- Weights and figures of the model, bit for bit.
  local function outcome()
    local opened <close> = assert(bundle.open(tree:path "model/two_tower-1.tar"))
    local found = { metrics = opened:manifest().metrics }
    for _, member in ipairs { "weights.safetensors", "items.safetensors" } do
      for name, values in pairs(opened:tensors(member)) do found[member .. name] = frame.hash(values) end
    end
    return found
  end

  --- Start it, and send a signal as soon as ready() says so. It may be done before.
  local function stop(signal, ready)
    local err = assert(uv.fs_open(tree:path "here/err", "w", 420))
    local out = assert(uv.fs_open(tree:path "here/out", "w", 420))
    local code, ended
    local handle = assert(uv.spawn("/bin/sh", { args = { "-c", (tree:words("train --threads 1"):gsub("&& env",
      "&& exec env")) }, stdio = { nil, out, err } }, function(c, s) code, ended = c, s end))
    uv.fs_close(err)
    uv.fs_close(out)
    local sent
    while not code do
      if not sent and ready() then
        sent = uv.hrtime()
        handle:kill(signal)
      end
      uv.run "nowait"
      uv.sleep(2)
    end
    handle:close()
    uv.run "nowait"
    return ended ~= 0 and 128 + ended or code, sent and (uv.hrtime() - sent) / 1e9
  end

  local function has_trained() return tree:exists "here/out" and tree:read("here/out"):find "epoch=3;" ~= nil end

  setup(function()
    tree = new_tree(sample .. "/news")
    tree:tell("hyperparameters", LONG)
    local began = uv.hrtime()
    local ran = train()
    assert(ran.code == 0, ran.err)
    whole, duration = outcome(), (uv.hrtime() - began) / 1e9
  end)
  teardown(function() tree:remove() end)

  before_each(function() tree:renew "checkpoints here/out here/err" end)

  it("by SIGTERM keeps a checkpoint within 120 s, ends with 143, and is neither failed nor done", function()
    lfs.mkdir(tree:path "checkpoints")
    local code, seconds = stop("sigterm", has_trained)
    assert.equal(143, code, tree:read "here/err")
    assert.is_true(seconds < 20)
    assert.is_false(tree:exists "output/failure" or tree:exists "output/success" or tree:exists "output/.failure")
    assert.same({ "recsys-run-checkpoint.tar" }, require("recsys.files").names(tree:path "checkpoints"))
    tree:renew "here/out"
    local again = train()
    assert.equal(0, again.code, again.err)
    assert.matches("resumed behind step %d+ of epoch %d", again.err)
    assert.same(whole, outcome())
  end)

  it("by SIGTERM without a folder of checkpoints leaves the checkpoint in output/data", function()
    assert.equal(143, (stop("sigterm", has_trained)))
    command.run(("mkdir '%s' && mv '%s' '%s'"):format(tree:path "checkpoints",
      tree:path "output/data/recsys-run-checkpoint.tar", tree:path "checkpoints"))
    tree:renew()
    local again = train()
    assert.matches("resumed behind step %d+ of epoch %d", again.err)
    assert.same(whole, outcome())
  end)

  it("by a spot instance that goes at once is gone on with, on a new disk, to the same bits", function()
    lfs.mkdir(tree:path "checkpoints")
    assert.equal(137, (stop("sigkill", function()
      return has_trained() and tree:exists "checkpoints/recsys-run-checkpoint.tar"
    end)))
    tree:renew()
    local again = train()
    assert.equal(0, again.code, again.err)
    assert.matches("resumed behind step %d+ of epoch %d", again.err)
    assert.same(whole, outcome())
  end)

  it("by SIGTERM when the model is there already ends with 0, as what is done is done", function()
    local code = stop("sigterm", function() return tree:exists "model/two_tower-1.tar" end)
    local done = tree:exists "output/success"
    assert.equal(done and 0 or 143, code, tree:read "here/err")
    assert.is_true(done, tree:read "here/err")
    assert.same(whole, outcome())
  end)

  it("at any moment of its steps, by SIGTERM and by SIGKILL, ends in the end with the same bits", function()
    lfs.mkdir(tree:path "checkpoints")
    local kills = tonumber(os.getenv "RECSYS_KILLS" or 4)
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    math.randomseed(seed)
    for i = 1, kills do
      tree:renew "here/out here/err"
      local moment = uv.hrtime() + math.random() * duration * 1e9
      local signal = i % 2 == 0 and "sigkill" or "sigterm"
      local code, seconds = stop(signal, function() return uv.hrtime() >= moment end)
      local told = ("%s %d, seed %d: %s"):format(signal, i, seed, tree:exists "here/err" and tree:read "here/err" or "")
      assert.is_true(code == 0 or code == (signal == "sigkill" and 137 or 143), told)
      assert.is_true(code == 0 or seconds < 60, told)
      assert.is_false(tree:exists "output/failure", told)
      if signal == "sigterm" then assert.equal(code == 0, tree:exists "output/success", told) end
    end
    tree:renew()
    local ran = train()
    assert.equal(0, ran.code, ran.err)
    assert.same(whole, outcome())
  end)

  it("begins anew where the checkpoint is damaged or of other parameters, and says so", function()
    lfs.mkdir(tree:path "checkpoints")
    command.write(tree:path "checkpoints/recsys-run-checkpoint.tar", "no tar")
    local ran = train()
    assert.equal(0, ran.code, ran.err)
    assert.matches("the checkpoint .*/checkpoints/recsys%-run%-checkpoint.tar cannot be read, and is left out", ran.err)
    assert.same(whole, outcome())
    tree:renew()
    ran = train "--set seed=2"
    assert.equal(0, ran.code, ran.err)
    assert.matches("has no unfinished run of two_tower with these parameters; a new one begins", ran.err)
  end)
end)
