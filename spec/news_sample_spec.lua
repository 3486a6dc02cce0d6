--- The news sample: its bytes, its dirt, its hidden law, and how hard it is.
local command = require "spec.support.command"
local constants = require "recsys.sample.constants"
local files = require "recsys.files"
local news = require "recsys.sample.news"
local oracle = require "recsys.sample.oracle"
local random = require "recsys.sample.random"
local ranking = require "spec.support.news_ranking"
local visible = require "recsys.sample.visible"
local world = require "recsys.sample.world"

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
  local dir, tables = command.temporary(), {}

  setup(function()
    assert(news.generate { dir = dir, scale = 0.004, seed = 3 })
    for _, name in ipairs { "devices", "contents", "events" } do
      tables[name] = parse(assert(files.read(("%s/%s.csv"):format(dir, name))))
    end
  end)
  teardown(function() command.remove(dir) end)

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

  it("loses no sound row to the malformed ones, whatever they cut", function()
    local many, counts = command.temporary(), world.counts(0.002)
    finally(function() command.remove(many) end)
    for seed = 1, 8 do
      assert(news.generate { dir = many, scale = 0.002, seed = seed })
      local read = assert(visible.read(many))
      assert.same({ counts.devices, counts.articles }, { #read.users, #read.articles }, seed)
    end
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

  it("is read back by the oracle's reader as by the plainest one", function()
    for name in pairs(tables) do
      local rows = visible.parse(files.read(("%s/%s.csv"):format(dir, name)))
      local sound = sound_rows(name)
      assert.equal(#sound, #rows - 1)
      for i = 1, #sound, 17 do assert.same(sound[i], rows[i + 1]) end
    end
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
    local again, other = command.temporary(), command.temporary()
    finally(function()
      command.remove(again)
      command.remove(other)
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

  it("keeps its bytes: a change of the generator raises its version", function()
    local golden = command.temporary()
    finally(function() command.remove(golden) end)
    assert(news.generate { dir = golden, scale = 0.0004, seed = 1 })
    local bytes = {}
    for i, name in ipairs { "devices.csv", "contents.csv", "events.csv", "hidden/users.csv", "hidden/articles.csv",
      "hidden/slates.bin" } do
      bytes[i] = files.read(golden .. "/" .. name)
    end
    assert.equal("c2be19365776d8f7", ("%016x"):format(random.fnv1a(table.concat(bytes))))
  end)

  it("takes a finished sample as it is, and makes a damaged or different one anew", function()
    local again = command.temporary()
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
    local writer = require "recsys.writer"
    local new = writer.new
    finally(function()
      writer.new = new
      command.remove(again)
    end)
    writer.new = function(path) -- the process ends in the middle
      if path:find "events" then error "killed" end
      return new(path)
    end
    p.seed = 3
    assert.has_error(function() news.generate(p) end)
    writer.new = new
    assert.is_nil((oracle.load(again)))
    assert.is_false(news.generate(p).reused)
  end)

  it("is made anew by a run with --no-cache, to the same bytes", function()
    local made, cache, recipe = command.temporary(), require "recsys.cache", require "recsys.recipe"
    local stdout, p = io.stdout, { dir = made, scale = 0.0005, seed = 1 }
    finally(function()
      rawset(io, "stdout", stdout)
      cache.allow(true)
      command.remove(made)
    end)
    assert.is_false(news.generate(p).reused)
    local bytes = files.read(made .. "/events.csv")
    local function reused(options)
      local out = assert(io.tmpfile())
      rawset(io, "stdout", out)
      options.set, options.json = { "data.dir=" .. made, "data.scale=0.0005", "runs=" .. made .. "/runs" }, true
      local code = recipe.main("recipes/news_sample.lua", options)
      rawset(io, "stdout", stdout)
      assert.equal(0, code)
      out:seek "set"
      return out:read("a"):match '"reused":(%a+)'
    end
    assert.equal("true", reused {})
    assert.equal("false", reused { no_cache = true })
    assert.equal("true", reused {})
    assert.equal(bytes, files.read(made .. "/events.csv"))
  end)

  it("is what its recipe makes", function()
    local made, recipe = command.temporary(), require "recsys.recipe"
    finally(function() command.remove(made) end)
    local loaded = recipe.load "recipes/news_sample.lua"
    local params = require("recsys.config").resolve(loaded.params,
      { set = { "data.scale=0.0004", "data.seed=5", "data.dir=" .. made } })
    local result = loaded.run(require("recsys.flow").new {}, params)
    assert.equal(made, result.paths.data:value())
    assert.is_false(result.reused:value())
    assert.is_true(news.generate { dir = made, scale = 0.0004, seed = 5 }.reused)
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

--- The terms of an item's vector that are not zero, few as they are.
local function sparse(vector)
  local at, value = {}, {}
  for d, x in ipairs(vector) do
    if x ~= 0 then at[#at + 1], value[#at + 1] = d, x end
  end
  return { at = at, value = value }
end

--- The scores of query q's candidates: dot products of the vectors.
local function score(vectors, items, q, candidates)
  local user, scores = {}, {}
  for _, part in ipairs(vectors.users[q]) do table.move(part, 1, #part, #user + 1, user) end
  for _, i in ipairs(candidates) do
    local at, value, sum = items[i].at, items[i].value, 0
    for n = 1, #at do sum = sum + user[at[n]] * value[n] end
    scores[i] = sum
  end
  return scores
end

describe("the news sample's default scale", function()
  local dir, data, queries, ids, best = command.temporary()
  local of = {} -- kind -> { ndcg, nll, entropy }, means over the test events


  --- Rank and weigh every so many-th test event by an oracle's vectors.
  local function judge(kind, every, learn_until)
    local vectors = assert(best:vectors(kind, queries, ids, learn_until))
    local items, sums, n = {}, { ndcg = 0, nll = 0, entropy = 0 }, 0
    for i, vector in ipairs(vectors.items) do items[i] = sparse(vector) end
    ranking.walk(data, every, function(q, _, article, _, candidates)
      local scores, total, expected = score(vectors, items, q, candidates), 0, 0
      local own, above, exp = scores[article], 0, math.exp
      for _, i in ipairs(candidates) do
        local s = scores[i]
        if s > own then above = above + 1 end
        local p = exp(s - own)
        total, expected = total + p, expected + p * (s - own)
      end
      n = n + 1
      sums.nll = sums.nll + math.log(total)
      sums.entropy = sums.entropy + math.log(total) - expected / total
      sums.ndcg = sums.ndcg + (above < 10 and 1 / math.log(above + 2, 2) or 0)
    end)
    for name, sum in pairs(sums) do sums[name] = sum / n end
    return sums
  end

  setup(function()
    assert(news.generate { dir = dir, seed = 1 })
    data = assert(visible.read(dir))
    best = assert(oracle.load(dir))
    queries, ids = ranking.queries(data)
    of.best_possible = judge("best_possible", 1)
    of.best_observable = judge("best_observable", 3, data.log.time[ranking.valid_from(data)])
  end)
  teardown(function() command.remove(dir) end)

  it("draws test events whose mean negative log-probability is their entropy within 1 %", function()
    assert.near(1, of.best_possible.nll / of.best_possible.entropy, 0.01)
  end)

  it("has a best possible NDCG@10 between 0.20 and 0.40", function()
    assert.is_true(0.20 < of.best_possible.ndcg and of.best_possible.ndcg < 0.40, of.best_possible.ndcg)
  end)

  it("lets an observer who knows the laws reach most of that, never more", function()
    local share = of.best_observable.ndcg / of.best_possible.ndcg
    assert.is_true(0.75 < share and share < 1, share)
    assert.is_true(of.best_observable.nll > of.best_possible.nll)
  end)

  it("makes the observer's beliefs honest: his surprise is about what he expects", function()
    assert.near(1, of.best_observable.nll / of.best_observable.entropy, 0.03)
  end)

  it("draws slates uniformly from before the validation events on", function()
    assert.is_true(best.uniform_from < data.log.time[ranking.valid_from(data)])
  end)

  it("has at least 30 % of the test events on articles, and some by users, unseen in training", function()
    local trained, users, new_items, new_users, n = {}, {}, 0, 0, 0
    ranking.walk(data, 1, function(_, user, article)
      n = n + 1
      if not trained[article] then new_items = new_items + 1 end
      if not users[user] then new_users = new_users + 1 end
    end, function(e, user, article)
      if e < ranking.valid_from(data) then trained[article], users[user] = true, true end
    end)
    assert.is_true(new_items / n >= 0.3, new_items / n)
    assert.is_true(new_users > 50, new_users)
  end)

  it("is at least 2.5 times easier for the best possible than for the best baseline", function()
    local draw, sums, n = random.stream(7, "baseline"), {}, 0
    local group = {
      overall = function() return 0 end,
      language = function(user) return data.users[user].language end,
      place = function(user) return data.users[user].district end,
    }
    local counters = {}
    for name, of_user in pairs(group) do
      for _, hours in ipairs { 0, 6, 24 } do
        counters[("%s %d h"):format(name, hours)] = { ranking.counter(hours > 0 and hours or nil), of_user }
      end
    end
    local function add(name, article, candidates, of_item)
      sums[name] = (sums[name] or 0) + ranking.ndcg_10(article, candidates, of_item)
    end
    ranking.walk(data, 8, function(_, user, article, time, candidates)
      n = n + 1
      local chance = {}
      for _, i in ipairs(candidates) do chance[i] = draw.uniform() end
      add("random", article, candidates, function(i) return chance[i] end)
      add("newest", article, candidates, function(i) return data.articles[i].created end)
      for name, counter in pairs(counters) do
        local counts = counter[1].of(counter[2](user), time)
        add(name, article, candidates, function(i) return counts[i] or 0 end)
      end
    end, function(_, user, article, time)
      for _, counter in pairs(counters) do counter[1].add(counter[2](user), article, time) end
    end)
    local highest, which = 0, nil
    for name, sum in pairs(sums) do
      if sum / n > highest then highest, which = sum / n, name end
    end
    assert.is_true(of.best_possible.ndcg >= 2.5 * highest, ("%s reaches %.4f"):format(which, highest))
    assert.is_true(sums.random / n < 0.02 and highest > 2 * sums.random / n)
  end)

  it("asks and answers the same through the data source, the split and the evaluator", function()
    local source, evaluate = require "recsys.data", require "recsys.evaluate"
    local dataset = assert(source.load { source = "news", dir = dir })
    local split = source.split_by_time(dataset, { valid = 0.1, test = 0.1 })
    split:end_selection "the oracle chooses nothing"
    local asked = evaluate.protocol_by_time(dataset, split, { window = constants.live_days .. "d" }):queries "test"
    local same, catalogue = oracle.queries(dataset, asked.rows)
    assert.same(queries, same)
    assert.same(ids, catalogue)
    local ndcg = evaluate.metric(asked, assert(best:factors("best_possible", same, catalogue)), "ndcg_10")
    assert.near(of.best_possible.ndcg, ndcg, 1e-4) -- float32 scores may exchange two candidates here and there
  end)

  it("gives the same scores as tensors", function()
    for _, kind in ipairs { "best_possible", "best_observable" } do
      local some = { user = {}, time = {} }
      for q = 1, 40 do
        some.user[q], some.time[q] = queries.user[q * 7], queries.time[q * 7]
      end
      local vectors = assert(best:vectors(kind, some, ids))
      local factors = assert(best:factors(kind, some, ids))
      assert.same({ 40, vectors.width }, factors.users:size())
      assert.same({ #ids, vectors.width }, factors.items:size())
      for q = 1, 40, 13 do
        local d = 0
        for _, part in ipairs(vectors.users[q]) do
          for _, x in ipairs(part) do
            d = d + 1
            assert.near(x, factors.users:get(q, d), 1e-6 * math.max(1, math.abs(x)))
          end
        end
        assert.equal(vectors.width, d)
      end
      for d, x in ipairs(vectors.items[#ids]) do
        assert.near(x, factors.items:get(#ids, d), 1e-6 * math.max(1, math.abs(x)))
      end
    end
  end)

  it("refuses a device, an article and a folder that it does not know", function()
    for _, kind in ipairs { "best_possible", "best_observable" } do
      local now = { data.log.time[#data.log.time] }
      local none, message, code = best:factors(kind, { user = { "nobody" }, time = now }, ids)
      assert.same({ nil, "argument" }, { none, code })
      assert.matches("nobody is not of this sample", message)
      none, message = best:factors(kind, { user = { queries.user[1] }, time = now }, { "nothing" })
      assert.is_nil(none)
      assert.matches("nothing is not of this sample", message)
    end
    local none, _, code = oracle.load(dir .. "/nowhere")
    assert.same({ nil, "io" }, { none, code })
  end)
end)
