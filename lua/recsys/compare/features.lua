--- The sets of features that families of recommenders read: what each could know, so that none is given less than its
--- kind can use, nor more.
---
---   ids       the ids of users and items
---   known     ids, and what the user took before as one history (`known`), for models that score by it
---   sequence  ids, and the latest of that history, for models of what comes next
---   all       recipes/features/SOURCE.lua: all that the source tells; where there is no such file, `sequence`

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

local sets = {
  ids = ids,
  known = function() return with_history(KNOWN, "known") end,
  sequence = function() return with_history(RECENT, "history") end,
  all = function(source)
    local module = "recipes.features." .. source
    return lookup.file(module) and require(module) or with_history(RECENT, "history")
  end,
}

--- The declarations of a set, for recsys.feature.fit.
---@param name "ids"|"known"|"sequence"|"all"
---@param source string  of the data, for "all"
---@return table
function features.of(name, source)
  if not sets[name] then error(("bad argument #1 to 'of' (there is no set of features '%s')"):format(name), 2) end
  return sets[name](source)
end

return features
