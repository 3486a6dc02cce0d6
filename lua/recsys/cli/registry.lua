--- `recsys-run registry ACTION ...`: registered models, their versions and aliases (docs/registry.md).

local argument = require "recsys.argument"
local catalogue = require "recsys.registry.catalogue"
local cli = require "recsys.cli"
local exit = require "recsys.exit"
local files = require "recsys.files"
local gate = require "recsys.registry.gate"
local json = require "recsys.json"
local models = require "recsys.registry.models"
local promotion = require "recsys.registry.promotion"
local registry = require "recsys.registry"
local report = require "recsys.registry.report"
local rows = require "recsys.registry.rows"
local upkeep = require "recsys.registry.upkeep"
local versions = require "recsys.registry.versions"
local words = require "recsys.registry.words"

local command = { about = "Show, promote, roll back and check published models", raw = true }

local actions = {}

local asked = exit.asked

local function show(args, value, text)
  io.stdout:write(args.json and json.encode(value) or text, "\n")
  return exit.done
end

--- Call fn(catalogue, ...) with the registry of --models.
local function with_registry(args, fn, ...)
  local dir = args.models or registry.dir
  if not files.exists(dir) and not files.exists(catalogue.store_of(dir) .. "/mlflow.db") then
    exit.usage_error("no model was published yet: there is no folder %s", dir)
  end
  local opened <close> = registry.open(args.models)
  return fn(opened, ...)
end

--- Add an action. 'options' adds what it takes beside --models and --json.
local function action(name, about, options, run)
  actions[#actions + 1] = { name = name, about = about, run = function(args) return with_registry(args, run, args) end,
    options = function(parser)
      options(parser)
      parser:option("--models", "Where published models lie (default " .. registry.dir .. ")"):argname "DIR"
      parser:flag("--json", "Put the result on stdout as one JSON object")
    end }
end

local function why_and_who(parser)
  parser:option("--reason", "Why, for the record"):argname "TEXT"
  parser:option("--by", "Who does it, for the record (default: this user on this host)"):argname "NAME"
end

local function version_argument(parser)
  parser:argument("VERSION", "NAME-VERSION, NAME@ALIAS, or NAME: its latest version")
end

action("list", "List the models", function() end, function(opened, args)
  local list = report.models(opened.db)
  return show(args, { models = json.list(list) }, report.models_text(list))
end)

action("show", "Show a model with its history, or one version", function(parser)
  parser:argument("MODEL", "NAME, NAME-VERSION or NAME@ALIAS")
end, function(opened, args)
  local word = words.parse(args.MODEL)
  if opened.db:row("SELECT 1 FROM registered_models WHERE name = ?", { args.MODEL }) or not word.version
    and not word.alias then
    local model = asked(report.model, opened.db, args.MODEL)
    return show(args, model, report.model_text(model))
  end
  local name, version = asked(words.find, opened.db, args.MODEL)
  local found = report.version(opened.db, name, version)
  return show(args, found, report.version_text(found))
end)

--- Whether a version has an alias already: then there is nothing to promote, which is no mistake.
local function holds(opened, name, version, alias)
  return rows.aliased(opened.db, name, alias) == version
end

--- What promoting would come to.
local function preview(opened, args, name, version)
  local found = asked(promotion.preview, opened, { name = name, version = version, alias = args.alias,
    gates = args.gate })
  local passed = args.no_gate or found.passed
  local label = ("%s-%d"):format(name, version)
  local text = found.holder == version and ("%s is the %s already"):format(label, args.alias)
    or ("%s passes the gate for %s"):format(label, args.alias)
  if found.gate then text = text .. "\n" .. gate.lines(found.gate) end
  if passed or args.json then
    show(args, { passed = passed, holder = found.holder, gate = found.gate and json.list(found.gate),
      refused = not passed and found.refusal or nil }, text)
  end
  if not passed then error({ code = "quality", message = found.refusal }, 0) end
  return exit.done
end

action("promote", "Give a version an alias, if its metrics pass the gate against the version that has it",
  function(parser)
    version_argument(parser)
    parser:option("--alias", "The alias"):argname "ALIAS":default "champion"
    parser:option("--gate", "METRIC, which may not fall, or METRIC:GAIN, as in ndcg_10:-0.001 or recall_50:-1%")
      :argname "GATE":count "*"
    parser:flag("--no-gate", "Compare with nothing"):target "no_gate"
    parser:flag("--dry-run", "Only tell whether it would pass, by the exit code, too"):target "dry_run"
    why_and_who(parser)
  end, function(opened, args)
    local name, version = asked(words.find, opened.db, args.VERSION)
    if args.dry_run or holds(opened, name, version, args.alias) then return preview(opened, args, name, version) end
    local event, refusal, verdicts = asked(function()
      local event, refusal, _, verdicts = promotion.promote(opened, { name = name, version = version,
        alias = args.alias, gates = args.gate, no_gate = args.no_gate, reason = args.reason, by = args.by })
      return event, refusal, verdicts
    end)
    if event then
      local passed = event.gate and "\n" .. gate.lines(event.gate) or ""
      return show(args, event, report.event_text(event) .. passed)
    end
    if args.json then show(args, { refused = refusal, gate = verdicts }) end
    error({ code = "quality", message = refusal }, 0)
  end)

