--- The page's files, lua/recsys/ui/page: what holds without a browser; spec/browser_spec.lua opens them in one.

local assets = require "recsys.ui.assets"
local command = require "spec.support.command"
local lfs = require "lfs"

local folder = "lua/recsys/ui/page/"

local function all_files(pattern)
  local names = {}
  for name in lfs.dir(folder) do
    if name:find(pattern) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

describe("the page's files", function()
  local scripts = all_files "%.js$"

  it("have names that the server gives out, and import only one another", function()
    assert.is_true(#scripts > 15)
    for _, name in ipairs(all_files "^[^.]") do assert.matches("^[%w_%-][%w._%-]*$", name) end
    for _, name in ipairs(scripts) do
      for imported in command.read(folder .. name):gmatch 'from "([^"]+)"' do
        local file = imported:match "^%./([%w]+%.js)$"
        assert(file and (lfs.attributes(folder .. file) or assets.made["/" .. file]), name .. " imports " .. imported)
      end
    end
  end)

  it("hand no text to a parser of markup or of scripts", function()
    for _, name in ipairs(scripts) do
      local text = command.read(folder .. name)
      for _, word in ipairs { "innerHTML", "outerHTML", "insertAdjacentHTML", "document%.write", "DOMParser", "eval%(",
        "new Function", "createContextualFragment", "setHTML" } do
        assert.is_nil(text:find(word), name .. " uses " .. word)
      end
    end
  end)

  it("fetch nothing from elsewhere and have no inline scripts, which the server's policy forbids", function()
    for _, name in ipairs(all_files "%.%a+$") do
      local text = command.read(folder .. name):gsub("http://www%.w3%.org/2000/svg", "")
      assert.is_nil(text:find "https?://%w", name .. " names another server")
      assert.is_nil(text:find "url%(", name .. " loads something")
    end
    local index = command.read(folder .. "index.html")
    assert.is_nil(index:find "<script[^>]*>[^<]")
    assert.is_nil(index:find " on%a+=")
  end)

  it("have lines of at most 120 characters", function()
    for _, name in ipairs(all_files "%.%a+$") do
      local number = 0
      for line in command.read(folder .. name):gmatch "([^\n]*)\n" do
        number = number + 1
        assert(utf8.len(line) <= 120, ("%s:%d has %d characters"):format(name, number, utf8.len(line)))
      end
    end
  end)
end)
