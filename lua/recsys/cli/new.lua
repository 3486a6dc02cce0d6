--- `recsys-run new NAME [--from RECIPE]`: a recipe of one's own, begun as a copy of another.

local cli = require "recsys.cli"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"

local new = { about = "Begin a recipe as a copy of another" }

--- The text of a recipe called 'name', made from another's. What it publishes is called so, too, or the copy's models
--- would become versions of the other's; a number at the end of that name would be a version.
function new.renamed(source, name)
  local copy, count = source:gsub('(%f[%w]name%s*=%s*)"[^"]*"', ('%%1"%s"'):format(name), 1)
  if count == 0 then exit.usage_error("the recipe to copy has no line name = \"...\"") end
  local published = name:gsub("%-(%d+)$", "_%1")
  return (copy:gsub('(publish%s*=%s*{[^}"]-%f[%w]name%s*=[^}"]-)"[^"]*"', ('%%1"%s"'):format(published), 1))
end

function new.options(parser)
  parser:argument("NAME", "The new recipe's name: it becomes recipes/NAME.lua")
  parser:option("--from", "The recipe to copy"):argname "RECIPE":default "two_tower"
end

function new.run(args)
  if not args.NAME:match "^[a-z][a-z0-9_%-]*$" then
    exit.usage_error("a recipe's name is of a-z, 0-9, _ and -, and begins with a letter; got '%s'", args.NAME)
  end
  local path = ("recipes/%s.lua"):format(args.NAME)
  if files.exists(path) then exit.usage_error("%s exists already", path) end
  local from = cli.find_recipe(args.from)
  local copy = new.renamed(assert(files.read(from)), args.NAME)
  files.make_folder "recipes"
  files.write(path, copy)
  io.stdout:write(("%s, a copy of %s\n\nNext:\n  %s %s --help\n"):format(path, from, host.called, path))
  return exit.done
end

return new
