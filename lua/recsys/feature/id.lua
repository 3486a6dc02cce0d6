--- The identity of a user, an item or what they name (an author, a shop): codes of the values that training
--- interactions hold at least min_count times.
return {
  reads = "training rows",
  column = true,
  options = { min_count = "positive", max_size = "positive", max_share = "fraction", share = "name" },
  counts = "interactions",
  count = function(d, source)
    source:count(d)
  end,
  build = function(d, sides)
    local side = sides[d.side]
    side:output(d.name, side:step("lookup", side:read(d.column, "string"), { table = d.table }),
      { feature = d.kind, table = d.table, missing = d.missing })
  end,
}
