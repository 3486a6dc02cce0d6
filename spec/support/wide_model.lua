--- A model of more users and items than a person would write down, untrained, published: for specs that compare many
--- answers. Items have a kind, a price, tags and a creation time; users a platform, an age and likes.

local base = require "recsys.base"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local registry = require "recsys.registry"
local tensor = require "recsys.tensor"

local wide = { n_users = 1200, n_items = 700, n_events = 9000, day = 86400000 }

local KINDS <const> = { "sport", "city", "world", "culture", "money" }
local PLATFORMS <const> = { "ios", "android", "web" }

local function draws(purpose_step)
  local stream, at = base.stream(17, "user", 0, purpose_step), 0
  return function(n)
    at = at + 1
    return stream:below(at, n)
  end
end

--- { kind, price, tags, created } of each item, as Lua values; price nil where it is missing.
function wide.item_values()
  local draw, rows = draws(1), {}
  for i = 1, wide.n_items do
    local tags = {}
    for tag in ("abcd"):gmatch "." do
      if draw(3) == 0 then tags[#tags + 1] = tag end
    end
    rows[i] = { kind = KINDS[1 + draw(#KINDS)], price = draw(10) > 0 and draw(2000) / 100 or nil, tags = tags,
      created = (1 + draw(40)) * wide.day }
  end
  return rows
end

local function items(values)
  local ids, kinds, prices, tags, created = {}, {}, {}, {}, {}
  for i, item in ipairs(values) do
    ids[i], kinds[i], prices[i], tags[i], created[i] = "i" .. i, item.kind, item.price or 0 / 0, item.tags, item.created
  end
  return frame.from { { "item", "string", ids }, { "kind", "string", kinds }, { "price", "number", prices },
    { "tags", "list", tags }, { "created", "time", created } }
end

local function users()
  local draw, ids, platforms, ages, likes = draws(2), {}, {}, {}, {}
  for i = 1, wide.n_users do
    ids[i], platforms[i], ages[i] = "u" .. i, PLATFORMS[1 + draw(3)], 15 + draw(60)
    likes[i] = { tostring(i % 7), tostring(i % 4) }
  end
  return frame.from { { "user", "string", ids }, { "platform", "string", platforms }, { "age", "number", ages },
    { "likes", "list", likes } }
end

local function interactions()
  local draw, columns = draws(3), { {}, {}, {} }
  for i = 1, wide.n_events do
    columns[1][i], columns[2][i] = "u" .. 1 + draw(wide.n_users), "i" .. 1 + draw(wide.n_items)
    columns[3][i] = 40 * wide.day + i * 60000
  end
  return frame.from { { "user", "string", columns[1] }, { "item", "string", columns[2] },
    { "time", "time", columns[3] } }
end

local function merged(a, b)
  for name, t in pairs(b) do a[name] = t end
  return a
end

--- Dataset, encoder, model and the values of the items.
function wide.build()
  local self = { values = wide.item_values() }
  self.dataset = { name = "wide", fingerprint = ("1"):rep(64), users = users(), items = items(self.values),
    interactions = interactions() }
  self.encoder = feature.fit(self.dataset, nil, {
    user = { feature.id { "user" }, feature.category { "platform" }, feature.number { "age" },
      feature.categories { "likes" } },
    event = { feature.history { of = "id", length = 5 } },
    item = { feature.id { "item" }, feature.category { "kind" } },
  })
  local network = require "models.two_tower"({ dim = 16, hidden = { 24 }, dropout = 0, temperature = 1, bias = false },
    self.encoder, { seed = 5 })
  local first = tensor.arange(0, 1, "i64")
  local events = self.encoder:encode_users_at(self.dataset, first)
  self.model = require("recsys.model").record(network, self.encoder, "two_tower", {},
    { user = merged(self.encoder:encode_users(self.dataset.users):gather(first), events:gather(first)),
      item = self.encoder:encode_items(self.dataset.items):gather(first) })
  return self
end

---@return string path
function wide.publish(self, dir)
  return assert(registry.publish { name = "wide", dir = dir, model = self.model, dataset = self.dataset })
end

return wide
