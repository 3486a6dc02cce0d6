--- The refused-memory walk (runtime/bind/refused_test.c) reaches every binding: the scripts of spec/refused/ together
--- call every function and method that C registers.

local command = require "spec.support.command"
local core = require "recsys.core"
local lfs = require "lfs"

-- The walk's own instrument, which a script must not touch; and close, which is __gc and so is always reached.
local function exempt(name)
  return name == "base.alloc_fault" or name:match ":close$"
end

--- What these scripts leave uncalled.
local function unreached(scripts)
  local ran = command.run(("%s lua spec/support/reached.lua %s"):format(command.program, table.concat(scripts, " ")))
  assert(ran.code == 0, ran.err)
  local missing = {}
  for name in ran.out:gmatch "[^\n]+" do
    if not exempt(name) then missing[#missing + 1] = name end
  end
  return missing
end

describe("the refused-memory walk", function()
  it("has a script for every module", function()
    for module, functions in pairs(core) do
      if type(functions) == "table" then
        local path = ("spec/refused/%s.lua"):format(module)
        assert.equal("file", lfs.attributes(path, "mode"), path .. " is missing")
      end
    end
  end)

  it("calls every function and every method", function()
    local scripts = {}
    for file in lfs.dir "spec/refused" do
      if file:match "%.lua$" then scripts[#scripts + 1] = "spec/refused/" .. file end
    end
    assert.same({}, unreached(scripts))
  end)

  it("would see what is not called", function()
    local missing = {}
    for _, name in ipairs(unreached { "spec/refused/doctor.lua" }) do missing[name] = true end
    assert.is_true(missing["tensor.zeros"] and missing["Tensor:add"])
    assert.is_nil(missing["doctor.blas"])
  end)
end)
