--- recipes/sagemaker_local.lua: local mode without Docker, from an empty folder to the end; what each step refuses; and
--- the commands for the real service.

local command = require "spec.support.command"
local json = require "recsys.json"
local mode = require "recsys.sagemaker.local_mode"

local folder

setup(function() folder = command.temporary() end)
teardown(function() command.remove(folder) end)

local function path(name) return folder .. "/" .. name end

--- What a step refuses.
local function refusal(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok)
  return problem.message or problem
end

describe("recipes/sagemaker_local.lua", function()
  it("trains, packs, serves, pings, invokes, transforms and stops, from an empty folder", function()
    local ran = command.run(("cd %s && %s %s/recipes/sagemaker_local.lua --json --set track.enabled=false"):format(
      folder, command.program, command.root))
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.matches("^two_tower%-1%.tar$", result.trained.model)
    assert.is_true(result.trained.metrics >= 4 and result.ping.attempts >= 1 and result.ping.seconds < 120)
    assert.same({ lines = 100, batches = 1 }, result.transform)
    assert.is_true(result.stop.seconds < 30 and result.seconds.total < 60)
    local run = path(result.paths.run)
    local lines = 0
    for _ in io.lines(run .. "/requests.jsonl.out") do lines = lines + 1 end
    assert.equal(100, lines)
    assert.equal("./\n./two_tower-1.tar\n", command.run("tar -tzf " .. path(result.paths.model)).out)
  end)

  it("leaves nobody running when a step fails", function()
    local ran = command.run(("cd %s && %s %s/recipes/sagemaker_local.lua --json --set track.enabled=false "
      .. "--set train.hyperparameters=train.epochs=1,model.dim=none"):format(folder, command.program, command.root))
    assert.equal(1, ran.code, ran.err)
    assert.truthy(ran.err:find("task 'train'", 1, true), ran.err)
    assert.truthy(ran.err:find("training ended with code 2; output/failure says: model.dim must be a whole number, not "
      .. "'none' (hyperparameters.json)", 1, true), ran.err)
  end)
end)

describe("the steps of local mode", function()
  it("unpack plain files below their folder alone", function()
    command.run(("mkdir -p %s && cd %s && echo x >a.tar && ln -s /etc/passwd link && tar -czf good.tgz ./a.tar && "
      .. "tar -czf link.tgz link && tar -czPf up.tgz --transform s,a.tar,../a.tar, a.tar && "
      .. "tar -czPf root.tgz --transform s,a.tar,/a.tar, a.tar && tar -czf none.tgz -T /dev/null"):format(path "tars",
      path "tars"))
    local function unpack(name) return mode.unpack({ path = path("tars/" .. name .. ".tgz") }, path "unpacked") end
    assert.equal(1, unpack("good").files)
    assert.matches("link.tgz holds what is neither a file nor a folder: ", refusal(unpack, "link"))
    assert.matches("up.tgz holds a path that leads out of its folder: %.%./a.tar", refusal(unpack, "up"))
    assert.matches("root.tgz holds a path that leads out of its folder: /a.tar", refusal(unpack, "root"))
    assert.matches("none.tgz is empty", refusal(unpack, "none"))
    assert.matches("gone.tgz", refusal(unpack, "gone"))
    assert.same({ "a.tar" }, require("recsys.files").names(path "unpacked/model"))
  end)
end)

describe("recsys-run recipes/sagemaker_local.lua --plan", function()
  local text

  setup(function()
    text = command.run(("cd %s && %s %s/recipes/sagemaker_local.lua --plan --set aws.bucket=shop"):format(folder,
      command.program, command.root)).out
  end)

  --- Its commands of AWS, a list of words each, as a shell reads them.
  local function commands()
    local list = {}
    for line in text:gmatch "[^\n]+" do
      if line:find "^aws " then
        local words = json.list {}
        local ran = command.run("printf '%s\\n' " .. line:gsub("%s|.*$", ""))
        for word in ran.out:gmatch "[^\n]+" do words[#words + 1] = word end
        list[#list + 1] = words
      end
    end
    return list
  end

  it("names the steps, and each stage of the way to the real service", function()
    local at = 0
    for _, words in ipairs { "  1  tree ", " 10  stop ", " 11  report ", "docker build ", "docker push ",
      "create-training-job ", "create-model ", "create-endpoint-config ", "create-endpoint ",
      "wait endpoint-in-service ", "invoke-endpoint ", "create-transform-job " } do
      at = assert(text:find(words, at + 1, true), words .. " is not behind what comes before it")
    end
    assert.truthy(text:find("s3://shop/jobs/two-tower/output/model.tar.gz", 1, true))
    assert.truthy(text:find("\n# aws s3 cp model.tar.gz s3://shop/", 1, true)) -- else it would replace what was trained
    assert.falsy(text:find("\naws s3 cp model.tar.gz", 1, true))
  end)

  it("prints commands whose options a shell and JSON read", function()
    local count = 0
    for _, words in ipairs(commands()) do
      for _, word in ipairs(words) do
        if word:find "^[%[{]" then
          assert(json.exact(word), word)
          count = count + 1
        end
      end
    end
    assert.is_true(count >= 8, tostring(count))
  end)

  it("prints commands that the services' own descriptions take", function()
    local python = os.getenv "RECSYS_PEER_SAGEMAKER"
    if not python then pending "needs RECSYS_PEER_SAGEMAKER: spec/peers/setup FOLDER sagemaker" return end
    local lines = {} -- without those that the command line alone has
    for _, words in ipairs(commands()) do
      local is_ours = words[2] ~= "s3" and words[3] ~= "wait" and words[3] ~= "get-login-password"
      if is_ours then lines[#lines + 1] = json.encode(words) end
    end
    assert.is_true(#lines >= 6)
    command.write(path "commands", table.concat(lines, "\n") .. "\n")
    local ran = command.run(("%s spec/peers/sagemaker_commands.py <%s"):format(python, path "commands"))
    assert.equal("", ran.err)
    assert.equal("", ran.out)
    command.write(path "commands", '["aws","sagemaker","create-model","--model-nam","x"]\n'
      .. '["aws","sagemaker","create-models"]\n["aws","sagemaker","create-endpoint","--endpoint-name","x"]\n')
    ran = command.run(("%s spec/peers/sagemaker_commands.py <%s"):format(python, path "commands"))
    assert.matches("create%-model has no option %-%-model%-nam.*there is no operation create%-models.*Missing required",
      ran.out)
  end)
end)
