--- Files of runs: put, listed, removed, and never outside of their folder.

local artifacts = require "recsys.track.artifacts"
local command = require "spec.support.command"
local uv = require "luv"

local folder
before_each(function() folder = command.temporary() end)
after_each(function() command.remove(folder) end)

describe("an artifact", function()
  it("is written, put as a copy, a link or moved, listed and removed", function()
    artifacts.write(folder, "1/r/artifacts/a.txt", "one")
    local source = command.write(folder .. "/source", "two")
    artifacts.put(folder, "1/r/artifacts/d/copy", source)
    artifacts.put(folder, "1/r/artifacts/d/link", source, "link")
    artifacts.put(folder, "1/r/artifacts/d/link", source, "link")
    artifacts.put(folder, "1/r/artifacts/d/ü moved", source, "move")
    assert.is_nil(uv.fs_stat(source))
    assert.same({ { path = "a.txt", is_dir = false, file_size = 3 }, { path = "d", is_dir = true } },
      artifacts.list(folder, "1/r/artifacts"))
    local names = {}
    for i, file in ipairs(artifacts.list(folder, "1/r/artifacts/d/")) do
      names[i] = file.path
      assert.equal("two", command.read(artifacts.path(folder, "1/r/artifacts/d/" .. file.path)))
    end
    assert.same({ "copy", "link", "ü moved" }, names)
    artifacts.remove(folder, "1/r/artifacts/d")
    artifacts.remove(folder, "1/r/artifacts/gone")
    assert.same({ { path = "a.txt", is_dir = false, file_size = 3 } }, artifacts.list(folder, "1/r/artifacts"))
    assert.same({}, artifacts.list(folder, "2"))
  end)

  it("may be called like a temporary file, but not like one that stands for it while it is written", function()
    for _, path in ipairs { "a.tmp", "b.12.tmp/x", "c.tmp/.tmp" } do artifacts.write(folder, "1/" .. path, "x") end
    local source = command.write(folder .. "/source", "two")
    for _, path in ipairs { "1/a.7.tmp", "a/b.123.tmp" } do
      local message = "^Invalid path: '" .. path:gsub("%p", "%%%0") .. "'%. Names that end with %.NUMBER%.tmp"
      for _, put in ipairs { artifacts.write, artifacts.put } do
        local ok, problem = pcall(put, folder, path, source)
        assert.same({ false, "INVALID_PARAMETER_VALUE" }, { ok, problem.code })
        assert.matches(message, problem.message)
      end
    end
    command.write(folder .. "/mlartifacts/1/a.tmp.4711.tmp", "a half") -- of a process that was killed
    assert.same({ { path = "a.tmp", is_dir = false, file_size = 1 }, { path = "b.12.tmp", is_dir = true },
      { path = "c.tmp", is_dir = true } }, artifacts.list(folder, "1"))
    assert.equal(".tmp", artifacts.list(folder, "1/c.tmp")[1].path)
  end)

  it("has an address that does not name a place", function()
    assert.equal("1/r/artifacts", artifacts.of "mlflow-artifacts:/1/r/artifacts")
    assert.equal("1/r/artifacts", artifacts.of "mlflow-artifacts://host:5000/1/r/artifacts")
    assert.is_nil(artifacts.of "s3://bucket/1")
    assert.has_error(function() artifacts.of "mlflow-artifacts:/../x" end)
  end)

  it("never lies outside, whatever is asked", function()
    artifacts.write(folder, "1/a", "x")
    command.write(folder .. "/secret", "s")
    assert(uv.fs_symlink(folder, folder .. "/mlartifacts/1/out"))
    assert(uv.fs_symlink("a", folder .. "/mlartifacts/1/in"))
    for _, path in ipairs { "../secret", "/etc/passwd", "1/../../secret", "1//a", "./1", "1/.", "a\0b", "a\nb", "1\\..",
      "\xff", ("x"):rep(256), "1/out/secret", "1/out", "1/out/new/file", "..", "1/.." } do
      for _, ask in ipairs { artifacts.path, artifacts.list, artifacts.remove,
        function(f, p) artifacts.write(f, p, "y") end } do
        local ok, problem = pcall(ask, folder, path)
        assert.same({ false, "INVALID_PARAMETER_VALUE" }, { ok, type(problem) == "table" and problem.code }, path)
      end
    end
    assert.equal("s", command.read(folder .. "/secret"))
    assert.equal("x", command.read(artifacts.path(folder, "1/in")))
    assert.equal("INVALID_PARAMETER_VALUE", select(2, pcall(artifacts.remove, folder, "")).code)
  end)
end)
