--- The part of Groovy that a declarative Jenkinsfile is written in, as a tree of statements.
---
--- A statement is { name, line, arguments, block?, value?, raw? }: `name(arguments) { block }`, `name arguments`, or
--- `name = value`. An argument is { key?, line, kind, value, text }, its kind one of "string" (value: the text;
--- inserts: whether Groovy puts values into it), "number", "constant", "list" (value: arguments),
--- "call" (value: a statement), or "expression", of which only the text is known. What stands in the braces of
--- `script` and `expression` is Groovy at large: it is kept as text (raw) and only its brackets are looked at.

local groovy = {}

local RAW = { script = true, expression = true }
local CONSTANTS = { ["true"] = true, ["false"] = true, null = true }

local function refuse(line, format, ...)
  error({ line = line, message = format:format(...) }, 0)
end

-- Tokens --------------------------------------------------------------------------------------------------------------

local escapes = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" }

--- What a quoted text says, its escapes undone.
local function unescaped(body, line)
  return (body:gsub("\\(.?)", function(c)
    if escapes[c] then return escapes[c] end
    if c == "\n" then return "" end
    if c == "" or c:match "[%w]" then refuse(line, "'\\%s' is no escape in a text: write \\\\ for a backslash", c) end
    return c
  end))
end

--- The end of a text that was opened by 'quote' before 'from': the position of its closing quote.
local function closing(source, from, quote, line)
  local at = from
  while true do
    local slash, close = source:find("\\", at, true), source:find(quote, at, true)
    local ends = #quote == 1 and source:find("\n", at, true)
    if not close or ends and ends < close and not (slash and slash == ends - 1) then
      refuse(line, "the text that begins with %s has no end", quote)
    end
    if not slash or slash > close then return close end
    at = slash + 2
  end
end

