--- The best scores there can be on the news sample, with and without what is hidden.
---
--- best_possible scores by the exact log-probability with which the generator draws the event, given all hidden state;
--- no model can beat it. best_observable knows the generator's laws but neither appeal nor affinities: it puts their
--- expectation given content, past events and the user's training events. Both are dot products of a query's and
--- an article's vector (the terms that all articles of a query share are left out), so ranking them costs what ranking
--- a two-tower model does.
local constants = require "recsys.sample.constants"
local files = require "recsys.files"
local posterior = require "recsys.sample.posterior"
local visible = require "recsys.sample.visible"
local words = require "recsys.sample.words"

local oracle = {}

local DAY_MS <const> = 86400000
local N <const> = #words.topics
local LANGUAGES <const> = #words.languages
local DISTRICTS <const> = #words.districts
local BLOCKS <const> = 24 -- appeal is believed anew this often over the time of the queries

local Oracle = {}
Oracle.__index = Oracle

local function numbers(row, from)
  local list = {}
  for i = from, #row do list[#list + 1] = tonumber(row[i]) end
  return list
end

local function read_hidden(dir)
  local text = {}
  for _, name in ipairs { "users", "articles" } do
    local bytes, message = files.read(("%s/hidden/%s.csv"):format(dir, name))
    if not bytes then return nil, message, "io" end
    text[name] = bytes
  end
  local hidden = { users = {}, articles = {} }
  for i, row in ipairs(visible.parse(text.users)) do
    if i > 1 then
      hidden.users[row[1]] = { language = tonumber(row[2]), foreign = tonumber(row[3]), district = tonumber(row[4]),
        affinity = numbers(row, 6) }
    end
  end
  for i, row in ipairs(visible.parse(text.articles)) do
    if i > 1 then
      local n = numbers(row, 2)
      hidden.articles[row[1]] = { topic = n[1], second = n[2], language = n[3], district = n[4], created = n[6],
        appeal = n[7] }
    end
  end
  return hidden
end

--- Open the oracle of a sample.
---@param dir string  the folder that news.generate made
---@return table|nil oracle
---@return string? message, string? code  "io", or "format" when the folder holds the sample of another version
function oracle.load(dir)
  local stamp, message = files.read(dir .. "/stamp.json")
  if not stamp then return nil, message, "io" end
  if not stamp:find(constants.hash, 1, true) then
    return nil, dir .. " holds a sample of other constants than this version's: make it again", "format"
  end
  local hidden, refused, code = read_hidden(dir)
  if not hidden then return nil, refused, code end
  return setmetatable({ dir = dir, hidden = hidden, uniform_from = tonumber(stamp:match '"uniform_from": (%d+)') },
    Oracle)
end

--- The texts of a frame's string column.
local function texts(frame, name)
  local strings, list = frame:strings(name), {}
  for n, code in ipairs(frame:column(name):tolist()) do list[n] = strings[code] end
  return list
end

--- Ask about interactions of a dataset made from the sample.
---@param dataset table   with interactions (user, time) and items (item), whose keys are the sample's ids
---@param rows Tensor     i64, 0-based rows of the interactions
---@return table queries  { user = string[], time = integer[] }, one for each of the rows
---@return string[] ids   the catalogue's articles, in its order
function oracle.queries(dataset, rows)
  local chosen = dataset.interactions:select { "user", "time" }:filter(rows)
  return { user = texts(chosen, "user"), time = chosen:column("time"):tolist() }, texts(dataset.items, "item")
end

local function zeros(n)
  local list = {}
  for i = 1, n do list[i] = 0.0 end
  return list
end

--- Where the terms of a vector lie: topics, languages, towns, then what is added.
local LANGUAGE_AT <const> = N
local DISTRICT_AT <const> = N + LANGUAGES
local ADDED_AT <const> = N + LANGUAGES + DISTRICTS

--- Freshness: the age's term without the query's time, which all articles share.
local function freshness(created, middle) return (created - middle) / (constants.decay_days * DAY_MS) end

local function possible_user(user)
  local v = zeros(ADDED_AT + 1)
  for topic = 1, N do v[topic] = user.affinity[topic] end
  for language = 1, LANGUAGES do
    v[LANGUAGE_AT + language] = language == user.language and 0.0 or user.foreign
  end
  for district = 1, DISTRICTS do
    v[DISTRICT_AT + district] = district == user.district and constants.here or constants.elsewhere
  end
  v[ADDED_AT + 1] = 1.0
  return v
end

local function possible_item(article, middle)
  local v, w = zeros(ADDED_AT + 1), article.second > 0 and constants.second_weight or 0
  v[article.topic] = 1 - w
  if w > 0 then v[article.second] = w end
  v[LANGUAGE_AT + article.language] = 1.0
  if article.district > 0 then v[DISTRICT_AT + article.district] = 1.0 end
  v[ADDED_AT + 1] = article.appeal + freshness(article.created, middle)
  return v
end

local function observable_user(beliefs, u)
  local affinity, language, place = beliefs:user(u)
  local v = zeros(ADDED_AT + 1)
  for topic = 1, N do v[topic] = math.log(affinity[topic]) end
  for l = 1, LANGUAGES do v[LANGUAGE_AT + l] = math.log(language[l]) end
  for district = 1, DISTRICTS do v[DISTRICT_AT + district] = math.log(place[district]) end
  v[ADDED_AT + 1] = 1.0
  return v
end

