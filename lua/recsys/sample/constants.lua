--- The frozen numbers of the news sample. docs/news-sample.md gives the formulas that they stand in.
---
--- A published score on the sample is only comparable while these stay as they are: a spec keeps their hash and that
--- of the bytes of a small sample, and whoever changes either raises 'version'. Affinities are in units of log-odds;
--- times in days unless named otherwise.
local random = require "recsys.sample.random"
local words = require "recsys.sample.words"

local constants = {
  version = 1,

  -- Size at scale 1. Devices and articles grow with the square root of the scale, events with the scale.
  devices = 10400, articles = 9100, events = 3500000,

  -- Time: articles appear from 'live_days' before the first event on, so that the stock is level from the start.
  start_ms = 1704067200000, -- 2024-01-01T00:00:00Z
  days = 21, live_days = 7, decay_days = 2.0,
  uniform_from = 0.75, -- the share of first engagements after which slates are uniform over the live articles

  -- Users.
  favourites = { 4.4, 3.8, 3.2 }, favourite_spread = 0.35, -- affinity of each favourite topic: mean, deviation
  other_spread = 0.5,                                      -- affinity of all other topics: N(0, 0.5^2)
  hindi_users = 0.42, bilingual = 0.3,
  foreign = { monolingual = -2.5, bilingual = -0.5 },      -- an article in the other language
  newcomers = 0.3,                                         -- users who arrive while the log runs
  activity_spread = 0.8, activity_limit = 4.0,             -- log-normal rate, cut at this multiple of its median
  session_length = 4.0, session_gap_s = 45,

  -- Articles.
  hindi_articles = 0.42, second_topic = 0.3, second_weight = 0.3,
  appeal_spread = 0.35,
  local_share = 0.35, here = 0.9, elsewhere = -0.6,        -- an article about the user's own, or another, town
  category_missing = 0.12, category_wrong = 0.08,
  source_lean = 0.75, topical_words = 0.55,                -- chance that the source, and each word, follow the topic

  -- The app.
  slate = 10, position_bias = 0.75,                        -- glance at card k in proportion to position_bias^(k-1)
  policy_popularity = 0.5, policy_fresh_days = 3.0,        -- logging policy: (1 + engagements)^0.5 exp(-age / 3 days)

  -- Events, as shares of the rows; what is left are reading events (TimeSpent-Front).
  back = 0.013, bookmarked = 0.003, shared = 0.001, unbookmarked = 0.001,
  rereads = 0.06,                                          -- share of the reading events that repeat an earlier one
  time_spent = { level = 1.6, slope = 0.22, spread = 0.6 }, -- log seconds = level + slope * affinity + noise

  -- Dirt: empty fields, and malformed rows added to each file.
  missing = { os_version = 0.03, model = 0.05, networkType = 0.08, district = 0.06, language_selected = 0.03,
    last_active_at = 0.02, sourceName = 0.02, newsDistrict = 0.03, newsType = 0.01, content = 0.01,
    cardViewPosition = 0.02 },
  malformed = { devices = 0.002, contents = 0.002, events = 0.001 },
}

--- One line of text for any value, the same on every machine.
local function canonical(value)
  if math.type(value) == "float" then return ("%.17g"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do keys[i] = tostring(key) .. "=" .. canonical(value[key]) end
  return "{" .. table.concat(keys, ",") .. "}"
end

--- The fingerprint of all that defines the sample: these numbers and the words. 16 hexadecimal digits.
local function hash()
  return ("%016x"):format(random.fnv1a(canonical(constants) .. canonical(words)))
end

return setmetatable({}, {
  __index = function(_, name)
    if name == "hash" then return hash() end
    return constants[name] == nil and error("the sample has no constant '" .. tostring(name) .. "'", 2)
      or constants[name]
  end,
  __newindex = function(_, name) error("constant '" .. tostring(name) .. "' of the sample is frozen", 2) end,
})
