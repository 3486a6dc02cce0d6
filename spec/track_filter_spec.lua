--- Searches in MLflow's language: what they find, in which order, on which page, and what they refuse.

local command = require "spec.support.command"
local filter = require "recsys.track.filter"
local page = require "recsys.track.page"
local searched = require "spec.support.searched"

local db, few, near
before_each(function() db, few, near = searched.open(), filter.few, filter.near end)
after_each(function()
  db:close()
  filter.few, filter.near = few, near
end)

local function id(n) return ("%032x"):format(n) end

local function add(n, run)
  run.run_id, run.experiment_id = id(n), run.experiment_id or 1
  run.lifecycle_stage, run.start_time = run.lifecycle_stage or "active", run.start_time or 1000 + n
  searched.add(db, run)
end

--- The numbers of the runs that a search finds, in order.
local function find(text, order_by, more)
  local request = { experiment_ids = { "1" }, filter = text, order_by = order_by }
  for key, value in pairs(more or {}) do request[key] = value end
  local ids, token = filter.runs(db, request)
  local numbers = {}
  for i, run_id in ipairs(ids) do numbers[i] = tonumber(run_id, 16) end
  return numbers, token
end

local nan = 0 / 0

local function some_runs()
  add(1, { name = "one", status = "FINISHED", user_id = "ann", end_time = 5000,
    metrics = { loss = 0.5, ["val loss"] = 2 }, params = { lr = "0.1", ["a b"] = "x" },
    tags = { ["mlflow.note"] = "Best", stage = "test" } })
  add(2, { name = "two", status = "FAILED", user_id = "bob", metrics = { loss = nan }, params = { lr = "0.2" },
    tags = { stage = "prod" } })
  add(3, { name = "Three", status = "FINISHED", user_id = "ann", end_time = 4000, metrics = { loss = -1e-3 },
    params = { lr = "0.1" } })
  add(4, { name = "four", status = "RUNNING", metrics = { ["loss/valid"] = 1 },
    datasets = { { name = "news", digest = "abc", context = "training" } } })
  add(5, { name = "five", lifecycle_stage = "deleted", metrics = { loss = 0.5 } })
  add(6, { name = "six", experiment_id = 2, metrics = { loss = 0.5 } })
end

