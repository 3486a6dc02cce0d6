--- A news app's log: a folder with devices.csv, contents.csv and events.csv, as Spark writes them.
---
--- One interaction a user and article: his first engagement, with the strength of his strongest. A bookmark that was
--- taken back does not count. What the files and columns are called and what events mean is a table (news.layout);
--- p.layout overrides parts of it, and recsys.data.event_log reads any other app's files by a table of their own.

local event_log = require "recsys.data.event_log"
local files = require "recsys.files"

local news = {}

--- The files and their columns: { column of ours, column of the file, type }, the key first.
---@type EventLayout
news.layout = {
  name = "news", separator = ",",
  users = { file = "devices.csv", columns = {
    { "user", "deviceid", "string" }, { "platform", "platform", "string" }, { "os_version", "os_version", "string" },
    { "model", "model", "string" }, { "network", "networkType", "string" }, { "district", "district", "string" },
    { "language", "language_selected", "string" }, { "created", "created_datetime", "time" },
    { "last_active", "last_active_at", "time" },
  } },
  items = { file = "contents.csv", columns = {
    { "item", "hashid", "string" }, { "title", "title", "string" }, { "content", "content", "string" },
    { "kind", "newsType", "string" }, { "categories", "categories", { "list", "," } },
    { "district", "newsDistrict", "string" }, { "created", "createdAt", "time" },
    { "language", "newsLanguage", "string" }, { "source", "sourceName", "string" },
  } },
  events = { file = "events.csv", columns = {
    { "user", "deviceId", "string" }, { "event", "event_type", "string" }, { "time", "eventTimestamp", "time_ms" },
    { "item", "hashId", "string" }, { "position", "cardViewPosition", "number" },
    { "seconds", "overallTimeSpent", "number" },
  } },
  nulls = { "null", "NULL" },
  -- What an event says about interest, and which events take another back.
  strengths = { ["TimeSpent-Front"] = 0.3, ["TimeSpent-Back"] = 0.5, ["News Bookmarked"] = 1.0, ["News Shared"] = 1.0 },
  takes_back = { ["News Unbookmarked"] = "News Bookmarked" },
  columns = { title = "title", text = "content", created = "created", categories = "categories",
    user_language = "language", item_language = "language", user_place = "district", item_place = "district" },
  hint = "Make the sample with: recsys-run recipes/news_sample.lua --set data.dir=%s",
}

--- Since when slates are drawn by chance, ms: the sample's stamp tells; nil for other logs.
local function explored_from(dir)
  local stamp = files.exists(dir .. "/stamp.json") and files.read(dir .. "/stamp.json")
  return stamp and math.tointeger(stamp:match '"uniform_from": (%d+)')
end

--- Read the folder p.dir.
---@param p { dir: string, bad_limit: number?, quarantine: string?, layout: table? }  quarantine: a folder for malformed
---  rows; layout: parts of news.layout to replace
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function news.load(p)
  local data, message, code = event_log.load(p, event_log.merged(news.layout, p.layout))
  if data then data.origin.explored_from = explored_from(p.dir) end
  return data, message, code
end

return news
