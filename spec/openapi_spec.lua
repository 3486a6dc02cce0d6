--- openapi.json is such that generators make a whole client of it: what is known to stop them is not there.
--- (`openapi-python-client generate --path lua/recsys/serve/openapi.json` warns of text/csv and JSON Lines alone.)

local openapi = require "spec.support.openapi"

local document = openapi.document
local schemas = document.components.schemas

--- Call 'f(schema, place)' with each schema of the document.
local function each_schema(value, place, f)
  if type(value) ~= "table" then return end
  if value.type or value.anyOf or value.oneOf or value.properties then f(value, place) end
  for key, part in pairs(value) do each_schema(part, place .. "/" .. key, f) end
end

--- The components that a union is made of: itself among them, however far, is what no generator resolves.
local function parts_of(name, seen)
  local schema = schemas[name]
  for _, part in ipairs(schema.anyOf or schema.oneOf or {}) do
    local to = (part["$ref"] or ""):match "^#/components/schemas/(.+)$"
    if to and not seen[to] then
      seen[to] = true
      parts_of(to, seen)
    end
  end
  return seen
end

describe("openapi.json, for generators,", function()
  it("says of each array what it holds", function()
    local arrays = 0
    each_schema(document, "#", function(schema, place)
      local is_array = schema.type == "array"
      for _, one in ipairs(type(schema.type) == "table" and schema.type or {}) do
        is_array = is_array or one == "array"
      end
      if not is_array then return end
      arrays = arrays + 1
      assert.is_table(schema.items, place)
    end)
    assert.is_true(arrays > 15, arrays)
  end)

  it("has unions of types and of names alone, none of which is within itself", function()
    local unions = 0
    each_schema(document, "#", function(schema, place)
      for _, part in ipairs(schema.anyOf or schema.oneOf or {}) do
        unions = unions + 1
        assert.is_true(part["$ref"] ~= nil or part.type ~= "object", place .. ": an object without a name")
      end
    end)
    assert.is_true(unions > 15, unions)
    for name in pairs(schemas) do assert.is_nil(parts_of(name, {})[name], name) end
  end)

  it("gives each operation an id of its own, a tag, a scope and an answer", function()
    local ids, tags, n = {}, {}, 0
    for _, tag in ipairs(document.tags) do tags[tag.name] = false end
    for path, item in pairs(document.paths) do
      for method, operation in pairs(item) do
        if method ~= "parameters" then
          local what = method .. " " .. path
          n = n + 1
          assert.is_string(operation.operationId, what)
          assert.is_nil(ids[operation.operationId], what)
          ids[operation.operationId] = true
          assert.is_table(operation.security, what)
          assert.is_table(operation.responses, what)
          assert.is_true(#operation.tags > 0, what)
          for _, tag in ipairs(operation.tags) do
            assert.is_not_nil(tags[tag], tag)
            tags[tag] = true
          end
        end
      end
    end
    for tag, used in pairs(tags) do assert.is_true(used, tag) end
    assert.is_true(n > 20, n)
  end)

  it("refers to nothing that there is not, and has no schema that nothing refers to", function()
    local used = {}
    local function walk(value)
      if type(value) ~= "table" then return end
      local ref = value["$ref"]
      if ref then
        local at = document
        for part in ref:gmatch "[^#/]+" do at = assert(at[part], ref) end
        used[ref] = true
      end
      for _, part in pairs(value) do walk(part) end
    end
    walk(document)
    for name in pairs(schemas) do assert.is_true(used["#/components/schemas/" .. name], name) end
  end)
end)
