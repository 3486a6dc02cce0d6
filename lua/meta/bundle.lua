---@meta
--- recsys.bundle: one file that holds a model as data, written atomically and verified on reading (docs/bundle.md).

---@class bundle
local bundle = {}

--- A member to be written: exactly one of bytes and tensors. The name is made of a-z 0-9 . _ - in parts between '/',
--- none starting with '.', at most 100 bytes; manifest.json and manifest.sha256 are the bundle's own.
---@class BundleMember
---@field [1] string                        name
---@field bytes? string                     written as it is
---@field tensors? table<string, Tensor>    written as safetensors, mappable in place

--- Replace the file at 'path' atomically. The same contents give the same bytes. A wrong name raises.
---@param path string
---@param contents { manifest: table, members: BundleMember[] } the manifest's fields; "format" and "members" are added
---@return string? digest   SHA-256 of the manifest in hexadecimal: equal for equal bundles
---@return string? message
---@return string? code     "io", "memory"
function bundle.write(path, contents) end

--- Map and check a bundle. The tar, the manifest's own hash, names and sizes are always checked; with verify also
--- the SHA-256 of every member's bytes, a MiB at a time on all threads.
---@param path string
---@param options? { verify?: boolean }   verify: default true
---@return Bundle?
---@return string? message   names the file, the member and what to do
---@return string? code      "format", "io", "memory"
function bundle.open(path, options) end

--- Replace the file at 'path' atomically by a safetensors file. Names are printable ASCII without " and \.
---@param path string
---@param tensors table<string, Tensor>
---@param later? boolean     true: do not wait until the disk has it, which recsys.files.settle does
---@return boolean? done
---@return string? message
---@return string? code      "io", "memory"
function bundle.write_safetensors(path, tensors, later) end

--- The tensors of a safetensors file, mapped read-only: F32, F64, I32, I64, U8 and BF16 of at most 4
--- dimensions; F16 comes as f32.
---@param path string
---@return table<string, Tensor>?
---@return string? message
---@return string? code      "format", "io", "memory"
function bundle.read_safetensors(path) end

--- An open bundle. Immutable; closing it twice is fine, and tensors taken from it live on.
---@class Bundle
local Bundle = {}

--- The manifest as a table: whole numbers are integers, null is absent.
---@return table
function Bundle:manifest() end

--- The manifest as it stands in the file.
---@return string
function Bundle:manifest_text() end

--- SHA-256 of the manifest in hexadecimal, which vouches for all the rest.
---@return string
function Bundle:digest() end

--- The members in order, without the manifest and its hash.
---@return { name: string, bytes: integer, sha256: string }[]
function Bundle:members() end

--- A member's bytes; nil when there is none of that name.
---@param name string
---@return string?
function Bundle:text(name) end

--- The tensors of a safetensors member, mapped where they lie.
---@param name string
---@return table<string, Tensor>?
---@return string? message
---@return string? code      "format"
function Bundle:tensors(name) end

--- Hash every member as a whole and compare with the manifest: slower than open's verification, and independent of
--- the hashes for each MiB.
---@return boolean? done
---@return string? message
---@return string? code      "format"
function Bundle:verify() end

--- Let go of the file; later calls raise. Also runs by itself, and at the end of a `local b <close>`.
function Bundle:close() end

return bundle
