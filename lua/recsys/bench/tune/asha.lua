--- What ASHA saves on the news sample: recipes/two_tower.lua with its own search space, whole and with `--pruner asha`.
---
--- A search with ASHA has as many trials as the whole one, by the same sampler and seed. Two figures are judged,
--- medians over the seeds: its best validation metric beside that of the whole search, and the share of the whole
--- search's epochs that it trained. Each trial is a process of its own, as in `recsys-run tune`; epochs are counted
--- in what the trials report.
---
--- RECSYS_LONG has 10 seeds, otherwise there are 3.

local files = require "recsys.files"
local host = require "recsys.host"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local resume = require "recsys.resume"
local study_of = require "recsys.tune.study"
local tuned = require "recsys.tune.recipe"

local TRIALS <const>, EPOCHS <const> = 27, 9

--- The best value of a search, and how many epochs its trials trained.
local function search(sampler, pruner, seed)
  local name = ("%s-%s-%d"):format(sampler, pruner, seed)
  local found = tuned.run { recipe = host.root .. "/recipes/two_tower.lua", study = name, trials = TRIALS,
    sampler = sampler, pruner = pruner, seed = seed, set = { "data.scale=0.01",
      "train.epochs=" .. EPOCHS, "track.enabled=false" } }
  local study <close> = study_of.attach { name = name, store = found.store }
  local epochs = 0
  for _, trial in ipairs(study:trials()) do
    for _ in pairs(trial.intermediate) do epochs = epochs + 1 end
  end
  return found.best.values[1], epochs
end

--- The two searches of each seed: lists of `ratio`, `share`, and of what they are made of.
local function searches(state, sampler)
  local lists = { ratio = {}, share = {}, best = {}, best_asha = {}, epochs = {}, epochs_asha = {} }
  for seed = 1, state.seeds do
    local best, epochs = search(sampler, "none", seed)
    local best_asha, epochs_asha = search(sampler, "asha", seed)
    local one = { ratio = best_asha / best, share = epochs_asha / epochs, best = best, best_asha = best_asha,
      epochs = epochs, epochs_asha = epochs_asha }
    for key, value in pairs(one) do lists[key][seed] = value end
  end
  return lists
end

local function spread(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  local median = n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
  return median, sorted[1], sorted[n]
end

return {
  about = ("%d trials of the two-tower retriever on the news sample: all whole, and with ASHA"):format(TRIALS),
  once = true, rounds = 1,
  prepare = function(folder, options)
    local seeds = os.getenv "RECSYS_LONG" and 10 or 3
    return { folder = folder .. "/asha", seeds = math.max(1, math.floor(seeds * options.scale)) }
  end,
  setup = function(arguments)
    resume.remove(arguments.folder)
    files.make_folder(arguments.folder)
    assert(lfs.chdir(arguments.folder))
    log.level = "quiet"
    return { seeds = arguments.seeds }
  end,
  run = function(state)
    state.found = { random = searches(state, "random"), tpe = searches(state, "tpe") }
    return { trials = TRIALS }
  end,
  facts = function(state) return state.found end,
  judge = function(sides)
    local list = json.list {}
    for _, sampler in ipairs { "random", "tpe" } do
      local found = sides.recsys.facts[sampler]
      for _, one in ipairs { { "ratio", "its best beside the whole search's", 0.98 },
        { "share", "its share of the whole search's epochs", 1 / 3 } } do
        local median, least, most = spread(found[one[1]])
        list[#list + 1] = { what = ("%s, %s: median of %d seeds (%.3g to %.3g)"):format(sampler, one[2],
          #found[one[1]], least, most), reached = median, wanted = one[3],
          holds = one[1] == "ratio" and median >= one[3] or one[1] == "share" and median <= one[3] }
      end
    end
    return list
  end,
}
