--- `recsys-run describe`: facts of files made by hand, the three ways of saying them, and what is refused.

local command = require "spec.support.command"
local describe_files = require("recsys.describe").look
local json = require "recsys.json"
local page = require "recsys.describe.page"
local terminal = require "recsys.describe.terminal"
local words = require "recsys.describe.words"

local folder

local function write(name, text)
  return command.write(folder .. "/" .. name, text)
end

--- A folder of its own with files by name.
local function folder_with(files)
  local dir = command.temporary()
  for name, text in pairs(files) do command.write(dir .. "/" .. name, text) end
  finally(function() command.remove(dir) end)
  return dir
end

local function by_name(columns)
  local named = {}
  for _, column in ipairs(columns) do named[column.name] = column end
  return named
end

-- Ten events of four users and four items; two of them name an item that has no row, one no user; ten minutes apart.
local shop = {
  ["events.csv"] = [[
userId,item_id,at,price,kind
u1,a,2024-01-01T00:00:00Z,1,view
u1,a,2024-01-01T00:10:00Z,2,view
u2,a,2024-01-01T00:20:00Z,3,view
u2,b,2024-01-01T00:30:00Z,4,view
u2,x,2024-01-01T00:40:00Z,,buy
u1,x,2024-01-01T00:50:00Z,6,view
u3,b,2024-01-01T01:00:00Z,7,
u3,b,2024-01-01T01:00:00Z,7,
u3,c,2024-01-01T01:20:00Z,9,view
u4,c,2024-01-01T01:30:00Z,10,N/A
]],
  ["items.csv"] = "id,title\na,<script>alert(1)</script>\nb,Two\nc,Three\nd,Four\n",
  ["users.csv"] = "user_id,age\nu1,20\nu2,30\nu3,\nu4,40\nu5,50\n",
}

local function look(dir, options)
  local facts = describe_files({ dir }, options)
  local files = {}
  for _, file in ipairs(facts.files) do files[file.name] = file end
  return facts, files
end

