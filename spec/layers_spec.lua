--- The layer table of docs/architecture.md, enforced.

local command = require "spec.support.command"
local lfs = require "lfs"

--- The table's rows: folder -> { layer, may = set of folders }; a row of "all" may include every folder.
local function read_table()
  local rows, names = {}, {}
  for line in command.read("docs/architecture.md"):gmatch "[^\n]+" do
    local layer, folder, may = line:match "^| (%d+) | `([%w_.]+)` |[^|]*|([^|]*)|$"
    if layer then
      rows[folder] = { layer = tonumber(layer), may = {}, all = may:match "^%s*all%s*$" ~= nil }
      for name in may:gmatch "[%w_]+" do rows[folder].may[name] = true end
      names[#names + 1] = folder
    end
  end
  return rows, names
end

local rows, names = read_table()

local function may_include(from, to)
  return from == to or rows[from].all or rows[from].may[to] == true
end

--- What a source of 'folder' includes against the table, as sentences.
local function violations(folder, path, source)
  local list = {}
  for included in source:gmatch '#%s*include%s*"([^"]+)"' do
    local to = included:match "^([%w_]+)/"
    if to and not (rows[to] and may_include(folder, to)) then
      list[#list + 1] = ("%s includes %s"):format(path, included)
    elseif not to and folder ~= "bind" then
      list[#list + 1] = ("%s includes %s without its folder"):format(path, included)
    end
  end
  for included in source:gmatch "#%s*include%s*<([^>]+)>" do
    local lua = included:match "^lua" or included == "lauxlib.h"
    if lua and folder ~= "bind" and folder ~= "main.c" then
      list[#list + 1] = ("%s includes %s: only bind/ and main.c see Lua"):format(path, included)
    end
  end
  return list
end

--- Every C file below runtime/: { folder, path }. A file of runtime/ itself is its own row.
local function sources()
  local list = {}
  for entry in lfs.dir "runtime" do
    local path = "runtime/" .. entry
    if lfs.attributes(path, "mode") == "directory" and not entry:match "^%." then
      for file in lfs.dir(path) do
        if file:match "%.[ch]$" then list[#list + 1] = { folder = entry, path = path .. "/" .. file } end
      end
    elseif entry:match "%.[ch]$" then
      list[#list + 1] = { folder = entry, path = path }
    end
  end
  return list
end

describe("the layer table", function()
  it("names every folder of runtime/ and its main.c", function()
    for _, source in ipairs(sources()) do assert.truthy(rows[source.folder], source.path .. " is in no layer") end
    assert.truthy(rows["main.c"])
  end)

  it("lets a folder include only what stands below it", function()
    for folder, row in pairs(rows) do
      for name in pairs(row.may) do
        if not row.all then
          assert.truthy(rows[name], folder .. " may include " .. name .. ", which has no row")
          assert.is_true(rows[name].layer < row.layer, folder .. " may include " .. name)
        end
      end
    end
  end)

  it("holds for every include of every source", function()
    local all, files = {}, sources()
    for _, source in ipairs(files) do
      for _, violation in ipairs(violations(source.folder, source.path, command.read(source.path))) do
        all[#all + 1] = violation
      end
    end
    assert.is_true(#files > 20)
    assert.same({}, all)
  end)

  it("is repeated by CMakeLists.txt as link lines", function()
    local links = {}
    for folder, depends in command.read("CMakeLists.txt"):gmatch "\nlayer%(([%w_]+)([^)]*)%)" do
      links[folder] = {}
      for name in depends:gsub("LINK.*", ""):gmatch "[%w_]+" do links[folder][name] = true end
    end
    for _, folder in ipairs(names) do
      if folder ~= "main.c" then
        assert.truthy(links[folder], folder .. " is no layer() of CMakeLists.txt")
        if not rows[folder].all then assert.same(rows[folder].may, links[folder], folder) end
      end
    end
    for folder in pairs(links) do assert.truthy(rows[folder], folder .. " is in no row of the table") end
  end)

  it("would see a forbidden include", function()
    assert.same({ "a.c includes nn/tower.h" }, violations("optim", "a.c", '#include "nn/tower.h"\n'))
    assert.same({ "a.c includes frame/column.h" }, violations("metrics", "a.c", '# include "frame/column.h"\n'))
    assert.same({ "a.c includes lua.h: only bind/ and main.c see Lua" }, violations("nn", "a.c", "#include <lua.h>\n"))
    assert.same({}, violations("nn", "a.c", '#include "autograd/tape.h"\n#include "nn/tower.h"\n'))
  end)
end)
