--- The server's page in a browser: a person tries users, rules, a session, and clicks.

local browser = require "spec.support.browser"
local json = require "recsys.json"
local serving = require "spec.support.serving"

local view

local function text(selector)
  return view:eval(("document.querySelector(%s)?.innerText"):format(json.encode(selector)))
end

--- The ids that are listed, in their order.
local function listed()
  return json.decode(view:eval "JSON.stringify([...document.querySelectorAll('#found .item')].map(e => e.dataset.id))")
end

local function wait_for(script) return view:wait(script) end

--- Wait until the list is another than 'before'; gives it.
local function changed(before)
  local old = json.encode(json.list(before))
  wait_for(("JSON.stringify([...document.querySelectorAll('#found .item')].map(e => e.dataset.id)) !== %s")
    :format(json.encode(old)))
  return listed()
end

local function set(selector, value, event)
  wait_for(("(() => { const e = document.querySelector(%s); if (!e) return false; e.value = %s; "
    .. "e.dispatchEvent(new Event('%s', { bubbles: true })); return true; })()")
    :format(json.encode(selector), json.encode(value), event or "change"))
end

--- Open the page as an address has it.
local function open(hash)
  view:go "about:blank"
  view:go(serving.opened:url() .. "/#" .. hash)
  wait_for "document.querySelectorAll('#found .item').length > 0"
end

