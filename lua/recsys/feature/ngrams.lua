--- Text as a bag of hashed n-grams, of words or of the characters of each word: nothing is fitted, and a word that
--- training never saw shares n-grams with its like.

local defaults = { word = { 1, 2 }, char = { 3, 5 } }

local function check(given)
  local n = given.n
  if n and not (#n == 2 and math.type(n[1]) == "integer" and math.type(n[2]) == "integer"
      and 1 <= n[1] and n[1] <= n[2] and n[2] <= 16) then
    return "option 'n' must be { shortest, longest } from 1 to 16"
  end
end

return {
  column = true,
  reads = "the row itself",
  options = { n = "table", level = { "word", "char" }, buckets = "positive", tokens = { "words", "sklearn" },
    max = "positive" },
  required = { "buckets" },
  defaults = { level = "word", tokens = "words", max = 256 },
  check = check,
  build = function(d, sides)
    local side = sides[d.side]
    local n = d.n or defaults[d.level]
    local words = side:step("tokenise", side:read(d.column, "string"), { max = d.max, tokens = d.tokens })
    local grams = side:step("ngrams", words, { low = n[1], high = n[2], level = d.level })
    side:output(d.name, side:step("hash", grams, { buckets = d.buckets }), { feature = d.kind, table = d.table })
  end,
}
