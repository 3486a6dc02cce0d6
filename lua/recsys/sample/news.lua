--- Make the news sample: devices.csv, contents.csv and events.csv of a news app, and what is hidden behind.
---
--- docs/news-sample.md is the manual: the model with its formulas, the files, the oracles. The same seed and scale give
--- the same bytes; a folder that already holds them is left as it is.
local cache = require "recsys.cache"
local constants = require "recsys.sample.constants"
local events = require "recsys.sample.events"
local files = require "recsys.files"
local lfs = require "lfs"
local random = require "recsys.sample.random"
local simulate = require "recsys.sample.simulate"
local text = require "recsys.sample.text"
local uv = require "luv"
local words = require "recsys.sample.words"
local world = require "recsys.sample.world"
local writer = require "recsys.writer"

local news = {}

--- What generate takes, with its defaults.
news.defaults = { dir = "artifacts/data/news", scale = 0.03, seed = 1 }

news.columns = {
  devices = { "deviceid", "platform", "os_version", "model", "networkType", "district", "language_selected",
    "created_datetime", "last_active_at" },
  contents = { "hashid", "title", "content", "newsType", "categories", "newsDistrict", "createdAt", "newsLanguage",
    "sourceName" },
  events = { "deviceId", "event_type", "eventTimestamp", "hashId", "cardViewPosition", "overallTimeSpent" },
}

local FILES = { "devices.csv", "contents.csv", "events.csv", "hidden/users.csv", "hidden/articles.csv",
  "hidden/slates.bin" }

local ANDROIDS = { "SM-M127G", "Redmi Note 9", "vivo 1906", "RMX2195", "CPH2239", "M2006C3MI", "SM-A135F",
  "moto g(30)", "I2018", "Pixel 6a" }
local IPHONES = { "iPhone12,1", "iPhone13,2", "iPhone14,5", "iPhone15,2" }

--- '' in place of a value, as often as the column misses it.
local function maybe(draw, column, value)
  return draw.uniform() < constants.missing[column] and "" or value
end

local function row(fields)
  for i, field in ipairs(fields) do fields[i] = text.field(field) end
  return table.concat(fields, ",") .. "\n"
end

--- A row that no reader can make sense of: cut short, or with fields to spare. It opens no quote, so that it spoils no
--- other row.
local function malformed_row(draw, line)
  if draw.uniform() < 0.5 then return line:match '^[^,\n]*,[^,\n"]*' .. "\n" end
  return line:match "^[^,\n]*" .. (","):rep(11) .. "?\n"
end

--- Rows written to a CSV file with, now and then, a malformed one after.
local function table_writer(dir, name, seed)
  local file = writer.new(("%s/%s.csv"):format(dir, name))
  local draw, share = random.stream(seed, "malformed " .. name), constants.malformed[name]
  file:add(table.concat(news.columns[name], ",") .. "\n")
  local rows = { malformed = 0, n = 0 }
  function rows.add(line)
    file:add(line)
    rows.n = rows.n + 1
    if draw.uniform() < share then
      rows.malformed = rows.malformed + 1
      file:add(malformed_row(draw, line))
    end
  end
  rows.writer = file
  return rows
end

