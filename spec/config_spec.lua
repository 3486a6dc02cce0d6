--- A recipe's parameters: defaults, overrides, and how wrong ones are named.

local command = require "spec.support.command"
local config = require "recsys.config"

local declaration = {
  data = { source = config.param("news", "where from", { choices = { "news", "movielens" } }), dir = "artifacts" },
  train = { epochs = config.param(10, "passes", { min = 1, max = 1000 }), learning_rate = 1e-3, shuffle = true,
    limit = config.param(nil, "rows", { type = "integer", optional = true }) },
  eval = { k = { 10, 50 } },
}

local function refusal(options)
  local ok, problem = pcall(config.resolve, declaration, options)
  assert.is_false(ok)
  assert.equal("usage", problem.code)
  return problem.message
end

local function temporary(suffix, bytes)
  return command.write(command.scratch(finally) .. "/given" .. suffix, bytes)
end

describe("config", function()
  it("gives the defaults when nothing is set", function()
    assert.same({ data = { source = "news", dir = "artifacts" },
      train = { epochs = 10, learning_rate = 1e-3, shuffle = true }, eval = { k = { 10, 50 } } },
      config.resolve(declaration, {}))
  end)

  it("converts what --set says to the declared type", function()
    local p = config.resolve(declaration, { set = { "train.epochs=3", "train.learning_rate=1", "train.shuffle=false",
      "eval.k=5,20", "data.dir=a=b", "train.limit=7" } })
    assert.equal("integer", math.type(p.train.epochs))
    assert.equal("float", math.type(p.train.learning_rate))
    assert.is_false(p.train.shuffle)
    assert.same({ 5, 20 }, p.eval.k)
    assert.equal("a=b", p.data.dir)
    assert.equal(7, p.train.limit)
  end)

  it("names the nearest parameter for a misspelled one", function()
    assert.matches("there is no parameter 'train.epoch'.*did you mean 'train.epochs'%?",
      refusal { set = { "train.epoch=3" } })
    assert.matches("did you mean 'train.epochs'%?", refusal { set = { "epochs=3" } })
    assert.matches("%-%-help lists them", refusal { set = { "zzzzzzzz=3" } })
  end)

  it("refuses a value of another type, outside its limits or its choices, and a group", function()
    assert.matches("train.epochs must be a whole number, not 'many'", refusal { set = { "train.epochs=many" } })
    assert.matches("train.epochs must be a whole number, not '1.5'", refusal { set = { "train.epochs=1.5" } })
    assert.matches("0 is outside 1 .. 1000", refusal { set = { "train.epochs=0" } })
    assert.matches("'movie' is not one of news, movielens", refusal { set = { "data.source=movie" } })
    assert.matches("'train' is a group", refusal { set = { "train=3" } })
    assert.matches("%-%-set takes NAME=VALUE", refusal { set = { "train.epochs" } })
    assert.matches("eval.k must be a list", refusal { set = { "eval.k=ten" } })
  end)

  it("refuses what is no span, folder or model's name, and a list with nothing or the same twice", function()
    local limited = { window = config.param("7d", "", { form = "span" }), dir = config.param("x", "",
      { form = "folder" }), name = config.param("x", "", { form = "model" }), k = config.param({ 10 }, "",
      { distinct = true }), rate = 0.5 }
    for setting, words in pairs { ["window=long"] = "window must be a span of time such as 7d, 12h or 30m, not 'long'",
      ["dir="] = "dir must be the name of a folder, not ''", ["name=../x"] = "name must be a name of a-z",
      ["name=x-1"] = "name must be a name of a-z", ["k=5,5"] = "k: 5 stands there twice",
      ["k="] = "k must hold something",
      ["rate=1e999"] = "rate must be a number, not '1e999'", ["dir=a\0b"] = "dir must be a text in UTF-8, not 'a?b'",
      ["dir=\xff"] = "dir must be a text in UTF-8", ["k.=1"] = "there is no parameter 'k.'" } do
      local ok, problem = pcall(config.resolve, limited, { set = { setting } })
      assert.is_false(ok)
      assert.truthy(problem.message:find(words, 1, true), problem.message)
    end
    assert.same({ 5, 6 }, config.resolve(limited, { set = { "window=2w", "name=a-b_2", "k=5,6" } }).k)
  end)

  it("says so when a recipe declares what cannot be a parameter", function()
    local ok, problem = pcall(config.resolve, { f = print }, {})
    assert.is_false(ok)
    assert.matches("f is declared as a function", problem.message)
  end)

  it("takes JSON and Lua files, and lets --set win over them", function()
    local file = temporary(".json", [[{"train": {"epochs": 4, "shuffle": false}, "eval.k": [1]}]])
    local p = config.resolve(declaration, { file = file, set = { "train.epochs=5" } })
    assert.equal(5, p.train.epochs)
    assert.is_false(p.train.shuffle)
    assert.same({ 1 }, p.eval.k)
    assert.equal(6, config.resolve(declaration, { file = temporary(".lua", "return {train={epochs=6}}") }).train.epochs)
  end)

  it("names the file in which a wrong name stands", function()
    local file = temporary(".json", [[{"train": {"epoch": 4}}]])
    assert.matches(file, refusal { file = file }, 1, true)
    assert.matches("is not a JSON object", refusal { file = temporary(".json", "{") })
    assert.matches("cannot read the configuration file", refusal { file = "/no/such/file.json" })
  end)

  it("puts a profile between the defaults and what people set", function()
    local profiles = { by = "data.source", movielens = { train = { epochs = 99, learning_rate = 0.5 } } }
    local p = config.resolve(declaration, { profiles = profiles,
      set = { "data.source=movielens", "train.epochs=2" } })
    assert.equal(2, p.train.epochs)
    assert.equal(0.5, p.train.learning_rate)
    assert.equal(10, config.resolve(declaration, { profiles = profiles }).train.epochs)
  end)

  it("asks for a parameter without a default that is not optional", function()
    local needy = { data = { dir = config.param(nil, "where the files lie", { type = "string" }) } }
    local ok, problem = pcall(config.resolve, needy, {})
    assert.is_false(ok)
    assert.same({ code = "usage", message = "data.dir must be given (where the files lie): --set data.dir=..." },
      problem)
    assert.equal("x", config.resolve(needy, { set = { "data.dir=x" } }).data.dir)
    local profiles = { by = "source", a = { data = { dir = "y" } } }
    needy.source = "a"
    assert.equal("y", config.resolve(needy, { profiles = profiles }).data.dir)
    assert.matches("data.dir +string +required +where the files lie", config.describe(needy))
    assert.has_error(function() config.param(nil, "what") end,
      "bad argument #3 to 'param' (a parameter without a default needs a type, as in { type = \"string\" })")
  end)

  it("takes {} for a group without parameters", function()
    assert.same({ eval = {} }, config.resolve({ eval = {} }, {}))
    assert.equal("", config.describe { eval = {} })
    assert.matches("'eval' is a group", select(2, pcall(config.resolve, { eval = {} }, { set = { "eval=1" } })).message)
    assert.same({ k = {} }, config.resolve({ k = config.param({}, "sizes", { of = "integer" }) }, {}))
  end)

  it("completes a group for its reader, who checks what he reads and leaves the rest", function()
    local reads = { epochs = config.param(10, "passes", { min = 1 }), rate = 0.5, name = config.param(nil, "its name",
      { type = "string" }), limit = config.param(nil, "rows", { type = "integer", optional = true }) }
    assert.same({ epochs = 3, rate = 1.0, name = "x", own = { 1 } },
      config.complete("train", reads, { epochs = 3, rate = 1, name = "x", own = { 1 } }))
    local function refused(given) return select(2, pcall(config.complete, "train", reads, given)).message end
    assert.equal("train.name (its name) is not declared: the recipe's params need train = { name = ... }", refused(nil))
    assert.equal("train.epochs: 0 is outside 1 .. inf (given by the recipe)", refused { name = "x", epochs = 0 })
    assert.equal("train.rate must be a number, not 'fast' (given by the recipe)", refused { name = "x", rate = "fast" })
  end)

  it("lets later files win over earlier, the environment over files, --set over all, and tells origins", function()
    local one = temporary(".json", [[{"train": {"epochs": 2, "learning_rate": 0.5, "shuffle": false}}]])
    local other = temporary(".lua", "return { train = { epochs = 3, limit = 9 } }")
    local p, origins = config.resolve(declaration, { file = { one, other }, variables = {
      RECSYS_SET_TRAIN__EPOCHS = "4", RECSYS_SET_TRAIN__LIMIT = "null", RECSYS_SET_EVAL__K = "7,8", OTHER = "x",
      RECSYS_SET_DATA__DIR = "" }, set = { "eval.k=9" } })
    assert.same({ epochs = 4, learning_rate = 0.5, shuffle = false }, p.train)
    assert.same({ 9 }, p.eval.k)
    assert.equal("artifacts", p.data.dir)
    assert.same({ ["train.epochs"] = "RECSYS_SET_TRAIN__EPOCHS", ["train.learning_rate"] = one,
      ["train.shuffle"] = one, ["train.limit"] = "RECSYS_SET_TRAIN__LIMIT", ["eval.k"] = "--set" }, origins)
    local shown = config.show(declaration, p, origins)
    assert.matches("train.epochs +4 +RECSYS_SET_TRAIN__EPOCHS\n", shown)
    assert.matches("train.limit +none +RECSYS_SET_TRAIN__LIMIT\n", shown)
    assert.matches("data.dir +'artifacts' +the recipe's default\n", shown)
  end)

  it("tells the origin of a profile's values", function()
    local profiles = { by = "data.source", movielens = { train = { epochs = 99 } } }
    local _, origins = config.resolve(declaration, { profiles = profiles, variables = {
      RECSYS_SET_DATA__SOURCE = "movielens" } })
    assert.same({ ["data.source"] = "RECSYS_SET_DATA__SOURCE", ["train.epochs"] = "the recipe's profile movielens" },
      origins)
  end)

  it("refuses a variable that names no parameter, and one whose value is wrong", function()
    assert.equal("the variable RECSYS_SET_TRAIN__EPOCH names no parameter; did you mean RECSYS_SET_TRAIN__EPOCHS?",
      refusal { variables = { RECSYS_SET_TRAIN__EPOCH = "3" } })
    assert.equal("train.epochs must be a whole number, not 'many' (RECSYS_SET_TRAIN__EPOCHS)",
      refusal { variables = { RECSYS_SET_TRAIN__EPOCHS = "many" } })
    assert.equal(10, config.resolve(declaration, { environment = false,
      variables = { RECSYS_SET_TRAIN__EPOCHS = "3" } }).train.epochs)
  end)

  it("warns of no variable that the program or its tests read", function()
    local environment = require "recsys.config.environment"
    local log = require "recsys.log"
    local read = command.run([[grep -rhoE 'getenv *\(? *"RECSYS_[A-Z0-9_]+' lua runtime spec]]).out
    local variables, warn, warned = { RECSYS_PACKAGES = "x", RECSYS_PEER_PYTHON = "x" }, log.warn, {}
    for name in read:gmatch 'RECSYS_[A-Z0-9_]+' do variables[name] = "x" end
    assert.truthy(variables.RECSYS_MEMORY and variables.RECSYS_CACHE and variables.RECSYS_TEST_DATA)
    log.warn = function(...) warned[#warned + 1] = string.format(...) end
    finally(function() log.warn = warn end)
    assert.same({}, environment.settings({}, variables))
    assert.same({}, warned)
    environment.settings({}, { RECSYS_TRAIN__EPOCHS = "3", RECSYS_CASHE = "x" })
    assert.same({ "the variable RECSYS_CASHE means nothing here; did you mean RECSYS_CACHE?",
      "the variable RECSYS_TRAIN__EPOCHS means nothing here; did you mean RECSYS_SET_TRAIN__EPOCHS?" }, warned)
  end)

  it("takes whole numbers to the last digit, or not at all", function()
    local counts = { seed = 1, list = config.param({ 1 }, "numbers") }
    for name, bytes in pairs { [".json"] = [[{"seed": 9007199254740993, "list": [9007199254740993]}]],
      [".lua"] = "return { seed = 9007199254740993, list = { 9007199254740993 } }" } do
      local p, origins = config.resolve(counts, { file = temporary(name, bytes) })
      assert.same({ seed = 9007199254740993, list = { 9007199254740993 } }, p)
      assert.matches("seed +9007199254740993 ", config.show(counts, p, origins))
    end
    local p = config.resolve(counts, { set = { "seed=-9007199254740993", "list=[9007199254740993]" } })
    assert.same({ seed = -9007199254740993, list = { 9007199254740993 } }, p)
    for file, words in pairs { [temporary(".json", [[{"seed": 9223372036854775808}]])] = "that 64 bits do not hold",
      [temporary(".json", [[{"seed": 9007199254740993.0}]])] = "seed must be a whole number",
      [temporary(".lua", "return { seed = 9007199254740993.0 }")] = "seed must be a whole number" } do
      assert.matches(words, select(2, pcall(config.resolve, counts, { file = file })).message, 1, true)
    end
    for _, word in ipairs { "seed=9223372036854775808", "seed=9007199254740993.0", "list=[1,9223372036854775808]" } do
      assert.matches("must be a", select(2, pcall(config.resolve, counts, { set = { word } })).message, 1, true)
    end
    assert.is_nil(require("recsys.argument").whole_number(0) "9007199254740993.0")
    assert.equal(9007199254740993, require("recsys.argument").whole_number(0) "9007199254740993")
  end)

  it("refuses a file that sets something twice, and one that holds a list", function()
    for bytes, words in pairs {
      [ [[{"train": {"epochs": 3}, "train": {"shuffle": false}}]] ] = "line 1, column 26: 'train' stands there twice",
      [ [[{"train.epochs": 3, "train": {"epochs": 7}}]] ] = "'train.epochs' stands there twice",
      ["[]"] = "is not a JSON object: it holds something else", ["[1]"] = "is not a JSON object",
      ["7"] = "is not a JSON object" } do
      local file = temporary(".json", bytes)
      local said = refusal { file = file }
      assert.matches(words, said, 1, true)
      assert.matches(file, said, 1, true)
    end
    assert.matches("'train.epochs' stands there twice", refusal { file = temporary(".lua",
      "return { ['train.epochs'] = 3, train = { epochs = 7 } }") }, 1, true)
    local one = temporary(".json", [[{"train": {"epochs": 3}}]])
    local other = temporary(".json", [[{"train.epochs": 7}]])
    assert.equal(7, config.resolve(declaration, { file = { one, other } }).train.epochs)
  end)

  it("takes no list for what is none", function()
    for _, word in ipairs { "1,,2", ",1", "1,2,", "1, ,2", "[1,2", "[1,null]", "{1}", [[{"1":2}]] } do
      assert.matches("eval.k must be a list such as 10,50", refusal { set = { "eval.k=" .. word } }, 1, true)
    end
    for _, list in ipairs { "{ 4, 5, x = 6 }", "{ 4, nil, 5 }", "{ [1] = 4, [3] = 5 }" } do
      assert.matches("eval.k must be a list", refusal { file = temporary(".lua",
        ("return { eval = { k = %s } }"):format(list)) }, 1, true)
    end
    assert.same({ 1, 2 }, config.resolve(declaration, { set = { "eval.k=1, 2" } }).eval.k)
    assert.same({ 1, 2 }, config.resolve(declaration, { set = { "eval.k= [1, 2]" } }).eval.k)
    local words = { words = config.param({ "a" }, "words") }
    assert.same({ "b", "c" }, config.resolve(words, { set = { "words=b,c" } }).words)
    assert.is_false((pcall(config.resolve, words, { set = { "words=[b,c]" } })))
  end)

  it("repeats nothing of what may be a secret in the wrong place", function()
    local shop = { shop = { token = config.secret("t", { optional = true }), rows = 3 } }
    local said = {}
    local function refused(options)
      local ok, problem = pcall(config.resolve, shop, options)
      assert.is_false(ok)
      said[#said + 1] = problem.message
    end
    for _, setting in ipairs { "shop=open-sesame", "shop.token open-sesame", "shop.token=open-sesame",
      "shop.tokn=open-sesame", "open-sesame" } do
      refused { set = { setting } }
    end
    for suffix, bytes in pairs { [".json"] = [[{"shop": {"token": "open-sesame}}]],
      [".lua"] = [[return { shop = { token = "open-sesame } }]] } do
      refused { file = temporary(suffix, bytes) }
    end
    assert.equal("'shop' is a group of parameters, not one: set shop.rows, shop.token (--set shop=...)", said[1])
    assert.equal("--set takes NAME=VALUE, such as --set train.epochs=5; got 'shop.token...'", said[2])
    assert.is_nil(table.concat(said, "\n"):find("sesame", 1, true))
    assert.matches("got 'train 5'", refusal { set = { "train 5" } }, 1, true)
  end)

  it("lists choices of any type", function()
    local sure = { fast = config.param(true, "or not", { choices = { true, false } }), n = config.param(1, "how many",
      { choices = { 1, 2 } }), only = config.param(true, "one", { choices = { true } }) }
    assert.matches("only +boolean +true +one %(true%)", config.describe(sure))
    assert.matches("or not (true, false)", config.describe(sure), 1, true)
    assert.matches("only: false is not one of true ", select(2, pcall(config.resolve, sure,
      { set = { "only=false" } })).message, 1, true)
    assert.matches("n: 3 is not one of 1, 2", select(2, pcall(config.resolve, sure, { set = { "n=3" } })).message, 1,
      true)
  end)

  it("refuses to declare what nobody could set", function()
    local recipe = require "recsys.recipe"
    for name, params in pairs { ["my-rate"] = { ["my-rate"] = 1 }, ["a.my rate"] = { a = { ["my rate"] = 1 } } } do
      local ok, message = pcall(recipe.new, { name = "x", about = "x", params = params, run = print })
      assert.is_false(ok)
      assert.matches(("(a parameter cannot be called '%s': names are of letters"):format(name), message, 1, true)
    end
  end)

  it("refuses parameters that one variable would set alike", function()
    for _, names in ipairs { { token = config.secret "t", token_file = "x" }, { a = { b = 1 }, a__b = 2 },
      { rows = 1, Rows = 2 } } do
      local ok, problem = pcall(config.resolve, names, { environment = "secrets", variables = {} })
      assert.is_false(ok)
      assert.matches("^the variable RECSYS_SET_[A-Z_]+ would set [%w_.]+ as well as [%w_.]+: one of them needs another",
        problem.message)
    end
  end)

  it("exports values that a file gives again, to the bit and to what is absent", function()
    local given = { epochs = config.param(2, ""), rate = 0.1, none = config.param("7d", "", { optional = true }),
      list = config.param({}, "", { of = "integer" }), words = { "a" }, key = config.secret("k", { optional = true }) }
    local p = config.resolve({ g = given }, { set = { "g.none=", "g.rate=0.30000000000000004" } })
    local file = temporary(".json", require("recsys.json").pretty(config.exported({ g = given }, p)))
    assert.same(p, config.resolve({ g = given }, { file = file }))
    assert.is_nil(p.g.none)
    assert.equal("integer", math.type(config.resolve({ g = given }, { file = file }).g.epochs))
  end)

  it("describes limits and units", function()
    local described = config.describe { a = config.param(1, "one", { min = 0, max = 9, unit = "s" }),
      b = config.param(1.5, "two", { min = 0 }), c = config.param(2, "three", { unit = "MiB" }),
      d = config.secret("four") }
    assert.matches("one %[0 %.%. 9 s%]\n.*two %[at least 0%]\n.*three %[MiB%]\n", described)
    assert.matches("d +secret +required +four", described)
  end)

  it("describes every parameter in a line", function()
    local described = config.describe(declaration)
    for _, name in ipairs(config.names(declaration)) do assert.matches(name, described, 1, true) end
    assert.matches("passes", described)
  end)
end)

describe("a secret", function()
  local log = require "recsys.log"
  local json = require "recsys.json"
  local store = require "recsys.store"

  local needy = { api = { token = config.secret "of the shop's server", url = "x" } }

  local function refused(options, of)
    local ok, problem = pcall(config.resolve, of or needy, options)
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    return problem.message
  end

  it("comes from the environment, or from a file that a variable, --set or a file of settings names", function()
    local file = temporary(".txt", "open sesame\n")
    for _, options in ipairs { { variables = { RECSYS_SET_API__TOKEN = "open sesame" } },
      { variables = { RECSYS_SET_API__TOKEN_FILE = file } }, { set = { "api.token=@" .. file } },
      { file = temporary(".json", ('{"api": {"token": "@%s"}}'):format(file)) } } do
      local p = config.resolve(needy, options)
      assert.equal("open sesame", p.api.token:reveal())
    end
    assert.is_nil(config.resolve({ t = config.secret("x", { optional = true }) }, {}).t)
  end)

  it("is refused where others read it, without being told", function()
    for _, options in ipairs { { set = { "api.token=hunter22" } }, { file = temporary(".lua",
      "return { api = { token = 'hunter22' } }") }, { set = { "api.tokn=hunter22" } } } do
      local said = refused(options)
      assert.is_nil(said:find("hunter22", 1, true), said)
    end
    assert.matches("api.token is a secret, which is given by the variable RECSYS_SET_API__TOKEN, by "
      .. "RECSYS_SET_API__TOKEN_FILE, which names a file with it, or by --set api.token=@FILE", refused { set =
      { "api.token=hunter22" } }, 1, true)
    assert.matches("api.token must be given %(of the shop's server%): by the variable", refused {})
    assert.matches("its file cannot be read: /no/such", refused { set = { "api.token=@/no/such" } }, 1, true)
    assert.matches("is empty", refused { set = { "api.token=@" .. temporary(".txt", "\n") } }, 1, true)
  end)

  it("shows in nothing that is made of the parameters, nor in what is told", function()
    local p, origins = config.resolve(needy, { variables = { RECSYS_SET_API__TOKEN = "pass+word%1" } })
    local token = p.api.token
    assert.equal("(secret)", tostring(token))
    assert.is_nil(next(token))
    assert.equal('{"token":"(secret)","url":"x"}', json.encode(p.api))
    assert.equal('{"api":{"url":"x"}}', json.encode(config.exported(needy, p)))
    assert.matches("api.token +%(secret%) +RECSYS_SET_API__TOKEN", config.show(needy, p, origins))
    assert.is_nil(store.text(p):find("pass", 1, true))
    assert.equal("it was (secret)!", log.veiled "it was pass+word%1!")
    assert.has_error(function() token.value = 1 end, "a secret cannot be changed")
    local folder = command.scratch(finally)
    store.save(folder, p)
    assert.equal("pass+word%1", store.load(folder).api.token:reveal())
  end)
end)
