--- A serve recipe: which model is served, and what a server answers beside its own routes.
---
---     return recsys.serve_recipe {
---       about = "The front page of a news site",
---       bundle = "registry:two_tower@champion",
---       handlers = { ["POST /frontpage"] = function(request, server) ... end },
---       before = function(asked, server, request) ... end,   -- of each /recommend
---       after = function(answer, server, request) ... end,
---     }
---
--- `recsys-run serve FILE.lua` loads the file once in each worker, in a Lua state of its own (docs/serving.md,
--- "Handlers in a recipe").

local serve_recipe = {}

local Recipe = { __name = "recsys.ServeRecipe" }

local methods = { GET = true, POST = true, PUT = true, DELETE = true }
local limits_of <const> = { time = { least = 0.001, most = 3600, unit = "seconds" },
  memory = { least = 1, most = 1 << 20, unit = "MiB" } }
local known = { name = true, about = true, bundle = true, handlers = true, before = true, after = true, limits = true }

local function refuse(message, ...)
  error(("bad argument #1 to 'serve_recipe' (" .. message .. ")"):format(...), 4)
end

--- "POST /frontpage/{section}" as { method, path, names }.
local function route_of(word)
  local method, path = tostring(word):match "^(%u+) (/[%w%-_.~/{}]*)$"
  if not method or not methods[method] then
    refuse("a handler's key is a method and a path, as in [\"POST /frontpage\"], not '%s'", tostring(word))
  end
  local names = {}
  local plain = path:gsub("{(%a[%w_]*)}", function(name)
    names[#names + 1] = name
    return "_"
  end)
  if plain:find "[{}]" or #names > 2 then refuse("'%s' has at most two {parts}, each a name", path) end
  return { method = method, path = path, names = names }
end

local function check(spec)
  if type(spec) ~= "table" then refuse "a table is expected" end
  for field in pairs(spec) do
    if not known[field] then refuse("there is no field '%s'", tostring(field)) end
  end
  for field, kind in pairs { bundle = "string", name = "string", about = "string", handlers = "table",
    before = "function", after = "function", limits = "table" } do
    if spec[field] ~= nil and type(spec[field]) ~= kind then refuse("field '%s' must be a %s", field, kind) end
  end
  for limit, value in pairs(spec.limits or {}) do
    local range = limits_of[limit]
    if not range then refuse("there is no limit '%s' (time, memory)", tostring(limit)) end
    if math.type(value) == nil or not (value >= range.least and value <= range.most) then
      refuse("the limit '%s' must be a number of %s, %s to %s", limit, range.unit, range.least, range.most)
    end
  end
end

--- Refuse a second handler of the same calls.
local function check_twice(routes)
  local had = {}
  for _, route in ipairs(routes) do
    local calls = route.method .. " " .. route.path:gsub("{[^}]*}", "{}")
    if had[calls] then
      refuse("'%s %s' and '%s' are the same calls", route.method, route.path, had[calls])
    end
    had[calls] = route.method .. " " .. route.path
  end
end

--- Describe what is served.
---@param spec { about?: string, name?: string, bundle?: string, handlers?: table<string, function>, before?: function,
---   after?: function, limits?: { time?: number, memory?: number } }
---   bundle: as `recsys-run serve` takes it; limits: seconds of a call (0.1; 0.001 to 3,600) and MiB of a worker's Lua
---   (64; 1 to 1,048,576)
---@return recsys.ServeRecipe
function serve_recipe.new(spec)
  check(spec)
  local routes = {}
  for word, handler in pairs(spec.handlers or {}) do
    local route = route_of(word)
    if type(handler) ~= "function" then refuse("the handler of '%s' is no function", word) end
    if route.path == "/recommend" then refuse "/recommend is the server's own: use 'before' and 'after'" end
    route.handler = handler
    routes[#routes + 1] = route
  end
  table.sort(routes, function(a, b) return a.path .. " " .. a.method < b.path .. " " .. b.method end)
  check_twice(routes)
  local limits = spec.limits or {}
  return setmetatable({ about = spec.about, name = spec.name, bundle = spec.bundle, routes = routes,
    before = spec.before, after = spec.after,
    limits = { time = limits.time or 0.1, memory = limits.memory or 64 } }, Recipe)
end

--- What a recipe's file returns. Raises { code = "usage" } when it is no serve recipe.
---@param path string
---@param text? string  what the file holds, else it is read
---@return recsys.ServeRecipe
function serve_recipe.load(path, text)
  local chunk, message
  if text then
    text = text:gsub("^\239\187\191", ""):gsub("^#[^\n]*", "") -- as loadfile passes over them
    chunk, message = load(text, "@" .. path, "t")
  else
    chunk, message = loadfile(path, "t")
  end
  if not chunk then error({ code = "usage", message = "cannot read the serve recipe: " .. message }, 0) end
  local ok, found = pcall(chunk)
  if not ok then
    local said = type(found) == "table" and found.message or found
    if type(said) ~= "string" then said = "it raises an error without a message" end
    error({ code = "usage", message = said:find("^[^:]+:%d+: ") and said or path .. ": " .. said }, 0)
  end
  if getmetatable(found) ~= Recipe then
    error({ code = "usage", message = path .. " returns no serve recipe: end it by return recsys.serve_recipe {...}" },
      0)
  end
  return found
end

return setmetatable(serve_recipe, { __call = function(_, spec) return serve_recipe.new(spec) end })
