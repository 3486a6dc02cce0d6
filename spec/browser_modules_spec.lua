--- The page of a server with a token in a real browser, and what its modules compute.

local command = require "spec.support.command"
local json = require "recsys.json"
local page = require "spec.support.page"
local track = require "recsys.track"

local open, count = page.open, page.count
local view

describe("the page of a server with a token", function()
  setup(function()
    page.folder = command.temporary()
    track.open(page.folder .. "/artifacts"):ensure_experiment "guarded"
    page.serve "open sesame"
    view = page.look()
  end)
  teardown(page.stop)

  it("asks for it until it is right, once for many calls, and keeps it for the tab", function()
    open("#/runs?e=0", count "dialog[open] input" .. " == 1")
    view:type("dialog input", "wrong", true)
    view:wait(count "dialog[open] input" .. " == 1 && document.querySelector('dialog input').value == ''")
    view:type("dialog input", "open sesame", true)
    view:wait "document.querySelector('h1')?.innerText == 'Default'"
    assert.equal(0, view:eval(count "dialog"))
    open("", "document.querySelector('tbody')?.innerText.includes('guarded')")
  end)

  it("takes it from the address, and out of that", function()
    view:eval "sessionStorage.clear()"
    open("?token=open%20sesame", "document.querySelector('tbody')?.innerText.includes('guarded')")
    assert.is_nil(view:eval "location.href":find "sesame")
  end)
end)

local of = page.of

describe("what the page computes", function()
  setup(function()
    page.serve()
    view = page.look()
    open("", "document.querySelector('main h1')")
  end)
  teardown(page.stop)

  it("smooths without the bias of the start, subtracts, and cuts outliers", function()
    assert.equal("[1,1,1]", of("series", "m.smooth([1, 2, 3].map(x => ({ x, y: 1 })), 0.9).map(p => p.y)"))
    assert.equal("[0,1.5,null,2.14]", of("series",
      "m.smooth([0, 2.25, NaN, 2.625].map((y, x) => ({ x, y })), 0.5).map(p => p.y && Math.round(p.y * 100) / 100)"))
    assert.equal('[{"x":1,"y":-1}]', of("series",
      "m.minus([{ x: 1, y: 2 }, { x: 9, y: 2 }], [{ x: 0, y: 2 }, { x: 2, y: 4 }])"))
    assert.equal('[[0,0,0,0],[1,2,1,3],[2,2,2,2]]', of("series", "m.pooled([[{ x: 0, y: 0 }, { x: 2, y: 2 }], "
      .. "[{ x: 1, y: 3 }]]).map(p => [p.x, p.y, p.low, p.high])"))
    assert.equal('[{"x":1,"y":1.5}]', of("series", "m.along([[5, 0, 1.5], [9, 0, 7]], 'metric.loss', "
      .. "[[4, 0, 0], [6, 0, 2]])"))
    assert.equal('[["1","2"],["10"]]', of("sets",
      "m.grouped([{ x: '2' }, { x: '10' }, { x: '1' }, {}]).map(g => g.name).reduce((a, x) => "
      .. "(x.length > 1 ? a[1].push(x) : a[0].push(x), a), [[], []])"))
    assert.equal("6", of("sets", "m.grouped(Array.from({ length: 40 }, (_, i) => ({ x: i / 7 }))).length"))
    assert.equal('{"low":1,"q1":2,"median":3,"q3":4,"high":5}', of("boxes", "m.summary([5, 1, 4, 2, 3])"))
    assert.equal("4", of("boxes", "m.summary([1, 2, 3, 4, 90]).high"))
    assert.equal('[["c","a","b"],["c"],[]]', of("sorting",
      "[m.arranged(['a', 'b', 'c'], ['c']), m.shortest(['a', 'b', 'c'], ['c', 'a', 'b']), m.shortest(['a'], ['a'])]"))
    assert.is_true(of("series", "m.inner([[...Array(99).keys(), 1e9].map(y => ({ x: y, y }))])[1] < 110") == "true")
    assert.equal("[1,-1]", of("series",
      "[m.rankCorrelation([1, 2, 3], [4, 5, 9]), m.rankCorrelation([1, 2, 3], [3, 2, 1])]"))
  end)

  it("completes filters", function()
    local keys = "{ metrics: ['valid/loss', 'loss'], params: ['dim'], tags: ['team'] }"
    local function complete(typed)
      return of("grammar", ("m.complete(%s, %d, %s).words.slice(0, 3)"):format(json.encode(typed), #typed, keys))
    end
    assert.equal('["metrics.`valid/loss`","metrics.loss"]', complete "loss")
    assert.equal('[">",">=","<"]', complete "metrics.loss ")
    assert.equal('["AND"]', complete "metrics.`valid/loss` < 0.5 ")
    assert.equal('["params.dim"]', complete "metrics.`valid/loss` < 0.5 AND di")
    assert.equal("[\"'RUNNING'\",\"'FINISHED'\",\"'FAILED'\"]", complete "attributes.status = ")
  end)

  it("lays steps out by when they began, side by side, running ones until now", function()
    local list = [[ [{ name: 'a', state: 'done', started: 1000, seconds: 2 }, { name: 'b', state: 'done', started: 2000,
      seconds: 5, after: ['a'] }, { name: 'c', state: 'running', started: 4000 }, { name: 'd', state: 'planned' }, 7,
      { name: 'e', state: 'skipped' }] ]]
    local shape = ".map(s => [s.name, s.state, s.start, s.seconds])"
    assert.equal('[["a","done",0,2],["b","done",1,5],["c","running",3,6],["d","planned",9,0],["e","skipped",9,0]]',
      of("steps", ("m.timeline(%s, { now: 10000, running: true })%s"):format(list, shape)))
    assert.equal('["c","killed",3,6]', of("steps", ("m.timeline(%s, { now: 10000 })%s[2]"):format(list, shape)))
    assert.equal('[["a","done",0,2],["b","done",2,1]]', of("steps",
      "m.timeline([{ name: 'a', state: 'done', seconds: 2 }, { name: 'b', state: 'done', seconds: 1 }])" .. shape))
    assert.equal("[null,[0,5,10],[0,0.1,0.2,0.3]]", of("steps",
      "[m.timeline({}), m.marks(14), m.marks(0.35).map(x => Math.round(x * 10) / 10)]"))
  end)

  it("reads CSV and tar", function()
    assert.equal('[["a","b"],["1","x\\"y, z\\nw"],["","2"]]', of("artifacts", [[m.csv('a,b\r\n1,"x""y, z\nw"\n,2')]]))
    command.write(page.folder .. "/one.txt", "hello")
    command.run(("cd %s && tar cf artifacts/t.tar one.txt"):format(page.folder))
    local bytes = { command.read(page.folder .. "/artifacts/t.tar"):byte(1, -1) }
    assert.equal('[["one.txt",5]]', of("artifacts", ("m.members(new Uint8Array(%s).buffer).map(f => [f.name, f.size])")
      :format(json.encode(bytes))))
  end)
end)
