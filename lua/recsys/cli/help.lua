--- `recsys-run help [COMMAND]`: what there is.

local cli = require "recsys.cli"

local help = { about = "Show what there is, or one command's options" }

--- The text of `recsys-run --help`.
---@return string
function help.overview()
  local lines = { cli.version(), "", "Usage: recsys-run RECIPE [--set NAME=VALUE]... [--config FILE] [--seed N]",
    "                  [--threads N] [--json] [--plan] [--no-cache]", "       recsys-run COMMAND ...", "", "Commands:" }
  for _, name in ipairs(cli.commands()) do
    lines[#lines + 1] = ("  %-12s %s"):format(name, require("recsys.cli." .. name).about)
  end
  lines[#lines + 1] = "\nRecipes:"
  for _, name in ipairs(cli.recipes()) do lines[#lines + 1] = "  " .. name end
  lines[#lines + 1] = "\n'recsys-run RECIPE --help' lists a recipe's parameters,\n" ..
    "'recsys-run COMMAND --help' a command's options.\n"
  return table.concat(lines, "\n")
end

function help.options(parser)
  parser:argument("COMMAND", "A command or a recipe"):args "?"
end

function help.run(args)
  if args.COMMAND then return cli.main { args.COMMAND, "--help" } end
  io.stdout:write(help.overview())
  return 0
end

return help
