--- Vectors that were computed elsewhere (of texts, images, sound), joined by id: rows of an .npy or safetensors file.
--- They are part of the encoder, those of items that training never saw included.

local core = require("recsys.core").feature
local bundle = require "recsys.bundle"
local frame = require "recsys.frame"
local lfs = require "lfs"
local tensor = require "recsys.tensor"

local function fail(...) error(string.format(...), 0) end

--- The one matrix of a safetensors file, or the tensor called `name`.
local function of_safetensors(path, name)
  local tensors, message = bundle.read_safetensors(path)
  if not tensors then fail("%s", message) end
  if name then return tensors[name] or fail("%s holds no tensor '%s'", path, name) end
  local found
  for key, t in pairs(tensors) do
    if t:dim() == 2 and found then fail("%s holds several matrices: option 'tensor' must name one", path) end
    if t:dim() == 2 then found = key end
  end
  return found and tensors[found] or fail("%s holds no matrix", path)
end

--- The file's matrix as f32 [n, d], finite.
local function load(d)
  local t
  if d.file:find "%.npy$" then
    local loaded, message = tensor.load_npy(d.file)
    t = loaded or fail("%s", message)
  else
    t = of_safetensors(d.file, d.tensor)
  end
  if t:dim() ~= 2 or t:size(2) < 1 then fail("%s: %s is no matrix with a row an item", d.file, tostring(t)) end
  if #t == 0 then fail("%s holds no vectors: %s", d.file, tostring(t)) end
  if t:size(2) > 4095 then fail("%s: vectors of at most 4095 numbers are served, not %d", d.file, t:size(2)) end
  local vectors = t:to "f32"
  local finite = vectors:abs():sum(2):lt(math.huge)
  if #vectors > 0 and finite:min() == 0 then
    fail("%s: row %d holds a NaN or an infinity, rows counted from 0", d.file, finite:eq(0):nonzero():get(1))
  end
  return vectors
end

--- Rows of length 1; zeros stay.
local function normalised(vectors)
  local lengths = (vectors * vectors):sum(2):sqrt()
  return vectors / tensor.where(lengths:gt(0), lengths, 1):reshape(-1, 1)
end

--- The ids in a text file, one a line, as an index whose codes are their rows + 1.
local function read_ids(path, n)
  if lfs.attributes(path, "mode") == "directory" then fail("%s is a folder, not a file with an id a line", path) end
  local file, message = io.open(path, "r")
  if not file then fail("%s", message) end
  local ids = {}
  for line in file:lines() do
    ids[#ids + 1] = line:gsub("\r$", "")
    if ids[#ids] == "" then fail("%s: line %d is empty; an id is expected on each", path, #ids) end
  end
  file:close()
  if #ids ~= n then fail("%s holds %d ids for %d vectors", path, #ids, n) end
  local ok, index = pcall(core.index, frame.from { { "id", "string", ids } }, "id")
  if not ok then fail("%s: %s", path, (index:gsub("column 'id' ", ""))) end
  return index
end

--- The share of training rows without a vector; raises when none has one.
local function missing_share(d, source, index)
  local data, rows = source:rows(d)
  local counter <close> = core.counter()
  counter:add(data, d.column, rows)
  local bytes, offsets, counts = counter:vocabulary()
  local values <close> = core.vocabulary(bytes, offsets)
  local known, example = 0, nil
  for code = 1, #values do
    local value = values:text(code)
    if index:code(value) > 0 then known = known + counts:get(code + 1) else example = example or value end
  end
  if known == 0 and example then
    fail("no value of column '%s' is an id of %s: '%s' is not there, '%s' is", d.column, d.ids, example, index:text(1))
  end
  return #rows > 0 and 1 - known / #rows or 0
end

--- The step that gives each row the code of its vector, of `n`, and the share of training rows without one.
local function codes_of(d, side, source, n)
  if not d.ids then return side:step("code", side:read(d.column, "number"), { n = n }) end
  local index <close> = read_ids(d.ids, n)
  local name, parts = d.output .. ".ids", index:tensors()
  local tables, tensors = source.program.tables, source.program.tensors
  tables[#tables + 1] = name
  tensors[("table.%s.bytes"):format(name)] = parts.bytes
  tensors[("table.%s.offsets"):format(name)] = parts.offsets
  return side:step("lookup", side:read(d.column, "string"), { table = name }), missing_share(d, source, index)
end

return {
  column = true,
  reads = "the file; training rows only to tell how many have no vector",
  options = { file = "text", ids = "text", tensor = "text", normalize = "boolean" },
  required = { "file" },
  defaults = { normalize = false },
  check = function(given)
    if given.file and not (given.file:find "%.npy$" or given.file:find "%.safetensors$") then
      return "option 'file' must name a .npy or a .safetensors file"
    end
    if given.tensor and given.file:find "%.npy$" then return "option 'tensor' is for safetensors files" end
  end,
  --- What tells a flow that a file is another one, so that it does not take up what was fitted with the old.
  stamp = function(d)
    local stamps = {}
    for i, path in ipairs { d.file, d.ids } do
      local facts = lfs.attributes(path)
      stamps[i] = facts and ("%d bytes of %d"):format(facts.size, facts.modification) or "absent"
    end
    return table.concat(stamps, ", ")
  end,
  build = function(d, sides, source)
    local side, program = sides[d.side], source.program
    local vectors = load(d)
    if d.normalize then vectors = normalised(vectors) end
    local codes, missing = codes_of(d, side, source, #vectors)
    local name = ("vectors.%s"):format(d.output)
    program.tensors[name] = vectors
    side:output(d.name, side:step("vector", codes, { vectors = name }), { feature = d.kind, missing = missing })
  end,
}
