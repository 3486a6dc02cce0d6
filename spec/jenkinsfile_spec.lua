--- The Jenkinsfile: what the strict check refuses, and every one of its commands carried out.

local command = require "spec.support.command"
local groovy = require "spec.support.groovy"
local jenkins_run = require "spec.support.jenkins_run"
local jenkinsfile = require "spec.support.jenkinsfile"
local json = require "recsys.json"
local tracking_server = require "spec.support.tracking_server"
local uv = require "luv"

local SOURCE = command.read "Jenkinsfile"

--- What the check says of the Jenkinsfile with one text, which stands there once, replaced by another.
local function refusals(from, to, source)
  source = source or SOURCE
  local at, last = source:find(from, 1, true)
  assert(at and not source:find(from, last + 1, true), "once: " .. from)
  local _, problems = jenkinsfile.check(source:sub(1, at - 1) .. to .. source:sub(last + 1))
  local lines = {}
  for i, problem in ipairs(problems) do lines[i] = ("%d: %s"):format(problem.line, problem.message) end
  return table.concat(lines, "\n")
end

local SMALL = [[
pipeline {
  agent any
  stages {
    stage('One') {
      steps {
        echo 'hello'
      }
    }
  }
}
]]

describe("the check of a Jenkinsfile", function()
  it("finds nothing wrong with ours, nor with the smallest", function()
    assert.same({}, select(2, jenkinsfile.check(SOURCE)))
    assert.same({}, select(2, jenkinsfile.check(SMALL)))
  end)

  it("reads texts, comments, lists, calls and blocks of Groovy", function()
    local tree = groovy.parse [==[
      /* a
         comment */ a(one: 'it\'s', two: ["x", 2, y(3)]) { b 'p', true // end
      c = credentials('id') }
      script { if (x) { sh("a ${y}") } }
      sh '''
        printf 'a\\n' "b"
      ''']==]
    assert.equal("it's", tree[1].arguments[1].value)
    assert.equal("call", tree[1].arguments[2].value[3].kind)
    assert.same({ "b", "c" }, { tree[1].block[1].name, tree[1].block[2].name })
    assert.equal(3, tree[1].block[2].line)
    assert.equal(' if (x) { sh("a ${y}") } ', tree[2].raw)
    assert.equal("\n        printf 'a\\n' \"b\"\n      ", tree[3].arguments[1].value)
    assert.is_true(groovy.parse('a "b ${c}"')[1].arguments[1].inserts)
    assert.is_false(groovy.parse("a 'b ${c}'")[1].arguments[1].inserts)
  end)

  it("refuses a section that is misspelt, missing, doubled or empty", function()
    for _, case in ipairs {
      { "stages {\n    stage('Set up')", "stagez {\n    stage('Set up')",
        "'stagez' may not stand in pipeline; did you mean 'stages'?" },
      { "agent { label 'debian-12' }", "", "pipeline needs 'agent'" },
      { "agent { label 'debian-12' }", "agent { label 'debian-12' }\n  agent any", "'agent' stands twice in pipeline" },
      { "agent { label 'debian-12' }", "agent { }", "agent is empty" },
      { "agent { label 'debian-12' }", "agent some", "'agent' takes any, none or a block" },
      { "agent { label 'debian-12' }", "agent { lable 'debian-12' }", "did you mean 'label'?" },
      { "triggers {", "triggerz {", "did you mean 'triggers'?" },
      { "pipeline {", "pipelin {", "there is no pipeline { ... }" },
      { "    unstable {", "    always {", "'always' stands twice in post" },
      { "    unstable {", "    unstabel {", "did you mean 'unstable'?" },
      { "stage('Lint')", "stage('Build')", "there are two stages 'Build'" },
      { "stage('Lint')", "stage('')", "'stage': name is empty" },
      { "stage('Lint')", "stage()", "'stage' needs 'name'" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }", "", "the stage is empty" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }", "steps { }", "steps is empty" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }", "options { timestamps() }",
        "the stage has nothing to do" },
      { "stages {\n    stage('Set up')", "stages('x') {\n    stage('Set up')", "stages takes no arguments" },
      { "timestamps()", "timestamps { echo 'x' }", "'timestamps' takes no block" },
      { "anyOf { triggeredBy 'TimerTrigger'; triggeredBy cause: 'UserIdCause' }", "branch('main') { echo 'x' }",
        "'branch' takes no block" },
      { "agent { label 'debian-12' }", "agent { docker { args '-v' } }", "'docker' needs 'image'" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }",
        "matrix { axes { axis { values 'a', 'a' } } stages { stage('x') { steps { echo 'y' } } } }",
        "axis needs 'name'" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }",
        "matrix { stages { stage('x') { steps { echo 'y' } } } }", "matrix needs 'axes'" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }",
        "input { ok 'yes' }\n steps { echo 'y' }", "input needs 'message'" },
      { "steps { sh './recsys-run test lint --junit artifacts/reports' }",
        "parallel { stage('x') { parallel { stage('y') { steps { echo 'z' } } } } }",
        "'parallel' may not stand within 'parallel'" },
      { "stage('Lint') {", "stage('Lint') { agent any\n matrix { }\n ", "a stage with 'matrix' has no 'agent'" },
      { "agent { label 'debian-12' }", "agent any\n environment { A = 'x' - 'y' }", "'A' must be a text" },
      { "agent { label 'debian-12' }", "agent any\n environment { A = 'x'\n A = 'y' }", "'A' stands twice" },
      { "agent { label 'debian-12' }", "agent { dockerfile { filename 'a/b' } }", "a name without a folder" },
      { "stage('Lint') {", "stage('Lint') { parallel { stage('x') { steps { echo 'y' } } }",
        "the stage has steps and parallel: one is allowed" },
    } do
      local said = refusals(case[1], case[2])
      assert.truthy(said:find(case[3], 1, true), case[3] .. " is not in: " .. said)
    end
  end)

  it("refuses a wrong option, trigger, parameter, condition or step", function()
    for _, case in ipairs {
      { "timestamps()", "timestamp()", "did you mean 'timestamps'?" },
      { "timestamps()", "timestamps()\n    timestamps()", "'timestamps' stands twice in options" },
      { "unit: 'HOURS'", "unit: 'HOUR'", "there is no unit 'HOUR'" },
      { "time: 4", "time: 'four'", "time must be a whole number" },
      { "time: 4, ", "", "'timeout' needs 'time'" },
      { "numToKeepStr: '30'", "numToKeep: '30'", "did you mean" },
      { "'H 2 * * *'", "'H 2 * *'", "has 4 fields, not 5" },
      { "'H 2 * * *'", "'H 24 * * *'", "'24' is no hour, 0-23" },
      { "'H/15 * * * *'", "'H/90 * * * *'", "is no minute" },
      { "pollSCM(", "pollScm(", "did you mean 'pollSCM'?" },
      { "name: 'SEED'", "name: 'RECIPE'", "there are two parameters 'RECIPE'" },
      { "choices: ['news', 'movielens'], ", "", "'choice' needs 'choices'" },
      { "choices: ['news', 'movielens']", "choices: []", "must be a list of choices" },
      { "name: 'DEPLOY', defaultValue: true", "name: 'DEPLOY', defaultValue: 'yes'", "must be true or false" },
      { "triggeredBy 'TimerTrigger'", "triggerdBy 'TimerTrigger'", "did you mean 'triggeredBy'?" },
      { "anyOf { triggeredBy 'TimerTrigger'; triggeredBy cause: 'UserIdCause' }", "", "'when' is empty" },
      { "anyOf {", "not {", "'not' takes one condition" },
      { "checkout scm", "checkuot scm", "did you mean 'checkout'?" },
      { "sh './recsys-run doctor'", "sh ''", "'sh': script is empty" },
      { "sh './recsys-run doctor'", 'sh "./recsys-run doctor ${params.SEED}"', "Groovy puts values into the command" },
      { "sh './recsys-run doctor'", "sh script: './recsys-run doctor', returnCode: true",
        "'sh' takes no 'returnCode'" },
      { "retry(2)", "retry('two')", "count must be a whole number" },
      { "stageResult: 'UNSTABLE', message: 'the live", "stageResult: 'SHAKY', message: 'the live",
        "there is no result 'SHAKY'" },
      { "credentialsId: 'recsys-tracking', ", "", "'string' needs 'credentialsId'" },
      { "junit testResults: 'artifacts/reports/*.xml'", "junit results: 'artifacts/reports/*.xml'",
        "'junit' needs 'testResults'" },
      { "fingerprint: true", "fingerprint: true, fingerprint: true", "is given 'fingerprint' twice" },
    } do
      local said = refusals(case[1], case[2])
      assert.truthy(said:find(case[3], 1, true), case[3] .. " is not in: " .. said)
    end
  end)

  it("names the line of what cannot be read at all", function()
    assert.equal("6: the text that begins with ' has no end", refusals("'hello'", "'hello", SMALL))
    assert.matches("^5: '{' is not closed", refusals("echo 'hello'\n      }\n    }\n  }\n}", "echo 'hello'", SMALL))
    assert.matches("^11: a name is expected, not '}'", refusals("  }\n}\n", "  }\n}\n}", SMALL))
    assert.matches("^6: '%)' is expected, not '}'", refusals("echo 'hello'\n", "echo('hello'}\n", SMALL))
    assert.matches("^1: the comment has no end", refusals("pipeline {", "/* pipeline {", SMALL))
  end)
