--- `recsys-run schedule RECIPE --cron '0 2 * * *'`: run a recipe at certain times, for those without Jenkins.
--- recsys.flow.clockwork does it.

local cli = require "recsys.cli"
local clockwork = require "recsys.flow.clockwork"
local cron = require "recsys.cron"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local json = require "recsys.json"
local scheduled = require "recsys.flow.scheduled"
local state = require "recsys.flow.state"
local text = require "recsys.text"
local uv = require "luv"

local schedule = { about = "Run a recipe at certain times" }

function schedule.options(parser)
  parser:argument("RECIPE", "The recipe: a .lua file, or a name in recipes/"):args "?"
  parser:argument("OPTIONS", "What the recipe is run with, after --"):args "*"
  parser:option("--cron", "When: minute, hour, day of the month, month, day of the week, or @daily and the like")
    :argname "TIMES"
  parser:option("--timezone", "Whose clock (default: this machine's)"):argname "ZONE"
  parser:option("--missed", "What becomes of times that passed meanwhile"):choices { "run", "skip" }:default "skip"
  parser:option("--name", "The schedule's name (default: the recipe's file)"):argname "NAME"
  parser:option("--grace", "Seconds that a run gets to end when the schedule is stopped")
    :argname "SECONDS":convert(require("recsys.argument").whole_number(0)):default "120"
  parser:option("--store", "The folder of flow.db"):argname "FOLDER":default "artifacts"
  parser:flag("--plan", "Show the next times and end")
  parser:flag("--list", "Show the schedules that there are, what they are at and how they ended last, and end")
  parser:flag("--json", "Put the list on stdout as one JSON object")
end

local function show_plan(spec, now)
  local moment = now
  for _ = 1, 5 do
    moment = cron.next(spec, moment)
    if not moment then break end
    io.stdout:write(("%s   %s\n"):format(clockwork.shown(moment), os.date("!%Y-%m-%dT%H:%MZ", moment)))
  end
  return exit.done
end

local function list_all(args)
  local rows, lines = json.list {}, { { "schedule", "state", "times", "next", "last due", "exit code", "recipe" } }
  if files.exists(args.store .. "/flow.db") then
    local db <close> = state.open(args.store)
    for _, row in ipairs(scheduled.list(db)) do
      rows[#rows + 1] = row
      lines[#lines + 1] = { row.name, row.state, row.cron .. (row.zone and " " .. row.zone or ""),
        row.next and os.date("!%Y-%m-%dT%H:%MZ", row.next) or "-",
        row.due and os.date("!%Y-%m-%dT%H:%MZ", row.due) or "-", row.code and tostring(row.code) or "-", row.recipe }
    end
  end
  io.stdout:write(args.json and json.encode { schedules = rows } or text.columns(lines), "\n")
  return exit.done
end

--- Refuse what the recipe would refuse each time: it is asked for its configuration, and says why itself.
---@param words string[]  --show-config, the recipe and its options
local function check_words(words)
  local code
  local child, refused = uv.spawn(host.executable, { args = words, stdio = { nil, nil, 2 } },
    function(ended, signal) code = signal > 0 and 128 + signal or ended end)
  if not child then error({ code = "io", message = "cannot ask the recipe: " .. tostring(refused) }, 0) end
  while not code do uv.run "once" end
  child:close()
  uv.run "nowait"
  if code ~= 0 then exit.usage_error("the recipe cannot be run so: recsys-run %s", table.concat(words, " ", 2)) end
end

--- What the command line says, checked.
local function read(args)
  if not args.RECIPE then exit.usage_error "which recipe? RECIPE, or --list for the schedules that there are" end
  if not args.cron then exit.usage_error "when? --cron '0 2 * * *' is each night at two" end
  local spec, message = cron.parse(args.cron)
  if not spec then exit.usage_error("--cron: %s", message) end
  if args.timezone then
    local ok, unknown = cron.zone(args.timezone)
    if not ok then exit.usage_error("--timezone: %s", unknown) end
  end
  if not cron.next(spec, os.time()) then exit.usage_error("--cron: '%s' never comes", args.cron) end
  local recipe = cli.find_recipe(args.RECIPE)
  local name = args.name or recipe:match "([^/]+)%.lua$" or recipe
  if not name:find "^[%w_][%w_%-]*$" then
    exit.usage_error("--name: '%s' must be of letters, digits, _ and -", name)
  end
  local words = { recipe, table.unpack(args.OPTIONS) }
  if host.executable then check_words { "--show-config", table.unpack(words) } end
  return { spec = spec, zone = args.timezone, name = name, missed = args.missed, grace = args.grace, words = words }
end

function schedule.run(args)
  if args.list then return list_all(args) end
  local own_zone = os.getenv "TZ"
  local self = read(args)
  self.own_zone = own_zone
  if args.plan then return show_plan(self.spec, os.time()) end
  return clockwork.run(self, args.store)
end

return schedule