describe("the server's page", function()
  setup(function()
    assert(browser.program(), "this spec needs the Debian package chromium")
    serving.start()
    serving.open { events = serving.folder .. "/online.db" }
    view = browser.open {}
  end)
  teardown(function()
    view:close()
    serving.stop()
  end)
  after_each(function()
    local problems = view.problems
    view.problems = {}
    assert.same({}, problems)
  end)

  it("begins with somebody whom the model knows, and says by what and how fast it answered", function()
    view:go(serving.opened:url() .. "/")
    wait_for "document.querySelectorAll('#found .item').length > 0"
    assert.equal("tiny-1", text "#bar .chip")
    assert.matches("%d ms, %d+ ms here", text "#bar .facts")
    assert.matches("6 users, 12 items", text "#bar .facts")
    assert.matches("^For u", text "#found h1")
    assert.equal(6, view:eval "document.querySelectorAll('#offers button').length")
  end)

  it("lists what the server recommends, with titles, scores and why, beside the history", function()
    open "who=user&user=u1&k=5"
    local answer = serving.call("POST", "/recommend", { user = "u1", k = 5 })
    local ids = {}
    for i, item in ipairs(answer.items) do ids[i] = item.id end
    assert.same(ids, listed())
    local first = text "#found .item"
    assert.truthy(first:find(answer.items[1].title or answer.items[1].id, 1, true))
    assert.truthy(first:find(("%.4f"):format(answer.items[1].score), 1, true))
    assert.matches("model", first)
    assert.matches("Left out: 3 seen", text "#found")
    assert.matches("^History%s?3%s", text "#past")
    assert.truthy(text("#past"):find("Title 3, \"quoted\"", 1, true))
  end)

  it("posts a click, after which the list and the history are others", function()
    open "who=user&user=u2&k=6"
    local before = listed()
    view:click("#found .item button[data-act=read]")
    local after = changed(before)
    for _, id in ipairs(after) do assert.not_equal(before[1], id) end
    wait_for "document.querySelector('#past h2 small').innerText === '3'"
    assert.is_true(view:eval "document.querySelectorAll('#found .moved').length" > 0)
    assert.equal(3, serving.call("GET", "/users/u2").events)
  end)

  it("keeps to filters and numbers that are set", function()
    open "who=user&user=u6&k=10"
    local before = listed()
    view:click "#filter"
    set(".condition select", "kind")
    set(".condition input", "sport")
    local sport = changed(before)
    table.sort(sport)
    assert.same({ "i12", "i3", "i6", "i9" }, sport)
    assert.matches("4 of 10", text "#found")
    set("#k", "2")
    wait_for "document.querySelectorAll('#found .item').length === 2"
    view:click ".condition button"
    wait_for "document.querySelectorAll('.condition').length === 0"
    set("#diversity", "0.7", "input")
    wait_for "document.querySelector('output').value === '0.70'"
    wait_for "document.querySelectorAll('#found .item').length === 2"
  end)

  it("finds users by their ids", function()
    open "who=user&user=u1&k=5"
    view:type("#user", "5")
    wait_for "document.querySelectorAll('#offers button').length === 1"
    view:click "#offers button"
    wait_for [[document.querySelector('#found h1').innerText === 'For u"5']]
  end)

  it("scores somebody new by the fields that are given, and knows him once he has read", function()
    open "who=user&user=u1&k=5"
    view:click "text=Somebody new"
    wait_for "document.querySelector('#found h1').innerText === 'For somebody new'"
    local before = listed()
    set("input[name=platform]", "ios", "input")
    local after = changed(before)
    assert.equal(5, #after)
    view:click("#found .item button[data-act=read]")
    wait_for "document.querySelector('#found h1').innerText.startsWith('For visitor-')"
    wait_for "document.querySelector('#past')?.innerText.includes('Training did not know this user.')"
  end)

  it("recommends for a session that is read together", function()
    open "who=session&k=5"
    view:click("#found .item button[data-act=read]")
    wait_for "document.querySelectorAll('#who .pills li').length === 1"
    local before = listed()
    view:click("#found .item button[data-act=read]")
    changed(before)
    wait_for "document.querySelectorAll('#who .pills li').length === 2"
    view:click "#who .pills button"
    wait_for "document.querySelectorAll('#who .pills li').length === 1"
  end)

  it("shows what is like an item", function()
    open "who=user&user=u1&k=5"
    local first = listed()[1]
    view:click("#found .item button[data-act=similar]")
    wait_for "document.querySelectorAll('dialog .item').length > 0"
    local like = json.decode(view:eval
      "JSON.stringify([...document.querySelectorAll('dialog .item')].map(e => e.dataset.id))")
    for _, id in ipairs(like) do assert.not_equal(first, id) end
    view:click "text=Close"
    wait_for "document.querySelector('dialog') === null"
  end)

  it("fits small screens, in light and dark, and asks nobody else", function()
    for _, dark in ipairs { false, true } do
      view:dark(dark)
      for _, width in ipairs { 400, 800, 1280 } do
        view:size(width, 900)
        open "who=user&user=u1&k=5"
        local room = json.decode(view:eval "JSON.stringify([document.documentElement.scrollWidth, innerWidth])")
        assert.is_true(room[1] <= room[2], ("%d wide: %d"):format(width, room[1]))
      end
    end
    view:size(1280, 900)
    for _, url in ipairs(view.requests) do
      assert.truthy(url:find(serving.opened:url(), 1, true) == 1 or url == "about:blank", url)
    end
  end)

  it("is back at the user of before when somebody new was looked at", function()
    open "who=user&user=u3&k=5"
    local before = listed()
    for _, other in ipairs { "Somebody new", "A session" } do
      view:click("text=" .. other)
      wait_for "!document.querySelector('#found h1').innerText.startsWith('For u')"
      view:click "text=A user"
      wait_for "document.querySelector('#found h1').innerText === 'For u3'"
      assert.equal("u3", view:eval "document.querySelector('#user').value")
      assert.same(before, listed())
    end
    open "who=new&k=5"
    view:click "text=A user"
    wait_for "document.querySelector('#found h1').innerText.startsWith('For u')"
  end)

  it("lets the list stand when a click fails, and says why beside the item", function()
    open "who=user&user=u4&k=5"
    local before = listed()
    view:eval [[window.asked = fetch, window.fetch = (path, given) => path === "events" ? Promise.resolve(new Response(
      '{"error":{"code":"busy","message":"nothing was kept"}}', { status: 503 })) : asked(path, given), 0]]
    view:click("#found .item button[data-act=read]")
    wait_for "document.querySelector('#found .item .complaint')?.innerText === 'nothing was kept'"
    assert.same(before, listed())
    view:eval "window.fetch = asked, 0"
    view:click("#found .item button[data-act=read]")
    changed(before)
    assert.is_true(view:eval "document.querySelector('#found .complaint') === null")
  end)

  it("cuts nothing in its header, however narrow it is and long the version's name", function()
    for _, width in ipairs { 320, 400, 600, 800 } do
      view:size(width, 900)
      open "who=user&user=u1&k=5"
      view:eval "document.querySelector('#bar .chip').textContent = 'two_tower-12', 0"
      local cut = view:eval [[[...document.querySelectorAll("#bar, #bar .facts, #bar span, #bar a")].filter((e) => {
        const box = e.getBoundingClientRect(), within = e.parentElement.getBoundingClientRect();
        return box.width && (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
          || box.right > within.right + 1);
      }).map((e) => e.className || e.tagName).join()]]
      assert.equal("", cut, width)
    end
    view:size(1280, 900)
  end)

  it("tells what the server refuses", function()
    open "who=user&user=u1&k=5"
    view:click "#filter"
    set(".condition select", "created")
    set(".condition input", "never")
    wait_for "document.querySelector('#found .complaint')"
    assert.is_true(#text "#found .complaint" > 10)
    view:click "text=Try again"
    wait_for "document.querySelector('#found .complaint')"
    view:click ".condition button"
    wait_for "document.querySelectorAll('#found .item').length === 5"
  end)
end)

describe("the page of a server with tokens", function()
  setup(function()
    serving.start()
    serving.open { events = serving.folder .. "/online.db",
      token_text = "ann use,write a-token-of-many-letters\nbob use another-token-of-letters" }
    view = browser.open {}
  end)
  teardown(function()
    view:close()
    serving.stop()
  end)

  it("asks for one, and keeps it while the tab is open", function()
    view:go(serving.opened:url() .. "/")
    wait_for "document.querySelector('#found input[type=password]')"
    assert.matches("This server asks for a token", text "#found")
    view:type("#found input[type=password]", "a-wrong-token-of-letters", true)
    wait_for "document.querySelector('#found input[type=password]')?.value === ''"
    view:type("#found input[type=password]", "a-token-of-many-letters", true)
    wait_for "document.querySelectorAll('#found .item').length > 0"
    view:go(serving.opened:url() .. "/#who=user&user=u1&k=3")
    wait_for "document.querySelector('#found h1')?.innerText === 'For u1'"
    view:click("#found .item button[data-act=read]")
    wait_for "document.querySelector('#past h2 small').innerText === '4'"
    assert.same({}, view.problems)
  end)

  it("shows what a token may see that only asks", function()
    view:eval "sessionStorage.clear(), 0"
    view:go "about:blank"
    view:go(serving.opened:url() .. "/")
    wait_for "document.querySelector('#found input[type=password]')"
    view:type("#found input[type=password]", "another-token-of-letters", true)
    wait_for "document.querySelector('#offers')?.innerText.includes('may not list users')"
    assert.matches("Type a user's id", text "#found")
    view:type("#user", "u2", true)
    wait_for "document.querySelector('#found h1')?.innerText === 'For u2'"
    assert.is_true(#listed() > 0)
    assert.matches("may not see histories", text "#past")
    assert.equal(0, view:eval "document.querySelectorAll('#found button[data-act=read]').length")
    assert.is_true(view:eval "document.querySelectorAll('#found button[data-act=similar]').length" > 0)
    view:click "text=A session"
    wait_for "document.querySelectorAll('#found button[data-act=read]').length > 0"
    view:click("#found .item button[data-act=read]")
    wait_for "document.querySelectorAll('#who .pills li').length === 1"
  end)
end)
