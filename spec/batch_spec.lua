--- Recommendations for a file of users: `recsys-run recommend BUNDLE --users FILE --out FILE`.

local base = require "recsys.base"
local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local serve = require "recsys.serve"
local tiny = require "spec.support.tiny_model"
local users = require "recsys.recommend.users"
local uv = require "luv"

local folder, path

local function run(options)
  return command.run(("%s recommend %s %s"):format(command.program, path, options))
end

--- Answer a file in this process.
local function write(name, bytes, out, request, more)
  local model <close> = assert(serve.open(path))
  local asked = { users = command.write(folder .. "/" .. name, bytes), out = folder .. "/" .. out,
    request = request or "{}", quiet = true }
  for key, value in pairs(more or {}) do asked[key] = value end
  return users.write(model, asked)
end

local function lines(name)
  local list = {}
  for line in files.read(folder .. "/" .. name):gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local function leftovers()
  local found = {}
  for _, name in ipairs(files.names(folder)) do
    if name:find "%.part" then found[#found + 1] = name end
  end
  return found
end

describe("a batch of users", function()
  setup(function()
    folder = command.temporary()
    path = tiny.publish(tiny.build(), folder .. "/models")
  end)
  teardown(function() command.remove(folder) end)

  it("answers ids, CSV with fields and JSON Lines, each as the service would", function()
    local model <close> = assert(serve.open(path))
    local facts = assert(write("ids.txt", "u1\r\nstranger\n\nu,4", "o.jsonl", '{"k":3}'))
    assert.same({ model:answer '{"user":"u1","k":3}', model:answer '{"user":"stranger","k":3}',
      model:answer '{"user":"u,4","k":3}' }, lines "o.jsonl")
    assert.same({ 3, 9, 1, 0, 0 }, { facts.users, facts.items, facts.fallbacks, facts.short, facts.refused })
    assert(write("f.csv", 'platform,user,shoe\nios,new,43\n,"u,4",\n"web","a ""b""\nc",\n', "o.jsonl", '{"k":2}'))
    assert.same({ model:answer '{"user":"new","fields":{"platform":"ios","shoe":43},"k":2}',
      model:answer '{"user":"u,4","k":2}',
      model:answer '{"user":"a \\"b\\"\\nc","fields":{"platform":"web"},"k":2}' }, lines "o.jsonl")
    facts = assert(write("r.jsonl", '{"user":"u1","k":1}\n{"k":0,"user":"u2"}\n'
      .. '{"users":["u2",{"k":"x"}],"filter":{"kind":"sport"}}\n{\n', "o.jsonl", '{"k":2,"exclude":["i1"]}'))
    assert.equal(3, facts.refused)
    local answers = lines "o.jsonl"
    assert.equal(model:answer '{"user":"u1","k":1,"exclude":["i1"]}', answers[1])
    assert.equal('{"user":"u2","error":{"code":"argument","message":"k: is 0; 1 to 1000 items can be asked for"}}',
      answers[2])
    assert.equal(model:answer '{"users":["u2",{"k":"x"}],"k":2,"exclude":["i1"],"filter":{"kind":"sport"}}', answers[3])
    assert.equal('{"user":null,"error":{"code":"format","message":"line 1, column 2: a key in quotes is expected"}}',
      answers[4])
    assert.same({}, leftovers())
    assert(write("w.jsonl", '{"users":["u1",{"user":"x","fields":{"platform":true}}]}', "o.jsonl"))
    assert.equal("users[1].fields.platform: field 'platform' is true, not a string or a number",
      json.decode(lines("o.jsonl")[1]).answers[2].error.message)
    assert.equal(model:answer '{"users":["u1",{"user":"x","fields":{"platform":true}}]}', lines("o.jsonl")[1])
  end)

  it("names on stderr the columns that nothing reads, once each", function()
    command.write(folder .. "/typo.csv", "user,platfrom,k,shoe\n" .. ("new,ios,2,\n"):rep(5000) .. "new,ios,2,43\n")
    local ran = run(("--users %s/typo.csv --out %s/typo.jsonl"):format(folder, folder))
    assert.equal(0, ran.code, ran.err)
    local _, warnings = ran.err:gsub("warning:", "")
    assert.equal(1, warnings, ran.err)
    assert.matches("typo.csv: this model reads no field 'platfrom', 'shoe' of a user", ran.err, 1, true)
    assert.same({ "platfrom" }, json.decode(lines("typo.jsonl")[1]).ignored)
    command.write(folder .. "/fine.csv", "user,platform,k\nnew,ios,2\n")
    ran = run(("--users %s/fine.csv --out %s/fine.jsonl"):format(folder, folder))
    assert.falsy(ran.err:find("warning", 1, true), ran.err)
    ran = run "--user new --fields '{\"platfrom\":\"ios\"}'"
    assert.matches("warning: --fields: this model reads no field 'platfrom' of a user", ran.err, 1, true)
    ran = run "--user new --fields '{\"platfrom\":\"ios\"}' --json"
    assert.same({ "platfrom" }, json.decode(ran.out).ignored)
  end)

  it("takes k, now and exclude_seen of CSV as a request's, and the others from the options", function()
    local model <close> = assert(serve.open(path))
    local rows = { "k,user,now,exclude_seen,platform", "1,u1,,,", ",u1,1970-01-12,false,",
      '"2",new,86400000,true,ios' }
    assert(write("k.csv", table.concat(rows, "\n"), "o.jsonl", '{"k":3,"exclude":["i9"]}'))
    assert.same({ model:answer '{"user":"u1","k":1,"exclude":["i9"]}',
      model:answer '{"user":"u1","k":3,"exclude":["i9"],"now":"1970-01-12","exclude_seen":false}',
      model:answer '{"user":"new","k":2,"exclude":["i9"],"now":86400000,"fields":{"platform":"ios"}}' },
      lines "o.jsonl")
    for cells, message in pairs { ["0,,"] = "k: is 0; 1 to 1000 items can be asked for",
      ["ten,,"] = "k: is a string, not a number", ["1.5,,"] = "k: is not a whole number",
      [",soon,"] = "now: is neither a date such as 2024-01-31T12:00 nor milliseconds",
      [",,True"] = "exclude_seen: is a string, not true or false" } do
      local _, said, code = write("k.csv", "user,k,now,exclude_seen\nu1,1,,\nu2," .. cells .. "\n", "o.jsonl")
      assert.same({ folder .. "/k.csv:3: " .. message, "argument" }, { said, code })
    end
  end)

  it("answers line n of JSON Lines by line n, an empty one by what is wrong with it", function()
    local model <close> = assert(serve.open(path))
    local bytes = '{"user":"u1"}\n\r\n\n{"user":"u2"}'
    local facts = assert(write("e.jsonl", bytes, "o.jsonl", '{"k":1}'))
    local answers = lines "o.jsonl"
    local empty = '{"user":null,"error":{"code":"format","message":"line 1, column 1: the text ends too soon"}}'
    assert.same({ model:answer '{"user":"u1","k":1}', empty, empty, model:answer '{"user":"u2","k":1}' }, answers)
    assert.same({ 2, 2 }, { facts.users, facts.refused })
    facts = assert(write("e.jsonl", bytes, "o.csv", '{"k":1}')) -- which has no places
    assert.same({ 2, 0 }, { facts.users, facts.refused })
  end)

  it("passes over the mark of UTF-8 that Excel and Notepad put first, and takes endings in capitals", function()
    local model <close> = assert(serve.open(path))
    local expected = { model:answer '{"user":"u1","k":1}' }
    for name, bytes in pairs { ["m.txt"] = "u1", ["M.CSV"] = "user\nu1\n", ["M.JSONL"] = '{"user":"u1"}',
      ["m.lines"] = '{"user":"u1"}' } do
      for _, mark in ipairs { "", "\xEF\xBB\xBF" } do
        assert(write(name, mark .. bytes, "o.jsonl", '{"k":1}'))
        assert.same(expected, lines "o.jsonl", name)
      end
    end
    assert.equal(0, assert(write("m.txt", "\xEF\xBB\xBF", "o.jsonl")).users)
  end)

  it("writes CSV with the items' source", function()
    local model <close> = assert(serve.open(path))
    assert(write("ids.txt", "u1\nstranger\n", "o.csv", '{"k":2}'))
    local expected = { "user,rank,item,score,title,source" }
    for _, user in ipairs { "u1", "stranger" } do
      for _, found in ipairs(model:recommend({ user = user, k = 2 }).items) do
        expected[#expected + 1] = ("%s,%d,%s,%s,%s,%s"):format(user, found.rank, found.item, base.shortest(found.score),
          '"' .. found.title:gsub('"', '""') .. '"', found.source)
      end
    end
    assert.same(expected, lines "o.csv")
  end)

  it("never writes over the file of users, by whatever name", function()
    local bytes = "user\nu1\n"
    command.write(folder .. "/self.csv", bytes)
    assert(lfs.link("self.csv", folder .. "/soft.csv", true))
    assert(lfs.link(folder .. "/self.csv", folder .. "/hard.csv"))
    for _, out in ipairs { "self.csv", "./self.csv", "soft.csv", "hard.csv" } do
      local ran = run(("--users %s/self.csv --out %s/%s"):format(folder, folder, out))
      assert.equal(2, ran.code, out)
      assert.matches("%-%-out is the file of users, ", ran.err)
      assert.equal(bytes, files.read(folder .. "/self.csv"))
    end
    command.write(folder .. "/self.csv.part", bytes)
    local ran = run(("--users %s/self.csv.part --out %s/self.csv"):format(folder, folder))
    assert.equal(2, ran.code)
    assert.matches("%-%-out is the file of users, ", ran.err)
    assert.equal(bytes, files.read(folder .. "/self.csv.part"))
    assert(os.remove(folder .. "/self.csv.part"))
    assert.same({}, leftovers())
  end)

  it("says before it answers anybody that --out is a folder", function()
    assert(lfs.mkdir(folder .. "/folder.csv"))
    command.write(folder .. "/ids.txt", "u1\n")
    local ran = run(("--users %s/ids.txt --out %s/folder.csv"):format(folder, folder))
    assert.equal(2, ran.code)
    assert.matches("%-%-out is a folder, .*folder.csv", ran.err)
    assert.same({}, leftovers())
  end)

  it("takes the endpoint's options from the command line", function()
    local model <close> = assert(serve.open(path))
    command.write(folder .. "/ids.txt", "u1\nu2\nx\n")
    local ran = run(([[--users %s/ids.txt --out %s/o.jsonl -k 4 --exclude i5,gone --filter '{"kind": ["city"]}' \
      --cap kind=3 --diversity 0.6 --freshness 0.5:3d --now 1970-01-13 --include-seen --model-only]])
      :format(folder, folder))
    assert.equal(0, ran.code, ran.err)
    assert.matches("o.jsonl: 9 items for 3 users\n  fewer items than asked for for 3 users\n", ran.out)
    local expected = {}
    for i, user in ipairs { "u1", "u2", "x" } do
      expected[i] = model:answer(json.encode { user = user, k = 4, exclude = { "i5", "gone" },
        filter = { kind = { "city" } }, caps = { kind = 3 }, diversity = { lambda = 0.6 },
        freshness = { boost = 0.5, half_life = "3d" },
        now = "1970-01-13", exclude_seen = false, fallback = false })
    end
    assert.same(expected, lines "o.jsonl")
    local one = run [[--user u1 -k 4 --exclude i5 --filter '{"kind": ["city"]}' --cap kind=2 --json]]
    assert.equal(2, #json.decode(one.out).items)
    assert.same({ users = 3, items = 6, fallbacks = 1, short = 0, refused = 0, out = folder .. "/o.csv" },
      json.decode(run(("--users %s/ids.txt --out %s/o.csv -k 2 --json"):format(folder, folder)).out))
  end)

  it("names the file and the line of what is wrong, and leaves nothing behind", function()
    local function refused(name, bytes, message, code, request)
      local facts, said, word = write(name, bytes, "bad.csv", request)
      assert.same({ nil, message and folder .. "/" .. name .. message, code }, { facts, message and said, word })
      assert.is_nil(files.read(folder .. "/bad.csv"))
      assert.same({}, leftovers())
    end
    refused("a.csv", "id,platform\nu1,ios\n", ":1: there is no column 'user'", "format")
    refused("a.csv", "user,a,a\n", ":1: two columns are called 'a'", "format")
    refused("a.csv", 'user,platform\n"u\n1",ios\nu2\n', ":4: there are 1 columns, 2 in the header", "format")
    refused("a.csv", "user,platform\nu1,ios,x\n", ":2: there are more than the header's 2 columns", "format")
    refused("a.csv", 'user,platform\nu1,"ios\n', ":2: a quote is not closed", "format")
    refused("a.csv", 'user\nu1\nu"5\nu2\nu3\n', ":3: a quote stands within a cell that does not begin with one",
      "format")
    refused("a.csv", 'user,platform\nu1,"i"os\n', ":2: there is text behind a closing quote", "format")
    refused("a.jsonl", '{"user":"u1"}\n\n{"user":1.5}\n', ":3: user: is not a whole number", "argument")
    refused("a.txt", "u1\nu2\n", ":1: filter.x: items have no attribute 'x'; there are item, created, kind", "argument",
      '{"filter":{"x":1}}')
    refused("a.txt", "u1\n", nil, "argument", '{"k":0}')
    refused("a.txt", "u1\nu\0\n", ":2: there is a zero byte: is this a text?", "format")
    refused("a.txt", "u1\nu\xff\xfe\n", ":2: this is not UTF-8", "format")
    refused("a.csv", "user,platform\nu1,ios\n\"u\n2\",\xe9\n", ":3: this is not UTF-8", "format")
    local ran = run(("--users %s/none.txt --out %s/o.csv"):format(folder, folder))
    assert.equal(1, ran.code)
    assert.matches("none.txt", ran.err)
    for options, message in pairs { ["--users x"] = "%-%-users wants %-%-out",
      ["--users x --out y"] = "%-%-users wants %-%-out", ["--out y.csv --user u1"] = "%-%-out is for %-%-users",
      ["--users x --out y.csv --user u1"] = "are for one",
      ["--user u1 --cap kind"] = "is no cap", ["--user u1 --diversity 2"] = "no number above 0",
      ["--user u1 --freshness 3"] = "no boost and half%-life",
      ["--user u1 --filter x"] = "must be a JSON object" } do
      ran = run(options)
      assert.equal(2, ran.code, options)
      assert.matches(message, ran.err)
    end
  end)

  it("does not meet another one that writes the same file", function()
    local model <close> = assert(serve.open(path))
    command.write(folder .. "/ids.txt", "u1\n")
    local one <close> = assert(model:batch { users = folder .. "/ids.txt", out = folder .. "/same.csv", to = "csv" })
    local two, message, code = model:batch { users = folder .. "/ids.txt", out = folder .. "/same.csv", to = "csv" }
    assert.same({ nil, "another process writes " .. folder .. "/same.csv", "busy" }, { two, message, code })
    assert.is_false(one:step())
    assert.is_true(one:step())
    assert.equal("user,rank,item,score,title,source", lines("same.csv")[1])
  end)

  it("gives the same file with any number of threads", function()
    local ids = {}
    for i = 1, 5000 do ids[i] = "u" .. i % 8 end
    local before = base.threads()
    local texts = {}
    for i, threads in ipairs { 1, 2, 5 } do
      base.threads(threads)
      assert(write("ids.txt", table.concat(ids, "\n"), "t.jsonl", '{"k":4}'))
      texts[i] = files.read(folder .. "/t.jsonl")
    end
    base.threads(before)
    assert.is_true(texts[1] == texts[2] and texts[1] == texts[3])
    assert.equal(5000, #lines "t.jsonl")
  end)

  --- MiB of files that this process has in memory.
  local function mapped()
    return tonumber(files.read("/proc/self/status"):match "RssFile:%s*(%d+)") / 1024
  end

  it("keeps no more of a file of users in memory than it is at", function()
    local line = '{"user":"u1",' .. (" "):rep(20000) .. '"k":1}\n'
    local model <close> = assert(serve.open(path))
    local name = command.write(folder .. "/long.jsonl", line:rep(4000)) -- 76 MiB
    local batch <close> = assert(model:batch { users = name, out = folder .. "/long.out", format = "jsonl" })
    local before, most = mapped(), 0
    while batch:facts().read < batch:facts().bytes do
      assert(batch:step() ~= nil)
      most = math.max(most, mapped() - before)
    end
    assert.is_true(batch:step())
    assert.equal(4000, batch:facts().users)
    assert.is_true(most < 24, ("%.0f MiB"):format(most))
  end)

  --- Run a batch in a process of its own, which is killed after so many ms (nil: not at all); gives how it ended.
  local function run_for(script, wait)
    local code, signal
    local handle, pid = uv.spawn(command.program, { args = { "lua", script, path, folder }, stdio = { nil, nil, 2 } },
      function(c, s) code, signal = c, s end)
    assert(handle, pid)
    local timer = uv.new_timer()
    if wait then timer:start(wait, 0, function() handle:kill "sigkill" end) end
    repeat uv.run "once" until code
    timer:close()
    handle:close()
    uv.run "nowait"
    return code, signal
  end

  it("goes on from where it was killed, and ends with the bytes of one that was not", function()
    local kills = tonumber(os.getenv "RECSYS_KILLS" or 3)
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED" or os.time())
    local stream, ids = base.stream(seed, "user"), {}
    for i = 1, 60000 do ids[i] = "u" .. i % 9 end
    command.write(folder .. "/ids.txt", table.concat(ids, "\n"))
    local script = command.write(folder .. "/batch.lua", [[
      local bundle, folder = ...
      local model = assert(require("recsys.serve").open(bundle))
      assert(require("recsys.recommend.users").write(model, { users = folder .. "/ids.txt",
        out = folder .. "/killed.jsonl", request = '{"k":6}', every = 1, quiet = true }))
    ]])
    local began = uv.hrtime()
    assert.equal(0, (run_for(script)))
    local whole_ms = (uv.hrtime() - began) // 1000000
    assert(os.rename(folder .. "/killed.jsonl", folder .. "/whole.jsonl"))
    local killed = 0
    for round = 1, 50 * kills do
      local code, signal = run_for(script, killed < kills and 1 + stream:below(round, whole_ms) or nil)
      local done = files.read(folder .. "/killed.jsonl") -- also where the kill came on the way out
      if signal == 9 and not done then
        if lfs.attributes(folder .. "/killed.jsonl.part.at") then killed = killed + 1 end
      else
        assert.is_true(signal == 9 or code == 0)
        assert.is_true(done == files.read(folder .. "/whole.jsonl"))
        if killed >= kills then break end
        os.remove(folder .. "/killed.jsonl")
      end
    end
    local what = ("RECSYS_KILL_SEED=%d: %d kills"):format(seed, killed)
    assert.is_true(killed >= kills, what)
    assert.is_true(files.read(folder .. "/whole.jsonl") == files.read(folder .. "/killed.jsonl"), what)
    assert.same({}, leftovers())
  end)

  it("begins anew when something else is asked", function()
    local model <close> = assert(serve.open(path))
    command.write(folder .. "/ids.txt", ("u1\n"):rep(9000))
    local function batch(key)
      return assert(model:batch { users = folder .. "/ids.txt", out = folder .. "/n.jsonl", key = key, every = 1,
        request = '{"k":1}' })
    end
    local one = batch "a"
    assert.is_false(one:step())
    uv.sleep(3)
    assert.is_false(one:step())
    one:close()
    local again = batch "a"
    assert.is_true(again:facts().resumed > 0 and again:facts().users > 0)
    again:close()
    local other <close> = batch "b"
    assert.equal(0, other:facts().resumed)
    repeat until assert(other:step() ~= nil) and other:facts().read == other:facts().bytes
    assert.is_true(other:step())
    assert.equal(9000, #lines "n.jsonl")
  end)

  it("never goes on behind bytes that something else has written since", function()
    local model <close> = assert(serve.open(path))
    command.write(folder .. "/ids.txt", ("u1\n"):rep(20000))
    local function batch(key, k, every)
      return assert(model:batch { users = folder .. "/ids.txt", out = folder .. "/w.jsonl", key = key, every = every,
        request = ('{"k":%d}'):format(k) })
    end
    local first = batch("a", 1, 1)
    repeat
      assert.is_false(first:step())
      uv.sleep(3)
    until lfs.attributes(folder .. "/w.jsonl.part.at")
    first:close()
    local other = batch("b", 6, 1000000) -- as if it was killed before it kept a record
    for _ = 1, 2 do assert.is_false(other:step()) end
    other:close()
    local again <close> = batch("a", 1, 1)
    assert.equal(0, again:facts().resumed)
    repeat until again:step()
    assert.same({ 20000, 0 }, { again:facts().users, again:facts().refused })
    local expected = model:answer '{"user":"u1","k":1}'
    for _, line in ipairs(lines "w.jsonl") do assert.is_true(line == expected) end
  end)
end)
