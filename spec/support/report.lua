--- Output of busted: a line for each spec file, each failure and skipped spec where it happens, the counts at the end;
--- and where RECSYS_JUNIT names a file, all of it as JUnit XML there.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local clock = require("luv").hrtime
  local file = {}

  local function write(format, ...)
    io.stdout:write(format:format(...), "\n")
    io.stdout:flush()
  end

  local function text_of(message)
    return type(message) == "string" and message or require("pl.pretty").write(message)
  end

  local function place(trace)
    return trace and trace.short_src and ("%s:%d: "):format(trace.short_src, trace.currentline) or ""
  end

  local function show_problem(element, _, message, debug)
    local problem = handler.format(element, nil, message, debug)
    write("  FAILED %s%s\n    %s", place(problem.trace), problem.name, text_of(message):gsub("\n", "\n    "))
    if options.verbose and debug and debug.traceback then write("    %s", debug.traceback:gsub("\n", "\n    ")) end
    return nil, true
  end

  local function on_file_start(element)
    file = { name = element.name, began = clock(), passed = handler.successesCount, skipped = handler.pendingsCount,
      failed = handler.failuresCount + handler.errorsCount }
    return nil, true
  end

  local function show_skipped(from)
    for i = from + 1, #handler.pendings do
      local pending = handler.pendings[i]
      local reason = pending.message and ": " .. text_of(pending.message):gsub("^%S+:%d+: ", "") or ""
      write("  skipped %s%s%s", place(pending.trace), pending.name, reason)
    end
  end

  local function on_file_end()
    show_skipped(file.skipped)
    local failed = handler.failuresCount + handler.errorsCount - file.failed
    write("%-36s %4d passed%s  %.1f s", file.name, handler.successesCount - file.passed,
      failed > 0 and (", %d failed"):format(failed) or "", (clock() - file.began) / 1e9)
    return nil, true
  end

  --- The outcomes as cases of JUnit XML; kind: "failure", "error", "skipped", nil for success.
  local function add_cases(cases, list, kind)
    for _, one in ipairs(list) do
      local message = one.message and text_of(one.message):gsub("^%S+:%d+: ", "") or ""
      cases[#cases + 1] = { class = (file.name or "spec"):gsub("^spec/", ""):gsub("%.lua$", ""):gsub("/", "."),
        name = one.name, seconds = one.element.duration }
      if kind == "skipped" then cases[#cases].skipped = message
      elseif kind then
        local said, at = text_of(one.message or ""), place(one.trace)
        cases[#cases][kind] = said:sub(1, #at) == at and said or at .. said
      end
    end
  end

  local function write_junit(path)
    local cases = {}
    add_cases(cases, handler.successes)
    add_cases(cases, handler.failures, "failure")
    add_cases(cases, handler.errors, "error")
    add_cases(cases, handler.pendings, "skipped")
    require("recsys.junit").write(path, file.name or "spec", cases)
  end

  local function on_suite_end()
    local path = os.getenv "RECSYS_JUNIT"
    if path and path ~= "" then write_junit(path) end
    write("%d passed, %d failed, %d skipped", handler.successesCount, handler.failuresCount + handler.errorsCount,
      handler.pendingsCount)
    return nil, true
  end

  busted.subscribe({ "file", "start" }, on_file_start)
  busted.subscribe({ "file", "end" }, on_file_end)
  busted.subscribe({ "failure" }, show_problem)
  busted.subscribe({ "error" }, show_problem)
  busted.subscribe({ "suite", "end" }, on_suite_end)
  return handler
end
