--- The wrapper ./recsys-run in a folder of its own, with stand-ins for dpkg, apt, sudo and cmake that keep a log.

local command = require "spec.support.command"

local folder

local stand_ins = {
  ["dpkg-query"] = [[for p in "$@"; do case $p in -*|*Status*) ;; *)
    grep -qx "$p" "$BOX/absent" || echo "installed $p";; esac; done]],
  ["apt-get"] = [[echo "apt-get $*" >>"$BOX/log"; [ ! -f "$BOX/apt_fails" ] || exit 100
    case "$*" in *update*) ;; *) : >"$BOX/absent";; esac]],
  sudo = [[[ "$1" = -n ] && shift; echo "sudo" >>"$BOX/log"; exec "$@"]],
  cmake = [[echo "cmake $*" >>"$BOX/log"; [ ! -f "$BOX/cmake_fails" ] || { echo "error: bad C"; exit 1; }
    case "$*" in *--build*)
      sleep "$(cat "$BOX/slow" 2>/dev/null || echo 0)"
      printf '#!/bin/sh\necho "built: $*"\nexit "${1:-0}"\n' >build/release/recsys-run
      chmod +x build/release/recsys-run;; esac]],
}

--- A checkout in a temporary folder, in which the packages in 'absent' are not installed.
local function checkout(absent)
  folder = command.temporary()
  os.execute(("mkdir -p %s/bin %s/runtime/base"):format(folder, folder))
  for name, body in pairs(stand_ins) do
    command.write(folder .. "/bin/" .. name, "#!/bin/bash\n" .. body .. "\n", "755")
  end
  command.write(folder .. "/recsys-run", command.read "recsys-run", "755")
  command.write(folder .. "/CMakeLists.txt", "")
  command.write(folder .. "/CMakePresets.json", "")
  command.write(folder .. "/runtime/base/a.c", "")
  command.write(folder .. "/absent", table.concat(absent, "\n") .. "\n")
  command.write(folder .. "/log", "")
end

local function wrapper(words, prefix)
  return command.run(("cd / && BOX=%s PATH=%s/bin:/usr/bin:/bin %s %s/recsys-run %s"):format(folder, folder,
    prefix or "", folder, words or ""))
end

local function log()
  return command.read(folder .. "/log")
end

local function forget_log()
  command.write(folder .. "/log", "")
end

--- Make 'path' younger than the last build, by the clock of the file system.
local function change(path)
  os.execute(("sleep 0.02; echo >>%s/%s"):format(folder, path))
end

local unprivileged = require("luv").getuid() ~= 0

