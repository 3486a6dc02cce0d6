--- Where models and feature declarations are found, and what is said when they are not.

local command = require "spec.support.command"
local host = require "recsys.host"
local lookup = require "recsys.lookup"

describe("lookup", function()
  local project

  setup(function()
    project = command.temporary()
    command.run(("mkdir -p %s/recipes/features %s/models"):format(project, project))
    command.write(project .. "/models/lookup_own.lua", "return function() return 'own' end")
    command.write(project .. "/models/mf.lua", "return function() return 'shadow' end")
    command.write(project .. "/models/lookup_table.lua", "return {}")
    command.write(project .. "/models/lookup_empty.lua", "")
    command.write(project .. "/models/lookup_syntax.lua", "local x =\nthis is no Lua")
    command.write(project .. "/models/lookup_raises.lua", "local x = nothing.field")
    command.write(project .. "/recipes/features/lookup_own.lua", "return 'features'")
  end)
  teardown(function()
    command.remove(project)
    lookup.begin "recipes/mf.lua"
  end)

  local function refusal(kind)
    local _, problem = pcall(lookup.model, kind)
    assert.equal("usage", problem.code)
    return problem.message
  end

  it("takes the recipe's own folder, or the one above 'recipes', then the working folder, which is the program's here",
    function()
      lookup.begin(project .. "/recipes/x.lua")
      assert.same({ project, "." }, lookup.folders())
      lookup.begin(project .. "/x.lua")
      assert.same({ project, "." }, lookup.folders())
      for _, file in ipairs { "recipes/mf.lua", "x.lua", "./recipes/mf.lua", host.root .. "/recipes/mf.lua" } do
        lookup.begin(file)
        assert.same({ "." }, lookup.folders())
      end
    end)

  it("prefers a model beside the recipe to the program's of the same name", function()
    lookup.begin(project .. "/recipes/x.lua")
    finally(function() package.loaded["models.mf"] = nil end)
    package.loaded["models.mf"] = nil
    local definition, file = lookup.model "mf"
    assert.equal("shadow", definition())
    assert.equal(project .. "/models/mf.lua", file)
    assert.equal("./models/two_tower.lua", select(2, lookup.model "two_tower"))
  end)

  it("lets require find what lies beside the recipe", function()
    lookup.begin(project .. "/recipes/x.lua")
    assert.equal("own", require "models.lookup_own" ())
    assert.equal("features", require "recipes.features.lookup_own")
    local _, problem = pcall(require, "recipes.features.lookup_none")
    assert.same({ code = "usage", message = ("there is no recipes/features/lookup_none.lua; looked in %s, .")
      :format(project) }, problem)
  end)

  it("names the places and the nearest model when there is none", function()
    lookup.begin(project .. "/recipes/x.lua")
    assert.equal(("model.kind: there is no models/lookup_owm.lua; looked in %s/models, ./models; did you mean "
      .. "'lookup_own'?"):format(project), refusal "lookup_owm")
    assert.matches("looked in .*/models, ./models$", refusal "../xyzzy")
  end)

  it("says what is wrong with a file that gives no definition", function()
    lookup.begin(project .. "/recipes/x.lua")
    assert.matches("lookup_table.lua returns a table; it must end with 'return function%(config, encoder, settings%)",
      refusal "lookup_table")
    assert.matches("lookup_empty.lua returns nothing; it must end with", refusal "lookup_empty")
    assert.matches("lookup_syntax.lua cannot be loaded: .*lookup_syntax.lua:2: syntax error", refusal "lookup_syntax")
    assert.matches("lookup_raises.lua cannot be loaded: .*lookup_raises.lua:1: attempt to index",
      refusal "lookup_raises")
    assert.is_nil(refusal "lookup_raises":find "\n")
  end)
end)
