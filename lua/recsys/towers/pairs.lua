--- Pairs of a positive and an item drawn for it: what losses by pairs (BPR, WARP) are fed with.

local degrees = require "recsys.towers.degrees"
local exit = require "recsys.exit"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local pairs_of = {}

--- Whether users took items in training: u8, one a pair of a user's row and a catalogue row.
local function is_taken(step, users, items)
  local taken, keys = step:taken(), users * step.items:rows() + items
  local at = taken:search_sorted(keys):clamp(0, #taken - 1)
  return taken:index_select(at):eq(keys)
end

--- An item for each event that its user did not take: one drawn evenly from the step's pool, or of `among` drawn the
--- one that scores highest for him. An item that was taken is drawn once more; what still is one, as with users who
--- took nearly all there is, stays.
---@param step table
---@param options? { among: integer?, score: (fun(rows: Tensor, each: integer): Tensor)?, turn: integer? }
---   among: default 1, with more score gives f32 [n, each] of `each` catalogue rows an event; turn: from 1, the
---   how-maniest drawing of the step this is, so that each has numbers of its own
---@return Tensor i64 [n]  catalogue rows
function pairs_of.negatives(step, options)
  options = options or {}
  local n, among = #step.item_rows, options.among or 1
  local each = math.max(among, 2)
  local rows = step.pool:index_select(step.stream:integers(n * each, #step.pool, ((options.turn or 1) - 1) * n * each))
  local place = tensor.arange(0, n * each, "i64")
  local ends = tensor.arange(1, n + 1, "i64") * each
  local users = step.user_rows:index_select(ends:search_sorted(place, true))
  local taken = is_taken(step, users, rows):reshape(n, each)
  local rank = among > 1 and options.score(rows, each) or tensor.arange(0, each, "i64"):to "f32":reshape(1, -1) * -1
  local best = tensor.where(taken, -math.huge, rank + tensor.zeros(n, each)):argmax(2)
  return rows:index_select(best + ends - each)
end

--- Scores of the events' own items and, below, of `each` drawn ones.
---@return Var [1 + each, n]
local function scores_of(step, users, item, each)
  local rows, n = { step.item_rows }, #step.item_rows
  for i = 1, each do rows[i + 1] = pairs_of.negatives(step, { turn = i }) end
  return (item(tensor.concat(rows)):reshape(1 + each, n, -1) * users:reshape(1, n, -1)):sum(3)
end

--- BPR of vectors, against an item drawn for each event.
---@param step table
---@param users Var  [n, d], a row an event
---@param item fun(rows: Tensor): Var  vectors of catalogue rows
---@return Var scalar
function pairs_of.bpr(step, users, item)
  pairs_of.unweighted(step)
  local scores = scores_of(step, users, item, 1)
  return scores:narrow(1, 1, 1):bpr(scores:narrow(1, 2, 1))
end

--- The logistic loss of vectors: of the events' own items as 1, and of `each` drawn for an event as 0.
---@param tape Tape
---@param step table
---@param users Var  [n, d], a row an event
---@param item fun(rows: Tensor): Var  vectors of catalogue rows
---@param each integer
---@return Var scalar
function pairs_of.logistic(tape, step, users, item, each)
  local scores = scores_of(step, users, item, each)
  local target = tensor.zeros(1 + each, #step.item_rows, scores:dtype())
  target:select(1, 1):fill_(1)
  local weights = step.weights and tape:input(nil, step.weights:reshape(1, -1) + target * 0)
  return scores:bce(tape:input(nil, target), weights)
end

--- What each user took, by codes, each pair once: `seen` of nn.warp.
---@param training table  settings.training of a model's definition
---@param encoder Encoder
---@return Csr f32 [codes of users, codes of items]
function pairs_of.seen(training, encoder)
  local user, item = towers.input(encoder, "user.id"), towers.input(encoder, "item.id")
  local from = degrees.codes(training.users, user.name, training.user_rows)
  local keys = (from * item.rows + degrees.codes(training.items, item.name, training.item_rows)):unique()
  local starts = keys:search_sorted(tensor.arange(0, user.rows + 1, "i64") * item.rows)
  local of = starts:narrow(1, 2, user.rows):search_sorted(tensor.arange(0, #keys, "i64"), true)
  return tensor.csr(starts, (keys - of * item.rows):to "i32", tensor.full(1, #keys), item.rows)
end

--- Refuse a `config.loss` that is none of these.
---@param losses table<string, function>
function pairs_of.check(config, losses)
  if losses[config.loss] then return end
  local names = {}
  for name in pairs(losses) do names[#names + 1] = name end
  table.sort(names)
  exit.usage_error("model.loss is '%s'; there are %s", tostring(config.loss), table.concat(names, ", "))
end

--- Refuse weights of rows, which these losses do not take.
function pairs_of.unweighted(step)
  if step.weights then exit.usage_error "train.weight: losses by pairs count all rows alike" end
end

return pairs_of
