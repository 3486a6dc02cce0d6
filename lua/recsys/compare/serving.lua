--- A family's model as it is served: published, opened, asked. What it weighs, how fast it answers, what it says of
--- people and items that training has not met.
---
--- The bundle knows what was known before the test: test rows are not in its histories, so that their people can be
--- asked by experiment. All answers are those of recsys.serve, which POST /recommend gives.

local base = require "recsys.base"
local exit = require "recsys.exit"
local files = require "recsys.files"
local flow = require "recsys.flow"
local job = require "recsys.job"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"

local serving = {}

local WARM <const> = 20           -- requests before those that count
local DEEP <const> = 1000         -- places that are looked through for a new item
local HISTORY <const> = { 0, 1, 5 } -- posted events of a user whom nobody knows

--- The columns of a row of a frame, but for some, as a JSON object; nil where there is nothing to say.
---@param frame Frame
---@param row integer  from 1
---@param but table<string, true>
---@return string?
function serving.fields(frame, row, but)
  local fields = {}
  for _, column in ipairs(frame:schema()) do
    local value = not but[column.name] and frame:value(column.name, row)
    if type(value) == "table" then value = json.list(value) end
    if value or value == 0 then fields[column.name] = value end
  end
  return next(fields) and json.encode(fields) or nil
end

--- The dataset without the rows of the test, which a bundle is not to know.
local function before_test(data, split)
  local known = #split.valid > 0 and tensor.concat({ split.train, split.valid }):sort() or split.train
  return data:with(data.interactions:filter(known))
end

local function publish(p, found, test, data, split, run)
  local system
  for _, one in ipairs(test.systems) do system = one.name == found.family and one or system end
  local known = { fingerprint = test.fingerprint, split = split.protocol, queries = test.queries }
  return job.publish({ eval = p.eval, seed = p.seed, data = p.data, model = found.parameters.model,
    train = found.parameters.train, publish = { name = p.publish.prefix .. found.family, dir = p.publish.dir } },
    found.model, before_test(data, split), { metrics = system.metrics, intervals = system.intervals, test = known },
    run)
end

