--- `recsys-run test` in a tree of its own, whose tests fail, crash and hang up on purpose.

local command = require "spec.support.command"

local folder

--- A build folder with a copy of the program, whose tree has only these specs and C tests (shell scripts).
local function tree(specs, c_tests)
  folder = command.temporary()
  local script = [[
    mkdir -p FOLDER/tree/spec/support FOLDER/tree/recipes FOLDER/tree/models FOLDER/recsys
    cp -r lua .busted .luacheckrc FOLDER/tree
    cp spec/support/report.lua FOLDER/tree/spec/support
    cp BUILD/recsys-run FOLDER
    cp BUILD/recsys/core.so FOLDER/recsys
    ln -s tree FOLDER/recsys-run.tree]]
  assert(os.execute((script:gsub("FOLDER", folder):gsub("BUILD", command.build))))
  for name, source in pairs(specs) do command.write(("%s/tree/spec/%s_spec.lua"):format(folder, name), source) end
  local lines = {}
  for name, source in pairs(c_tests) do
    local path = command.write(("%s/%s"):format(folder, (name:gsub("/", "_"))), "#!/bin/sh\n" .. source .. "\n", "755")
    lines[#lines + 1] = ('add_test(%s "%s")'):format(name, path)
  end
  table.sort(lines)
  command.write(folder .. "/CTestTestfile.cmake", table.concat(lines, "\n") .. "\n")
end

local function test(suite)
  return command.run(("%s/recsys-run test %s"):format(folder, suite))
end

local function last_line(text)
  return text:match "([^\n]*)\n$"
end

describe("recsys-run test", function()
  after_each(function() command.remove(folder) end)

  it("adds up C tests, counts failures, and calls a crash without counts a failure", function()
    tree({}, {
      good = [[printf '[       OK ] a\n[       OK ] b\n[  PASSED  ] 2 test(s).\n']],
      bad = [[printf '[       OK ] a\n[  FAILED  ] b\n[  FAILED  ] 1 test(s), listed below:\n'; exit 1]],
      crash = [[printf '[       OK ] a\n'; kill -SEGV $$]],
    })
    local ran = test "c"
    assert.equal(1, ran.code)
    assert.equal("4 passed, 2 failed", last_line(ran.out))
    assert.matches("good +2 passed\n", ran.out)
    assert.matches("FAILED %(exit code 139%)", ran.out)
  end)

  it("fails when there is no C test to run", function()
    tree({}, {})
    local ran = test "c"
    assert.equal(1, ran.code)
    assert.equal("0 passed, 1 failed", last_line(ran.out))
  end)

  it("shows a failing spec with its place, and a skipped one with its reason", function()
    tree({ mixed = [[
      it("holds", function() assert.is_true(true) end)
      it("does not hold", function() assert.equal(1, 2) end)
      it("waits", function() pending "for better days" end)]] }, {})
    local ran = test "specs"
    assert.equal(1, ran.code)
    assert.matches("FAILED spec/mixed_spec.lua:2: does not hold", ran.out)
    assert.matches("skipped spec/mixed_spec.lua:3: waits: for better days", ran.out)
    assert.equal("1 passed, 1 failed, 1 skipped", last_line(ran.out))
  end)

  it("counts a spec that does not load, and a run that ends before its counts", function()
    tree({ broken = "this is no Lua" }, {})
    assert.equal("0 passed, 1 failed", last_line(test("specs").out))
    command.remove(folder)
    tree({ dying = [[it("dies", function() os.exit(0) end)]] }, {})
    local ran = test "specs"
    assert.equal(1, ran.code)
    assert.matches("busted ended without its counts", ran.out)
  end)

  it("runs files side by side, each whole and with its share of the cores", function()
    local meets = [[
      it("waits for the other", function()
        os.execute("touch %s.here; for i in $(seq 200); do [ -e %s.here ] && exit; sleep 0.05; done; exit 1")
        assert.is_true(os.execute("test -e %s.here"))
        print("threads " .. os.getenv "OMP_NUM_THREADS")
      end)]]
    tree({ one = meets:format("one", "two", "two"), two = meets:format("two", "one", "one") }, {})
    local ran = test "specs --jobs 2"
    assert.equal("2 passed, 0 failed", last_line(ran.out))
    assert.matches("\nthreads %d+\nspec/[onetw]+_spec.lua +1 passed", ran.out)
    ran = test "specs --jobs 0"
    assert.equal(2, ran.code)
    assert.matches("'0' is not a whole number", ran.err)
  end)

  it("fails over a luacheck warning", function()
    tree({}, {})
    command.write(folder .. "/tree/recipes/a.lua", "return 1\n")
    command.write(folder .. "/tree/models/a.lua", "local unused = 1\n")
    local ran = test "lint"
    assert.equal(1, ran.code)
    assert.matches("models/a.lua:1:7: unused variable", ran.out)
    command.write(folder .. "/tree/models/a.lua", "return 1\n")
    os.execute(("rm -r %s/tree/lua/meta"):format(folder)) -- its lint is another spec's matter
    assert.equal("1 passed, 0 failed", last_line(test("lint").out))
  end)

  --- The report of a suite, by the name of its file: its text, and { name = "passed" | "failure: ..." }.
  local function junit(file)
    local xml, cases = command.read(("%s/reports/%s.xml"):format(folder, file)), {}
    local open = {} -- it is well-formed: what is opened is closed
    for close, name, rest in xml:gsub("^<%?[^\n]*", ""):gmatch "<(/?)(%w+)([^>]*)>" do
      if close == "/" then assert.equal(table.remove(open), name)
      elseif rest:sub(-1) ~= "/" then open[#open + 1] = name end
    end
    assert.same({}, open)
    for name, ending in xml:gmatch '<testcase classname="[^"]*" name="([^"]*)" time="[%d.]+"(/?)>' do
      if ending == "/" then cases[name] = "passed" end
    end
    for name, kind, said in xml:gmatch 'name="([^"]*)" time="[%d.]+">%s*<(%w+) message="([^"]*)"' do
      cases[name] = kind .. ": " .. said
    end
    return xml, cases
  end

  it("writes what became of each test as JUnit XML", function()
    tree({ mixed = [[
      describe("a <b> & \"c\"", function()
        it("holds", function() assert.is_true(true) end)
        it("does not hold", function() error("bad \1\255 <bytes>", 0) end)
        it("waits", function() pending "for better days" end)
      end)]], dying = [[it("dies", function() os.exit(0) end)]], broken = "this is no Lua" }, {
      ["base/good"] = [[printf '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  SKIPPED ] b\n']],
      bad = [[printf '[ RUN      ] a\n[  ERROR   ] --- 1 != 2\n[  FAILED  ] a\n[  FAILED  ] 1 test(s), listed below:\n'
        printf '[  FAILED  ] a\n'; exit 1]],
      crash = [[printf '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n'; kill -SEGV $$]],
      outer = [[printf '[ RUN      ] o\n[ RUN      ] a\n[       OK ] a\n[       OK ] o\n'
        printf '[ RUN      ] s\n[  SKIPPED ] s\n[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] s\n']] })
    command.write(folder .. "/tree/models/a.lua", "local unused = 1\n")
    os.execute(("mkdir -p %s/reports; touch %s/reports/c-old.xml %s/reports/other.xml"):format(folder, folder, folder))
    local ran = test("--junit " .. folder .. "/reports")
    assert.equal(1, ran.code)
    local xml, cases = junit "spec-mixed_spec"
    assert.matches('<testsuite name="spec/mixed_spec.lua" tests="3" failures="0" errors="1" skipped="1"', xml)
    assert.matches('classname="mixed_spec"', xml)
    assert.same({ ["a &lt;b&gt; &amp; &quot;c&quot; holds"] = "passed",
      ["a &lt;b&gt; &amp; &quot;c&quot; waits"] = "skipped: for better days",
      ["a &lt;b&gt; &amp; &quot;c&quot; does not hold"] = "error: spec/mixed_spec.lua:3: bad ?? &lt;bytes&gt;" }, cases)
    assert.matches("^error: ", select(2, junit "spec-dying_spec")["the whole file"])
    assert.matches('errors="1"', (junit "spec-broken_spec"))
    assert.same({ a = "passed", b = "skipped: skipped" }, select(2, junit "c-base-good"))
    assert.same({ a = "failure: [  ERROR   ] --- 1 != 2" }, select(2, junit "c-bad"))
    assert.same({ a = "passed", b = "error: exit code 139" }, select(2, junit "c-crash"))
    assert.same({ o = "passed", a = "passed", s = "skipped: skipped" }, select(2, junit "c-outer"))
    assert.matches("\n  skipped s\nouter +2 passed\n", ran.out)
    assert.matches("^failure: ", select(2, junit "lint").luacheck)
    assert.matches('<testsuite name="base/good" tests="2" [^>]*time="0%.%d*[1-9]', (junit "c-base-good"))
    assert.is_nil(io.open(folder .. "/reports/c-old.xml"))
    assert.truthy(io.open(folder .. "/reports/other.xml"))
  end)

  it("is refused outside a source tree", function()
    tree({}, {})
    os.execute(("rm -r %s/tree/spec"):format(folder))
    local ran = test ""
    assert.equal(2, ran.code)
    assert.matches("the tests live in the source tree", ran.err)
  end)
end)
