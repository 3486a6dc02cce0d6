--- Free text as a point: the TF-IDF weights of its words, projected by the truncated SVD of the training texts (latent
--- semantic analysis: Deerwester et al. 1990, doi:10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9).
--- Several columns may make one text, each with its weight: text { columns = { title = 2, body = 1 }, name = "text" }.

local core = require("recsys.core").feature
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local MAX_COLUMNS, MAX_GRAM = 16, 16

--- The columns in order of their names, and the weight of each.
local function columns_of(d)
  if d.column then return { d.column }, { 1 } end
  local names, weights = {}, {}
  for name in pairs(d.columns) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do weights[i] = d.columns[name] end
  return names, weights
end

local function check_columns(given)
  if (given[1] == nil) == (given.columns == nil) then return "either a column or the option 'columns' is expected" end
  if given[1] then return end
  local n = 0
  for name, weight in pairs(given.columns) do
    n = n + 1
    if type(name) ~= "string" or type(weight) ~= "number" or not (weight > 0 and weight < 1e9) then
      return "option 'columns' must be a table of column names to weights above 0"
    end
  end
  if n == 0 or n > MAX_COLUMNS then return ("option 'columns' must name 1 to %d columns"):format(MAX_COLUMNS) end
  if not given.name then return "option 'name' is required beside 'columns'" end
end

local function check(given)
  local grams = given.ngrams
  if grams and not (#grams == 2 and math.type(grams[1]) == "integer" and math.type(grams[2]) == "integer"
      and 1 <= grams[1] and grams[1] <= grams[2] and grams[2] <= MAX_GRAM) then
    return ("option 'ngrams' must be { shortest, longest } from 1 to %d"):format(MAX_GRAM)
  end
  if given.dims and given.dims > 2048 then return "at most 2048 dims are served" end
  return check_columns(given)
end

--- The stop words as a vocabulary and as tensors of the program's table `name`.
local function stop_words(words, program, name)
  local counter <close> = core.counter()
  counter:add(frame.from { { "word", "string", words } }, "word")
  local bytes, offsets, counts = counter:vocabulary()
  program.tables[#program.tables + 1] = name
  program.tensors[("table.%s.bytes"):format(name)] = bytes
  program.tensors[("table.%s.offsets"):format(name)] = offsets
  program.tensors[("table.%s.counts"):format(name)] = counts
  return core.vocabulary(bytes, offsets)
end

--- How many singular values stand out of the rounding of f32; the vectors of others are arbitrary.
local function rank_of(values)
  local rank = 0
  while rank < #values and values:get(rank + 1) > 1e-5 * values:get(1) do rank = rank + 1 end
  return rank
end

--- V [words, dims] of the documents; zeros beyond the rank of the matrix.
local function projection(matrix, dims)
  local rows, words = matrix:size()
  local d = math.min(dims, rows, words)
  if d == 0 then return tensor.zeros(words, dims) end
  local narrow <close> = matrix:to "f32"
  local values, vectors = narrow:svd(d)
  local rank = rank_of(values)
  if rank == dims then return vectors end
  return tensor.concat({ vectors:narrow(2, 1, rank), tensor.zeros(words, dims - rank) }, 2)
end

--- The share of rows of a sparse matrix without an entry.
local function empty_share(matrix)
  local starts, rows = matrix:tensors().starts, matrix:size()
  if rows == 0 then return 0 end
  return (starts:narrow(1, 2, rows):eq(starts:narrow(1, 1, rows)):sum()) / rows
end

--- The step that gives a column's words, as the fit counts them.
local function words_of(side, column, d, stop)
  local words = side:step("tokenise", side:read(column, "string"), { max = d.max, tokens = d.tokens })
  if stop then words = side:step("without", words, { table = stop }) end
  local low, high = table.unpack(d.ngrams)
  if high > 1 then words = side:step("ngrams", words, { low = low, high = high, level = "word" }) end
  return words
end

return {
  column = "optional",
  reads = "training rows",
  options = { columns = "table", dims = "positive", max_features = "positive", tokens = { "words", "sklearn" },
    ngrams = "table", stop_words = "list", min_df = "count_or_share", max_df = "count_or_share",
    sublinear = "boolean", max = "positive" },
  defaults = { dims = 128, max_features = 5000, tokens = "words", ngrams = { 1, 1 }, min_df = 1, max_df = 1.0,
    sublinear = false, max = 1 << 20 },
  check = check,
  columns = function(d)
    local places = {}
    for i, name in ipairs((columns_of(d))) do places[i] = { d.side, name } end
    return places
  end,
  build = function(d, sides, source)
    local side, program = sides[d.side], source.program
    local data, rows = source:rows(d)
    local names, weights = columns_of(d)
    local stop = d.stop_words and d.output .. ".stop"
    local fit = core.tfidf(data, names, rows, { tokens = d.tokens, max = d.max, low = d.ngrams[1], high = d.ngrams[2],
      stop_words = stop and stop_words(d.stop_words, program, stop), min_df = d.min_df, max_df = d.max_df,
      max_features = d.max_features, sublinear = d.sublinear, weights = weights })
    local words = d.output .. ".words"
    program.tables[#program.tables + 1] = words
    for _, part in ipairs { "bytes", "offsets", "counts" } do
      program.tensors[("table.%s.%s"):format(words, part)] = fit[part]
    end
    local parts = { idf = fit.idf, vectors = projection(fit.matrix, d.dims),
      weights = #names > 1 and tensor.new(weights, "f64") or nil }
    local parameters, inputs = { sublinear = d.sublinear }, {}
    for part, value in pairs(parts) do
      parameters[part] = ("text.%s.%s"):format(d.output, part)
      program.tensors[parameters[part]] = value
    end
    for i, name in ipairs(names) do
      inputs[i] = side:step("lookup", words_of(side, name, d, stop), { table = words, unknown = "drop" })
    end
    side:output(d.name, side:step("project", inputs, parameters),
      { feature = d.kind, missing = empty_share(fit.matrix) })
  end,
}
