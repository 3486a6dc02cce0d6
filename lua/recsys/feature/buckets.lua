--- A quantity as codes: which of n ranges between training quantiles it lies in.
local core = require("recsys.core").feature

return {
  reads = "training rows",
  column = true,
  options = { n = "positive" },
  defaults = { n = 10 },
  build = function(d, sides, source)
    local side, frame, rows = sides[d.side], source:rows(d)
    local edges, missing = core.quantiles(frame, d.column, rows, d.n)
    local name = ("edges.%s.%s"):format(d.side, d.name)
    source.program.tensors[name] = edges
    side:output(d.name, side:step("bucketize", side:read(d.column, "number"), { edges = name }),
      { feature = d.kind, table = d.table, missing = #rows > 0 and missing / #rows or 0,
        learned = #edges > 0 and { from = edges:get(1), to = edges:get(#edges) } or nil })
  end,
}
