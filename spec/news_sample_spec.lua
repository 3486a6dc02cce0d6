--- The news sample: its bytes, its dirt, its hidden law, and how hard it is.
local constants = require "recsys.sample.constants"
local files = require "recsys.files"
local news = require "recsys.sample.news"

local function scratch(name)
  local dir = os.tmpname()
  os.remove(dir)
  return dir .. "-" .. name
end

local function remove(dir)
  for _, name in ipairs { "devices.csv", "contents.csv", "events.csv", "stamp.json", "hidden/users.csv",
    "hidden/articles.csv", "hidden/slates.bin", "hidden", "" } do
    os.remove(dir .. "/" .. name)
  end
end

--- Rows of a CSV text whose quotes are escaped with a backslash; the plainest reader that can be right.
local function parse(text)
  local rows, row, field, quoted, at = {}, {}, {}, false, 1
  while at <= #text do
    local c = text:sub(at, at)
    if quoted and c == "\\" then
      at = at + 1
      field[#field + 1] = text:sub(at, at)
    elseif c == '"' then quoted = not quoted
    elseif not quoted and (c == "," or c == "\n") then
      row[#row + 1] = table.concat(field)
      field = {}
      if c == "\n" then
        rows[#rows + 1] = row
        row = {}
      end
    else field[#field + 1] = c end
    at = at + 1
  end
  assert(#row == 0 and #field == 0 and not quoted)
  return rows
end

describe("the news sample", function()
  local dir, tables = scratch "a", {}

  setup(function()
    assert(news.generate { dir = dir, scale = 0.004, seed = 3 })
    for _, name in ipairs { "devices", "contents", "events" } do
      tables[name] = parse(assert(files.read(("%s/%s.csv"):format(dir, name))))
    end
  end)
  teardown(function() remove(dir) end)

  --- The well-formed rows of a table, with the shares of malformed ones and of empty fields by column.
  local function sound_rows(name)
    local columns, rows, empty = news.columns[name], {}, {}
    for i = 2, #tables[name] do
      local row = tables[name][i]
      if #row == #columns then
        rows[#rows + 1] = row
        for c, value in ipairs(row) do
          if value == "" then empty[columns[c]] = (empty[columns[c]] or 0) + 1 end
        end
      end
    end
    return rows, 1 - #rows / (#tables[name] - 1), empty
  end

  it("keeps its constants: scores on it stay comparable", function()
    assert.equal("a29e26bd30e3c52c", constants.hash)
  end)

  it("names the columns of its three files in the given order", function()
    for name, columns in pairs(news.columns) do assert.same(columns, tables[name][1]) end
  end)

  it("has the sizes that its scale says", function()
    local world = require "recsys.sample.world"
    local counts = world.counts(0.004)
    for _, name in ipairs { "devices", "contents" } do
      assert.equal(counts[name == "contents" and "articles" or name], #sound_rows(name))
    end
    assert.equal(counts.events, #sound_rows "events")
    assert.same({ devices = 10400, articles = 9100, events = 3500000 }, world.counts(1))
  end)

  it("adds malformed rows, well below one in a hundred", function()
    for name in pairs(tables) do
      local _, malformed = sound_rows(name)
      assert.is_true(malformed < 0.006, name)
    end
    local _, malformed = sound_rows "events"
    assert.is_true(malformed > 0)
  end)

  it("has the event types in their shares", function()
    local rows, of = sound_rows "events", {}
    for _, row in ipairs(rows) do of[row[2]] = (of[row[2]] or 0) + 1 end
    for kind, share in pairs { ["TimeSpent-Front"] = 0.982, ["TimeSpent-Back"] = 0.013, ["News Bookmarked"] = 0.003,
      ["News Shared"] = 0.001, ["News Unbookmarked"] = 0.001 } do
      assert.near(share * #rows, of[kind], 1.5, kind)
    end
  end)

  it("is in the order of time and names known devices and articles", function()
    local ids, last = {}, 0
    for _, row in ipairs((sound_rows "devices")) do ids[row[1]] = true end
    for _, row in ipairs((sound_rows "contents")) do ids[row[1]] = true end
    for _, row in ipairs((sound_rows "events")) do
      local time = assert(math.tointeger(tonumber(row[3])))
      assert.is_true(time >= last and ids[row[1]] and ids[row[4]])
      last = time
    end
  end)

  it("misses or mistakes a fifth of the categories", function()
    local rows, _, empty = sound_rows "contents"
    local names, wrong = {}, 0
    for i, topic in ipairs(require("recsys.sample.words").topics) do names[topic.name] = i end
    local hidden = parse(files.read(dir .. "/hidden/articles.csv"))
    for i, row in ipairs(rows) do
      assert.equal(hidden[i + 1][1], row[1])
      local first = row[5]:match "^[^,]*"
      if first ~= "" and names[first] ~= tonumber(hidden[i + 1][2]) then wrong = wrong + 1 end
    end
    local deviation = math.sqrt(0.2 * 0.8 * #rows)
    assert.near(0.2 * #rows, wrong + empty.categories, 3.5 * deviation)
    assert.is_true(wrong > 0 and empty.categories > 0)
  end)

  it("leaves fields of devices empty in their shares", function()
    local rows, _, empty = sound_rows "devices"
    for _, column in ipairs { "os_version", "model", "networkType", "district", "language_selected" } do
      local expected = constants.missing[column] * #rows
      assert.near(expected, empty[column] or 0, 4 * math.sqrt(expected), column)
    end
  end)

  it("escapes quotes with a backslash inside quoted fields that hold commas and line breaks", function()
    local text = files.read(dir .. "/contents.csv")
    assert.truthy(text:find('\\"', 1, true))
    assert.falsy(text:find('[^,\n\\]""'))
    local newline, comma, quote, hindi = 0, 0, 0, 0
    for _, row in ipairs((sound_rows "contents")) do
      if row[3]:find "\n" then newline = newline + 1 end
      if row[2]:find "," then comma = comma + 1 end
      if row[2]:find '"' then quote = quote + 1 end
      if row[8] == "hi" and row[2]:find "\u{0915}" then hindi = hindi + 1 end
    end
    assert.is_true(newline > 100 and comma > 50 and quote > 50 and hindi > 50)
  end)

  it("logs a slate of distinct live articles for every first engagement", function()
    local slates, layout = files.read(dir .. "/hidden/slates.bin"), "<" .. ("I2"):rep(constants.slate)
    local articles, seen, at, number = sound_rows "contents", {}, 1, {}
    local created = {}
    for i, row in ipairs(parse(files.read(dir .. "/hidden/articles.csv"))) do created[i - 1] = tonumber(row[7]) end
    for i, row in ipairs(articles) do number[row[1]] = i end
    for _, row in ipairs((sound_rows "events")) do
      local key, time = row[1] .. row[4], tonumber(row[3])
      if not seen[key] then
        local slate, cards = { layout:unpack(slates, at) }, {}
        at = slate[constants.slate + 1]
        if row[5] ~= "" then assert.equal(number[row[4]], slate[tonumber(row[5])]) end
        for k = 1, constants.slate do
          local i = slate[k]
          assert.is_true(i > 0 and not cards[i] and not seen[row[1] .. articles[i][1]])
          assert.is_true(created[i] < time and time - created[i] <= constants.live_days * 86400000)
          cards[i] = true
        end
        seen[key] = true
      end
    end
    assert.equal(#slates + 1, at)
  end)

  it("gives the same bytes again, and others to another seed", function()
    local again, other = scratch "b", scratch "c"
    finally(function()
      remove(again)
      remove(other)
    end)
    assert.is_false(assert(news.generate { dir = again, scale = 0.004, seed = 3 }).reused)
    assert(news.generate { dir = other, scale = 0.004, seed = 4 })
    for _, name in ipairs { "devices.csv", "contents.csv", "events.csv", "hidden/users.csv", "hidden/articles.csv",
      "hidden/slates.bin", "stamp.json" } do
      local bytes = files.read(dir .. "/" .. name)
      assert.is_true(bytes == files.read(again .. "/" .. name), name)
      assert.is_false(bytes == files.read(other .. "/" .. name), name)
    end
  end)

  it("takes a finished sample as it is, and makes a damaged or different one anew", function()
    local again = scratch "d"
    finally(function() remove(again) end)
    local p = { dir = again, scale = 0.0005, seed = 1 }
    assert.is_false(news.generate(p).reused)
    assert.is_true(news.generate(p).reused)
    local file = assert(io.open(again .. "/events.csv", "a"))
    file:write "x"
    file:close()
    assert.is_false(news.generate(p).reused)
    p.seed = 2
    assert.is_false(news.generate(p).reused)
    assert.is_true(news.generate(p).reused)
  end)

  it("refuses parameters by name and a folder by its path", function()
    assert.error_matches(function() news.generate { scale = 0 } end, "scale must be above 0")
    assert.error_matches(function() news.generate { seed = 1.5 } end, "seed must be an integer")
    local made, message, code = news.generate { dir = "/dev/null/news" }
    assert.is_nil(made)
    assert.matches("/dev/null", message)
    assert.equal("io", code)
  end)
end)
