--- Promotion and rollback: which version an alias stands for, why, and who said so.
---
--- What decides (is the bundle whole, does it answer, do its metrics pass the gate) is found out first; then one
--- transaction moves the alias and writes the event. It all begins anew when the alias moved meanwhile. So a process
--- killed at any moment has either promoted, with its reason on record, or not.

local bundle = require "recsys.bundle"
local bundles = require "recsys.registry.bundles"
local core = require "recsys.core"
local gate = require "recsys.registry.gate"
local rows = require "recsys.registry.rows"
local trail = require "recsys.registry.trail"

local promotion = {}

local function label(name, version) return ("%s-%d"):format(name, version) end

--- The digest that a version points to, nil when it is no bundle of ours.
local function digest_of(db, name, version)
  local tag = db:row("SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = 'recsys.digest'",
    { name, version })
  return tag and bundles.is_digest(tag.value) and tag.value or nil
end

--- The manifest of a version's bundle, every byte of which is verified.
---@return table? manifest
---@return string? message
function promotion.manifest(opened, name, version)
  local digest = digest_of(opened.db, name, version)
  if not digest then return nil, label(name, version) .. " has no bundle: recsys-run did not publish it" end
  local path = bundles.path(opened.store, digest)
  local b, message = bundle.open(path)
  if not b then return nil, message end
  local manifest, found = b:manifest(), b:digest()
  b:close()
  if found ~= digest then
    return nil, ("%s is another bundle than was registered: its digest is %s"):format(path, found)
  end
  return manifest
end

--- The manifest of a version that is about to answer requests: it must be whole, and answer.
local function answering(opened, name, version)
  local manifest, message = promotion.manifest(opened, name, version)
  if not manifest then error({ code = "failed", message = message }, 0) end
  if not manifest.model then return manifest end -- a bundle of other things
  local model, refusal = core.serve.open(bundles.path(opened.store, digest_of(opened.db, name, version)))
  if not model then error({ code = "failed", message = refusal }, 0) end
  model:close()
  return manifest
end

