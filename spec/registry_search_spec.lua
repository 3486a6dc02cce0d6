--- Searches of registered models and their versions, in MLflow's language.

local command = require "spec.support.command"
local models = require "recsys.registry.models"
local schema = require "recsys.track.schema"
local search = require "recsys.registry.search"
local versions = require "recsys.registry.versions"

describe("searches of the registry", function()
  local folder, db

  setup(function()
    folder = command.temporary()
    db = schema.open(folder .. "/mlflow.db")
    for _, name in ipairs { "rmB", "rmA", "other" } do
      models.create(db, { name = name, tags = name == "rmA" and { { key = "team", value = "news" } } or nil })
      for i = 1, 3 do
        versions.create(db, { name = name, source = "runs:/run" .. i .. "/model", run_id = "run" .. i })
      end
    end
    versions.delete(db, { name = "rmA", version = 3 })
    models.create(db, { name = "prompt", tags = { { key = "mlflow.prompt.is_prompt", value = "true" } } })
  end)
  teardown(function()
    db:close()
    command.remove(folder)
  end)

  local function names(request)
    local answer, list = search.registered_models(db, request), {}
    for i, model in ipairs(answer.registered_models or {}) do list[i] = model.name end
    return list, answer.next_page_token
  end

  local function found(request)
    local list = {}
    for i, version in ipairs(search.model_versions(db, request).model_versions or {}) do
      list[i] = version.name .. "-" .. version.version
    end
    return table.concat(list, " ")
  end

  it("find models by name and tag, in order, without prompts, whether they have tags or not", function()
    assert.same({ "other", "rmA", "rmB" }, (names { filter = "tag.`mlflow.prompt.is_prompt` != 'true'" }))
    assert.same({ "rmB", "rmA" }, (names { filter = "name LIKE 'rm%'", order_by = { "name DESC" } }))
    assert.same({ "rmA" }, (names { filter = "tags.team = 'news'" }))
    assert.same({}, (names { filter = "name = 'nobody'" }))
    assert.is_nil(search.registered_models(db, { filter = "name = 'nobody'" }).registered_models)
  end)

  it("give pages", function()
    local first, token = names { max_results = 2 }
    assert.same({ "other", "rmA" }, first)
    local rest, last = names { max_results = 2, page_token = token }
    assert.same({ "rmB" }, rest)
    assert.is_nil(last)
  end)

  it("tell models with their latest versions", function()
    local model = search.registered_models(db, { filter = "name = 'rmA'" }).registered_models[1]
    assert.equal("2", model.latest_versions[1].version)
  end)

  it("find versions by model and run, never deleted ones", function()
    assert.equal("rmA-2 rmA-1", found { filter = "name = 'rmA'", order_by = { "version_number DESC" } })
    assert.equal("other-2 rmA-2 rmB-2", found { filter = "run_id = 'run2'", order_by = { "name" } })
    assert.equal("other-3 rmB-3", found { filter = "run_id = 'run3'", order_by = { "name" } })
    assert.equal("other-1", found { filter = "source_path = 'runs:/run1/model' AND name = 'other'" })
  end)

  it("refuse other words with MLflow's code", function()
    for _, filter in ipairs { "nme = 'x'", "name > 'x'", "name = x" } do
      local ok, problem = pcall(search.registered_models, db, { filter = filter })
      assert.is_false(ok)
      assert.equal("INVALID_PARAMETER_VALUE", problem.code)
    end
  end)
end)
