--- Test results as JUnit XML, as Jenkins' `junit` step reads them: one <testsuite> a file, a <testcase> a test.

local files = require "recsys.files"

local junit = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;", ["\t"] = "&#9;",
  ["\r"] = "" }

--- A text for an attribute or an element. What XML cannot hold (control characters, bytes that are no UTF-8, U+FFFE and
--- U+FFFF) becomes a question mark.
local function escaped(text)
  text = tostring(text)
  local length, bad = utf8.len(text)
  while not length do
    text = text:sub(1, bad - 1) .. "?" .. text:sub(bad + 1)
    length, bad = utf8.len(text)
  end
  text = text:gsub("\xef\xbf[\xbe\xbf]", "?")
  return (text:gsub('[%c&<>"]', function(c) return entities[c] or "?" end))
end

local function put_problem(lines, tag, problem)
  local first = problem:match "[^\n]*"
  lines[#lines + 1] = ('      <%s message="%s">%s</%s>'):format(tag, escaped(first), escaped(problem), tag)
end

local function put_case(lines, case)
  local head = ('    <testcase classname="%s" name="%s" time="%.3f"'):format(escaped(case.class), escaped(case.name),
    case.seconds or 0)
  if not (case.failure or case.error or case.skipped) then
    lines[#lines + 1] = head .. "/>"
    return
  end
  lines[#lines + 1] = head .. ">"
  if case.failure then put_problem(lines, "failure", case.failure) end
  if case.error then put_problem(lines, "error", case.error) end
  if case.skipped then lines[#lines + 1] = ('      <skipped message="%s"/>'):format(escaped(case.skipped)) end
  lines[#lines + 1] = "    </testcase>"
end

--- A suite as XML.
---@param name string
---@param cases { class: string, name: string, seconds?: number, failure?: string, error?: string, skipped?: string }[]
---   failure, error, skipped: what went wrong, or why it was not run; none of them: passed
---@return string
function junit.encode(name, cases)
  local failures, errors, skipped, seconds = 0, 0, 0, 0
  local body = {}
  for _, case in ipairs(cases) do
    failures = failures + (case.failure and 1 or 0)
    errors = errors + (case.error and 1 or 0)
    skipped = skipped + (case.skipped and 1 or 0)
    seconds = seconds + (case.seconds or 0)
    put_case(body, case)
  end
  local counts = ('tests="%d" failures="%d" errors="%d" skipped="%d" time="%.3f"'):format(#cases, failures, errors,
    skipped, seconds)
  return ('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites %s>\n  <testsuite name="%s" %s>\n%s\n  </testsuite>\n'
    .. "</testsuites>\n"):format(counts, escaped(name), counts, table.concat(body, "\n"))
end

--- Write a suite into a file.
---@param path string
---@param name string
---@param cases table[]  see junit.encode
function junit.write(path, name, cases)
  files.write(path, junit.encode(name, cases), true)
end

return junit
