--- Leave-one-out sets with given negatives, as Neural Collaborative Filtering publishes them (He et al. 2017,
--- doi:10.1145/3038912.3052569): NAME.train.rating (or .train.tsv) and NAME.test.rating with user, item, rating and
--- time between tabs, and NAME.test.negative, a line a test row: "(user,item)", then the items it is ranked among.
---
--- interactions: user, item, rating, time; items: all that the three files name. The parts of the split are the files'
--- names: ncf.parts(d). ncf.candidates asks a test row as published, ncf.hold_out and ncf.drawn tune the same way.

local base = require "recsys.base"
local files = require "recsys.files"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local ncf = {}

local NEGATIVES <const> = 99 -- a list, as published
local CHUNK <const> = 400     -- items in random order that are looked at, at once

local types = { user = "string", item = "string", rating = "number", time = "time_s" }

--- A frame of ratings: user, item, rating, time.
---@param path string
---@param _? string  the layout
---@param p? { bad_limit: number?, quarantine: string? }
---@param report? table
---@return Frame? ratings  nil, message, code
---@return string? message
---@return string? code
function ncf.read_interactions(path, _, p, report)
  local data = require "recsys.data"
  p = p or {}
  return data.read(path, { names = { "user", "item", "rating", "time" }, separator = "\t", quote = "", types = types,
    bad_limit = p.bad_limit, quarantine = data.quarantine(p, path:match "[^/]+$") }, report or {})
end

--- The refusal of a folder without the files.
function ncf.absent(dir)
  return nil, ("there is no NCF data in %s: NAME.train.rating (or NAME.train.tsv), NAME.test.rating and "
    .. "NAME.test.negative are expected there. They lie in the folder Data of "
    .. "https://github.com/hexiangnan/neural_collaborative_filtering; set data.dir to it, with one set in it"):format(
    dir), "io"
end

--- The names of the three files by part, or a message.
local function find(dir)
  local found = {}
  for _, name in ipairs(files.names(dir)) do
    local part = name:match "%.(train)%.rating$" or name:match "%.(train)%.tsv$" or name:match "%.(test)%.rating$"
      or name:match "%.test%.(negative)$"
    if part and found[part] then
      return nil, ("%s holds %s and %s: one set a folder is expected"):format(dir, found[part], name), "io"
    end
    if part then found[part] = name end
  end
  if found.train and found.test and found.negative then return found end
  return ncf.absent(dir)
end

--- The lists of a file of negatives: { users, items: string[], lists: a row a line } with i32 codes into `strings`.
local function read_negatives(path, p, report)
  local data = require "recsys.data"
  local f, message, code = data.read(path, { names = { "line" }, separator = ";", quote = "", bad_limit = 0,
    types = { line = { "list", "\t" } }, quarantine = data.quarantine(p, path:match "[^/]+$") }, report)
  if not f then return nil, message, code end
  local values, starts, lengths = f:column "line"
  local made = { strings = f:strings "line", values = values, starts = starts, lengths = lengths, users = {},
    items = {} }
  for row, first in ipairs(values:index_select(starts):tolist()) do
    made.users[row], made.items[row] = (made.strings[first] or ""):match "^%(([^,()]+),([^,()]+)%)$"
    if not made.users[row] then
      return nil, ("%s, line %d: begins with '%s', not with \"(user,item)\""):format(path, row,
        made.strings[first] or ""), "format"
    end
  end
  return made
end

