--- Several values at once: a list column, or a string column cut at a separator, as a bag of codes.
return {
  reads = "training rows",
  column = true,
  options = { min_count = "positive", max_size = "positive", max_share = "fraction", share = "name", separator = "text",
    unknown = { "keep", "drop" } },
  defaults = { unknown = "keep" },
  count = function(d, source)
    source:count(d, d.separator and "split", d.separator)
  end,
  build = function(d, sides)
    local side = sides[d.side]
    local values = d.separator and side:step("split", side:read(d.column, "string"), { separator = d.separator })
      or side:read(d.column, "strings")
    side:output(d.name, side:step("lookup", values, { table = d.table, unknown = d.unknown }),
      { feature = d.kind, table = d.table, missing = d.missing })
  end,
}
