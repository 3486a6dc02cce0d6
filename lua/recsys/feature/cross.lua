--- Several columns of a side as one value: codes of the combinations that training users or items hold, or hashes.
--- Missing where one of the columns is.
return {
  column_list = true,
  reads = "training rows",
  options = { buckets = "positive", min_count = "positive", max_size = "positive", max_share = "fraction",
    share = "name" },
  settle = function(d)
    d.name = d.name or table.concat(d.list, "_x_")
  end,
  columns = function(d)
    local places = {}
    for i, column in ipairs(d.list) do places[i] = { d.side, column } end
    return places
  end,
  count = function(d, source)
    if not d.buckets then source:count(d, "join", d.list) end
  end,
  build = function(d, sides)
    local side, parts = sides[d.side], {}
    for i, column in ipairs(d.list) do parts[i] = side:read(column, "string") end
    local value = side:step("join", parts)
    local codes = d.buckets and side:step("hash", value, { buckets = d.buckets })
      or side:step("lookup", value, { table = d.table })
    side:output(d.name, codes, { feature = d.kind, table = d.table, missing = d.missing })
  end,
}
