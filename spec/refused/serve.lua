-- serve.lua - a served model under refused memory; the bundle is made once, with all the memory it wants.
local core = require "recsys.core"

local scratch = ...
local path = scratch .. "/tiny-1.tar"
local file = io.open(path)
if file then
  file:close()
else
  package.path = package.path .. ";" .. package.path:match "(.-)lua/%?%.lua" .. "?.lua"
  local tiny = require "spec.support.tiny_model"
  tiny.publish(tiny.build(), scratch, { window = 5 * tiny.day })
  tiny.publish_counting(scratch)
end

local model <close> = assert(core.serve.open(path))
local mapped <close> = assert(core.serve.map(path))
do
  local copied <close> = assert(core.serve.open(path, true))
  local later <close> = assert(core.serve.map(path, true))
  assert(later:verify() and later:member "manifest.json" == copied:member "manifest.json" and not copied:member "none")
end
assert(mapped:verify() and mapped:digest() == model:digest())
local answer = assert(model:recommend { user = "u1", k = 3, now = 10 * 86400000 })
assert(answer.known and #answer.items == 3)
assert(#assert(model:recommend { user = "new", fields = '{"platform": "ios", "platfrom": 1}', history = { "i9", "gone",
  { item = "i2", time = 86400000, fields = '{"kind": "read"}' } } }).items > 0)
answer = assert(model:recommend { user = "u1", k = 4, exclude = { "i5", "gone" }, caps = { kind = 2 },
  filter = '{"or": [{"kind": ["city"]}, {"created": {"gte": "1970-01-04"}}], "not": {"item": "i7"}}',
  diversity = { lambda = 0.5, pool = 8 }, freshness = { boost = 1, half_life = 86400000 } })
assert(#answer.items == 4 and answer.unknown == 1)
assert(#model:recommend({ user = "new", k = 2 }).items == 2)
assert(model:answer('{"users": ["u1", {"user": "\\u00e4", "exclude": ["i1"], "caps": {"kind": 1}}, {"k": 0}]}')
  :find('"users[2].k: is 0; 1 to 1000 items can be asked for"', 1, true))
assert(model:answer('{"items": ["i1", "gone"], "k": 2, "exclude": ["i2"]}', "similar"):find "there is no item 'gone'")
assert(model:answer('{"user": "u1", "items": ["i1", "gone"]}', "score"):find '"i1","score":')
assert(model:answer('{"users": ["u1", "new"]}', "embed") and model:answer('{"items": ["i1", "gone"]}', "embed"))
do
  local users, out = scratch .. "/users.csv", scratch .. "/out.csv"
  local file_of_users = assert(io.open(users, "w"))
  file_of_users:write 'user,platform\nu1,\nnew,"ios"\n'
  file_of_users:close()
  local batch <close> = assert(model:batch { users = users, out = out, format = "csv", to = "csv",
    request = '{"k": 2, "exclude": ["i1"]}', key = "a" })
  assert(assert(batch:step() == false) and batch:facts().users == 2)
  assert(batch:step())
  os.remove(out)
end
assert(assert(model:recommend_users { k = 2 }):count() == 12)
assert(model:user(6) == "u6" and model:item(12) == "i12" and model:facts().items == 12)
assert(tostring(model) == "ServedModel of 6 users x 12 items")
assert(model:advance { user = "new", item = "i9", time = 14 * 86400000 })
assert(model:advance { user = "u1", item = "i9", time = 14 * 86400000, fields = "{}" })
assert(not model:advance { user = "u1", item = "gone", time = 14 * 86400000 })
assert(assert(model:recommend_users { k = 2 }):count() == 12 and model:facts().events == 11)
assert(model:put { item = "i13", title = "Later", created = 13 * 86400000, fields = '{"kind": "city"}' })
assert(model:put { item = "i2", title = "Changed" })
assert(not model:put { item = "i14", fields = '{"kind": true}' })
local put = assert(model:recommend { user = "u1", k = 13, now = 14 * 86400000 })
assert(#put.items > 0 and model:facts().items == 13 and select(2, model:item(13)) == "Later")

local counting <close> = assert(core.serve.open(scratch .. "/counting-1.tar"))
assert(counting:advance { user = "u1", item = "i2", time = 14 * 86400000, fields = '{"kind": "read"}' })
assert(counting:refresh(15 * 86400000))
assert(#assert(counting:recommend { user = "u1", k = 2 }).items == 2)
