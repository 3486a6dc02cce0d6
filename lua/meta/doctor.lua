---@meta
--- recsys.core.doctor: what this build is and what it is linked with. `recsys-run doctor` shows it.

---@class Doctor
local doctor = {}

--- How the runtime was built.
---@return { version: string, commit: string, compiler: string, type: string, sanitize: string }
---   commit: the first 12 digits, "unknown" outside git; sanitize: "" or such as "address,undefined"
function doctor.build() end

--- The C libraries in use, as they name themselves at run time.
---@return table<string, string>   lua, openblas, libarchive, jansson, openssl, xxhash, utf8proc, zlib, zstd
function doctor.libraries() end

--- The BLAS that products really call.
---@return { parallel: "openmp"|"pthreads"|"sequential", core: string, threads: integer, library: string }
---   core: the kernels it chose for this CPU; library: the file it was loaded from
function doctor.blas() end

return doctor
