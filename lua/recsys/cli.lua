--- The command line: `recsys-run RECIPE [options]`, or `recsys-run COMMAND ...` with a file in cli/ for each command.
---
--- A command's module is { about = sentence, options = function(parser), run = function(args) -> exit code }, where the
--- parser is lua-argparse's; `raw = true` instead of `options` hands the arguments over as they are.

local argument = require("recsys.lazy") "recsys.argument"
local exit = require "recsys.exit"
local host = require "recsys.host"
local lfs = require "lfs"

local cli = {}

local function lua_files(folder)
  local names = {}
  if lfs.attributes(folder, "mode") ~= "directory" then return names end
  for file in lfs.dir(folder) do names[#names + 1] = file:match "^([%w_%-]+)%.lua$" end
  table.sort(names)
  return names
end

--- Names of the commands, sorted.
---@return string[]
function cli.commands()
  return lua_files(host.root .. "/lua/recsys/cli")
end

--- Names of the recipes at hand, in ./recipes and in the library's own, sorted and distinct.
---@return string[]
function cli.recipes()
  local names, seen = {}, {}
  for _, folder in ipairs { "recipes", host.root .. "/recipes" } do
    for _, name in ipairs(lua_files(folder)) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

--- "; did you mean 'x'?" when one of the candidates is near, else "".
local function suggestion(word, candidates)
  local near = require("recsys.text").nearest(word, candidates)
  return near and ("; did you mean '%s'?"):format(near) or ""
end

local function is_file(path)
  return lfs.attributes(path, "mode") == "file"
end

--- The file that RECIPE stands for: a path, from here or from the library's folder, or the name of a recipe.
--- Raises { code = "usage" } with the nearest name when there is none.
---@param recipe string
---@return string path
function cli.find_recipe(recipe)
  local tries = { recipe, host.root .. "/" .. recipe }
  if not recipe:find "[/.]" then
    tries = { "recipes/" .. recipe .. ".lua", host.root .. "/recipes/" .. recipe .. ".lua" }
  end
  for _, path in ipairs(tries) do
    if is_file(path) then return path end
  end
  if recipe:find "[/.]" then
    local paths = {}
    for i, name in ipairs(cli.recipes()) do paths[i] = "recipes/" .. name .. ".lua" end
    exit.usage_error("there is no recipe file '%s'%s", recipe, suggestion(recipe, paths))
  end
  local names = cli.commands()
  for _, name in ipairs(names) do
    if name == recipe then exit.usage_error("the command comes first: recsys-run %s ...", recipe) end
  end
  table.move(cli.recipes(), 1, #cli.recipes(), #names + 1, names)
  exit.usage_error("there is no command or recipe '%s'%s", recipe, suggestion(recipe, names))
end

--- A parser that knows -h; asked for it, `parse` is not called.
local function new_parser(name, about)
  local parser = require "argparse"(name):description(about):add_help(false)
  parser:flag("-h --help", "Show this help")
  return parser
end

local function asks_for_help(words)
  for _, word in ipairs(words) do
    if word == "-h" or word == "--help" then return true end
    if word == "--" then return false end
  end
  return false
end

--- Parse with argparse, whose refusals become usage errors.
local function parse(parser, words)
  local ok, result = parser:pparse(words)
  if ok then return result end
  if result == "too many arguments" and parser._name == "recsys-run" then cli.find_recipe(words[1]) end
  exit.usage_error("%s\nTry: %s --help", result:gsub("\nDid you mean", "; did you mean"), parser._name)
end

local function recipe_parser()
  local parser = new_parser("recsys-run", "Run a recipe.")
  parser:argument("RECIPE", "The recipe: a .lua file, or a name in recipes/")
  parser:option("--set", "Set a parameter, as in --set train.epochs=5"):argname "NAME=VALUE":count "*":target "set"
  parser:option("--config", "Read parameters from a JSON or Lua file; of several, later ones win"):argname "FILE"
    :count "*"
  parser:option("--seed", "Start of all random streams"):argname "N":convert(argument.whole_number(0))
  parser:option("--threads", "Threads to compute with"):argname "N":convert(argument.whole_number(1, 4096))
  parser:flag("--json", "Put the result on stdout as one JSON object, all else on stderr")
  parser:flag("--profile", "Print where each training step's time and bytes went, and write a trace of it")
  parser:flag("--plan", "Show the steps without running them")
  parser:flag("--show-config", "Show every parameter as it would be used and where it comes from, and end")
    :target "show_config"
  parser:option("--resume", "Go on with RUN (a name or a folder) where it was cut short; without RUN, with the latest "
    .. "run of these parameters that was"):argname "RUN":args "?"
  parser:flag("--find-learning-rate", "End where the training would begin, with a table and a chart of what each "
    .. "learning rate does"):target "find_learning_rate"
  parser:flag("--no-cache", "Reuse nothing that an earlier run made: neither results of tasks nor the news sample nor "
    .. "parsed files"):target "no_cache"
  parser:option("--refresh", "Run this task though an earlier result would do (several times: these; all: every one)")
    :argname "TASK":count "*":target "refresh"
  return parser
end

--- `recsys-run RECIPE --help`: the recipe's own parameters after the options.
local function help_of_recipe(words, parser)
  local path
  for _, word in ipairs(words) do
    if not word:match "^%-" then path = path or cli.find_recipe(word) end
  end
  io.stdout:write(parser:get_help(), "\n")
  if not path then return exit.done end
  io.stdout:write "\n"
  return require("recsys.recipe").main(path, { help = true })
end

local function run_recipe(words)
  local parser = recipe_parser()
  if asks_for_help(words) then return help_of_recipe(words, parser) end
  local args = parse(parser, words)
  local path = cli.find_recipe(args.RECIPE)
  args.config = #args.config > 0 and args.config or nil
  args.resume = args.resume and (args.resume[1] or "")
  args.command = "recsys-run " .. table.concat(words, " ")
  return require("recsys.recipe").main(path, args)
end

--- The help of a command, or of the action of it that the first word names.
local function help_of_command(parser, words)
  for _, action in ipairs(parser._commands) do
    if action._name == words[1] then return action:get_help() end
  end
  return parser:get_help()
end

local function run_command(name, words)
  local command = require("recsys.cli." .. name)
  if command.raw then return command.run(words) end
  local parser = new_parser("recsys-run " .. name, command.about .. ".")
  command.options(parser)
  if not asks_for_help(words) then return command.run(parse(parser, words)) end
  io.stdout:write(help_of_command(parser, words), "\n")
  return exit.done
end

--- The help of a command that has actions.
local function help_of_actions(command, about, actions)
  local lines = { ("Usage: recsys-run %s ACTION ..."):format(command), "", about .. ".", "", "Actions:" }
  for _, action in ipairs(actions) do lines[#lines + 1] = ("  %-10s %s"):format(action.name, action.about) end
  lines[#lines + 1] = ("\n'recsys-run %s ACTION --help' lists an action's options.\n"):format(command)
  io.stdout:write(table.concat(lines, "\n"))
  return exit.done
end

--- Run an action of a command, `recsys-run COMMAND ACTION ...`; for `run` of a command with `raw = true`.
---@param command string
---@param about string
---@param actions { name: string, about: string, options: fun(parser), run: fun(args): integer }[]
---@param words string[]  those after COMMAND
---@return integer exit code
function cli.act(command, about, actions, words)
  local first, names = words[1], {}
  if first == "-h" or first == "--help" then return help_of_actions(command, about, actions) end
  for i, action in ipairs(actions) do
    names[i] = action.name
    if action.name == first then
      local rest = table.move(words, 2, #words, 1, {})
      local parser = new_parser(("recsys-run %s %s"):format(command, first), action.about .. ".")
      action.options(parser)
      if not asks_for_help(rest) then return action.run(parse(parser, rest)) end
      io.stdout:write(parser:get_help(), "\n")
      return exit.done
    end
  end
  if not first then exit.usage_error("which action? There are %s", table.concat(names, ", ")) end
  exit.usage_error("%s has no action '%s'%s There are %s", command, first,
    (suggestion(first, names):gsub("^$", ".")), table.concat(names, ", "))
end

--- The runtime's name, version and commit, in one line.
---@return string
function cli.version()
  local core = require "recsys.core"
  return ("recsys-run %s (commit %s)"):format(core.version, core.commit)
end

--- The memory limit that the variable RECSYS_MEMORY sets, for every command.
local function limit_memory()
  local size = os.getenv "RECSYS_MEMORY"
  if not size or size == "" then return end
  local bytes = require("recsys.text").bytes(size) or 0
  if bytes <= 0 then exit.usage_error("RECSYS_MEMORY must be a size such as 256M or 2G, not '%s'", size) end
  require "recsys.memory_limit"(bytes)
end

-- What the program starts itself with, in processes of their own.
local inner = { ["--task"] = "recsys.flow.inside", ["--hook"] = "recsys.flow.hook" }

local function dispatch(words)
  local first = words[1]
  if first == nil then
    io.stderr:write(require("recsys.cli.help").overview())
    return exit.usage
  elseif first == "--version" or first == "-V" then
    print(cli.version())
    return exit.done
  elseif first == "--help" or first == "-h" then
    return run_command("help", {})
  end
  limit_memory()
  if inner[first] then return require(inner[first]).main(words[2]) end
  for _, name in ipairs(cli.commands()) do
    if name == first then return run_command(name, table.move(words, 2, #words, 1, {})) end
  end
  return run_recipe(words)
end

--- Run the command line.
---@param words string[]   the arguments after the program's name
---@return integer         the exit code
function cli.main(words)
  local ok, result = xpcall(dispatch, exit.traced, words)
  local track = package.loaded["recsys.track"]
  if track then track.finish_all(not ok and result or nil) end
  if ok then return result or exit.done end
  local veiled = require("recsys.log").veiled
  io.stderr:write("recsys-run: ", veiled(exit.message_of(result)), "\n")
  if type(result) == "table" and result.traceback then io.stderr:write(veiled(result.traceback), "\n") end
  return exit.code_of(result)
end

return cli
