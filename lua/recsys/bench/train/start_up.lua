--- From the start of the program to the end of the first training step: a recipe that loads, splits, encodes and trains
--- matrix factorisation on 100,000 interactions in the layout of MovieLens-100K, which an earlier run has read.
---
--- The model is models/mf.lua; a file of the bench's own lets the loop come to its second step, and ends there.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local files = require "recsys.files"
local host = require "recsys.host"
local interactions = require "recsys.bench.interactions"
local tensor = require "recsys.tensor"
local uv = require "luv"

local SIZE = { users = 943, items = 1682, rows = 100000, user_spread = 1.0, item_spread = 1.4 }

-- Becomes models/first_step.lua beside the data.
local MODEL = [[
local definition = require "models.mf"
return function(...)
  local model = definition(...)
  local loss, taken = model.loss, 0
  function model.loss(...)
    if taken == 1 then os.exit(0, false) end
    taken = taken + 1
    return loss(...)
  end
  return model
end
]]

local RECIPE = [[
local recsys = require "recsys"
local feature, job = recsys.feature, recsys.job
return recsys.recipe {
  name = "first_step", about = "Train one step",
  params = { data = { source = "movielens", dir = "ml" }, split = { kind = "leave_last_out" },
    model = { kind = "first_step", dim = 64 }, train = { epochs = 1, batch = 1024 } },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local encoder = flow:task("features", feature.fit, data, split.train, ids)
    return flow:task("train", job.train, p, encoder, data, split)
  end,
}
]]

--- The files of MovieLens-100K, made up.
local function write_movielens(folder, size)
  local made = interactions.make(folder, SIZE, size)
  local users = assert(tensor.load_npy(made.user_codes)):tolist()
  local items = assert(tensor.load_npy(made.item_codes)):tolist()
  local lines = {}
  for i = 1, #users do
    lines[i] = ("%d\t%d\t%d\t%d\n"):format(users[i] + 1, items[i] + 1, 1 + i * 7 % 5, 874724710 + i)
  end
  files.write(folder .. "/u.data", table.concat(lines))
  lines = {}
  for u = 1, made.users do lines[u] = ("%d|%d|%s|other|%05d\n"):format(u, 18 + u % 60, u % 2 == 0 and "M" or "F", u) end
  files.write(folder .. "/u.user", table.concat(lines))
  lines = {}
  for i = 1, made.items do
    lines[i] = ("%d|Film %d (1995)|01-Jan-1995||about:blank%s\n"):format(i, i, ("|0"):rep(18) .. "|1")
  end
  files.write(folder .. "/u.item", table.concat(lines))
  files.write(folder .. "/u.genre", "unknown|0\nAction|1\n")
end

--- Run the job in its folder to the end of its first step.
local function run(state)
  local code, err, words = nil, uv.new_pipe(), {}
  local handle, why = uv.spawn(host.executable, { args = { "first_step.lua", "--threads", tostring(base.threads()) },
    cwd = state.folder, stdio = { nil, nil, err } }, function(status) code = status end)
  if not handle then error("cannot start recsys-run: " .. why) end
  err:read_start(function(_, chunk) words[#words + 1] = chunk end)
  while not code do uv.run "once" end
  err:close()
  handle:close()
  uv.run "nowait"
  if code ~= 0 then error("the job ended with code " .. code .. ": " .. table.concat(words):sub(-600)) end
end

return {
  about = "from the program's start to the end of the first training step, 100,000 interactions that were read before",
  same = false, one_thread = true,
  prepare = function(folder, options)
    local place = files.make_folder(folder .. "/start_up")
    files.write(files.make_folder(place .. "/models") .. "/first_step.lua", MODEL)
    files.write(place .. "/first_step.lua", RECIPE)
    bench.once(place .. "/ml", function(part) write_movielens(files.make_folder(part), options.scale) end)
    return { folder = uv.fs_realpath(place) }
  end,
  run = run,
  target = { seconds = 0.05 },
}
