--- recsys.memory_limit(size, [folder]): how much memory frames, features and tensors may take on the heap.
---
--- Past it, large ones lie in files without a name in the cache folder, mapped: the kernel writes their pages out when
--- memory runs short and reads them back when they are asked for. Every result is the same to the bit, only slower.
--- docs/data.md, "Memory and cache".

local base = require "recsys.base"
local cache = require "recsys.cache"
local files = require "recsys.files"
local text = require "recsys.text"

--- Set the limit for the rest of the process.
---@param size string|number|nil  "256M", "2G", bytes; nil: none
---@param folder? string  where the files lie; default recsys.cache.folder()
---@return integer bytes  0: none. Raises { code = "io" } when the folder cannot be written
return function(size, folder)
  if size == nil then return base.memory_limit(0) end
  local bytes = text.bytes(size)
  if not bytes or bytes <= 0 then
    error(("bad argument #1 to 'memory_limit' (a size such as 256M, 64K or 2G expected, got '%s')"):format(
      tostring(size)), 2)
  end
  local limit, message, code = base.memory_limit(bytes, files.make_folder(folder or cache.folder()))
  if not limit then error({ code = code, message = message }, 0) end
  return limit
end
