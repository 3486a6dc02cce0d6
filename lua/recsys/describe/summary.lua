--- What one would want to be told first: sentences over the facts of `describe`, good ones and warnings.

local text = require "recsys.text"
local words = require "recsys.describe.words"

local summary = {}

local part, share = words.part, words.share

--- How the interactions' columns were found.
---@param found table  facts.interactions
---@return string
function summary.chosen(found)
  local how = {}
  for _, why in pairs(found.chosen_by) do how[why] = true end
  if how.name then return "guessed by their names; --user, --item and --time say otherwise" end
  return how.layout and "known from the files' layout" or "as told"
end

--- "12 interactions repeat an earlier one (3.4 %)", of the same user and item.
---@param found table  facts.interactions
---@return string
function summary.repeated(found)
  if found.repeated == 0 then return "no interaction repeats an earlier one" end
  return ("%s an earlier one (%s)"):format(words.count(found.repeated, "interaction repeats", "interactions repeat"),
    part(found.repeated, found.interactions))
end

--- Add a sentence that has not been said.
local function say(list, good, format, ...)
  local sentence = format:format(...)
  for _, one in ipairs(list) do
    if one.text == sentence then return end
  end
  list[#list + 1] = { good = good, text = sentence }
end

local function sizes(list, found, why)
  if not found then return say(list, false, "No interactions were found: %s.", why or "none") end
  say(list, true, "%s, %s, %s%s; %s of all pairs are known.", words.count(found.n_users, "user"),
    words.count(found.n_items, "item"), words.count(found.interactions, "interaction"),
    found.from and (" from %s to %s"):format(found.from:sub(1, 10), found.to:sub(1, 10)) or "", share(found.density))
  if found.incomplete > 0 then
    say(list, false, "%s user, item or time (%s).", words.count(found.incomplete, "row lacks", "rows lack"),
      part(found.incomplete, found.rows))
  end
  if found.repeated > 0 then
    say(list, false, "%s of the same user and item: one row a pair, or a count, must be chosen.",
      summary.repeated(found))
  end
end

local function skew(list, found)
  for _, of in ipairs { { "items", found.items }, { "users", found.users } } do
    if of[2].n > 0 then
      local once = of[2].once > 0 and part(of[2].once, of[2].n) .. " have" or "none has"
      say(list, of[2].gini < 0.8, "The busiest 10 %% of %s have %s of the interactions (Gini %.2f); %s a single one.",
        of[1], share(of[2].top_10), of[2].gini, once)
    end
  end
end

local function cold(list, found)
  local last = found.cold[1]
  if not last or last.events == 0 then return end
  say(list, last.either_event_share < 0.1,
    "Of the last %.0f %% of the interactions, from %s on, %s are with items and %s by users not seen before.",
    100 * last.share, words.time(last.from_ms):sub(1, 16), share(last.item_event_share), share(last.user_event_share))
end

local function join_sentence(list, join)
  local left, right = join.left, join.right
  if left.unmatched_rows == 0 and left.missing == 0 then
    say(list, true, "Every row of %s finds its %s in %s.", left.file, left.column, right.file)
  else
    local lost = left.unmatched_rows + left.missing
    say(list, false, "%s of %s (%s) find no partner by %s in %s.", words.count(lost, "row"), left.file,
      part(lost, left.rows), left.column, right.file)
  end
  if right.key and right.repeated > 0 then
    say(list, false, "%s of %s %s the %s of another row: a join multiplies rows.", words.count(right.repeated, "row"),
      right.file, right.repeated == 1 and "has" or "have", right.column)
  end
end

local function joins(list, facts)
  for _, join in ipairs(facts.joins) do join_sentence(list, join) end
  if #facts.files > 1 and #facts.joins == 0 then
    say(list, false, "No columns of two files look like the same key.")
  end
end

--- The columns that miss most, of all files.
local function missing(list, facts)
  local worst = {}
  for _, file in ipairs(facts.files) do
    for _, column in ipairs(file.columns) do
      if column.missing_share >= 0.01 then
        worst[#worst + 1] = { name = ("%s.%s"):format(file.name, column.name), share = column.missing_share }
      end
    end
  end
  if #worst == 0 then return say(list, true, "No column misses as much as 1 %% of its values.") end
  table.sort(worst, function(a, b)
    if a.share ~= b.share then return a.share > b.share end
    return a.name < b.name
  end)
  local named = {}
  for i = 1, math.min(4, #worst) do named[i] = ("%s %s"):format(worst[i].name, share(worst[i].share)) end
  say(list, worst[1].share < 0.2, "Missing most: %s%s.", table.concat(named, ", "),
    #worst > 4 and (", and %s with 1 %% or more"):format(words.count(#worst - 4, "more column")) or "")
end

local function files(list, facts)
  for _, file in ipairs(facts.files) do
    if file.refused then say(list, false, "%s cannot be read.", file.path) end
    if file.unterminated then
      say(list, false, "The last line of %s has no line end: was the file cut off?", file.name)
    end
    if file.quarantined > 0 then
      say(list, false, "%s of %s malformed and left out (%s); the first is line %s: %s.",
        words.count(file.quarantined, "row"), file.name .. (file.quarantined == 1 and " is" or " are"),
        part(file.quarantined, file.rows + file.quarantined), text.count(file.quarantine.examples[1].line),
        file.quarantine.examples[1].reason)
    end
    if file.duplicates and file.duplicates.rows > 0 then
      say(list, false, "%s of %s an earlier row in full (%s).", words.count(file.duplicates.rows, "row"),
        file.name .. (file.duplicates.rows == 1 and " repeats" or " repeat"), part(file.duplicates.rows, file.rows))
    end
  end
end

--- The sentences, in the order in which one would ask: sizes, joins, what is missing, how skewed, how cold, the files.
---@param facts table  of describe.look
---@return { good: boolean, text: string }[]
function summary.of(facts)
  local list, found = {}, facts.interactions
  sizes(list, found, facts.no_interactions)
  joins(list, facts)
  missing(list, facts)
  if found then
    skew(list, found)
    cold(list, found)
  end
  files(list, facts)
  return list
end

return summary
