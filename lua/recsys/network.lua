--- The network that a model's file makes: built, asked for vectors and losses, and refused in words when it is not what
--- docs/models.md asks for. The first batch shows every mistake, before an epoch is trained.

local exit = require "recsys.exit"
local log = require "recsys.log"

local network = {}

local function is_finite(x) return x - x == 0 end

--- What is wrong with a model's file, without the traceback of a bug of ours.
local function refuse(kind, format, ...)
  error({ code = "failed", message = ("models/%s.lua: %s"):format(kind, format:format(...)) }, 0)
end

local function is_a(value, class)
  return type(value) == "userdata" and (getmetatable(value) or {}).__name == class
end

local function kind_of(value)
  return value == nil and "nothing" or is_a(value, "recsys.Tensor") and "a Tensor" or "a " .. type(value)
end

local function check_parameters(kind, parameters)
  local list = type(parameters) == "table" and parameters or {}
  for _, parameter in ipairs(list) do
    if not is_a(parameter, "recsys.Parameter") then
      refuse(kind, "its 'parameters' hold %s; take the list that towers.parameters(layer, ...) gives",
        kind_of(parameter))
    end
  end
  if #list == 0 then
    refuse(kind, "the model has no 'parameters'; take the list that towers.parameters(layer, ...) gives")
  end
end

--- What tells how many of a vector's numbers say what an item is; nil: all.
local function check_likeness(kind, likeness)
  if likeness ~= nil and not (math.type(likeness) == "integer" and likeness >= 1) then
    refuse(kind, "its 'likeness' is %s; how many of a vector's numbers, the first, say what an item is: 1 or more",
      type(likeness) == "number" and tostring(likeness) or kind_of(likeness))
  end
end

--- What a model is trained by: a loss, or rounds over all training rows, and how many there are at the most.
local function check_training(kind, made)
  local loss, round, rounds = type(made.loss), type(made.round), made.rounds
  if loss ~= "function" and round ~= "function" then refuse(kind, "the model has no method 'loss' or 'round'") end
  if loss == "function" and round == "function" then
    refuse(kind, "the model has both a method 'loss' and one 'round': it is trained by the gradients of the one or by "
      .. "the passes of the other")
  end
  if rounds ~= nil and (round ~= "function" or math.type(rounds) ~= "integer" or rounds < 1) then
    refuse(kind, "its 'rounds' is %s; how many calls of its method 'round' there are at the most, 1 or more, is "
      .. "expected", type(rounds) == "number" and tostring(rounds) or kind_of(rounds))
  end
  for _, parameter in ipairs(round == "function" and made.parameters or {}) do
    if parameter:trainable() then
      refuse(kind, "parameter '%s' waits for gradients, and a model with a method 'round' has none: make it with "
        .. "{ trainable = false }", parameter:name())
    end
  end
end

--- The input of codes of the side item that is so called, or nil.
---@return { name: string, rows: integer }?
function network.column_input(encoder, name)
  for _, input in ipairs(encoder:inputs "item") do
    if input.name == name and input.kind == "codes" then return input end
  end
end

--- A model whose user() gives a score a code needs no item(), and its items no vectors.
local function check_columns(kind, made, encoder)
  for _, field in ipairs { "item", "likeness" } do
    if made[field] ~= nil then
      refuse(kind, "the model has 'columns', which say where an item's score stands, and '%s', which is of vectors",
        field)
    end
  end
  if not network.column_input(encoder, made.columns) then
    refuse(kind, "its 'columns' is %s; the name of an input of codes of the side item is expected, such as \"item.id\"",
      type(made.columns) == "string" and ("'%s'"):format(made.columns) or kind_of(made.columns))
  end
end

--- Call a model's definition.
---@param definition fun(config, encoder, settings): table
---@param kind string   the file's name
---@return table network  with `parameters`, `user`, `item` and `loss` or `round`; `likeness`, where the file tells it
function network.build(definition, kind, config, encoder, settings)
  local made = definition(config, encoder, settings)
  if type(made) ~= "table" then
    refuse(kind, "its definition returns %s; a table with parameters, user, item and loss is expected", kind_of(made))
  end
  for _, method in ipairs { "user", not made.columns and "item" or nil } do
    if type(made[method]) ~= "function" then refuse(kind, "the model has no method '%s'", method) end
  end
  if made.columns ~= nil then check_columns(kind, made, encoder) end
  check_parameters(kind, made.parameters)
  check_training(kind, made)
  check_likeness(kind, made.likeness)
  return made
end

local function check_var(kind, method, var)
  if not is_a(var, "recsys.Var") then refuse(kind, "%s() returns %s, not a Var", method, kind_of(var)) end
end

