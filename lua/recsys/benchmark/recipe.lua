--- A published row as a recipe: the protocol (data, splits, features, published rows, references) is a module of
--- recsys.benchmark, the row says the model and what figure is to be reached. docs/benchmarks.md, "A row".

local benchmark = require "recsys.benchmark"
local job = require "recsys.job"
local model = require "recsys.model"
local recipe = require "recsys.recipe"

---@class BenchmarkProtocol
---@field name string        what its recipes are called by
---@field about string       sentence of a recipe that has none
---@field data table         declared parameters of the group `data`
---@field train? table       declared parameters of the group `train` that all rows share
---@field features table     declarations of features, where the row has none
---@field published table[]  rows { name, figures, source }
---@field study fun(flow: table, p: table, all: any): table   the other fields of a Study (recsys.benchmark)

---@class BenchmarkRow
---@field name string         the recipe's, behind "benchmark_"
---@field about? string       the recipe's sentence
---@field model? table        declared parameters of the model; nil: `reference`
---@field train? table        of its training
---@field eval? table
---@field profiles? table     as of a recipe
---@field features? table     default: the protocol's
---@field rivals? table[]     of a Study
---@field published? string   the published row that this one is: it stands right beside
---@field reach? number[]     what each metric must be at least, to the fourth digit
---@field exact? boolean      the figures of `reach` must be met, neither less nor more
---@field deterministic? boolean  no seed plays a part: one is enough
---@field reference? { [1]: string, [2]: string, [3]: table? }  in place of a model: label, function of
---   recsys.evaluate.reference, its options; always deterministic
---@field references? table[] of a Study; default: the protocol's

local FIELDS <const> = { name = "string", about = "string", model = "table", train = "table", eval = "table",
  profiles = "table", features = "table", rivals = "table", published = "string", reach = "table", exact = "boolean",
  deterministic = "boolean", reference = "table", references = "table" }

local function check(protocol, row)
  for field, value in pairs(row) do
    if not FIELDS[field] then error(("a row of the benchmark %s has no field '%s'"):format(protocol.name, field), 3) end
    if type(value) ~= FIELDS[field] then
      error(("field '%s' of a row of the benchmark %s must be a %s"):format(field, protocol.name, FIELDS[field]), 3)
    end
  end
  if not row.name then error(("a row of the benchmark %s needs a name"):format(protocol.name), 3) end
  if (row.model == nil) == (row.reference == nil) then
    error(("the row '%s' needs a model or a reference, and not both"):format(row.name), 3)
  end
  for _, known in ipairs(row.published and protocol.published or {}) do
    if known[1] == row.published then return end
  end
  if row.published then
    error(("no published row of the benchmark %s is called '%s'"):format(protocol.name, row.published), 3)
  end
end

--- The recipe of a row.
---@param protocol BenchmarkProtocol
---@param row BenchmarkRow
return function(protocol, row)
  check(protocol, row)
  local deterministic = row.deterministic or row.reference ~= nil
  return recipe.new {
    name = "benchmark_" .. row.name, about = row.about or protocol.about, profiles = row.profiles,
    params = benchmark.params({ data = protocol.data, model = row.model,
      train = row.model and model.merge({}, protocol.train or {}, row.train or {}), eval = row.eval }, deterministic),
    run = function(flow, p)
      local all = flow:task("load", job.load, p.data, flow:path "quarantine")
      local study = protocol.study(flow, p, all)
      study.data, study.published = all, protocol.published
      study.features, study.rivals = row.features or protocol.features, row.rivals
      study.references = row.references or study.references
      study.row = { published = row.published, reach = row.reach, exact = row.exact, deterministic = deterministic,
        reference = row.reference }
      return benchmark.run(flow, p, study)
    end,
  }
end
