--- Sources and datasets. What needs real data reads the folder RECSYS_TEST_DATA (ml-100k and ml-1m in it).

local column = require "spec.support.column"
local command = require "spec.support.command"
local data = require "recsys.data"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

log.level = "quiet"

local folder

local function spew(name, text)
  command.write(folder .. "/" .. name, text)
end

local function real(name)
  local root = os.getenv "RECSYS_TEST_DATA"
  local path = root and root .. "/" .. name
  if not path or not lfs.attributes(path) then
    pending(("needs %s in the folder RECSYS_TEST_DATA"):format(name))
    return
  end
  return path
end

before_each(function() folder = command.temporary() end)
after_each(function() command.remove(folder) end)

describe("data.new", function()
  local function interactions()
    return frame.from {
      { "user", "string", { "b", "a", false, "b", "c" } },
      { "item", "string", { "x", "x", "y", "z", "y" } },
      { "time", "time", { 30, 10, 5, 20, 10 } },
    }
  end

  it("orders by time and keeps the file's order among equal times", function()
    local d = data.new { interactions = interactions() }
    assert.same({ { "a", "c", "b", "b" }, { "x", "y", "z", "x" } },
      { column(d.interactions, "user"), column(d.interactions, "item") })
  end)

  it("gives every user and item a row, and counts what it had to add or leave out", function()
    local users = frame.from { { "user", "string", { "a", "q", "a", false } }, { "age", "number", { 1, 2, 3, 4 } } }
    local d = data.new { interactions = interactions(), users = users }
    assert.same({ "q", "a", "c", "b" }, column(d.users, "user"))
    assert.same({ 2, 3, false, false }, column(d.users, "age"), "the last row of a user counts")
    assert.same({ "x", "y", "z" }, column(d.items, "item"))
    assert.same({ incomplete = 1, duplicate_users = 2, unknown_users = 2, duplicate_items = 0, unknown_items = 3 },
      d.report)
    assert.same({ 1, 2, 3, 3 }, d:user_rows():tolist())
    assert.same({ 0, 1, 2, 0 }, d:item_rows():tolist())
  end)

  it("takes interactions without times in their order", function()
    local d = data.new { interactions = interactions():without { "time" } }
    assert.same({ "b", "a", "b", "c" }, column(d.interactions, "user"))
    assert.same({ 0, 0, 0, 0 }, column(d.interactions, "time"))
  end)

  it("insists on string keys", function()
    assert.has_error(function()
      data.new { interactions = interactions():with("user", "number", tensor.arange(5)) }
    end, "column 'user' of the interactions is a number, and keys are strings: read it with types = "
      .. "{ user = \"string\" }")
    assert.has_error(function() data.new { interactions = interactions():without { "item" } } end,
      "the interactions need a column 'item'")
  end)

  it("insists on frames, and on times that are times", function()
    local function refuses(why, parts)
      local ok, problem = pcall(data.new, parts)
      assert.is_false(ok)
      assert.truthy(problem:find(why, 1, true), problem)
    end
    refuses("the interactions must be a frame, not a nil", {})
    refuses("the users table must be a frame, not a table", { interactions = interactions(), users = {} })
    refuses("column 'time' of the interactions is a number: read it with types = { time = \"time_s\" }",
      { interactions = interactions():with("time", "number", tensor.arange(5)) })
  end)

  it("makes datasets that survive being stored, with their summary", function()
    local d = data.new { name = "tiny", interactions = interactions(), fingerprint = "f" }
    store.save(folder .. "/saved", d)
    local again = store.load(folder .. "/saved")
    assert.same(d:summary(), again:summary())
    assert.same(column(d.interactions, "item"), column(again.interactions, "item"))
    assert.same({ 3, 3, 4, 1, "1970-01-01T00:00:00.010Z" }, { again:summary().users, again:summary().items,
      again:summary().interactions, again:summary().incomplete, again:summary().from })
    assert.equal("tiny: 3 users, 3 items, 4 interactions, 1970-01-01 to 1970-01-01 (1 rows incomplete)",
      tostring(again))
  end)
end)

describe("data.clean", function()
  local function dataset()
    return data.new { fingerprint = "f", interactions = frame.from {
      { "user", "string", { "a", "a", "b", "b", "c" } }, { "item", "string", { "x", "x", "x", "y", "y" } },
      { "time", "time", { 1, 2, 3, 4, 5 } }, { "rating", "number", { 5, 1, 4, 4, false } } } }
  end

  it("leaves out by rating, time and repetition", function()
    assert.same({ 1, 3, 4 }, column(data.clean(dataset(), { min_rating = 4 }).interactions, "time"))
    assert.same({ 2, 3 }, column(data.clean(dataset(), { from = 2, to = 4 }).interactions, "time"))
    assert.same({ 2, 3, 4, 5 }, column(data.clean(dataset(), { unique = "last" }).interactions, "time"))
  end)

  it("takes users and items out of the tables that are not in the k-core", function()
    local cleaned = data.clean(dataset(), { k_core = 2 }) -- c goes, then y, then b
    assert.same({ { 1, 2 }, { "a" }, { "x" } }, { column(cleaned.interactions, "time"), column(cleaned.users, "user"),
      column(cleaned.items, "item") })
  end)

  it("changes the fingerprint only when something may change", function()
    local d = dataset()
    assert.equal(d, data.clean(d, {}))
    assert.equal(d, data.clean(d, { unique = false }))
    assert.not_equal(d.fingerprint, data.clean(d, { min_rating = 4 }).fingerprint)
    assert.has_error(function() data.clean(d, { rating = 1 }) end)
  end)
end)

