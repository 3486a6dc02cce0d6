--- The cases of runtime/http/hardening_test.c, which sends them over sockets, are those that docs/serving.md lists.

local command = require "spec.support.command"

--- The cases of the test in order: "name | answer | connection".
local function tested()
  local source, list = command.read "runtime/http/hardening_test.c", {}
  for line in source:gmatch "[^\n]+" do
    local name, status, connection = line:match '^    CASE%("(.-)", .*, (%d+), (%u+)%),$'
    if name then
      list[#list + 1] = ("%s | %s | %s"):format(name:gsub("\\\\", "\\"), status == "0" and "none" or status,
        connection:lower())
    end
  end
  return list
end

local function documented()
  local section, list = (command.read "docs/serving.md" .. "\n## "):match "\n## Limits and hardening\n(.-)\n## ", {}
  for name, answer, connection in section:gmatch "\n| ([^|\n]+) | (%w+) | (%l+) |" do
    if connection == "closed" or connection == "kept" then
      list[#list + 1] = ("%s | %s | %s"):format(name, answer, connection)
    end
  end
  return list
end

describe("the cases of HTTP hardening", function()
  it("are at least 80", function() assert.is_true(#tested() >= 80, #tested() .. " cases") end)

  it("are all in the test's list", function()
    local _, all = command.read("runtime/http/hardening_test.c"):gsub("\n    CASE%(", "")
    assert.equal(all, #tested())
  end)

  it("are listed in docs/serving.md with their answers", function() assert.same(tested(), documented()) end)
end)
