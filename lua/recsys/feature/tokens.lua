--- Text as a bag of lower-cased words: codes of a vocabulary fitted on training users or items, or hashes.
return {
  reads = "training rows",
  column = true,
  options = { max = "positive", min_count = "positive", max_size = "positive", max_share = "fraction",
    share = "name", buckets = "positive", unknown = { "keep", "drop" } },
  defaults = { max = 64, min_count = 2, unknown = "drop" },
  count = function(d, source)
    if not d.buckets then source:count(d, "tokenise", d.max) end
  end,
  build = function(d, sides)
    local side = sides[d.side]
    local words = side:step("tokenise", side:read(d.column, "string"), { max = d.max })
    local codes = d.buckets and side:step("hash", words, { buckets = d.buckets })
      or side:step("lookup", words, { table = d.table, unknown = d.unknown })
    side:output(d.name, codes, { feature = d.kind, table = d.table, missing = d.missing })
  end,
}
