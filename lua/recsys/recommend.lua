--- The best items for every user, exactly, as files: CSV and JSON Lines with user, rank, item and score.
---
---     local written = assert(recommend.batch { users = vectors.users, items = vectors.items,
---       user_ids = user_ids, item_ids = item_ids, k = 50, excluded = seen, dir = run.dir })
---     print(written.csv, written.jsonl, written.rows)

local base = require "recsys.base"
local files = require "recsys.files"
local json = require "recsys.json"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"
local writer = require "recsys.writer"

local recommend = {}

local shortest <const> = base.shortest

local ROWS_AT_ONCE <const> = 16000000 -- numbers of users' rows that are made as they are asked for

--- A field of RFC 4180.
local function csv(field)
  return field:find '[",\r\n]' and '"' .. field:gsub('"', '""') .. '"' or field
end

--- Texts as they stand in a file, made when first asked for.
local function quoted(texts, quote)
  return setmetatable({}, { __index = function(made, i)
    made[i] = quote(tostring(texts[i]))
    return made[i]
  end })
end

local formats = {
  csv = { quote = csv, line = "%s,%d,%s,%s\n", titled = "%s,%d,%s,%s,%s\n", head = "user,rank,item,score\n",
    titled_head = "user,rank,item,score,title\n" },
  jsonl = { quote = json.encode, line = '{"user":%s,"rank":%d,"item":%s,"score":%s}\n',
    titled = '{"user":%s,"rank":%d,"item":%s,"score":%s,"title":%s}\n', head = "", titled_head = "" },
}

--- A file in one of the formats; `add(user, rows, scores)` appends one user's list.
local function open_file(path, format, request)
  local file, titles = writer.new(path), request.titles and quoted(request.titles, format.quote)
  local users, items = quoted(request.user_ids, format.quote), quoted(request.item_ids, format.quote)
  file:add(titles and format.titled_head or format.head)
  local function add(user, rows, scores)
    local id = users[user]
    for rank, row in ipairs(rows) do
      if row < 0 then break end
      if titles then
        file:add(format.titled:format(id, rank, items[row + 1], shortest(scores[rank]), titles[row + 1]))
      else
        file:add(format.line:format(id, rank, items[row + 1], shortest(scores[rank])))
      end
    end
    users[user] = nil
  end
  return file, add
end

--- Part of the lists, one a query; the values are shared.
local function narrow(t, first, n)
  if not t then return nil end
  if t.starts then
    return { starts = t.starts:narrow(1, first, n), lengths = t.lengths:narrow(1, first, n), values = t.values }
  end
  return t:narrow(1, first, n)
end

--- Write the lists of some users and add to 'times' how often each item stands in them.
local function write_block(request, first, n, adders, times)
  local made = type(request.users) == "function"
  local users = made and request.users(first, n) or narrow(request.users, first, n)
  local rows, scores = retrieval.topk { users = users, items = request.items, columns = request.columns,
    k = request.k, excluded = narrow(request.excluded, first, n), item_time = request.item_time,
    from = narrow(request.from, first, n), to = narrow(request.to, first, n) }
  local row_lists, score_lists, count = rows:tolist(), scores:tolist(), 0
  for i = 1, n do
    for _, add in ipairs(adders) do add(first + i - 1, row_lists[i], score_lists[i]) end
    for _, row in ipairs(row_lists[i]) do count = count + (row >= 0 and 1 or 0) end
  end
  local all = rows:reshape(rows:count())
  times:add_(all:index_select(all:ge(0):nonzero()):to "i64":bincount(#request.item_ids))
  rows:close()
  scores:close()
  if made then users:close() end
  return count
end

local function write_all(request, adders, times)
  local n, count = #request.user_ids, 0
  local block = math.max(1024, n // 64)
  if type(request.users) == "function" then block = math.max(1, math.min(block, ROWS_AT_ONCE // request.width)) end
  for first = 1, n, block do
    count = count + write_block(request, first, math.min(block, n - first + 1), adders, times)
  end
  return count
end

local function check(request)
  local by_columns = request.columns ~= nil
  for _, name in ipairs { "users", by_columns and "columns" or "items", "user_ids", "item_ids", "dir",
    type(request.users) == "function" and "width" or nil } do
    if not request[name] then error(("bad argument #1 to 'batch' ('%s' is missing)"):format(name), 3) end
  end
  local users = type(request.users) == "function" and #request.user_ids or #request.users
  local items = #(request.columns or request.items)
  if #request.user_ids ~= users or #request.item_ids ~= items then
    error(("bad argument #1 to 'batch' (%d users have %d ids, %d items %d)"):format(users, #request.user_ids,
      items, #request.item_ids), 3)
  end
end

--- Write the k best items of each user to DIR/NAME.csv and DIR/NAME.jsonl, streamed; both appear whole or not at all.
--- Equal scores are ordered by item row; a user with fewer than k candidates gets fewer lines.
---@param request { users: Tensor|fun(first: integer, n: integer): Tensor, items: Tensor?, columns: Tensor?,
---   width: integer?, user_ids: string[], item_ids: string[], titles?: string[],
---   k?: integer, excluded?: Lists, item_time?: Tensor, from?: Tensor, to?: Tensor, dir: string, name?: string }
---   users f32 [n, d], items f32 [m, d]; or users as a function that makes rows [n, width] of those from `first` on,
---   and columns i32 [m], where each item's score stands in them; k default 50; excluded, item_time, from, to as in
---   retrieval.topk; titles add a fifth field `title`; name default "recommendations"
---@return { csv: string, jsonl: string, users: integer, rows: integer, times: Tensor }? written  times: i64 [m], how
---  often each item stands in the lists
---@return string? message
---@return string? code  "io"
function recommend.batch(request)
  check(request)
  request = setmetatable({ k = math.min(request.k or 50, #request.item_ids) }, { __index = request })
  local stem = files.make_folder(request.dir) .. "/" .. (request.name or "recommendations")
  local written = { csv = stem .. ".csv", jsonl = stem .. ".jsonl", users = #request.user_ids }
  local csv_file, add_csv = open_file(written.csv, formats.csv, request)
  local jsonl_file, add_jsonl = open_file(written.jsonl, formats.jsonl, request)
  written.times = tensor.zeros(#request.item_ids, "i64")
  local ok, result = pcall(write_all, request, { add_csv, add_jsonl }, written.times)
  if not ok then
    csv_file:abandon()
    jsonl_file:abandon()
    error(result, 0)
  end
  written.rows = result
  local done, message, code = csv_file:commit()
  if done then
    done, message, code = jsonl_file:commit()
  else
    jsonl_file:abandon()
  end
  if not done then return nil, message, code end
  return written
end

return recommend
