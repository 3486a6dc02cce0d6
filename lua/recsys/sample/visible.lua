--- Read the sample's three files back, as anybody could: what the observable oracle may know.
local constants = require "recsys.sample.constants"
local files = require "recsys.files"
local words = require "recsys.sample.words"

local visible = {}

--- The rows of a CSV text with backslash escapes that have as many fields as the first; malformed ones are left out.
--- Fields are found by their ends, so that the cost is in the long ones' bytes.
---@param text string
---@return string[][] rows  the first is the header
function visible.parse(text)
  local rows, row, at, find, sub = {}, {}, 1, string.find, string.sub
  while at <= #text do
    local value, stop
    if sub(text, at, at) == '"' then
      local from = at + 1
      stop = from
      while true do
        stop = find(text, '["\\]', stop) or #text + 1
        if sub(text, stop, stop) ~= "\\" then break end
        stop = stop + 2
      end
      value, stop = sub(text, from, stop - 1):gsub("\\(.)", "%1"), stop + 1
    else
      stop = find(text, "[,\n]", at) or #text + 1
      value = sub(text, at, stop - 1)
    end
    row[#row + 1] = value
    at = stop + 1
    if sub(text, stop, stop) ~= "," then
      if #row == #(rows[1] or row) then rows[#rows + 1] = row end
      row = {}
    end
  end
  return rows
end

--- Milliseconds of 2024-01-05T10:11:12.345Z; the days are counted by Howard Hinnant's days_from_civil.
local function milliseconds(text)
  local y, m, d, h, min, s, ms = text:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.(%d+)Z$"
  if not y then return nil end
  y, m, d = tonumber(y) - (tonumber(m) <= 2 and 1 or 0), tonumber(m), tonumber(d)
  local era, shifted = y // 400, (m + 9) % 12
  local of_era = y - era * 400
  local day = of_era * 365 + of_era // 4 - of_era // 100 + (153 * shifted + 2) // 5 + d - 1
  local days = era * 146097 + day - 719468
  return ((days * 24 + tonumber(h)) * 60 + tonumber(min)) * 60000 + tonumber(s) * 1000 + tonumber(ms)
end
visible.milliseconds = milliseconds

local function positions_of(list, field)
  local positions = {}
  for i, entry in ipairs(list) do positions[field and entry[field] or entry] = i end
  return positions
end

local language_code = positions_of(words.languages)
local district_code = positions_of(words.districts, "en")
local topic_code = positions_of(words.topics, "name")

local function read_users(text)
  local users = {}
  for i, row in ipairs(visible.parse(text)) do
    if i > 1 then
      users[i - 1] = { id = row[1], district = district_code[row[6]] or 0, language = language_code[row[7]] or 0 }
    end
  end
  return users
end

local function read_articles(text)
  local articles = {}
  for i, row in ipairs(visible.parse(text)) do
    if i > 1 then
      local categories = {}
      for name in row[5]:gmatch "[^,]+" do categories[#categories + 1] = topic_code[name] end
      articles[i - 1] = { id = row[1], text = row[2] .. " " .. row[3], categories = categories,
        district = district_code[row[6]] or 0, created = milliseconds(row[7]), language = language_code[row[8]],
        source = row[9] }
    end
  end
  return articles
end

--- The first engagement of each user and article, in the order of the file, which is too large to be held.
local function read_engagements(file, user_at, article_at, n_articles)
  local log, seen, n = { user = {}, article = {}, time = {} }, {}, 0
  for line in file:lines() do
    local id, time, hash = line:match "^([^,]+),[^,]+,(%d+),([^,]+),[^,]*,[^,]*$"
    local user, article = user_at[id], article_at[hash]
    local key = user and article and user * (n_articles + 1) + article
    if key and not seen[key] then
      n, seen[key] = n + 1, true
      log.user[n], log.article[n], log.time[n] = user, article, math.tointeger(tonumber(time))
    end
  end
  return log
end

--- Read devices.csv, contents.csv and events.csv.
---@param dir string
---@return table|nil data  { users, articles (both in file order), user_at, article_at (id -> position),
---  log = { user, article (positions), time (ms) } }, a row a first engagement in the order of time
---@return string? message, string? code
function visible.read(dir)
  local text = {}
  for _, name in ipairs { "devices", "contents" } do
    local bytes, message = files.read(("%s/%s.csv"):format(dir, name))
    if not bytes then return nil, message, "io" end
    text[name] = bytes
  end
  local events <close>, refused = io.open(dir .. "/events.csv", "rb")
  if not events then return nil, refused, "io" end
  local data = { users = read_users(text.devices), articles = read_articles(text.contents) }
  data.user_at, data.article_at = positions_of(data.users, "id"), positions_of(data.articles, "id")
  data.log = read_engagements(events, data.user_at, data.article_at, #data.articles)
  for i = 2, #data.articles do assert(data.articles[i - 1].created <= data.articles[i].created) end
  return data
end

--- The oldest live article's time of creation at a moment (ms).
function visible.oldest(time) return time - constants.live_days * 86400000 end

return visible
