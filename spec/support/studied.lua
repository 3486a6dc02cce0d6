--- A small recipe whose studies specs run, kill and look at.

local command = require "spec.support.command"
local json = require "recsys.json"
local lfs = require "lfs"
local study_of = require "recsys.tune.study"
local track = require "recsys.track"
local uv = require "luv"

local studied = {}

studied.RECIPE = [[
local recsys = require "recsys"
local job, tune = recsys.job, recsys.tune
return recsys.recipe {
  name = "small", about = "Only train",
  params = {
    data = { source = "news", dir = "news", scale = 0.001 },
    split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "two_tower", dim = 16, dropout = 0.1, temperature = 0.2, log_q = true, bias = true },
    train = { epochs = 4, batch = 128, learning_rate = 0.01, patience = 10, checkpoint = 0.03 },
    eval = { window = "7d" },
    early = false,
  },
  search = { ["model.dim"] = tune.choice { 8, 16, 24 }, ["train.learning_rate"] = tune.log_uniform(1e-4, 1e-1) },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, require "recipes.features.news")
    if p.early then flow:task("early", job.evaluate, p, {}, data, split) end
    local model = flow:task("train", job.train, p, encoder, data, split)
    flow:task("evaluate", job.evaluate, p, model, data, split)
    return {}
  end,
}]]

local Place = {}
Place.__index = Place

--- A new folder with the recipe in it; `remove` it at the end.
function studied.place()
  local folder = command.temporary()
  command.write(folder .. "/recipe.lua", studied.RECIPE)
  return setmetatable({ folder = folder }, Place)
end

function Place:remove() command.remove(self.folder) end

--- Run `recsys-run tune recipe.lua WORDS` to its end.
---@param words string[]
---@param options? { after?: number, kill?: fun(pid: integer), recipe?: string }  after so many ms `kill` is called
---@return integer code, integer signal, string said
function Place:tune(words, options)
  options = options or {}
  local out = assert(uv.fs_open(self.folder .. "/out", "w", 420))
  local code, signal
  local handle, pid = uv.spawn(command.program, { args = { "tune", options.recipe or "recipe.lua", "--threads", "1",
    table.unpack(words) }, cwd = self.folder, detached = true, stdio = { nil, out, out } },
    function(c, s) code, signal = c, s end)
  assert(handle, pid)
  uv.fs_close(out)
  local began, after = uv.hrtime(), options.after
  while not code do
    if (uv.hrtime() - began) / 1e9 > 180 then uv.kill(pid, "sigkill") end
    if after and (uv.hrtime() - began) / 1e6 >= after then
      options.kill(pid)
      after = nil
    end
    uv.run "nowait"
    uv.sleep(2)
  end
  handle:close()
  uv.run "nowait"
  return code, signal, command.read(self.folder .. "/out")
end

--- The numbers of the worker processes of a study here; other places may have one of that name at the same time.
function Place:workers(name)
  local list, here = {}, uv.fs_realpath(self.folder)
  for entry in lfs.dir "/proc" do
    local file = entry:find "^%d+$" and io.open("/proc/" .. entry .. "/cmdline")
    local words = file and file:read "a" or ""
    if file then file:close() end
    local is_worker = words:find("\0--trial\0", 1, true) and words:find("\0--study\0" .. name .. "\0", 1, true)
    if is_worker and uv.fs_readlink("/proc/" .. entry .. "/cwd") == here then
      list[#list + 1] = math.tointeger(entry)
    end
  end
  return list
end

--- Whether no worker of a study is left, for which they have two seconds.
function Place:are_gone(name)
  for _ = 1, 200 do
    if #self:workers(name) == 0 then return true end
    uv.sleep(10)
  end
  return false
end

function Place:trials_of(name)
  local study <close> = study_of.attach { name = name, store = self.folder .. "/artifacts" }
  return study:trials()
end

--- The trials of a study whose end is committed, as text by number; none before the study is there.
function Place:ended(name)
  local ok, trials = pcall(self.trials_of, self, name)
  local list = {}
  for _, trial in ipairs(ok and trials or {}) do
    if trial.state ~= "running" and trial.state ~= "waiting" then
      list[trial.number] = json.encode { trial.state, trial.params, json.list(trial.values), trial.ended }
    end
  end
  return list
end

--- The tracked runs below a study's, by name, and its own.
function Place:runs_of(name)
  local study <close> = study_of.attach { name = name, store = self.folder .. "/artifacts" }
  local store <close> = track.open(self.folder .. "/artifacts")
  local found, parent = {}, store:run(study.run_id)
  for _, row in ipairs(store.db:rows([[SELECT t.run_uuid AS id FROM tags t WHERE t.key = 'mlflow.parentRunId'
      AND t.value = ?]], { study.run_id })) do
    local run = store:run(row.id)
    found[run.info.run_name] = found[run.info.run_name] or {}
    table.insert(found[run.info.run_name], run)
  end
  return found, parent
end

--- A list of { key, value } as a table.
function studied.by_key(list)
  local map = {}
  for _, pair in ipairs(list or {}) do map[pair.key] = pair.value end
  return map
end

return studied
