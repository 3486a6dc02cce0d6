--- The Dockerfile, without Docker: its instructions are read, what it installs is held against what the program needs,
--- and the program is started as a container's first process.

local command = require "spec.support.command"
local dockerfile = require "spec.support.dockerfile"
local uv = require "luv"

local TEXT = command.read "Dockerfile"
local stages = dockerfile.parse(TEXT)
local build, final = stages[1], stages[#stages]

--- The one step of the last stage with that word.
local function only(word)
  local steps = dockerfile.steps(final, word)
  assert.equal(1, #steps, word)
  return steps[1]
end

--- The packages that the last stage installs.
local function packages()
  local list = {}
  local words = only("RUN").rest:match "apt%-get install %-y %-%-no%-install%-recommends (.-)&&"
  for word in words:gmatch "%S+" do list[#list + 1] = word end
  return list
end

--- The words of an array of the wrapper, such as runtime_packages.
local function wrapped(name)
  local list = {}
  for word in command.read("recsys-run"):match("\n" .. name .. "=%((.-)%)"):gmatch "%S+" do list[#list + 1] = word end
  return list
end

describe("the Dockerfile", function()
  it("is refused by the reader where Docker would refuse it", function()
    for from, to in pairs { ["WORKDIR /src"] = "WORKDIRR /src", ["FROM debian:12 AS build"] = "RUN true",
      ["--from=build"] = "--from=builder", ['ENTRYPOINT ["recsys-run"]'] = 'ENTRYPOINT ["recsys-run"',
      ['CMD ["--help"]\n'] = 'CMD ["--help"] \\\n' } do
      local at, last = TEXT:find(from, 1, true)
      assert.is_false(pcall(dockerfile.parse, TEXT:sub(1, at - 1) .. to .. TEXT:sub(last + 1)), to)
    end
  end)

  it("has two stages on one Debian, of which the last gets the installed program alone", function()
    assert.equal(2, #stages)
    assert.equal("build", build.name)
    assert.equal(build.image .. "-slim", final.image)
    local copied = only "COPY"
    assert.same({ "build", "/opt/recsys-run", "/usr/local" }, { copied.from, table.unpack(copied.words) })
    assert.matches("%-%-prefix /opt/recsys%-run %-%-strip$", dockerfile.steps(build, "RUN")[1].rest)
  end)

  it("starts the program without a shell, as a user who is not root unless asked for", function()
    assert.same({ "recsys-run" }, only("ENTRYPOINT").list)
    assert.same({ "--help" }, only("CMD").list)
    assert.equal("$RUN_AS", only("USER").rest)
    assert.equal("RUN_AS=recsys", only("ARG").rest)
    assert.matches("useradd %-%-create%-home recsys", only("RUN").rest)
    assert.matches("install %-d %-o recsys [^&]*/srv/recsys", only("RUN").rest)
    assert.equal("8080", only("EXPOSE").rest)
  end)

  it("says to SageMaker what it can", function()
    for _, capability in ipairs { "accept-bind-to-port", "multi-models" } do
      assert.truthy(only("LABEL").rest:find("com.amazonaws.sagemaker.capabilities." .. capability .. "=true", 1, true))
    end
  end)

  it("has steps that a shell reads", function()
    for _, stage in ipairs(stages) do
      for _, step in ipairs(dockerfile.steps(stage, "RUN")) do
        local script = command.write(os.tmpname(), step.rest)
        assert.equal(0, command.run("sh -n " .. script).code, step.rest)
        os.remove(script)
      end
    end
  end)

  it("installs what the program and its Lua are linked with and load, and nothing of what only builds", function()
    local installed = {}
    for _, name in ipairs(packages()) do installed[name] = true end
    for _, name in ipairs(wrapped "runtime_packages") do assert.is_true(installed[name], name) end
    local prefix = command.scratch(finally)
    assert.equal(0, command.run(("cmake --install %s --prefix %s --strip"):format(command.build, prefix)).code)
    local linked = command.run(("readelf -d %s/bin/recsys-run"):format(prefix)).out
    local resolved, count = command.run(("ldd %s/bin/recsys-run"):format(prefix)).out, 0
    for library in linked:gmatch "NEEDED[^\n]*%[([^%]]+)%]" do
      local path = resolved:match(library:gsub("%p", "%%%0") .. " => (%S+)")
      local is_sanitizer = library:find "^lib[a-z]+san%." ~= nil -- no image is built so
      if path and not is_sanitizer then
        local owner = command.run(("dpkg -S %s || dpkg -S $(readlink -f %s)"):format(path, path)).out:match "^([^:]+):"
        local is_base = owner == "libc6" or owner == "libgomp1" or owner == "libgcc-s1" -- of slim, or of OpenBLAS
        assert.is_true(is_base or installed[owner], ("%s is of %s"):format(library, tostring(owner)))
        count = count + 1
      end
    end
    assert.is_true(count > 8 or command.sanitized, tostring(count))
    for name in pairs(installed) do assert.is_nil(name:find "%-dev$", name) end
    for _, name in ipairs { "gcc", "cmake", "ninja-build" } do assert.is_nil(installed[name]) end
  end)

  it("gives a program that finds all it needs in its prefix", function()
    local prefix, empty = command.scratch(finally), command.scratch(finally)
    command.run(("cmake --install %s --prefix %s --strip"):format(command.build, prefix))
    local ran = command.run(("cd %s && env -i PATH=%s/bin:/usr/bin:/bin recsys-run %s"):format(empty, prefix, "doctor"))
    assert.equal(0, ran.code, ran.out .. ran.err)
    local size = tonumber(command.run("du -sm " .. prefix).out:match "^%d+")
    assert.is_true(size < 40 or command.sanitized, size .. " MiB")
  end)

  it("gives a first process that a signal reaches", function()
    if command.run("unshare -rpf true").code ~= 0 then pending "no namespace may be made here (unshare -rpf)" return end
    local folder = command.scratch(finally)
    command.write(folder .. "/wait.lua", [[
      local recsys = require "recsys"
      return recsys.recipe { name = "wait", about = "wait", params = {}, run = function(flow)
        flow:task("wait", function()
          print "waiting"
          io.stdout:flush()
          for _ = 1, 3000 do require "luv".sleep(10) end
          return {}
        end)
        return {}
      end }]])
    local out = assert(uv.fs_open(folder .. "/out", "w", 420))
    local code, signal
    local handle, pid = uv.spawn("unshare", { args = { "-rpf", command.program, "wait.lua", "--set",
      "track.enabled=false" }, cwd = folder, stdio = { nil, out, out } }, function(c, s) code, signal = c, s end)
    uv.fs_close(out)
    assert(handle, pid)
    local sent
    local ends = uv.hrtime() + 30e9
    while not code and uv.hrtime() < ends do
      if not sent and command.read(folder .. "/out"):find "waiting" then
        local first = command.read(("/proc/%d/task/%d/children"):format(pid, pid)):match "%d+"
        sent = first and uv.kill(tonumber(first), "sigterm")
      end
      uv.run "nowait"
      uv.sleep(5)
    end
    handle:close()
    uv.run "nowait"
    assert.same({ 143, 0 }, { code, signal }, command.read(folder .. "/out"))
  end)

  it("makes an image that trains and serves as its user, of nothing but Debian's least and its own steps", function()
    if not os.getenv "RECSYS_LONG" then pending "takes minutes and Debian's mirror; RECSYS_LONG=1 runs it" return end
    if command.run("debootstrap --version && unshare -m true").code ~= 0 then
      pending "needs debootstrap, and to mount"
      return
    end
    local root = command.scratch(finally) .. "/image" -- which others than its owner may enter
    local made = command.run(("debootstrap --variant=minbase bookworm %s && cp /etc/resolv.conf %s/etc/"):format(root,
      root))
    assert.equal(0, made.code, made.err)
    command.write(root .. "/tmp/run.sh", "set -e\n" .. only("RUN").rest)
    assert.equal(0, command.run(("chroot %s sh /tmp/run.sh"):format(root)).code)
    local copied = command.run(("cmake --install %s --prefix %s/tmp/prefix --strip && cp -a %s/tmp/prefix/. %s%s")
      :format(command.build, root, root, root, only("COPY").words[2]))
    assert.equal(0, copied.code, copied.err)
    local words = only("ENTRYPOINT").list[1] .. " recipes/sagemaker_local.lua --json --set track.enabled=false"
    command.write(root .. "/tmp/start.sh", ("mount -t proc proc %s/proc\nexec chroot --userspec=recsys %s sh -c "
      .. "'cd %s && HOME=/home/recsys %s'\n"):format(root, root, only("WORKDIR").rest, words))
    local ran = command.run(("unshare -m sh %s/tmp/start.sh"):format(root))
    assert.equal(0, ran.code, ran.err)
    assert.matches('"transform":{"batches":1,"lines":100}', ran.out)
    local size = tonumber(command.run(("rm -rf %s/tmp/* %s/var/cache/apt && du -sm %s"):format(root, root, root)).out
      :match "^%d+")
    assert.is_true(size < 300, size .. " MiB")
  end)
end)
