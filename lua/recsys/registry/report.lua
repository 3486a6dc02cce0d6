--- What the registry tells people: models, a model's versions and history, two versions side by side; as plain data,
--- which `recsys-run registry ... --json` and the page show, and as text.

local gate = require "recsys.registry.gate"
local json = require "recsys.json"
local lineage = require "recsys.registry.lineage"
local promotion = require "recsys.registry.promotion"
local rows = require "recsys.registry.rows"
local text = require "recsys.text"
local trail = require "recsys.registry.trail"

local report = {}

--- Control characters come from strangers: a terminal must not act on them.
local function printable(value)
  return (tostring(value):gsub("%c", " "))
end

local function date(ms)
  return ms and os.date("!%Y-%m-%d %H:%M", ms // 1000) or ""
end

--- A version as people want it.
local function version_of(db, row)
  local found = rows.model_version(db, row, true)
  local function tag(key) return lineage.tag(found.tags, "recsys." .. key) end
  return { name = row.name, version = row.version, aliases = json.list(found.aliases or {}),
    created = found.creation_timestamp, digest = tag "digest", run = tag "run",
    run_id = found.run_id ~= "" and found.run_id or nil,
    recipe = tag "recipe", kind = tag "kind", commit = tag "commit", source = found.source,
    data = tag "data.name", data_fingerprint = tag "data.fingerprint", test_fingerprint = tag "test.fingerprint",
    description = found.description, stage = found.current_stage, metrics = lineage.metrics(found.tags),
    tags = json.list(found.tags or {}) }
end

--- The versions of a model that are not deleted, oldest first.
function report.versions(db, name)
  local list = {}
  for i, row in ipairs(db:rows("SELECT name, version, creation_time, last_updated_time, description, user_id, "
    .. "current_stage, source, run_id, run_link, status, status_message FROM model_versions "
    .. "WHERE name = ? AND current_stage <> ? ORDER BY version", { name, rows.deleted })) do
    list[i] = version_of(db, row)
  end
  return list
end

--- One version.
function report.version(db, name, version)
  return version_of(db, rows.find_version(db, name, version))
end

--- A model with its versions and the history of its aliases.
function report.model(db, name)
  local model = rows.registered_model(db, rows.find_model(db, name))
  return { name = name, description = model.description, tags = json.list(model.tags or {}),
    aliases = json.list(model.aliases or {}), created = model.creation_timestamp,
    updated = model.last_updated_timestamp, versions = json.list(report.versions(db, name)),
    history = json.list(trail.events(db, name)) }
end

--- All models, each with how many versions it has and which are known by an alias.
function report.models(db)
  local list = {}
  for i, row in ipairs(db:rows([[
    SELECT m.name, m.description, m.creation_time AS created, m.last_updated_time AS updated,
      (SELECT COUNT(*) FROM model_versions AS v WHERE v.name = m.name AND v.current_stage <> 'Deleted_Internal')
        AS versions,
      (SELECT MAX(version) FROM model_versions AS v WHERE v.name = m.name AND v.current_stage <> 'Deleted_Internal')
        AS latest
    FROM registered_models AS m ORDER BY m.name]])) do
    row.aliases = {}
    for _, alias in ipairs(db:rows("SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias",
      { row.name })) do row.aliases[alias.alias] = alias.version end
    list[i] = row
  end
  return list
end

local function sorted(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- The table of all models.
function report.models_text(list)
  if #list == 0 then return "no model is registered yet: recipes publish them" end
  local lines = { { "model", "versions", "latest", "aliases", "changed" } }
  for _, model in ipairs(list) do
    local aliases = {}
    for i, alias in ipairs(sorted(model.aliases)) do aliases[i] = ("%s=%d"):format(alias, model.aliases[alias]) end
    lines[#lines + 1] = { printable(model.name), tostring(model.versions), tostring(model.latest or "-"),
      table.concat(aliases, " "), date(model.updated) }
  end
  return text.columns(lines)
end

--- The metrics that a table shows: those of gates first, six at the most.
local function shown_metrics(versions)
  local names, seen = {}, {}
  local function add(name)
    if not seen[name] and #names < 6 then names[#names + 1], seen[name] = name, true end
  end
  local all = {}
  for _, version in ipairs(versions) do
    for name in pairs(version.metrics) do all[name] = true end
  end
  for _, name in ipairs { "ndcg_10", "hit_10", "recall_10", "mrr", "ndcg_50", "recall_50" } do
    if all[name] then add(name) end
  end
  for _, name in ipairs(sorted(all)) do add(name) end
  return names
end

local function number(x)
  return type(x) == "number" and ("%.4g"):format(x) or "-"
end

local function versions_text(versions)
  local names = shown_metrics(versions)
  local head = { "version", "aliases", "created", "digest", "run" }
  local lines = { table.move(names, 1, #names, #head + 1, head) }
  for i = #versions, 1, -1 do
    local version = versions[i]
    local line = { tostring(version.version), table.concat(version.aliases, " "), date(version.created),
      version.digest and version.digest:sub(1, 12) or "-", printable(version.run or version.run_id or "-") }
    for _, name in ipairs(names) do line[#line + 1] = number(version.metrics[name]) end
    lines[#lines + 1] = line
  end
  return text.columns(lines)
end

--- An event in a line.
function report.event_text(event)
  local function of(version) return version and ("version %d"):format(version) or "none" end
  local what = event.action == "first" and ("%s is %s, the first version"):format(event.alias, of(event.to))
    or ("%s: %s from %s to %s%s"):format(event.action, event.alias, of(event.from), of(event.to),
      event.ungated and ", without a gate" or event.anew and ", measured anew" or "")
  return ("%s  %s  %s%s"):format(date(event.at), printable(event.by or "?"), what,
    event.reason and event.action ~= "first" and (": " .. printable(event.reason)) or "")
end

--- A model, its versions and its history.
function report.model_text(model)
  local parts = { printable(model.name) .. (model.description and "\n" .. printable(model.description) or "") }
  for _, tag in ipairs(model.tags) do
    if not tag.key:find "^recsys%.audit%." then
      parts[1] = ("%s\n  %s = %s"):format(parts[1], printable(tag.key), printable(tag.value))
    end
  end
  parts[#parts + 1] = #model.versions > 0 and versions_text(model.versions) or "it has no version"
  if #model.history > 0 then
    local lines = {}
    for i, event in ipairs(model.history) do lines[i] = "  " .. report.event_text(event) end
    parts[#parts + 1] = "history\n" .. table.concat(lines, "\n")
  end
  return table.concat(parts, "\n\n")
end

--- One version, all that is said of it.
function report.version_text(version)
  local lines = { ("%s, version %d%s"):format(printable(version.name), version.version,
    #version.aliases > 0 and ", " .. table.concat(version.aliases, ", ") or "") }
  if version.description then lines[#lines + 1] = printable(version.description) end
  lines[#lines + 1] = ("  %-26s %s"):format("created", date(version.created))
  lines[#lines + 1] = ("  %-26s %s"):format("source", printable(version.source))
  for _, tag in ipairs(version.tags) do
    lines[#lines + 1] = ("  %-26s %s"):format(printable((tag.key:gsub("^recsys%.", ""))), printable(tag.value))
  end
  return table.concat(lines, "\n")
end

--- Nested parameters as "a.b" -> value.
local function flat(value, prefix, out)
  if type(value) ~= "table" or value[1] ~= nil then
    out[prefix] = type(value) == "table" and json.encode(value) or tostring(value)
    return out
  end
  for key, part in pairs(value) do flat(part, prefix == "" and tostring(key) or prefix .. "." .. key, out) end
  return out
end

--- Two versions of a model, from their bundles: every metric with its verdict, and the parameters that differ.
---@param opened Catalogue
---@return { comparable: boolean, why?: string, metrics: table[], parameters: table[] }
---   comparable with a why: by what the other one scored on the first one's test rows
function report.compare(opened, name, version, other)
  local manifests, labels = {}, {}
  for i, number_of in ipairs { version, other } do
    local message
    manifests[i], message = promotion.manifest(opened, name, number_of)
    if not manifests[i] then error({ code = "failed", message = message }, 0) end
    labels[i] = ("%s-%d"):format(name, number_of)
  end
  local figures, why = promotion.figures(opened, name, manifests[1], other, labels)
  local held = figures or manifests[2]
  local asked = {}
  for metric in pairs(manifests[1].metrics or {}) do
    if (held.metrics or {})[metric] ~= nil then asked[#asked + 1] = metric end
  end
  table.sort(asked)
  local _, verdicts = gate.judge(manifests[1], held, gate.parse_all(asked))
  local mine, its = flat(manifests[1].parameters or {}, "", {}), flat(manifests[2].parameters or {}, "", {})
  local different = {}
  local names = flat(manifests[1].parameters or {}, "", flat(manifests[2].parameters or {}, "", {}))
  for _, key in ipairs(sorted(names)) do
    if mine[key] ~= its[key] then
      different[#different + 1] = { name = key, candidate = mine[key], holder = its[key] }
    end
  end
  return { name = name, version = version, other = other, comparable = figures ~= nil, why = why,
    metrics = json.list(verdicts), parameters = json.list(different) }
end

--- A comparison as two tables.
function report.compare_text(found)
  local labels = { ("%s-%d"):format(found.name, found.version), ("%s-%d"):format(found.name, found.other) }
  local lines = { { "metric", labels[1], labels[2], "difference", "intervals" } }
  for _, verdict in ipairs(found.metrics) do
    lines[#lines + 1] = { verdict.metric, number(verdict.candidate), number(verdict.holder),
      verdict.difference and ("%+.3g"):format(verdict.difference) or "-",
      verdict.overlap == nil and "-" or verdict.overlap and "overlap" or "apart" }
  end
  local parts = { not found.comparable and "NOT measured on the same test rows: " .. found.why
    or "measured on the same test rows" .. (found.why and (", %s anew, on those of %s"):format(labels[2], labels[1])
      or ""), text.columns(lines) }
  if #found.parameters > 0 then
    local rest = { { "parameter", labels[1], labels[2] } }
    for _, parameter in ipairs(found.parameters) do
      rest[#rest + 1] = { printable(parameter.name), printable(parameter.candidate or "-"),
        printable(parameter.holder or "-") }
    end
    parts[#parts + 1] = text.columns(rest)
  end
  return table.concat(parts, "\n\n")
end

return report
