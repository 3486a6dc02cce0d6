--- Texts of 8,170 articles to points in 128 dimensions: TF-IDF of the 5,000 most frequent words and a truncated SVD.
local base = require("recsys.core").base
local bench = require "recsys.bench"
local feature = require "recsys.feature"
local frame = require "recsys.frame"

local WORDS = 40000

--- A made-up word a number, letters only.
local function word(i)
  return "w" .. tostring(i * 7919 + 13):gsub("%d", function(digit) return string.char(97 + digit) end)
end

--- Articles of 40 to 80 words each, drawn by Zipf's law: a word's number r has chance 1 / r.
local function write_texts(path, articles)
  local words, cumulative, total = {}, {}, 0
  for i = 1, WORDS do
    words[i], total = word(i), total + 1 / i
    cumulative[i] = total
  end
  local stream, at = base.stream(1, "user", 0, 0), 0
  local function draw()
    at = at + 1
    local x, low, high = stream:uniform(at) * total, 1, WORDS
    while low < high do
      local middle = (low + high) // 2
      if cumulative[middle] < x then low = middle + 1 else high = middle end
    end
    return words[low]
  end
  local file <close> = assert(io.open(path, "w"))
  file:write "text\n"
  for i = 1, articles do
    local text = {}
    for j = 1, 40 + i * 7 % 41 do text[j] = draw() end
    file:write(table.concat(text, " "), "\n")
  end
end

--- Accuracy as the exact solver sees it: the kept variance of each, and the first 32 singular values.
local function judge(sides)
  local exact, other = sides.sklearn_arpack and sides.sklearn_arpack.facts, sides.sklearn and sides.sklearn.facts
  local us = sides.recsys.facts
  if not exact or not other then return {} end
  local worst = 0
  for i = 1, 32 do worst = math.max(worst, math.abs(us.values[i] / exact.values[i] - 1)) end
  local share, least = us.variance / exact.variance, math.max(0.99, other.variance / exact.variance)
  return {
    { what = "share of ARPACK's variance", reached = share, wanted = least, holds = share >= least },
    { what = "largest error of the first 32 singular values", reached = worst, wanted = 0.01, holds = worst <= 0.01 },
  }
end

return {
  about = "TF-IDF (5,000 words) and SVD (128) of 8,170 texts of 40 to 80 words",
  prepare = function(folder, options)
    local articles = math.ceil(8170 * options.scale)
    local path = bench.once(folder .. "/texts.csv", function(part) write_texts(part, articles) end)
    return { path = path, d = 128, features = 5000 }
  end,
  setup = function(arguments)
    return { texts = assert(frame.read_csv(arguments.path, { types = { text = "string" } })),
      d = arguments.d // 1, features = arguments.features // 1 }
  end,
  run = function(state)
    local fit = feature.tfidf(state.texts, { "text" }, nil, { tokens = "sklearn", max_features = state.features })
    local matrix <close> = fit.matrix:to "f32"
    local values, vectors = matrix:svd(state.d)
    local points <close> = matrix:matmul(vectors)
    state.values = values
    return { rows = #points, dims = points:size(2), words = #fit.idf }
  end,
  facts = function(state)
    return { variance = (state.values * state.values):sum(), values = state.values:narrow(1, 1, 32):tolist() }
  end,
  judge = judge,
  peers = { sklearn = "text_tfidf_svd.py randomized", sklearn_arpack = "text_tfidf_svd.py arpack" },
  target = { times = { sklearn = 5 } },
}
