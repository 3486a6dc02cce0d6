--- lua/meta/*.lua documents what C registers: every function and method, and nothing else.

local command = require "spec.support.command"
local core = require "recsys.core"
local lfs = require "lfs"

--- Functions that the meta file of 'module' declares: "zeros" -> true for the module's own,
--- methods["Tensor"]["narrow"] -> ":".
local function declared(module, text)
  local aliases, functions, methods = {}, {}, {}
  for class, name in text:gmatch "%-%-%-@class%s+([%w_.]+)[^\n]*\nlocal%s+([%w_]+)%s*=" do aliases[name] = class end
  for owner, separator, name in text:gmatch "\nfunction%s+([%w_]+)([.:])([%w_]+)%s*%(" do
    if owner == module then
      functions[name] = true
    else
      local class = (aliases[owner] or owner):match "[%w_]+$"
      methods[class] = methods[class] or {}
      methods[class][name] = separator
    end
  end
  return functions, methods
end

local function read_meta()
  local functions, methods = {}, {}
  for file in lfs.dir "lua/meta" do
    local module = file:match "^([%w_]+)%.lua$"
    if module then
      local module_methods
      functions[module], module_methods = declared(module, command.read("lua/meta/" .. file))
      for class, names in pairs(module_methods) do
        methods[class] = methods[class] or {}
        for name in pairs(names) do methods[class][name] = true end
      end
    end
  end
  return functions, methods
end

--- Types that the bindings registered: "Tensor" -> its table of methods.
local function registered_types()
  local types = {}
  for key, value in pairs(debug.getregistry()) do
    local class = type(key) == "string" and key:match "^recsys%.([%w_]+)$"
    if class and type(value) == "table" and type(value.__index) == "table" then types[class] = value.__index end
  end
  return types
end

--- Methods that Lua adds to a registered type: "getmetatable(x).__index.name = f" somewhere in lua/recsys.
local function added_methods()
  local names = {}
  for file in lfs.dir "lua/recsys" do
    if file:match "%.lua$" then
      for name in command.read("lua/recsys/" .. file):gmatch "%.__index%.([%w_]+)%s*=[^=]" do names[name] = true end
    end
  end
  return names
end

local function missing(names, from)
  local list = {}
  for name, value in pairs(names) do
    if from[name] == nil and (value == true or type(value) == "function") then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local functions, methods = read_meta()

describe("lua/meta", function()
  for module, registered in pairs(core) do
    if type(registered) == "table" then
      it(("documents every function of %s, and no other"):format(module), function()
        assert.truthy(functions[module], ("lua/meta/%s.lua is missing"):format(module))
        local found, library = pcall(require, "recsys." .. module)
        assert.same({}, missing(registered, functions[module]), "registered and not documented")
        assert.same({}, missing(functions[module], found and library or registered), "documented and not there")
      end)
    end
  end

  it("documents every method of every type, and no other", function()
    local count, added = 0, added_methods()
    for class, registered in pairs(registered_types()) do
      count = count + 1
      assert.truthy(methods[class], class .. " has no documentation in lua/meta")
      assert.same({}, missing(registered, methods[class]), "registered and not documented: " .. class)
      for _, name in ipairs(missing(methods[class], registered)) do
        assert.truthy(added[name], ("documented and not there: %s:%s"):format(class, name))
      end
    end
    assert.is_true(count >= 2)
  end)

  it("declares only types that exist", function()
    local types = registered_types()
    for class in pairs(methods) do assert.truthy(types[class], class .. " is documented and not registered") end
  end)

  it("is read as people read it", function()
    local names, classes = declared("base",
      "---@meta\n---@class Base\nlocal base = {}\nfunction base.clock() end\n---@class recsys.Stream\nlocal S = {}\n" ..
      "function S:below(p, n) end\nfunction S.of(p) end\nreturn base\n")
    assert.same({ clock = true }, names)
    assert.same({ Stream = { below = ":", of = "." } }, classes)
  end)
end)
