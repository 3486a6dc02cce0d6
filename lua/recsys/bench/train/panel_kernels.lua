--- The in-batch softmax alone, with both gradients, over the distinct users and items of a batch of 4,096 of
--- MovieLens-1M. It is held against a model, measured in the same process: its three products at the speed that BLAS
--- has for products of their shapes, and an exponential a logit at the speed of exponentials alone.

local autograd = require "recsys.autograd"
local base = require("recsys.core").base
local machine = require "recsys.machine"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local EVENTS, USERS, ITEMS, WIDTH, MOST = 4096, 2356, 1632, 64, 1.15

local function vectors(rows, step)
  return (base.stream(15, "user", 0, step):normals(rows * WIDTH):to("f32") * 0.3):reshape(rows, WIDTH)
end

--- For each event its distinct row: all rows occur.
local function rows_of(rows, step)
  local drawn = base.stream(15, "user", 0, step):integers(EVENTS, rows)
  drawn:narrow(1, 1, rows):copy_(tensor.arange(0, rows, "i64"))
  return drawn
end

--- Seconds of the model: the fastest of each part, as rates are.
local function model_seconds()
  local logits, rounds = USERS * ITEMS, 20
  local products = 1 / machine.sgemm(USERS, ITEMS, WIDTH, true, rounds)
    + 1 / machine.sgemm(USERS, WIDTH, ITEMS, false, rounds) + 1 / machine.sgemm(ITEMS, WIDTH, USERS, false, rounds)
  return 2 * logits * WIDTH * products + logits / nn.exponential_rate(ITEMS, rounds)
end

return {
  about = "in-batch softmax of 4,096 events over 2,356 users x 1,632 items, 64 wide, with gradients",
  same = false, one_thread = true,
  setup = function()
    return { users = vectors(USERS, 1), items = vectors(ITEMS, 2), rows = rows_of(USERS, 3),
      columns = rows_of(ITEMS, 4) }
  end,
  --- Twenty times; the fastest counts, as of the model's parts.
  run = function(state)
    local fastest = math.huge
    for _ = 1, 20 do
      local tape <close> = autograd.tape { train = true }
      local users, items = tape:input("users", state.users, true), tape:input("items", state.items, true)
      local began = base.clock()
      tape:backward(nn.in_batch_softmax { users = users, items = items, rows = state.rows, columns = state.columns })
      fastest = math.min(fastest, base.clock() - began)
    end
    return nil, fastest
  end,
  flops = function() return 3 * 2 * USERS * ITEMS * WIDTH end,
  facts = function() return { model_seconds = model_seconds() } end,
  judge = function(sides)
    local reached = sides.recsys.seconds / sides.recsys.facts.model_seconds
    return { { what = "times the model's seconds", reached = reached, wanted = MOST, holds = reached <= MOST } }
  end,
  target = { model = MOST },
}
