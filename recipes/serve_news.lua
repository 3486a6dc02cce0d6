--- The front page of a news app, beside the server's own answers: what the editors have pinned, then what the reader is
--- likely to read, then a few sections; every article once.
---
---     recsys-run recipes/two_tower.lua                       a model of the sample
---     recsys-run serve recipes/serve_news.lua --bundle two_tower
---     curl -s localhost:8080/frontpage -H 'Content-Type: application/json' -d '{"user": "u1", "sections": ["sport"]}'
---
--- Each worker runs this file in a Lua state of its own: what is kept in a variable is kept in that worker alone.

local recsys = require "recsys"

local TOPIC <const> = "categories" -- the column of the articles that sections are of
local MOST <const> = 12            -- sections of a page

--- Ids of items, and each into 'had'.
local function note(items, had)
  for _, item in ipairs(items) do had[#had + 1] = item.id end
  return items
end

--- The articles that the editors want on top, in their order; those that the catalogue lacks are left out.
local function pinned(server, user, ids)
  if #ids == 0 then return {} end
  local answer, message, status = server:recommend { user = user, k = #ids, filter = { item = ids },
    exclude_seen = false, fallback = false }
  if not answer then server:refuse(status, "pins: " .. message) end
  local by_id, found = {}, {}
  for _, item in ipairs(answer.items) do by_id[item.id] = item end
  for _, id in ipairs(ids) do
    if by_id[id] then
      by_id[id].source = "editor"
      found[#found + 1] = by_id[id]
    end
  end
  return found
end

--- The best k articles that are not on the page yet, of a topic where one is given.
local function best(server, user, k, had, topic)
  local answer, message, status = server:recommend { user = user, k = k, exclude = had,
    filter = topic and { [TOPIC] = topic } or nil, caps = not topic and { [TOPIC] = 2 } or nil,
    freshness = { half_life = "1d", boost = 0.05 } }
  if not answer then server:refuse(status, message) end
  return answer
end

local function texts(value, name, most, server)
  if value == nil then return {} end
  if type(value) ~= "table" or #value > most then
    server:refuse(400, ("%s: a list of at most %d"):format(name, most))
  end
  for _, text in ipairs(value) do
    if type(text) ~= "string" then server:refuse(400, name .. ": a list of strings") end
  end
  return value
end

return recsys.serve_recipe {
  about  = "The front page of a news app",
  bundle = "two_tower@champion",
  limits = { time = 0.25, memory = 32 },

  handlers = {
    --- { user, sections?, pins?, lead? } -> { pinned, lead, sections = { { topic, items } }, model_version }
    ["POST /frontpage"] = function(request, server)
      local asked, had = request.json, {}
      if type(asked.user) ~= "string" then server:refuse(400, "user: a string") end
      local topics = texts(asked.sections, "sections", MOST, server)
      local page = { pinned = note(pinned(server, asked.user, texts(asked.pins, "pins", MOST, server)), had) }
      local lead = best(server, asked.user, math.tointeger(asked.lead) or 6, had)
      page.lead, page.model_version, page.fallback = note(lead.items, had), lead.model_version, lead.fallback
      page.sections = recsys.json.list {}
      for i, topic in ipairs(topics) do
        page.sections[i] = { topic = topic, items = note(best(server, asked.user, 4, had, topic).items, had) }
      end
      recsys.json.list(page.pinned)
      return page
    end,
  },

  --- A list that nobody has given caps has at most three articles of a topic.
  before = function(asked)
    if asked.caps == nil and asked.users == nil then asked.caps = { [TOPIC] = 3 } end
  end,
}