describe("the wrapper", function()
  after_each(function() command.remove(folder) end)

  it("installs what is missing, builds, and hands its arguments and the exit code over", function()
    checkout { "lua-luv", "cmake" }
    local ran = wrapper "3 'b c'"
    assert.equal("built: 3 b c\n", ran.out)
    assert.equal(3, ran.code)
    assert.matches("apt%-get [^\n]*update\n", log())
    assert.matches("install %-y %-%-no%-install%-recommends lua%-luv cmake\n", log())
    assert.matches("cmake %-%-preset release\ncmake %-%-build %-%-preset release %-%-target recsys%-run core\n", log())
    assert.matches("installing lua%-luv cmake", ran.err)
  end)

  it("calls neither apt nor cmake when nothing is missing and nothing changed", function()
    checkout {}
    wrapper()
    assert.is_nil(log():match "apt%-get")
    forget_log()
    local ran = wrapper "0 again"
    assert.equal("built: 0 again\n", ran.out)
    assert.equal("", log())
    assert.equal("", ran.err)
  end)

  it("builds again when a source, the build description or the folder of sources changed", function()
    checkout {}
    wrapper()
    for _, path in ipairs { "runtime/base/a.c", "CMakeLists.txt", "runtime/base/b.c" } do
      change(path)
      forget_log()
      wrapper()
      assert.matches("cmake %-%-build", log())
    end
    os.execute(("sleep 0.02; rm %s/runtime/base/b.c"):format(folder))
    forget_log()
    wrapper()
    assert.matches("cmake %-%-build", log())
  end)

  it("configures anew where the folder was moved to another place", function()
    checkout {}
    wrapper()
    for place, expected in pairs { [folder] = "cmake --preset release\n", ["/elsewhere"] = "release --fresh\n" } do
      command.write(folder .. "/build/release/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=" .. place .. "\n")
      change "runtime/base/a.c"
      forget_log()
      assert.equal(0, wrapper().code)
      assert.truthy(log():find(expected, 1, true), log())
    end
  end)

  it("keeps the configuration when it is called from its own folder", function()
    checkout {}
    wrapper()
    command.write(folder .. "/build/release/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=" .. folder .. "\n")
    change "runtime/base/a.c"
    forget_log()
    local ran = command.run(("cd %s && BOX=%s PATH=%s/bin:/usr/bin:/bin ./recsys-run"):format(folder, folder, folder))
    assert.equal(0, ran.code)
    assert.truthy(log():find("cmake --preset release\n", 1, true), log())
  end)

  it("looks for the tests' packages only when asked to test", function()
    checkout { "lua-busted" }
    wrapper()
    assert.equal(nil, log():match "apt%-get")
    forget_log()
    assert.equal("built: test\n", wrapper("test").out)
    assert.matches("install %-y %-%-no%-install%-recommends lua%-busted\n", log())
    assert.matches("cmake %-%-build %-%-preset release\n", log())
  end)

  it("looks for what makes load only when asked to bench the server", function()
    checkout { "wrk" }
    wrapper "bench data"
    assert.equal(nil, log():match "apt%-get")
    forget_log()
    assert.equal("built: bench serve\n", wrapper("bench serve").out)
    assert.matches("install %-y %-%-no%-install%-recommends wrk\n", log())
  end)

  it("sees to the packages that a job around it names", function()
    checkout { "valgrind" }
    assert.equal("built: 0\n", wrapper("0", "RECSYS_PACKAGES='valgrind python3-venv'").out)
    assert.matches("install %-y %-%-no%-install%-recommends valgrind\n", log())
  end)

  it("shows what the compiler said when the build fails, and builds again next time", function()
    checkout {}
    command.write(folder .. "/cmake_fails", "")
    local ran = wrapper()
    assert.equal(1, ran.code)
    assert.matches("error: bad C\n.*the build failed", ran.err)
    os.remove(folder .. "/cmake_fails")
    assert.equal(0, wrapper().code)
  end)

  it("ends with 75 and the command to type when apt fails", function()
    checkout { "lua-luv" }
    command.write(folder .. "/apt_fails", "")
    local ran = wrapper()
    assert.equal(75, ran.code)
    assert.matches("could not install .*apt%-get install %-%-no%-install%-recommends lua%-luv", ran.err)
    assert.is_nil(log():match "cmake")
  end)

  it("uses sudo when it is not root, and without it says what to run as root", function()
    local as = unprivileged and "" or "setpriv --reuid=65534 --regid=65534 --clear-groups"
    checkout { "lua-luv" }
    os.execute(("chmod -R a+rwX %s"):format(folder))
    assert.equal(0, wrapper("", as).code)
    assert.matches("sudo\napt%-get", log())
    command.remove(folder)
    checkout { "lua-luv" }
    command.write(folder .. "/bin/sudo", "#!/bin/sh\nexit 1\n", "755")
    os.execute(("chmod -R a+rwX %s"):format(folder))
    local ran = wrapper("", as)
    assert.equal(1, ran.code)
    assert.matches("neither root nor sudo is at hand; as root run: apt%-get install .*lua%-luv", ran.err)
  end)

  it("builds once when two runs start together", function()
    checkout {}
    command.write(folder .. "/slow", "0.3")
    local one = ("BOX=%s PATH=%s/bin:/usr/bin:/bin %s/recsys-run"):format(folder, folder, folder)
    local ran = command.run(("%s 0 one & %s 0 two & wait"):format(one, one))
    assert.matches("built: 0 one", ran.out)
    assert.matches("built: 0 two", ran.out)
    local _, builds = log():gsub("cmake %-%-build", "")
    assert.equal(1, builds)
  end)

  it("works through a symbolic link", function()
    checkout {}
    os.execute(("ln -s %s/recsys-run %s/bin/link"):format(folder, folder))
    local ran = command.run(("BOX=%s PATH=%s/bin:/usr/bin:/bin %s/bin/link 0 x"):format(folder, folder, folder))
    assert.equal("built: 0 x\n", ran.out)
  end)

  it("tells the program the name that it was called by, for the commands that this shows", function()
    checkout {}
    wrapper()
    command.run(("cp /bin/bash %s/build/release/recsys-run"):format(folder))
    assert.equal(folder .. "/recsys-run\n", wrapper([[-c 'echo "$0"']]).out)
  end)

  it("adds less than 50 ms when there is nothing to do", function()
    checkout {}
    wrapper()
    local best = math.huge
    local uv = require "luv"
    for _ = 1, 5 do
      local began = uv.hrtime()
      wrapper()
      best = math.min(best, (uv.hrtime() - began) / 1e6)
    end
    assert.is_true(best < 50, ("%.0f ms"):format(best))
  end)
end)
