--- `recsys-run tune RECIPE`: try values of a recipe's parameters, and publish what the best of them gives.

local argument = require "recsys.argument"
local cli = require "recsys.cli"
local exit = require "recsys.exit"
local json = require "recsys.json"
local text = require "recsys.text"

local command = { about = "Search for a recipe's best parameters" }

local function duration(word)
  local ms = text.span(word)
  if not ms or ms <= 0 then return nil, ("'%s' is no span of time such as 30m or 8h"):format(word) end
  return ms / 1000
end

function command.options(parser)
  parser:argument("RECIPE", "The recipe: a .lua file, or a name in recipes/")
  parser:option("--trials", "How many trials the study is to have"):argname "N":convert(argument.whole_number(1))
  parser:option("--time", "Begin no trial after this, as in 8h"):argname "SPAN":convert(duration):target "seconds"
  parser:option("--plateau", "End when so many trials in a row were no better"):argname "N"
    :convert(argument.whole_number(1))
  parser:option("--study", "The study's name: one that there is is gone on with"):argname "NAME"
  parser:option("--workers", "Trials at a time, each in a process"):argname "N":default "1"
    :convert(argument.whole_number(1, 1024))
  parser:option("--sampler", "tpe, random, halton or grid; options behind commas, as in grid,points=3"):argname "NAME"
    :default "tpe"
  parser:option("--pruner", "none, median, asha, hyperband or patience; options as in asha,eta=3"):argname "NAME"
    :default "none"
  parser:option("--metric", "What is better, as the training calls it, such as valid/ndcg_10; several: a front")
    :argname "NAME":count "*":target "metrics"
  parser:option("--direction", "minimize or maximize, one for each metric; default: by its name"):argname "WORD"
    :count "*":target "directions"
  parser:option("--search", "Search NAME over this, as in 'model.dim=choice { 32, 64 }', in place of the recipe's own "
    .. "space"):argname "NAME=DIMENSION":count "*"
  parser:option("--set", "Set a parameter for all trials"):argname "NAME=VALUE":count "*"
  parser:option("--config", "Read parameters from a JSON or Lua file"):argname "FILE"
  parser:option("--seed", "Start of all random streams"):argname "N":convert(argument.whole_number(0))
  parser:option("--threads", "Threads of each trial; default: its share of all"):argname "N"
    :convert(argument.whole_number(1, 4096))
  parser:flag("--no-retrain", "Find the best trial, but train and publish no model"):target "no_retrain"
  parser:flag("--retrain", "Train the best trial again as a whole even if it was before")
  parser:flag("--json", "Put what was found, and on a second line the result of the best, on stdout as JSON")
  parser:option("--trial", "Run this trial (the command does this itself)"):hidden(true):convert(math.tointeger)
  for _, name in ipairs { "store", "folder", "parent" } do
    parser:option("--" .. name, "Of the trial"):hidden(true)
  end
end

--- The process of one trial.
local function work(args, tuned)
  local name, options = tuned.option(args.pruner, "--pruner")
  return require("recsys.tune.worker").run { study = args.study, store = args.store, trial = args.trial,
    folder = args.folder, parent = args.parent, threads = args.threads, pruner = name, pruner_options = options }
end

function command.run(args)
  local tuned = require "recsys.tune.recipe"
  if args.trial then return work(args, tuned) end
  if not (args.trials or args.seconds or args.plateau) then
    exit.usage_error "how long? --trials N, --time SPAN or --plateau N"
  end
  local found = tuned.run { recipe = cli.find_recipe(args.RECIPE), search = tuned.search(args.search),
    trials = args.trials, seconds = args.seconds, plateau = args.plateau, study = args.study, workers = args.workers,
    sampler = args.sampler, pruner = args.pruner, metrics = args.metrics, set = args.set, config = args.config,
    directions = #args.directions > 0 and args.directions or nil, seed = args.seed, threads = args.threads }
  local said = found.text
  found.text = nil
  io.stdout:write(args.json and json.encode(found) or "\n" .. said, "\n")
  io.stdout:flush()
  if not found.best then
    io.stderr:write "recsys-run: no trial is complete\n"
    return exit.failed
  end
  if args.no_retrain then return exit.done end
  return tuned.retrain(found, { threads = args.threads, json = args.json, again = args.retrain })
end

return command
