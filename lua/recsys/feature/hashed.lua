--- A value with too many forms for a vocabulary, or none known beforehand: codes by hash, nothing fitted.
return {
  reads = "the row itself",
  column = true,
  options = { buckets = "positive" },
  required = { "buckets" },
  build = function(d, sides)
    local side = sides[d.side]
    side:output(d.name, side:step("hash", side:read(d.column, "string"), { buckets = d.buckets }),
      { feature = d.kind, table = d.table, learned = { buckets = d.buckets } })
  end,
}
