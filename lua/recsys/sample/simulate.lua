--- simulate.lua - draw the events of the news sample from its hidden state.
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
--- For drawing, articles of one topic (and with or without a second one) share a bucket: a list of positions with
--- running sums of their weights, of which low .. high are live. 'weight' is policy * exp(appeal + created / decay),
--- 'policy' the logging policy's alone, also as running sums over all positions.
local Stock = {}
Stock.__index = Stock

local function bucket_of(article) return 2 * article.topic - (article.second > 0 and 0 or 1) end

local function new_stock(state)
  local n = #words.topics
  local stock = setmetatable({ articles = state.articles, low = 1, high = 0, refresh = 0, uniform = false,
    intrinsic = {}, engaged = {}, policy = { [0] = 0 }, buckets = {} }, Stock)
  for b = 1, 2 * n do stock.buckets[b] = { positions = {}, sums = { [0] = 0 }, low = 1, high = 0 } end
  for i, article in ipairs(state.articles) do
    stock.engaged[i] = 0
    stock.intrinsic[i] = math.exp(article.appeal
      + (article.created - state.start) / (constants.decay_days * DAY_MS))
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

--- Recompute the running sums for the articles live from 'now' until one hour later (always, once uniform).
local function reweigh(stock, now)
  stock.refresh = stock.uniform and math.huge or now + HOUR_MS
  local last, policy, sum = stock.low - 1, stock.policy, 0
  policy[last] = 0
  local weights = {}
  while last < #stock.articles and stock.articles[last + 1].created < stock.refresh do
    last = last + 1
    weights[last] = policy_weight(stock, last, now)
    sum = sum + weights[last]
    policy[last] = sum
  end
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

--- Move to time 'now' (ms): articles created before it and at most live_days old are live.
function Stock:advance(now, uniform)
  local articles, low, high = self.articles, self.low, self.high
  local oldest = now - constants.live_days * DAY_MS
  while articles[low].created < oldest do low = low + 1 end
  while high < #articles and articles[high + 1].created < now do high = high + 1 end
  local moved = low ~= self.low or high ~= self.high
  self.low, self.high = low, high
  if moved then move_buckets(self) end
  if now >= self.refresh or uniform ~= self.uniform then
    self.uniform = uniform
    reweigh(self, now)
    moved = true
  end
  if moved then
    for _, bucket in ipairs(self.buckets) do
      bucket.mass = bucket.high >= bucket.low and bucket.sums[bucket.high] - bucket.sums[bucket.low - 1] or 0
    end
  end
end

--- For each bucket the most that the fit of one of its articles can be for a user.
local function highest_fits(user)
  local affinity, highest = user.affinity, user.affinity[1]
  for topic = 2, #affinity do highest = math.max(highest, affinity[topic]) end
  local w, fits = constants.second_weight, {}
  for topic = 1, #affinity do
    fits[2 * topic - 1] = affinity[topic] + constants.here
    fits[2 * topic] = (1 - w) * affinity[topic] + w * highest + constants.here
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

--- The article that the user engages with next; nil when he has seen all.
local function choose(stock, user, seen, draw)
  local articles, buckets, factors, chances = stock.articles, stock.buckets, user.factors, user.chances
  local uniform, search, total = draw.uniform, random.search, 0
  for b, bucket in ipairs(buckets) do
    total = total + bucket.mass * factors[b]
    chances[b] = total
  end
  for _ = 1, 50 do
    local b = search(chances, 1, #chances, uniform() * total)
    local bucket = buckets[b]
    local base = bucket.sums[bucket.low - 1]
    local i = bucket.positions[search(bucket.sums, bucket.low, bucket.high, base + uniform() * bucket.mass)]
    if not seen[i] and uniform() < math.exp(world.fit(user, articles[i]) - user.highest[b]) then return i end
  end
  return choose_listed(stock, user, seen, draw)
end

--- The other cards of the slate: distinct live unseen articles, drawn by the policy; fewer when few are left.
local function fill_slate(stock, chosen, position, seen, draw)
  local slate, taken = {}, { [chosen] = true }
  slate[position] = chosen
  local policy, low, high = stock.policy, stock.low, stock.high
  local base = policy[low - 1]
  local total, k = policy[high] - base, 1
  for _ = 1, 20 * constants.slate do
    if k == position then k = k + 1 end
    if k > constants.slate then break end
    local i = stock.uniform and low - 1 + draw.below(high - low + 1)
      or random.search(policy, low, high, base + draw.uniform() * total)
    if not seen[i] and not taken[i] then
      slate[k], taken[i], k = i, true, k + 1
    end
  end
  for at = 1, constants.slate do slate[at] = slate[at] or 0 end
  return slate
end

local function glance_weights()
  local weights = {}
  for k = 1, constants.slate do weights[k] = constants.position_bias ^ (k - 1) end
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
  local mask, engagement = (1 << USER_BITS) - 1, {}
  for _, moment in ipairs(all) do
    local i, at = moment & mask, moment >> USER_BITS
    local user, now = state.users[i], state.start + at
    stock:advance(now, at >= switch)
    local article = choose(stock, user, seen[i], draw)
    if article then
      local position = cards.pick(glances)
      engagement.user, engagement.article, engagement.time, engagement.position = i, article, now, position
      engagement.slate = fill_slate(stock, article, position, seen[i], cards)
      engagement.fit = world.fit(user, state.articles[article])
      seen[i][article] = true
      stock.engaged[article] = stock.engaged[article] + 1
      visit(engagement)
    end
  end
  return state.start + switch
end

return simulate