describe("data.load", function()
  it("names the sources there are, and the nearest", function()
    local ok, message = pcall(data.load, { source = "movielense" })
    assert.is_false(ok)
    assert.truthy(message:find("there is no data source 'movielense', did you mean 'movielens'?", 1, true), message)
    assert.has_error(function() data.load { source = "news" } end,
      "data source 'news' needs dir, the folder with its files")
  end)

  it("takes sources that a recipe adds", function()
    data.source("mine", function(p)
      return data.new { name = p.dir, interactions = frame.from { { "user", "string", { "a" } },
        { "item", "string", { "x" } } } }
    end)
    assert.equal("here", assert(data.load { source = "mine", dir = "here" }).name)
  end)

  it("says which files it misses and how to get them", function()
    local d, message, code = data.load { source = "movielens", dir = folder }
    assert.same({ nil, "io" }, { d, code })
    assert.truthy(message:find("u.data, u.user and u.item", 1, true))
    d, message, code = data.load { source = "news", dir = folder }
    assert.same({ nil, "io" }, { d, code })
    assert.truthy(message:find("recsys-run recipes/news_sample.lua --set data.dir=" .. folder, 1, true))
  end)

  local devices = "deviceid,platform,os_version,model,networkType,district,language_selected,created_datetime,"
    .. "last_active_at\nd1,ANDROID,12,M1,4G,Delhi,hi,2024-01-01T00:00:00.000Z,\nd2,IOS,,M2,,,en,,\n"
    .. "d1,ANDROID,13,M1,4G,Delhi,hi,2024-01-01T00:00:00.000Z,\n"
  local contents = "hashid,title,content,newsType,categories,newsDistrict,createdAt,newsLanguage,sourceName\n"
    .. '"h1","A \\"quoted\\", title","two\nlines",NEWS,"sports,local",Delhi,2024-01-02T00:00:00.000Z,en,S\n'
    .. "h2,Plain,,NEWS,,,2024-01-03T00:00:00.000Z,hi,\n"
  local function events(rows)
    return "deviceId,event_type,eventTimestamp,hashId,cardViewPosition,overallTimeSpent\n" .. table.concat(rows, "\n")
      .. "\n"
  end

  local function news(rows, options)
    spew("devices.csv", devices)
    spew("contents.csv", contents)
    spew("events.csv", events(rows))
    local p = { source = "news", dir = folder }
    for key, value in pairs(options or {}) do p[key] = value end
    return data.load(p)
  end

  it("makes one row a user and article of the news log: the first engagement, with the greatest strength", function()
    local d = assert(news { "d1,TimeSpent-Front,2000,h1,3,1.5", "d1,News Shared,4000,h1,3,",
      "d1,TimeSpent-Back,1000,h2,1,9", "d2,TimeSpent-Front,1500,h1,,2", "d1,TimeSpent-Front,9000,h2,2,1" })
    assert.same({ { "d1", "d2", "d1" }, { "h2", "h1", "h1" }, { 1000, 1500, 2000 }, { 0.5, 0.3, 1.0 }, { 1, false, 3 },
      { 2, 1, 2 } }, { column(d.interactions, "user"), column(d.interactions, "item"), column(d.interactions, "time"),
      column(d.interactions, "strength"), column(d.interactions, "position"), column(d.interactions, "events") })
    assert.equal(5, d.report.events)
  end)

  it("takes bookmarks back, but not those that follow", function()
    local d = assert(news { "d1,TimeSpent-Front,1000,h1,1,1", "d1,News Bookmarked,2000,h1,1,",
      "d1,News Unbookmarked,3000,h1,1,", "d2,TimeSpent-Front,1000,h1,1,1", "d2,News Bookmarked,2000,h1,1,",
      "d2,News Unbookmarked,3000,h1,1,", "d2,News Bookmarked,4000,h1,1,", "d1,News Bookmarked,1000,h2,1,",
      "d1,News Unbookmarked,1001,h2,1,", "d1,Mystery,1,h2,1," })
    assert.same({ "d1", "d2" }, column(d.interactions, "user"))
    assert.same({ 0.3, 1.0 }, column(d.interactions, "strength"))
    assert.same({ 3, 1 }, { d.report.taken_back, d.report.other_events })
  end)

  it("reads the tables of the news app, with what is missing and what is double", function()
    local d = assert(news { "d1,TimeSpent-Front,1000,h1,1,1", "d3,TimeSpent-Front,1000,h3,1,1",
      ",TimeSpent-Front,1000,h1,1,1" })
    assert.same({ "d2", "d1", "d3" }, column(d.users, "user"))
    assert.same({ false, "13", false }, column(d.users, "os_version"))
    assert.same({ 'A "quoted", title', "Plain", false }, column(d.items, "title"))
    assert.same({ { "sports", "local" }, {}, {} }, column(d.items, "categories"))
    assert.same({ "two\nlines", false, false }, column(d.items, "content"))
    assert.same({ 1, 1, 1, 1 }, { d.report.duplicate_users, d.report.unknown_users, d.report.unknown_items,
      d.report.incomplete })
    assert.equal(frame.parse_time "2024-01-03", d.items:value("created", 2))
  end)

  it("sets malformed events aside and goes on, up to the limit", function()
    local rows = {}
    for i = 1, 200 do rows[i] = ("d1,TimeSpent-Front,%d,h%d,1,1"):format(i, i % 2 + 1) end
    rows[100] = "torn"
    local d = assert(news(rows, { quarantine = folder .. "/aside" }))
    assert.same({ 1, 1 }, { d.report.quarantined, d:summary().quarantined })
    local bad = assert(frame.read_csv(folder .. "/aside/events.csv.quarantine.csv"))
    assert.same({ 101, "torn" }, { bad:value("line", 1), bad:value("text", 1) })
    assert.is_nil(lfs.attributes(folder .. "/aside/devices.csv.quarantine.csv"))
    local refused, message, code = news({ "d1,TimeSpent-Front,1,h1,1,1", "torn" })
    assert.same({ nil, "format" }, { refused, code })
    assert.truthy(message:find "events.csv: 1 of 2 rows are malformed")
  end)

  it("gives one fingerprint to equal files and options, another to others", function()
    local row = "d1,TimeSpent-Front,1000,h1,1,1"
    local first = assert(news { row }).fingerprint
    assert.equal(first, assert(news { row }).fingerprint)
    assert.not_equal(first, assert(news { row, row }).fingerprint)
    assert.not_equal(first, assert(news({ row }, { layout = { strengths = { ["TimeSpent-Front"] = 1 } } })).fingerprint)
  end)

  it("reads ML-100K with its Latin-1 titles and genre flags", function()
    local path = real "ml-100k"
    if not path then return end
    local d = assert(data.load { source = "movielens", dir = path })
    local s = d:summary()
    assert.same({ 943, 1682, 100000, 0 }, { s.users, s.items, s.interactions, s.quarantined })
    assert.same({ "Toy Story (1995)", { "Animation", "Children's", "Comedy" }, 1995, frame.parse_time "1995-01-01" },
      { d.items:value("title", 1), d.items:value("genres", 1), d.items:value("year", 1), d.items:value("created", 1) })
    assert.equal("Misérables, Les (1995)", d.items:text("title", 543))
    assert.same({ "24", "technician", "85711" }, { ("%d"):format(d.users:value("age", 1)),
      d.users:text("occupation", 1), d.users:text("zip", 1) })
    assert.equal(0, d.report.unknown_users + d.report.unknown_items)
  end)

  it("reads ML-1M", function()
    local path = real "ml-1m"
    if not path then return end
    local d = assert(data.load { source = "movielens", dir = path })
    local s = d:summary()
    assert.same({ 6040, 3883, 1000209, 0 }, { s.users, s.items, s.interactions, s.quarantined })
    assert.same({ "Toy Story (1995)", { "Animation", "Children's", "Comedy" }, 1995 },
      { d.items:value("title", 1), d.items:value("genres", 1), d.items:value("year", 1) })
    assert.same({ "F", "48067" }, { d.users:text("gender", 1), d.users:text("zip", 1) })
    local counts = d.interactions:group_by("rating", { { "n", "count" } }):sort "rating"
    assert.equal(1000209, counts:column("n"):sum())
  end)
end)

describe("docs/data.md", function()
  it("shows Lua that compiles, and frames as they are", function()
    local file <close> = assert(io.open "docs/data.md")
    local shown = {}
    for block in file:read("a"):gmatch "```lua[^\n]*\n(.-)```" do
      assert(load(block))
      for _, what in ipairs { "high", "recent" } do
        if block:find("local " .. what .. " =", 1, true) then shown[what] = block end
      end
    end
    local recent = assert(load(shown.recent .. "\nreturn shaped, recent"))
    local shaped, kept = recent()
    assert.same({ 25, 1, "none!" }, { shaped:value("age", 1), shaped:value("age", 2), shaped:value("what", 3) })
    assert.same({ 1, "Opened" }, { kept:rows(), kept:value("event", 1) })
    local printed = {}
    local run = assert(load(shown.high .. "\nreturn high", "docs/data.md", "t",
      setmetatable({ print = function(value) printed[#printed + 1] = tostring(value) end }, { __index = _G })))
    assert.equal(1, run():rows())
    assert.same({ "Frame of 2 rows, 3 columns\nuser  n  mean\nann   2  4\nbob   1  -" }, printed)
  end)
end)
