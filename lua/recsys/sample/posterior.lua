--- What the log says about users' affinities and articles' appeal: the observable oracle's beliefs.
---
--- Approximations, all documented in docs/news-sample.md: the affinity of a topic is e^a with a mixture of Gamma priors
--- (their moments are the generator's), independent between topics; its likelihood is Poisson in the number of a
--- user's engagements with articles of that topic alone, with as exposure the chance mass that such live unseen
--- articles had at each of his engagements. Appeal has a Gamma prior and the same likelihood.
local constants = require "recsys.sample.constants"
local topics = require "recsys.sample.topics"
local words = require "recsys.sample.words"
local visible = require "recsys.sample.visible"

local posterior = {}

local DAY_MS <const> = 86400000
local HOUR_MS <const> = 3600000
local N <const> = #words.topics
local LANGUAGES <const> = #words.languages
local DISTRICTS <const> = #words.districts

--- A Gamma distribution with the mean and variance of exp(N(mean, spread^2)).
local function gamma_like(mean, spread)
  local shape = 1 / (math.exp(spread ^ 2) - 1)
  local rate = shape / math.exp(mean + spread ^ 2 / 2)
  return { shape = shape, rate = rate, rising = { [0] = shape * math.log(rate) } }
end

local components = { gamma_like(0, constants.other_spread) }
for i, mean in ipairs(constants.favourites) do components[i + 1] = gamma_like(mean, constants.favourite_spread) end
local appeal_prior <const> = 1 / (math.exp(constants.appeal_spread ^ 2) - 1)

--- log(rate^shape Gamma(shape + n) / Gamma(shape)), kept for the next time.
local function log_rising(component, n)
  local rising = component.rising
  for i = #rising + 1, n do rising[i] = rising[i - 1] + math.log(component.shape + i - 1) end
  return rising[n]
end

local logs, means = {}, {} -- scratch of the function below

--- The posterior mean of e^affinity after n engagements where 'exposure' times it were expected.
---@param topic_chance number  the chance that the topic is the user's first favourite
local function expected_affinity(topic_chance, n, exposure)
  local highest, total, sum = -math.huge, 0, 0
  for j = 1, #components do
    local c = components[j]
    local shape, rate = c.shape + n, c.rate + exposure
    logs[j] = (c.rising[n] or log_rising(c, n)) - shape * math.log(rate)
    means[j] = shape / rate
    if logs[j] > highest then highest = logs[j] end
  end
  for j = 1, #components do
    local p = math.exp(logs[j] - highest) * (j == 1 and 1 - (#components - 1) * topic_chance or topic_chance)
    total, sum = total + p, sum + p * means[j]
  end
  return sum / total
end

local district_share = {}
do
  local total = 0
  for _, district in ipairs(words.districts) do total = total + district.weight end
  for i, district in ipairs(words.districts) do district_share[i] = district.weight / total end
end

local language_share = { 1 - constants.hindi_articles, constants.hindi_articles }

local function place_factor(home, place) return math.exp(home == place and constants.here or constants.elsewhere) end

--- Factors by language: the expectation over mother tongue and bilingualism given the engagements by language.
local function language_factors(user)
  local factors, total = { 0, 0 }, 0
  for own = 1, LANGUAGES do
    for _, kind in ipairs { "monolingual", "bilingual" } do
      local f = { math.exp(constants.foreign[kind]), math.exp(constants.foreign[kind]) }
      f[own] = 1
      local mass = f[1] * language_share[1] + f[2] * language_share[2]
      local weight = (kind == "bilingual" and constants.bilingual or 1 - constants.bilingual)
        * (user.language == 0 and (own == 2 and constants.hindi_users or 1 - constants.hindi_users)
          or (user.language == own and 1 or 0))
      for l = 1, LANGUAGES do weight = weight * (f[l] / mass) ^ user.by_language[l] end
      total = total + weight
      for l = 1, LANGUAGES do factors[l] = factors[l] + weight * f[l] / mass end
    end
  end
  if total == 0 then return { 1, 1 } end
  for l = 1, LANGUAGES do factors[l] = factors[l] / total end
  return factors
end

--- Factors by town: exact when the device tells the user's, else the expectation given where his articles were from.
local function place_factors(user)
  local factors, log, highest, total = {}, {}, -math.huge, 0
  for home = 1, DISTRICTS do
    local mass = 0
    for place = 1, DISTRICTS do mass = mass + district_share[place] * place_factor(home, place) end
    log[home] = math.log(district_share[home])
    for place = 1, DISTRICTS do
      log[home] = log[home] + (user.by_district[place] or 0) * math.log(place_factor(home, place) / mass)
    end
    if user.district > 0 and user.district ~= home then log[home] = -math.huge end
    highest = math.max(highest, log[home])
  end
  for place = 1, DISTRICTS do factors[place] = 0 end
  for home = 1, DISTRICTS do
    local p = math.exp(log[home] - highest)
    total = total + p
    for place = 1, DISTRICTS do factors[place] = factors[place] + p * place_factor(home, place) end
  end
  for place = 1, DISTRICTS do factors[place] = factors[place] / total end
  return factors
end

--- The factor of a town's articles for the average user.
local average_place = {}
for place = 1, DISTRICTS do
  average_place[place] = 0
  for home = 1, DISTRICTS do
    average_place[place] = average_place[place] + district_share[home] * place_factor(home, place)
  end
end

local Beliefs = {}
Beliefs.__index = Beliefs

--- Beliefs before any engagement.
---@param data table  of visible.read
---@param appeal_from integer  time (ms) from which on articles are watched: those that appear before it keep the prior
---  mean of their appeal
function posterior.new(data, appeal_from)
  local self = setmetatable({ articles = data.articles, users = {}, about = {}, low = 1, high = 0, tick = 0,
    appeal_from = appeal_from, watching = false,
    weight = {}, engaged = {}, clicks = {}, expected = {}, appeal = {}, mass = {}, gathered = {} }, Beliefs)
  for i, user in ipairs(data.users) do
    self.users[i] = { language = user.language, district = user.district, n = 0, refresh = 1, clicks = {},
      exposure = {}, affinity = {}, by_language = { 0, 0 }, by_district = {}, seen = {} }
    for topic = 1, N do self.users[i].clicks[topic], self.users[i].exposure[topic] = 0, 0 end
  end
  for i, article in ipairs(data.articles) do
    self.about[i] = topics.infer(article)
    self.engaged[i], self.clicks[i], self.expected[i], self.appeal[i] = 0, 0, 0, 1
  end
  for cell = 1, N * LANGUAGES do self.mass[cell], self.gathered[cell] = 0, 0 end
  return self
end

local function refresh_user(user)
  for topic = 1, N do
    user.affinity[topic] = expected_affinity(topics.prior[topic], user.clicks[topic], user.exposure[topic])
  end
  user.factor = language_factors(user)
  user.refresh = user.n + 1 + user.n // 3
end

--- Book what the live articles were expected to earn since the last tick, and weigh them anew.
local function settle(self, now, uniform)
  local gathered, mass, articles = self.gathered, self.mass, self.articles
  for i = self.low, self.high do
    local cell = self.about[i].cell
    if cell and articles[i].created >= self.appeal_from then
      self.expected[i] = self.expected[i] + gathered[cell] * self.weight[i]
      self.appeal[i] = (appeal_prior + self.clicks[i]) / (appeal_prior + math.max(self.expected[i], 0))
    end
  end
  for cell = 1, N * LANGUAGES do gathered[cell], mass[cell] = 0, 0 end
  self.watching = now >= self.appeal_from
  local oldest = visible.oldest(now)
  while articles[self.low] and articles[self.low].created < oldest do self.low = self.low + 1 end
  while self.high < #articles and articles[self.high + 1].created < now do self.high = self.high + 1 end
  for i = self.low, self.high do
    local article, about = articles[i], self.about[i]
    local age = (article.created - now) / DAY_MS
    local policy = uniform and 1
      or (1 + self.engaged[i]) ^ constants.policy_popularity * math.exp(age / constants.policy_fresh_days)
    self.weight[i] = policy * math.exp(age / constants.decay_days) * (average_place[article.district] or 1)
    about.cell = about.second == 0 and (about.first - 1) * LANGUAGES + article.language or nil
    if about.cell then mass[about.cell] = mass[about.cell] + self.weight[i] * self.appeal[i] end
  end
  local arrives = articles[self.high + 1] and articles[self.high + 1].created + 1 or math.huge
  self.tick = math.min(now + HOUR_MS, arrives)
end

--- Come to time 'now' (ms).
function Beliefs:advance(now, uniform)
  if now >= self.tick then settle(self, now, uniform) end
end

--- The chance mass of what the user has not seen, by topic, and in all when weighted with his affinities.
local function unseen_mass(self, user)
  local mass, by_topic, total = self.mass, {}, 0
  for topic = 1, N do
    local cell = (topic - 1) * LANGUAGES
    by_topic[topic] = mass[cell + 1] * user.factor[1] + mass[cell + 2] * user.factor[2]
  end
  local live, seen = 0, user.seen
  for at = 1, #seen do
    local i = seen[at]
    if i >= self.low then
      live = live + 1
      seen[live] = i
      local topic = self.about[i].first
      by_topic[topic] = by_topic[topic]
        - self.weight[i] * self.appeal[i] * user.factor[self.articles[i].language]
    end
  end
  for at = #seen, live + 1, -1 do seen[at] = nil end
  for topic = 1, N do
    by_topic[topic] = math.max(by_topic[topic], 0)
    total = total + by_topic[topic] * user.affinity[topic]
  end
  return by_topic, total
end

--- One engagement was to fall on some live article: gather each one's chance of it, those seen before excepted.
local function gather(self, user, total)
  local gathered, affinity, factor = self.gathered, user.affinity, user.factor
  for topic = 1, N do
    local chance, cell = affinity[topic] / total, (topic - 1) * LANGUAGES
    gathered[cell + 1] = gathered[cell + 1] + chance * factor[1]
    gathered[cell + 2] = gathered[cell + 2] + chance * factor[2]
  end
  for _, i in ipairs(user.seen) do
    self.expected[i] = self.expected[i]
      - affinity[self.about[i].first] / total * factor[self.articles[i].language] * self.weight[i]
  end
end

--- Book an engagement with an article of one topic: exposures of the user's topics and of the live articles.
local function book(self, user, i, learn)
  local by_topic, total = unseen_mass(self, user)
  if total <= 0 then return end
  if learn then
    local exposure, first = user.exposure, self.about[i].first
    for topic = 1, N do exposure[topic] = exposure[topic] + by_topic[topic] / total end
    user.clicks[first] = user.clicks[first] + 1
  end
  if self.watching then gather(self, user, total) end
  self.clicks[i] = self.clicks[i] + 1
  user.seen[#user.seen + 1] = i
end

--- Learn from one engagement; call advance with its time before.
---@param learn boolean  whether it also tells about the user (else about the article alone)
function Beliefs:observe(u, i, learn)
  local user, article = self.users[u], self.articles[i]
  if not user.factor or (learn and user.n >= user.refresh) then refresh_user(user) end
  self.engaged[i] = self.engaged[i] + 1
  if self.about[i].cell then book(self, user, i, learn) end
  if not learn then return end
  user.n = user.n + 1
  user.by_language[article.language] = user.by_language[article.language] + 1
  if article.district > 0 then
    user.by_district[article.district] = (user.by_district[article.district] or 0) + 1
  end
end

--- What is believed of a user: expected factors by topic, by language and by town.
---@return number[] affinity, number[] language, number[] place
function Beliefs:user(u)
  local user = self.users[u]
  refresh_user(user)
  return user.affinity, user.factor, place_factors(user)
end

--- The expected factor of an article's appeal, relative to the prior mean.
function Beliefs:appeal_of(i) return self.appeal[i] end

return posterior
