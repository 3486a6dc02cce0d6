--- A headless Chromium that specs drive: its DevTools protocol over two pipes (JSON, messages ended by a zero byte), so
--- that nothing but the Debian package chromium is needed.

local json = require "cjson.safe"
local uv = require "luv"

local browser = {}

local Browser = {}
Browser.__index = Browser

local PATIENCE = 40000 -- ms

--- The program's path, nil where there is none.
function browser.program()
  for _, path in ipairs { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" } do
    if uv.fs_access(path, "X") then return path end
  end
end

local digits = {}
for i = 0, 63 do
  digits[("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):sub(i + 1, i + 1)] = i
end

--- The bytes of four digits of base64.
local function bytes_of(four)
  local bits = 0
  for digit in four:gmatch "." do bits = bits << 6 | (digits[digit] or 0) end
  return string.pack(">I3", bits):sub(1, 3 - select(2, four:gsub("=", "")))
end

local function temporary()
  return assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/recsys-browser-XXXXXX"))
end

--- Call step() until it gives something true, while the loop runs; raises after 'patience' ms.
local function await(what, step, patience)
  local until_ = uv.now() + (patience or PATIENCE)
  local timer = uv.new_timer()
  timer:start(20, 20, function() end)
  local found = step()
  while not found do
    if uv.now() > until_ then
      timer:close()
      error("the browser did not come to: " .. what, 0)
    end
    uv.run "once"
    found = step()
  end
  timer:close()
  return found
end

local function receive(self, data)
  self.buffer = self.buffer .. data
  while true do
    local stop = self.buffer:find("\0", 1, true)
    if not stop then return end
    local message = json.decode(self.buffer:sub(1, stop - 1))
    self.buffer = self.buffer:sub(stop + 1)
    if message.id then
      self.answers[message.id] = message
    elseif message.method == "Runtime.exceptionThrown" then
      local details = message.params.exceptionDetails
      table.insert(self.problems, details.exception and details.exception.description or details.text)
    elseif message.method == "Runtime.consoleAPICalled" and message.params.type == "error" then
      for _, argument in ipairs(message.params.args) do
        table.insert(self.problems, tostring(argument.description or argument.value))
      end
    elseif message.method == "Log.entryAdded" and message.params.entry.level == "error"
      and message.params.entry.source ~= "network" then
      table.insert(self.problems, message.params.entry.text)
    elseif message.method == "Page.javascriptDialogOpening" then
      table.insert(self.problems, "a script opened a dialog: " .. tostring(message.params.message))
    elseif message.method == "Network.requestWillBeSent" then
      table.insert(self.requests, message.params.request.url)
    end
  end
end

--- Send a command and give its result.
---@param method string
---@param params? table
---@return table
function Browser:call(method, params)
  self.last = self.last + 1
  local id = self.last
  self.input:write(json.encode { id = id, method = method, params = params, sessionId = self.session } .. "\0")
  local gone = { error = { message = "the browser has ended" } }
  local answer = await(method, function() return self.answers[id] or self.ended and gone end)
  self.answers[id] = nil
  if answer.error then error(("%s: %s"):format(method, answer.error.message), 2) end
  return answer.result
end

--- A browser with one empty page.
---@param options? { width?: integer, height?: integer, dark?: boolean, touch?: boolean }
function browser.open(options)
  options = options or {}
  local self = setmetatable({ buffer = "", answers = {}, problems = {}, requests = {}, last = 0 }, Browser)
  self.folder = temporary()
  self.input, self.output = uv.new_pipe(), uv.new_pipe()
  local arguments = { "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--user-data-dir=" .. self.folder, "about:blank" }
  local stdio = { nil, nil, nil, self.input, self.output }
  self.process = assert(uv.spawn(browser.program(), { args = arguments, stdio = stdio },
    function() self.ended = true end))
  self.output:read_start(function(_, data) if data then receive(self, data) end end)
  local target = self:call("Target.createTarget", { url = "about:blank" }).targetId
  self.session = self:call("Target.attachToTarget", { targetId = target, flatten = true }).sessionId
  for _, domain in ipairs { "Page", "Runtime", "Log", "Network" } do self:call(domain .. ".enable") end
  self:call("Browser.setDownloadBehavior", { behavior = "allow", downloadPath = self.folder })
  self:size(options.width or 1280, options.height or 900)
  if options.dark ~= nil then self:dark(options.dark) end
  return self
end

--- The size of the page in pixels.
function Browser:size(width, height)
  self:call("Emulation.setDeviceMetricsOverride", { width = width, height = height, deviceScaleFactor = 1,
    mobile = width < 600 })
end

--- Whether the person prefers dark colours, and things that do not move.
function Browser:dark(on, still)
  local scheme = { name = "prefers-color-scheme", value = on and "dark" or "light" }
  local motion = { name = "prefers-reduced-motion", value = still and "reduce" or "no-preference" }
  self:call("Emulation.setEmulatedMedia", { features = { scheme, motion } })
end

--- Drag the pointer from one place { x, y } to another.
function Browser:drag(from, to)
  local function mouse(type, x, y)
    self:call("Input.dispatchMouseEvent", { type = type, x = x, y = y, button = "left", buttons = 1, clickCount = 1 })
  end
  mouse("mousePressed", from[1], from[2])
  for i = 1, 4 do mouse("mouseMoved", from[1] + (to[1] - from[1]) * i / 4, from[2] + (to[2] - from[2]) * i / 4) end
  mouse("mouseReleased", to[1], to[2])
end

function Browser:go(url)
  self:call("Page.navigate", { url = url })
end

--- The value of an expression on the page, awaited where it is a promise.
function Browser:eval(expression)
  local result = self:call("Runtime.evaluate", { expression = expression, awaitPromise = true, returnByValue = true,
    userGesture = true })
  if result.exceptionDetails then
    local details = result.exceptionDetails
    error("on the page: " .. tostring(details.exception and details.exception.description or details.text), 2)
  end
  return result.result.value
end

--- Wait until an expression is true on the page; gives its value.
function Browser:wait(expression, patience)
  local deadline = uv.hrtime() + (patience or PATIENCE) * 1e6
  while true do
    local ok, value = pcall(self.eval, self, expression)
    if ok and value and value ~= json.null then return value end
    if uv.hrtime() > deadline then
      local body = self:eval "document.body ? document.body.innerText.slice(0, 800) : ''"
      error(("the page did not come to: %s\nit shows: %s\nproblems: %s"):format(expression, body,
        table.concat(self.problems, "\n")), 2)
    end
    uv.sleep(40)
  end
end

--- Click what a selector finds, or the button or link of that text: "text=Compare".
function Browser:click(selector)
  local text = selector:match "^text=(.+)$"
  local find = text and ("[...document.querySelectorAll('button, a, summary, label')].find(e => e.offsetParent && "
    .. "e.textContent.trim() === %s)") or "document.querySelector(%s)"
  find = find:format(json.encode(text or selector))
  self:wait(("(() => { const e = %s; if (!e) return false; e.click(); return true; })()"):format(find))
end

--- Type into what a selector finds, in place of what it holds; 'enter' presses Enter at the end.
function Browser:type(selector, text, enter)
  self:wait(("(() => { const e = document.querySelector(%s); e.focus(); e.select(); return true; })()")
    :format(json.encode(selector)))
  self:call("Input.insertText", { text = text })
  if enter then self:press "Enter" end
end

local codes = { Enter = 13, Escape = 27, Tab = 9, ArrowDown = 40, ArrowUp = 38, ArrowLeft = 37, ArrowRight = 39,
  Home = 36, End = 35 }

--- Press a key: "Enter", "Escape", "j".
function Browser:press(key)
  local event = { key = key, code = key, windowsVirtualKeyCode = codes[key] or key:upper():byte(),
    text = key == "Enter" and "\r" or #key == 1 and key or nil }
  event.type = "keyDown"
  self:call("Input.dispatchKeyEvent", event)
  event.type, event.text = "keyUp", nil
  self:call("Input.dispatchKeyEvent", event)
end

--- The page as PNG bytes.
function Browser:picture()
  local data = self:call("Page.captureScreenshot", { format = "png" }).data
  return (data:gsub("%s", ""):gsub("....", function(four) return bytes_of(four) end))
end

--- A file that the page has given to download, once it is whole: its text.
function Browser:downloaded(name)
  local path = self.folder .. "/" .. name
  await("a download of " .. name, function() -- its name is taken before its bytes are there
    local stat = uv.fs_stat(path)
    return stat and stat.size > 0
  end)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  os.remove(path)
  return text
end

function Browser:close()
  if not self.process then return end
  pcall(self.call, self, "Browser.close")
  pcall(await, "its end", function() return self.ended end, 5000)
  if not self.ended then self.process:kill "sigkill" end
  for _, handle in ipairs { self.input, self.output, self.process } do
    if not handle:is_closing() then handle:close() end
  end
  uv.run "nowait"
  self.process = nil
  os.execute(("rm -rf '%s'"):format(self.folder))
end
Browser.__close = Browser.close

return browser
