--- The rows of `recsys-run bench train`, our side of each on a fiftieth of its data.
local bench = require "recsys.bench"
local command = require "spec.support.command"
local json = require "recsys.json"

describe("recsys-run bench train", function()
  if command.sanitized then pending "a sanitized build times nothing" return end

  local folder = os.tmpname()
  os.remove(folder)
  teardown(function() os.execute(("rm -rf '%s'"):format(folder)) end)

  local counted = { retrieval_static = true, retrieval_history = true, retrieval_large = true, panel_kernels = true }
  local learning = { retrieval_static = true, retrieval_history = true, retrieval_large = true,
    regression_towers = true }

  for _, name in ipairs(bench.list "train") do
    it("runs " .. name, function()
      local ended = command.run(("'%s' bench train --row %s --scale 0.02 --rounds 1 --repeats 1 --threads 2 --no-peers "
        .. "--json --folder '%s'"):format(command.program, name, folder))
      assert.equal(0, ended.code, ended.err)
      local printed = assert(json.decode(ended.out))
      local row, side = printed.rows[1], printed.details[1].sides.recsys
      assert.equal(name, row.name)
      assert.equal(2, row.threads)
      assert.is_true(row.ours > 0)
      if counted[name] then assert.is_true(row.share_of_peak > 0) end
      if learning[name] then assert.is_true(side.facts.last_loss < side.facts.first_loss) end
      if name == "panel_kernels" then assert.equal("model", row.peer_name) end
    end)
  end
end)
