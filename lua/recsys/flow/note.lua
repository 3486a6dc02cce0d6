--- What a task shows of itself beside its result: tables, links, pictures and texts, and how far it is.
---
---     local note = require "recsys.flow.note"
---     note.table("worst users", { { "user", "ndcg" }, { "u7", 0.01 } })
---     note.link("the data's page", "https://example.org/data")
---     note.picture("losses", recsys.report.line { ... })
---     note.text("what to look at", "The *second* week is short.")
---     note.progress(12, 30, "weeks")
---
--- Secrets are left out of all that they say, and of the names of their files: it is veiled before it is kept anywhere.
---
--- They are called in a task's function, in a process of its own, too, and are seen at once: on the page, and by
--- `recsys-run flows show`. They lie in notes/TASK of the run's folder and in flow.db, are files of the tracked run,
--- and come with the task's result when a later run takes it. Outside of tasks they do nothing.

local draw = require("recsys.lazy") "recsys.report.draw"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local uv = require "luv"

local note = {}

local ROWS <const>, COLUMNS <const> = 200, 50 -- of a table that are shown; its file has all rows
local BYTES <const> = 1 << 20 -- of a text
local MOST <const> = 200 -- notes of a task

--- The task at work: { task, folder, record, number, element }; nil outside of one.
local function here() return require("recsys.flow").at_work() end

local function refuse(position, fn, format, ...)
  error(("bad argument #%d to '%s' (%s)"):format(position, fn, format:format(...)), 4)
end

local function check_title(fn, title)
  if type(title) ~= "string" or not title:find "%S" or #title > 200 then
    refuse(1, fn, "a title of 1 to 200 bytes is expected")
  end
end

--- How names of the files begin that an element shows, "e3-"; those of a task itself begin with their numbers.
local function beginning(element) return element > 0 and ("e%d-"):format(element) or "" end

