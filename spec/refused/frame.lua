-- frame.lua - frames under refused memory: reading, making, operations, storing.
local core = require "recsys.core"
local frame, tensor = core.frame, core.tensor

local scratch = ...
local path = (scratch or os.tmpname()) .. ".csv"
local f = frame.from {
  { "user", "string", { "a", "b", "a", false } },
  { "n", "number", tensor.new({ 3, 1, 2, 5 }, "i32") },
  { "t", "time", { 1000, 2000, false, 4000 } },
  { "tags", "list", { { "x", "y" }, false, { "y" }, {} } },
  { "kind", "string", { codes = tensor.new({ 1, 0, 2, 1 }, "i32"), strings = { "k", "l" } } },
}
assert(frame.write_csv(path, f, { escape = "backslash" }))
local again, report = frame.read_csv(path, { types = { tags = { "list", "|" }, n = "number" }, nulls = { "-" },
  columns = { "user", "n", "t", "tags", "kind" }, quarantine = path .. ".bad" })
assert(again, report)
assert(report.rows == 4 and again:value("t", 2) == 2000)
local twice, reports = frame.read_csv({ path, path }, { types = { tags = "list" } })
assert(twice and twice:rows() == 8 and #reports.files == 2 and #frame.glob(path .. "*") == 2)
os.remove(path)
os.remove(path .. ".bad")
do
  local file <close> = assert(io.open(path, "w"))
  file:write('{"user": "a\\u00e9", "n": 1, "tags": ["x", "y"], "at": {"t": "2024-01-01"}}\n{"n": 2, "m": true}\nno\n')
end
local lines, noted = frame.read_jsonl(path, { bad_limit = 0.5, quarantine = path .. ".bad", types = { n = "number" } })
assert(lines and lines:rows() == 2 and noted.quarantined == 1 and lines:has "at.t" and lines:has "m", noted)
os.remove(path)
os.remove(path .. ".bad")
assert(again:sort("-n", "user"):text("user", 1) == nil and #again:text("tags", 1) == 2)
assert(again:filter(again:where("user", "in", { "a" })):rows() == 2)
assert(again:filter(tensor.new({ 1, 0, 0, 1 }, "u8")):rows() == 2)
local groups = again:group_by("user",
  { { "n", "sum", "n" }, { "last", "max", "t" }, { "kinds", "n_distinct", "kind" } })
assert(groups:rows() == 3 and again:distinct({ "user" }, "last"):rows() == 3)
assert(again:group_by("user", { { "m", "median", "n" }, { "s", "std", "n" }, { "k", "mode", "kind" },
  { "l", "list", "tags" }, { "best", "arg_max", "kind", "n" }, { "low", "min", "n" } }):rows() == 3)
assert(again:distinct("user", { best = { "-n", "t" } }):value("n", 1) == 3)
assert(again:join(groups:select { "user", "last" }, "user", "left"):rows() == 4)
assert(again:asof(f:select { "user", "t", "kind" }:with("k2", f, "kind"):select { "user", "t", "k2" },
  { on = "t", by = "user", strict = true }):rows() == 4)
for _, call in ipairs {
  { "add", f, 1 }, { "concat", f:select { "user" }, f:select { "kind" } }, { "lower", f:select { "user" } },
  { "is_in", f:select { "user" }, "a", "q" }, { "eq", f:select { "user" }, f:select { "kind" } },
  { "if_else", f:select { "n" }, f:select { "user" }, "z" }, { "as_string", f:select { "n" } },
  { "gt", f:select { "t" }, "1970-01-01" }, { "fill_missing", f:select { "t" }, { "time", 5 } },
} do
  local op = table.remove(call, 1)
  if op == "add" then call[1] = f:select { "n" } end
  assert(frame.apply(op, 4, call):rows() == 4)
end
assert(again:window("user", { "t", "-n" }, { { "r", "rank" }, { "c", "cum_sum", "n" }, { "p", "lag", "tags" },
  { "s", "session", "t", 500 }, { "share", "share", "n" } }):rows() == 4)
local ids = tensor.new({ 0, 1, 1 }, "i64")
assert(#frame.negatives { users = ids, known_users = ids, known_items = ids, n_users = 2, n_items = 3, n = 2,
  weights = tensor.new({ 1, 2, 3 }, "f64") } == 3)
assert(again:lookup(groups, "user"):get(2) == 1)
assert(frame.concat { again, f }:rows() == 8 and frame.k_core(f, "user", "kind", 1):rows() == 2)
local schema = {}
for i, name in ipairs(f:names()) do schema[i] = { name = name, type = f:type(name) } end
assert(assert(frame.from_tensors(f:tensors(), schema)):with("n", "number", { 1, 2, 3, 4 }):with("m", f, "n"):has "m")
assert(f:code("user", "b") == 2 and #f:strings "tags" == 2 and #frame.hash "x" == 32)
assert(frame.hash(core.tensor.new({ 1, 2 }, "f32"):narrow(1, 2, 1)) == frame.hash "\0\0\0\64")
assert(frame.parse_time(frame.format_time(86400123)) == 86400123 and f:rows() == 4)
assert(frame.write_csv(path, f, { times = "ms" }) and #assert(frame.hash_file(path)) == 32)
os.remove(path)
assert(select(2, f:groups { "user", "kind" }) == 4 and select("#", f:column "tags") == 3)
f:close()
