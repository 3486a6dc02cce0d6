--- What an article is about, given what its row says: the posterior over its one or two topics.
---
--- The prior is the generator's; words, categories and source are independent given the topics (naive Bayes, which is
--- exact here, as that is how they are drawn). Only topics that a word or category points to are tried.
local constants = require "recsys.sample.constants"
local words = require "recsys.sample.words"
local world = require "recsys.sample.world"

local topics = {}

local N <const> = #words.topics
local prior, chances, source_at = {}, {}, {}

--- chances[language][word] = { generic = chance, [topic] = chance }: how often each kind of text says the word.
local function count_words(language, code)
  local table_of = {}
  local function add(word, key, chance)
    table_of[word] = table_of[word] or {}
    table_of[word][key] = (table_of[word][key] or 0) + chance
  end
  for topic, entry in ipairs(words.topics) do
    for _, word in ipairs(entry[language]) do add(word, topic, 1 / #entry[language]) end
  end
  for _, word in ipairs(words.generic[language]) do add(word, "generic", 1 / #words.generic[language]) end
  chances[code] = table_of
end

do
  local total = 0
  for _, topic in ipairs(words.topics) do total = total + topic.weight end
  for i, topic in ipairs(words.topics) do prior[i] = topic.weight / total end
  for code, language in ipairs(words.languages) do
    count_words(language, code)
    source_at[code] = {}
    for i, name in ipairs(words.sources[language]) do source_at[code][name] = i end
  end
end
topics.prior = prior

--- The words of a text that the generator knows, as entries of 'chances'.
local function known_words(article)
  local known, list = chances[article.language], {}
  for word in article.text:gmatch "%S+" do
    word = word:gsub('[",?.:]', ""):gsub("।", ""):lower()
    list[#list + 1] = known[word]
  end
  return list
end

--- Chance of the source given the first topic.
local function source_chance(article, topic)
  local source = source_at[article.language][article.source]
  if not source then return 1 end
  local leaning = world.leaning_sources[article.language][topic]
  local chance = (1 - constants.source_lean) / #words.sources[words.languages[article.language]]
  for _, lean in ipairs(leaning) do
    if lean == source then chance = chance + constants.source_lean / #leaning end
  end
  return chance
end

--- Chance of the visible categories given the topics (second 0: none).
local function category_chance(categories, first, second)
  if not categories[1] then return constants.category_missing end
  local right = categories[1] == first and (categories[2] or 0) == second
  local wrong = not categories[2] and categories[1] ~= first
  return (right and 1 - constants.category_missing - constants.category_wrong or 0)
    + (wrong and constants.category_wrong / (N - 1) or 0)
end

local function text_chance(list, first, second)
  local t, w = constants.topical_words, second > 0 and constants.second_weight or 0
  local log = 0
  for _, chance in ipairs(list) do
    log = log + math.log((1 - t) * (chance.generic or 0)
      + t * ((1 - w) * (chance[first] or 0) + w * (chance[second] or 0)) + 1e-12)
  end
  return log
end

--- Topics worth trying: those of the categories and of the words.
local function pointed_to(article, list)
  local found, sorted = {}, {}
  for _, topic in ipairs(article.categories) do found[topic] = true end
  for _, chance in ipairs(list) do
    for key in pairs(chance) do found[key] = true end
  end
  for topic = 1, N do
    if found[topic] or not next(found) then sorted[#sorted + 1] = topic end
  end
  return sorted
end

local function each_pair(candidates, visit)
  for _, first in ipairs(candidates) do
    visit(first, 0, prior[first] * (1 - constants.second_topic))
    for _, second in ipairs(candidates) do
      if second ~= first then
        visit(first, second, prior[first] * constants.second_topic * prior[second] / (1 - prior[first]))
      end
    end
  end
end

--- The posterior of one article's topics.
---@param article table  of visible.read
---@return table topics  { first, second (the likeliest; second 0: none), mixture = expected weight by topic }
function topics.infer(article)
  local list, logs, best = known_words(article), {}, { log = -math.huge }
  each_pair(pointed_to(article, list), function(first, second, chance)
    local log = math.log(chance) + text_chance(list, first, second)
      + math.log(category_chance(article.categories, first, second) + 1e-12)
      + math.log(source_chance(article, first))
    local entry = { first = first, second = second, log = log }
    logs[#logs + 1] = entry
    if log > best.log then best = entry end
  end)
  local mixture, total = {}, 0
  for topic = 1, N do mixture[topic] = 0 end
  for _, entry in ipairs(logs) do
    local p = math.exp(entry.log - best.log)
    local w = entry.second > 0 and constants.second_weight or 0
    total = total + p
    mixture[entry.first] = mixture[entry.first] + p * (1 - w)
    if w > 0 then mixture[entry.second] = mixture[entry.second] + p * w end
  end
  for topic = 1, N do mixture[topic] = mixture[topic] / total end
  return { first = best.first, second = best.second, mixture = mixture }
end

return topics
