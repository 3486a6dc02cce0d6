--- The facts of `describe` as tables for a terminal: at most 100 columns, whatever the data hold.

local summary = require "recsys.describe.summary"
local text = require "recsys.text"
local words = require "recsys.describe.words"

local terminal = {}

local width = 100 -- columns of the terminal
local name_width, bar_width = 18, 16
local count, share, part, plain = text.count, words.share, words.part, words.plain

local out -- lines of the description being made

local function line(format, ...)
  local s = select("#", ...) > 0 and format:format(...) or format
  out[#out + 1] = words.cut(s:gsub("%s+$", ""), width)
end

--- Words of a sentence on as many lines as they need.
local function wrap(indent, s, hanging)
  local room, at = width - indent, (" "):rep(indent)
  local current = ""
  for word in s:gsub(" %%", "\1%%"):gmatch "%S+" do -- a number and its % stay together
    word = words.cut(word:gsub("\1", " "), room)
    if current ~= "" and words.cells(current) + 1 + words.cells(word) > room then
      line("%s", at .. current)
      at, current = (" "):rep(hanging or indent), word
      room = width - (hanging or indent)
    else
      current = current == "" and word or current .. " " .. word
    end
  end
  if current ~= "" then line("%s", at .. current) end
end

local function heading(s)
  if #out > 0 then line "" end
  line("%s", s)
end

-- Columns of a file -------------------------------------------------------------------------------------------------

--- Members of a list with what goes between them, as many as fit into 'most' columns.
local function joined(parts, between, most)
  local s = ""
  for i, one in ipairs(parts) do
    local longer = i == 1 and one or s .. between .. one
    local room = i == #parts and most or most - words.cells(between) - 1
    if words.cells(longer) > room then return i == 1 and words.cut(one, most) or s .. between .. "…" end
    s = longer
  end
  return s
end

local function top_values(column, most)
  local parts = {}
  if column.distinct == column.rows - column.missing and column.distinct > 1 then
    for i = 1, math.min(3, #column.top) do
      parts[i] = words.cut(words.value(column, column.top[i].value), 40)
    end
    return "such as " .. joined(parts, ", ", most - 8)
  end
  for i, top in ipairs(column.top) do
    parts[i] = ("%s %s"):format(words.cut(words.value(column, top.value), 28), share(top.share))
  end
  return joined(parts, " · ", most)
end

local function quantiles(column, say)
  return ("1 %% %s · 25 %% %s · 50 %% %s · 75 %% %s · 99 %% %s"):format(say(column.q01), say(column.q25),
    say(column.q50), say(column.q75), say(column.q99))
end

--- A line with separators that is too long for 'most' columns as two.
local function in_two(s, most)
  if words.cells(s) <= most then return s end
  local first, rest = s:match "^(.- · .- · .-) · (.*)$"
  return first or s, rest
end

local function lengths(column, of)
  if column.min == column.max then return ("%s %s each"):format(words.number(column.min), of) end
  return ("%s to %s %s, half up to %s"):format(words.number(column.min), words.number(column.max), of,
    words.number(column.q50))
end

--- What a column holds: what stands behind its shares, and lines for below.
local describe_values = {}

local indent = 2 + name_width + 2      -- of the lines below
local head = indent + 6 + 2 + 7 + 2 + 9 + 2 -- of what stands behind the shares

local function bars_of(column)
  local counts = column.histogram and column.histogram.counts or {}
  return #counts > 1 and words.bars(counts, bar_width) or ""
end

function describe_values.number(column)
  local range = ("%s to %s, mean %s ± %s"):format(words.number(column.min), words.number(column.max),
    words.number(column.mean), words.number(column.deviation))
  local lines = { range, in_two(quantiles(column, words.number), width - indent) }
  if column.top[1].share >= 0.01 and column.top[1].count > 1 and column.distinct > 1 then
    lines[#lines + 1] = "top " .. top_values(column, width - indent - 4)
  end
  return bars_of(column), lines
end

function describe_values.time(column)
  local function minute(ms) return words.time(ms):sub(1, 16) end
  return bars_of(column), { ("%s to %s"):format(words.time(column.min), words.time(column.max)),
    ("98 %% of them from %s to %s"):format(minute(column.q01), minute(column.q99)),
    ("half of them from %s to %s"):format(minute(column.q25), minute(column.q75)) }
end

function describe_values.string(column)
  return lengths(column, column.max == 1 and "character" or "characters"), { top_values(column, width - indent) }
end

function describe_values.list(column)
  return lengths(column, column.max == 1 and "member" or "members"), { top_values(column, width - indent) }
end

local function column_lines(column)
  local first, below = "", {}
  if column.min then first, below = describe_values[column.type](column) end
  for _, note in ipairs(column.notes) do below[#below + 1] = note end
  line("  %s  %s  %s  %s  %s", words.pad(words.cut(plain(column.name), name_width), name_width),
    words.pad(column.type, 6), words.pad(share(column.missing_share), 7, true),
    words.pad(count(column.distinct), 9, true), words.cut(first, width - head))
  for _, s in ipairs(below) do line("%s%s", (" "):rep(indent), words.cut(plain(s), width - indent)) end
end

-- A file ------------------------------------------------------------------------------------------------------------

local function quarantine_lines(facts)
  if facts.quarantined == 0 then return end
  line("  %s quarantined (%s of all):", words.count(facts.quarantined, "row is", "rows are"),
    part(facts.quarantined, facts.rows + facts.quarantined))
  for i = 1, math.min(4, #facts.quarantine.reasons) do
    local reason = facts.quarantine.reasons[i]
    line("    %s  %s, first in line %s", words.pad(count(reason.rows), 8, true), words.cut(plain(reason.reason), 56),
      count(reason.first_line))
  end
  for i = 1, math.min(2, #facts.quarantine.examples) do
    local example = facts.quarantine.examples[i]
    line("    line %s: %s", count(example.line), plain(example.text))
  end
  if facts.quarantine.torn then
    line("    %s a quote that is torn, the first in line %s; reading went on behind it",
      words.count(facts.quarantine.torn, "of them has", "of them have"), count(facts.quarantine.torn_line))
  end
  if facts.quarantine.path then line("    all of them are in %s", facts.quarantine.path) end
end

local function repeat_example(examples)
  local one = examples[1]
  return one and (": row %s is row %s again"):format(count(one.row), count(one.first)) or ""
end

local function duplicate_lines(duplicates)
  if not duplicates then return end
  if duplicates.rows == 0 then
    line "  no row repeats another"
  else
    line("  %s an earlier one%s", words.count(duplicates.rows, "row repeats", "rows repeat"),
      repeat_example(duplicates.examples))
  end
  for _, key in ipairs(duplicates.keys) do
    line("  %s: %s of an earlier row%s", plain(table.concat(key.columns, ", ")),
      words.count(key.rows, "row has the value", "rows have the value"), repeat_example(key.examples))
  end
end

local function file_lines(facts)
  if facts.refused then
    heading(plain(facts.path))
    wrap(2, "cannot be read: " .. plain(facts.refused), 4)
    return
  end
  heading(("%s  %s, %s, %s%s"):format(plain(facts.path), words.count(facts.rows, "row"),
    words.count(#facts.columns, "column"), words.bytes(facts.bytes),
    facts.parts and (" in %s"):format(words.count(#facts.parts, "file")) or ""))
  wrap(2, words.dialect(facts.dialect), 4)
  if facts.unterminated then line "  the last line has no line end: was the file cut off?" end
  quarantine_lines(facts)
  duplicate_lines(facts.duplicates)
  line("  %s  %s  %s  %s  %s", words.pad("column", name_width), words.pad("type", 6), "missing", " distinct", "values")
  for _, column in ipairs(facts.columns) do column_lines(column) end
end

-- Joins -------------------------------------------------------------------------------------------------------------

local function side_lines(side, other)
  local present = side.rows - side.missing
  if present == 0 then return line("    no row of %s has a key", plain(side.file)) end
  if side.unmatched_rows == 0 then
    line("    every row of %s finds its partner in %s%s", plain(side.file), plain(other.file),
      side.missing > 0 and (", but %s without a key"):format(words.count(side.missing, "row is", "rows are")) or "")
    return
  end
  wrap(4, ("%s of %s (%s) with %s find%s no partner in %s%s"):format(words.count(side.unmatched_rows, "row"),
    plain(side.file), part(side.unmatched_rows, side.rows), words.count(side.unmatched_keys, "key"),
    side.unmatched_rows == 1 and "s" or "", plain(other.file),
    side.missing > 0 and ("; %s no key"):format(words.count(side.missing, "row has", "rows have")) or ""), 6)
  local parts = {}
  for i, example in ipairs(side.examples) do
    parts[i] = ("%s (%s)"):format(words.cut(plain(example.key), 40), words.count(example.rows, "row"))
  end
  if #parts > 0 then line("      such as %s", joined(parts, ", ", width - 14)) end
end

local why = { names = "by their names", values = "by their values", given = "as told" }

local function join_lines(facts)
  if #facts.files < 2 and #facts.joins == 0 then return end
  heading "Between files"
  if #facts.joins == 0 then
    wrap(2, "no columns of two files look like the same key; --join FILE.COLUMN=FILE.COLUMN compares two", 4)
  end
  for _, join in ipairs(facts.joins) do
    line("  %s = %s  (%s): %s in common", plain(join.left_name), plain(join.right_name), why[join.why],
      words.count(join.matched_keys, "key"))
    side_lines(join.left, join.right)
    side_lines(join.right, join.left)
    if join.right.key and join.right.repeated > 0 then
      line("    %s of %s %s the key of another: a join would multiply rows",
        words.count(join.right.repeated, "row"), plain(join.right.file), join.right.repeated == 1 and "has" or "have")
    end
  end
end

-- Interactions ------------------------------------------------------------------------------------------------------

local function skew_lines(label, skew)
  if skew.n == 0 then return end
  line("  a%s %s has %s to %s interactions, mean %s", label == "item" and "n" or "", label, words.number(skew.min),
    words.number(skew.max), words.number(skew.mean))
  line("    %s; %s of them have one", quantiles(skew, words.number),
    skew.once > 0 and part(skew.once, skew.n) or "none")
  line("    the busiest 1 %% have %s of all interactions, the busiest 10 %% %s; Gini %.2f", share(skew.top_1),
    share(skew.top_10), skew.gini)
  local logs = {}
  for i, n in ipairs(skew.count) do logs[i] = math.log(n + 1) ^ 2 end
  line("    long tail %s  (by rank, both on log scales: %s down to %s)", words.bars(logs, 32),
    count(skew.count[1]), count(skew.count[#skew.count]))
end

local function cold_lines(cold)
  for _, part_of in ipairs(cold) do
    if part_of.from then
      wrap(2, ("the last %.0f %% of interactions (from %s): %s of their users and %s of their items were not seen "
        .. "before; %s are by new users, %s with new items, %s either"):format(100 * part_of.share,
        words.time(part_of.from_ms):sub(1, 16), share(part_of.new_user_share), share(part_of.new_item_share),
        share(part_of.user_event_share), share(part_of.item_event_share), share(part_of.either_event_share)), 4)
    end
  end
end

local function interaction_lines(facts)
  heading "Interactions"
  local found = facts.interactions
  if not found then
    wrap(2, facts.no_interactions or "none", 4)
    return
  end
  wrap(2, ("%s: user %s, item %s, time %s (%s)"):format(plain(found.file), plain(found.user), plain(found.item),
    found.time and plain(found.time) or "none", summary.chosen(found)), 4)
  line("  %s, %s, %s, density %s%s", words.count(found.n_users, "user"), words.count(found.n_items, "item"),
    words.count(found.interactions, "interaction"), share(found.density),
    found.incomplete > 0 and ("; %s incomplete"):format(words.count(found.incomplete, "row is", "rows are")) or "")
  line("  %s of user and item; %s", words.count(found.pairs, "distinct pair"), summary.repeated(found))
  skew_lines("user", found.users)
  skew_lines("item", found.items)
  local activity = found.activity
  if activity then
    line("  %s to %s, by %s: %s", words.time(activity.from_ms):sub(1, 10), activity.to:sub(1, 10), activity.unit,
      words.bars(activity.counts, 48))
  end
  cold_lines(found.cold)
end

local function summary_lines(facts)
  heading "In short"
  for _, one in ipairs(summary.of(facts)) do wrap(2, (one.good and "  " or "! ") .. plain(one.text), 4) end
end

--- The description as text, lines of at most 100 columns.
---@param facts table  of describe.look
---@return string
function terminal.render(facts)
  out = {}
  for _, file in ipairs(facts.files) do file_lines(file) end
  join_lines(facts)
  interaction_lines(facts)
  summary_lines(facts)
  local rendered = table.concat(out, "\n") .. "\n"
  out = nil
  return rendered
end

return terminal
