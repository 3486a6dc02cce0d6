--- The command line of the host program, run as people run it.

local command = require "spec.support.command"
local exit = require "recsys.exit"
local json = require "recsys.json"

local folder

--- Run the host program with these arguments, quoted where they need it.
local function recsys_run(...)
  return command.run(command.program .. " " .. table.concat({ ... }, " "))
end

--- Run Lua source in the host program.
local function run_lua(source, ...)
  return recsys_run("lua", command.write(folder .. "/script.lua", source), ...)
end

describe("recsys-run", function()
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  it("tells its version and commit", function()
    local ran = recsys_run "--version"
    assert.equal(0, ran.code)
    assert.matches("^recsys%-run %d+%.%d+%.%d+ %(commit %x+%)\n$", ran.out)
  end)

  it("lists commands and recipes", function()
    local ran = recsys_run "--help"
    assert.equal(0, ran.code)
    for _, word in ipairs { "doctor", "test", "help", "Recipes:", "%-%-set NAME=VALUE" } do
      assert.matches(word, ran.out)
    end
    assert.equal(ran.out, recsys_run("help").out)
  end)

  it("shows the same on stderr and ends with 2 when told nothing", function()
    local ran = recsys_run()
    assert.equal(2, ran.code)
    assert.equal("", ran.out)
    assert.matches("Usage: recsys%-run RECIPE", ran.err)
  end)

  it("shows a command's own options", function()
    assert.matches("%-%-json", recsys_run("doctor", "--help").out)
    assert.matches("^Usage: recsys%-run runs list .*%-%-filter", recsys_run("runs", "list", "--help").out)
    assert.matches("^Usage: recsys%-run runs %[%-h%] <command>", recsys_run("runs", "--help").out)
    assert.equal(recsys_run("doctor", "--help").out, recsys_run("help", "doctor").out)
  end)

  it("refuses a misspelled command with the nearest one", function()
    local ran = recsys_run "docter"
    assert.equal(2, ran.code)
    assert.equal("recsys-run: there is no command or recipe 'docter'; did you mean 'doctor'?\n", ran.err)
  end)

  it("refuses a misspelled option with the nearest one", function()
    local ran = recsys_run("recipes/two_tower.lua", "--sed", "3")
    assert.equal(2, ran.code)
    assert.matches("unknown option '%-%-sed'; did you mean .*'%-%-seed'", ran.err)
    ran = recsys_run("doctor", "--jsn")
    assert.equal(2, ran.code)
    assert.matches("unknown option '%-%-jsn'; did you mean '%-%-json'", ran.err)
  end)

  it("refuses a seed or thread count that is no whole number", function()
    for _, words in ipairs { { "--seed", "x" }, { "--seed=-1" }, { "--threads", "0" }, { "--threads", "1.5" } } do
      local ran = recsys_run("x.lua", table.unpack(words))
      assert.equal(2, ran.code)
      assert.matches("is not a whole number of", ran.err)
    end
  end)

  it("refuses a recipe that is not there, and a command that comes second", function()
    local ran = recsys_run "recipes/nowhere_at_all.lua"
    assert.equal(2, ran.code)
    assert.matches("there is no recipe file 'recipes/nowhere_at_all.lua'", ran.err)
    ran = recsys_run("--json", "doctor")
    assert.equal(2, ran.code)
    assert.matches("the command comes first: recsys%-run doctor", ran.err)
  end)
end)

