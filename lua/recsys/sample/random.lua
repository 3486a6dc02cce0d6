--- The sample's own random numbers: SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195).
---
--- Stock Lua makes the sample, so the streams are 64-bit integer arithmetic in plain Lua: the same numbers on every
--- machine, whatever else the process draws. A stream is named by a seed and a purpose.
local random = {}

local GOLDEN <const> = 0x9E3779B97F4A7C15
local TO_UNIT <const> = 2.0 ^ -53

local function mix(z)
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

--- FNV-1a, 64 bits: names streams and fingerprints the constants. Not for secrets.
---@param text string
---@return integer
function random.fnv1a(text)
  local hash = 0xCBF29CE484222325
  for i = 1, #text do hash = (hash ~ text:byte(i)) * 0x100000001B3 end
  return hash
end

--- A stream of random numbers. Its fields are plain functions (no self), for use in tight loops.
---@param seed integer
---@param purpose string  two purposes share no numbers
---@return table stream  bits(), uniform(), below(n), normal(), exponential(), pick(cumulative)
function random.stream(seed, purpose)
  local state = mix(mix(seed) + random.fnv1a(purpose))
  local stream = {}

  --- 64 random bits.
  function stream.bits()
    state = state + GOLDEN
    return mix(state)
  end

  --- Uniform in [0, 1), 53 bits.
  local function uniform()
    state = state + GOLDEN
    local z = (state ~ (state >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    return ((z ~ (z >> 31)) >> 11) * TO_UNIT
  end
  stream.uniform = uniform

  --- Uniform in 1 .. n.
  function stream.below(n) return (uniform() * n // 1 | 0) + 1 end

  --- Standard normal (Box & Muller 1958), the cosine half alone.
  function stream.normal()
    return math.sqrt(-2 * math.log(1 - uniform())) * math.cos(2 * math.pi * uniform())
  end

  --- Exponential with mean 1.
  function stream.exponential() return -math.log(1 - uniform()) end

  --- A position of a cumulative list of weights, in proportion to its weight.
  function stream.pick(cumulative)
    return random.search(cumulative, 1, #cumulative, uniform() * cumulative[#cumulative])
  end

  return stream
end

--- The first position in low .. high whose cumulative weight exceeds 'x'; 'high' when none does.
---@param cumulative number[]
---@return integer
function random.search(cumulative, low, high, x)
  while low < high do
    local middle = (low + high) // 2
    if cumulative[middle] > x then high = middle else low = middle + 1 end
  end
  return low
end

--- Running sums of a list of weights.
---@param weights number[]
---@return number[]
function random.cumulative(weights)
  local sums, total = {}, 0
  for i, weight in ipairs(weights) do
    total = total + weight
    sums[i] = total
  end
  return sums
end

return random
