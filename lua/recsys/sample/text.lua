--- Titles and bodies of the sample's articles, and how a field is written.
---
--- Every word follows the article's topic with a fixed chance and is filler otherwise, so that text carries the topic
--- as a bag of words; commas, quotes and line breaks are there for the reader of the file to get right.
local constants = require "recsys.sample.constants"
local words = require "recsys.sample.words"

local text = {}

local function pick_word(draw, article, language)
  if draw.uniform() >= constants.topical_words then
    local generic = words.generic[language]
    return generic[draw.below(#generic)]
  end
  local topic = article.topic
  if article.second > 0 and draw.uniform() < constants.second_weight then topic = article.second end
  local list = words.topics[topic][language]
  return list[draw.below(#list)]
end

local function pick_words(draw, article, language, n)
  local list = {}
  for i = 1, n do list[i] = pick_word(draw, article, language) end
  return list
end

local function capital(sentence) return (sentence:gsub("^%l", string.upper)) end

--- A headline of 7 to 11 words; some with a comma, a quotation, or the town in front.
function text.title(draw, article)
  local language = words.languages[article.language]
  local list = pick_words(draw, article, language, 6 + draw.below(5))
  local style, at = draw.uniform(), 1 + draw.below(#list - 3)
  if style < 0.25 then list[at] = list[at] .. ","
  elseif style < 0.45 then list[at], list[at + 1] = '"' .. list[at], list[at + 1] .. '"' end
  local title = table.concat(list, " ")
  if style > 0.93 then title = title .. "?" end
  if article.district > 0 and draw.uniform() < 0.5 then
    return words.districts[article.district][language] .. ": " .. capital(title)
  end
  return capital(title)
end

--- A body of 3 to 5 sentences, some quoted, some on lines of their own.
function text.content(draw, article)
  local language = words.languages[article.language]
  local stop = language == "hi" and "।" or "."
  local parts = {}
  for i = 1, 2 + draw.below(3) do
    local sentence = capital(table.concat(pick_words(draw, article, language, 6 + draw.below(7)), " "))
    if draw.uniform() < 0.15 then sentence = '"' .. sentence .. '"' end
    if i > 1 then parts[#parts + 1] = draw.uniform() < 0.25 and "\n" or " " end
    parts[#parts + 1] = sentence .. stop
  end
  return table.concat(parts)
end

--- One field as Spark writes it: quoted when it must be, quotes inside escaped with a backslash.
---@param value string
---@return string
function text.field(value)
  if not value:find('[",\n\r]') then return value end
  return '"' .. value:gsub('"', '\\"') .. '"'
end

--- A time in ms as Spark writes it: 2024-01-05T10:11:12.345Z.
---@param ms integer
---@return string
function text.timestamp(ms)
  return os.date("!%Y-%m-%dT%H:%M:%S", ms // 1000) .. (".%03dZ"):format(ms % 1000)
end

return text