describe("recsys-run lua", function()
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  it("runs a program with its arguments and the library", function()
    local ran = run_lua([[print(arg[0]:match "[^/]+$", #arg, require("recsys.core").version, ...)]], "a", "'b c'")
    assert.equal("", ran.err)
    assert.matches("^script%.lua\t2\t%d+%.%d+%.%d+\ta\tb c\n$", ran.out)
    assert.equal(0, ran.code)
  end)

  it("finds the library from any folder", function()
    command.write(folder .. "/script.lua", [[print(require("recsys.host").root)]])
    local ran = command.run(("cd / && %s lua %s/script.lua"):format(command.program, folder))
    assert.equal(command.root .. "\n", ran.out)
  end)

  it("ends with 1 and a traceback after an error", function()
    local ran = run_lua "local function inner() error 'the reason' end\ninner()"
    assert.equal(1, ran.code)
    assert.matches("script%.lua:1: the reason", ran.err)
    assert.matches("stack traceback:.*script%.lua:2", ran.err)
  end)

  it("turns what a program raises into the documented exit codes, without a traceback", function()
    for word, code in pairs { usage = 2, config = 2, quality = 3, busy = 75, retry = 75, format = 1, io = 1 } do
      local ran = run_lua(("error({ code = %q, message = 'because of this' }, 0)"):format(word))
      assert.equal(code, ran.code)
      assert.equal("recsys-run: because of this\n", ran.err)
    end
  end)

  it("refuses a missing program and one that does not parse", function()
    assert.equal(2, recsys_run("lua", folder .. "/nowhere.lua").code)
    local ran = run_lua "this is no Lua"
    assert.equal(2, ran.code)
    assert.matches("script%.lua:1: syntax error", ran.err)
  end)

  for name, code in pairs { INT = 130, TERM = 143 } do
    it(("stops at the next safe point after SIG%s, running finalizers, and ends with %d"):format(name, code), function()
      command.write(folder .. "/script.lua", [[
        local closing <close> = setmetatable({}, { __close = function() print "closed" end })
        print "ready"
        io.stdout:flush()
        while true do end]])
      os.remove(folder .. "/log")
      -- A shell starts background jobs with SIGINT ignored; env gives it back.
      local ran = command.run(([[
        env --default-signal=INT %s lua %s/script.lua >%s/log &
        until grep -q ready %s/log; do sleep 0.02; done
        kill -%s $!; wait $!; code=$?; cat %s/log; exit $code]]):format(command.program, folder, folder, folder, name,
        folder))
      assert.equal(code, ran.code)
      assert.equal("ready\nclosed\n", ran.out)
      assert.matches("stopped by signal", ran.err)
    end)
  end

  it("keeps the signal's exit code when the program swallows the interruption", function()
    local ran = run_lua [[
      local uv = require "luv"
      local ok, problem = pcall(function() uv.kill(uv.os_getpid(), "sigterm") while true do end end)
      print(ok, problem.code, problem.signal)]]
    assert.equal("false\tinterrupted\t15\n", ran.out)
    assert.equal(143, ran.code)
  end)
end)

describe("recsys-run doctor", function()
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  it("reports versions, CPU, memory and the BLAS in use", function()
    local ran = recsys_run("doctor", "--json")
    assert.equal(0, ran.code)
    local report = json.decode(ran.out)
    for _, name in ipairs { "lua", "openblas", "libarchive", "jansson", "openssl", "xxhash", "utf8proc", "zlib",
      "zstd" } do
      assert.matches("%d+%.%d+", report.libraries[name])
    end
    for _, name in ipairs { "cjson", "luv", "lfs", "argparse" } do assert.matches("%d+%.%d+", report.lua[name]) end
    assert.equal("openmp", report.blas.parallel)
    assert.matches("openblas%-openmp", report.blas.library)
    assert.is_true(report.threads >= 1 and report.cpu.cores >= 1 and report.memory.total_mib > 0)
    assert.same({}, report.troubles)
  end)

  it("says the same in words", function()
    local ran = recsys_run "doctor"
    assert.equal(0, ran.code)
    assert.matches("BLAS +openmp", ran.out)
    assert.matches("nothing is wrong\n$", ran.out)
  end)

  it("ends with 1 and names the package of a library that is missing", function()
    for _, name in ipairs { "luv", "lfs" } do
      local path = assert(package.searchpath(name, package.cpath))
      assert(require("luv").fs_symlink(path, ("%s/%s.so"):format(folder, name)))
    end
    local ran = command.run(("LUA_CPATH_5_4='%s/?.so' %s doctor"):format(folder, command.program))
    assert.equal(1, ran.code)
    assert.matches("wrong: the Lua library cjson cannot be loaded; install its package %(lua%-cjson%)", ran.out)
  end)
end)

describe("recsys-run new", function()
  before_each(function() folder = command.temporary() end)
  after_each(function() command.remove(folder) end)

  local function new(words)
    return command.run(("cd %s && %s new %s"):format(folder, command.program, words))
  end

  it("begins a recipe as a copy of another under its own name", function()
    local ran = new "my_sample --from news_sample"
    assert.equal(0, ran.code, ran.err)
    assert.matches("^recipes/my_sample.lua, a copy of .*recipes/news_sample.lua\n", ran.out)
    local copy = command.read(folder .. "/recipes/my_sample.lua")
    assert.equal((command.read("recipes/news_sample.lua"):gsub('"news_sample"', '"my_sample"', 1)), copy)
    assert.equal(0, command.run(("cd %s && %s my_sample --help"):format(folder, command.program)).code)
  end)

  it("gives the copy a published name of its own", function()
    for name, published in pairs { mine = "mine", ["exp-2"] = "exp_2" } do
      for _, from in ipairs { "mf", "two_tower" } do
        assert.equal(0, new(("%s --from %s"):format(name, from)).code)
        local shown = command.run(("cd %s && %s %s --help"):format(folder, command.program, name)).out
        assert.matches(("publish.name +string +'%s' "):format(published), shown)
        os.remove(("%s/recipes/%s.lua"):format(folder, name))
      end
    end
  end)

  it("names the program as it was called", function()
    local ran = command.run(("cd %s && ln -s %s here && ./here new mine"):format(folder, command.program))
    assert.matches("\n  ./here recipes/mine.lua %-%-help\n", ran.out)
  end)

  it("refuses to overwrite, a name that is none, and an unknown recipe to copy", function()
    assert.equal(0, new("mine --from news_sample").code)
    local ran = new "mine --from news_sample"
    assert.equal(2, ran.code)
    assert.matches("recipes/mine.lua exists already", ran.err)
    assert.matches("a recipe's name is of a%-z", new("../up").err)
    assert.matches("did you mean 'news_sample'", new("other --from news_smple").err)
  end)
end)

describe("exit codes", function()
  it("follow the code word, the signal, or an exit code that the thrower chose", function()
    assert.equal(1, exit.code_of "a text")
    assert.equal(1, exit.code_of { code = "numeric" })
    assert.equal(2, exit.code_of { code = "usage" })
    assert.equal(143, exit.code_of { code = "interrupted", signal = 15 })
    assert.equal(3, exit.code_of { code = "io", exit = 3 })
  end)
end)
