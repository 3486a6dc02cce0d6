--- Neighbours of sparse rows: solve.weigh and solve.neighbours, beside implicit 0.7.3.

local base = require "recsys.base"
local files = require "recsys.files"
local json = require "recsys.json"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"

-- Five items by four users, counts.
local counts = tensor.csr(tensor.new({ 0, 3, 5, 7, 8, 8 }, "i64"), tensor.new({ 0, 1, 3, 0, 1, 1, 2, 3 }, "i32"),
  tensor.new { 1, 2, 1, 3, 1, 1, 4, 2 }, 4)

local function near(expected, got, tolerance)
  assert.equal(#expected, #got)
  for i, value in ipairs(expected) do
    assert.is_true(math.abs(value - got[i]) <= (tolerance or 1e-6), ("%d: %.8f, not %.8f"):format(i, got[i], value))
  end
end

describe("weights of a sparse matrix", function()
  it("are those of the formulas", function()
    -- four rows have entries; df = 2, 3, 1, 2; sums of rows 4, 4, 5, 2, their mean 15 / 4
    local idf = { math.log(4) - math.log(3), math.log(4) - math.log(4), math.log(4) - math.log(2),
      math.log(4) - math.log(3) }
    near({ 1, 2, 1, 3, 1, 1, 4, 2 }, solve.weigh(counts):tensors().values:tolist())
    near({ idf[1], 2 ^ 0.5 * idf[2], idf[4], 3 ^ 0.5 * idf[1], idf[2], idf[2], 2 * idf[3], 2 ^ 0.5 * idf[4] },
      solve.weigh(counts, { weighting = "tfidf" }):tensors().values:tolist())
    local function bm25(x, sum, c) return x * 2.5 / (x + 1.5 * (0.5 + 0.5 * sum / 3.75)) * idf[c] end
    near({ bm25(1, 4, 1), bm25(2, 4, 2), bm25(1, 4, 4), bm25(3, 4, 1), bm25(1, 4, 2), bm25(1, 5, 2), bm25(4, 5, 3),
      bm25(2, 2, 4) }, solve.weigh(counts, { weighting = "bm25", K1 = 1.5, B = 0.5 }):tensors().values:tolist())
    near({ 1 / 6 ^ 0.5, 2 / 6 ^ 0.5, 1 / 6 ^ 0.5 },
      solve.weigh(counts, { unit = true }):tensors().values:narrow(1, 1, 3):tolist())
  end)

  it("are refused where there are none", function()
    local below = tensor.csr(tensor.new({ 0, 1 }, "i64"), tensor.new({ 0 }, "i32"), tensor.new { -1 }, 1)
    assert.has_error(function() solve.weigh(below, { weighting = "tfidf" }) end,
      "weigh: an entry of row 0 is -1, and counts are 0 or more")
    assert.has_error(function() solve.weigh(counts, { weighting = "bm25", B = 2 }) end,
      "weigh: K1 is 1.2 and B 2; K1 is 0 or more, B from 0 to 1")
    assert.has_error(function() solve.weigh(counts, { weighing = "bm25" }) end)
  end)
end)

describe("nearest neighbours", function()
  it("are the most similar rows", function()
    local m = solve.neighbours(counts, 2):tensors()
    -- <1, 2> = 5, <1, 3> = 2, <1, 4> = 2, <2, 3> = 1; lengths 6^.5, 10^.5, 17^.5, 2
    assert.same({ 0, 2, 4, 6, 7, 7 }, m.starts:tolist())
    assert.same({ 1, 3, 0, 2, 0, 1, 0 }, m.columns:tolist())
    near({ 5 / 60 ^ 0.5, 2 / 24 ^ 0.5, 5 / 60 ^ 0.5, 1 / 170 ^ 0.5, 2 / 102 ^ 0.5, 1 / 170 ^ 0.5, 2 / 24 ^ 0.5 },
      m.values:tolist())
    local shrunk = solve.neighbours(counts, 1, { shrink = 3 }):tensors()
    local kinder = solve.neighbours(counts, 1, { alpha = 0.75 }):tensors()
    near({ 5 / (6 ^ 0.75 * 10 ^ 0.25), 5 / (10 ^ 0.75 * 6 ^ 0.25), 2 / (17 ^ 0.75 * 6 ^ 0.25),
      2 / (4 ^ 0.75 * 6 ^ 0.25) }, kinder.values:tolist())
    local whole = solve.neighbours(counts, 2, { normalize = true }):dense():sum(2):tolist()
    near({ 1, 1, 1, 1, 0 }, whole)
    near({ 5 / (60 ^ 0.5 + 3), 5 / (60 ^ 0.5 + 3), 2 / (102 ^ 0.5 + 3), 2 / (24 ^ 0.5 + 3) }, shrunk.values:tolist())
  end)

  it("are refused without a number of them, and bm25 its shrink", function()
    assert.has_error(function() solve.neighbours(counts, 0) end,
      "bad argument #2 to 'neighbours' (1 or more neighbours are expected)")
    assert.has_error(function() solve.neighbours(counts, 1, { weighting = "bm25", shrink = 1 }) end,
      "neighbours: products of bm25 are not divided by lengths, so there is no shrink or alpha")
  end)

  --- Random rows of which the first are in most columns, with counts or ones.
  local function random(rows, width, ones)
    local stream, starts, columns = base.stream(rows, "user", 3, 3), { 0 }, {}
    local chance, drawn = stream:uniforms(rows * width):tolist(), stream:integers(rows * width, 5, 1 << 20):tolist()
    local values = {}
    for row = 1, rows do
      for column = 1, width do
        local at = (row - 1) * width + column
        -- none is empty: implicit counts such rows among N
        if column == row % width + 1 or chance[at] < 0.02 + 0.6 / row ^ 0.5 then
          columns[#columns + 1], values[#values + 1] = column - 1, ones and 1 or drawn[at] + 1
        end
      end
      starts[row + 1] = #columns
    end
    return tensor.csr(tensor.new(starts, "i64"), tensor.new(columns, "i32"), tensor.new(values, "f64"), width)
  end

  local python = os.getenv "RECSYS_PEER_PYTHON"
  it("have the similarities that implicit finds" .. (python and "" or " (RECSYS_PEER_PYTHON is not set)"), function()
    if not python then return end
    local program = [==[
import json, sys, numpy, scipy.sparse, warnings
warnings.filterwarnings("ignore")
from implicit.nearest_neighbours import CosineRecommender, TFIDFRecommender, BM25Recommender
a = json.load(open(sys.argv[1]))
m = scipy.sparse.csr_matrix((a["values"], a["columns"], a["starts"]), (len(a["starts"]) - 1, a["width"]))
out = {}
for name, kind in (("cosine", CosineRecommender), ("tfidf", TFIDFRecommender), ("bm25", BM25Recommender)):
    model = kind(K=m.shape[0], num_threads=1)
    model.fit(m.T.tocsr(), show_progress=False)
    s = model.similarity.toarray()
    numpy.fill_diagonal(s, 0)
    out[name] = (-numpy.sort(-s, axis=1)[:, : a["k"]]).tolist()
json.dump(out, open(sys.argv[2], "w"))
]==]
    local folder = os.tmpname()
    os.remove(folder)
    files.make_folder(folder)
    files.write(folder .. "/peer.py", program)
    for _, shape in ipairs { { 90, 300, true }, { 90, 300, false }, { 400, 60, true } } do
      local rows, width, ones = table.unpack(shape)
      local m, k = random(rows, width, ones), 12
      local parts = m:tensors()
      files.write(folder .. "/in.json", json.encode { starts = parts.starts:tolist(), columns = parts.columns:tolist(),
        values = parts.values:tolist(), width = width, k = k })
      assert(os.execute(("%s %s/peer.py %s/in.json %s/out.json"):format(python, folder, folder, folder)))
      local wanted = json.decode(files.read(folder .. "/out.json"))
      for _, weighting in ipairs { "cosine", "tfidf", "bm25" } do
        local dense = solve.neighbours(m, k, { weighting = weighting }):dense()
        for row = 1, rows do
          local values = dense:select(1, row):tolist()
          table.sort(values, function(a, b) return a > b end)
          for i = 1, k do
            local want = math.max(0, wanted[weighting][row][i])
            assert.is_true(math.abs(values[i] - want) <= 2e-6 * math.max(1, math.abs(want)),
              ("%s, row %d: %.8g, not %.8g"):format(weighting, row, values[i], want))
          end
        end
      end
    end
    require("recsys.resume").remove(folder)
  end)
end)
