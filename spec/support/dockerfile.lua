--- A Dockerfile's instructions, checked: stages, words, lists in JSON. What Docker would refuse is refused here.

local json = require "recsys.json"

local dockerfile = {}

local KNOWN <const> = { ARG = true, CMD = true, COPY = true, ENTRYPOINT = true, ENV = true, EXPOSE = true, FROM = true,
  LABEL = true, RUN = true, USER = true, WORKDIR = true }

--- Its lines without comments, those that go on joined: { line, text }.
local function logical_lines(text)
  local list, open, at = {}, nil, 0
  for line in (text:gsub("\n?$", "\n")):gmatch "([^\n]*)\n" do
    at = at + 1
    if not line:find "^%s*#" and (open or line:find "%S") then
      local more = line:match "^(.*)\\%s*$"
      open = open or { line = at, text = "" }
      open.text = open.text .. (more or line)
      if not more then
        list[#list + 1], open = open, nil
      end
    end
  end
  if open then error(("line %d: goes on, and the file ends"):format(open.line), 0) end
  return list
end

local readers = {}

--- The list of ["a", "b"]; nil for the form with a shell.
local function list_of(text) return text:find "^%[" and assert(json.exact(text), "no JSON list: " .. text) or nil end

function readers.ENTRYPOINT(rest) return { list = list_of(rest) } end
readers.CMD = readers.ENTRYPOINT

function readers.FROM(rest)
  local image, name = rest:match "^(%S+)%s+AS%s+(%S+)$"
  image = image or assert(rest:match "^(%S+)$", "FROM takes IMAGE [AS NAME]")
  return { image = image, name = name }
end

function readers.COPY(rest)
  local from, words = rest:match "^%-%-from=(%S+)%s+(.*)$", {}
  for word in rest:gmatch "%S+" do
    if not word:find "^%-%-" then words[#words + 1] = word end
  end
  assert(#words >= 2, "COPY takes two words and more")
  return { from = from, words = words }
end

--- The stages of a Dockerfile: { image, name, steps = { { word, rest, line, ... } } }; raises with the line.
---@param text string
---@return table[]
function dockerfile.parse(text)
  local stages, names = {}, {}
  for _, one in ipairs(logical_lines(text)) do
    local word, rest = one.text:match "^%s*(%S+)%s+(.-)%s*$"
    if not word or not KNOWN[word] then error(("line %d: unknown instruction"):format(one.line), 0) end
    local ok, step = pcall(readers[word] or function() return {} end, rest)
    if not ok then error(("line %d: %s"):format(one.line, step), 0) end
    step.word, step.rest, step.line = word, rest, one.line
    if word == "FROM" then
      stages[#stages + 1] = { image = step.image, name = step.name, steps = {} }
    elseif not stages[1] and word ~= "ARG" then
      error(("line %d: before the first FROM"):format(one.line), 0)
    else
      if step.from and not names[step.from] then error(("line %d: no stage '%s'"):format(one.line, step.from), 0) end
      table.insert(stages[#stages].steps, step)
    end
    if stages[#stages].name then names[stages[#stages].name] = true end
  end
  return stages
end

--- The steps of a stage that have that word.
function dockerfile.steps(stage, word)
  local list = {}
  for _, step in ipairs(stage.steps) do
    if step.word == word then list[#list + 1] = step end
  end
  return list
end

return dockerfile