local function read_string(source, at, line)
  local quote = source:match("^'''", at) or source:match('^"""', at) or source:sub(at, at)
  local close = closing(source, at + #quote, quote, line)
  local body = source:sub(at + #quote, close - 1)
  return { kind = "string", text = source:sub(at, close + #quote - 1), value = unescaped(body, line),
    inserts = quote:sub(1, 1) == '"' and body:gsub("\\.", ""):find "%$[%a_{]" ~= nil }, close + #quote
end

--- The token at 'at', which is no blank, and where it ends.
local function read_token(source, at, line)
  local c = source:sub(at, at)
  if c == "'" or c == '"' then return read_string(source, at, line) end
  local word = source:match("^[%a_][%w_]*", at)
  if word then return { kind = "name", text = word }, at + #word end
  local number = source:match("^%d[%w_.]*", at)
  if number then return { kind = "number", text = number }, at + #number end
  return { kind = c == "\n" and "newline" or "sign", text = c }, at + 1
end

local function count_lines(text)
  return select(2, text:gsub("\n", ""))
end

--- All tokens of a source, each with its line and where it stands.
local function tokens_of(source)
  local tokens, at, line = {}, 1, 1
  while at <= #source do
    local blank = source:match("^[ \t\r]+", at) or source:match("^//[^\n]*", at) or source:match("^\\\n", at)
    local _, comment_end = source:find("^/%*.-%*/", at)
    if source:find("^/%*", at) and not comment_end then refuse(line, "the comment has no end") end
    local after = comment_end and comment_end + 1 or blank and at + #blank
    if not after then
      local token
      token, after = read_token(source, at, line)
      token.line, token.from, token.to = line, at, after - 1
      tokens[#tokens + 1] = token
    end
    line = line + count_lines(source:sub(at, after - 1))
    at = after
  end
  tokens[#tokens + 1] = { kind = "end", text = "the end of the file", line = line, from = #source + 1, to = #source }
  return tokens
end

-- Statements ----------------------------------------------------------------------------------------------------------

local Parser = {}
Parser.__index = Parser

function Parser:peek() return self.tokens[self.at] end

function Parser:is(text) return self:peek().text == text and self:peek().kind ~= "string" end

function Parser:next()
  local token = self:peek()
  self.at = self.at + 1
  return token
end

function Parser:skip_newlines()
  while self:peek().kind == "newline" or self:is ";" do self.at = self.at + 1 end
end

local opens, closes = { ["("] = ")", ["["] = "]", ["{"] = "}" }, { [")"] = true, ["]"] = true, ["}"] = true }

--- Pass over what stands in brackets, the opening one next; they must match.
function Parser:balanced()
  local open = self:next()
  while not self:is(opens[open.text]) do
    local token = self:peek()
    if token.kind == "end" or closes[token.text] and token.kind == "sign" then
      refuse(open.line, "'%s' is not closed: %s comes first, in line %d", open.text, token.text, token.line)
    end
    if opens[token.text] and token.kind == "sign" then self:balanced() else self.at = self.at + 1 end
  end
  return self:next()
end

--- Whether an argument ends here. Without brackets around the arguments a line's end does, too.
function Parser:at_end_of_argument(bare)
  local token = self:peek()
  if token.kind == "string" then return false end
  if token.kind == "end" or token.text == "," or closes[token.text] then return true end
  return bare and (token.kind == "newline" or token.text == ";" or token.text == "{")
end

--- The value that the tokens up to the argument's end are.
function Parser:value(bare)
  local first = self:peek()
  local value = { line = first.line, kind = first.kind }
  if self:is "[" then
    self.at = self.at + 1
    value.kind, value.value = "list", self:arguments "]"
  elseif first.kind == "string" then
    self.at = self.at + 1
    value.value, value.inserts = first.value, first.inserts
  elseif first.kind == "name" and self.tokens[self.at + 1].text == "(" then
    value.kind, value.value = "call", self:statement(true)
  else
    self.at = self.at + 1
    if first.kind == "name" then
      value.kind = CONSTANTS[first.text] and "constant" or "expression"
    elseif first.kind ~= "number" then
      refuse(first.line, "'%s' is no value", first.text)
    end
    value.value = first.text
  end
  local last = self.tokens[self.at - 1]
  while not self:at_end_of_argument(bare) do -- more of it: an expression
    value.kind = "expression"
    last = self:peek()
    if opens[last.text] and last.kind == "sign" then last = self:balanced() else self.at = self.at + 1 end
  end
  value.text = self.source:sub(first.from, last.to)
  return value
end

function Parser:argument(bare)
  local key = self:peek()
  if key.kind == "name" and self.tokens[self.at + 1].text == ":" and self.tokens[self.at + 1].kind == "sign" then
    self.at = self.at + 2
    local value = self:value(bare)
    value.key = key.text
    return value
  end
  return self:value(bare)
end

--- Arguments up to the closing bracket, or without 'close' to the end of the line.
function Parser:arguments(close)
  local list = {}
  if close then self:skip_newlines() end
  if close and self:is(close) then
    self.at = self.at + 1
    return list
  end
  while true do
    list[#list + 1] = self:argument(not close)
    if close then self:skip_newlines() end
    if not self:is "," then break end
    self.at = self.at + 1
    self:skip_newlines()
  end
  if close then
    if not self:is(close) then refuse(self:peek().line, "'%s' is expected, not '%s'", close, self:peek().text) end
    self.at = self.at + 1
  end
  return list
end

--- The statements between braces, the opening one next.
function Parser:block()
  local open, list = self:next(), {}
  self:skip_newlines()
  while not self:is "}" do
    if self:peek().kind == "end" then refuse(open.line, "'{' is not closed") end
    list[#list + 1] = self:statement()
    self:skip_newlines()
  end
  self.at = self.at + 1
  return list
end

function Parser:raw_block()
  local open = self:peek()
  local last = self:balanced()
  return self.source:sub(open.from + 1, last.from - 1)
end

--- A statement; 'call': it is part of a value, so nothing but brackets follows its name.
function Parser:statement(call)
  local name = self:next()
  if name.kind ~= "name" then refuse(name.line, "a name is expected, not '%s'", name.text) end
  local statement = { name = name.text, line = name.line, arguments = {} }
  if self:is "=" then
    self.at = self.at + 1
    statement.value = self:value(true)
    return statement
  end
  if self:is "(" then
    self.at = self.at + 1
    statement.arguments, statement.brackets = self:arguments ")", true
  elseif not (self:is "{" or self:at_end_of_argument(true)) then
    statement.arguments = self:arguments()
  end
  if call or not self:is "{" then return statement end
  if RAW[statement.name] then statement.raw = self:raw_block() else statement.block = self:block() end
  return statement
end

--- The statements of a source. Raises { line, message } for what is not of this form.
---@param source string
---@return table[]
function groovy.parse(source)
  local parser = setmetatable({ source = source, tokens = tokens_of(source), at = 1 }, Parser)
  local list = {}
  parser:skip_newlines()
  while parser:peek().kind ~= "end" do
    list[#list + 1] = parser:statement()
    parser:skip_newlines()
  end
  return list
end

return groovy