local function device_row(draw, user)
  local android = draw.uniform() < 0.93
  local models = android and ANDROIDS or IPHONES
  local network = ({ "WIFI", "4G", "4G", "5G", "3G" })[draw.below(5)]
  local version = tostring(android and 8 + draw.below(6) or 13 + draw.below(4))
  return row {
    user.id, android and "ANDROID" or "IOS", maybe(draw, "os_version", version),
    maybe(draw, "model", models[draw.below(#models)]), maybe(draw, "networkType", network),
    maybe(draw, "district", words.districts[user.district].en),
    maybe(draw, "language_selected", words.languages[user.language]), text.timestamp(user.created),
    maybe(draw, "last_active_at", text.timestamp(user.last or user.created)),
  }
end

--- What the newsroom filed the article under: its topics, another one by mistake, or nothing.
local function categories(draw, article)
  local chance = draw.uniform()
  if chance < constants.category_missing then return "" end
  if chance < constants.category_missing + constants.category_wrong then
    local other = (article.topic + draw.below(#words.topics - 1) - 1) % #words.topics + 1
    return words.topics[other].name
  end
  local name = words.topics[article.topic].name
  return article.second > 0 and name .. "," .. words.topics[article.second].name or name
end

local function content_row(draw, article)
  local language = words.languages[article.language]
  local kind = ({ "NEWS", "NEWS", "NEWS", "NEWS", "VIDEO", "OPINION" })[draw.below(6)]
  local town = article.district > 0 and words.districts[article.district].en or ""
  return row {
    article.id, text.title(draw, article), maybe(draw, "content", text.content(draw, article)),
    maybe(draw, "newsType", kind), categories(draw, article), maybe(draw, "newsDistrict", town),
    text.timestamp(article.created), language, maybe(draw, "sourceName", words.sources[language][article.source]),
  }
end

local function write_events(state, seed, dir)
  local rows, slates = table_writer(dir, "events", seed), writer.new(dir .. "/hidden/slates.bin")
  local log, layout = events.log(state, seed, rows.add), "<" .. ("I2"):rep(constants.slate)
  local uniform_from = simulate.engagements(state, seed, log.n, function(e)
    log:add(e)
    slates:add(layout:pack(table.unpack(e.slate)))
    state.users[e.user].last = e.time
  end)
  log:finish()
  return uniform_from, rows, slates
end

local function write_devices(state, seed, dir)
  local rows, draw = table_writer(dir, "devices", seed), random.stream(seed, "devices")
  for _, user in ipairs(state.users) do rows.add(device_row(draw, user)) end
  return rows
end

local function write_contents(state, seed, dir)
  local rows, draw = table_writer(dir, "contents", seed), random.stream(seed, "contents")
  for _, article in ipairs(state.articles) do rows.add(content_row(draw, article)) end
  return rows
end

--- What only the oracles may read.
local function hidden_users(state, dir)
  local file, names = writer.new(dir .. "/hidden/users.csv"), {}
  for i, topic in ipairs(words.topics) do names[i] = topic.name end
  file:add("deviceid,language,foreign,district,created," .. table.concat(names, ",") .. "\n")
  for _, user in ipairs(state.users) do
    local affinity = {}
    for i, x in ipairs(user.affinity) do affinity[i] = ("%.3f"):format(x) end
    file:add(("%s,%d,%.3f,%d,%d,%s\n"):format(user.id, user.language, user.foreign, user.district, user.created,
      table.concat(affinity, ",")))
  end
  return { writer = file }
end

local function hidden_articles(state, dir)
  local file = writer.new(dir .. "/hidden/articles.csv")
  file:add("hashid,topic,second,language,district,source,created,appeal\n")
  for _, a in ipairs(state.articles) do
    file:add(("%s,%d,%d,%d,%d,%d,%d,%.3f\n"):format(a.id, a.topic, a.second, a.language, a.district, a.source,
      a.created, a.appeal))
  end
  return { writer = file }
end

--- What the folder must hold to be taken as it is; the sizes follow when the files are there.
local function identity(seed, scale)
  return ('  "generator": "recsys.sample.news %d",\n  "constants": "%s",\n  "seed": %d,\n  "scale": %.15g,\n')
    :format(constants.version, constants.hash, seed, scale)
end

local function sizes(dir)
  local list = {}
  for i, name in ipairs(FILES) do
    list[i] = ('    "%s": %d'):format(name, lfs.attributes(dir .. "/" .. name, "size") or -1)
  end
  return '  "bytes": {\n' .. table.concat(list, ",\n") .. "\n  }\n"
end

--- Whether a finished sample of these parameters lies in the folder.
local function is_there(dir, seed, scale)
  local stamp = files.read(dir .. "/stamp.json")
  return stamp and stamp:find(identity(seed, scale), 1, true) and stamp:find(sizes(dir), 1, true) and true or false
end

local function check_parameters(p)
  local dir, scale, seed = p.dir or news.defaults.dir, p.scale or news.defaults.scale, p.seed or news.defaults.seed
  if type(dir) ~= "string" or dir == "" then error("news.generate: dir must be the name of a folder", 3) end
  if type(scale) ~= "number" or not (scale > 0 and scale <= 10) then
    error(("news.generate: scale must be above 0 and at most 10, not %s"):format(scale), 3)
  end
  if math.type(seed) ~= "integer" then error(("news.generate: seed must be an integer, not %s"):format(seed), 3) end
  return dir:gsub("(.)/+$", "%1"), scale, seed
end

--- Show all the files under their names, or none.
local function commit(parts)
  for i, rows in ipairs(parts) do
    local ok, message, code = rows.writer:commit()
    if not ok then
      for j = i + 1, #parts do parts[j].writer:abandon() end
      return nil, message, code
    end
  end
  return true
end

--- Say that the folder is ours, but no finished sample from here to the end: whoever comes after a kill makes it anew.
local function begin(dir)
  local stamp = writer.new(dir .. "/stamp.json")
  stamp:add '{ "generator": "recsys.sample.news", "unfinished": true }\n'
  return stamp:commit()
end

local function write_all(dir, seed, scale)
  local begun, refused, why = begin(dir)
  if not begun then return nil, refused, why end
  local state = world.draw(seed, scale)
  local uniform_from, log, slates = write_events(state, seed, dir)
  local devices, contents = write_devices(state, seed, dir), write_contents(state, seed, dir)
  local ok, message, code = commit { devices, contents, log, { writer = slates }, hidden_users(state, dir),
    hidden_articles(state, dir) }
  if not ok then return nil, message, code end
  local stamp = writer.new(dir .. "/stamp.json")
  stamp:add("{\n" .. identity(seed, scale))
  for _, name in ipairs { "devices", "contents", "events" } do
    local rows = ({ devices = devices, contents = contents, events = log })[name]
    stamp:add(('  "%s": { "rows": %d, "malformed": %d },\n'):format(name, rows.n, rows.malformed))
  end
  stamp:add(('  "uniform_from": %d,\n'):format(uniform_from) .. sizes(dir) .. "}\n")
  return stamp:commit()
end

--- The file that a process locks while it makes the sample of a folder. It is there before the folder is, beside it.
---@param dir string
---@return string
function news.lock(dir)
  local above, name = dir:gsub("(.)/+$", "%1"):match "^(.-)([^/]+)$"
  return ("%s.%s.lock"):format(above or "", name or "news")
end

--- Wait until no other process makes the sample of this folder; none will until what this gives is closed.
local function alone(dir)
  local above = news.lock(dir):match "^(.*)/[^/]+$"
  if above and above ~= "" then files.make_folder(above) end
  local file, message = io.open(news.lock(dir), "a")
  if not file then return nil, message end
  while not lfs.lock(file, "w") do uv.sleep(50) end
  return file
end

--- Make the sample, unless the folder already holds the one of these parameters and it may be reused (recsys.cache).
---@param p { dir: string?, scale: number?, seed: integer? }  defaults in news.defaults; scale 1 is 10,400 devices,
---  9,100 articles and 3,500,000 events, and takes a minute or two
---@return table|nil made   { dir = string, reused = boolean, seconds = number }
---@return string? message  when the disk refuses
---@return string? code     "io"
function news.generate(p)
  local dir, scale, seed = check_parameters(p or {})
  local started = os.clock()
  if cache.allowed() and is_there(dir, seed, scale) then
    return { dir = dir, reused = true, seconds = os.clock() - started }
  end
  local called, lock, problem = pcall(alone, dir)
  if not called then return nil, lock.message, lock.code end
  if not lock then return nil, problem, "io" end
  local _ <close> = lock -- until all is written
  local made, refused = pcall(files.make_folder, dir .. "/hidden")
  if not made then return nil, refused.message, refused.code end
  if cache.allowed() and is_there(dir, seed, scale) then -- made by whom we have waited for
    return { dir = dir, reused = true, seconds = os.clock() - started }
  end
  local ok, message, code = write_all(dir, seed, scale)
  if not ok then return nil, message, code end
  return { dir = dir, reused = false, seconds = os.clock() - started }
end

return news