action("rollback", "Give an alias back to the version that had it before", function(parser)
  parser:argument("NAME", "The model")
  parser:option("--alias", "The alias"):argname "ALIAS":default "champion"
  why_and_who(parser)
end, function(opened, args)
  local event = asked(promotion.rollback, opened, { name = args.NAME, alias = args.alias, reason = args.reason,
    by = args.by })
  return show(args, event, report.event_text(event))
end)

action("alias", "Set an alias by hand, or take it away", function(parser)
  version_argument(parser)
  parser:argument("ALIAS", "The alias")
  parser:flag("--delete", "Take the alias away from the model")
  why_and_who(parser)
end, function(opened, args)
  local name, version = asked(words.find, opened.db, args.VERSION)
  local event = asked(promotion.set_alias, opened, { name = name, version = not args.delete and version or nil,
    alias = args.ALIAS, reason = args.reason, by = args.by })
  return show(args, event, report.event_text(event))
end)

--- The model or version that a word means: name, and version where the word says one.
local function target(opened, word)
  local parsed = words.parse(word)
  if opened.db:row("SELECT 1 FROM registered_models WHERE name = ?", { word }) then return word end
  if parsed.version or parsed.alias then return asked(words.find, opened.db, word) end
  asked(models.get, opened.db, { name = word })
end

action("tag", "Set or delete a tag of a model or of a version", function(parser)
  parser:argument("MODEL", "NAME, NAME-VERSION or NAME@ALIAS")
  parser:argument("TAG", "KEY=VALUE, or KEY to delete it")
end, function(opened, args)
  local name, version = target(opened, args.MODEL)
  local key, value = args.TAG:match "^([^=]+)=(.*)$"
  local of = version and versions or models
  local set = value and of.set_tag or of.delete_tag
  asked(set, opened.db, { name = name, version = version, key = key or args.TAG, value = value })
  return show(args, { name = name, version = version, key = key or args.TAG, value = value },
    ("%s: %s"):format(args.MODEL, value and key .. " = " .. value or args.TAG .. " is deleted"))
end)

action("note", "Write the description of a model or of a version", function(parser)
  parser:argument("MODEL", "NAME, NAME-VERSION or NAME@ALIAS")
  parser:argument("TEXT", "The description, Markdown; \"\" deletes it")
end, function(opened, args)
  local name, version = target(opened, args.MODEL)
  asked((version and versions or models).update, opened.db, { name = name, version = version, description = args.TEXT })
  return show(args, { name = name, version = version, description = args.TEXT }, args.MODEL .. ": noted")
end)

action("compare", "Compare the metrics and parameters of two versions", function(parser)
  version_argument(parser)
  parser:argument("OTHER", "The other version (default: the champion)"):args "?"
end, function(opened, args)
  local name, version = asked(words.find, opened.db, args.VERSION)
  local other_name, other = asked(words.find, opened.db, args.OTHER or name .. "@champion")
  if name ~= other_name then exit.usage_error("%s and %s are of two models", args.VERSION, args.OTHER) end
  local found = report.compare(opened, name, version, other)
  return show(args, found, report.compare_text(found))
end)

local function verify_text(found, loose)
  local lines, bad = {}, #loose
  for _, version in ipairs(found) do
    local label = ("%s-%d"):format(version.name, version.version)
    if version.mended then lines[#lines + 1] = label .. ": its bundle was missing or damaged, and is mended" end
    for _, problem in ipairs(version.problems) do lines[#lines + 1] = ("%s: %s"):format(label, problem) end
    if #version.problems > 0 then bad = bad + 1 end
  end
  for _, path in ipairs(loose) do lines[#lines + 1] = path .. ": is no version, as it cannot be read" end
  lines[#lines + 1] = ("%d versions, %d damaged"):format(#found, bad)
  return table.concat(lines, "\n"), bad
end

action("verify", "Check the bundle of every version by its hashes, and mend what can be mended", function(parser)
  parser:argument("NAME", "One model (default: all)"):args "?"
end, function(opened, args)
  local found, loose = upkeep.verify(opened, args.NAME)
  local text, bad = verify_text(found, loose)
  show(args, { versions = json.list(found), loose = json.list(loose), damaged = bad }, text)
  return bad > 0 and exit.failed or exit.done
end)

action("gc", "Remove bundles that no version and no run points to, and old versions", function(parser)
  parser:option("--keep", "Also remove versions but the newest N of each model, where neither an alias nor a run that "
    .. "was not deleted points to them"):argname "N":convert(argument.whole_number(0))
  parser:flag("--dry-run", "Show what would be removed"):target "dry_run"
end, function(opened, args)
  local removed = upkeep.collect(opened, { keep = args.keep, dry_run = args.dry_run })
  local bytes, lines = 0, {}
  for _, version in ipairs(removed.versions) do
    lines[#lines + 1] = ("version %s-%d"):format(version.name, version.version)
  end
  for _, found in ipairs(removed.bundles) do
    bytes = bytes + found.bytes
    lines[#lines + 1] = ("bundle %s, %.1f MiB"):format(found.digest:sub(1, 16), found.bytes / 2^20)
  end
  lines[#lines + 1] = ("%s %d versions and %d bundles, %.1f MiB"):format(args.dry_run and "would remove" or "removed",
    #removed.versions, #removed.bundles, bytes / 2^20)
  return show(args, { versions = json.list(removed.versions), bundles = json.list(removed.bundles), bytes = bytes,
    dry_run = args.dry_run or false }, table.concat(lines, "\n"))
end)

function command.run(given)
  return cli.act("registry", command.about, actions, given)
end

return command
