--- Whether a model may be asked a split's test rows: it was trained on the split's training rows, or on these and the
--- validation rows, and on nothing else.

local frame = require("recsys.core").frame
local tensor = require "recsys.tensor"

--- Refuse a model that was trained on other rows, some of which may be test rows. Raises { code = "leak" }. One that
--- does not say what it was trained on, of a training of one's own, is not judged.
---@param trained Model  trained_on: a hash of its rows
---@param split Split
---@param name string    of the model, for the message
return function(trained, split, name)
  local rows = trained.trained_on
  if not rows or rows == frame.hash(split.train) then return end
  local valid = split.valid and #split.valid > 0 and split.valid
  if valid and rows == frame.hash(tensor.concat({ split.train, valid }):sort()) then return end
  error({ code = "leak", message = ("%s was not trained on the training rows of this split: nobody can tell whether it "
    .. "has met the test rows"):format(name) }, 0)
end
