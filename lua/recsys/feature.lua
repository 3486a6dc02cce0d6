--- Features: declarations, fitting, and the encoder that they become (docs/features.md).

local core = require("recsys.core").feature
local encoder = require "recsys.feature.encoder"
local fit = require "recsys.feature.fit"

local feature = fit.constructors()

feature.rows = fit.rows
feature.sequences = encoder.sequences
feature.index = core.index
feature.load = encoder.load
feature.load_features = core.load_features
feature.load_history = core.load_history

--- Fit declarations on the interactions at 'train_rows' (i64, 0-based; nil: all).
---@return table Encoder
function feature.fit(dataset, train_rows, declarations)
  local ok, program, tensors = pcall(fit.program, dataset, train_rows, declarations)
  if not ok then error("feature.fit: " .. tostring(program), 2) end
  return assert(encoder.load(program, tensors))
end

--- A vocabulary from its tensors; nil, message, code when they are damaged.
function feature.load_vocabulary(tensors)
  return core.vocabulary(tensors.bytes, tensors.offsets)
end

return feature
