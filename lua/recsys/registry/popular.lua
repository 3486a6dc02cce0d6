--- What is popular, of all users and of segments of them: the member popular.safetensors, which stands in where a model
--- knows nothing of who asks.
---
--- An event weighs 2^(-age / half_life) as of the bundle's moment. All items are ordered by the sum of theirs, equal
--- ones by row; of a segment (the users with one value of a column) the first 200 that have any.

local tensor = require "recsys.tensor"

local popular = {}

local MOST_VALUES <const>, MOST_SEGMENTS <const>, PLACES <const> = 50, 200, 200
local LEAST_HALF_LIFE <const> = 3600 * 1000

--- What each event weighs at a moment, f64.
local function weights_of(times, as_of, half_life)
  local ages = times:to "f64":mul(-1):add(as_of):clamp(0, math.huge)
  return ages:mul(-math.log(2) / half_life):exp()
end

--- Half a window, or a tenth of the time that the events span.
local function standard_half_life(times, window)
  if window then return math.max(window / 2, LEAST_HALF_LIFE) end
  if #times == 0 then return LEAST_HALF_LIFE end
  return math.max((times:max() - times:min()) / 10, LEAST_HALF_LIFE)
end

--- Items in falling order of popularity, those with any only when 'some'; i32 and f32.
local function ranked(items, weights, n, some)
  local scores = items:bincount(n, weights):to "f32"
  local order = scores:argsort(true)
  if some then
    local found = scores:gt(0):to "i64":sum()
    order = order:narrow(1, 1, math.min(math.tointeger(found), PLACES))
  end
  return order:to "i32", scores:index_select(order)
end

--- The columns of users that segments are of: those asked for, or all strings of few values.
local function columns_of(users, wanted)
  local names = {}
  for _, name in ipairs(wanted or users:names()) do
    if not users:has(name) or users:type(name) ~= "string" then
      if wanted then error(("popular: users have no column '%s' of strings"):format(name), 0) end
    elseif name ~= "user" and #(users:column(name):unique()) <= MOST_VALUES then
      names[#names + 1] = name
    end
  end
  return names
end

--- The texts of a string column by code.
local function texts_of(users, name)
  local texts = {}
  local codes, column = users:column(name):unique(), users:column(name)
  for i = 1, #codes do
    local code = codes:get(i)
    if code > 0 then texts[code] = users:text(name, column:eq(code):nonzero():get(1) + 1) end
  end
  return texts
end

--- Add the segments of one column, whose number from 0 is 'c'.
local function add_segments(out, users, name, c, events, n_items)
  local codes = users:column(name):to "i64"
  local of_event = codes:index_select(events.users)
  local texts = texts_of(users, name)
  local order = {}
  for code in pairs(texts) do order[#order + 1] = code end
  table.sort(order)
  for _, code in ipairs(order) do
    local rows = of_event:eq(code):nonzero()
    if #rows > 0 and #out.values < MOST_SEGMENTS then
      local items, scores = ranked(events.items:index_select(rows), events.weights:index_select(rows), n_items, true)
      local mine = codes:eq(code):to "i64" * out.users:eq(-1):to "i64"
      out.users:add_(mine, #out.values + 1)
      out.values[#out.values + 1], out.column[#out.column + 1] = texts[code], c
      out.items[#out.items + 1], out.scores[#out.scores + 1] = items, scores
      out.starts[#out.starts + 1] = out.starts[#out.starts] + #items
    end
  end
end

local function joined(list, dtype)
  return #list > 0 and tensor.concat(list, 1) or tensor.zeros(0, dtype)
end

--- Texts one after another, as a bundle has them.
local function packed(texts)
  local offsets = { 0 }
  for i, text in ipairs(texts) do offsets[i + 1] = offsets[i] + #text end
  return tensor.from_string(table.concat(texts), "u8", offsets[#offsets]), tensor.new(offsets, "i64")
end

--- The member's tensors (docs/bundle.md).
---@param request { users: Frame, n_items: integer, history: table<string, Tensor>, as_of: integer, window?: integer,
---   half_life?: number, segments?: string[] }  history: tensors of encoder:sequences; ms
---@return table<string, Tensor>
function popular.tensors(request)
  local history = request.history
  local events = { items = history.items:to "i64" }
  local half_life = request.half_life or standard_half_life(history.times, request.window)
  events.weights = weights_of(history.times, request.as_of, half_life)
  local places = tensor.arange(0, #history.items, "i64")
  events.users = history.starts:search_sorted(places, true):add(-1)
  local rows, scores = ranked(events.items, events.weights, request.n_items)
  local out = { users = tensor.full(-1, request.users:rows(), "i64"), values = {}, column = {}, items = {}, scores = {},
    starts = { 0 } }
  local columns = columns_of(request.users, request.segments)
  for c, name in ipairs(columns) do add_segments(out, request.users, name, c - 1, events, request.n_items) end
  local tensors = { rows = rows, scores = scores, ["segments.column"] = tensor.new(out.column, "i32"),
    ["segments.starts"] = tensor.new(out.starts, "i64"), ["segments.rows"] = joined(out.items, "i32"),
    ["segments.scores"] = joined(out.scores, "f32"), ["users.segment"] = out.users:to "i32" }
  tensors["segments.columns.bytes"], tensors["segments.columns.offsets"] = packed(columns)
  tensors["segments.values.bytes"], tensors["segments.values.offsets"] = packed(out.values)
  return tensors
end

return popular
