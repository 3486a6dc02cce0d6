---@meta
--- recsys.core.machine: rates that this machine's threads reach, to take shares of. Each runs its work some times and
--- gives the rate of the fastest. Beside what they are compared with, on one machine in one run, they mean something.

---@class Machine
local machine = {}

--- Floating-point operations a second of a product of f32 matrices [m, k] and [k, n], 2 m n k operations, with all
--- threads: each multiplies its share of the rows by one call of BLAS. 2048 x 2048 x 2048 is near the peak.
---@param m integer
---@param n integer
---@param k integer
---@param transposed? boolean  the second matrix lies transposed, [n, k]: default false
---@param rounds? integer      default 3
---@return number
function machine.sgemm(m, n, k, transposed, rounds) end

--- Bytes a second of copying, each byte counted as read and as written, with all threads.
---@param bytes integer  64 or more; many times the cache to see memory
---@param rounds? integer  default 3
---@return number
function machine.copy(bytes, rounds) end

return machine
