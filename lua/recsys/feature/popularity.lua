--- How much of the training interactions an item (or what its column names) has: the logarithm of its share. One that
--- training never saw has the share of half an interaction.
local tensor = require "recsys.tensor"

return {
  column = true,
  side = "item",
  reads = "training rows, the row's own interaction included",
  counts = "interactions",
  options = {},
  settle = function(d)
    d.name = d.name or "popularity"
  end,
  count = function(d, source)
    source:count(d)
  end,
  build = function(d, sides, source)
    local side, counts = sides.item, source.program.tensors["table." .. d.table .. ".counts"]
    local total = math.max(counts:sum(), 1)
    local shares = counts:to "f64"
    shares:set(1, 0)
    local name = "values." .. d.output
    source.program.tensors[name] = (tensor.maximum(shares, 0.5) / total):log()
    local code = side:step("lookup", side:read(d.column, "string"), { table = d.table })
    side:output(d.name, side:step("stack", side:step("pick", code, { values = name })),
      { feature = d.kind, missing = d.missing })
  end,
}
