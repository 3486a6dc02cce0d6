--- How an item came to be shown, as terms of the training scores alone: what the app preferred is learned beside what
--- the user likes, and left out when serving, where every item is to be judged as if it had been shown by chance.
---
--- Two terms, each where it is known:
---   policy    events before data.origin.explored_from were shown by an app that prefers fresh and popular items: they
---             alone get a freshness and a bias of the item's id of their own. Those after it, shown by chance, teach
---             the model's own freshness and bias
---   position  the place at which an event's item stood, an input of codes on the event side: a bias of that code goes
---             with the item into its column (Zhao et al. 2019, doi:10.1145/3298689.3346997)

local autograd = require "recsys.autograd"
local tensor = require "recsys.tensor"

local shown = {}

local Shown = {}
Shown.__index = Shown

--- Nil where neither is asked for.
---@param made { freshness: table?, bias: Layer?, position: Layer?, name: string? }  freshness and bias of the policy;
---   the bias of the position, an input called `name`
function shown.new(made)
  if not (made.freshness or made.bias or made.position) then return nil end
  return setmetatable(made, Shown)
end

function Shown:parameters()
  local list = {}
  for _, field in ipairs { "freshness", "bias", "position" } do
    local part = self[field]
    if part then table.move(part:parameters(), 1, #part:parameters(), #list + 1, list) end
  end
  return list
end

--- 1 for each event that a policy chose, 0 for those shown by chance, as a column.
local function chosen(tape, step, dtype)
  local explored = step.explored
  local mask = explored and 1 - explored:to(dtype) or tensor.zeros(#step.item_rows, dtype)
  return tape:input(nil, mask:reshape(-1, 1))
end

--- The position codes of m items, of which the first n are the events' own; of those drawn beside them it is unknown.
local function positions(self, tape, step, m)
  local codes = step.batch[self.name]
  if m > #codes then codes = tensor.concat { codes, tensor.zeros(m - #codes, "i32") } end
  return tape:input(nil, codes)
end

--- Users [n, d], one an event, and items [m, d], the events' own first, with these terms as further dimensions.
---@param tape Tape
---@param step Step
---@param users Var
---@param items Var
---@param item_batch table<string, Tensor>  the inputs that the items were made from
---@return Var users
---@return Var items
function Shown:terms(tape, step, users, items, item_batch)
  local of_users, of_items, policy = { users }, { items }, chosen(tape, step, users:dtype())
  local function add(user, item) of_users[#of_users + 1], of_items[#of_items + 1] = user, item end
  if self.freshness then
    add(self.freshness:moment(tape, step.batch) * policy, self.freshness:item(tape, item_batch))
  end
  if self.bias then add(policy, self.bias:forward(tape:input("item.id", item_batch["item.id"]))) end
  if self.position then
    add(autograd.affine(policy, 0, 1), self.position:forward(positions(self, tape, step, items:size(1))))
  end
  return autograd.concat(of_users), autograd.concat(of_items)
end

return shown