--- The gates of a model: what is asked for, else its tag recsys.gates, else the default.
local function gates_of(opened, request, manifest)
  local list = request.gates
  if not list or #list == 0 then
    local tag = opened.db:row("SELECT value FROM registered_model_tags WHERE name = ? AND key = 'recsys.gates'",
      { request.name })
    list = {}
    for word in (tag and tag.value or ""):gmatch "[^%s,]+" do list[#list + 1] = word end
  end
  return gate.parse_all(#list > 0 and list or gate.default(manifest))
end

--- The figures of the holder that a candidate's are compared with: its own where both were asked the same questions,
--- else those that the candidate's bundle has of it. nil, why where there are neither.
---@return { metrics: table, intervals?: table, seen?: boolean }?
---@return string? why  the holder's own are of other questions
function promotion.figures(opened, name, manifest, holder, names)
  local its, message = promotion.manifest(opened, name, holder)
  if not its then return nil, message end
  local same, why = gate.comparable(manifest, its, names)
  if same then return its end
  return gate.rival(manifest, digest_of(opened.db, name, holder)), why
end

--- Compare with the holder: true, verdicts and whether the holder was asked for it anew; or false, verdicts and the
--- refusal.
local function judged(opened, request, manifest, holder)
  local names = { label(request.name, request.version), label(request.name, holder) }
  local its, why = promotion.figures(opened, request.name, manifest, holder, names)
  if not its then
    return false, nil, ("%s is not promoted: it cannot be compared with %s, the %s: %s. A recipe that trains and "
      .. "publishes again measures the champion on its own test rows; or promote without a gate (--no-gate)"):format(
      names[1], names[2], request.alias, why)
  end
  local passed, verdicts = gate.judge(manifest, its, gates_of(opened, request, manifest))
  if passed then return true, verdicts, why and true or nil end
  local seen = its.seen and ("\n  %s may have been trained on some of them"):format(names[2]) or ""
  return false, verdicts, ("%s is not promoted: it fails the gate against %s, the %s, on the same test rows\n%s%s")
    :format(names[1], names[2], request.alias, gate.lines(verdicts), seen)
end

--- Set the alias when it still is where it was; false when not.
local function move(opened, request, from, event)
  local db, name = opened.db, request.name
  return db:transaction(function()
    if rows.aliased(db, name, request.alias) ~= from then return false end
    rows.find_version(db, name, event.to)
    event.reason, event.by = request.reason, request.by
    return trail.move(db, name, request.alias, event.to, event)
  end)
end

local function need_reason(request)
  if type(request.reason) ~= "string" or not request.reason:find "%S" then
    error({ code = "usage", message = "a promotion needs a reason (--reason TEXT)" }, 0)
  end
end

--- The request with its alias, checked, "champion" where it names none.
local function with_alias(request)
  return setmetatable({ alias = rows.alias { alias = request.alias or "champion" } }, { __index = request })
end

--- Promote a version: give it the alias, if it passes the gate against the version that has it.
---@param opened Catalogue
---@param request { name: string, version: integer, reason: string, alias?: string, gates?: string[], by?: string,
---  no_gate?: boolean }  alias: default "champion"; gates: "METRIC" or "METRIC:GAIN", see recsys.registry.gate
---@return table? event    { at, by, action, alias, from, to, reason, gate, anew }; anew: the gate compared with what
---  the version that had the alias scored on this one's test rows
---@return string? message  why it was refused
---@return string? code     "quality"
---@return table[]? verdicts
function promotion.promote(opened, request)
  need_reason(request)
  request = with_alias(request)
  local name, version = request.name, request.version
  rows.find_version(opened.db, name, version)
  local manifest = answering(opened, name, version)
  while true do
    local holder = rows.aliased(opened.db, name, request.alias)
    if holder == version then
      error({ code = "usage", message = ("%s is the %s already"):format(label(name, version), request.alias) }, 0)
    end
    local event = { action = "promote", to = version, ungated = request.no_gate or nil }
    if holder and not request.no_gate then
      local passed, verdicts, third = judged(opened, request, manifest, holder)
      if not passed then return nil, third, "quality", verdicts end
      event.gate, event.anew = verdicts, third
    end
    local done = move(opened, request, holder, event)
    if done then return done end
  end
end

--- What promote would find, and nothing is done.
---@param opened Catalogue
---@param request { name: string, version: integer, alias?: string, gates?: string[] }  as promote's
---@return { holder?: integer, passed: boolean, gate?: table[], refusal?: string }
---   holder: who has the alias; gate: verdicts, absent when there is nothing to compare with
function promotion.preview(opened, request)
  request = with_alias(request)
  rows.find_version(opened.db, request.name, request.version)
  local manifest = answering(opened, request.name, request.version)
  local holder = rows.aliased(opened.db, request.name, request.alias)
  if not holder or holder == request.version then return { holder = holder, passed = true } end
  local passed, verdicts, refusal = judged(opened, request, manifest, holder)
  return { holder = holder, passed = passed, gate = verdicts, refusal = refusal }
end

--- The version that an alias stood for before: the latest on its stack that is still there.
local function version_before(opened, name, alias, current)
  local stack = trail.stack(opened.db, name, alias)
  for i = #stack, 1, -1 do
    local row = opened.db:row("SELECT current_stage AS stage FROM model_versions WHERE name = ? AND version = ?",
      { name, stack[i] })
    if stack[i] ~= current and row and row.stage ~= rows.deleted then return stack[i] end
  end
  error({ code = "usage", message = ("there is no version of %s to go back to: none was %s before %s"):format(name,
    alias, current and label(name, current) or "now") }, 0)
end

--- What rollback would do: from which version to which; raises when there is none to go back to.
---@param opened Catalogue
---@param request { name: string, alias?: string }
---@return { alias: string, from?: integer, to: integer }
function promotion.before(opened, request)
  request = with_alias(request)
  rows.find_model(opened.db, request.name)
  local current = rows.aliased(opened.db, request.name, request.alias)
  return { alias = request.alias, from = current,
    to = version_before(opened, request.name, request.alias, current) }
end

--- Give the alias back to the version that had it before. No gate is asked, but its bundle must be whole, and answer.
---@param opened Catalogue
---@param request { name: string, alias?: string, reason?: string, by?: string }
---@return table event  as promote's
function promotion.rollback(opened, request)
  request = with_alias(request)
  rows.find_model(opened.db, request.name)
  while true do
    local current = rows.aliased(opened.db, request.name, request.alias)
    local before = version_before(opened, request.name, request.alias, current)
    answering(opened, request.name, before)
    local done = move(opened, request, current, { action = "rollback", to = before })
    if done then return done end
  end
end

--- Set an alias, or take it away (version nil), by hand: no gate, but on record.
---@param opened Catalogue
---@param request { name: string, alias: string, version?: integer, reason?: string, by?: string }
---@return table event
function promotion.set_alias(opened, request)
  local db, name, alias = opened.db, request.name, rows.alias(request)
  return db:transaction(function()
    rows.find_model(db, name)
    if request.version then rows.find_version(db, name, request.version) end
    if not request.version and not rows.aliased(db, name, alias) then
      rows.refuse("RESOURCE_DOES_NOT_EXIST", "%s has no alias '%s'", name, alias)
    end
    return trail.move(db, name, alias, request.version, { action = request.version and "alias" or "no alias",
      reason = request.reason, by = request.by })
  end)
end

return promotion
