--- TF-IDF and the truncated SVD of texts, against stored numbers of scikit-learn and against scikit-learn itself.

local base = require "recsys.base"
local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local json = require "recsys.json"
local multilingual = require "spec.support.multilingual"
local tensor = require "recsys.tensor"

--- Where garbage is collected at every turn (pause 0), sizes are divided by this.
local pause = collectgarbage("setpause", 200)
collectgarbage("setpause", pause)
local FEWER = pause == 0 and 20 or 1

local function texts(list)
  return frame.from { { "text", "string", list } }
end

--- The words of a fit in the order of their codes.
local function words_of(fit)
  local vocabulary, list = assert(feature.load_vocabulary(fit)), {}
  for code = 1, #vocabulary do list[code] = vocabulary:text(code) end
  return list
end

--- Raise unless a fit's weights are those expected, a table word -> weight a row, to a millionth.
local function assert_weights(expected, fit)
  local words, parts = words_of(fit), fit.matrix:tensors()
  assert.equal(#expected + 1, #parts.starts)
  for row, weights in ipairs(expected) do
    local left = 0
    for _ in pairs(weights) do left = left + 1 end
    for i = parts.starts:get(row) + 1, parts.starts:get(row + 1) do
      local word = words[parts.columns:get(i) + 1]
      local difference = (weights[word] or -1) - parts.values:get(i)
      assert(math.abs(difference) < 1e-6, ("row %d, '%s'"):format(row, word))
      left = left - 1
    end
    assert.equal(0, left, ("words of row %d"):format(row))
  end
end

--- What `spec/peers/text_reference.py` makes of a JSON job, or nil when no Python is named.
local function reference(finally, mode, input, words)
  local python = os.getenv "RECSYS_PEER_PYTHON"
  if not python then return pending "set RECSYS_PEER_PYTHON to a Python with the packages that peers need" end
  local folder = command.scratch(finally)
  if type(input) == "string" then command.write(folder .. "/in", input) end
  if type(input) == "table" then assert(bundle.write_safetensors(folder .. "/in", input)) end
  local result = command.run(("%s spec/peers/text_reference.py %s %s/in %s/out %s"):format(python, mode, folder, folder,
    words or ""))
  assert.equal(0, result.code, result.err)
  return folder
end

--- Texts as bodies of articles are: words drawn by Zipf's law.
local function zipf_texts(n, words)
  local stream, total, at, list = base.stream(11, "user", 0, 0), 0, 0, {}
  local cumulative = {}
  for i = 1, words do
    total = total + 1 / i
    cumulative[i] = total
  end
  local function draw()
    at = at + 1
    local x, low, high = stream:uniform(at) * total, 1, words
    while low < high do
      local middle = (low + high) // 2
      if cumulative[middle] < x then low = middle + 1 else high = middle end
    end
    return "w" .. low
  end
  for i = 1, n do
    local text = {}
    for j = 1, 40 + i % 41 do text[j] = draw() end
    list[i] = table.concat(text, " ")
  end
  return list
end

describe("feature.tfidf", function()
  it("has scikit-learn's words, document frequencies and weights in every script", function()
    local fit = feature.tfidf(texts(multilingual.documents), { "text" }, nil, { tokens = "sklearn" })
    for code, word in ipairs(words_of(fit)) do
      assert.equal(multilingual.words[code][1], word)
      assert.near(multilingual.words[code][2], fit.idf:get(code), 1e-6)
    end
    assert.equal(#multilingual.words, #fit.idf)
    assert_weights(multilingual.weights, fit)
  end)

  it("keeps words of scripts with marks whole by the other rule", function()
    local fit = feature.tfidf(texts { "नमस्ते दुनिया", "İSTANBUL Straße ａｂ x" }, { "text" }, nil, {})
    assert.same({ "ab", "i̇stanbul", "strasse", "x", "दुनिया", "नमस्ते" }, words_of(fit))
  end)

  it("limits words by document frequency and by occurrences, equals in byte order", function()
    local f = texts { "b b b a c", "a c d", "a e" }
    local function words(options)
      options.tokens = "words"
      return table.concat(words_of(feature.tfidf(f, { "text" }, nil, options)), "|")
    end
    assert.equal("a|c", words { min_df = 2 })
    assert.equal("b|c|d|e", words { max_df = 2 })
    assert.equal("b|d|e", words { max_df = 0.5 })
    assert.equal("a|b", words { max_features = 2 })
    assert.equal("a|b|c|d", words { max_features = 4 })
    assert.equal("a|a c|a e|b|b a|b b|c|c d|d|e", words { low = 1, high = 2 })
  end)

  it("weighs the texts of a document as told, whatever their lengths", function()
    local f = frame.from { { "title", "string", { "x", "x", false } }, { "body", "string", { "y z z", false, false } } }
    local fit = feature.tfidf(f, { "title", "body" }, nil, { weights = { 2, 1 } })
    local dense = fit.matrix:dense()
    local x, y, z = dense:get(1, 1), dense:get(1, 2), dense:get(1, 3)
    assert.near(2, x / math.sqrt(y * y + z * z), 1e-12)
    assert.near(1, x * x + y * y + z * z, 1e-12)
    assert.near(2, z / y, 1e-12)
    assert.same({ 1, 0, 0 }, { dense:get(2, 1), dense:get(2, 2), dense:get(2, 3) })
    assert.equal(0, dense:narrow(1, 3, 1):abs():max())
    assert.near(math.log(4 / 3) + 1, fit.idf:get(1), 1e-12)
  end)

  it("fits on the rows it is given, in their order", function()
    local f = texts { "one two", "three", "one one" }
    local fit = feature.tfidf(f, { "text" }, tensor.new({ 2, 0 }, "i64"), { sublinear = true })
    assert.same({ "one", "two" }, words_of(fit))
    assert.same({ 0, 1, 3 }, fit.matrix:tensors().starts:tolist())
    assert.near(math.log(3 / 3) + 1, fit.idf:get(1), 1e-12)
  end)

  it("says what is wrong with a request", function()
    local f = frame.from { { "text", "string", { "a" } }, { "n", "number", { 1 } } }
    local function refused(message, columns, options, rows)
      assert.error_matches(function() feature.tfidf(f, columns, rows, options) end, message, 1, true)
    end
    refused("there is no column 'body'", { "body" }, {})
    refused("column 'n' holds no text: it is a number column", { "n" }, {})
    refused("1 to 16 columns are served", {}, {})
    refused("option 'tokens' must be", { "text" }, { tokens = "letters" })
    refused("option 'min_df' must be a number of documents, or a share of them from 0.0 to 1.0", { "text" },
      { min_df = 1.5 })
    refused("max_df stands for 1 of 1 texts, fewer than min_df, which stands for 2", { "text" }, { min_df = 2 })
    refused("option 'weights' must be numbers above 0", { "text" }, { weights = { 0 } })
    refused("a row lies outside the frame", { "text" }, {}, tensor.new({ 1 }, "i64"))
  end)

  it("equals scikit-learn with any of its options", function()
    local documents = zipf_texts(300 // FEWER, 800)
    for _, text in ipairs(multilingual.documents) do documents[#documents + 1] = text end
    local stop = { "w1", "w2", "news", "समाचार", "सम" }
    local counter <close> = feature.counter()
    counter:add(frame.from { { "word", "string", stop } }, "word")
    local bytes, offsets = counter:vocabulary()
    local cases = {
      { {}, {} },
      { { min_df = 3, max_df = 0.5 }, { min_df = 3, max_df = 0.5 } },
      { { sublinear_tf = true, ngram_range = { 1, 2 }, min_df = 2 },
        { sublinear = true, low = 1, high = 2, min_df = 2 } },
      { { stop_words = stop, ngram_range = { 2, 3 } },
        { stop_words = feature.vocabulary(bytes, offsets), low = 2, high = 3 } },
      { { min_df = 0.01, max_features = 5 }, { min_df = 0.01, max_features = 5 } },
    }
    for _, case in ipairs(cases) do
      local folder = reference(finally, "tfidf", json.encode { documents = documents, options = case[1] })
      if not folder then return end
      local expected = json.decode(command.read(folder .. "/out"))
      case[2].tokens = "sklearn"
      local fit = feature.tfidf(texts(documents), { "text" }, nil, case[2])
      assert.same(expected.words, words_of(fit))
      for code, idf in ipairs(expected.idf) do assert.near(idf, fit.idf:get(code), 1e-6) end
      assert_weights(expected.weights, fit)
    end
  end)

  it("lowers and cuts around every character as Python does", function()
    local folder = reference(finally, "characters", nil, FEWER)
    if not folder then return end
    local lines = {}
    for line in command.read(folder .. "/in"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    assert.is_true(#lines > 400000 // FEWER)
    local fit = feature.tfidf(texts(lines), { "text" }, nil, { tokens = "sklearn" })
    local expected = command.read(folder .. "/out")
    local code = 0
    local words = words_of(fit)
    for word in expected:gmatch "([^\n]*)\n" do
      code = code + 1
      if word ~= words[code] then assert.equal(word, words[code]) end
    end
    assert.equal(code, #words)
  end)
end)

describe("Csr:svd of a TF-IDF matrix", function()
  it("keeps at least what scikit-learn's keeps and 99 % of ARPACK's variance", function()
    local d = 64 // math.min(FEWER, 2)
    local fit = feature.tfidf(texts(zipf_texts(2000 // FEWER, 8000)), { "text" }, nil, { max_features = 3000 })
    local parts = fit.matrix:tensors()
    local folder = reference(finally, "svd", { starts = parts.starts, columns = parts.columns, values = parts.values,
      d = tensor.new({ d }, "i64") })
    if not folder then return end
    local expected = json.decode(command.read(folder .. "/out"))
    for _, dtype in ipairs { "f32", "f64" } do
      local values = fit.matrix:to(dtype):svd(d)
      local variance, whole = (values * values):sum(), 0
      for i, value in ipairs(expected.arpack) do
        whole = whole + value * value
        if i <= d // 2 then assert.near(1, values:get(i) / value, 0.01) end
      end
      assert.is_true(variance >= 0.99 * whole, ("%.4f of ARPACK's"):format(variance / whole))
      for _, other in ipairs(expected.variances) do assert.is_true(variance >= other) end
    end
  end)
end)

--- A dataset whose one user saw all items but the last.
local function dataset(items)
  local ids, times, n = {}, {}, items:rows()
  for i = 1, n do ids[i], times[i] = "i" .. i, i end
  local users = {}
  for i = 1, n do users[i] = "u" end
  local interactions = frame.from { { "user", "string", users }, { "item", "string", ids }, { "time", "time", times } }
  return { users = frame.from { { "user", "string", { "u" } } }, items = items,
    interactions = interactions, train = tensor.arange(n - 1) }
end

local function items_of(titles, bodies)
  local ids = {}
  for i = 1, #titles do ids[i] = "i" .. i end
  return frame.from { { "item", "string", ids }, { "title", "string", titles },
    { "body", "string", bodies or titles } }
end

local function fit(data, declaration)
  return feature.fit(data, data.train, { item = { declaration } })
end

describe("feature.text", function()
  it("is the TF-IDF matrix of training items times its right singular vectors", function()
    local titles = zipf_texts(200, 300)
    local data = dataset(items_of(titles))
    local encoder <close> = fit(data, feature.text { "title", dims = 16, max_features = 100, tokens = "sklearn" })
    local rows = feature.range(199)
    local expected = feature.tfidf(data.items, { "title" }, rows, { tokens = "sklearn", max_features = 100 })
    local matrix = expected.matrix:to "f32"
    local _, vectors = matrix:svd(16)
    local got = encoder:encode_items(data.items):output "item.title".values
    local difference = got:narrow(1, 1, 199):sub(matrix:matmul(vectors)):abs():max()
    assert.is_true(difference < 1e-5, tostring(difference))
    assert.same({ { name = "item.title", kind = "numbers", feature = "text", width = 16 } }, encoder:inputs "item")
    assert.equal(0, encoder:describe()[1].missing)
  end)

  it("gives a request the bits that a table gives, missing and unseen text included", function()
    local n = 700 // FEWER
    local titles, bodies = zipf_texts(n, 500), zipf_texts(n, 400)
    for i = 1, n, 9 do titles[i] = false end
    for i = 1, n, 11 do bodies[i] = false end
    titles[3], bodies[3], titles[4], bodies[4] = "unheard of", false, false, false
    titles[5] = "नमस्ते w1 w2 \u{1F389}"
    local data = dataset(items_of(titles, bodies))
    local encoder <close> = fit(data, feature.text { columns = { title = 2, body = 1 }, name = "text", dims = 8,
      ngrams = { 1, 2 }, stop_words = { "w3" }, min_df = 2, sublinear = true })
    local saved = encoder:save()
    local loaded <close> = assert(feature.load(saved.json, saved.tensors))
    local whole = encoder:encode_items(data.items):output "item.text".values
    for i = 1, n do
      local request = json.encode { title = titles[i] or nil, body = bodies[i] or nil }
      local row = assert(loaded.program:request("item", request)):output "item.text".values
      assert(row:to_string() == whole:narrow(1, i, 1):to_string(), "row " .. i)
    end
    for _, i in ipairs { 3, 4 } do assert.equal(0, whole:narrow(1, i, 1):abs():max()) end
  end)

  it("is fitted to the same bits with any number of threads", function()
    local threads = base.threads()
    finally(function() base.threads(threads) end)
    local data = dataset(items_of(zipf_texts(1500 // FEWER, 900), zipf_texts(1500 // FEWER, 500)))
    local declaration = feature.text { columns = { title = 2, body = 1 }, name = "text", dims = 24, ngrams = { 1, 2 } }
    local saved = {}
    for i, n in ipairs { 1, 3 } do
      base.threads(n)
      local encoder <close> = fit(data, declaration)
      saved[i] = encoder:save()
      saved[i].tensors.points = encoder:encode_items(data.items):output "item.text".values
    end
    assert.equal(saved[1].json, saved[2].json)
    for name, t in pairs(saved[1].tensors) do
      assert(t:to_string() == saved[2].tensors[name]:to_string(), name .. " differs")
    end
  end)

  it("has zeros beyond the rank of a small training set", function()
    local data = dataset(items_of { "one two", "two three", "new" })
    local encoder <close> = fit(data, feature.text { "title", dims = 5 })
    local values = encoder:encode_items(data.items):output "item.title".values
    assert.same({ 3, 5 }, values:size())
    assert.near(1, values:select(1, 1):mul(values:select(1, 1)):sum(), 1e-6)
    assert.equal(0, values:narrow(2, 3, 3):abs():max())
    local none <close> = fit(dataset(items_of { false, false }), feature.text { "title", dims = 2 })
    assert.equal(0, none:encode_items(data.items):output "item.title".values:abs():max())
    assert.equal(1, none:describe()[1].missing)
  end)

  it("says what is wrong with a declaration", function()
    local function refused(message, given)
      assert.has_error(function() feature.text(given) end, ("bad argument #1 to 'text' (%s)"):format(message))
    end
    refused("either a column or the option 'columns' is expected", {})
    refused("either a column or the option 'columns' is expected", { "title", columns = { body = 1 } })
    refused("option 'columns' must be a table of column names to weights above 0", { columns = { title = 0 } })
    refused("option 'name' is required beside 'columns'", { columns = { title = 1 } })
    refused("option 'ngrams' must be { shortest, longest } from 1 to 16", { "title", ngrams = { 2, 1 } })
    refused("option 'min_df' must be a number of rows, or a share of them from 0.0 to 1.0", { "title", min_df = 1.5 })
    refused("unknown option 'dim'; did you mean 'dims'?", { "title", dim = 3 })
    local data = dataset(items_of { "a", "b" })
    assert.error_matches(function() fit(data, feature.text { columns = { title = 1, text = 1 }, name = "x" }) end,
      "the items have no column 'text'", 1, true)
  end)

  it("is refused when its program and tensors do not fit", function()
    local data = dataset(items_of { "one two", "two three", "new" })
    local encoder <close> = fit(data, feature.text { "title", dims = 2 })
    local saved = encoder:save()
    local function refused(message, change)
      local tensors = {}
      for name, t in pairs(saved.tensors) do tensors[name] = t end
      change(tensors)
      local loaded, reason, code = feature.load(saved.json, tensors)
      assert.is_nil(loaded)
      assert.equal("format", code)
      assert.truthy(reason:find(message, 1, true), reason)
    end
    refused("there is no tensor 'text.item.title.idf'", function(t) t["text.item.title.idf"] = nil end)
    refused("idf are f32 [3], not f64 of 1 dimensions", function(t) t["text.item.title.idf"] = tensor.zeros(3) end)
    refused("vectors are [2, 2] for 3 words", function(t) t["text.item.title.vectors"] = tensor.zeros(2, 2) end)
    refused("input 0 has codes below 4 for 2 words", function(t)
      t["text.item.title.vectors"], t["text.item.title.idf"] = tensor.zeros(2, 2), tensor.zeros(2, "f64")
    end)
    refused("idf 1 is inf", function(t) t["text.item.title.idf"] = tensor.new({ 1, math.huge, 1 }, "f64") end)
  end)
end)

describe("feature.ngrams", function()
  --- The bag of a text in an encoder, and that of the same text in a request.
  local function bag(declaration, text)
    local data = dataset(items_of { text, "other" })
    local encoder <close> = fit(data, declaration)
    local output = encoder:encode_items(data.items):output "item.title"
    local list = output.values:narrow(1, output.starts:get(1) + 1, output.lengths:get(1)):tolist()
    local request = encoder.program:request("item", json.encode { title = text })
    assert.same(list, assert(request):output "item.title".values:tolist())
    return list
  end

  it("are codes 1 + hash mod buckets of words and of words in a row", function()
    local both = bag(feature.ngrams { "title", buckets = 1 << 20 }, "The cat, the CAT")
    assert.equal(7, #both)
    assert.same({ both[1], both[2] }, { both[3], both[4] })
    assert.equal(both[5], both[7])
    assert.not_equal(both[5], both[6])
    local hashed = bag(feature.ngrams { "title", buckets = 1 << 20, n = { 2, 2 } }, "the cat")
    assert.same({ both[5] }, hashed)
    for _, code in ipairs(bag(feature.ngrams { "title", buckets = 3 }, "a b c d")) do
      assert.is_true(code >= 1 and code <= 3)
    end
  end)

  it("of characters are shared by words of one stem", function()
    local declaration = feature.ngrams { "title", buckets = 1 << 30, level = "char", n = { 3, 3 } }
    local one, other = bag(declaration, "नमस्ते walking"), bag(declaration, "walked")
    assert.equal(#"walked", #other)
    local shared = 0
    for _, code in ipairs(other) do
      for _, same in ipairs(one) do shared = shared + (code == same and 1 or 0) end
    end
    assert.equal(3, shared) -- "<wa", "wal", "alk"
    assert.equal(7 + 6, #one) -- a mark is a character of its own
  end)

  it("of nothing are an empty bag", function()
    local data = dataset(items_of { false, "--", "a" })
    local encoder <close> = fit(data, feature.ngrams { "title", buckets = 8, n = { 2, 2 } })
    assert.same({ 0, 0, 0 }, encoder:encode_items(data.items):output "item.title".lengths:tolist())
  end)

  it("say what is wrong with a declaration", function()
    assert.has_error(function() feature.ngrams { "title" } end,
      "bad argument #1 to 'ngrams' (option 'buckets' is required)")
    assert.has_error(function() feature.ngrams { "title", buckets = 8, n = { 3, 2 } } end,
      "bad argument #1 to 'ngrams' (option 'n' must be { shortest, longest } from 1 to 16)")
  end)
end)