end)

-- Its commands --------------------------------------------------------------------------------------------------------

--- A checkout of the sources with a finished build, and of the tests only some: what a build of Jenkins' works in.
local function make_workspace(folder)
  local script = [[
    mkdir -p W/spec/support W/build/release/recsys W/artifacts
    cp -r Jenkinsfile CMakeLists.txt CMakePresets.json recsys-run .busted .luacheckrc lua models recipes runtime W
    cp spec/support/report.lua W/spec/support
    cp spec/json_spec.lua W/spec
    echo 'include_files = { "spec", "models", "recipes" }' >>W/.luacheckrc
    cp B/recsys-run W/build/release
    cp B/recsys/core.so W/build/release/recsys
    ln -s ../.. W/build/release/recsys-run.tree
    printf '%s\n' '#!/bin/sh' 'echo "[ RUN      ] a"; echo "[       OK ] a"' >W/build/release/one_test
    chmod +x W/build/release/one_test
    echo 'add_test(base/one_test "W/build/release/one_test")' >W/build/release/CTestTestfile.cmake
    touch W/build/release/run.built W/build/release/test.built]]
  local ran = command.run((script:gsub("%f[%w]W/", folder .. "/"):gsub("%f[%w]W%f[%W]", folder)
    :gsub("%f[%w]B/", command.build .. "/")))
  assert.equal(0, ran.code, ran.err)
  return folder
