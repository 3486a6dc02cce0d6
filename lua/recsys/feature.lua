--- Features: declarations, fitting, and the encoder that they become (docs/features.md).

local core = require("recsys.core").feature
local encoder = require "recsys.feature.encoder"
local fit = require "recsys.feature.fit"
local moving = require "recsys.feature.moving"

--- The C part beneath (lua/meta/feature.lua), which kinds of features build on, and the constructors of all kinds.
local feature = {}
for name, primitive in pairs(core) do feature[name] = primitive end
for name, constructor in pairs(fit.constructors()) do feature[name] = constructor end

feature.rows = fit.rows
feature.sequences = encoder.sequences
feature.load = encoder.load
feature.log_of_items = moving.log_of

--- Fit declarations on training rows; nothing outside them touches the result.
---@param dataset Dataset
---@param train_rows? Tensor  i64, 0-based interactions; default all
---@param declarations { user: table[]?, event: table[]?, item: table[]? }
---@param options? { grow?: Encoder|string }  grow: an earlier encoder, or the model that has it as train.warm_start
---  takes it: its vocabularies stay, code for code, and new values come behind
---@return Encoder  raises, naming the feature or column, when the declarations do not fit the data
function feature.fit(dataset, train_rows, declarations, options)
  local grown = options and options.grow
  if type(grown) == "string" then grown = require("recsys.train.warm_start").open(grown).encoder end
  local ok, program, tensors = pcall(fit.program, dataset, train_rows, declarations, grown)
  if not ok and type(program) == "table" then error(program, 0) end -- a signal's
  if not ok then error("feature.fit: " .. tostring(program), 2) end
  return assert(encoder.load(program, tensors))
end

--- A vocabulary from `vocabulary:tensors()`.
---@param tensors { bytes: Tensor, offsets: Tensor }
---@return Vocabulary? v  nil, message, "format" when they are damaged
---@return string? message
---@return string? code
function feature.load_vocabulary(tensors)
  return core.vocabulary(tensors.bytes, tensors.offsets)
end

return feature
