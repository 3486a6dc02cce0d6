--- The refused-memory walk (runtime/bind/refused_test.c) reaches every binding: each C module has a script in
--- spec/refused/ that calls every function the module registers, and the scripts together call every method.

local command = require "spec.support.command"
local core = require "recsys.core"
local lfs = require "lfs"

-- The walk's own instrument, which a script must not touch; and close, which is __gc and so is always reached.
local exempt = { alloc_fault = true, close = true }

local scripts = {}
for file in lfs.dir "spec/refused" do
  local module = file:match "^([%w_]+)%.lua$"
  if module then scripts[module] = command.read("spec/refused/" .. file) end
end

--- Whether a source says .name or :name.
local function calls(source, name)
  return source:find("[.:]" .. name .. "%f[^%w_]") ~= nil
end

describe("the refused-memory walk", function()
  for module, functions in pairs(core) do
    if type(functions) == "table" then
      it("calls every function of " .. module, function()
        assert.truthy(scripts[module], ("spec/refused/%s.lua is missing"):format(module))
        local missing = {}
        for name, value in pairs(functions) do
          if type(value) == "function" and not exempt[name] and not calls(scripts[module], name) then
            missing[#missing + 1] = name
          end
        end
        table.sort(missing)
        assert.same({}, missing)
      end)
    end
  end

  it("calls every method of every type", function()
    local all, missing = {}, {}
    for _, source in pairs(scripts) do all[#all + 1] = source end
    all = table.concat(all, "\n")
    for key, value in pairs(debug.getregistry()) do
      local class = type(key) == "string" and key:match "^recsys%.([%w_]+)$"
      local methods = class and type(value) == "table" and value.__index
      for name, method in pairs(type(methods) == "table" and methods or {}) do
        if type(method) == "function" and not exempt[name] and not calls(all, name) then
          missing[#missing + 1] = class .. ":" .. name
        end
      end
    end
    table.sort(missing)
    assert.same({}, missing)
  end)

  it("would see a call that is not there", function()
    assert.is_true(calls("x = tensor.zeros(1)", "zeros"))
    assert.is_true(calls("x:size()", "size"))
    assert.is_false(calls("x = tensor.zeros_like(1)", "zeros"))
    assert.is_false(calls("-- zeros", "zeros"))
  end)
end)
