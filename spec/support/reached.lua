--- reached.lua SCRIPT...: run scripts of spec/refused with every C function and method watched, each in a scratch
--- folder, and print the names of those that nothing called: "module.function", "Type:method".

local core = require "recsys.core"
local uv = require "luv"

local called = {}

--- Put a watcher in front of every function of a table.
local function watch(functions, prefix)
  for name, f in pairs(functions) do
    if type(f) == "function" then
      local full = prefix .. name
      called[full] = false
      functions[name] = function(...)
        called[full] = true
        return f(...)
      end
    end
  end
end

for module, functions in pairs(core) do
  if type(functions) == "table" then watch(functions, module .. ".") end
end
for key, value in pairs(debug.getregistry()) do
  local class = type(key) == "string" and key:match "^recsys%.([%w_]+)$"
  if class and type(value) == "table" and type(value.__index) == "table" then watch(value.__index, class .. ":") end
end

for _, script in ipairs(arg) do
  local scratch = assert(uv.fs_mkdtemp "/tmp/recsys-spec-XXXXXX")
  assert(loadfile(script))(scratch)
  os.execute(("rm -rf '%s'"):format(scratch))
end

local missing = {}
for name, reached in pairs(called) do
  if not reached then missing[#missing + 1] = name end
end
table.sort(missing)
for _, name in ipairs(missing) do print(name) end
