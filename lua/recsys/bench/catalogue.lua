--- Vectors for the rows of `retrieval`, made up once.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local tensor = require "recsys.tensor"

local catalogue = {}

local SEED, CENTRES, NOISE, CHUNK = 29, 10000, 0.5, 50000

--- A file of n standard normal vectors: f32 [n, width].
---@return string path
function catalogue.normal(folder, name, n, width)
  return bench.once(("%s/%s-%d-%d.npy"):format(folder, name, n, width), function(part)
    local stream = base.stream(SEED, "user", 1, #name)
    assert(tensor.save_npy(part, stream:normals(n * width):to("f32"):reshape(n, width)))
  end)
end

--- Rows first .. first + n - 1 of vectors about `centres`, of length 1.
local function about(centres, stream, name, first, n)
  local width = centres:size(2)
  local of = base.stream(SEED, "user", 2, #name):integers(n, CENTRES, first)
  local x = stream:normals(n * width, first * width):to "f32":mul_(NOISE):reshape(n, width)
  x:add_(centres:index_select(of))
  return x:div_((x * x):sum(2):sqrt():reshape(n, 1))
end

--- A file of n vectors of length 1 about 10,000 centres, as items of a catalogue and users are: f32 [n, width].
--- Files of different names hold different vectors about the same centres.
---@return string path
function catalogue.clustered(folder, name, n, width)
  return bench.once(("%s/%s-%d-%d.npy"):format(folder, name, n, width), function(part)
    local centres = base.stream(SEED, "user", 3, 0):normals(CENTRES * width):to("f32"):reshape(CENTRES, width)
    local stream = base.stream(SEED, "user", 4, #name)
    local all = tensor.zeros(n, width)
    for first = 0, n - 1, CHUNK do
      local rows = math.min(CHUNK, n - first)
      all:narrow(1, first + 1, rows):copy_(about(centres, stream, name, first, rows))
    end
    assert(tensor.save_npy(part, all))
  end)
end

--- What all sides of a row must agree on: the mean of all scores.
---@param scores Tensor
---@return { mean_score: number }
function catalogue.check(scores)
  return { mean_score = scores:to("f64"):mean() }
end

return catalogue