local function names_of(batch)
  local names = {}
  for name in pairs(batch) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

--- A copy of the batch, and the function that tells the first name that it was asked for in vain.
local function watched(batch)
  local missing
  local copy = setmetatable({}, { __index = function(_, name) missing = missing or name end })
  for name, tensor in pairs(batch) do copy[name] = tensor end
  return copy, function() return missing end
end

--- The vectors of a batch by the method 'side', "user" or "item".
---@return Var [n, d], or for users [n, count, d]: an item's score is the best of its products with a user's vectors
function network.vectors(made, kind, side, tape, batch)
  local copy, missing = watched(batch)
  local ok, var = xpcall(made[side], exit.traced, made, tape, copy)
  if not ok and missing() then
    var.message = ("%s; the batch of %s() has no '%s', it holds %s"):format(exit.message_of(var), side,
      tostring(missing()), names_of(batch))
  end
  if not ok then error(var, 0) end
  check_var(kind, side, var)
  local several = side == "user" and not made.columns
  if #var:size() ~= 2 and not (several and #var:size() == 3) then
    refuse(kind, "%s() gives sizes %s; vectors [n, d]%s are expected", side, table.concat(var:size(), " x "),
      several and ", or several of each user, [n, count, d]," or "")
  end
  return var
end

--- Refuse rows of users in which not each code has its column.
---@param rows integer  codes, that of what is unknown included
function network.check_row(kind, plan_width, name, rows)
  if plan_width ~= rows then
    refuse(kind, "user() gives rows of %d numbers, but '%s' has %d codes: each code's score stands in its column",
      plan_width, name, rows)
  end
end

--- Refuse vectors whose dot product does not exist, or that are narrower than what likeness goes by.
---@param widths { user: integer, item: integer }
---@param likeness? integer
function network.check_widths(kind, widths, likeness)
  if widths.user ~= widths.item then
    refuse(kind, "user() gives vectors of %d numbers, item() of %d: a score is their dot product", widths.user,
      widths.item)
  end
  if likeness and likeness > widths.item then
    refuse(kind, "its 'likeness' is %d, but item() gives vectors of %d numbers", likeness, widths.item)
  end
end

--- Warn of an item plan that puts the time of items beside what they are, without telling where it begins: items of one
--- hour would count as alike.
---@param likeness? integer
function network.watch_times(kind, encoder, plan, likeness)
  if likeness then return end
  local times = {}
  for _, input in ipairs(encoder:inputs "item") do times[input.name] = input.feature == "relative_time" end
  for _, name in ipairs(plan:inputs()) do
    if times[name] then
      log.warn("models/%s.lua: item() reads '%s', and the model has no 'likeness': items of one time will count as "
        .. "alike (docs/models.md, \"What likeness goes by\")", kind, name)
      return
    end
  end
end

--- Refuse a plan that could not be run: it reads what batches or the saved weights will not hold.
function network.check_plan(plan, kind, side, batch, weights)
  for _, name in ipairs(plan:weights()) do
    if not weights[name] then
      refuse(kind, "%s() uses '%s', which is not among the model's parameters: hand its layer to towers.parameters",
        side, name)
    end
  end
  for _, name in ipairs(plan:inputs()) do
    if not batch[name] then
      refuse(kind, "%s() reads an input '%s', but its batches hold %s", side, name, names_of(batch))
    end
  end
end

--- The training loss of a step.
---@return Var  of one number
function network.loss(made, kind, tape, step)
  local loss = made:loss(tape, step)
  check_var(kind, "loss", loss)
  if loss:value():count() ~= 1 then
    refuse(kind, "loss() gives sizes %s; take its mean()", table.concat(loss:size(), " x "))
  end
  return loss
end

--- A pass of a model that is not trained by gradients.
---@param epoch integer  from 1
---@return number? objective  what the pass says of itself, lower is better
function network.round(made, kind, epoch)
  local objective = made:round(epoch)
  if objective ~= nil and type(objective) ~= "number" then
    refuse(kind, "round() returns %s; its objective, a number, or nothing is expected", kind_of(objective))
  end
  for _, parameter in ipairs(made.parameters) do
    local value = parameter:value()
    if value:dtype():find "^f" and not is_finite(value:sum()) then
      error({ code = "numeric", message = ("models/%s.lua: after round %d parameter '%s' holds numbers that are not "
        .. "finite. More regularisation helps where a system of equations is singular"):format(kind, epoch,
        parameter:name()) }, 0)
    end
  end
  if objective and not is_finite(objective) then
    error({ code = "numeric", message = ("models/%s.lua: the objective of round %d is %s"):format(kind, epoch,
      tostring(objective)) }, 0)
  end
  return objective
end

return network
