--- `recsys-run describe FILE...`: what files hold before anything is modelled on them.

local describe = require "recsys.describe"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local text = require "recsys.text"

local command = { about = "Show what data files hold, whether they join, and who interacts with what" }

--- "NAME=TYPE" as a pair.
local function a_type(word)
  local name, kind = word:match "^(.+)=([%w_]+)$"
  local known = { number = true, string = true, time = true, time_s = true, time_ms = true, list = true }
  if known[kind] then return { name, kind } end
  return nil, ("'%s' is no NAME=TYPE with a type of number, string, time, time_s, time_ms, list"):format(word)
end

local function some_names(word)
  local names = {}
  for name in (word .. ","):gmatch "([^,]*)," do names[#names + 1] = name end
  return names
end

local function a_page(word)
  if word:match "%.html?$" then return word end
  return nil, ("'%s' does not end in .html"):format(word)
end

function command.options(parser)
  parser:argument("FILE", "CSV, TSV or JSON Lines files, or folders of them"):args "+"
  parser:option("--html", "Also write a page with charts"):argname "FILE.html":convert(a_page)
  parser:flag("--json", "Put all facts on stdout as one JSON object")
  parser:option("--join", "Compare two columns as keys"):argname "FILE.COLUMN=FILE.COLUMN":count "*"
  parser:option("--user", "The column of users; guessed by its name otherwise"):argname "COLUMN"
  parser:option("--item", "The column of items"):argname "COLUMN"
  parser:option("--time", "The column of times"):argname "COLUMN"
  parser:option("--type", "How to read a column: number, string, time, time_s, time_ms, list"):argname "NAME=TYPE"
    :count "*":convert(a_type)
  parser:option("--null", "A word that means missing; default null, NULL and \\N"):argname "WORD":count "*"
  parser:option("--names", "Names of the columns of files without a header"):argname "A,B,...":convert(some_names)
  parser:option("--separator", "What separates fields; found from the file otherwise"):argname "TEXT"
  parser:option("--quarantine", "Keep malformed rows in this folder"):argname "DIR"
  parser:option("--memory", "Memory for columns, such as 256M; the rest lies in files"):argname "SIZE"
  parser:option("--threads", "Threads to compute with"):argname "N"
    :convert(require("recsys.argument").whole_number(1, 4096))
end

local function options_of(args)
  local types = {}
  for _, pair in ipairs(args.type) do types[pair[1]] = pair[2] end
  return { join = args.join, user = args.user, item = args.item, time = args.time, separator = args.separator,
    names = args.names, nulls = args.null, types = types, quarantine = args.quarantine }
end

local function write_page(path, facts)
  local folder = path:match "^(.+)/[^/]*$"
  if folder then files.make_folder(folder) end
  files.write(path, require("recsys.describe.page").render(facts))
  log.info("the page: %s", path)
end

local function limit_memory(size)
  if (text.bytes(size) or 0) <= 0 then exit.usage_error("--memory %s: a size such as 256M or 2G is expected", size) end
  require "recsys.memory_limit"(size)
end

--- Exit code 1 when a file cannot be read: the others are described all the same.
local function refused(facts)
  local any = false
  for _, file in ipairs(facts.files) do
    if file.refused then
      io.stderr:write("recsys-run: ", file.refused, "\n")
      any = true
    end
  end
  return any
end

function command.run(args)
  if args.threads then require("recsys.core").base.threads(args.threads) end
  if args.memory then limit_memory(args.memory) end
  local facts = describe.look(args.FILE, options_of(args))
  if args.json then
    print(json.encode(facts))
  else
    io.stdout:write(require("recsys.describe.terminal").render(facts))
  end
  if args.html then write_page(args.html, facts) end
  return refused(facts) and exit.failed or exit.done
end

return command
