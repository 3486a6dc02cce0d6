--- Parameters of a recipe: declared with defaults, checked, overridden from a profile, files, the environment, --set.
---
--- A declaration is a tree of tables. A leaf is a plain default, whose type is then the parameter's type, or
--- `config.param(default, about, limits)`, which adds a sentence and limits. A name that was not declared, or a
--- value of another type, is refused with the nearest name: a typing error must never train the wrong model. So is what
--- a file sets twice, and a number that cannot be had to its last digit.
--- A plain `{}` is a group without parameters; a list that may be empty is declared by config.param.

local environment = require "recsys.config.environment"
local exit = require "recsys.exit"
local json = require "recsys.json"
local secret = require "recsys.config.secret"
local text = require "recsys.text"

local config = {}

local Param = {}
Param.__index = Param

---@class Limits
---@field min? number      smallest value
---@field max? number      largest value
---@field choices? any[]   the only values
---@field optional? boolean the value may be absent (`null`)
---@field type? string     "integer", "number", "string", "boolean" or "list", where the default does not tell
---@field of? string       type of a list's elements, where the default is empty
---@field distinct? boolean no element of a list may stand there twice
---@field unit? string     what a number counts, for people: "s", "epochs", "MiB"
---@field form? string     what a text must be: "span" (of time), "bytes" (a size), "folder" or "model" (a published
---   model's name)

--- Declare a parameter.
---@param default any     its value when nobody sets it; its type is the parameter's. nil: somebody must, unless
---   limits.optional says that it may be absent
---@param about string    a sentence for `--help`
---@param limits? Limits
function config.param(default, about, limits)
  limits = limits or {}
  if default == nil and not limits.type then
    error("bad argument #3 to 'param' (a parameter without a default needs a type, as in { type = \"string\" })", 2)
  end
  return setmetatable({ default = default, about = about, limits = limits }, Param)
end

--- Declare a secret: a text that only the environment or a file of its own may give (recsys.config.secret). The recipe
--- gets an object whose `:reveal()` is the text; without one, nil where it is optional.
---@param about string  a sentence for `--help`
---@param limits? { optional?: boolean }
function config.secret(about, limits)
  return setmetatable({ about = about, limits = { type = "secret", optional = limits and limits.optional } }, Param)
end

local function is_list(value)
  return type(value) == "table" and (value[1] ~= nil or next(value) == nil)
end

--- Whether a list holds nothing but its elements: no hole, no name.
local function is_whole(list)
  local count = 0
  for _ in pairs(list) do count = count + 1 end
  return count == #list
end

local function is_leaf(node)
  return type(node) ~= "table" or getmetatable(node) == Param or node[1] ~= nil
end

local function declared(node)
  return getmetatable(node) == Param and node or config.param(node, "", {})
end

local function kind_of(value)
  if math.type(value) == "integer" then return "integer" end
  if is_list(value) then return "list" end
  return type(value)
end

local function type_of(leaf)
  return leaf.limits.type or kind_of(leaf.default)
end

local function is_secret(leaf)
  return leaf.limits.type == "secret"
end

local function is_required(leaf)
  return leaf.default == nil and not leaf.limits.optional
end

local refuse = exit.usage_error

local function shown(value)
  if type(value) == "string" then return ("'%s'"):format((value:gsub("%c", "?"))) end
  if type(value) == "table" and next(value) == nil then return "[]" end
  local ok, written = pcall(json.encode, value)
  return ok and written or tostring(value)
end

-- What a value of each type may be written as. Each takes the offered value and returns it, converted, or nil.
local readers = {}

--- A float of 2^53 or more may stand for another whole number than was written.
function readers.integer(value)
  if type(value) == "string" then value = tonumber(value) end
  if math.type(value) == "float" and math.abs(value) >= 2 ^ 53 then return nil end
  return type(value) == "number" and math.tointeger(value) or nil
end

function readers.number(value)
  if type(value) == "string" then value = tonumber(value) end
  return type(value) == "number" and value - value == 0 and value + 0.0 or nil
end

function readers.boolean(value)
  if type(value) == "boolean" then return value end
  return ({ ["true"] = true, ["false"] = false })[value]
end

--- Texts go into JSON files and, as paths, to the system: UTF-8, and no zero byte, which would cut a path short.
function readers.string(value)
  return type(value) == "string" and utf8.len(value) and not value:find("\0", 1, true) and value or nil
end

--- The list that a text stands for: JSON, or words between commas.
local function split(written)
  if written:find "^%s*[%[{]" then return (json.exact(written)) end
  local words = {}
  if written == "" then return words end
  for word in (written .. ","):gmatch "([^,]*)," do
    if not word:find "%S" then return nil end
    words[#words + 1] = word
  end
  return words
end

--- A list: a table, JSON, or comma-separated words. Elements are of the type `of`, or of the default's first element.
function readers.list(value, leaf)
  if type(value) == "string" then value = split(value) end
  if not is_list(value) or not is_whole(value) then return nil end
  local read = readers[leaf.limits.of or kind_of(leaf.default[1])] or function(element) return element end
  local list = {}
  for i, element in ipairs(value) do
    list[i] = read(element, leaf)
    if list[i] == nil or list[i] == json.null then return nil end
  end
  return list
end

local forms = {
  span = { "a span of time such as 7d, 12h or 30m", text.span },
  bytes = { "a size such as 256M, 64K or 2G", function(value) return (text.bytes(value) or 0) > 0 end },
  folder = { "the name of a folder", function(value) return value ~= "" end },
  model = { "a name of a-z, 0-9, _ and -, 64 at the most, that begins with a letter and does not end in -NUMBER",
    function(value) return #value <= 64 and value:match "^[a-z][a-z0-9_%-]*$" and not value:match "%-%d+$" end },
}

local articles = { integer = "a whole number", number = "a number", boolean = "true or false",
  string = "a text in UTF-8", list = "a list such as 10,50" }

--- Choices in words: "news, movielens".
local function listed(choices)
  local words = {}
  for i, choice in ipairs(choices) do words[i] = type(choice) == "string" and choice or shown(choice) end
  return table.concat(words, ", "), words
end

local function check_distinct(name, list, origin)
  local seen = {}
  for _, element in ipairs(list) do
    if seen[element] then refuse("%s: %s stands there twice (%s)", name, shown(element), origin) end
    seen[element] = true
  end
end

local function check_limits(name, value, limits, origin)
  local form = forms[limits.form]
  if form and not form[2](value) then
    refuse("%s must be %s, not %s (%s)", name, form[1], shown(value), origin)
  end
  if limits.distinct then check_distinct(name, value, origin) end
  if limits.choices then
    for _, choice in ipairs(limits.choices) do
      if choice == value then return end
    end
    local told, words = listed(limits.choices)
    local near = text.nearest(tostring(value), words)
    refuse("%s: %s is not one of %s%s (%s)", name, shown(value), told,
      near and (("; did you mean '%s'?"):format(near)) or "", origin)
  end
  for _, number in ipairs(type(value) == "table" and value or { value }) do
    if type(number) == "number" and (number < (limits.min or -math.huge) or number > (limits.max or math.huge)) then
      refuse("%s: %s is outside %s .. %s (%s)", name, shown(number), limits.min or "-inf", limits.max or "inf", origin)
    end
  end
end

--- The value of leaf 'name' as offered by 'origin', converted and checked.
local function read_leaf(name, node, offered, origin)
  local leaf = declared(node)
  if is_secret(leaf) and offered ~= json.null then return secret.take(name, offered) end
  if leaf.limits.optional and (offered == json.null or offered == "null" or offered == "") then return nil end
  local kind = type_of(leaf)
  local read = readers[kind] or refuse("%s is declared as a %s; a parameter is a number, a text, true or false, or a "
    .. "list of these (%s)", name, kind, origin)
  local value = read(offered, leaf)
  if value == nil then
    refuse("%s must be %s, not %s (%s)", name, articles[kind], shown(offered), origin)
  end
  if kind == "list" and #value == 0 and #(leaf.default or {}) > 0 then
    refuse("%s must hold something (%s)", name, origin)
  end
  check_limits(name, value, leaf.limits, origin)
  return value
end

local function names_below(node, prefix, names)
  for key, child in pairs(node) do
    local name = prefix .. key
    if is_leaf(child) then names[#names + 1] = name else names_below(child, name .. ".", names) end
  end
  return names
end

--- All parameter names, sorted: "train.epochs", ...
---@return string[]
function config.names(declaration)
  local names = names_below(declaration, "", {})
  table.sort(names)
  return names
end

local function has_secret(node)
  for _, child in pairs(node) do
    if is_leaf(child) and is_secret(declared(child)) or not is_leaf(child) and has_secret(child) then return true end
  end
  return false
end

--- Where a value comes from, without the value of --set where that may be a secret's, misspelled.
local function told_origin(declaration, origin)
  return has_secret(declaration) and origin:gsub("^(%-%-set [%s%w_.]*).*", "%1=...") or origin
end

local function unknown(declaration, name, origin)
  local near = text.nearest(name, config.names(declaration))
  origin = told_origin(declaration, origin)
  refuse("there is no parameter '%s' (%s)%s", name, origin,
    near and ("; did you mean '" .. near .. "'?") or "; --help lists them")
end

--- The declared node called "a.b", and where its value lives: the table and key in 'values'.
local function locate(declaration, values, name, origin)
  local node, key = declaration, nil
  if ("." .. name .. "."):find("..", 1, true) then unknown(declaration, name, origin) end
  for part in name:gmatch "[^.]+" do
    if key then values = values[key] end
    if is_leaf(node) then unknown(declaration, name, origin) end
    node, key = node[part], part
    if node == nil then unknown(declaration, name, origin) end
  end
  if key == nil then unknown(declaration, name, origin) end
  return node, values, key
end

--- Put one value into place. 'layer': what the origin is called of, where that is not 'origin' itself.
local function set(declaration, into, name, offered, origin, layer)
  local node, place, key = locate(declaration, into.values, name, origin)
  if is_leaf(node) then
    if into.once and into.once[name] then refuse("'%s' stands there twice (%s)", name, origin) end
    if into.once then into.once[name] = true end
    place[key] = read_leaf(name, node, offered, origin)
    into.origins[name] = layer or origin
  elseif type(offered) == "table" and not is_list(offered) then
    for part, value in pairs(offered) do set(declaration, into, name .. "." .. part, value, origin, layer) end
  else
    local names = names_below(node, name .. ".", {})
    table.sort(names)
    refuse("'%s' is a group of parameters, not one: set %s (%s)", name, table.concat(names, ", "),
      told_origin(declaration, origin))
  end
end

local function defaults(node, prefix)
  local values = {}
  for key, child in pairs(node) do
    local name = prefix .. key
    if is_leaf(child) then
      local default = declared(child).default
      if default ~= nil then values[key] = read_leaf(name, child, default, "the recipe's default") end
    else
      values[key] = defaults(child, name .. ".")
    end
  end
  return values
end

--- Refuse what has no default and was not set.
local function check_given(node, values, prefix)
  for key, child in pairs(node) do
    local name = prefix .. key
    if not is_leaf(child) then
      check_given(child, values[key], name .. ".")
    elseif values[key] == nil and is_required(declared(child)) then
      local leaf = declared(child)
      if is_secret(leaf) then refuse("%s must be given (%s): %s", name, leaf.about, secret.how(name)) end
      refuse("%s must be given (%s): --set %s=...", name, leaf.about, name)
    end
  end
  return values
end

--- What somebody reads of a group of parameters: the given values, checked against his own declaration, and its
--- defaults for those that are absent. Names that it does not declare stay: the group may have more readers.
---@param group string         for messages: "train"
---@param declaration table    name -> default or config.param
---@param given? table         nil: the recipe has no such group
---@return table
function config.complete(group, declaration, given)
  local values = {}
  for key, value in pairs(given or {}) do values[key] = value end
  for _, key in ipairs(config.names(declaration)) do
    local name, leaf = group .. "." .. key, declared(declaration[key])
    if values[key] == nil and is_required(leaf) then
      refuse("%s (%s) is not declared: the recipe's params need %s = { %s = ... }", name, leaf.about, group, key)
    end
    if values[key] == nil then values[key] = leaf.default end
    if values[key] ~= nil then values[key] = read_leaf(name, leaf, values[key], "given by the recipe") end
  end
  return values
end

--- What a configuration file holds. 'quoted': messages may repeat pieces of it.
local function read_file(path, quoted)
  local file, message = io.open(path, "rb")
  if not file then refuse("cannot read the configuration file: %s", message) end
  local bytes = file:read "a"
  file:close()
  if not bytes then refuse("cannot read the configuration file: %s is a folder", path) end
  if path:match "%.lua$" then
    local chunk, problem = load(bytes, "@" .. path, "t", {})
    local ok, value = pcall(chunk or error, problem)
    if not ok and type(value) == "table" then error(value, 0) end -- a signal's, say
    if not ok and not quoted then value = tostring(value):gsub(" near .*", "") end
    if not ok or type(value) ~= "table" then refuse("%s: %s", path, ok and "returns no table" or value) end
    return value
  end
  local value, problem = json.exact(bytes)
  if type(value) ~= "table" or json.is_list(value) then
    refuse("%s is not a JSON object: %s", path, problem or "it holds something else")
  end
  return value
end

local function apply(declaration, into, overrides, origin)
  local names = {}
  for name in pairs(overrides) do names[#names + 1] = tostring(name) end
  table.sort(names)
  into.once = {}
  for _, name in ipairs(names) do set(declaration, into, name, overrides[name], origin) end
  into.once = nil
end

local function parse_set(declaration, setting)
  local name, value = setting:match "^%s*([%w_.]+)%s*=(.*)$"
  if name then return name, value end
  local told = has_secret(declaration) and setting:match "^%s*[%w_.]*" .. "..." or setting
  refuse("--set takes NAME=VALUE, such as --set train.epochs=5; got '%s'", told)
end

--- Refuse names that --set and variables cannot have: raises { code = "usage" }.
---@param declaration table
function config.check_names(declaration)
  for _, name in ipairs(config.names(declaration)) do
    if not name:find "^[%w_.]+$" or ("." .. name .. "."):find("..", 1, true) then
      refuse("a parameter cannot be called '%s': names are of letters, digits and _", name)
    end
  end
end

--- Whether each parameter is a secret, by its name.
local function secrets_of(declaration)
  local all = {}
  for _, name in ipairs(config.names(declaration)) do
    local node = declaration
    for part in name:gmatch "[^.]+" do node = node[part] end
    all[name] = is_secret(declared(node))
  end
  return all
end

--- The type of a parameter: "integer", "number", "string", "boolean", "list" or "secret"; nil for a group and for what
--- is not declared.
---@param declaration table  the recipe's `params`
---@param name string        "model.dim"
---@return string?
function config.type_of(declaration, name)
  local node = declaration
  for part in name:gmatch "[^.]+" do
    if is_leaf(node) then return nil end
    node = node[part]
    if node == nil then return nil end
  end
  return is_leaf(node) and type_of(declared(node)) or nil
end

--- Whether there are parameters "NAME.something".
---@param declaration table  the recipe's `params`
---@param name string        "train"
---@return boolean
function config.has_group(declaration, name)
  for _, known in ipairs(config.names(declaration)) do
    if known:sub(1, #name + 1) == name .. "." then return true end
  end
  return false
end

--- What the environment sets; 'only' secrets, where the rest is not to count.
local function from_environment(declaration, options)
  if options.environment == false then return {} end
  local is_hidden, list = secrets_of(declaration), {}
  for _, one in ipairs(environment.settings(is_hidden, options.variables, options.later)) do
    if options.environment ~= "secrets" or is_hidden[one.name] then list[#list + 1] = one end
  end
  return list
end

--- Whether the environment sets a parameter that is no secret.
---@param declaration table
---@return boolean
function config.in_environment(declaration)
  local is_hidden = secrets_of(declaration)
  for _, one in ipairs(environment.settings(is_hidden, nil, {})) do
    if not is_hidden[one.name] then return true end
  end
  return false
end

--- The files, the environment and the settings, in order: { name, value, origin, layer } or { table, origin }.
local function layers_of(declaration, options)
  local layers = { table.unpack(options.below or {}) }
  if options.values then layers[#layers + 1] = { table = options.values, origin = "given by the recipe" } end
  for _, path in ipairs(type(options.file) == "string" and { options.file } or options.file or {}) do
    layers[#layers + 1] = { table = read_file(path, not has_secret(declaration)), origin = path }
  end
  table.move(from_environment(declaration, options), 1, 1e4, #layers + 1, layers)
  table.move(options.given or {}, 1, #(options.given or {}), #layers + 1, layers)
  for _, setting in ipairs(options.set or {}) do
    local name, value = parse_set(declaration, setting)
    layers[#layers + 1] = { name = name, value = value, origin = "--set " .. setting, layer = "--set" }
  end
  if options.above then layers[#layers + 1] = { table = options.above, origin = "given to the run" } end
  return layers
end

local function overridden(declaration, options)
  local layers, origins = layers_of(declaration, options), {}
  local function begin()
    origins = {}
    return { values = defaults(declaration, ""), origins = origins }
  end
  local function override(into)
    for _, one in ipairs(layers) do
      if one.table then
        apply(declaration, into, one.table, one.origin)
      else
        set(declaration, into, one.name, one.value, one.origin, one.layer)
      end
    end
    return into.values
  end
  local values = override(begin())
  local profiles = options.profiles
  if not profiles then return values, origins end
  local _, place, key = locate(declaration, values, profiles.by, "the recipe's profiles")
  local profile = profiles[place[key]]
  if not profile then return values, origins end
  local base = begin()
  apply(declaration, base, profile, "the recipe's profile " .. tostring(place[key]))
  return override(base), origins
end

--- The values of all parameters.
---
--- Order of precedence, lowest first: the declared defaults, the recipe's profile for the chosen source, the files in
--- order, the environment (recsys.config.environment), the `--set` options in order. Raises {code = "usage", message}
--- for a wrong name, type or value, or one that is missing.
---@param declaration table      the recipe's `params`
---@param options { file?: string|string[], set?: string[], profiles?: table, environment?: false|"secrets",
---   variables?: table<string, string>, partial?: boolean, values?: table, above?: table, below?: table[],
---   given?: table[], later?: table }
---   profiles: { by = "data.source", news = { train = { epochs = 5 } }, ... }
---   environment: false: it does not count; "secrets": for nothing but secrets
---   values: what another recipe gives to a part of itself, below the files; above: what goes before all else
---   below, given: lists of { table, origin }, that come before all others, and behind the environment
---   variables: in place of the process's own; partial: what must be given may be absent
---   later: takes variables that name no parameter, which are then not refused (recsys.config.environment)
---@return table                 nested values, shaped as the declaration
---@return table<string, string> origins  where each value comes from, by its whole name; absent: the recipe's default
function config.resolve(declaration, options)
  local values, origins = overridden(declaration, options)
  return options.partial and values or check_given(declaration, values, ""), origins
end

--- What another recipe gives to a part of itself, with the part's secrets: each the one that is given, from the file
--- that is given as "@FILE", or from the environment, where its name begins with the part's.
---@param declaration table
---@param given? table
---@param part string   "shop.", as its tasks' names begin
---@return table        as `values` of config.resolve; raises { code = "usage" } for a secret that is missing
function config.with_secrets(declaration, given, part)
  local function fill(node, values, prefix)
    local filled = {}
    for key, value in pairs(values or {}) do filled[key] = value end
    for key, child in pairs(node) do
      local name, offered = prefix .. key, filled[key]
      if not is_leaf(child) then
        if has_secret(child) then filled[key] = fill(child, offered, name .. ".") end
      elseif is_secret(declared(child)) then
        filled[key] = offered ~= nil and offered ~= json.null and secret.take(name, offered) or secret.of_part(name)
        if filled[key] == nil and is_required(declared(child)) then
          refuse("%s must be given (%s): %s", name, declared(child).about, secret.how(name))
        end
      end
    end
    return filled
  end
  return fill(declaration, given, part)
end

--- The files that secrets were taken from: name -> path.
---@param declaration table
---@return table<string, string>
function config.secret_files(declaration)
  local paths = {}
  for name, hidden in pairs(secrets_of(declaration)) do paths[name] = hidden and secret.path(name) or nil end
  return paths
end

--- Secrets as they are given again, by such files, for `values` or `above` of config.resolve.
---@param declaration table
---@param paths? table<string, string>  of config.secret_files
---@param all? boolean                  also those that the environment gives now
---@return table<string, string>        name -> "@PATH"
function config.secrets_again(declaration, paths, all)
  local is_hidden, again = secrets_of(declaration), {}
  for name, path in pairs(paths or {}) do again[name] = is_hidden[name] and "@" .. path or nil end
  if all then return again end
  for _, one in ipairs(environment.settings(is_hidden, nil, {})) do again[one.name] = nil end
  return again
end

--- The values as they can be given again by a file: what is absent is null, and secrets are left out.
---@return table
function config.exported(declaration, values)
  local out = {}
  for key, child in pairs(declaration) do
    if not is_leaf(child) then
      out[key] = config.exported(child, values[key] or {})
    elseif not is_secret(declared(child)) then
      out[key] = values[key]
      if out[key] == nil then out[key] = json.null end
      if type(out[key]) == "table" then out[key] = json.list { table.unpack(out[key]) } end
    end
  end
  return out
end

--- The values with where each comes from, as a table for people.
---@return string
function config.show(declaration, values, origins)
  local rows = {}
  for _, name in ipairs(config.names(declaration)) do
    local value = values
    for part in name:gmatch "[^.]+" do value = value[part] end
    rows[#rows + 1] = { name, value == nil and "none" or secret.is(value) and tostring(value) or shown(value),
      origins[name] or "the recipe's default" }
  end
  local widths = { 0, 0 }
  for _, row in ipairs(rows) do
    for c = 1, 2 do widths[c] = math.max(widths[c], text.width(row[c])) end
  end
  for i, row in ipairs(rows) do
    rows[i] = ("%s  %s  %s"):format(text.pad(row[1], widths[1]), text.pad(row[2], widths[2]), row[3])
  end
  return table.concat(rows, "\n")
end

--- " [1 .. 10 epochs]": the limits and the unit of a number.
local function bounds(limits)
  local low, high, unit = limits.min, limits.max, limits.unit and " " .. limits.unit or ""
  if low and high then return (" [%s .. %s%s]"):format(low, high, unit) end
  if low then return (" [at least %s%s]"):format(low, unit) end
  if high then return (" [at most %s%s]"):format(high, unit) end
  return limits.unit and (" [%s]"):format(limits.unit) or ""
end

--- A value as the parameter of that name would take it; raises like config.resolve for what it would refuse.
---@param declaration table  the recipe's `params`
---@param name string        "model.dim"
---@param value any
---@param origin string      for messages: who offers it
---@return any
function config.read(declaration, name, value, origin)
  local node = locate(declaration, defaults(declaration, ""), name, origin)
  if not is_leaf(node) then refuse("'%s' is a group of parameters, not one (%s)", name, origin) end
  return read_leaf(name, node, value, origin)
end

local function describe(node, prefix, values, lines)
  local keys = {}
  for key in pairs(node) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local child, name = node[key], prefix .. key
    if is_leaf(child) then
      local leaf = declared(child)
      local value = is_required(leaf) and "required" or leaf.default == nil and "none" or shown(leaf.default)
      local choices = leaf.limits.choices and (" (%s)"):format((listed(leaf.limits.choices))) or ""
      lines[#lines + 1] = ("  %-24s %-8s %-16s %s%s%s"):format(name, type_of(leaf), value, leaf.about, choices,
        bounds(leaf.limits))
    else
      describe(child, name .. ".", values, lines)
    end
  end
  return lines
end

--- The parameters as a table for people: name, type, default, meaning, limits and unit.
---@return string
function config.describe(declaration)
  return table.concat(describe(declaration, "", nil, {}), "\n")
end

return config