--- "2-worst-users": the name of a note's file, of an element "e3-2-worst-users".
local function name_of(at, title)
  local word = title:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):sub(1, 40):gsub("%-$", "")
  return ("%s%d%s"):format(beginning(at.element), #at.task.notes + 1, word ~= "" and "-" .. word or "")
end

--- Write a note's file into the run's folder; its path there.
local function keep(at, title, ending, write)
  local folder = "notes/" .. at.task.name
  local name = ("%s/%s.%s"):format(folder, name_of(at, title), ending)
  files.make_folder(at.folder .. "/" .. folder)
  write(at.folder .. "/" .. name)
  table.insert(at.task.outputs, name)
  return name
end

--- The tracked run has the file, too.
local function attach(at, file)
  local run = require "recsys.track.current"()
  if run then run:artifact(at.folder .. "/" .. file, file, "link") end
end

--- Note it with the task, in flow.db and with the tracked run.
local function add(at, one)
  one.element = at.element
  table.insert(at.task.notes, one)
  if one.file then attach(at, one.file) end
  if at.record then at.record:note(at.task, one) end
end

--- Where the next note goes, and its title as it may be told; nil where it goes nowhere.
local function place(fn, title)
  check_title(fn, title)
  local at = here()
  if not at or not at.folder then return nil end
  at.task.notes = at.task.notes or {}
  if #at.task.notes < MOST then return at, log.veiled(title) end
  if #at.task.notes == MOST and not at.task.full then
    log.warn("task %s shows more than %d things; the rest is left out", at.task.name, MOST)
    at.task.full = true
  end
end

-- Tables -------------------------------------------------------------------------------------------------------------

local function check_rows(rows)
  if type(rows) ~= "table" or type(rows[1]) ~= "table" then
    refuse(2, "table", "a list of rows is expected, the first the names of the columns")
  end
  local width = #rows[1]
  if width == 0 or width > COLUMNS then refuse(2, "table", "1 to %d columns are expected, not %d", COLUMNS, width) end
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then refuse(2, "table", "row %d is a %s", i, type(row)) end
    for k = 1, width do
      local kind = type(row[k])
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "nil" then
        refuse(2, "table", "row %d has a %s in column %d", i, kind, k)
      end
    end
  end
  return width
end

--- A cell of the table: what is absent is an empty text, what is no finite number a word.
local function cell(value)
  if value == nil then return "" end
  if value ~= value then return "nan" end
  if value == math.huge or value == -math.huge then return value > 0 and "inf" or "-inf" end
  local said = tostring(value)
  local veiled = log.veiled(said)
  return type(value) == "number" and veiled == said and value or veiled
end

--- A cell of CSV.
local function quoted(value)
  local text = tostring(cell(value))
  return text:find '[",\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
end

local function write_csv(path, rows, width)
  local lines = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for k = 1, width do cells[k] = quoted(row[k]) end
    lines[i] = table.concat(cells, ",")
  end
  files.write(path, table.concat(lines, "\n") .. "\n", true)
end

--- Show a table. All of it is in a CSV file, its first 200 rows are shown.
---@param title string
---@param rows (string|number|boolean)[][]  the first are the names of the columns
function note.table(title, rows)
  local at, told = place("table", title)
  local width = check_rows(rows)
  if not at then return end
  local file = keep(at, told, "csv", function(path) write_csv(path, rows, width) end)
  local shown = {}
  for i = 1, math.min(#rows, ROWS + 1) do
    shown[i] = {}
    for k = 1, width do shown[i][k] = cell(rows[i][k]) end
  end
  local head = table.remove(shown, 1)
  add(at, { kind = "table", title = told, file = file, body = { head = head, rows = shown[1] and shown,
    more = math.max(0, #rows - 1 - ROWS) } })
end

-- Links, texts, pictures ----------------------------------------------------------------------------------------------

--- A text as it is spelt in an address.
local function in_address(text)
  return (text:gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

--- Show a link.
---@param title string
---@param url string    http:// or https://
function note.link(title, url)
  local at, told = place("link", title)
  if type(url) ~= "string" or #url > 4000 or not url:find "^[hH][tT][tT][pP][sS]?://[^%s%c]+$" then
    refuse(2, "link", "an address that begins with http:// or https:// is expected")
  end
  if at then add(at, { kind = "link", title = told, body = { url = log.veiled(url, in_address) } }) end
end

--- Show a text.
---@param title string
---@param text string   Markdown
function note.text(title, text)
  local at, told = place("text", title)
  if type(text) ~= "string" or #text > BYTES then refuse(2, "text", "a text of 1 MiB at the most is expected") end
  if not at then return end
  text = log.veiled(text)
  local file = keep(at, told, "md", function(path) files.write(path, text, true) end)
  add(at, { kind = "markdown", title = told, file = file, body = { text = text } })
end

local PICTURES <const> = { svg = true, png = true, jpg = true, jpeg = true, gif = true, webp = true }

--- What there is to a picture: its ending and what writes it.
local function picture_of(what)
  local class = type(what) == "table" and getmetatable(what)
  if type(class) == "table" and class.__artifact then
    local bytes, ending = class.__artifact(what)
    return ending, function(path) files.write(path, log.veiled(bytes, draw.escape), true) end
  end
  local ending = type(what) == "string" and (what:match "%.(%w+)$" or ""):lower()
  if ending and not files.exists(what) then refuse(2, "picture", "there is no file %s", what) end
  return ending, function(path)
    if ending == "svg" and log.hides() then
      return files.write(path, log.veiled(assert(files.read(what)), draw.escape), true)
    end
    local ok, message = uv.fs_copyfile(what, path)
    if not ok then error({ code = "io", message = "cannot keep a picture: " .. message }, 0) end
  end
end

--- Show a picture.
---@param title string
---@param what any      a chart of recsys.report, or the path of an SVG, PNG, JPEG, GIF or WebP file
function note.picture(title, what)
  local at, told = place("picture", title)
  local ending, write = picture_of(what)
  if not PICTURES[ending] then
    refuse(2, "picture", "a chart or the path of an SVG, PNG, JPEG, GIF or WebP file is expected")
  end
  if at then add(at, { kind = "picture", title = told, file = keep(at, told, ending, write) }) end
end

-- Progress -----------------------------------------------------------------------------------------------------------

local BETWEEN <const> = 250e6 -- ns between two that are written down

--- Tell how far the task is. It may be called as often as one likes: four a second are written down, and the last.
---@param done number
---@param total? number  when it is known
---@param word? string   what is counted: "weeks"
function note.progress(done, total, word)
  for i, value in ipairs { done, total or 0 } do
    if type(value) ~= "number" or value ~= value or value < 0 or value == math.huge then
      error(("bad argument #%d to 'progress' (a number from 0 is expected)"):format(i), 2)
    end
  end
  if word ~= nil and (type(word) ~= "string" or #word > 200) then
    error("bad argument #3 to 'progress' (a word is expected)", 2)
  end
  local at = here()
  if not at or not at.record then return end
  local now = uv.hrtime()
  if done ~= total and at.task.progressed and now - at.task.progressed < BETWEEN then return end
  at.task.progressed = now
  at.record:progress(at.task, at.element, { done = done, total = total, word = word and log.veiled(word) })
end

-- For the flow --------------------------------------------------------------------------------------------------------

--- A task, or an element of its list, begins anew: what it showed before is gone.
---@param flow Flow
---@param task table
---@param but_files? boolean  leave the files
function note.clear(flow, task, but_files)
  local element = task.element or 0
  task.notes, task.progressed, task.full = nil, nil, nil
  if flow.record then flow.record:forget_notes(task, element) end
  if not flow.folder or but_files then return end
  local folder = ("%s/notes/%s"):format(flow.folder, task.name)
  for _, name in ipairs(files.names(folder)) do
    if name:find(element > 0 and "^" .. beginning(element):gsub("%-", "%%-") or "^%d") then
      os.remove(folder .. "/" .. name)
    end
  end
end

--- A run is given a result with what its task, or an element, had shown, whose files are in the run's folder.
---@param flow Flow
---@param task table
---@param notes table[]?
function note.give(flow, task, notes)
  if flow.resumed then note.clear(flow, task, true) end
  task.notes = notes
  for _, one in ipairs(notes or {}) do
    if one.file then
      table.insert(task.outputs, one.file)
      attach({ folder = flow.folder }, one.file)
    end
    if flow.record then flow.record:note(task, one) end
  end
end

--- What a task shows, without the bodies of tables and texts, which are in files; nil: nothing.
---@param task table
---@return table[]?
function note.summary(task)
  if not task.notes then return nil end
  local list = json.list {}
  for i, one in ipairs(task.notes) do
    list[i] = { kind = one.kind, title = one.title, file = one.file, url = one.kind == "link" and one.body.url or nil,
      element = one.element > 0 and one.element or nil }
  end
  return list
end

--- What a process of the task, or one of its elements, has shown, is the task's; the database has it already.
---@param task table
---@param notes table[]?
function note.took(task, notes)
  if not notes then return end
  task.notes = task.notes or {}
  table.move(notes, 1, #notes, #task.notes + 1, task.notes)
end

return note
