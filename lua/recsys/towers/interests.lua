--- Several vectors of a user, one an interest: who reads about chess and football is not the mean of both.
---
--- Each of K interests pools the user's histories by queries of its own and passes, beside all else that is known of
--- the user, through one tower that the interests share. An item is retrieved by the interest that it fits best: its
--- score is the largest of its K products, wherever users meet items (retrieval, evaluation, serving). In training the
--- item that the user took chooses the interest that learns from it, against all negatives: the argmax of ComiRec. Cen
--- et al. 2020, doi:10.1145/3394486.3403344.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local interests = {}

--- A var [n, d] with each row 'count' times, [n * count, d].
function interests.repeated(var, count)
  local copies = {}
  for i = 1, count do copies[i] = var end
  return count == 1 and var or autograd.concat(copies):reshape(-1, var:size(2))
end

-- A tower of several vectors ----------------------------------------------------------------------------------------

local Interests = {}
Interests.__index = Interests

--- A tower that gives [n * count, d]: row i's interests one behind another.
---@param count integer
---@param pools Pool[]      each of count ways, or of so many for each interest
---@param inputs table[]    what nn.tower takes, of what the interests have in common; may be empty
---@param options table     of nn.tower, without inputs
function interests.tower(count, pools, inputs, options)
  local self = setmetatable({ count = count, pools = pools }, Interests)
  local own = {}
  for i, each in ipairs(pools) do own[i] = { name = each.input.name, width = each:width() // count } end
  if #inputs > 0 then
    self.common = nn.tower { name = options.name .. ".common", inputs = inputs }
    own[#own + 1] = { name = options.name .. ".common", width = self.common:width() }
    self.name = options.name .. ".common"
  end
  options.inputs = own
  self.tower = nn.tower(options)
  return self
end

function Interests:forward(tape, batch)
  local vars = {}
  for _, each in ipairs(self.pools) do
    vars[each.input.name] = each:forward(tape, batch):reshape(-1, each:width() // self.count)
  end
  if self.common then vars[self.name] = interests.repeated(self.common:forward(tape, batch), self.count) end
  return self.tower:forward(tape, batch, vars)
end

function Interests:parameters()
  local list = self.tower:parameters()
  for _, part in ipairs { self.common or nil, table.unpack(self.pools) } do
    table.move(part:parameters(), 1, #part:parameters(), #list + 1, list)
  end
  return list
end

function Interests:width()
  return self.tower:width()
end

--- Training mode, in which a tower begins; with false as eval().
function Interests:train(on)
  self.tower:train(on)
  for _, each in ipairs(self.pools) do each.evaluates = on == false end
  return self
end

function Interests:eval()
  return self:train(false)
end

-- In a model --------------------------------------------------------------------------------------------------------

--- The parts of user vectors side by side. Without interests [n, d]; with them [n, count, d], parts of one row a user
--- being the same for all of his.
---@param parts Var[]      the first of a row an interest
---@param count? integer   nil or 0: one vector a user
---@return Var
function interests.beside(parts, count)
  if (count or 0) < 2 then return autograd.concat(parts) end
  local rows, all = parts[1]:size(1), {}
  for i, part in ipairs(parts) do
    all[i] = part:size(1) < rows and interests.repeated(part, count) or part
  end
  local vectors = autograd.concat(all)
  return vectors:reshape(-1, count, vectors:size(2))
end

--- Of each event's user vectors the one that its item fits best, the first among equals: [n, d] of [n, count, d]. The
--- choice is data: gradients pass through the chosen ones alone. Vectors [n, d] stay as they are.
---@param users Var  [n, count, d], a row an event, or [n, d]
---@param items Var  [m, d], the events' own first
---@return Var
function interests.chosen(users, items)
  local n, count, d = table.unpack(users:size())
  if not d then return users end
  local own = items:value():narrow(1, 1, n):reshape(n, 1, d)
  local best = (users:value() * own):sum(3):argmax(2)
  local rows = tensor.arange(0, n, "i64") * count + best:to "i64"
  return users:reshape(n * count, d):embedding(users:tape():input(nil, rows:to "i32"))
end

return interests