--- The items of the lists, as a frame of one column.
local function negative_items(made)
  local ids = {}
  for _, id in ipairs(made.strings) do
    if not id:find "^%(" then ids[#ids + 1] = id end
  end
  return frame.from { { "item", "string", ids } }
end

--- The test file and the file of negatives must name the same pairs, in any order.
local function check_lists(test, made, path)
  local of = {}
  for row, user in ipairs(made.users) do of[user] = made.items[row] end
  for row = 1, test:rows() do
    local user, item = test:text("user", row), test:text("item", row)
    if of[user] ~= item then
      return nil, ("%s has %s for user %s, whose test item is %s"):format(path, of[user] and "a list of item "
        .. of[user] or "no list", user, item), "format"
    end
  end
  return true
end

--- Read the folder p.dir.
---@param p { dir: string, bad_limit: number?, quarantine: string? }  quarantine: a folder for malformed rows
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function ncf.load(p)
  local data, report, parts, paths = require "recsys.data", { quarantined = 0 }, {}, {}
  local found, message, code = find(p.dir)
  if not found then return nil, message, code end
  for i, part in ipairs { "train", "test", "negative" } do
    paths[i] = p.dir .. "/" .. found[part]
    if part == "negative" then
      parts[part], message, code = read_negatives(paths[i], p, report)
    else
      parts[part], message, code = ncf.read_interactions(paths[i], nil, p, report)
    end
    if not parts[part] then return nil, message, code end
  end
  local fine
  fine, message, code = check_lists(parts.test, parts.negative, paths[3])
  if not fine then return nil, message, code end
  local fingerprint
  fingerprint, message, code = data.fingerprint(paths, { source = "ncf" })
  if not fingerprint then return nil, message, code end
  local interactions = frame.concat { parts.train, parts.test }
  local items = frame.concat { interactions:select { "item" }, negative_items(parts.negative) }:distinct "item"
  return data.new { name = found.train:match "^(.-)%.train", interactions = interactions, items = items,
    report = report, fingerprint = fingerprint, origin = { source = "ncf", dir = p.dir, files = found } }
end

--- The parts of the published split, for data.split_given. All of training is known when a test row is asked for, rows
--- of the same second included.
---@param dataset Dataset
---@return { train: string, test: string, ties: string }
function ncf.parts(dataset)
  return { train = dataset.origin.files.train, test = dataset.origin.files.test, ties = "order" }
end

--- A second leave-one-out, within the training file: each user's latest row is held out, of equal times the last in the
--- file. For data.split_given, beside the same test file.
---@param dataset Dataset
---@return { train: Frame, valid: Frame, test: string, ties: string }
function ncf.hold_out(dataset)
  local names = dataset.origin.files
  local train = assert(ncf.read_interactions(dataset.origin.dir .. "/" .. names.train))
  local sorted = train:sort "time" -- stable
  local valid = sorted:distinct("user", "last")
  return { train = train:join(valid, { "user", "item", "time" }, "anti"), valid = valid, test = names.test,
    ties = "order" }
end

--- Lists of candidates for some rows of the interactions, their own items among them: of test rows as published, of
--- others 99 distinct items drawn from those that the user has no training row with.
---@param dataset Dataset
---@param split Split
---@param seed integer   of what is drawn
---@return fun(name: "valid"|"test", rows: Tensor): Lists   for evaluate.protocol_per_event
function ncf.candidates(dataset, split, seed)
  return function(name, rows)
    if name == "test" then return ncf.published(dataset, rows) end
    return ncf.drawn(dataset, split, rows, seed)
  end
end

--- Lists of equal or other lengths from a table of tables of 0-based item rows.
local function to_lists(tables)
  local starts, lengths, values = {}, {}, {}
  for i, list in ipairs(tables) do
    starts[i], lengths[i] = #values, #list
    table.move(list, 1, #list, #values + 1, values)
  end
  return { starts = tensor.new(starts, "i64"), lengths = tensor.new(lengths, "i32"),
    values = tensor.new(values, "i32") }
end

--- The published lists of the test rows. A negative that is the test item itself, as 156 of ML-1M's are, is there once:
--- such a list has 99 candidates, as in the original evaluator.
---@param dataset Dataset
---@param rows Tensor  i64, 0-based test rows of the interactions
---@return Lists
function ncf.published(dataset, rows)
  local made = assert(read_negatives(dataset.origin.dir .. "/" .. dataset.origin.files.negative, {}, {}))
  local row_of, line_of, lists = {}, {}, {}
  for row = 1, dataset.items:rows() do row_of[dataset.items:text("item", row)] = row - 1 end
  for line, user in ipairs(made.users) do line_of[user] = line end
  local codes, starts, lengths = made.values:tolist(), made.starts:tolist(), made.lengths:tolist()
  local f = dataset.interactions
  for i, row in ipairs(rows:tolist()) do
    local line = line_of[f:text("user", row + 1)]
    local list = { row_of[f:text("item", row + 1)] }
    for at = starts[line] + 2, starts[line] + lengths[line] do
      list[#list + 1] = row_of[made.strings[codes[at]]]
    end
    lists[i] = list
  end
  return to_lists(lists)
end

--- The first of the items in random order that are not barred, behind the row's own.
local function draw(own, barred, stream, n_items)
  local order, list = stream:permutation(n_items), { own }
  for first = 1, n_items, CHUNK do
    for _, item in ipairs(order:narrow(1, first, math.min(CHUNK, n_items - first + 1)):tolist()) do
      if #list > NEGATIVES then return list end
      if item ~= own and not barred[item] then list[#list + 1] = item end
    end
  end
  return list
end

--- The row's own item and 99 distinct others that its user has no training row with, or as many as there are. What is
--- drawn for a user depends on seed and user row alone.
---@param dataset Dataset
---@param split Split
---@param rows Tensor  i64, 0-based rows of the interactions
---@param seed integer
---@return Lists
function ncf.drawn(dataset, split, rows, seed)
  local n_items = dataset.items:rows()
  local users, items = dataset:user_rows(), dataset:item_rows()
  local known, lists = {}, {}
  local train_users, train_items = users:index_select(split.train):tolist(), items:index_select(split.train):tolist()
  for i, user in ipairs(train_users) do
    known[user] = known[user] or {}
    known[user][train_items[i]] = true
  end
  local own = items:index_select(rows):tolist()
  for i, user in ipairs(users:index_select(rows):tolist()) do
    lists[i] = draw(own[i], known[user] or {}, base.stream(seed, "negatives", user), n_items)
  end
  return to_lists(lists)
end

return ncf
