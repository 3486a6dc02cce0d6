--- Draw the events of the news sample from its hidden state.
---
--- The story: a user opens the app at time t and gets a slate of distinct live articles that he has not engaged with;
--- he glances at the card in position k with probability p_k and engages with it with probability
--- q(u, a, t) = exp(s(u, a, t) - s_max), or leaves; and comes back until he engages. When every live article is
--- equally likely under the glance, the next engagement is a with probability q(a) / sum of q over the live unseen
--- articles: exactly softmax(s). The logging policy of the first part multiplies q by its weight of the article.
---
--- So only the engaged slates are drawn: the engaged card by rejection (proposed in proportion to policy weight,
--- appeal and age, which all users share; kept by the user's fit), then the rest of its slate.
local constants = require "recsys.sample.constants"
local random = require "recsys.sample.random"
local words = require "recsys.sample.words"
local world = require "recsys.sample.world"

local simulate = {}

local DAY_MS <const> = 86400000
local HOUR_MS <const> = 3600000
local USER_BITS <const> = 20 -- a moment is (ms since start) << USER_BITS | user
local SECOND_WEIGHT <const> = constants.second_weight
local HERE <const> = constants.here
local DECAY_DAYS <const> = constants.decay_days
local LIVE_MS <const> = constants.live_days * DAY_MS
local SLATE <const> = constants.slate

--- Visits by hour of the day, UTC; two peaks, as people read the news.
local HOURS = { 2, 1, 1, 1, 2, 4, 7, 9, 9, 7, 6, 6, 6, 5, 5, 5, 6, 7, 8, 9, 9, 8, 6, 4 }

--- How often each user engages: in proportion to his rate and to the time that he has the app.
local function draw_shares(state, draw, n)
  local weights = {}
  for i, user in ipairs(state.users) do
    local since = math.max(user.created, state.start)
    weights[i] = user.rate * (state.finish - since)
  end
  local cumulative, shares = random.cumulative(weights), {}
  for i = 1, #weights do shares[i] = 0 end
  for _ = 1, n do
    local user = draw.pick(cumulative)
    shares[user] = shares[user] + 1
  end
  return shares
end

--- The moments at which one user engages, in sessions; strictly increasing ms since the start.
local function draw_moments(draw, from, till, n, hours)
  local moments = {}
  while #moments < n do
    local at
    repeat
      local day = (from + draw.uniform() * (till - from)) // DAY_MS
      at = day * DAY_MS + (draw.pick(hours) - 1 + draw.uniform()) * HOUR_MS
    until from < at and at < till
    repeat
      moments[#moments + 1] = at // 1 | 0
      at = at + (2 + constants.session_gap_s * draw.exponential()) * 1000
    until #moments == n or draw.uniform() * constants.session_length < 1
  end
  table.sort(moments)
  for i = 2, n do moments[i] = math.max(moments[i], moments[i - 1] + 1) end
  return moments
end

--- Every moment of every user, in the order of time.
local function draw_all_moments(state, draw, n)
  local shares, all, hours = draw_shares(state, draw, n), {}, random.cumulative(HOURS)
  local span = state.finish - state.start
  for i, user in ipairs(state.users) do
    local from = math.max(user.created - state.start, 0)
    for _, at in ipairs(draw_moments(draw, from, span, shares[i], hours)) do
      all[#all + 1] = at << USER_BITS | i
    end
  end
  table.sort(all)
  return all
end

--- The stock of articles at a moment: the live ones are the positions low .. high, as all live equally long.
---
--- For drawing, articles that a user may like about equally share a bucket: a list of positions with running sums of
--- their weights, of which low .. high are live. An article's weight is policy * exp(appeal + created / decay), which
--- all users share. 'policy' holds the running sums of the logging policy's weight alone, over all positions, and
--- 'guide' where to begin looking in them (Chen & Asai 1974). 'version' counts the changes of the buckets' masses.
local Stock = {}
Stock.__index = Stock

--- Articles of one topic: by language and by whether they are about a town; those with two topics by language.
local KINDS <const> = 6
local function bucket_of(article)
  local kind = article.second > 0 and 2 or article.district > 0 and 1 or 0
  return (article.topic - 1) * KINDS + kind * 2 + article.language
end

local function new_stock(state)
  local stock = setmetatable({ articles = state.articles, low = 1, high = 0, refresh = 0, uniform = false, version = 0,
    intrinsic = {}, engaged = {}, policy = { [0] = 0 }, guide = {}, buckets = {}, masses = {} }, Stock)
  for b = 1, #words.topics * KINDS do
    stock.buckets[b], stock.masses[b] = { positions = {}, sums = { [0] = 0 }, low = 1, high = 0 }, 0
  end
  for i, article in ipairs(state.articles) do
    stock.engaged[i] = 0
    stock.intrinsic[i] = math.exp(article.appeal + (article.created - state.start) / (DECAY_DAYS * DAY_MS))
    local positions = stock.buckets[bucket_of(article)].positions
    positions[#positions + 1] = i
  end
  return stock
end

--- The logging policy's weight of article i: popular and fresh ones first, until slates are uniform.
local function policy_weight(stock, i, now)
  if stock.uniform then return 1 end
  return (1 + stock.engaged[i]) ^ constants.policy_popularity
    * math.exp((stock.articles[i].created - now) / (constants.policy_fresh_days * DAY_MS))
end

--- guide[g] is the first position whose running sum exceeds g parts in n of the whole.
local function make_guide(stock, last, sum)
  local n, at, policy = last - stock.low + 1, stock.low, stock.policy
  for g = 0, n do
    while at < last and policy[at] * n <= g * sum do at = at + 1 end
    stock.guide[g] = at
  end
  stock.guide_scale = n / sum
end

--- Recompute the running sums for the articles live from 'now' until one hour later (always, once uniform).
local function reweigh(stock, now)
  stock.refresh = stock.uniform and math.huge or now + HOUR_MS
  local last, policy, sum, weights = stock.low - 1, stock.policy, 0, {}
  policy[last] = 0
  while last < #stock.articles and stock.articles[last + 1].created < stock.refresh do
    last = last + 1
    weights[last] = policy_weight(stock, last, now)
    sum = sum + weights[last]
    policy[last] = sum
  end
  make_guide(stock, last, sum)
  for _, bucket in ipairs(stock.buckets) do
    local positions, sums = bucket.positions, bucket.sums
    sum, sums[bucket.low - 1] = 0, 0
    for at = bucket.low, #positions do
      local i = positions[at]
      if i > last then break end
      sum = sum + weights[i] * stock.intrinsic[i]
      sums[at] = sum
    end
  end
end

--- Move each bucket's live range to the stock's.
local function move_buckets(stock)
  for _, bucket in ipairs(stock.buckets) do
    local positions, low, high = bucket.positions, bucket.low, bucket.high
    while positions[low] and positions[low] < stock.low do low = low + 1 end
    while positions[high + 1] and positions[high + 1] <= stock.high do high = high + 1 end
    bucket.low, bucket.high = low, math.max(high, low - 1)
  end
end

local function weigh_buckets(stock)
  stock.version = stock.version + 1
  for b, bucket in ipairs(stock.buckets) do
    stock.masses[b] = bucket.high >= bucket.low and bucket.sums[bucket.high] - bucket.sums[bucket.low - 1] or 0
  end
end

--- Move to time 'now' (ms): articles created before it and at most live_days old are live.
function Stock:advance(now, uniform)
  local articles, low, high = self.articles, self.low, self.high
  local oldest = now - LIVE_MS
  while articles[low].created < oldest do low = low + 1 end
  while high < #articles and articles[high + 1].created < now do high = high + 1 end
  local moved, stale = low ~= self.low or high ~= self.high, now >= self.refresh or uniform ~= self.uniform
  self.low, self.high, self.uniform = low, high, uniform
  if moved then move_buckets(self) end
  if stale then reweigh(self, now) end
  if moved or stale then weigh_buckets(self) end
end

--- For each bucket the most that the fit of one of its articles can be for a user.
local function highest_fits(user)
  local affinity, highest, fits = user.affinity, user.affinity[1], {}
  for topic = 2, #affinity do highest = math.max(highest, affinity[topic]) end
  for topic = 1, #affinity do
    local mixed = (1 - SECOND_WEIGHT) * affinity[topic] + SECOND_WEIGHT * highest
    for language = 1, #words.languages do
      local term = language == user.language and 0 or user.foreign
      local at = (topic - 1) * KINDS + language
      fits[at], fits[at + 2], fits[at + 4] = affinity[topic] + term, affinity[topic] + HERE + term, mixed + HERE + term
    end
  end
  return fits
end

--- An engagement by listing every chance: for a user who has read nearly all that he likes.
local function choose_listed(stock, user, seen, draw)
  local sums, positions, total = {}, {}, 0
  for _, bucket in ipairs(stock.buckets) do
    for at = bucket.low, bucket.high do
      local i = bucket.positions[at]
      if not seen[i] then
        total = total + (bucket.sums[at] - bucket.sums[at - 1]) * math.exp(world.fit(user, stock.articles[i]))
        sums[#sums + 1], positions[#positions + 1] = total, i
      end
    end
  end
  return positions[1] and positions[draw.pick(sums)]
end

--- The user's chances of proposals by bucket, as running sums; kept while the stock stays the same.
local function weigh_chances(stock, user)
  local masses, factors, chances, total = stock.masses, user.factors, user.chances, 0
  for b = 1, #masses do
    total = total + masses[b] * factors[b]
    chances[b] = total
  end
  user.version = stock.version
end

--- The article that the user engages with next; nil when he has seen all.
local function choose(stock, user, seen, draw)
  if user.version ~= stock.version then weigh_chances(stock, user) end
  local articles, chances, highest = stock.articles, user.chances, user.highest
  local uniform, search, fit, n = draw.uniform, random.search, world.fit, #chances
  local total = chances[n]
  for _ = 1, 40 do
    local b = search(chances, 1, n, uniform() * total)
    local bucket = stock.buckets[b]
    local sums, low = bucket.sums, bucket.low
    local i = bucket.positions[search(sums, low, bucket.high, sums[low - 1] + uniform() * stock.masses[b])]
    if not seen[i] then
      local excess = fit(user, articles[i]) - highest[b]
      if excess > -1e-9 or uniform() < math.exp(excess) then return i end
    end
  end
  return choose_listed(stock, user, seen, draw)
end

--- A card for a slate, in proportion to the policy's weight.
local function pick_card(stock, draw)
  local low, high, policy = stock.low, stock.high, stock.policy
  if stock.uniform then return low - 1 + draw.below(high - low + 1) end
  local base = policy[low - 1]
  local x = base + draw.uniform() * (policy[high] - base)
  local i = math.max(low, stock.guide[x * stock.guide_scale // 1 | 0])
  while policy[i] <= x and i < high do i = i + 1 end
  return i
end

--- The other cards of the slate: distinct live unseen articles, drawn by the policy; fewer when few are left.
local function fill_slate(stock, chosen, position, seen, draw, slate)
  local taken, k = { [chosen] = true }, 1
  for at = 1, SLATE do slate[at] = 0 end
  slate[position] = chosen
  for _ = 1, 20 * SLATE do
    if k == position then k = k + 1 end
    if k > SLATE then break end
    local i = pick_card(stock, draw)
    if not seen[i] and not taken[i] then
      slate[k], taken[i], k = i, true, k + 1
    end
  end
end

local function glance_weights()
  local weights = {}
  for k = 1, SLATE do weights[k] = constants.position_bias ^ (k - 1) end
  return random.cumulative(weights)
end

--- Draw the first engagements, in the order of time.
---@param state table   from world.draw
---@param seed integer
---@param n integer     how many
---@param visit fun(engagement: table)  { user, article (positions), time (ms), position, slate (10 positions; 0 where
---  fewer are left), fit }; the table is used again for the next one
---@return integer uniform_from  time (ms) since which slates are uniform
function simulate.engagements(state, seed, n, visit)
  local all = draw_all_moments(state, random.stream(seed, "moments"), n)
  local draw, cards = random.stream(seed, "engagements"), random.stream(seed, "slates")
  local glances, stock, seen = glance_weights(), new_stock(state), {}
  for i, user in ipairs(state.users) do
    seen[i], user.highest, user.factors, user.chances = {}, highest_fits(user), {}, {}
    for b, fit in ipairs(user.highest) do user.factors[b] = math.exp(fit) end
  end
  local switch = all[math.floor(constants.uniform_from * #all) + 1] >> USER_BITS
  local mask, engagement = (1 << USER_BITS) - 1, { slate = {} }
  for _, moment in ipairs(all) do
    local i, at = moment & mask, moment >> USER_BITS
    local user, now = state.users[i], state.start + at
    stock:advance(now, at >= switch)
    local article = choose(stock, user, seen[i], draw)
    if article then
      local position = cards.pick(glances)
      engagement.user, engagement.article, engagement.time, engagement.position = i, article, now, position
      fill_slate(stock, article, position, seen[i], cards, engagement.slate)
      engagement.fit = world.fit(user, state.articles[article])
      seen[i][article] = true
      stock.engaged[article] = stock.engaged[article] + 1
      visit(engagement)
    end
  end
  return state.start + switch
end

return simulate
