--- Features: declarations, fitting, and the encoder that they become (docs/features.md).

local core = require("recsys.core").feature
local encoder = require "recsys.feature.encoder"
local fit = require "recsys.feature.fit"

--- The C part beneath (lua/meta/feature.lua), which kinds of features build on, and the constructors of all kinds.
local feature = {}
for name, primitive in pairs(core) do feature[name] = primitive end
for name, constructor in pairs(fit.constructors()) do feature[name] = constructor end

feature.rows = fit.rows
feature.sequences = encoder.sequences
feature.load = encoder.load

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
