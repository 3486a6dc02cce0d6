--- docs/sagemaker.md: every line of the contract names a test that is there.

local command = require "spec.support.command"

local PAGE = command.read "docs/sagemaker.md"

--- The lines of the contract's tables: what, spec file and test.
local function rows()
  local list = {}
  local section = PAGE:match "\n## The contract\n(.-)\n## " or PAGE:match "\n## The contract\n(.*)$"
  for line in section:gmatch "[^\n]+" do
    if line:find "^|" and not line:find "^|%-" and not line:find "| test |$" then
      local what, file, test = line:match "^| (.-) ?| .* | `(spec/[%w_]+%.lua)`: (.-) |$"
      list[#list + 1] = { line = line, what = what, file = file, test = test }
    end
  end
  return list
end

describe("docs/sagemaker.md", function()
  it("names in every line of the contract a test that is there", function()
    local seen = {}
    for _, row in ipairs(rows()) do
      assert.truthy(row.test, "names no test: " .. row.line)
      seen[row.file] = seen[row.file] or command.read(row.file)
      assert.truthy(seen[row.file]:find(('it("%s"'):format(row.test), 1, true),
        ("%s has no test '%s'"):format(row.file, row.test))
    end
    assert.is_true(#rows() >= 30)
  end)
end)
