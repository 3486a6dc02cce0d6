--- The sets of features that families of recommenders read: what each could know, so that none is given less than its
--- kind can use, nor more.
---
---   ids       the ids of users and items
---   known     ids, and what the user took before as one history (`known`), for models that score by it
---   sequence  ids, and the latest of that history, for models of what comes next
---   all       recipes/features/SOURCE.lua: all that the source tells; where there is no such file, `sequence`
---   both      recipes/features/SOURCE_sequence.lua: those of `all`, and histories that a transformer reads in their
---             order; where there is no such file, `all` and the latest of the history

local feature = require "recsys.feature"
local lookup = require "recsys.lookup"

local features = {}

local KNOWN <const> = 4000 -- the most that `known` holds, the latest
local RECENT <const> = 50

local function ids()
  return { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
end

local function with_history(length, name)
  local declared = ids()
  declared.event = { feature.history { of = "id", length = length, name = name } }
  return declared
end

local sets
sets = {
  ids = ids,
  known = function() return with_history(KNOWN, "known") end,
  sequence = function() return with_history(RECENT, "history") end,
  all = function(source)
    local module = "recipes.features." .. source
    return lookup.file(module) and require(module) or with_history(RECENT, "history")
  end,
  both = function(source)
    local module = "recipes.features." .. source .. "_sequence"
    if lookup.file(module) then return require(module) end
    local all = sets.all(source)
    local event = table.move(all.event or {}, 1, #(all.event or {}), 1, {})
    event[#event + 1] = feature.history { of = "id", length = RECENT, name = "sequence", unknown = "keep" }
    return { user = all.user, event = event, item = all.item }
  end,
}

--- The declarations of a set, for recsys.feature.fit.
---@param name "ids"|"known"|"sequence"|"all"|"both"
---@param source string  of the data, for "all" and "both"
---@return table
function features.of(name, source)
  if not sets[name] then error(("bad argument #1 to 'of' (there is no set of features '%s')"):format(name), 2) end
  return sets[name](source)
end

return features
