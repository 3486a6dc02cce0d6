--- The commands of README.md and docs/*.md run as they stand.
---
--- A fenced block that begins with ```sh is run by bash, from a folder that looks like the repository and has
--- artifacts/ of its own; the blocks of a page run in order and share that folder. Words after "sh" say more:
---   data=NAME   needs the folder NAME of RECSYS_TEST_DATA, found at ../shared/data as the page says
---   long        runs only when RECSYS_LONG is set
---   install     PREFIX is an empty folder
--- A block that says ./recsys-run test is what runs this spec. A block that begins with ```lua run is a whole program:
--- recsys-run lua runs it in the same folder, and what a line's comment says behind print(...) must be in what it
--- prints (" / " ends a line, blanks do not count). Other fences (```lua, ```text, ...) are parts of programs.

local command = require "spec.support.command"
local lfs = require "lfs"

--- The ```sh and ```lua run blocks of a page: { line, options = "data=ml-1m long", text, lua = true for the latter }.
local function blocks(text)
  local list, block, at = {}, nil, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    at = at + 1
    local fence = line:match "^```(.*)$"
    if fence == "" and block then
      if block.options then list[#list + 1] = block end
      block = nil
    elseif fence and not block then
      local program = fence:match "^lua run%f[%s\0](.*)$"
      block = { line = at, options = program or fence:match "^sh%f[%s\0](.*)$", text = "", lua = program and true }
    elseif block then
      block.text = block.text .. line .. "\n"
    end
  end
  return list
end

local function pages()
  local list = { "README.md" }
  for file in lfs.dir "docs" do
    if file:match "%.md$" then list[#list + 1] = "docs/" .. file end
  end
  table.sort(list)
  return list
end

--- A folder that looks like the repository, below one where ../shared/data is the tests' data.
local function make_checkout(parent)
  local folder = parent .. "/checkout"
  assert(lfs.mkdir(folder))
  for entry in lfs.dir "." do
    if not (entry:match "^%.%.?$" or entry == "artifacts") then
      assert(lfs.link(command.root .. "/" .. entry, folder .. "/" .. entry, true))
    end
  end
  assert(lfs.mkdir(folder .. "/artifacts"))
  local data = os.getenv "RECSYS_TEST_DATA"
  if data then
    assert(lfs.mkdir(parent .. "/shared"))
    assert(lfs.link(data, parent .. "/shared/data", true))
  end
  return folder
end

--- Why a block cannot run here; nil when it can.
local function obstacle(block)
  if command.sanitized then return "the commands of the docs use the release build" end
  if block.text:match "recsys%-run test" then return "this command runs this spec" end
  if block.options:match "%f[%w]long%f[%W]" and not os.getenv "RECSYS_LONG" then
    return "takes minutes; RECSYS_LONG=1 runs it"
  end
  local needed = block.options:match "data=(%S+)"
  local data = os.getenv "RECSYS_TEST_DATA"
  if needed and not (data and lfs.attributes(data .. "/" .. needed)) then
    return ("needs the folder %s below RECSYS_TEST_DATA"):format(needed)
  end
end

local function squeezed(text) return (text:gsub("%s+", " ")) end

--- What the comments behind print(...) say and the program does not print.
local function unprinted(program, out)
  local missing = {}
  for comment in program:gmatch "%f[^\n\0]print%b()[ \t]+%-%- ([^\n]+)" do
    for line in (comment .. " / "):gmatch "(.-) / " do
      if not squeezed(out):find(squeezed(line), 1, true) then missing[#missing + 1] = line end
    end
  end
  return missing
end

for _, page in ipairs(pages()) do
  local found = blocks(command.read(page))
  if #found > 0 then
    describe(page, function()
      local parent, folder

      setup(function()
        parent = command.temporary()
        folder = make_checkout(parent)
      end)
      teardown(function() command.remove(parent) end)

      for _, block in ipairs(found) do
        it(("line %d: %s"):format(block.line, block.text:match "[^\n]*"), function()
          local reason = obstacle(block)
          if reason then pending(reason) return end
          local text = block.text
          if block.lua then
            command.write(parent .. "/block.lua", text)
            text = "./recsys-run lua ../block.lua\n"
          end
          local script = command.write(parent .. "/block.sh", "set -euo pipefail\n" .. text)
          local ran = command.run(("cd %s && mkdir -p %s/prefix && PREFIX=%s/prefix bash %s"):format(folder, parent,
            parent, script))
          assert.equal(0, ran.code, ran.out .. ran.err)
          if block.lua then assert.same({}, unprinted(block.text, ran.out)) end
        end)
      end
    end)
  end
end

describe("the reader of pages", function()
  it("takes sh fences alone, with their options", function()
    local found = blocks("a\n```sh data=x long\none\ntwo\n```\n" ..
      "```lua\n```sh\nprint()\n```\n```shell\nno\n```\n```sh\nthree\n```")
    assert.equal(2, #found)
    assert.same({ line = 2, options = " data=x long", text = "one\ntwo\n" }, found[1])
    assert.equal("three\n", found[2].text)
  end)

  it("takes programs in Lua, and misses what they do not print", function()
    local found = blocks "```lua\nlocal part\n```\n```lua run\nprint(f(1))  -- a 1 / b -\n```\n"
    assert.same({ { line = 4, options = "", text = "print(f(1))  -- a 1 / b -\n", lua = true } }, found)
    assert.same({}, unprinted(found[1].text, "x\na    1\nb    -\n"))
    assert.same({ "b -" }, unprinted(found[1].text, "a    1\n"))
  end)

  it("finds the two commands in the README", function()
    local all = {}
    for _, block in ipairs(blocks(command.read "README.md")) do all[#all + 1] = block.text end
    assert.equal("./recsys-run recipes/two_tower.lua\n", all[1])
    assert.equal("./recsys-run test\n", all[2])
  end)
end)
