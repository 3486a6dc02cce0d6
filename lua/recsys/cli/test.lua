--- `recsys-run test`: the C tests, the specs and luacheck, with one line of counts at the end; with --junit FOLDER also
--- as JUnit XML, a file for each C test (c-NAME.xml), each spec file (spec-NAME.xml) and luacheck (lint.xml).
---
--- From a source tree only. A sanitized build runs the specs itself, as a stock lua5.4 would need the sanitizer
--- preloaded; any other build runs them in lua5.4, through recsys/core.so.

local argument = require "recsys.argument"
local cjson = require "cjson.safe"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local junit = require "recsys.junit"
local lfs = require "lfs"
local uv = require "luv"

local test = { about = "Run all tests (from a source tree)" }

local suites = {}

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function write(format, ...)
  io.stdout:write(format:format(...), "\n")
  io.stdout:flush()
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

--- Run shell commands, 'jobs' of them at once. As each ends: done(its index, lines of both streams, whether it ended
--- with 0, how it ended, seconds).
local function run_all(commands, jobs, done)
  local next_one = 1
  local start
  local function begin(i)
    local out, said, ended, began = uv.new_pipe(), {}, nil, uv.hrtime()
    local open = 2
    local function settle()
      open = open - 1
      if open > 0 then return end
      done(i, lines_of(table.concat(said)), ended.code == 0 and ended.signal == 0,
        ended.signal > 0 and "signal " .. ended.signal or "exit code " .. ended.code, (uv.hrtime() - began) / 1e9)
      start()
    end
    local process
    process = assert(uv.spawn("/bin/sh", { args = { "-c", ("( %s ) 2>&1"):format(commands[i]) }, stdio = { nil, out } },
      function(code, signal)
        ended = { code = code, signal = signal }
        process:close(settle)
      end))
    out:read_start(function(_, data)
      if data then said[#said + 1] = data else out:close(settle) end
    end)
  end
  function start()
    if next_one > #commands then return end
    next_one = next_one + 1
    begin(next_one - 1)
  end
  for _ = 1, jobs do start() end
  uv.run()
end

--- Run one shell command.
local function run(command)
  local result
  run_all({ command }, 1, function(_, ...) result = { ... } end)
  return table.unpack(result)
end

local function counts()
  return { passed = 0, failed = 0, skipped = 0 }
end

local function add(sum, part)
  for key, value in pairs(part) do sum[key] = sum[key] + value end
end

--- What cmocka printed, as counts: "[       OK ] name", "[  SKIPPED ] name", "[  FAILED  ] 2 test(s)...".
local function count_cmocka(lines)
  local count, seen = counts(), {}
  for _, line in ipairs(lines) do
    if line:match "^%[       OK %]" then count.passed = count.passed + 1 end
    local skipped = line:match "^%[  SKIPPED %] (%D.*)$"
    if skipped and not skipped:match "test%(s%)" and not seen[skipped] then -- a list at the end names it again
      count.skipped, seen[skipped] = count.skipped + 1, true
    end
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

--- Note in 'case' what a mark of cmocka's says of it; false for a mark that ends nothing.
local function outcome(case, mark, said)
  if mark == "SKIPPED" then case.skipped = "skipped" end
  if mark == "FAILED" then case.failure = table.concat(said, "\n") end
  return mark == "OK" or mark == "SKIPPED" or mark == "FAILED"
end

--- What cmocka printed, as cases of JUnit XML, which share the file's time. A test may run others in processes of its
--- own, whose lines stand within its own. One that began and has no outcome is where the process died.
local function cmocka_cases(name, lines, ok, ending, seconds)
  local cases, open, said = {}, {}, {}
  for _, line in ipairs(lines) do
    local mark, test_name = line:match "^%[ *(%u+) *%] ([%w_]+)$"
    local top = open[#open]
    if mark == "RUN" then
      open[#open + 1], said = { class = name, name = test_name }, {}
    elseif top and top.name == test_name and outcome(top, mark, said) then
      cases[#cases + 1] = table.remove(open)
    else
      said[#said + 1] = line
    end
  end
  for _, case in ipairs(open) do
    case.error = ("%s\n%s"):format(ending, table.concat(said, "\n"))
    cases[#cases + 1] = case
  end
  if #cases == 0 or not ok and #open == 0 and count_cmocka(lines).failed == 0 then
    cases[#cases + 1] = { class = name, name = "the whole", [ok and "skipped" or "error"] = ok and "no test was run"
      or ("%s\n%s"):format(ending, table.concat(lines, "\n")) }
  end
  for _, case in ipairs(cases) do case.seconds = seconds / #cases end
  return cases
end

--- Where results of this kind go as JUnit XML, nil where they do not.
local function junit_path(context, kind, name)
  return context.junit and ("%s/%s%s.xml"):format(context.junit, kind, name and "-" .. name:gsub("/", "-") or "") or nil
end

--- What a C test came to, told.
local function tell_c_test(name, lines, ok, ending)
  local count = count_cmocka(lines)
  if not ok and count.failed == 0 then count.failed = 1 end
  if count.failed > 0 then write("  FAILED (%s):\n    %s", ending, table.concat(lines, "\n    ")) end
  local told = {}
  for _, line in ipairs(lines) do
    local skipped = line:match "^%[  SKIPPED %] (%D.*)$"
    if skipped and not skipped:match "test%(s%)" and not told[skipped] then
      write("  skipped %s", skipped)
      told[skipped] = true
    end
  end
  write("%-36s %4d passed%s", name, count.passed, count.failed > 0 and (", %d failed"):format(count.failed) or "")
  return count
end

function suites.c(context)
  local sum = counts()
  local tests, commands = c_tests(context.build), {}
  if #tests == 0 then
    write "no C test was built: is libcmocka-dev there?"
    sum.failed = 1
  end
  for i, one in ipairs(tests) do
    commands[i] = ("cd %s && %s timeout 600 %s"):format(quoted(context.build), context.threads, one.command)
  end
  run_all(commands, context.jobs, function(i, ...)
    local name = tests[i].name
    if context.junit then junit.write(junit_path(context, "c", name), name, cmocka_cases(name, ...)) end
    add(sum, tell_c_test(name, ...))
  end)
  return sum
end

--- The spec files below spec/.
local function spec_files()
  local list = {}
  for name in lfs.dir(host.root .. "/spec") do
    if name:match "_spec%.lua$" then list[#list + 1] = "spec/" .. name end
  end
  table.sort(list)
  return list
end

--- What a spec file came to, told.
local function tell_spec(file, lines, ok, ending)
  local count
  for _, line in ipairs(lines) do
    local passed, failed, skipped = line:match "^(%d+) passed, (%d+) failed, (%d+) skipped$"
    if passed then
      count = { passed = tonumber(passed), failed = tonumber(failed), skipped = tonumber(skipped) }
    else
      write("%s", line)
    end
  end
  if not count then
    write("  FAILED: busted ended without its counts of %s (%s)", file, ending)
    return { passed = 0, failed = 1, skipped = 0 }
  end
  if not ok and count.failed == 0 then
    write("  FAILED: busted ended with %s after %s", ending, file)
    count.failed = 1
  end
  return count
end

--- See to it that a spec file's report is there, and tells of a failure where there was one: busted may have died.
local function complete_report(path, file, count, lines, ending)
  local xml = files.read(path)
  if xml and (count.failed == 0 or xml:find "<failure " or xml:find "<error ") then return end
  junit.write(path, file, { { class = file, name = "the whole file",
    error = ("%s\n%s"):format(ending, table.concat(lines, "\n")) } })
end

function suites.specs(context)
  local sanitized = require("recsys.core").doctor.build().sanitize ~= ""
  local lua = sanitized and quoted(host.executable) .. " lua" or "lua5.4"
  local busted = ("cd %s && RECSYS_BUILD=%s %s %s \"$(command -v busted)\" --ignore-lua -o spec/support/report.lua%s ")
    :format(quoted(host.root), quoted(context.build), context.threads, lua,
      context.gc_stress and " --helper=spec/support/gc_stress.lua" or "")
  local chosen, commands, reports = #context.files > 0 and context.files or spec_files(), {}, {}
  for i, file in ipairs(chosen) do
    reports[i] = junit_path(context, "spec", (file:gsub("^spec/", ""):gsub("%.lua$", "")))
    commands[i] = (reports[i] and "export RECSYS_JUNIT=" .. quoted(reports[i]) .. "; " or "unset RECSYS_JUNIT; ")
      .. busted .. quoted(file)
  end
  local sum = counts()
  run_all(commands, context.jobs, function(i, lines, ok, ending)
    local count = tell_spec(chosen[i], lines, ok, ending)
    add(sum, count)
    if reports[i] then complete_report(reports[i], chosen[i], count, lines, ending) end
  end)
  return sum
end

function suites.lint(context)
  local lint = "luacheck --quiet --no-color lua recipes models spec"
  local lines, ok, _, seconds = run(("cd %s && %s"):format(quoted(host.root), lint))
  if not ok then write("%s", table.concat(lines, "\n")) end
  if context.junit then
    junit.write(junit_path(context, "lint"), "luacheck", { { class = "lint", name = "luacheck", seconds = seconds,
      failure = not ok and table.concat(lines, "\n") or nil } })
  end
  write("%-36s %s", "luacheck", ok and "   1 passed" or "   0 passed, 1 failed")
  return { passed = ok and 1 or 0, failed = ok and 0 or 1, skipped = 0 }
end

local order = { "c", "specs", "lint" }
local titles = { c = "C tests", specs = "Specs", lint = "Lint" }

function test.options(parser)
  parser:argument("SUITE", "c, specs or lint (default: all)"):args "*":choices(order):target "suites"
  parser:option("--spec", "Run this spec file (several times: these)"):argname "FILE":count "*":target "files"
  parser:option("--jobs", "Test files at once, each with its share of the cores (default: a core each)"):argname "N"
    :convert(argument.whole_number(1))
  parser:option("--junit", "Also write the results as JUnit XML into this folder"):argname "FOLDER"
  parser:flag("--gc-stress", "Collect garbage at every turn while the specs run"):target "gc_stress"
end

--- The suites asked for, in their order.
local function chosen(args)
  if #args.files > 0 then return { "specs" } end
  if #args.suites == 0 then return order end
  return args.suites
end

--- The folder for JUnit XML, absolute and without an earlier run's results of these suites.
local function junit_folder(folder, names)
  if not folder then return nil end
  folder = uv.fs_realpath(files.make_folder(folder))
  local stale = { c = "^c%-.*%.xml$", specs = "^spec%-.*%.xml$", lint = "^lint%.xml$" }
  for _, suite in ipairs(names) do
    for _, name in ipairs(files.names(folder)) do
      if name:find(stale[suite]) then os.remove(folder .. "/" .. name) end
    end
  end
  return folder
end

function test.run(args)
  if not host.executable or lfs.attributes(host.root .. "/spec", "mode") ~= "directory" then
    exit.usage_error("the tests live in the source tree: run ./recsys-run test there")
  end
  local cores = uv.available_parallelism()
  local jobs = args.jobs or cores
  local context = { build = host.executable:match "^(.*)/", gc_stress = args.gc_stress, files = args.files, jobs = jobs,
    junit = junit_folder(args.junit, chosen(args)),
    threads = os.getenv "OMP_NUM_THREADS" and "" or ("OMP_NUM_THREADS=%d"):format(math.max(1, cores // jobs)) }
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
