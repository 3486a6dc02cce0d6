--- What a bundle says of its own answers: a few requests with the items and scores that its publisher got, which a
--- server asks for again before anybody else is answered by it (docs/bundle.md, expectations.json).

local core = require("recsys.core").serve
local json = require "recsys.json"

local expectations = { member = "expectations.json" }

local FORMAT <const> = 1
local K <const> = 10
local CLOSE <const> = 1e-4 -- of the largest score: other processors sum in another order

--- Users to ask for: the first, one in the middle, the last; nobody in particular where there is none.
local function requests(model)
  local users, asked = model:facts().users, {}
  for _, position in ipairs { 1, users // 2, users } do
    local user = position >= 1 and position <= users and model:user(position)
    if user and utf8.len(user) then asked[user] = true end
  end
  local list = {}
  for user in pairs(asked) do list[#list + 1] = { user = user, k = K } end
  table.sort(list, function(a, b) return a.user < b.user end)
  return #list > 0 and list or { { k = K } }
end

local function ask(model, request)
  local answer, message, code = model:recommend(request)
  if not answer then return nil, message, code end
  local items, scores = json.list {}, json.list {}
  for i, found in ipairs(answer.items) do items[i], scores[i] = found.item, found.score end
  return { items = items, scores = scores }
end

--- What the finished bundle at 'path' answers, as the text of its member; refused where it does not answer.
---@param path string
---@return string? text
---@return string? message
---@return string? code
function expectations.of(path)
  local model <close>, message, code = core.open(path)
  if not model then return nil, message, code end
  local cases = json.list {}
  for i, request in ipairs(requests(model)) do
    local found, refusal, word = ask(model, request)
    if not found then return nil, refusal, word end
    cases[i] = { request = request, items = found.items, scores = found.scores }
  end
  return json.pretty { format = FORMAT, cases = cases }
end

--- The first thing in which an answer is not as expected. Items whose scores are too close to tell apart may change
--- places, and one may take another's at the end; 'missing' more may be missing, where the index is approximate.
local function difference(found, expected, missing)
  if #found.items ~= #expected.items then
    return ("%d items instead of %d"):format(#found.items, #expected.items)
  end
  local most, scores = 0, {}
  for _, score in ipairs(expected.scores) do most = math.max(most, math.abs(score)) end
  local near = most * CLOSE
  for i, item in ipairs(found.items) do scores[item] = found.scores[i] end
  for i, item in ipairs(expected.items) do
    local last = expected.scores[#expected.scores]
    local score = scores[item] or math.abs(expected.scores[i] - last) <= near and last
    if not score then
      missing = missing - 1
      if missing < 0 then return ("item '%s' is missing"):format(item) end
    elseif math.abs(score - expected.scores[i]) > near then
      return ("item '%s' has the score %.6g instead of %.6g"):format(item, score, expected.scores[i])
    end
  end
end

--- Whether a value is a list of n values of a type.
local function is_list(list, kind, n)
  if type(list) ~= "table" or #list ~= n then return false end
  for i = 1, n do
    if type(list[i]) ~= kind then return false end
  end
  return true
end

--- Whether something from a bundle is a case.
local function is_case(case)
  local request = type(case) == "table" and case.request
  return type(request) == "table" and (request.user == nil or type(request.user) == "string")
    and math.type(request.k) ~= nil and type(case.items) == "table" and is_list(case.items, "string", #case.items)
    and is_list(case.scores, "number", #case.items)
end

--- Whether a model answers as its bundle says; one that says nothing is not asked.
---@param model ServedModel
---@param text? string  the member, nil when the bundle has none
---@return true?
---@return string? message
function expectations.check(model, text)
  if not text then return true end
  local told = json.decode(text)
  if type(told) ~= "table" or told.format ~= FORMAT or type(told.cases) ~= "table" then
    return nil, ("%s has a format that this program does not know"):format(expectations.member)
  end
  for i, case in ipairs(told.cases) do
    if not is_case(case) then return nil, ("%s: case %d is none"):format(expectations.member, i) end
  end
  local missing = model:facts().index == "exact" and 0 or K // 5
  for i, case in ipairs(told.cases) do
    local found, message = ask(model, { user = case.request.user, k = math.tointeger(case.request.k) })
    local wrong = found and difference(found, case, missing) or message
    if wrong then
      return nil, ("it does not answer as its publisher saw it: %s, case %d%s: %s"):format(expectations.member, i,
        case.request.user and (" (user '%s')"):format(case.request.user) or "", wrong)
    end
  end
  return true
end

return expectations
