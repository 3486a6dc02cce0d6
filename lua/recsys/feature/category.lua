--- One value out of a few: codes of the values that training users or items hold at least min_count times.
return {
  reads = "training rows",
  column = true,
  options = { min_count = "positive", max_size = "positive", max_share = "fraction", share = "name",
    prefix = "positive" },
  count = function(d, source)
    source:count(d, d.prefix and "prefix", d.prefix)
  end,
  build = function(d, sides)
    local side = sides[d.side]
    local value = side:read(d.column, "string")
    if d.prefix then value = side:step("prefix", value, { length = d.prefix }) end
    side:output(d.name, side:step("lookup", value, { table = d.table }),
      { feature = d.kind, table = d.table, missing = d.missing })
  end,
}
