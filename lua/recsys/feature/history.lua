--- The user's last events before this one, as a bag of codes of an item-side feature, newest last.

--- Kinds whose output is codes that a window can hold.
local codes = { id = true, category = true, categories = true, hashed = true, buckets = true, tokens = true }

--- The item-side declaration that 'of' means: a feature's name, its output or its column.
local function source_of(d, items)
  for _, how in ipairs { "output", "name", "column" } do
    for _, item in ipairs(items) do
      if item[how] == d.of and codes[item.kind] then return item end
    end
  end
  error(("history '%s' is of '%s', which is no item feature with codes"):format(d.name, d.of), 0)
end

return {
  side = "event",
  options = { of = "text", length = "positive", unknown = { "keep", "drop" } },
  defaults = { name = "history", length = 50, unknown = "drop" },
  required = { "of" },
  build = function(d, sides, source)
    local item, side = source_of(d, source.declarations.item), sides.event
    side:output(d.name, side:step("window", nil, { of = item.output, length = d.length, unknown = d.unknown }),
      { feature = d.kind, table = item.table, of = item.output })
  end,
}