local function observable_item(beliefs, data, i, middle)
  local v, article = zeros(ADDED_AT + 1 + BLOCKS), data.articles[i]
  for topic = 1, N do v[topic] = beliefs.about[i].mixture[topic] end
  v[LANGUAGE_AT + article.language] = 1.0
  if article.district > 0 then v[DISTRICT_AT + article.district] = 1.0 end
  v[ADDED_AT + 1] = freshness(article.created, middle)
  return v
end

--- The time of the first and the last query, and the number of the block of time that each lies in.
local function blocks_of(times)
  local first, last = math.huge, -math.huge
  for _, time in ipairs(times) do first, last = math.min(first, time), math.max(last, time) end
  local length, blocks = (last - first) // BLOCKS + 1, {}
  for q, time in ipairs(times) do blocks[q] = (time - first) // length + 1 end
  return blocks, first, length
end

--- Go through the log up to the last block's beginning, writing each block's beliefs of appeal into the items; users
--- are believed what the log says until 'learn_until'.
local function follow_log(self, data, beliefs, items, first, length, learn_until)
  local log, users, block = data.log, nil, 1
  local function freeze()
    users = {}
    for u = 1, #data.users do users[u] = observable_user(beliefs, u) end
  end
  for e = 1, #log.user + 1 do
    local time = log.time[e] or math.huge
    if not users and time >= learn_until then freeze() end
    while block <= BLOCKS and time >= first + (block - 1) * length do
      for i, item in ipairs(items) do item[ADDED_AT + 1 + block] = math.log(beliefs:appeal_of(i)) end
      block = block + 1
    end
    if block > BLOCKS and users then break end
    if log.user[e] then
      beliefs:advance(time, time >= self.uniform_from)
      beliefs:observe(log.user[e], log.article[e], time < learn_until)
    end
  end
  return users
end

local function possible(self, queries, ids)
  local users, items, of = {}, {}, {}
  local _, first, length = blocks_of(queries.time)
  local middle = first + length * BLOCKS // 2
  for n, id in ipairs(ids) do
    local article = self.hidden.articles[id]
    if not article then return nil, ("article %s is not of this sample"):format(id), "argument" end
    items[n] = possible_item(article, middle)
  end
  for q, id in ipairs(queries.user) do
    local user = self.hidden.users[id]
    if not user then return nil, ("device %s is not of this sample"):format(id), "argument" end
    of[id] = of[id] or possible_user(user)
    users[q] = { of[id] }
  end
  return { users = users, items = items, width = ADDED_AT + 1 }
end

local function observable(self, queries, ids, learn_until)
  local data, message, code = visible.read(self.dir)
  if not data then return nil, message, code end
  local blocks, first, length = blocks_of(queries.time)
  local beliefs, middle, known = posterior.new(data, visible.oldest(first)), first + length * BLOCKS // 2, {}
  for i = 1, #data.articles do known[i] = observable_item(beliefs, data, i, middle) end
  local of = follow_log(self, data, beliefs, known, first, length, learn_until)
  local users, items, in_block = {}, {}, {}
  for n, id in ipairs(ids) do
    local i = data.article_at[id]
    if not i then return nil, ("article %s is not of this sample"):format(id), "argument" end
    items[n] = known[i]
  end
  for b = 1, BLOCKS do
    in_block[b] = zeros(BLOCKS)
    in_block[b][b] = 1.0
  end
  for q, id in ipairs(queries.user) do
    local u = data.user_at[id]
    if not u then return nil, ("device %s is not of this sample"):format(id), "argument" end
    users[q] = { of[u], in_block[blocks[q]] }
  end
  return { users = users, items = items, width = ADDED_AT + 1 + BLOCKS }
end

--- Vectors whose dot products score every article for every query.
---@param kind "best_possible"|"best_observable"
---@param queries { user: string[], time: integer[] }  device and moment (ms) of each query
---@param ids string[]      the catalogue's articles, in its order
---@param learn_until integer?  best_observable: users are known by their events before this time (ms); default: the
---  first query's
---@return table|nil vectors  { users = number[][][] (a query's vector is its parts one after another; they are
---  shared), items = number[][], width = integer }
---@return string? message, string? code
function Oracle:vectors(kind, queries, ids, learn_until)
  if kind == "best_possible" then return possible(self, queries, ids) end
  assert(kind == "best_observable", "kind must be best_possible or best_observable")
  if not learn_until then
    learn_until = math.huge
    for _, time in ipairs(queries.time) do learn_until = math.min(learn_until, time) end
  end
  return observable(self, queries, ids, learn_until)
end

--- 'vectors' as one float32 matrix of 'width' columns; equal parts are packed once.
local function pack(vectors, width, tensor)
  local rows, packed = {}, {}
  local function bytes(part)
    packed[part] = packed[part] or ("<" .. ("f"):rep(#part)):pack(table.unpack(part))
    return packed[part]
  end
  for n, vector in ipairs(vectors) do
    if type(vector[1]) == "table" then
      rows[n] = #vector == 1 and bytes(vector[1]) or bytes(vector[1]) .. bytes(vector[2])
    else
      rows[n] = bytes(vector)
    end
  end
  return tensor.from_string(table.concat(rows), "f32", #vectors, width)
end

--- The same as tensors, ready to be ranked.
---@return { users: Tensor, items: Tensor }|nil factors  f32 [queries, width] and [articles, width]
---@return string? message, string? code
function Oracle:factors(kind, queries, ids, learn_until)
  local vectors, message, code = self:vectors(kind, queries, ids, learn_until)
  if not vectors then return nil, message, code end
  local tensor = require "recsys.tensor"
  return { users = pack(vectors.users, vectors.width, tensor), items = pack(vectors.items, vectors.width, tensor) }
end

return oracle
