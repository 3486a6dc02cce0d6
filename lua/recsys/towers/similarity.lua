--- How a user and an item meet: by the dot product of their vectors or by their cosine, divided by a temperature that
--- is fixed or learned. The division is the user's: items stay as they are, and a score stays a dot product.

local autograd = require "recsys.autograd"
local tensor = require "recsys.tensor"

local similarity = {}

local Similarity = {}
Similarity.__index = Similarity

local kinds = { cosine = true, dot = true }

--- A similarity. `normalize` of what it gives is what both towers' shapes need.
---@param config { similarity?: "cosine"|"dot", temperature?: number, learn_temperature?: boolean }
---   temperature: above 0, default 1; where it is learned (Radford et al. 2021, arXiv:2103.00020) it starts there
---@param settings { dtype?: string }
function similarity.new(config, settings)
  local kind, temperature = config.similarity or "cosine", config.temperature or 1
  if not kinds[kind] then
    error(("there is no similarity '%s'; there are cosine and dot"):format(tostring(kind)), 3)
  end
  if not (type(temperature) == "number" and temperature > 0) then
    error(("a temperature above 0 is expected, not %s"):format(tostring(temperature)), 3)
  end
  local self = setmetatable({ normalize = kind == "cosine", scale = 1 / temperature }, Similarity)
  if config.learn_temperature then
    self.logarithm = autograd.parameter("similarity.log_scale",
      tensor.full(-math.log(temperature), 1, settings.dtype or "f32"))
  end
  return self
end

--- A user var [n, d] divided by the temperature.
function Similarity:scaled(tape, user)
  if self.logarithm then return user * tape:parameter(self.logarithm):exp() end
  return self.scale == 1 and user or autograd.affine(user, self.scale, 0)
end

function Similarity:parameters()
  return { self.logarithm }
end

return similarity
