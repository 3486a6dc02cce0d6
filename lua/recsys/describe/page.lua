--- The facts of `describe` as one page: HTML with its style and charts inside, no script, nothing fetched.
---
--- All texts that come from data go through chart.escape; the page's policy forbids scripts and fetches besides.

local chart = require "recsys.describe.chart"
local html = require "recsys.report.html"
local summary = require "recsys.describe.summary"
local text = require "recsys.text"
local words = require "recsys.describe.words"

local page = {}

local escape = chart.escape
local count, number, part, share = text.count, words.number, words.part, words.share

local put -- appends to the page being made

local function bar(class, of)
  if of <= 0 then return ('<span class="bar %s"></span>'):format(class) end
  return ('<span class="bar %s"><i style="width:%.2f%%"></i></span>'):format(class, 100 * math.max(0, math.min(1, of)))
end

-- The top -----------------------------------------------------------------------------------------------------------

local function tile(value, label)
  put('<div class="tile"><b>%s</b><span>%s</span></div>', value, label)
end

local function tiles(facts)
  local found = facts.interactions
  put '<section class="tiles" aria-label="Sizes">'
  if found then
    tile(count(found.n_users), "users")
    tile(count(found.n_items), "items")
    tile(count(found.interactions), "interactions")
    tile(share(found.density), "of all pairs are known")
    if found.cold[1] then
      tile(share(found.cold[1].either_event_share), "of the last 10 % start cold")
    end
  else
    local rows = 0
    for _, file in ipairs(facts.files) do rows = rows + file.rows end
    tile(count(#facts.files), #facts.files == 1 and "file" or "files")
    tile(count(rows), "rows")
  end
  local bad = 0
  for _, file in ipairs(facts.files) do bad = bad + file.quarantined end
  tile(count(bad), bad == 1 and "malformed row" or "malformed rows")
  put "</section>"
end

local function title_of(facts)
  local names = {}
  for i, file in ipairs(facts.files) do names[i] = file.path:match "[^/]+$" end
  if #names > 4 then names = { names[1], names[2], names[3], ("%d more"):format(#names - 3) } end
  return table.concat(names, ", ")
end

local function header(facts)
  local bytes, found = 0, facts.interactions
  for _, file in ipairs(facts.files) do bytes = bytes + file.bytes end
  put("<header><h1>%s</h1>", title_of(facts))
  put('<p class="soft">%s, %s%s</p>', words.count(#facts.files, "file"), words.bytes(bytes),
    found and found.from and (", %s to %s"):format(found.from:sub(1, 10), found.to:sub(1, 10)) or "")
  put "<nav>"
  if found then put '<a href="#interactions">Interactions</a>' end
  if #facts.files > 1 then put '<a href="#joins">Between files</a>' end
  put '<a href="#missing">Missing values</a>'
  for i, file in ipairs(facts.files) do put('<a href="#file%s">%s</a>', i, file.name) end
  put "</nav></header>"
end

local function in_short(facts)
  put '<h2>In short</h2><div class="card"><ul class="says">'
  for _, one in ipairs(summary.of(facts)) do put("<li%S>%s</li>", one.good and "" or ' class="warn"', one.text) end
  put "</ul></div>"
end

-- Interactions ------------------------------------------------------------------------------------------------------

local quantile_names = { { "min", "least" }, { "q01", "1 %" }, { "q25", "25 %" }, { "q50", "median" },
  { "q75", "75 %" }, { "q99", "99 %" }, { "max", "most" }, { "mean", "mean" } }

local function skew_table(found)
  put '<div class="card"><h3>Interactions of each user and item</h3><div class="scroll"><table><tr><th></th>'
  put "<th>users</th><th>items</th></tr>"
  local function row(label, of)
    put("<tr><td>%s</td><td>%s</td><td>%s</td></tr>", label, of(found.users), of(found.items))
  end
  row("how many", function(s) return count(s.n) end)
  for _, name in ipairs(quantile_names) do
    row(name[2], function(s) return s[name[1]] and number(s[name[1]]) or "-" end)
  end
  row("with a single one", function(s) return part(s.once, s.n) end)
  row("share of the busiest 1 %", function(s) return share(s.top_1) end)
  row("share of the busiest 10 %", function(s) return share(s.top_10) end)
  row("Gini coefficient", function(s) return ("%.2f"):format(s.gini) end)
  put "</table></div></div>"
end

local function long_tail(found)
  put('<div class="card"><figure><h3>Long tail</h3>%S<figcaption><span class="key users"></span>users &nbsp; '
    .. '<span class="key items"></span>items; both axes are logarithmic. A straight fall is a power law, a shoulder '
    .. "means that many are about equally busy.</figcaption></figure></div>", chart.long_tail {
    { one = "user", class = "users", rank = found.users.rank, count = found.users.count },
    { one = "item", class = "items", rank = found.items.rank, count = found.items.count } })
end

local function activity(found)
  if not found.activity then return end
  put('<div class="card"><figure><h3>Activity</h3>%S<figcaption>Interactions by %s, UTC.%s</figcaption></figure></div>',
    chart.activity(found.activity), found.activity.unit, found.activity.outside > 0
      and (" %s far from all others and not drawn."):format(words.count(found.activity.outside, "one is", "are"))
      or "")
end

local function cold_part(part_of)
  put('<p class="head">The last %s %% of the interactions, from %s</p>', ("%.0f"):format(100 * part_of.share),
    words.time(part_of.from_ms):sub(1, 16))
  for _, row in ipairs {
    { "of their users are new", "users", part_of.new_user_share },
    { "of their items are new", "items", part_of.new_item_share },
    { "are by new users", "users", part_of.user_event_share },
    { "are with new items", "items", part_of.item_event_share },
    { "are one or the other", "events", part_of.either_event_share },
  } do
    put("<span>%s</span>%S<b>%s</b>", row[1], bar(row[2], row[3]), share(row[3]))
  end
end

local function cold(found)
  if #found.cold == 0 then return end
  put '<div class="card"><h3>Cold starts</h3><div class="cold">'
  for _, part_of in ipairs(found.cold) do
    if part_of.from then cold_part(part_of) end
  end
  put '</div><p class="soft" style="margin-top:10px">New: without an interaction before that moment.</p></div>'
end

local function interactions(facts)
  local found = facts.interactions
  put '<h2 id="interactions">Interactions</h2>'
  if not found then return put("<p>%s.</p>", facts.no_interactions or "none") end
  put('<p class="soft">From %s: the user is <b>%s</b>, the item <b>%s</b>, the time %S (%s). %s of user and item; '
    .. "%s.</p>", found.file, found.user, found.item,
    found.time and ("<b>%s</b>"):format(escape(found.time)) or "unknown", summary.chosen(found),
    words.count(found.pairs, "distinct pair"), summary.repeated(found))
  put '<div class="two">'
  if found.interactions > 0 then
    long_tail(found)
    activity(found)
    cold(found)
    skew_table(found)
  end
  put "</div>"
end

-- What is missing ---------------------------------------------------------------------------------------------------

--- The columns that miss most, of all files, as bars.
local function missing(facts)
  local list, more = {}, 0
  for _, file in ipairs(facts.files) do
    for _, column in ipairs(file.columns) do
      if column.missing > 0 then list[#list + 1] = { ("%s.%s"):format(file.name, column.name), column } end
    end
  end
  table.sort(list, function(a, b)
    if a[2].missing_share ~= b[2].missing_share then return a[2].missing_share > b[2].missing_share end
    return a[1] < b[1]
  end)
  put '<h2 id="missing">Missing values</h2><div class="card">'
  if #list == 0 then return put "<p>No column misses a value.</p></div>" end
  put '<div class="cold">'
  for i, one in ipairs(list) do
    if i <= 12 then
      put("<span>%s</span>%S<b>%s</b>", one[1], bar("bad", one[2].missing_share), share(one[2].missing_share))
    else
      more = more + 1
    end
  end
  put("</div>%S</div>", more > 0 and ('<p class="soft" style="margin-top:10px">and %s below that</p>'):format(
    words.count(more, "more column")) or "")
end

-- Joins -------------------------------------------------------------------------------------------------------------

local function join_side(side, other)
  local lost = side.rows > 0 and side.unmatched_rows / side.rows or 0
  if side.keys == 0 then return put("<p>No row of <b>%s</b> has a key.</p>", side.file) end
  if side.unmatched_rows == 0 then
    put("<p>Every key of <b>%s</b> is in <b>%s</b>.</p>", side.file, other.file)
  else
    put("<p>%s of <b>%s</b> (%s) with %s find no partner in <b>%s</b>.</p>%S", words.count(side.unmatched_rows, "row"),
      side.file, part(side.unmatched_rows, side.rows), words.count(side.unmatched_keys, "key"), other.file,
      bar("bad", lost))
  end
  if side.missing > 0 then
    put("<p>%s of %s %s no key.</p>", words.count(side.missing, "row"), side.file,
      side.missing == 1 and "has" or "have")
  end
  if #side.examples > 0 then
    put '<p class="soft">such as '
    for i = 1, math.min(5, #side.examples) do
      local example = side.examples[i]
      put("%S<code>%s</code> (%s)", i > 1 and ", " or "", words.cut(words.plain(example.key), 60),
        words.count(example.rows, "row"))
    end
    put "</p>"
  end
end

local why = { names = "compared because their names are alike", values = "compared because they share values",
  given = "compared as told" }

local function joins(facts)
  if #facts.files < 2 and #facts.joins == 0 then return end
  put '<h2 id="joins">Between files</h2>'
  if #facts.joins == 0 then
    return put "<p>No columns of two files look like the same key; --join FILE.COLUMN=FILE.COLUMN compares two.</p>"
  end
  put '<div class="two">'
  for _, join in ipairs(facts.joins) do
    put('<div class="card"><h3>%s = %s</h3><p class="soft">%s; %s in common</p>', join.left_name, join.right_name,
      why[join.why], words.count(join.matched_keys, "key"))
    join_side(join.left, join.right)
    join_side(join.right, join.left)
    if join.right.key and join.right.repeated > 0 then
      put('<p class="bad">%s of %s %s the key of another row: a join multiplies rows.</p>',
        words.count(join.right.repeated, "row"), join.right.file, join.right.repeated == 1 and "has" or "have")
    end
    put "</div>"
  end
  put "</div>"
end

-- Files -------------------------------------------------------------------------------------------------------------

local function histogram(column)
  local h = column.histogram
  if not h or #h.counts < 2 or not (column.type == "number" or column.type == "time") then return end
  local step = (h.to - h.from) / #h.counts
  local function say(x) return words.value(column, column.type == "time" and math.floor(x) or x) end
  local single = column.type == "number" and step == 1 and h.from % 1 == 0.5
  put("%S", chart.histogram(h.counts, "events", function(i)
    local from = h.from + (i - 1) * step
    if single then return ("%s: %s"):format(number(from + 0.5), words.count(h.counts[i], "row")) end
    local low = i == 1 and column.min < h.from and column.min or from
    local high = i == #h.counts and column.max > h.to and column.max or from + step
    return ("%s to %s: %s"):format(say(low), say(high), words.count(h.counts[i], "row"))
  end, "histogram of " .. column.name))
  put('<p class="ends"><span>%s</span><span>%s</span></p>', say(single and h.from + 0.5 or h.from),
    say(single and h.to - 0.5 or h.to))
end

--- Quantiles of numbers and times; of texts and lists how long they are.
local function quantiles(column)
  if not column.min then return end
  if column.type == "time" then
    put "<table>"
    for _, row in ipairs { { "first", "min" }, { "1 %", "q01" }, { "median", "q50" }, { "99 %", "q99" },
      { "last", "max" } } do
      put("<tr><th>%s</th><td>%s</td></tr>", row[1], words.time(column[row[2]]))
    end
    return put "</table>"
  elseif column.type ~= "number" then
    local of = column.type == "list" and "members" or "characters"
    if column.min == column.max then return put('<p class="soft">%s %s each</p>', number(column.min), of) end
    return put('<p class="soft">%s to %s %s, median %s</p>', number(column.min), number(column.max), of,
      number(column.q50))
  end
  put "<table><tr><th>min</th><th>1 %</th><th>25 %</th><th>50 %</th></tr><tr>"
  for _, name in ipairs { "min", "q01", "q25", "q50" } do put("<td>%s</td>", number(column[name])) end
  put "</tr><tr><th>75 %</th><th>99 %</th><th>max</th><th>mean</th></tr><tr>"
  for _, name in ipairs { "q75", "q99", "max", "mean" } do put("<td>%s</td>", number(column[name])) end
  put('</tr></table><p class="soft">standard deviation %s</p>', number(column.deviation))
end

local function top_values(column)
  local present = column.rows - column.missing
  local distinct = column.distinct == present and present > 1
  if #column.top == 0 or column.type == "time" then return end
  if column.type == "number" and (distinct or column.top[1].share < 0.01) then return end
  put '<ul class="top">'
  for i = 1, math.min(distinct and 3 or 6, #column.top) do
    local top = column.top[i]
    local said, wide = words.value(column, top.value), ("%.2f"):format(math.min(100, 100 * top.share))
    put('<li style="--w:%S%%"><span title="%s">%s</span><b>%s</b></li>', wide, words.cut(said, 300),
      words.cut(said, 80), distinct and "" or share(top.share))
  end
  put "</ul>"
end

local function column_card(column)
  put('<article class="col"><h3>%s <span class="tag">%s</span></h3>', column.name, column.type)
  put("<p>%s missing · %s distinct</p>%S", column.missing == 0 and "none" or share(column.missing_share),
    count(column.distinct), bar("bad", column.missing_share))
  histogram(column)
  quantiles(column)
  top_values(column)
  for _, note in ipairs(column.notes) do put('<p class="note">%s</p>', note) end
  put "</article>"
end

local function repeats(duplicates)
  if not duplicates then return end
  local function example(examples)
    return examples[1] and (": row %s is row %s again"):format(count(examples[1].row), count(examples[1].first)) or ""
  end
  if duplicates.rows > 0 then
    put('<p class="bad">%s an earlier one%s.</p>', words.count(duplicates.rows, "row repeats", "rows repeat"),
      example(duplicates.examples))
  else
    put '<p class="soft">No row repeats another.</p>'
  end
  for _, key in ipairs(duplicates.keys) do
    put('<p class="bad">%s: %s of an earlier row%s.</p>', table.concat(key.columns, ", "),
      words.count(key.rows, "row has the value", "rows have the value"), example(key.examples))
  end
end

local function quarantine(file)
  if file.quarantined == 0 then return end
  put('<details open><summary>%s malformed and left out (%s)</summary><div class="scroll"><table>',
    words.count(file.quarantined, "row is", "rows are"), part(file.quarantined, file.rows + file.quarantined))
  put "<tr><th>why</th><th>rows</th><th>first in line</th></tr>"
  for i = 1, math.min(8, #file.quarantine.reasons) do
    local reason = file.quarantine.reasons[i]
    put('<tr><td class="text">%s</td><td>%s</td><td>%s</td></tr>', reason.reason, count(reason.rows),
      count(reason.first_line))
  end
  put "</table></div>"
  for i = 1, math.min(2, #file.quarantine.examples) do
    local example = file.quarantine.examples[i]
    put('<p class="soft">line %s: <code>%s</code></p>', count(example.line), example.text)
  end
  if file.quarantine.torn then
    put('<p class="soft">%s a quote that is torn, the first in line %s; reading went on behind it.</p>',
      words.count(file.quarantine.torn, "of them has", "of them have"), count(file.quarantine.torn_line))
  end
  if file.quarantine.path then put('<p class="soft">All of them are in <code>%s</code>.</p>', file.quarantine.path) end
  put "</details>"
end

local function file_section(file, i)
  put('<h2 id="file%s">%s</h2><div class="card">', i, file.path:match "[^/]+$")
  if file.refused then return put('<p class="bad">Cannot be read: %s</p></div>', file.refused) end
  put("<p><b>%s</b>, %s, %s%s</p>", words.count(file.rows, "row"), words.count(#file.columns, "column"),
    words.bytes(file.bytes), file.parts and (" in %s"):format(words.count(#file.parts, "file")) or "")
  put('<p class="soft">%s<br><code>%s</code></p>', words.dialect(file.dialect), file.path)
  if file.unterminated then put '<p class="bad">The last line has no line end: was the file cut off?</p>' end
  repeats(file.duplicates)
  quarantine(file)
  put '</div><div class="cols">'
  for _, column in ipairs(file.columns) do column_card(column) end
  put "</div>"
end

--- The page, whole.
---@param facts table  of describe.look
---@return string html
function page.render(facts)
  local out = {}
  put = html.writer(out)
  header(facts)
  tiles(facts)
  in_short(facts)
  interactions(facts)
  joins(facts)
  missing(facts)
  for i, file in ipairs(facts.files) do file_section(file, i) end
  put = nil
  return html.document(title_of(facts) .. " - what the data hold", table.concat(out))
end

return page
