--- The rows of events.csv: each engagement, and what follows later on the same article.
---
--- Later events fall on the engagements by selection sampling (Knuth 1981, 3.4.2, algorithm S) with a tilt to articles
--- that fit, so that there are exactly as many of each kind as the constants say.
local constants = require "recsys.sample.constants"
local random = require "recsys.sample.random"

local events = {}

local HOUR_MS <const> = 3600000
local TIME_SPENT, POSITION_MISSING <const> = constants.time_spent, constants.missing.cardViewPosition

--- Rows that wait for their time: a binary heap, earliest first, ties in order of entry.
local Pending = {}
Pending.__index = Pending

local function earlier(a, b) return a.time < b.time or (a.time == b.time and a.order < b.order) end

function Pending:push(time, line)
  self.order = self.order + 1
  local entry, at = { time = time, order = self.order, line = line }, #self + 1
  while at > 1 and earlier(entry, self[at // 2]) do
    self[at] = self[at // 2]
    at = at // 2
  end
  self[at] = entry
end

function Pending:pop()
  local first, last = self[1], table.remove(self)
  if #self == 0 then return first end
  local at, n = 1, #self
  while 2 * at <= n do
    local child = 2 * at
    if child < n and earlier(self[child + 1], self[child]) then child = child + 1 end
    if not earlier(self[child], last) then break end
    self[at] = self[child]
    at = child
  end
  self[at] = last
  return first
end

--- The kinds of later events: how many rows of each are left to place, and how soon after (ms) they come.
local function later_kinds(total)
  local function count(share) return math.floor(share * total + 0.5) end
  local bookmarked, unbookmarked = count(constants.bookmarked), count(constants.unbookmarked)
  local back, shared = count(constants.back), count(constants.shared)
  local reading = total - back - bookmarked - unbookmarked - shared
  return {
    { type = "TimeSpent-Front", left = math.floor(constants.rereads * reading + 0.5), within = 36 * HOUR_MS },
    { type = "TimeSpent-Back", left = back, within = 30000 },
    { type = "News Bookmarked", left = bookmarked, within = 20000, unbookmarked = unbookmarked },
    { type = "News Shared", left = shared, within = 40000 },
  }
end

---@class sample.Log
---@field n integer  the first engagements that leave room for the later events
local Log = {}
Log.__index = Log

--- A log of as many rows as the state's counts say.
---@param state table                of world.draw
---@param seed integer
---@param write fun(line: string)    takes the rows in the order of time
---@return sample.Log
function events.log(state, seed, write)
  local total = state.counts.events
  local self = setmetatable({ state = state, write = write, draw = random.stream(seed, "events"),
    pending = setmetatable({ order = 0 }, Pending), kinds = later_kinds(total), n = total }, Log)
  for _, kind in ipairs(self.kinds) do self.n = self.n - kind.left - (kind.unbookmarked or 0) end
  self.left = self.n
  return self
end

local function time_spent(draw, fit)
  local t = TIME_SPENT
  return ("%.3f"):format(math.min(900, math.exp(t.level + t.slope * fit + t.spread * draw.normal())))
end

local function row(self, e, kind, time, position)
  local seconds = kind:find "^TimeSpent" and time_spent(self.draw, e.fit) or ""
  return ("%s,%s,%d,%s,%s,%s\n"):format(self.state.users[e.user].id, kind, time, self.state.articles[e.article].id,
    position, seconds)
end

--- Some time after 'time', before the end of the log.
local function after(self, time, within)
  return time + self.draw.below(math.max(1, math.min(within, self.state.finish - time)))
end

--- A bookmark taken back, on as many of the bookmarks as there are to be.
local function unbookmark(self, kind, e, time, position)
  if self.draw.uniform() * (kind.left + 1) >= kind.unbookmarked then return end
  kind.unbookmarked = kind.unbookmarked - 1
  local later = after(self, time, 6 * HOUR_MS)
  self.pending:push(later, row(self, e, "News Unbookmarked", later, position))
end

local function follow_up(self, e, position)
  local tilt, left, draw = math.min(2, math.exp(0.25 * (e.fit - 3))), self.left, self.draw
  for _, kind in ipairs(self.kinds) do
    if kind.left == left or draw.uniform() * left < kind.left * tilt and kind.left > 0 then
      kind.left = kind.left - 1
      local time = after(self, e.time, kind.within)
      self.pending:push(time, row(self, e, kind.type, time, position))
      if kind.unbookmarked then unbookmark(self, kind, e, time, position) end
    end
  end
  self.left = left - 1
end

--- Write an engagement, and before it the later events whose time has come.
---@param e table  of simulate.engagements
function Log:add(e)
  local pending = self.pending
  while pending[1] and pending[1].time <= e.time do self.write(pending:pop().line) end
  local position = self.draw.uniform() < POSITION_MISSING and "" or tostring(e.position)
  self.write(row(self, e, "TimeSpent-Front", e.time, position))
  follow_up(self, e, position)
end

--- Write what is still pending.
function Log:finish()
  while self.pending[1] do self.write(self.pending:pop().line) end
end

return events
