-- bundle.lua - a bundle and a safetensors file under refused memory.
local core = require "recsys.core"
local bundle, tensor = core.bundle, core.tensor

local scratch = ...
local path = scratch .. "/bundle.tar"
local w = tensor.new({ { 1, 2 }, { 3, 4 } }, "f64")
assert(bundle.write(path, '{"name": "x", "list": [1, 0.5, null]}',
  { { "a.txt", bytes = "hi" }, { "w.safetensors", tensors = { w = w } } }))
do
  local b <close> = assert(bundle.open(path))
  assert(b:text "a.txt" == "hi" and #b:members() == 2 and b:verify())
  assert(assert(b:tensors "w.safetensors").w:get(2, 1) == 3)
  assert(#b:digest() == 64 and b:manifest_text():find "format" and b:manifest().list[2] == 0.5)
  assert(tostring(b) == "Bundle of 2 members")
end
assert(bundle.write_safetensors(path, { w = w, v = w:narrow(1, 2, 1) }))
assert(bundle.write_safetensors(path, { w = w, v = w:narrow(1, 2, 1) }, true))
assert(assert(bundle.read_safetensors(path)).v:get(1, 2) == 4)
os.remove(path)
