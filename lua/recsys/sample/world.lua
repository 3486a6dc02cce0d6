--- The hidden state of the news sample: who the users are and what the articles are worth.
---
--- Every hidden number is rounded to what its file holds, so that whoever reads the files knows exactly the world that
--- drew the events.
local constants = require "recsys.sample.constants"
local random = require "recsys.sample.random"
local words = require "recsys.sample.words"

local world = {}

local DAY_MS <const> = 86400000
local SECOND_WEIGHT <const> = constants.second_weight
local HERE <const> = constants.here
local ELSEWHERE <const> = constants.elsewhere

--- How many there are of each at a scale. Devices and articles follow the square root of the scale and events the
--- scale, so that events per device, events per article and the stock of live articles shrink together.
---@param scale number  above 0; 1 is the full size
---@return table counts  { devices, articles, events }
function world.counts(scale)
  local root = math.sqrt(scale)
  local function at_least(minimum, x) return math.max(minimum, math.floor(x + 0.5)) end
  return {
    devices = at_least(24, constants.devices * root),
    articles = at_least(120, constants.articles * root),
    events = at_least(300, constants.events * scale),
  }
end

local function round(x) return math.floor(x * 1000 + 0.5) / 1000 end

local function topic_weights()
  local weights = {}
  for i, topic in ipairs(words.topics) do weights[i] = topic.weight end
  return random.cumulative(weights)
end

local function district_weights()
  local weights = {}
  for i, district in ipairs(words.districts) do weights[i] = district.weight end
  return random.cumulative(weights)
end

--- Distinct draws of 'n' topics.
local function distinct_topics(draw, topics, n)
  local chosen, taken = {}, {}
  while #chosen < n do
    local topic = draw.pick(topics)
    if not taken[topic] then
      taken[topic] = true
      chosen[#chosen + 1] = topic
    end
  end
  return chosen
end

--- The affinity of one user for every topic.
local function draw_affinity(draw, topics)
  local affinity = {}
  for topic = 1, #topics do affinity[topic] = round(constants.other_spread * draw.normal()) end
  for rank, topic in ipairs(distinct_topics(draw, topics, #constants.favourites)) do
    affinity[topic] = round(constants.favourites[rank] + constants.favourite_spread * draw.normal())
  end
  return affinity
end

--- An identifier of hexadecimal digits in groups, as "8-4-4".
local function identifier(draw, groups)
  local text = {}
  for i, width in ipairs(groups) do
    text[i] = ("%016x"):format(draw.bits()):sub(1, width)
  end
  return table.concat(text, "-")
end

local function draw_user(draw, topics, districts, finish)
  local hindi = draw.uniform() < constants.hindi_users
  local bilingual = draw.uniform() < constants.bilingual
  local user = {
    id = identifier(draw, { 8, 4, 4, 4, 12 }),
    language = hindi and 2 or 1,
    foreign = bilingual and constants.foreign.bilingual or constants.foreign.monolingual,
    district = draw.pick(districts),
    affinity = draw_affinity(draw, topics),
    rate = math.min(constants.activity_limit, math.exp(constants.activity_spread * draw.normal())),
  }
  if draw.uniform() < constants.newcomers then
    user.created = constants.start_ms + draw.below(finish - constants.start_ms - DAY_MS // 4)
  else
    user.created = constants.start_ms - draw.below(400 * DAY_MS)
  end
  user.created = user.created // 1000 * 1000
  return user
end

--- Which sources lean to each topic, by language: source i to the topics i, i + n, i + 2n, ... of the list.
local function source_lists()
  local lists = {}
  for code, language in ipairs(words.languages) do
    lists[code] = {}
    local n = #words.sources[language]
    for topic = 1, #words.topics do
      lists[code][topic] = { (topic - 1) % n + 1, (topic * 7 - 1) % n + 1 }
    end
  end
  return lists
end
world.leaning_sources = source_lists()

local function draw_source(draw, article)
  local n = #words.sources[words.languages[article.language]]
  if draw.uniform() >= constants.source_lean then return draw.below(n) end
  local leaning = world.leaning_sources[article.language][article.topic]
  return leaning[draw.below(#leaning)]
end

local function draw_article(draw, topics, districts)
  local pair = distinct_topics(draw, topics, 2)
  local article = {
    id = identifier(draw, { 10 }),
    topic = pair[1],
    second = draw.uniform() < constants.second_topic and pair[2] or 0,
    language = draw.uniform() < constants.hindi_articles and 2 or 1,
    district = draw.uniform() < constants.local_share and draw.pick(districts) or 0,
    appeal = round(constants.appeal_spread * draw.normal()),
  }
  article.source = draw_source(draw, article)
  return article
end

--- Draw the hidden state.
---@param seed integer
---@param scale number
---@return table state  { counts, start, finish, users = {...}, articles = {...} in order of creation }; times in ms
function world.draw(seed, scale)
  local counts = world.counts(scale)
  local start = constants.start_ms
  local finish = start + constants.days * DAY_MS
  local topics, districts = topic_weights(), district_weights()
  local state = { counts = counts, start = start, finish = finish, users = {}, articles = {} }
  local draw = random.stream(seed, "users")
  for i = 1, counts.devices do state.users[i] = draw_user(draw, topics, districts, finish) end
  draw = random.stream(seed, "articles")
  local first, span = start - constants.live_days * DAY_MS, (constants.days + constants.live_days) * DAY_MS
  for i = 1, counts.articles do
    local article = draw_article(draw, topics, districts)
    article.created = (first + (i - 1 + draw.uniform()) * span / counts.articles) // 1000 * 1000 | 0
    state.articles[i] = article
  end
  return state
end

--- What the user feels about the article, but for appeal and age: topics, language, place. Log-odds.
function world.fit(user, article)
  local affinity = user.affinity[article.topic]
  if article.second > 0 then
    affinity = (1 - SECOND_WEIGHT) * affinity + SECOND_WEIGHT * user.affinity[article.second]
  end
  if article.language ~= user.language then affinity = affinity + user.foreign end
  if article.district == user.district then affinity = affinity + HERE
  elseif article.district > 0 then affinity = affinity + ELSEWHERE end
  return affinity
end

return world