end

--- The lines of all `sh` steps below a list of statements.
local function shell_lines(list, found)
  for _, statement in ipairs(list) do
    if statement.name == "sh" then found[statement.line] = true end
    if statement.block then shell_lines(statement.block, found) end
  end
  return found
end

local function names_of(stages)
  local names = {}
  for i, stage in ipairs(stages) do names[i] = stage.name end
  return table.concat(names, ", ")
end

describe("the Jenkinsfile's commands", function()
  local parent, workspace, pipeline, server
  local left = {} -- lines of sh that have not run yet
  local number = 0

  local function build(trigger, parameters, credentials)
    local given = { SETTINGS = "data.scale=0.002 train.epochs=1 eval.samples=50 model.dim=8" }
    for name, value in pairs(parameters or {}) do given[name] = value end
    number = number + 1
    local ran = jenkins_run.build(pipeline, { workspace = workspace, scratch = parent, number = number,
      trigger = trigger, parameters = given, credentials = credentials })
    for _, shell in ipairs(ran.shells) do left[shell.line] = nil end
    return ran
  end

  local function champion()
    local shown = command.run(("cd %s && ./recsys-run registry show two_tower@champion --json"):format(workspace))
    return json.decode(shown.out).version
  end

  if command.sanitized then
    pending "the commands of the Jenkinsfile use the release build"
    return
  end

  setup(function()
    parent = command.temporary()
    workspace = make_workspace(parent .. "/workspace")
    pipeline = jenkinsfile.check(SOURCE)
    left = shell_lines(pipeline.block, {})
    uv.os_setenv("RECSYS_UI_TOKEN", "s3cret-of-the-server")
    server = tracking_server.new(parent .. "/server")
    server:start()
    uv.os_unsetenv "RECSYS_UI_TOKEN"
  end)

  teardown(function()
    if server then server:stop() end
    if parent then command.remove(parent) end
  end)

  it("test a change that polling found, and do no more", function()
    local ran = build "SCMTrigger"
    assert.equal("SUCCESS", ran.result, table.concat(ran.said, "\n"))
    assert.equal("Set up, Build, Lint, Test, post", names_of(ran.stages))
    assert.is_true(ran.tests.run > 5)
    assert.equal(0, ran.tests.failed)
  end)

  it("train, pass the gate, deliver, publish, answer and send at night", function()
    local ran = build("TimerTrigger", { TRACKING = server.url }, { ["recsys-tracking"] = "s3cret-of-the-server" })
    assert.equal("SUCCESS", ran.result, table.concat(ran.said, "\n"))
    assert.equal("Set up, Build, Lint, Test, Train, Gate, Recommendations, Bundle, Publish, Smoke test, Send, post",
      names_of(ran.stages))
    for _, name in ipairs { "result.json", "gate.json", "recommendations.csv.gz", "two_tower-1.tar", "bundle.sha256",
      "smoke.json" } do
      assert.is_true(ran.archived["artifacts/delivered/" .. name], name)
    end
    assert.equal(1, champion())
    assert.same({}, ran.mails)
    for _, shell in ipairs(ran.shells) do
      assert.is_nil((shell.out .. shell.err):find("s3cret", 1, true), "the secret shows in the log")
    end
    local sent = command.run(("cd %s && MLFLOW_TRACKING_TOKEN=s3cret-of-the-server ./recsys-run runs pull --from %s "
      .. "--store %s/pulled"):format(workspace, server.url, parent))
    assert.equal(0, sent.code, sent.err)
  end)

  it("are unstable and publish nothing where the gate refuses, which names metric, values and threshold", function()
    local ran = build("TimerTrigger", { GATES = "ndcg_10:1000%", SEED = "2" })
    assert.equal("UNSTABLE", ran.result, table.concat(ran.said, "\n"))
    assert.equal("Set up, Build, Lint, Test, Train, Gate, post", names_of(ran.stages))
    assert.is_true(ran.skipped["Publish"])
    assert.equal(3, ran.shells[#ran.shells].code)
    local told = ran.shells[#ran.shells - 1].err
    assert.matches("two_tower%-2 is not promoted", told)
    assert.matches("failed ndcg_10: [%d.]+ .-against [%d.]+ .-the gate ndcg_10:1000%% wants at least [%d.]+", told)
    assert.equal(1, champion())
    assert.matches("^unstable", ran.mails[1])
  end)

  --- What a build's run named, what it judged, delivered and made the live version, and whether these are one file.
  local function versions(ran)
    local function read(name) return command.read(("%s/artifacts/delivered/%s"):format(workspace, name)) end
    local sum = command.run(("cd %s && sha256sum artifacts/models/two_tower-%d.tar"):format(workspace, champion())).out
    local judged
    for _, shell in ipairs(ran.shells) do
      judged = judged or shell.err:match "registry promote ([%w_%-]+) %-%-dry%-run"
    end
    local digest, delivered = read("bundle.sha256"):match "^(%x+)  ([%w_%-]+)%.tar\n$"
    return { json.decode(read "result.json").paths.bundle:match "([%w_%-]+)%.tar$", judged, delivered,
      ("two_tower-%d"):format(champion()), digest == sum:match "^%x+" }
  end

  it("promote what a night made whose model an earlier night has made, too", function()
    local ran = build "TimerTrigger" -- the first night's once more, behind another's
    assert.equal("SUCCESS", ran.result, table.concat(ran.said, "\n"))
    assert.same({ "two_tower-3", "two_tower-3", "two_tower-3", "two_tower-3", true }, versions(ran))
    local told = {}
    for i, shell in ipairs(ran.shells) do told[i] = shell.err end
    assert.matches("\n  train +cached", table.concat(told))
    assert.matches("\n  publish +[%d.]+ m?s", table.concat(told))
  end)

  it("promote the bundle of their own run where somebody publishes meanwhile", function()
    command.run(("mkdir %s/other"):format(parent))
    command.write(parent .. "/other/basename", ([[#!/bin/sh
[ -e P/published ] || { touch P/published; ./recsys-run recipes/two_tower.lua --seed 9 --set data.scale=0.002 --set \
  train.epochs=1 --set eval.samples=50 --set model.dim=8 >P/published 2>&1; }
exec /usr/bin/basename "$@"
]]):gsub("P/", parent .. "/"), "755")
    local path = os.getenv "PATH"
    uv.os_setenv("PATH", parent .. "/other:" .. path)
    finally(function() uv.os_setenv("PATH", path) end)
    local ran = build("TimerTrigger", { GATES = "ndcg_10:-1000%", SEED = "4" })
    assert.equal("SUCCESS", ran.result, table.concat(ran.said, "\n"))
    assert.same({ "two_tower-4", "two_tower-4", "two_tower-4", "two_tower-4", true }, versions(ran))
    assert.matches("two_tower%-5%.tar", command.run(("ls %s/artifacts/models"):format(workspace)).out)
  end)

  it("give the live version back where the smoke test fails", function()
    command.run(("mkdir %s/bin"):format(parent))
    command.write(parent .. "/bin/gzip", "#!/bin/sh\n[ \"$1\" != -dc ] || exit 0\nexec /bin/gzip \"$@\"\n", "755")
    local path = os.getenv "PATH"
    uv.os_setenv("PATH", parent .. "/bin:" .. path)
    finally(function() uv.os_setenv("PATH", path) end)
    local ran = build("UserIdCause", { GATES = "ndcg_10:-1000%", SEED = "3", RESUME = true })
    assert.equal("FAILURE", ran.result)
    assert.equal("Smoke test", ran.stages[#ran.stages - 1].name, table.concat(ran.said, "\n"))
    assert.equal(4, champion())
    assert.equal(0, ran.shells[#ran.shells].code)
    assert.matches("^failed", ran.mails[1])
  end)

  it("fail over wrong parameters, with the reason in the log", function()
    local ran = build("UserIdCause", { SETTINGS = "train.epoch=1" })
    assert.equal("FAILURE", ran.result)
    local last = ran.shells[#ran.shells]
    assert.equal(2, last.code)
    assert.matches("there is no parameter 'train.epoch'.*did you mean 'train.epochs'", last.err)
  end)

  it("have all run by now", function()
    assert.same({}, left)
  end)
end)
