--- recsys.report: charts, pages, sparklines. Pictures are read as what they say: marks, shapes, titles.

local command = require "spec.support.command"
local plot = require "recsys.report.plot"
local report = require "recsys.report"
local scale = require "recsys.report.scale"
local tensor = require "recsys.tensor"

--- What matches of a text, counted.
local function count(text, pattern)
  local _, n = text:gsub(pattern, "")
  return n
end

local function labels(axis)
  local list = {}
  for i, mark in ipairs(axis.marks) do list[i] = mark.label end
  return list
end

--- Every element that opens closes again, in order.
local function assert_well_formed(markup)
  local open = {}
  for close, tag, rest in markup:gmatch "<(/?)([%a][%w]*)([^>]*)>" do
    if close == "/" then
      assert.equal(tag, table.remove(open))
    elseif not (rest:match "/$" or tag == "meta" or tag == "br") then
      open[#open + 1] = tag
    end
  end
  assert.same({}, open)
end

--- The points of the first curve of a colour.
local function points_of(svg, class)
  local list = {}
  local found = svg:match('<polyline points="([^"]*)" class="curve ' .. class)
  for x, y in (found or ""):gmatch "([%d.]+),([%d.]+)" do list[#list + 1] = { tonumber(x), tonumber(y) } end
  return list
end

describe("a scale", function()
  it("marks round numbers, all of them written alike", function()
    assert.same({ "0", "2", "4", "6", "8", "10" }, labels(scale.linear(0.3, 9.4)))
    assert.same({ "3.5", "4.0", "4.5", "5.0" }, labels(scale.linear(3.6, 5, 4)))
    assert.same({ "-0.0010", "-0.0005", "0.0000", "0.0005", "0.0010" }, labels(scale.linear(-0.001, 0.001)))
    assert.same({ "0", "50k", "100k" }, labels(scale.linear(0, 1e5, 2)))
    assert.same({ "0", "5e-7", "1e-6" }, labels(scale.linear(0, 1e-6, 2)))
    assert.same({ "1", "2", "3" }, labels(scale.linear(1, 3, 6, true, true)))
    assert.same({ "1", "10", "100", "1,000", "10,000" }, labels(scale.log(1, 10000)))
    assert.same({ "1", "2", "5", "10" }, labels(scale.log(1, 10)))
    assert.same({ "1e-5", "1e-4", "0.001", "0.01", "0.1", "1" }, labels(scale.log(1e-5, 1)))
  end)

  it("places values between its ends, and makes room around a single one", function()
    local linear, log = scale.linear(0, 10), scale.log(1, 10000)
    assert.same({ 0, 0.5, 1 }, { linear.at(0), linear.at(5), linear.at(10) })
    assert.is_true(math.abs(log.at(100) - 0.5) < 1e-12)
    for _, value in ipairs { 0, 7, -3, 1e-9, 1e12 } do
      local one = scale.linear(value, value)
      assert.is_true(one.low < value and value < one.high or value == 0 and one.low <= 0 and one.high > 0)
    end
    assert.same({ 0, 1 }, { scale.linear(math.huge, -math.huge).low, scale.linear(math.huge, -math.huge).high })
  end)
end)

describe("a sparkline", function()
  it("rises from the least to the greatest", function()
    assert.equal("▁▂▄▆█", report.sparkline { 0, 1, 3.2, 5, 7 })
    assert.equal("█▁", report.sparkline { 2, -2 })
  end)

  it("has the means of many values in its width, and dots for what is no number", function()
    local values = {}
    for i = 1, 1000 do values[i] = i end
    assert.equal("▁▃▆█", report.sparkline(values, 4))
    assert.equal("▁·█", report.sparkline { 1, 0 / 0, 2 })
    assert.equal("▁·█·", report.sparkline { 1, false, 2, math.huge })
    assert.same({ "▅▅", "" }, { report.sparkline { 3, 3 }, report.sparkline {} })
  end)
end)

describe("a chart", function()
  it("draws curves where their values are, between the ends of its axes", function()
    local svg = report.line { title = "Loss", x_name = "epoch", y_name = "loss",
      series = { { name = "train", y = { 4, 2, 0 } }, { name = "valid", x = { 1, 3 }, y = { 4, 4 } } } }:svg()
    assert_well_formed(svg)
    local train, valid = points_of(svg, "c1"), points_of(svg, "c2")
    assert.same({ 3, 2 }, { #train, #valid })
    assert.same(train[1], valid[1])
    assert.is_true(math.abs(train[2][2] - (train[1][2] + train[3][2]) / 2) <= 0.1)
    assert.is_true(train[1][2] < train[3][2], "greater values lie higher")
    for _, word in ipairs { ">Loss<", ">epoch<", ">loss<", ">train<", ">valid<", "train: epoch 2, loss 2" } do
      assert.truthy(svg:find(word, 1, true), word)
    end
  end)

  it("breaks a curve at what cannot be drawn, and says how much that is", function()
    local chart = report.line { y = { 1, 2, 0 / 0, 3, math.huge, false, 4, 5 }, name = "x" }
    local svg = chart:svg()
    assert.equal(2, count(svg, "<polyline"))
    assert.equal(5, count(svg, "<circle"))
    assert.truthy(svg:find("3 values are not drawn: no finite numbers", 1, true))
    svg = report.line({ y = { 0, -1, 10, 100 }, log_y = true }):svg()
    assert.truthy(svg:find("2 values are not drawn: no numbers above 0", 1, true))
    assert.equal(2, #points_of(svg, "c1"))
    svg = report.line({ y = {} }):svg()
    assert.equal(0, count(svg, "<polyline") + count(svg, "<circle"))
  end)

  it("keeps the peaks of a curve that has more points than it can show", function()
    local y = {}
    for i = 1, 100000 do y[i] = i % 7 end
    y[54321] = 1000
    local svg = report.line({ y = tensor.new(y, "f32"), name = "long" }):svg()
    local points, least = points_of(svg, "c1"), math.huge
    for _, point in ipairs(points) do least = math.min(least, point[2]) end
    assert.is_true(#points <= 1700 and #svg < 40000, #points)
    assert.is_true(least < 60, "the peak is drawn")
  end)

  it("draws bars with intervals, and none for what is not there", function()
    local svg = report.bar({ names = { "known users", "new users" }, x_name = "NDCG", series = {
      { name = "model", values = { 0.2, 0.1 }, low = { 0.1, false }, high = { 0.3, false } },
      { name = "popularity", values = { 0.1, false } } } }):svg()
    assert_well_formed(svg)
    assert.truthy(svg:find("known users, model: 0.2 [0.1, 0.3]", 1, true))
    assert.equal(3, count(svg, 'class="whisker"'))
    local widths = {}
    for width in svg:gmatch '<rect x="[%d.]+" y="[%d.]+" width="([%d.]+)" height="13.00"' do
      widths[#widths + 1] = tonumber(width)
    end
    assert.equal(3, #widths)
    assert.is_true(math.abs(widths[1] - 2 * widths[2]) < 0.02 and math.abs(widths[2] - widths[3]) < 0.02)
  end)

  it("counts every value of a histogram once", function()
    local values = {}
    for i = 1, 1000 do values[i] = (i * 7919 % 1000) / 10 end
    local chart = report.histogram { values = values, bins = 10, from = 0, to = 100 }
    assert.same({ 100, 100, 100, 100, 100, 100, 100, 100, 100, 100 }, chart.facts.counts)
    chart = report.histogram { values = tensor.new({ 1, 1, 2, 5, 5, 5 }, "f32") }
    assert.same({ { 2, 1, 0, 0, 3 }, 0.5, 1 }, { chart.facts.counts, chart.facts.from, chart.facts.width })
    chart = report.histogram { values = { 1, 0 / 0, 3, 1000 }, from = 0, to = 10, bins = 2 }
    assert.same({ { 2, 0 }, "2 values not drawn" }, { chart.facts.counts, chart.note })
    assert.same(9, #report.histogram({ values = { 4.5, 4.5 } }).facts.counts)
    assert_well_formed(report.histogram({ values = {} }):svg())
    local two = report.histogram({ series = { { name = "a", values = { 1, 2 } }, { name = "b", values = { 2 } } } })
    assert.truthy(two:svg():find("a, 0.5 to 1.5: 50.0 % (1)", 1, true))
  end)

  it("draws each point of a cloud that is not too many", function()
    local x, y = {}, {}
    for i = 1, 9000 do x[i], y[i] = i, i * i end
    local svg = report.scatter({ x = x, y = y, name = "n" }):svg()
    assert.is_true(count(svg, "<circle") <= 4000)
    assert.truthy(svg:find("9,000 points, some of them drawn", 1, true))
    svg = report.scatter({ x = { 1, 2 }, y = { 3, 4 }, labels = { "first <i>", "b" } }):svg()
    assert.truthy(svg:find("series 1 (first &lt;i&gt;): x 1, y 3", 1, true))
  end)

  it("measures calibration: 10 bins of equal size, their distance from what happened", function()
    local predicted, outcome = {}, {}
    for i = 1, 1000 do
      predicted[i] = (i - 0.5) / 1000
      outcome[i] = i % 4 == 0 and 1 or 0
    end
    local chart = report.calibration { predicted = predicted, outcome = outcome, name = "model" }
    local facts = chart.facts
    assert.equal(10, #facts.bins)
    for b, bin in ipairs(facts.bins) do
      assert.is_true(math.abs(bin.predicted - (b - 0.5) / 10) < 1e-9)
      assert.equal(0.25, bin.observed)
    end
    assert.is_true(math.abs(facts.ece - 0.31) < 1e-9, facts.ece) -- (.2 + .1 + 0 + .1 + ... + .7) / 10
    local brier = 0
    for i = 1, 1000 do brier = brier + (predicted[i] - outcome[i]) ^ 2 / 1000 end
    assert.is_true(math.abs(facts.brier - brier) < 1e-9)
    -- Wilson's interval for 25 of 100: .1755 to .3430 (Wilson 1927; Newcombe 1998, doi:10.1002/sim.4780140802)
    assert.is_true(math.abs(facts.bins[1].low - 0.1755) < 5e-5 and math.abs(facts.bins[1].high - 0.3430) < 5e-5)
    assert_well_formed(chart:svg())
  end)

  it("draws recall at k of an evaluation, beside its best baseline", function()
    local svg = report.recall_at_k({ report = { k = { 50, 10 }, main = "model",
      metrics = { recall_10 = 0.2, recall_50 = 0.5 },
      intervals = { recall_10 = { 0.1, 0.3 }, recall_50 = { 0.4, 0.6 } },
      best_baseline = { name = "popularity" }, baselines = { popularity = { recall_10 = 0.1, recall_50 = 0.25 } },
      baselines_intervals = {} } }):svg()
    for _, word in ipairs { "model: k 10, recall at k 0.2", "popularity: k 50, recall at k 0.25", "<polygon" } do
      assert.truthy(svg:find(word, 1, true), word)
    end
  end)

  it("orders the long tail by rank", function()
    local counts = {}
    for i = 1, 1000 do counts[i] = 1001 - (i * 8 % 1001) end
    counts[1001] = 0
    local found = require("recsys.report.recommender").by_rank(counts)
    assert.same({ 1, 1000, 1 }, { found.rank[1], found.count[1], found.count[#found.count] })
    assert.equal(1000, found.rank[#found.rank])
    assert.is_true(#found.rank < 40)
    assert.truthy(report.long_tail({ counts = counts, name = "items" }):svg():find("items: rank, the busiest first 1, "
      .. "interactions 1,000", 1, true))
  end)

  it("draws qualities as directions, the rim their best", function()
    local chart = report.radar { title = "a", names = { "fast", "small", "right", "new" },
      series = { { name = "mf", values = { 1, 0.5, 0, false } } } }
    local svg = chart:svg { inside = true }
    local rings, corners = {}, {}
    for points in svg:gmatch '<polygon points="([^"]*)" class="web"' do rings[#rings + 1] = points end
    assert.equal(4, #rings)
    local shape = svg:match '<polygon points="([^"]*)" class="band c1"'
    for x, y in shape:gmatch "([%d.]+),([%d.]+)" do corners[#corners + 1] = { tonumber(x), tonumber(y) } end
    local rim = {}
    for x, y in rings[4]:gmatch "([%d.]+),([%d.]+)" do rim[#rim + 1] = { tonumber(x), tonumber(y) } end
    local middle = { rim[1][1], rim[2][2] }
    assert.same(rim[1], corners[1])                                       -- upwards, on the rim
    assert.is_true(math.abs(corners[2][1] - (middle[1] + rim[2][1]) / 2) < 0.11) -- to the right, half way
    assert.same(middle, corners[3])
    assert.same(middle, corners[4])                                       -- what there is none of is in the middle
    assert.truthy(svg:find("mf, small: 50.0 % of the best", 1, true))
    local said = report.radar { names = { "a", "b", "c" }, values = { 1, 0.5, 0 }, name = "mf",
      labels = { "1 s", "3 s", "9 s" } }
    assert.truthy(said:svg({ inside = true }):find("mf, b: 3 s<", 1, true))
    assert.has_error(function() report.radar { names = { "a", "b" }, values = { 1, 1 } } end,
      "bad argument #1 to 'radar' (names: a list of at least three is expected)")
  end)

  it("names points beside them, apart from one another and within the picture", function()
    local svg = report.scatter({ named = true, series = { { name = "families", x = { 1, 1, 2, 10 }, y = { 1, 1, 1, 5 },
      labels = { "one", "two", "three", "the right one" } } } }):svg { inside = true }
    local seen = {}
    for x, y, anchor, name in svg:gmatch '<text x="([%d.]+)" y="([%d.]+)" text%-anchor="(%w+)" class="name">([^<]*)<' do
      assert.equal("start", anchor)
      seen[name] = { tonumber(x), tonumber(y) }
    end
    assert.is_true(math.abs(seen.one[2] - seen.two[2]) >= 11)
    assert.is_true(seen["the right one"][1] + 6 * #"the right one" < 440)
    assert.truthy(seen.three)
  end)

  it("shows markup in words, everywhere, and gives none", function()
    local evil = '"><script>alert(1)</script>&\'\27[31m\u{202E}'
    local request = { title = evil, x_name = evil, y_name = evil, names = { evil }, marks = { { x = 1, name = evil } } }
    local function with(fields)
      return setmetatable(fields, { __index = request })
    end
    for _, chart in ipairs {
      report.line(with { series = { { name = evil, y = { 1, 2 } }, { name = evil .. evil, y = { 2 } } } }),
      report.scatter(with { named = true, series = { { name = evil, x = { 1 }, y = { 1 }, labels = { evil } } } }),
      report.radar { title = evil, names = { evil, evil, evil }, series = { { name = evil, values = { 1, 1, 1 } } } },
      report.bar(with { series = { { name = evil, values = { 1 } }, { name = evil, values = { 2 } } } }),
      report.histogram(with { series = { { name = evil, values = { 1, 2 } } } }),
      report.long_tail(with { series = { { name = evil, counts = { 1, 2 } } } }),
      report.calibration(with { series = { { name = evil, predicted = { 0.5 }, outcome = { 1 } } } }),
    } do
      local page = report.page({ title = evil, about = evil }):chart(chart, evil):render()
      for _, markup in ipairs { chart:svg(), page } do
        assert_well_formed(markup)
        for _, mark in ipairs { "<script", "<img", "\27", "\u{202E}", "http:", "https:", "url(" } do
          assert.is_nil(markup:gsub('xmlns="http://www.w3.org/2000/svg"', ""):find(mark, 1, true), mark)
        end
      end
    end
  end)

  it("follows the reader's theme alone, and the one it is told in a picture", function()
    local chart = report.line { y = { 1, 2 } }
    local auto, light, dark = chart:svg(), chart:svg { theme = "light" }, chart:svg { theme = "dark" }
    assert.matches("^<svg xmlns=", auto)
    assert.truthy(auto:find("prefers-color-scheme: dark", 1, true))
    for _, svg in ipairs { light, dark } do
      assert.is_nil(svg:find("var(", 1, true))
      assert.is_nil(svg:find("@media", 1, true))
    end
    assert.truthy(light:find("#2f6bd8", 1, true))
    assert.truthy(dark:find("#6ea3ff", 1, true))
    assert.is_nil(chart:svg({ inside = true }):find("<style", 1, true))
  end)

  it("refuses what it cannot draw, and says what and where", function()
    local here = "spec/report_spec.lua:%d+: "
    for _, case in ipairs {
      { report.line, { y = { 1 }, x = { 1, 2 } }, "bad argument #1 to 'line' %(x has 2 values, y 1%)" },
      { report.line, { series = { { y = { 1 } }, { y = { "a" } } } },
        "bad argument #1 to 'line' %(series 2: y: value 1 is a string%)" },
      { report.line, 7, "bad argument #1 to 'line' %(a table is expected%)" },
      { report.line, { series = {} }, "series: at least one is expected" },
      { report.line, {}, "y: a list of numbers or a tensor is expected" },
      { report.scatter, { y = tensor.zeros(2, 2) }, "'scatter' %(y: a tensor of one dimension is expected%)" },
      { report.bar, { values = { 1 } }, "names: a list of at least one is expected" },
      { report.bar, { names = { "a" }, values = { 1, 2 } }, "values has 2 values, names 1" },
      { report.histogram, { values = { 1 }, bins = 0 }, "bins: a whole number from 1 to 400 is expected" },
      { report.calibration, { predicted = { 1.5 }, outcome = { 1 } }, "predicted must be probabilities, 0 to 1" },
      { report.calibration, { predicted = { 0.5 }, outcome = { 2 } }, "outcome must be 0 or 1" },
      { report.calibration, { predicted = { 0.5 }, outcome = {} }, "predicted has 1 values, outcome 0" },
      { report.recall_at_k, {}, "report or series is expected" },
      { report.page, {}, "bad argument #1 to 'page' %(a table with a title is expected%)" },
    } do
      local draw, request, wanted = table.unpack(case)
      local ok, message = pcall(function()
        draw(request)
        return true
      end)
      assert.is_false(ok)
      assert.matches(wanted, message)
      assert.matches("^" .. here, message)
    end
  end)
end)

describe("a picture", function()
  local folder
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  --- Width, height of a PNG, from its header.
  local function size_of(png)
    assert.equal("\137PNG\r\n\26\n", png:sub(1, 8))
    return string.unpack(">I4I4", png, 17)
  end

  it("is written as SVG and as PNG, by its name", function()
    local chart = report.line { title = "Größe — 長い", y = { 1, 3, 2 } }
    assert.equal(folder .. "/a.svg", chart:save(folder .. "/a.svg"))
    assert_well_formed(command.read(folder .. "/a.svg"))
    chart:save(folder .. "/a.png")
    local width, height = size_of(command.read(folder .. "/a.png"))
    assert.same({ 880, 556 }, { width, height })
    chart:save(folder .. "/b.png", { scale = 1, theme = "dark" })
    assert.equal(440, (size_of(command.read(folder .. "/b.png"))))
    assert.not_equal(command.read(folder .. "/a.png"), command.read(folder .. "/b.png"))
    local ran = command.run("ls " .. folder)
    assert.equal("a.png\na.svg\nb.png\n", ran.out)
  end)

  it("refuses other names and sizes, and tells how to get PNG where nothing draws it", function()
    local chart = report.line { y = { 1 } }
    assert.has_error(function() chart:save "x.gif" end,
      "bad argument #1 to 'save' ('x.gif' ends neither in .svg nor in .png)")
    assert.has_error(function() chart:save(folder .. "/x.png", { scale = 0 }) end,
      "bad argument #2 to 'save' (scale must be above 0 and at most 16)")
    local ran = command.run(([[cd %s && cat >no_rsvg.lua <<'END'
local chart = require("recsys.report").line { y = { 1 } }
local ok, problem = pcall(chart.save, chart, "never.png")
print(ok, problem.code, problem.message)
END
PATH=/nonesuch %s lua no_rsvg.lua; ls]]):format(folder, command.program))
    assert.equal(0, ran.code, ran.err)
    assert.matches("^false\tio\tcannot draw never.png: PNG pictures are drawn by rsvg%-convert, of Debian's package "
      .. "librsvg2%-bin, which is not installed", ran.out)
    assert.is_nil(ran.out:find("never.png.", 1, true))
  end)
end)

describe("a page", function()
  it("holds what was added, in order, with its style inside", function()
    local chart = report.line { title = "Loss", y = { 1, 2 } }
    local html = report.page({ title = "A run" }):tiles({ { "0.1", "NDCG" } }):section("Curves"):chart(chart, "falls")
      :table({ { "", "a", "b" }, { "x", 1 } }, { title = "T" }):text("done & over"):code("a <b>\n  c"):render()
    assert_well_formed(html:gsub("<!doctype html>", ""))
    local last = 0
    for _, part in ipairs { "<h1>A run</h1>", "<b>0.1</b><span>NDCG</span>", "<h2>Curves</h2>", "<h3>Loss</h3>",
      "<figcaption>falls</figcaption>", "<h3>T</h3>", "<td>1</td><td></td>", "<p>done &amp; over</p>",
      "a &lt;b&gt;\n  c" } do
      local at = html:find(part, last, true)
      assert.truthy(at, part)
      last = at
    end
    assert.matches("default%-src 'none'", html)
    assert.equal(1, count(html, "<style>"))
  end)

  it("refuses parts that are none", function()
    local page = report.page { title = "t" }
    assert.has_error(function() page:chart "x" end, "bad argument #1 to 'chart' (a chart of recsys.report is expected)")
    assert.has_error(function() page:table { 1 } end,
      "bad argument #1 to 'table' (a list of rows, each a list, is expected)")
    assert.has_error(function() page:save "x.txt" end, "bad argument #1 to 'save' ('x.txt' does not end in .html)")
    assert.is_false(plot.is(page))
    assert.is_true(report.is_chart(report.line { y = { 1 } }))
  end)
end)