describe("a filter of runs", function()
  before_each(some_runs)

  for _, size in ipairs { 4000, 1 } do
    it(("finds by metrics, parameters, tags and attributes (plans of more than %d runs)"):format(size), function()
      filter.few = size
      assert.same({ 4, 3, 2, 1 }, find(nil))
      assert.same({ 4, 3, 2, 1 }, find "  ")
      assert.same({ 3 }, find "metrics.loss < .5")
      assert.same({ 3, 1 }, find "metric.loss <= 5e-1")
      assert.same({ 1 }, find 'metrics.`val loss` = 2 AND metrics."val loss" >= 2.0')
      assert.same({ 4 }, find "metrics.loss/valid=1")
      assert.same({ 3, 1 }, find "params.lr = '0.1'")
      assert.same({ 2 }, find "parameters.lr != \"0.1\"")
      assert.same({ 1 }, find "param.`a b` LIKE 'x%' and tag.stage ilike 'TE_T'")
      assert.same({}, find "tags.stage LIKE 'TE_T'")
      assert.same({ 4, 3 }, find "tags.stage IS NULL")
      assert.same({ 2, 1 }, find "tags.stage is not null")
      assert.same({ 1 }, find "tags.`mlflow.note` = 'Best'")
      assert.same({ 3, 1 }, find "status = 'FINISHED' AND attributes.user_id = 'ann'")
      assert.same({ 3 }, find "attr.`Run name` LIKE 'T%'")
      assert.same({ 3, 2 }, find "run.run_name ILIKE 't%'")
      assert.same({ 4, 3 }, find "start_time > 1002")
      assert.same({ 1 }, find "end_time >= 4500")
      assert.same({ 2, 1 }, find(("run_id IN ('%s', '%s','%s')"):format(id(1), id(2), id(99))))
      assert.same({ 4, 3, 2 }, find(("run_id NOT IN ('%s')"):format(id(1))))
      assert.same({ 4 }, find "dataset.name = 'news' AND datasets.digest IN ('abc') AND dataset.context LIKE 'train%'")
      assert.same({}, find "dataset.context = 'test'")
    end)

    it(("orders with NaN and what is missing last (plans of more than %d runs)"):format(size), function()
      filter.few = size
      assert.same({ 3, 1, 2, 4 }, find(nil, { "metrics.loss" }))
      assert.same({ 1, 3, 2, 4 }, find(nil, { "metrics.loss DESC" }))
      assert.same({ 2, 3, 1, 4 }, find(nil, { "params.lr DESC" }))
      assert.same({ 2, 1, 3, 4 }, find(nil, { "params.lr DESC", "metrics.loss desc" }))
      assert.same({ 1, 3, 2, 4 }, find(nil, { "params.lr", "start_time ASC" }))
      assert.same({ 3, 1, 4, 2 }, find(nil, { "end_time" }))
      assert.same({ 1, 3, 4, 2 }, find(nil, { "attributes.end_time DESC" }))
      assert.same({ 1, 2, 3, 4 }, find(nil, { "created ASC" }))
      assert.same({ 2, 1, 4, 3 }, find(nil, { "tags.stage asc" }))
    end)
  end

  it("of NaN holds for != alone", function()
    assert.same({ 2 }, find "metrics.loss != 0.5 AND status = 'FAILED'")
    assert.same({}, find "metrics.loss <= 1 AND status = 'FAILED'")
    assert.same({}, find "metrics.loss = 0")
  end)

  it("looks in the experiments and the stage of life that are named", function()
    assert.same({ 5 }, find("metrics.loss = 0.5", nil, { run_view_type = "DELETED_ONLY" }))
    assert.same({ 6, 5, 1 }, find("metrics.loss = 0.5", nil, { run_view_type = "ALL", experiment_ids = { "1", "2" } }))
    assert.same({}, find(nil, nil, { experiment_ids = {} }))
    assert.same({}, find(nil, nil, { experiment_ids = { "x", "99", "1 OR 1" } }))
  end)

  it("is cut into pages by tokens", function()
    for _, size in ipairs { 4000, 1 } do
      filter.few = size
      for _, order in ipairs { {}, { "metrics.loss" }, { "params.lr DESC" }, { "tags.none" } } do
        local whole, seen, token = find(nil, order), {}, nil
        repeat
          local part
          part, token = find(nil, order, { max_results = 1, page_token = token })
          seen[#seen + 1] = part[1]
        until not token
        assert.same(whole, seen)
        assert.same({}, find(nil, order, { page_token = page.token(50) }))
        assert.same({ whole[3], whole[4] }, find(nil, order, { page_token = page.token(2), max_results = 2 }))
      end
    end
  end)
end)

-- The same by brute force: every condition asked of every run.
local keys, words = { "a", "b", "c" }, { "x", "X", "xy", "y%", "", "x*" }

local function made_up(rng)
  local run = { metrics = {}, params = {}, tags = {}, start_time = 1000 + rng(5),
    status = rng(2) == 1 and "FINISHED" or "FAILED", end_time = rng(3) == 1 and rng(3) or nil }
  for _, key in ipairs(keys) do
    if rng(3) > 1 then run.metrics[key] = rng(6) == 1 and nan or rng(4) - 2.0 end
    if rng(3) > 1 then run.params[key] = words[rng(#words)] end
    if rng(3) > 1 then run.tags[key] = words[rng(#words)] end
  end
  return run
end

local function like(text, pattern)
  pattern = pattern:gsub("[^%w%%_]", "%%%0"):gsub("%%([%%])", "%%%1"):gsub("%%", ".*"):gsub("_", ".")
  return text:find("^" .. pattern .. "$") ~= nil
end

local holds = {
  ["="] = function(a, b) return a == b end, ["!="] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end, [">="] = function(a, b) return a >= b end,
  LIKE = like, ILIKE = function(a, b) return like(a:lower(), b:lower()) end,
}

--- A condition as text and as a function of a run.
local function any_condition(rng)
  local kind, key = ({ "metrics", "params", "tags" })[rng(3)], keys[rng(#keys)]
  local ops = kind == "metrics" and { "=", "!=", "<", ">=" } or { "=", "!=", "LIKE", "ILIKE" }
  local op = ops[rng(#ops)]
  local value = kind == "metrics" and rng(4) - 2 or ({ "x", "x_", "%y", "x%", "%" })[rng(5)]
  return ("%s.%s %s %s"):format(kind, key, op, kind == "metrics" and value or "'" .. value .. "'"), function(run)
    local have = run[kind][key]
    return have ~= nil and holds[op](have, value)
  end
end

local function rank_of(run, kind, key)
  local value = run[kind][key]
  return value == nil and 2 or value ~= value and 1 or 0, value
end

local function before(a, b, kind, key, descending)
  local ra, va = rank_of(a, kind, key)
  local rb, vb = rank_of(b, kind, key)
  if ra ~= rb then return ra < rb end
  if ra == 0 and va ~= vb then return (va < vb) ~= descending end
  if a.start_time ~= b.start_time then return a.start_time > b.start_time end
  return a.run_id < b.run_id
end

--- The page of a search that begins at a place.
local function page_of(text, order_by, offset, size)
  return (find(text, order_by, { page_token = page.token(offset), max_results = size }))
end

describe("a search by brute force", function()
  it("gives the same runs in the same order, whatever the plan", function()
    local state = 11
    local function rng(n)
      state = (state * 1103515245 + 12345) & 0x7fffffff
      return (state >> 8) % n + 1
    end
    local all = {}
    for n = 1, 60 do
      local run = made_up(rng)
      add(n, run)
      all[n] = run
    end
    local found = 0
    for _ = 1, 120 do
      local texts, tests, want = {}, {}, {}
      for i = 1, rng(3) do texts[i], tests[i] = any_condition(rng) end
      local kind, key, descending = ({ "metrics", "params", "tags" })[rng(3)], keys[rng(#keys)], rng(2) == 1
      for _, run in ipairs(all) do
        local ok = true
        for _, test in ipairs(tests) do ok = ok and test(run) end
        if ok then want[#want + 1] = run end
      end
      table.sort(want, function(a, b) return before(a, b, kind, key, descending) end)
      for i, run in ipairs(want) do want[i] = tonumber(run.run_id, 16) end
      found = found + #want
      local text, order = table.concat(texts, " AND "), ("%s.%s%s"):format(kind, key, descending and " DESC" or "")
      for _, size in ipairs { 0, 9, 4000 } do
        filter.few = size
        assert.same(want, (find(text, { order })), text .. " by " .. order)
        assert.equal(#want, filter.count(db, { experiment_ids = { "1" }, filter = text }), text)
        filter.near = rng(2) == 1 and 0 or near
        local offset, n = rng(#want + 2) - 1, rng(9)
        assert.same({ table.unpack(want, offset + 1, offset + n) }, page_of(text, { order }, offset, n),
          ("%s by %s from %d"):format(text, order, offset))
      end
    end
    assert.is_true(found > 500)
  end)

  it("gives the same deep pages, of which the rows before are skipped", function()
    local state = 5
    local function rng(n)
      state = (state * 1103515245 + 12345) & 0x7fffffff
      return (state >> 8) % n + 1
    end
    for n = 1, 150 do
      local run = { start_time = 1000 + rng(20), metrics = {}, params = {}, tags = {},
        experiment_id = rng(5) == 1 and 2 or nil, lifecycle_stage = rng(6) == 1 and "deleted" or nil }
      if rng(5) > 1 then run.metrics.many = rng(3) == 1 and rng(4) or rng(1000) / 7 end
      if rng(6) == 1 then run.metrics.many = nan end
      if rng(4) > 1 then run.metrics.few = rng(3) end
      if rng(9) > 1 then run.params.many, run.params.few = tostring(rng(60)), tostring(rng(3)) end
      if rng(7) == 1 then run.tags.parent, run.tags.many = "x", tostring(rng(50)) end
      add(n, run)
    end
    local checked = 0
    for _, text in ipairs { "", "tags.parent IS NULL", "tags.parent IS NULL AND params.few IS NULL",
      "metrics.many != 3", "params.few != '1' AND tags.parent IS NULL AND metrics.many > 1" } do
      for _, order in ipairs { "metrics.many", "metrics.many DESC", "metrics.few", "metrics.few DESC", "params.many",
        "params.many DESC", "params.few", "params.few DESC", "tags.many", "tags.none DESC", "start_time" } do
        for _, orders in ipairs { { order }, { order, "metrics.other DESC" }, { order, "params.`other few`" } } do
          filter.few = 4000
          local want = find(text, orders)
          assert.equal(#want, filter.count(db, { experiment_ids = { "1" }, filter = text }))
          filter.few, filter.near = 0, 0
          assert.equal(#want, filter.count(db, { experiment_ids = { "1" }, filter = text }))
          for _ = 1, 6 do
            local offset, n = rng(#want + 3) - 1, rng(40)
            assert.same({ table.unpack(want, offset + 1, offset + n) }, page_of(text, orders, offset, n),
              ("%s by %s from %d"):format(text, table.concat(orders, ", "), offset))
            checked = checked + (offset < #want and 1 or 0)
          end
        end
      end
    end
    assert.is_true(checked > 800)
  end)
end)

describe("a search of the top level", function()
  --- Runs of which many stand under others: under runs that are there, deleted, of another experiment, not there, or
  --- under themselves.
  local function family(rng)
    local parents = {}
    for n = 1, 150 do
      local parent = rng(3) > 1 and (rng(9) == 1 and n or rng(12)) or nil
      add(n, { start_time = 1000 + rng(20), metrics = { many = rng(1000) / 7, few = rng(4) > 1 and rng(3) or nil },
        params = { half = tostring(rng(2)) }, experiment_id = rng(5) == 1 and 2 or nil,
        lifecycle_stage = rng(5) == 1 and "deleted" or nil,
        tags = parent and { ["mlflow.parentRunId"] = rng(20) == 1 and "gone" or id(parent) } or {} })
      parents[n] = db:row("SELECT value FROM tags WHERE run_uuid = ?", { id(n) })
      parents[n] = parents[n] and parents[n].value
    end
    return parents
  end

  it("leaves out those that stand under one that is found, whatever the plan", function()
    local state = 3
    local parents, checked, left = family(function(n)
      state = (state * 1103515245 + 12345) & 0x7fffffff
      return (state >> 8) % n + 1
    end), 0, 0
    for _, text in ipairs { "", "params.half = '1'", "metrics.few > 1", "params.none IS NULL",
      "metrics.many > 40 AND params.half != '2'", "status = 'FAILED'" } do
      for _, view in ipairs { "ACTIVE_ONLY", "ALL", "DELETED_ONLY" } do
        for _, order in ipairs { "metrics.many", "metrics.many DESC", "metrics.few DESC", "params.half",
          "start_time" } do
          local more = { run_view_type = view, experiment_ids = { "1", view == "ALL" and "2" or nil } }
          filter.few = 4000
          local all, found, want = find(text, { order }, more), {}, {}
          for _, n in ipairs(all) do found[id(n)] = true end
          for _, n in ipairs(all) do
            if not found[parents[n]] or parents[n] == id(n) then want[#want + 1] = n end
          end
          left = left + #all - #want
          for _, size in ipairs { 4000, 20, 0 } do
            filter.few, filter.near, more.top, more.filter = size, 0, true, text
            more.page_token, more.max_results = nil, nil
            assert.same(want, (find(text, { order }, more)), ("%s, %s by %s"):format(text, view, order))
            assert.equal(#want, filter.count(db, more), text)
            more.page_token, more.max_results = page.token(#want // 2), 4
            assert.same({ table.unpack(want, #want // 2 + 1, #want // 2 + 4) }, (find(text, { order }, more)))
            checked = checked + #want
          end
        end
      end
    end
    assert.is_true(checked > 2000 and left > 1000)
  end)
end)

describe("a search of experiments", function()
  before_each(function()
    db:execute [[
      DELETE FROM experiments;
      INSERT INTO experiments VALUES (0, 'Default', '', 'active', 10, 10), (1, 'news', '', 'active', 20, 40),
        (2, 'movies', '', 'active', 20, 30), (3, 'gone', '', 'deleted', 30, 30);
      INSERT INTO experiment_tags VALUES ('team', 'a', 1), ('team', 'b', 2)]]
  end)

  local function experiments(text, order_by, more)
    local request = { filter = text, order_by = order_by }
    for key, value in pairs(more or {}) do request[key] = value end
    return filter.experiments(db, request)
  end

  it("filters and orders as MLflow does", function()
    assert.same({ 1, 2, 0 }, experiments())
    assert.same({ 3 }, experiments(nil, nil, { view_type = "DELETED_ONLY" }))
    assert.same({ 3, 1, 2, 0 }, experiments(nil, nil, { view_type = "ALL" }))
    assert.same({ 0, 2, 1 }, experiments(nil, { "name ASC" }))
    assert.same({ 2, 1, 0 }, experiments(nil, { "creation_time DESC" }))
    assert.same({ 2 }, experiments "tags.team != 'a'")
    assert.same({ 1 }, experiments "attribute.name ILIKE 'N%' AND last_update_time > 30")
    local first, token = experiments(nil, nil, { max_results = 2 })
    assert.same({ 1, 2 }, first)
    assert.same({ 0 }, experiments(nil, nil, { max_results = 2, page_token = token }))
  end)
end)

describe("a search of the registry", function()
  before_each(function()
    db:execute [[
      INSERT INTO registered_models VALUES ('a', 1, 30, NULL), ('b', 2, 20, NULL), ('c', 3, 20, NULL),
        ('p', 4, 9, NULL);
      INSERT INTO registered_model_tags VALUES ('team', 'x', 'a'), ('mlflow.prompt.is_prompt', 'true', 'p'),
        ('mlflow.prompt.is_prompt', 'false', 'c');
      INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, run_id) VALUES
        ('a', 1, 1, 10, 'None', 's1', 'r1'), ('a', 2, 2, 30, 'None', 's2', 'r2'), ('b', 1, 3, 30, 'None', 's3', 'r1'),
        ('a', 10, 2, 5, 'None', 's2', 'r2'), ('b', 2, 9, 99, 'Deleted_Internal', 's', 'r1');
      INSERT INTO model_version_tags VALUES ('k', 'v', 'a', 2)]]
  end)

  local function models(text, order_by)
    return (filter.registered_models(db, { filter = text, order_by = order_by }))
  end

  local function versions(text, order_by)
    local list = filter.model_versions(db, { filter = text, order_by = order_by })
    for i, row in ipairs(list) do list[i] = row.name .. row.version end
    return list
  end

  it("shows prompts to who asks for them, and passes models without the tag", function()
    assert.same({ "a", "b", "c" }, models())
    assert.same({ "a", "b", "c" }, models "tag.`mlflow.prompt.is_prompt` != 'true'")
    assert.same({ "a" }, models "name LIKE 'a%' AND tag.`mlflow.prompt.is_prompt` != 'true'")
    assert.same({ "p" }, models "tag.`mlflow.prompt.is_prompt` = 'true'")
    assert.same({ "a" }, models "tags.team = 'x'")
    assert.same({}, models "tags.team != 'x'")
  end)

  it("orders models and versions", function()
    assert.same({ "c", "b", "a" }, models(nil, { "name DESC" }))
    assert.same({ "a", "b", "c" }, models(nil, { "last_updated_timestamp DESC" }))
    assert.same({ "b", "c", "a" }, models(nil, { "timestamp" }))
    assert.same({ "a2", "b1", "a1", "a10" }, versions())
    assert.same({ "a10", "a2", "a1" }, versions("name='a'", { "version_number DESC" }))
    assert.same({ "a10", "a2", "a1", "b1" }, versions(nil, { "name" }))
  end)

  it("finds versions by name, number, run, source and tag", function()
    assert.same({ "a2", "a10" }, versions "name = 'a' AND version_number >= 2")
    assert.same({ "b1", "a1" }, versions "run_id = 'r1'")
    assert.same({ "a2", "b1", "a1", "a10" }, versions "run_id IN ('r1', 'r2')")
    assert.same({ "a2", "a10" }, versions "source_path LIKE '%2'")
    assert.same({ "a2" }, versions "tags.k = 'v'")
  end)
end)

describe("what makes no sense", function()
  local function refused(message, text, order_by, more)
    local ok, problem = pcall(find, text, order_by, more)
    assert.is_false(ok)
    assert.equal("INVALID_PARAMETER_VALUE", problem.code)
    assert.equal(message, problem.message)
  end

  it("is refused with MLflow's words and the place", function()
    refused("Invalid clause(s) in filter string: 'OR' (at character 18)", "metrics.loss < 1 OR metrics.loss > 2")
    refused("Invalid clause(s) in filter string: '(' (at character 1)", "(metrics.loss < 1)")
    refused("Invalid clause(s) in filter string: ';' (at character 17)", "metrics.loss < 1; DROP TABLE runs")
    refused("Invalid clause(s) in filter string: a condition must follow AND (at character 21)", "metrics.loss < 1 AND")
    refused("Invalid clause(s) in filter string: ' is not closed (at character 14)", "params.lr  = '0.1")
    refused("Invalid entity type 'foo'. Valid values are 'attribute', 'dataset', 'metric', 'parameter', 'tag' "
      .. "(at character 1)", "foo.bar = 'x'")
    refused("Invalid attribute key 'bar' specified. Valid keys are 'artifact_uri', 'end_time', 'run_id', 'run_name', "
      .. "'start_time', 'status', 'user_id' (at character 1)", "bar = 'x'")
    refused("Invalid dataset key 'x' specified. Valid keys are 'context', 'digest', 'name' (at character 1)",
      "dataset.x = 'y'")
    refused("Expected numeric value type for metric. Found ''0.5'' (at character 16)", "metrics.loss < '0.5'")
    refused("Expected numeric value type for metric. Found '1e999' (at character 16)", "metrics.loss < 1e999")
    refused("Expected numeric value type for metric. Found '5x' (at character 16)", "metrics.loss < 5x")
    refused("Expected numeric value type for numeric attribute: start_time. Found ''a'' (at character 14)",
      "start_time > 'a'")
    refused("Expected a quoted string value for parameter (e.g. 'my-value'). Got value '0.1' (at character 13)",
      "params.lr = 0.1")
    refused("Invalid comparator 'LIKE' not one of '!=', '<', '<=', '=', '>', '>=' (at character 14)",
      "metrics.loss LIKE 'x'")
    refused("Invalid comparator '<' not one of '!=', '=', 'ILIKE', 'IS NOT NULL', 'IS NULL', 'LIKE' (at character 11)",
      "params.lr < '1'")
    refused("Invalid comparator '==' not one of '!=', '=', 'ILIKE', 'LIKE' (at character 8)", "status == 'x'")
    refused("While parsing a list in the query, expected a non-empty list of string values, but got ')' "
      .. "(at character 12)", "run_id IN ()")
    refused("While parsing a list in the query, expected ',' or ')', but got ''b'' (at character 16)",
      "run_id IN ('a' 'b')")
    refused("Invalid comparison clause. Expected comparison found '' (at character 8)", "status ")
    refused("Invalid ordering key in order_by clause 'metrics.loss': 'UP' (at character 14)", nil,
      { "metrics.loss UP" })
    refused("`order_by` contains duplicate fields: 'start_time'", nil, { "created", "start_time DESC" })
    refused("Invalid order_by entity type 'dataset' (at character 1)", nil, { "dataset.name" })
    refused("Invalid page token, could not base64-decode", nil, nil, { page_token = "!!" })
    refused("Invalid page token, decoded value=\"hello\"", nil, nil, { page_token = "aGVsbG8=" })
    refused("Invalid value 50001 for parameter 'max_results' supplied: it must be at most 50000.", nil, nil,
      { max_results = 50001 })
    refused("Invalid value 0 for parameter 'max_results' supplied: it must be a positive integer.", nil, nil,
      { max_results = 0 })
    refused("Invalid view type 'NONE'. Valid values are 'ACTIVE_ONLY', 'DELETED_ONLY' and 'ALL'", nil, nil,
      { run_view_type = "NONE" })
    refused("Invalid filter: it must be a string, not a table", {})
  end)

  it("counts characters, not bytes", function()
    refused("Invalid clause(s) in filter string: 'OR' (at character 15)", "tags.ä = 'öü' OR status = 'x'")
  end)

  it("of any shape is found to be nothing or refused, and never reaches the database as a statement", function()
    some_runs()
    local hostile = { "'", "''", "tags.`x", "tags.x = ''; DELETE FROM runs; --'", "metrics.loss = 1 --", "\0",
      "tags.\0 = 'x'", "tags.x = '\0'", "tags.`'); DROP TABLE runs; --` = 'x'", "tags.x = 'a' /* */", ("("):rep(10000),
      ("status = 'x' AND "):rep(5000) .. "status = 'x'", ("x"):rep(1 << 20), "metrics.a = " .. ("9"):rep(5000),
      "tags.x LIKE '" .. ("%a"):rep(20000) .. "'", "\xff\xfe = 'x'", "tags.\xff = 'x'", "metrics. = 1", ".x = 1",
      "run_id IN (" .. ("'a',"):rep(9000) .. "'a')", "metrics.loss = 0x10", "metrics.loss = nan", "not a = 'b'" }
    for _, text in ipairs(hostile) do
      local ok, result = pcall(find, text)
      if ok then assert.same({}, result) else assert.equal("INVALID_PARAMETER_VALUE", result.code) end
      ok, result = pcall(find, nil, { text })
      if ok then assert.equal(4, #result) else assert.equal("INVALID_PARAMETER_VALUE", result.code) end
      ok, result = pcall(find, nil, nil, { page_token = text })
      assert.is_false(ok)
      assert.equal("INVALID_PARAMETER_VALUE", result.code)
    end
    assert.equal(6, db:row("SELECT count(*) AS n FROM runs").n)
  end)

  it("of random pieces never fails otherwise", function()
    some_runs()
    local pieces = { "metrics", ".", "loss", "`", "'", '"', " ", "=", "<", "LIKE", "IN", "(", ")", ",", "5", "-", "AND",
      "NOT", "IS", "NULL", "tags", "status", "\0", "\xc3", "%", "run_id" }
    local state = 5
    for _ = 1, 3000 do
      local text = {}
      for i = 1, 8 do
        state = (state * 1103515245 + 12345) & 0x7fffffff
        text[i] = pieces[(state >> 8) % #pieces + 1]
      end
      local ok, result = pcall(find, table.concat(text), nil, nil)
      assert.is_true(ok or type(result) == "table" and result.code == "INVALID_PARAMETER_VALUE", table.concat(text))
    end
  end)
end)

describe("100,000 runs with 20 parameters and 10 metrics", function()
  local long = os.getenv "RECSYS_LONG"
  local test = long and it or function(name) pending(name .. " (RECSYS_LONG is not set)") end

  test("are searched in under 100 ms", function()
    local folder = command.scratch(finally)
    local big <close> = searched.large(folder .. "/large.db", 100000)
    for _, case in ipairs(searched.cases) do
      local best = math.huge
      for _ = 1, 3 do
        local clock = os.clock()
        local ids = filter.runs(big, { experiment_ids = { "1" }, filter = case.filter, order_by = case.order_by,
          max_results = 100 })
        best = math.min(best, os.clock() - clock)
        if case.found ~= false then assert.equal(case.found or 100, #ids) end
      end
      assert.is_true(best < 0.1, ("%s by %s: %.0f ms"):format(case.filter, (case.order_by or {})[1], best * 1000))
    end
  end)
end)