local function quantile(sorted, share) return sorted[math.max(1, math.ceil(share * #sorted))] end

--- The times of requests, one after another, each of another user.
local function latency(model, p)
  local facts, times, alike, shown = model:facts(), {}, 0, 0
  local requests = p.speed.requests
  for i = 1 - WARM, requests do
    local user = model:user(1 + (i + WARM) * 7919 % facts.users)
    local began = base.clock()
    local answer = assert(model:recommend { user = user, k = p.eval.k[1] })
    if i > 0 then
      times[i] = base.clock() - began
      for _, item in ipairs(answer.items) do
        shown = shown + 1
        for _, reason in ipairs(item.reasons) do
          alike = alike + (reason.kind == "like" and 1 or 0)
        end
      end
    end
  end
  table.sort(times)
  return { p50 = quantile(times, 0.5), p99 = quantile(times, 0.99), requests = requests,
    explained = shown > 0 and alike / shown or 0 }
end

--- The lists of all users at once.
local function batch(model, p)
  local began = base.clock()
  local rows, scores = assert(model:recommend_users { k = p.eval.k[1] })
  local seconds = base.clock() - began
  local n = rows:size(1)
  rows:close()
  scores:close()
  return { seconds = seconds, users = n }
end

local function place_of(answer, item)
  for _, one in ipairs(answer.items) do
    if one.item == item then return one.rank end
  end
end

--- People of the test as users whom nobody knows: asked after 0, 1 and 5 of their latest events were posted. What else
--- the real one had met is left out, so that only what he takes next is to be found.
local function cold_users(model, p, test, data)
  local k, found = p.eval.k[1], {}
  for at, n in ipairs(HISTORY) do found[at] = { events = n, hit = 0, ndcg = 0, popular = 0, asked = 0 } end
  for number, one in ipairs(test.cold) do
    local now, id, posted = one.time or model:facts().as_of, ("nobody %d"):format(number), 0
    local fields = serving.fields(data.users, one.user, { user = true })
    for at, n in ipairs(HISTORY) do
      while posted < n do -- the latest first: those before it go to their place in time
        local item = one.known[#one.known - posted]
        assert(model:advance { user = id, item = item, time = now - (posted + 1) * 1000 })
        posted = posted + 1
      end
      local answer = assert(model:recommend { user = id, fields = fields, now = now, k = k, exclude = one.known })
      local place = place_of(answer, one.item)
      local row = found[at]
      row.asked, row.popular = row.asked + 1, row.popular + (answer.fallback and 1 or 0)
      if place then row.hit, row.ndcg = row.hit + 1, row.ndcg + 1 / math.log(1 + place, 2) end
    end
  end
  for _, row in ipairs(found) do
    for _, name in ipairs { "hit", "ndcg", "popular" } do
      row[name] = row.asked > 0 and row[name] / row.asked or 0 / 0
    end
  end
  return found
end

--- Post a copy of an item under an id that nobody knows.
local function post_copy(model, data, row, id)
  local items = data.items
  return model:put { item = id, title = items:has "title" and items:value("title", row) or nil,
    created = items:has "created" and items:value("created", row) or nil,
    fields = serving.fields(items, row, { item = true, title = true, created = true }) }
end

local function median(places)
  if #places == 0 then return nil end
  table.sort(places)
  return places[(#places + 1) // 2]
end

--- The first so many events of different items.
local function distinct(events, most)
  local list, taken = {}, {}
  for _, one in ipairs(events) do
    if #list < most and not taken[one.item] then
      taken[one.item] = true
      list[#list + 1] = one
    end
  end
  return list
end

--- Items of the test posted anew, under ids that nobody knows, and who took them asked: where stands the copy, where
--- the one that training may have met?
local function new_items(model, p, test, data)
  local places, copies, asked, first, hundred = { copy = {}, original = {} }, {}, 0, 0, 0
  for _, one in ipairs(distinct(test.cold, p.cold.items)) do
    local id = ("new %d"):format(#copies + 1)
    local posted, message = post_copy(model, data, one.item_row, id)
    if not posted then return { refused = message } end
    local answer = assert(model:recommend { user = data.users:text("user", one.user), now = one.time, k = DEEP,
      exclude = copies })
    copies[#copies + 1] = id
    local copy, original = place_of(answer, id), place_of(answer, one.item)
    asked = asked + 1
    table.insert(places.copy, copy or DEEP + 1)
    table.insert(places.original, original or DEEP + 1)
    first, hundred = first + (copy and copy <= p.eval.k[1] and 1 or 0), hundred + (copy and copy <= 100 and 1 or 0)
  end
  if asked == 0 then return { refused = "the test has nobody to ask" } end
  return { asked = asked, median = median(places.copy), median_original = median(places.original),
    among_first = first / asked, among_100 = hundred / asked, deepest = DEEP }
end

local function measured(p, found, test, data, split, run)
  local published = assert(publish(p, found, test, data, split, run))
  local began = base.clock()
  local model <close> = assert(serve.open(published.bundle))
  local result = { bundle = published.bundle, bytes = lfs.attributes(published.bundle, "size"),
    opened = base.clock() - began, latency = latency(model, p), batch = batch(model, p) }
  result.resident = select(2, base.memory())
  result.cold_users = cold_users(model, p, test, data)
  local again <close> = assert(serve.open(published.bundle))
  result.new_items = new_items(again, p, test, data)
  log.info("  %s: %.1f MB, p50 %.2f ms, p99 %.2f ms", found.family, result.bytes / 1e6, result.latency.p50 * 1e3,
    result.latency.p99 * 1e3)
  return result
end

--- What a family has whose model is not served: nothing that was measured, and why.
---@param why string
---@return table
function serving.unserved(why)
  local none, cold = 0 / 0, {}
  for i, n in ipairs(HISTORY) do cold[i] = { events = n, asked = 0, ndcg = none, hit = none, popular = none } end
  return { unserved = why, bytes = none, opened = none, latency = { p50 = none, p99 = none, explained = none,
    requests = 0 }, batch = { seconds = none, users = 0 }, cold_users = cold, new_items = { refused = why } }
end

--- Publish a family's model and measure it.
---@param p table
---@param found table    what recsys.compare.tuning gave
---@param test table     what recsys.compare.testing gave
---@param run string     the run's name
---@return table  plain data: bundle, bytes, opened (seconds), latency, batch, cold_users, new_items; where the model
---  cannot be served `unserved` says why and no figure is a number; of a family that has no model `failed` alone
function serving.run(p, found, test, data, split, run)
  if found.failed then return { failed = found.failed } end
  local ok, result = xpcall(measured, exit.traced, p, found, test, data, split, run)
  if ok then return result end
  if type(result) == "table" and result.signal then error(result, 0) end
  local why = exit.message_of(result)
  log.warn("%s is not served: %s", found.family, why)
  return serving.unserved(why)
end

flow.valid(serving.run, function(result)
  return result.bundle and files.exists(result.bundle), "its bundle is gone"
end)

return serving