describe("describe", function()
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  it("tells of each column its type, what it misses, and how its values spread", function()
    local _, files = look(folder_with(shop))
    local columns = by_name(files.events.columns)
    assert.equal(10, files.events.rows)
    assert.same({ "string", "string", "time", "number", "string" }, { columns.userId.type, columns.item_id.type,
      columns.at.type, columns.price.type, columns.kind.type })
    local price = columns.price
    assert.same({ 1, 0.1, 8 }, { price.missing, price.missing_share, price.distinct })
    assert.same({ 1, 10, 6, 3 }, { price.min, price.max, price.q50, price.q25 })
    assert.is_true(math.abs(price.mean - 49 / 9) < 1e-12)
    assert.is_true(math.abs(price.deviation - math.sqrt(345 / 9 - (49 / 9) ^ 2)) < 1e-12)
    assert.same({ value = 7, count = 2, share = 2 / 9 }, price.top[1])
    assert.same({ 1, 1, 1, 1, 0, 1, 2, 0, 1, 1 }, price.histogram.counts)
    assert.same({ 2, 3 }, { columns.kind.missing, columns.kind.distinct })
    assert.same({ value = "view", count = 6, share = 6 / 8 }, columns.kind.top[1])
    assert.equal("'N/A' may mean missing: --null 'N/A' reads it so", columns.kind.notes[1])
    assert.same({ "2024-01-01T00:00:00.000Z", "2024-01-01T01:30:00.000Z" }, { columns.at.from, columns.at.to })
  end)

  it("says what keeps a column of texts from being numbers or times", function()
    local lines = { "amount;at;id;mixed" }
    for i = 1, 60 do
      lines[#lines + 1] = ("%d.5;2024-01-%02d;00%d;%s"):format(i % 30, i % 28 + 1, i % 30, i % 2 == 0 and "7" or "x")
    end
    lines[12], lines[18], lines[20] = "12,50;2024-01-01;001;7", ";2024-99-99;002;x", "x;2024-01-01;002;x"
    local columns = by_name(describe_files { write("nearly.csv", table.concat(lines, "\n") .. "\n") }.files[1].columns)
    assert.same({ { "a number but for 2 values, '12,50' in row 11: --type amount=number" },
      { "a time but for 1 value, '2024-99-99' in row 17: --type at=time" } },
      { columns.amount.notes, columns.at.notes })
    assert.same({ "string", "string", 0, 0 },
      { columns.id.type, columns.mixed.type, #columns.id.notes, #columns.mixed.notes })
  end)

  it("finds repeated rows and says which", function()
    local _, files = look(folder_with(shop))
    assert.same({ rows = 1, examples = { { row = 8, first = 7 } }, keys = {} }, files.events.duplicates)
    local many = { "id,x" }
    for i = 1, 30 do many[#many + 1] = ("k%d,%d"):format(i == 30 and 4 or i, i) end
    local facts = describe_files { write("keys.csv", table.concat(many, "\n") .. "\n") }
    assert.same({ { columns = { "id" }, rows = 1, incomplete = 0, examples = { { row = 30, first = 4 } } } },
      facts.files[1].duplicates.keys)
  end)

  it("compares keys that look alike and shows those without a partner", function()
    local facts = look(folder_with(shop))
    assert.equal(2, #facts.joins)
    local user, item = facts.joins[1], facts.joins[2]
    assert.same({ "events.item_id", "items.id", "names" }, { item.left_name, item.right_name, item.why })
    assert.same({ 4, 1, 2 }, { item.left.keys, item.left.unmatched_keys, item.left.unmatched_rows })
    assert.same({ { key = "x", rows = 2 } }, item.left.examples)
    assert.same({ { key = "d", rows = 1 } }, item.right.examples)
    assert.same({ "events.userId", "users.user_id" }, { user.left_name, user.right_name })
    assert.same({ 0, 1 }, { user.left.unmatched_rows, user.right.unmatched_rows })
  end)

  it("compares texts of other names that share values, and what it is told to", function()
    local left, right = { "who" }, { "person,n" }
    for i = 1, 20 do
      left[#left + 1], right[#right + 1] = "p" .. i % 12, ("p%d,%d"):format(i, i)
    end
    local dir = folder_with { ["a.csv"] = table.concat(left, "\n") .. "\n",
      ["b.csv"] = table.concat(right, "\n") .. "\n" }
    local facts = look(dir)
    assert.same({ "a.who", "b.person", "values", 11 }, { facts.joins[1].left_name, facts.joins[1].right_name,
      facts.joins[1].why, facts.joins[1].matched_keys })
    facts = look(dir, { join = { "b.n=a.who" } })
    assert.same({ "b.n", "given", 0 }, { facts.joins[1].left_name, facts.joins[1].why, facts.joins[1].matched_keys })
    assert.equal(2, #facts.joins)
  end)

  it("knows a key that repeats: a join would multiply rows", function()
    local rows = { "id,x" }
    for i = 1, 20 do rows[#rows + 1] = ("u%d,%d"):format(i, i) end
    rows[#rows + 1] = "u1,21"
    local facts = look(folder_with { ["users.csv"] = table.concat(rows, "\n") .. "\n",
      ["log.csv"] = "user,n\nu1,1\nu1,2\nu2,3\n" })
    assert.equal(1, facts.joins[1].right.repeated)
    assert.matches("1 row of users has the key of another: a join would multiply rows", terminal.render(facts))
  end)

  it("guesses who interacts with what, and counts", function()
    local found = look(folder_with(shop)).interactions
    assert.same({ "events", "userId", "item_id", "at" }, { found.file, found.user, found.item, found.time })
    assert.same({ user = "name", item = "name", time = "name" }, found.chosen_by)
    assert.same({ 4, 4, 10, 8, 2, 0.5 }, { found.n_users, found.n_items, found.interactions, found.pairs,
      found.repeated, found.density })
    assert.same({ 1, 3, 2.5 }, { found.users.min, found.users.max, found.users.mean })
    assert.same({ 3, 3, 2, 2 }, { found.items.count[1], found.items.count[2], found.items.count[3],
      found.items.count[4] })
    assert.same({ 0.3, 1 }, { found.items.top_1, found.users.once })
    -- Of the last two events, u3 and u4 with c: u4 and c are new.
    local last = found.cold[2]
    assert.same({ 0.2, 2, 1, 2, 1, 1 }, { last.share, last.events, last.user_events, last.item_events,
      last.new_users, last.new_items })
    assert.same({ 0.5, 1, 1 }, { last.new_user_share, last.new_item_share, last.either_event_share })
    assert.equal("hour", found.activity.unit)
    assert.same({ 6, 4 }, found.activity.counts)
  end)

  it("does as it is told about user, item and time", function()
    local dir = folder_with(shop)
    local found = look(dir, { user = "events.kind", item = "userId" }).interactions
    assert.same({ "kind", "userId", "told" }, { found.user, found.item, found.chosen_by.user })
    assert.equal(2, found.incomplete)
    assert.has_error(function() look(dir, { user = "userID" }) end,
      { code = "usage", message = "--user userID: there is no such column; did you mean 'userId'?" })
    assert.has_error(function() look(dir, { time = "price" }) end, { code = "usage", message =
      "--time price: the column holds numbers; --type price=time_s (or time_ms, time) says how to read it" })
    assert.has_error(function() look(dir, { join = { "events.itemid=items.id" } }) end, { code = "usage", message =
      "--join events.itemid=items.id: there is no column 'events.itemid'; did you mean 'events.item_id'?" })
  end)

  it("takes epoch numbers for times where the name says so", function()
    local facts = describe_files { write("epochs.csv", "user,item,ts,created,count\nu,i,1700000000,1700000000123,5\n"
      .. "v,i,1700000060,1700000000124,1700000000\n") }
    local columns = by_name(facts.files[1].columns)
    assert.same({ "time", "time", "number" }, { columns.ts.type, columns.created.type, columns.count.type })
    assert.equal("2023-11-14T22:13:20.123Z", columns.created.from)
    assert.equal("2023-11-14T22:14:20.000Z", columns.ts.to)
  end)

  it("counts malformed rows by their reasons instead of refusing the file", function()
    local path = write("bad.csv", "a,b\n1,2\n3\n4\n5,6,7\n8,9\n")
    local facts = describe_files { path }
    local file = facts.files[1]
    assert.same({ 2, 3 }, { file.rows, file.quarantined })
    assert.same({ { reason = "1 field instead of 2", rows = 2, first_line = 3 },
      { reason = "3 fields instead of 2", rows = 1, first_line = 5 } }, file.quarantine.reasons)
    assert.same({ line = 3, reason = "1 field instead of 2", text = "3" }, file.quarantine.examples[1])
    facts = describe_files({ path }, { quarantine = folder .. "/kept" })
    assert.equal(folder .. "/kept/bad.csv.quarantine.csv", facts.files[1].quarantine.path)
    assert.matches("5,6,7", command.read(folder .. "/kept/bad.csv.quarantine.csv"))
  end)

  it("sees that a file has no header, and gives names", function()
    local facts = describe_files { write("bare.tsv", "7\ta\t2024-01-01\n8\tb\t2024-01-02\n") }
    local file = facts.files[1]
    assert.same({ 2, false, "\t", true }, { file.rows, file.dialect.header, file.dialect.separator,
      file.dialect.names_made })
    assert.same({ "column1", "number", "time" }, { file.columns[1].name, file.columns[1].type, file.columns[3].type })
    assert.matches("no header: columns are called column1", terminal.render(facts))
    facts = describe_files({ folder .. "/bare.tsv" }, { names = { "user", "item", "day" } })
    assert.same({ "item", 2 }, { facts.files[1].columns[2].name, facts.interactions.interactions })
    assert.is_true(describe_files { write("year.csv", "2023\n4\n5\n") }.files[1].dialect.header)
  end)

  it("tells a file that was cut off, and torn quotes", function()
    local facts = describe_files { write("cut.csv", 'a,b\n1,"x"\n2,"torn\n3,z\n4,y') }
    local file = facts.files[1]
    assert.same({ 3, 1, true, 1, 3 }, { file.rows, file.quarantined, file.unterminated, file.quarantine.torn,
      file.quarantine.torn_line })
    local said = terminal.render(facts)
    assert.matches("the last line has no line end: was the file cut off%?", said)
    assert.matches("1 of them has a quote that is torn, the first in line 3", said)
    assert.matches("was the file cut off", page.render(facts))
  end)

  it("says no more than 100 columns in a line, whatever the data hold", function()
    local wide = ("長い名前の商品"):rep(30)
    local facts = describe_files { write("wide.csv", ("user,%s,item\nu,%s,%s\nv,\27[31mred,i%s\n"):format(
      ("x"):rep(150), wide, ("🎬"):rep(80), ("q"):rep(400))) }
    local text = terminal.render(facts)
    assert.is_nil(text:find "\27", "a terminal must not act on what data say")
    for line in text:gmatch "[^\n]+" do assert.is_true(words.cells(line) <= 100, line) end
    for line in terminal.render(look(folder_with(shop))):gmatch "[^\n]+" do
      assert.is_true(words.cells(line) <= 100, line)
    end
  end)

  it("escapes what data hold on the page, which has no script and fetches nothing", function()
    local hostile = '"><img src=x onerror=alert(1)>'
    local dir = folder_with(shop)
    command.write(dir .. "/more.csv", ('id,"%s"\n1,"%s"\n2,"</style><script>alert(2)</script>"\n'):format(
      hostile:gsub('"', '""'), hostile:gsub('"', '""')))
    local html = page.render((look(dir)))
    assert.truthy(html:find("&lt;script&gt;alert(1)&lt;/script&gt;", 1, true))
    assert.truthy(html:find("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;", 1, true))
    for _, mark in ipairs { "<script", "<img", "<link", "<iframe", "http:", "https:", "@import", "url(" } do
      assert.is_nil(html:find(mark, 1, true), mark)
    end
    assert.matches("default%-src 'none'", html)
  end)

  it("draws every part on the page, and well-formed", function()
    local html = page.render((look(folder_with(shop))))
    for _, part in ipairs { "Long tail", "Activity", "Cold starts", "Between files", "events.item_id = items.id",
      "2 rows of <b>events</b> (20.0 %) with 1 key find no partner", "50.0 %", "In short",
      "Missing values", "<span>users.age</span>" } do
      assert.truthy(html:find(part, 1, true), part)
    end
    local open, void = {}, { meta = true, br = true, line = true, rect = false, circle = false, polyline = true }
    for close, tag, rest in html:gmatch "<(/?)([%a][%w]*)([^>]*)>" do
      if close == "/" then
        assert.equal(tag, table.remove(open))
      elseif not (void[tag] or rest:match "/$") then
        open[#open + 1] = tag
      end
    end
    assert.same({}, open)
  end)

  it("looks at what else lies in the folder of a known layout", function()
    local dir = folder_with {
      ["events.csv"] = "deviceId,event_type,eventTimestamp,hashId,cardViewPosition,overallTimeSpent\n"
        .. "d1,TimeSpent-Front,1704067398374,h1,1,4.6\n",
      ["devices.csv"] = "deviceid,platform\nd1,IOS\n", ["contents.csv"] = "hashid,title\nh1,One\n",
      ["prices.csv"] = "hashid,price\nh1,3\n", ["notes.txt"] = "nothing\n" }
    local facts = describe_files { dir }
    local names = {}
    for i, file in ipairs(facts.files) do names[i] = file.name end
    assert.same({ "events", "devices", "contents", "prices" }, names)
    assert.equal("layout", facts.interactions.chosen_by.user)
  end)

  it("takes a pattern for one table, and packed files for what is in them", function()
    local dir = folder_with { ["log-1.csv"] = "user,item\na,x\nb,y\n", ["log-2.csv"] = "user,item\na,y\nb\n",
      ["z.csv"] = "user,n\na,1\nb,2\n" }
    assert(os.execute(("gzip %s/z.csv"):format(dir)))
    local facts = describe_files { dir .. "/log-*.csv", dir .. "/z.csv.gz" }
    local logs, packed = facts.files[1], facts.files[2]
    assert.same({ "log-*", 3, 1, 2 }, { logs.name, logs.rows, logs.quarantined, #logs.parts })
    assert.same({ "z", 2, "gzip" }, { packed.name, packed.rows, packed.dialect.compression })
    assert.equal("log-*.user", facts.joins[1].left_name)
    assert.matches("3 rows, 2 columns, 34 B in 2 files", terminal.render(facts))
    assert.has_error(function() describe_files { dir .. "/none-*.csv" } end,
      { code = "usage", message = "there is no file that fits " .. dir .. "/none-*.csv" })
  end)

  it("reads JSON Lines", function()
    local facts = describe_files { write("log.jsonl", '{"user":"a","item":"x","n":1}\n{"user":"b","item":"x"}\n{\n') }
    local file = facts.files[1]
    assert.same({ 2, 1, "JSON Lines", 2 }, { file.rows, file.quarantined, file.dialect.format,
      facts.interactions.interactions })
    assert.equal(1, by_name(file.columns).n.missing)
  end)

  it("copes with a file without rows, and with one that cannot be read", function()
    local dir = folder_with { ["empty.csv"] = "", ["header.csv"] = "user,item\n", ["events.csv"] = shop["events.csv"] }
    local facts, files = look(dir)
    assert.equal(0, files.header.rows)
    assert.truthy(files.empty.refused)
    assert.equal(10, facts.interactions.interactions)
    assert.matches("cannot be read", terminal.render(facts))
    assert.truthy(page.render(facts):find("Cannot be read", 1, true))
  end)

  it("says numbers and shares as people read them", function()
    assert.same({ "0.0 %", "<0.1 %", "12.3 %", ">99.9 %", "100.0 %" }, { words.share(0), words.share(0.0001),
      words.share(0.1234), words.share(0.99999), words.share(1) })
    assert.same({ "1,234,567", "0.001235", "12.35", "1,234" }, { words.number(1234567), words.number(0.0012346),
      words.number(12.346), words.number(1234.3) })
    assert.same({ "▁ █", "2024-01-31 12:00:00", "2024-01-31" }, { words.bars({ 0.0001, 0, 5 }, 16),
      words.time(1706702400000), words.time(1706659200000) })
    assert.equal("ab…", words.cut("abcdef", 3))
    assert.equal("a b", words.plain "a\u{202E}b")
  end)
end)

describe("recsys-run describe", function()
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  local function run(...)
    return command.run(command.program .. " describe " .. table.concat({ ... }, " "))
  end

  it("prints all facts as one JSON object, and nothing else, on stdout", function()
    local dir = folder_with(shop)
    local ran = run(dir, "--json", "--html", dir .. "/out/page.html")
    assert.equal(0, ran.code, ran.err)
    local facts = assert(json.decode(ran.out))
    assert.equal("the page: " .. dir .. "/out/page.html\n", ran.err)
    assert.equal(3, #facts.files)
    for _, file in ipairs(facts.files) do
      for _, field in ipairs { "path", "name", "rows", "quarantined", "dialect", "columns", "duplicates" } do
        assert.is_not_nil(file[field], field)
      end
    end
    assert.equal(",", facts.files[1].dialect.separator)
    assert.same({ 2, 10 }, { #facts.joins, facts.interactions.interactions })
    assert.is_nil(ran.out:find('"examples":{}', 1, true), "empty lists are lists")
    assert.matches("^<!doctype html>", command.read(dir .. "/out/page.html"))
    assert.same(ran.out:gsub('"seconds":[%d.e-]+', ""), run(dir, "--json", "--threads 1").out:gsub(
      '"seconds":[%d.e-]+', ""))
  end)

  it("ends with 1 when a file cannot be read, after describing the others, and with 2 when there is none", function()
    local dir = folder_with { ["a.csv"] = "user,item\nu,i\n", ["b.csv"] = "" }
    local ran = run(dir)
    assert.equal(1, ran.code)
    assert.matches("1 row, 2 columns", ran.out)
    assert.matches("b%.csv", ran.err)
    ran = run(dir .. "/none.csv")
    assert.same({ 2, "recsys-run: there is no file " .. dir .. "/none.csv\n" }, { ran.code, ran.err })
    os.remove(dir .. "/a.csv")
    os.remove(dir .. "/b.csv")
    ran = run(dir)
    assert.equal(2, ran.code)
    assert.matches("there are no tables in the folder", ran.err)
  end)

  it("refuses a page over something that is no page, and a type that there is not", function()
    local path = write("data.csv", "user,item\nu,i\n")
    local ran = run(path, "--html", path)
    assert.equal(2, ran.code)
    assert.matches("does not end in %.html", ran.err)
    assert.equal("user,item\nu,i\n", command.read(path))
    ran = run(path, "--type user=word")
    assert.equal(2, ran.code)
    assert.matches("is no NAME=TYPE", ran.err)
    ran = run(path, "--memory 0")
    assert.same({ 2, "recsys-run: --memory 0: a size such as 256M or 2G is expected\n" }, { ran.code, ran.err })
  end)

  it("reads what it is told to: names, separator, types, words for missing", function()
    local path = write("plain.txt", "7;12;NA\n8;13;3\n")
    local ran = run(path, "--json", "--names user,item,price", "--separator ';'", "--null NA", "--type user=string")
    local columns = by_name(json.decode(ran.out).files[1].columns)
    assert.same({ "string", "number", 1 }, { columns.user.type, columns.price.type, columns.price.missing })
  end)

  local function near(expected, found, what)
    assert.is_true(math.abs(expected - found) <= 1e-9 * math.max(1, math.abs(expected)),
      ("%s: %.17g, pandas has %.17g"):format(what, found, expected))
  end

  local function same_spread(theirs, ours, what)
    for _, name in ipairs { "min", "max", "mean", "deviation" } do near(theirs[name], ours[name], what .. name) end
    for i, name in ipairs { "q01", "q25", "q50", "q75", "q99" } do
      near(theirs.quantiles[i], ours[name], what .. name)
    end
  end

  it("agrees with pandas on ML-1M", function()
    local python, data = os.getenv "RECSYS_PEER_PYTHON", os.getenv "RECSYS_TEST_DATA"
    if not (python and data) then return pending "RECSYS_PEER_PYTHON and RECSYS_TEST_DATA are not both set" end
    local path = data .. "/ml-1m/ratings.dat"
    local ran = command.run(("sed 's/::/\\t/g' %s > %s/r.tsv; %s spec/peers/describe.py %s/r.tsv '\t'"):format(path,
      folder, python, folder))
    assert.equal(0, ran.code, ran.err)
    local theirs, facts = json.decode(ran.out), describe_files { path }
    local columns, found = by_name(facts.files[1].columns), facts.interactions
    same_spread(theirs.rating, columns.rating, "rating ")
    same_spread(theirs.time, columns.time, "time ")
    assert.same({ theirs.distinct, theirs.pairs }, { columns.time.distinct, found.pairs })
    for _, of in ipairs { "users", "items" } do
      same_spread(theirs[of].spread, found[of], of .. " ")
      for _, name in ipairs { "n", "gini", "top_1", "top_10", "once" } do
        near(theirs[of][name], found[of][name], name)
      end
    end
    for i, part in ipairs(theirs.cold) do
      for name, value in pairs(part) do assert.equal(value, found.cold[i][name], name) end
    end
  end)

  it("knows MovieLens by its names, in a folder and alone", function()
    local data = os.getenv "RECSYS_TEST_DATA"
    if not data then return pending "RECSYS_TEST_DATA is not set" end
    local facts = describe_files { data .. "/ml-1m" }
    local found = facts.interactions
    assert.same({ 6040, 3706, 1000209, 0 }, { found.n_users, found.n_items, found.interactions, found.repeated })
    assert.same({ 20, 2314 }, { found.users.min, found.users.max })
    assert.same({ 2, 0, 177 }, { #facts.joins, facts.joins[2].left.unmatched_rows,
      facts.joins[2].right.unmatched_rows })
    assert.equal("2000-04-25T23:15:19.000Z", found.from)
    facts = describe_files { data .. "/ml-1m/movies.dat" }
    assert.same({ 3883, "list" }, { facts.files[1].rows, facts.files[1].columns[3].type })
    facts = describe_files { data .. "/ml-100k" }
    assert.same({ 943, 1682, 100000 }, { facts.interactions.n_users, facts.interactions.n_items,
      facts.interactions.interactions })
  end)
end)
