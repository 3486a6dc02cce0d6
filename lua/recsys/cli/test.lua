--- `recsys-run test`: the C tests, the specs and luacheck, with one line of counts at the end.
---
--- From a source tree only. A sanitized build runs the specs itself, as a stock lua5.4 would need the sanitizer
--- preloaded; any other build runs them in lua5.4, through recsys/core.so.

local cjson = require "cjson.safe"
local exit = require "recsys.exit"
local host = require "recsys.host"
local lfs = require "lfs"

local test = { about = "Run all tests (from a source tree)" }

local suites = {}

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function write(format, ...)
  io.stdout:write(format:format(...), "\n")
  io.stdout:flush()
end

--- Run a shell command; its output (both streams) and whether it ended with 0. 'each' sees every line as it comes.
local function run(command, each)
  local pipe = assert(io.popen(("( %s ) 2>&1"):format(command)))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
    if each then each(line) end
  end
  local ok, kind, status = pipe:close()
  return lines, ok and true or false, kind == "signal" and "signal " .. status or "exit code " .. tostring(status)
end

local function counts()
  return { passed = 0, failed = 0, skipped = 0 }
end

local function add(sum, part)
  for key, value in pairs(part) do sum[key] = sum[key] + value end
end

--- What cmocka printed, as counts: "[       OK ] name", "[  SKIPPED ] name", "[  FAILED  ] 2 test(s)...".
local function count_cmocka(lines)
  local count = counts()
  for _, line in ipairs(lines) do
    if line:match "^%[       OK %]" then count.passed = count.passed + 1 end
    if line:match "^%[  SKIPPED %] %D" and not line:match "test%(s%)" then count.skipped = count.skipped + 1 end
    local failed = line:match "^%[  FAILED  %] (%d+) test%(s%)" or line:match "^%[  FAILED  %] .*: (%d+) test%(s%)"
    if failed then count.failed = math.max(count.failed, tonumber(failed)) end
  end
  return count
end

--- The C tests that CMake registered: { name, command }.
local function c_tests(build)
  local lines, ok = run(("ctest --test-dir %s --show-only=json-v1"):format(quoted(build)))
  local listed = ok and cjson.decode(table.concat(lines, "\n"))
  if not listed then error({ code = "failed", message = "ctest cannot list the tests of " .. build }, 0) end
  local tests = {}
  for _, entry in ipairs(listed.tests) do
    local command = {}
    for i, word in ipairs(entry.command or {}) do command[i] = quoted(word) end
    tests[#tests + 1] = { name = entry.name, command = table.concat(command, " ") }
  end
  return tests
end

local function run_c_test(one, build)
  local lines, ok, ending = run(("cd %s && timeout 600 %s"):format(quoted(build), one.command))
  local count = count_cmocka(lines)
  if not ok and count.failed == 0 then count.failed = 1 end
  if count.failed > 0 then write("  FAILED (%s):\n    %s", ending, table.concat(lines, "\n    ")) end
  for _, line in ipairs(lines) do
    if line:match "^%[  SKIPPED %] %D" and not line:match "test%(s%)" then write("  skipped %s", line:sub(14)) end
  end
  write("%-36s %4d passed%s", one.name, count.passed, count.failed > 0 and (", %d failed"):format(count.failed) or "")
  return count
end

function suites.c(context)
  local sum = counts()
  local tests = c_tests(context.build)
  if #tests == 0 then
    write "no C test was built: is libcmocka-dev there?"
    sum.failed = 1
  end
  for _, one in ipairs(tests) do add(sum, run_c_test(one, context.build)) end
  return sum
end

function suites.specs(context)
  local sanitized = require("recsys.core").doctor.build().sanitize ~= ""
  local lua = sanitized and quoted(host.executable) .. " lua" or "lua5.4"
  local command = ("cd %s && RECSYS_BUILD=%s %s \"$(command -v busted)\" --ignore-lua -o spec/support/report.lua%s %s")
    :format(quoted(host.root), quoted(context.build), lua,
      context.gc_stress and " --helper=spec/support/gc_stress.lua" or "", context.files)
  local count
  local _, ok, ending = run(command, function(line)
    local passed, failed, skipped = line:match "^(%d+) passed, (%d+) failed, (%d+) skipped$"
    if passed then
      count = { passed = tonumber(passed), failed = tonumber(failed), skipped = tonumber(skipped) }
    else
      write("%s", line)
    end
  end)
  if not count then
    write("  FAILED: busted ended without its counts (%s)", ending)
    return { passed = 0, failed = 1, skipped = 0 }
  end
  if not ok and count.failed == 0 then
    write("  FAILED: busted ended with %s", ending)
    count.failed = 1
  end
  return count
end

function suites.lint()
  local lines, ok = run(("cd %s && luacheck --quiet --no-color lua recipes models spec"):format(quoted(host.root)))
  if not ok then write("%s", table.concat(lines, "\n")) end
  write("%-36s %s", "luacheck", ok and "   1 passed" or "   0 passed, 1 failed")
  return { passed = ok and 1 or 0, failed = ok and 0 or 1, skipped = 0 }
end

local order = { "c", "specs", "lint" }
local titles = { c = "C tests", specs = "Specs", lint = "Lint" }

function test.options(parser)
  parser:argument("SUITE", "c, specs or lint (default: all)"):args "*":choices(order):target "suites"
  parser:option("--spec", "Run this spec file (several times: these)"):argname "FILE":count "*":target "files"
  parser:flag("--gc-stress", "Collect garbage at every turn while the specs run"):target "gc_stress"
end

--- The suites asked for, in their order.
local function chosen(args)
  if #args.files > 0 then return { "specs" } end
  if #args.suites == 0 then return order end
  return args.suites
end

function test.run(args)
  if not host.executable or lfs.attributes(host.root .. "/spec", "mode") ~= "directory" then
    exit.usage_error("the tests live in the source tree: run ./recsys-run test there")
  end
  local context = { build = host.executable:match "^(.*)/", gc_stress = args.gc_stress, files = "" }
  for _, file in ipairs(args.files) do context.files = context.files .. " " .. quoted(file) end
  local sum = counts()
  for _, suite in ipairs(chosen(args)) do
    write("\n%s", titles[suite])
    add(sum, suites[suite](context))
  end
  write("\n%d passed, %d failed%s", sum.passed, sum.failed,
    sum.skipped > 0 and (", %d skipped"):format(sum.skipped) or "")
  return sum.failed == 0 and exit.done or exit.failed
end

return test
