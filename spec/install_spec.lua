--- cmake --install to a prefix: the program and the module work there, without the sources.

local command = require "spec.support.command"
local program = require "spec.support.serve_program"

local prefix

describe("cmake --install", function()
  setup(function()
    prefix = command.temporary()
    local ran = command.run(("cmake --install %s --prefix %s"):format(command.build, prefix))
    assert(ran.code == 0, ran.err)
  end)
  teardown(function() command.remove(prefix) end)

  it("makes a program that finds its library and recipes in the prefix", function()
    command.write(prefix .. "/script.lua", [[
      print(require("recsys.host").root)
      print(package.searchpath("recsys.cli", package.path))]])
    local ran = command.run(("cd / && %s/bin/recsys-run lua %s/script.lua"):format(prefix, prefix))
    local share = "/share/recsys-run"
    assert.equal(("%s%s\n%s/bin/..%s/lua/recsys/cli.lua\n"):format(prefix, share, prefix, share), ran.out)
    assert.matches("nothing is wrong", command.run(("cd / && %s/bin/recsys-run doctor"):format(prefix)).out)
    for _, folder in ipairs { "recipes", "models" } do
      local diff = command.run(("diff -r --exclude=README.md %s %s%s/%s"):format(folder, prefix, share, folder))
      assert.equal("", diff.out)
    end
  end)

  it("makes a program that runs recipes and models, its own and one's own, from an empty folder", function()
    local empty = command.scratch(finally)
    local function run(words)
      local ran = command.run(("cd %s && PATH=%s/bin:$PATH && recsys-run %s"):format(empty, prefix, words))
      assert.equal(0, ran.code, ran.err)
      return ran
    end
    local tiny = " --threads 1 --set data.scale=0.0005 --set train.epochs=1 --set eval.samples=10"
    assert.matches("mine.lua, a copy of .*/share/recsys%-run/recipes/mf.lua\n\nNext:\n  recsys%-run recipes/mine.lua",
      run("new mine --from mf").out)
    assert.matches("model mf: .*/share/recsys%-run/models/mf.lua\n",
      run("mine --threads 1 --set data.scale=0.0005").err)
    local told = run("two_tower" .. tiny).out
    assert.matches("\n  recsys%-run inspect artifacts/models/two_tower%-1.tar\n", told)
    assert.matches("\n  recsys%-run serve artifacts/models/two_tower%-1.tar\n", told)
    local user = told:match "\n  recsys%-run recommend artifacts/models/two_tower%-1.tar %-%-user (%S+) %-k 10\n"
    assert.matches('"known":true', run("recommend two_tower --json -k 1 --user " .. user).out)
    local server = program.start { empty .. "/artifacts/models/two_tower-1.tar", "--no-events" }
    local asked = told:match "(curl [^\n]+)":gsub("localhost:8080", (server.url:match "//(.*)"))
    local answer = command.run(asked)
    assert.equal(0, program.stop(server, "sigterm"))
    assert.matches(('"user":"%s"'):format(user), answer.out, 1, true)
    assert.matches('"items":%[{', answer.out)
    assert.matches("\nrank +item", "\n" .. run("recommend mine --user nobody -k 1").out)
    command.run(("mkdir %s/models && cp models/two_tower.lua %s/models/my.lua"):format(empty, empty))
    assert.matches("model my: ./models/my.lua\n", run("two_tower --set model.kind=my" .. tiny).err)
  end)

  it("makes a program that survives a move of the prefix", function()
    local moved = command.temporary()
    finally(function() command.remove(moved) end)
    command.run(("cp -a %s/. %s"):format(prefix, moved))
    local ran = command.run(("cd / && %s/bin/recsys-run help"):format(moved))
    assert.equal(0, ran.code)
    assert.matches("\n  doctor ", ran.out)
  end)

  it("asks for the OpenMP build of OpenBLAS, whatever the system's alternative is", function()
    for _, file in ipairs { "bin/recsys-run", "lib/lua/5.4/recsys/core.so" } do
      local ran = command.run(("readelf -d %s/%s"):format(prefix, file))
      assert.matches("R[UN]*PATH[^\n]*openblas%-openmp", ran.out)
    end
  end)

  it("lets a stock lua5.4 require recsys", function()
    if command.sanitized then pending "a sanitized core.so needs the sanitizer preloaded" return end
    local ran = command.run(([[cd / && LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;' \
      LUA_CPATH='%s/lib/lua/5.4/?.so;;' lua5.4 -e 'local recsys = require "recsys"
      local stream = recsys.base.stream(1, "user")
      print(stream:below(0, 10) < 10, require("recsys.core").doctor.blas().parallel)']]):format(prefix, prefix, prefix))
    assert.equal("", ran.err)
    assert.equal("true\topenmp\n", ran.out)
  end)

  it("says what is missing when the library is not beside the program", function()
    command.run(("mkdir -p %s/lonely/bin && cp %s/bin/recsys-run %s/lonely/bin"):format(prefix, prefix, prefix))
    local ran = command.run(("%s/lonely/bin/recsys-run --version"):format(prefix))
    assert.equal(1, ran.code)
    assert.matches("the Lua library is neither in .* nor in .*; install again", ran.err)
  end)
end)
