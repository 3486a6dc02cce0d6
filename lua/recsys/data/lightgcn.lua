--- Collaborative filtering sets as LightGCN and those who compare with it publish them: train.txt and test.txt, a line
--- a user, "user item item ..." (Gowalla, Yelp2018, Amazon-Book). He et al. 2020, doi:10.1145/3397271.3401063.
---
--- interactions: user, item; the training file's, then the test file's. There are no times and no features. The files
--- are the parts of a split: data.split_given(d, { train = "train.txt", test = "test.txt" }); others of the folder in
--- the same form that divide train.txt anew, such as tune_train.txt and tune_valid.txt, are parts, too.

local files = require "recsys.files"
local frame = require "recsys.frame"
local id_lines = require "recsys.data.id_lines"

local lightgcn = {}

local FILES = { "train.txt", "test.txt" }

--- A frame of one file of the layout, each pair of user and item once.
---@param path string
---@param _? string  the layout
---@param p? { quarantine: string? }
---@param report? table
---@return Frame? interactions  nil, message, code
---@return string? message
---@return string? code
function lightgcn.read_interactions(path, _, p, report)
  report = report or {}
  local f, message, code = id_lines.read(path, p or {}, report)
  if not f then return nil, message, code end
  return id_lines.distinct(f, path, report)
end

--- The refusal of a folder without the files.
function lightgcn.absent(dir)
  return nil, ("there is no LightGCN data in %s: train.txt and test.txt are expected there, with lines \"user item "
    .. "item ...\". The sets lie in the folder Data of https://github.com/gusye1234/LightGCN-PyTorch; set data.dir to "
    .. "the folder of one of them"):format(dir), "io"
end

--- A test row that the training file has as well could never be found.
local function check_apart(train, test, dir)
  local both = test:join(train, { "user", "item" }, "semi")
  if both:rows() == 0 then return true end
  return nil, ("%s/test.txt: %d of its pairs are in train.txt as well, the first is user %s with item %s"):format(dir,
    both:rows(), both:text("user", 1), both:text("item", 1)), "format"
end

--- Read the folder p.dir.
---@param p { dir: string, quarantine: string? }  quarantine: a folder for malformed rows
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function lightgcn.load(p)
  local data = require "recsys.data"
  local report, parts, paths = { quarantined = 0 }, {}, {}
  for i, name in ipairs(FILES) do
    paths[i] = p.dir .. "/" .. name
    if not files.exists(paths[i]) then return lightgcn.absent(p.dir) end
    local f, message, code = lightgcn.read_interactions(paths[i], nil, p, report)
    if not f then return nil, message, code end
    parts[i] = f
  end
  local apart, message, code = check_apart(parts[1], parts[2], p.dir)
  if not apart then return nil, message, code end
  local fingerprint
  fingerprint, message, code = data.fingerprint(paths, { source = "lightgcn" })
  if not fingerprint then return nil, message, code end
  return data.new { name = p.dir:match "([^/]+)/*$", interactions = frame.concat(parts), report = report,
    fingerprint = fingerprint, origin = { source = "lightgcn", dir = p.dir } }
end

return lightgcn
