--- The protocol of the news sample, walked the plain way: what the fast evaluator's answers on it can be checked with.
---
--- Each event of the last tenth of first engagements, at time t, ranks the articles created before t and at most
--- live_days old, minus those that the user engaged with before t.
local constants = require "recsys.sample.constants"

local ranking = {}

local LIVE_MS <const> = constants.live_days * 86400000

--- Go through every so many-th test event. 'visit' gets the query's number, user, article (positions), time and the
--- candidates; 'learn' is told of every event of the log once it is past.
---@param data table  of visible.read
---@param every integer
---@param visit fun(query: integer, user: integer, article: integer, time: integer, candidates: integer[])
---@param learn? fun(e: integer, user: integer, article: integer, time: integer)
function ranking.walk(data, every, visit, learn)
  local log, articles, seen, low, high = data.log, data.articles, {}, 1, 0
  local from = ranking.test_from(data)
  for u = 1, #data.users do seen[u] = {} end
  for e = 1, #log.user do
    local user, article, time = log.user[e], log.article[e], log.time[e]
    local query = e - from + 1
    if query > 0 and query % every == 0 then
      while articles[low].created < time - LIVE_MS do low = low + 1 end
      while high < #articles and articles[high + 1].created < time do high = high + 1 end
      local candidates = {}
      for i = low, high do
        if not seen[user][i] then candidates[#candidates + 1] = i end
      end
      visit(query, user, article, time, candidates)
    end
    seen[user][article] = true
    if learn then learn(e, user, article, time) end
  end
end

--- The first event of the last tenth, and of the last fifth (from which training may see nothing).
function ranking.test_from(data) return #data.log.user * 9 // 10 + 1 end
function ranking.valid_from(data) return #data.log.user * 8 // 10 + 1 end

--- The test events as the oracle wants them asked, with the catalogue in file order.
function ranking.queries(data)
  local queries, ids = { user = {}, time = {} }, {}
  for e = ranking.test_from(data), #data.log.user do
    queries.user[#queries.user + 1] = data.users[data.log.user[e]].id
    queries.time[#queries.time + 1] = data.log.time[e]
  end
  for i, article in ipairs(data.articles) do ids[i] = article.id end
  return queries, ids
end

--- NDCG@10 of one relevant item when 'score' ranks the candidates; ties count at their expectation.
function ranking.ndcg_10(article, candidates, score)
  local own, above, equal, sum = score(article), 0, 0, 0
  for _, i in ipairs(candidates) do
    local s = score(i)
    if s > own then above = above + 1 elseif s == own then equal = equal + 1 end
  end
  for rank = above + 1, math.min(above + equal, 10) do sum = sum + 1 / math.log(rank + 1, 2) end
  return sum / equal
end

--- Counts of engagements by article over the whole past or a window of it (hours), in groups of users.
---@return table counts  :add(group, article, time); :of(group, time) -> article -> count
function ranking.counter(hours)
  local window, by_group, from, past = hours and hours * 3600000 or math.huge, {}, 1, {}
  local function group_of(group)
    by_group[group] = by_group[group] or {}
    return by_group[group]
  end
  local counter = {}
  function counter.add(group, article, time)
    past[#past + 1] = { group, article, time }
    local counts = group_of(group)
    counts[article] = (counts[article] or 0) + 1
  end
  function counter.of(group, time)
    while past[from] and past[from][3] < time - window do
      local counts = by_group[past[from][1]]
      counts[past[from][2]] = counts[past[from][2]] - 1
      from = from + 1
    end
    return group_of(group)
  end
  return counter
end

return ranking
