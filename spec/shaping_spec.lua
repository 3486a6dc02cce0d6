--- What logs become: engagements out of events, negatives, and the files of any app by a layout.

local base = require "recsys.base"
local column = require "spec.support.column"
local command = require "spec.support.command"
local data = require "recsys.data"
local event_log = require "recsys.data.event_log"
local frame = require "recsys.frame"
local log = require "recsys.log"
local tensor = require "recsys.tensor"

local DAY = 86400000

--- Events from rows { user, item, event, day }; false is missing.
local function events(rows)
  local columns = { {}, {}, {}, {} }
  for i, row in ipairs(rows) do
    for k = 1, 4 do columns[k][i] = row[k] end
    columns[4][i] = row[4] and math.floor(row[4] * DAY)
  end
  return frame.from { { "user", "string", columns[1] }, { "item", "string", columns[2] },
    { "event", "string", columns[3] }, { "time", "time", columns[4] } }
end

local strengths = { open = 0.25, save = 1, share = 2 }

describe("data.engagements", function()
  local clicks = events {
    { "a", "x", "save", 3 }, { "a", "x", "open", 1 }, { "b", "x", "open", 2 }, { "a", "x", "open", 5 },
    { "a", "y", "look", 1 }, { false, "x", "open", 1 }, { "b", "y", "open", false }, { "b", "z", false, 4 },
  }

  it("makes a row of a user and item, with the first time and the strongest event", function()
    local made, counts = data.engagements(clicks, { strengths = strengths })
    assert.same({ "user", "item", "time", "event", "strength", "events" }, made:names())
    assert.same({ { "a", "b" }, { "x", "x" }, { DAY, 2 * DAY }, { "open", "open" }, { 1, 0.25 }, { 3, 1 } },
      { column(made, "user"), column(made, "item"), column(made, "time"), column(made, "event"),
        column(made, "strength"), column(made, "events") })
    assert.same({ taken_back = 0, other_events = 1 }, counts)
  end)

  it("combines as asked", function()
    local function combined(how)
      return column(data.engagements(clicks, { strengths = strengths, combine = how }), "strength")
    end
    assert.same({ 1.5, 0.25 }, combined "sum")
    assert.same({ 0.25, 0.25 }, combined "last")
    assert.same({ 1, 0.25 }, combined "max")
  end)

  it("lets strengths decay towards a stated time, never the clock's", function()
    local function check(expected, at)
      local options = { strengths = strengths, half_life = "2d", combine = "sum", at = at }
      local made = column(data.engagements(clicks, options), "strength")
      assert.equal(#expected, #made)
      for i, strength in ipairs(expected) do assert.is_true(math.abs(made[i] - strength) < 1e-15) end -- pow's last bit
    end
    check({ 0.25 / 4 + 1 / 2 + 0.25, 0.25 / 2 ^ 1.5 }, "last") -- of day 5
    check({ 0.25 / 4 + 1 / 2 + 0.25, 0.25 / 2 ^ 1.5 }, "1970-01-06")
    check({ 0.25 / 2 + 1 + 0.25, 0.25 / 2 ^ 0.5 }, 3 * DAY) -- what is later counts whole
    assert.has_error(function() data.engagements(clicks, { strengths = strengths, half_life = "2d" }) end)
  end)

  it("takes back what an event undoes, but not what comes after", function()
    local rows = events {
      { "a", "x", "save", 1 }, { "a", "x", "unsave", 2 }, { "a", "x", "open", 3 }, -- the open stays
      { "a", "y", "save", 1 }, { "a", "y", "unsave", 2 }, { "a", "y", "save", 3 }, -- the second save stays
      { "b", "x", "save", 1 }, { "a", "z", "unsave", 1 }, { "a", "z", "save", 2 }, -- another user's; undone before
      { "c", "x", "share", 1 }, { "c", "x", "unsave", 2 },                         -- a share is not undone by it
      { "d", "x", "save", 4 }, { "d", "x", "unsave", 4 },                          -- at one moment: the file's order
    }
    local made, counts = data.engagements(rows, { strengths = strengths, takes_back = { unsave = "save" } })
    local got = {}
    for row = 1, made:rows() do
      got[made:text("user", row) .. made:text("item", row)] =
        { made:value("strength", row), made:value("time", row) // DAY }
    end
    assert.same({ ax = { 0.25, 3 }, ay = { 1, 3 }, bx = { 1, 1 }, az = { 1, 2 }, cx = { 2, 1 } }, got)
    assert.same({ taken_back = 3, other_events = 0 }, counts)
    assert.same({ taken_back = 4, other_events = 0 }, select(2, data.engagements(rows, { strengths = strengths,
      takes_back = { unsave = { "save", "share" } } })))
  end)

  it("keeps columns as they were at the first engagement", function()
    local made = data.engagements(clicks:with("place", "number", { 1, 2, 3, 4, 5, 6, 7, 8 }),
      { strengths = strengths, keep = { "place" } })
    assert.same({ 2, 3 }, column(made, "place"))
  end)

  it("refuses options that say nothing", function()
    local function refuses(options, message)
      local ok, problem = pcall(data.engagements, clicks, options)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({}, "strengths must map event types to numbers")
    refuses({ strengths = { open = "much" } }, "strengths must map event types to numbers")
    refuses({ strengths = strengths, combine = "mean" }, "combine must be")
    refuses({ strengths = strengths, halflife = "1d" }, "there is no option 'halflife'")
    refuses({ strengths = strengths, half_life = "soon", at = "last" }, "half_life must be a span of time")
    refuses({ strengths = strengths, half_life = "1d", at = "now" }, "at must be a time")
    refuses({ strengths = strengths, keep = { "nope" } }, "no column 'nope'")
  end)
end)

describe("data.negatives", function()
  --- 30 users and 40 items; item i of 1 .. 20 chosen more often the smaller it is; the last 10 by nobody.
  local function dataset()
    local users, items, n = {}, {}, 600
    for i = 1, n do
      local x = base.stream(8, "user"):uniform(i)
      users[i], items[i] = "u" .. base.stream(9, "user"):below(i, 30), "i" .. math.floor(30 * x * x)
    end
    local all = {}
    for i = 0, 39 do all[i + 1] = "i" .. i end
    return data.new { interactions = frame.from { { "user", "string", users }, { "item", "string", items } },
      items = frame.from { { "item", "string", all } } }
  end

  local d = dataset()
  local users, items = d:user_rows(), d:item_rows()
  local rows = tensor.arange(300)

  local function chosen_in(known)
    local chosen = {}
    for i = 1, known:size(1) do
      local row = known:get(i) + 1
      chosen[users:get(row) .. ":" .. items:get(row)] = true
    end
    return chosen
  end

  it("are never what the user is known to have chosen, unless asked", function()
    for _, how in ipairs { "uniform", "popularity" } do
      local drawn, chosen, known = data.negatives(d, rows, { n = 2, how = how, seed = 3 }), chosen_in(rows), 0
      assert.same({ 300, 2 }, drawn:size())
      for i = 1, 300 do
        for j = 1, 2 do assert.is_nil(chosen[users:get(i) .. ":" .. drawn:get(i, j)]) end
      end
      local any = data.negatives(d, rows, { n = 2, how = how, seed = 3, allow_known = true })
      for i = 1, 300 do
        for j = 1, 2 do known = known + (chosen[users:get(i) .. ":" .. any:get(i, j)] and 1 or 0) end
      end
      assert.is_true(known > 0)
    end
  end)

  it("know of held-out rows only what they are told", function()
    local all = tensor.arange(600)
    local held_out, hit = chosen_in(tensor.arange(300) + 300), 0
    local drawn, told = data.negatives(d, rows, { n = 3 }), data.negatives(d, rows, { n = 3, known = all })
    for i = 1, 300 do
      for j = 1, 3 do
        hit = hit + (held_out[users:get(i) .. ":" .. drawn:get(i, j)] and 1 or 0)
        assert.is_nil(held_out[users:get(i) .. ":" .. told:get(i, j)])
      end
    end
    assert.is_true(hit > 0)
  end)

  it("follow popularity to a power", function()
    local counts, known, total = {}, {}, 0
    local drawn = data.negatives(d, rows, { n = 400, how = "popularity", power = 0.5, allow_known = true })
    for i = 1, 300 do known[items:get(i)] = (known[items:get(i)] or 0) + 1 end
    for _, n in pairs(known) do total = total + math.sqrt(n) end
    local counted = frame.from({ { "item", "number", drawn:reshape(120000) } }):group_by("item", { { "n", "count" } })
    for row = 1, counted:rows() do counts[counted:value("item", row)] = counted:value("n", row) end
    for item = 0, 39 do
      local expected = math.sqrt(known[item] or 0) / total
      local share = (counts[item] or 0) / 120000
      assert.is_true(math.abs(share - expected) <= 5 * math.sqrt(expected / 120000))
    end
  end)

  it("are the same for a seed and epoch, and others for others", function()
    local function drawn(options) return data.negatives(d, rows, options):tolist() end
    assert.same(drawn { n = 2, seed = 1 }, drawn { n = 2, seed = 1 })
    assert.not_same(drawn { n = 2, seed = 1 }, drawn { n = 2, seed = 2 })
    assert.not_same(drawn { n = 2, seed = 1 }, drawn { n = 2, seed = 1, epoch = 1 })
    local threads = base.threads(1)
    local alone = drawn { n = 3, how = "popularity" }
    base.threads(threads)
    assert.same(alone, drawn { n = 3, how = "popularity" })
  end)

  it("are -1 for a user who knows everything, and refuse what makes no sense", function()
    local full = data.new { interactions = frame.from { { "user", "string", { "a", "a", "b" } },
      { "item", "string", { "x", "y", "x" } } } }
    assert.same({ { -1 }, { -1 }, { full.items:value("item", 1) == "y" and 0 or 1 } },
      data.negatives(full, tensor.arange(3)):tolist())
    local function refuses(options, message)
      local ok, problem = pcall(data.negatives, d, rows, options)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({ n = 0 }, "n must be an integer of 1 or more")
    refuses({ how = "random" }, "how must be")
    refuses({ power = 1 }, "power is for how")
    refuses({ count = 1 }, "there is no option 'count'")
  end)
end)

describe("data from any app's files", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  local layout = {
    name = "shop",
    events = { file = "clicks.csv", columns = { { "user", "visitor", "string" }, { "item", "sku", "string" },
      { "event", "kind", "string" }, { "time", "at", "time_s" }, { "price", "price", "number" } } },
    items = { file = "goods.csv", columns = { { "item", "sku", "string" }, { "title", "label", "string" } } },
    strengths = { view = 0.1, buy = 1 }, takes_back = { refund = "buy" }, combine = "sum",
    columns = { title = "title" },
  }

  local function shop(finally_)
    local folder = command.scratch(finally_)
    command.write(folder .. "/clicks.csv", "visitor;kind;at;sku;price;agent\n7;view;100;A;5;x\n7;buy;200;A;4;x\n"
      .. "8;buy;150;B;9;x\n8;refund;300;B;9;x\n8;view;400;A;6;x\n")
    command.write(folder .. "/goods.csv", "sku;label\nA;Lamp\nB;Chair\nC;Table\n")
    return folder
  end

  it("needs a table of names, not code", function()
    local folder = shop(finally)
    data.source("shop_by_layout", function(p) return event_log.load(p, layout) end)
    local d = assert(data.load { source = "shop_by_layout", dir = folder })
    assert.same({ { "7", "8" }, { "A", "A" }, { 1.1, 0.1 }, { 5, 6 }, { 100000, 400000 } },
      { column(d.interactions, "user"), column(d.interactions, "item"), column(d.interactions, "strength"),
        column(d.interactions, "price"), column(d.interactions, "time") })
    assert.same({ "A", "B", "C" }, column(d.items, "item"))
    assert.same({ "shop", "title", 1, "shop_by_layout" },
      { d.name, d.columns.title, d.report.taken_back, d.origin.source })
  end)

  it("reads tables of JSON Lines, whose missing values need no words", function()
    local folder = shop(finally)
    command.write(folder .. "/goods.jsonl", '{"sku":"A","label":{"en":"Lamp"}}\n{"sku":"B","label":null}\n{"sku":"C\n')
    local d = assert(event_log.load({ dir = folder, bad_limit = 0.5, quarantine = folder .. "/quarantine" },
      event_log.merged(layout, { nulls = { "-" }, separator = ";", items = { file = "goods.jsonl",
        columns = { { "item", "sku", "string" }, { "title", "label.en", "string" } } } })))
    assert.same({ { "A", "B" }, { "Lamp", false }, 1 },
      { column(d.items, "item"), column(d.items, "title"), d.report.quarantined })
    assert.match("goods.jsonl\",3,", command.read(folder .. "/quarantine/goods.jsonl.quarantine.csv"))
  end)

  it("reads the files that fit a pattern as one, and tells of each what is malformed", function()
    local folder = shop(finally)
    command.write(folder .. "/clicks-2.csv", "visitor;kind;at;sku;price;agent\n9;buy;100;C;5;x\n9;buy;soon;C;5;x\n")
    local several = event_log.merged(layout, { events = { file = "clicks*.csv", columns = layout.events.columns } })
    local p = { dir = folder, bad_limit = 0.5, quarantine = folder .. "/quarantine" }
    local d = assert(event_log.load(p, several))
    assert.same({ { "9", "7", "8" }, 1, 3 }, { column(d.interactions, "user"), d.report.quarantined, #d.report.files })
    assert.match("clicks%-2.csv\",3,", command.read(folder .. "/quarantine/clicks_.csv.quarantine.csv"))
    local before = d.fingerprint
    command.write(folder .. "/clicks-3.csv", "visitor;kind;at;sku;price;agent\n9;buy;100;A;5;x\n")
    assert.not_equal(before, assert(event_log.load(p, several)).fingerprint)
    os.execute(("rm %s/clicks*.csv"):format(folder))
    local none, message = event_log.load(p, several)
    assert.is_nil(none)
    assert.match("^clicks%*.csv is missing in ", message)
  end)

  it("names what a layout lacks and what a folder lacks", function()
    local folder = shop(finally)
    local function load(changes) return event_log.load({ dir = folder }, event_log.merged(layout, changes)) end
    local events_without = { file = "clicks.csv", columns = { { "user", "visitor", "string" } } }
    assert.has_error(function() load { events = events_without } end)
    assert.has_error(function() load { strength = {} } end)
    assert.has_error(function() event_log.load({ dir = folder }, { name = "shop", event = {} }) end)
    os.remove(folder .. "/goods.csv")
    local d, message, code = load {}
    assert.is_nil(d)
    assert.equal("io", code)
    assert.equal(("goods.csv is missing in %s: a folder with goods.csv and clicks.csv is expected"):format(folder),
      message)
  end)

  it("lets a recipe rename the columns of the news app", function()
    local news = require "recsys.data.news"
    local folder = shop(finally)
    local d = assert(news.load { dir = folder, layout = { name = "shop", separator = ";", events = layout.events,
      items = layout.items, users = false, strengths = layout.strengths, takes_back = {}, columns = layout.columns } })
    assert.same({ "shop", 3, 3 }, { d.name, d.interactions:rows(), d.items:rows() })
  end)
end)
