---@meta
--- recsys.base: counter-based random streams, threads, clocks, and a view into the core's allocator.

---@class Base
local base = {}

---@alias Purpose "user"|"init"|"dropout"|"shuffle"|"negatives"|"split"|"bootstrap"|"baseline"

--- A stream of random numbers (Philox4x32-10; Salmon et al. 2011, doi:10.1145/2063384.2063405). The number at a
--- position is a function of the stream's name and the position alone.
---@param seed integer
---@param purpose Purpose two purposes never share numbers; "user" is free for recipes
---@param epoch? integer  0 .. 2^32-1, default 0
---@param step? integer   0 .. 2^32-1, default 0
---@return Stream
function base.stream(seed, purpose, epoch, step) end

--- How many threads a parallel loop uses, after setting it when n is given.
---@param n? integer 1 .. 4096
---@return integer
function base.threads(n) end

--- For tests: let the core allocate n more blocks, then refuse all; a negative n takes the limit off.
---@param n integer
function base.alloc_fault(n) end

--- What the core holds.
---@return integer blocks live blocks
---@return integer bytes  in live blocks
function base.alloc_counts() end

--- Memory of the process in bytes; 0 where the system does not tell.
---@return integer peak     the most that was ever resident
---@return integer resident now
function base.memory() end

--- How many bytes of the core's blocks the heap may hold, after setting it when bytes are given. Past it, blocks of
--- 1 MiB and more lie in files without a name in the folder, mapped. recsys.memory_limit is the form for people.
---@param bytes? integer  0: no limit
---@param folder? string  must exist; needed unless bytes is 0
---@return integer? limit  0: none; nil, message, "io" when no file can be made in the folder
---@return integer|string spilled  bytes that lie in files now
---@return integer|string most_spilled  the most that ever did at once
function base.memory_limit(bytes, folder) end

--- Collect all garbage and give memory that is free back to the system: between steps that need other sizes. How far
--- tensors may grow before the next collection counts from here.
---@param least? integer  bytes: a process with fewer in memory stays as it is; default 0
function base.release(least) end

--- Seconds since some fixed moment; never goes back.
---@return number
function base.clock() end

--- The shortest decimal text of a number that reads back as the same f32: how scores are written everywhere.
---@param x number  rounded to an f32
---@return string   "nan", "inf" and "-inf" for what is no number
function base.shortest(x) end

--- Positions of a stream are data: they count from 0.
---@class Stream
local Stream = {}

--- Uniform in [0, 1) with 53 bits.
---@param position integer 0 or more
---@return number
function Stream:uniform(position) end

--- Uniform in 0 .. n-1.
---@param position integer 0 or more
---@param n integer 1 or more
---@return integer
function Stream:below(position, n) end

--- Standard normal.
---@param position integer 0 or more
---@return number
function Stream:normal(position) end

--- A uniformly drawn permutation of 0 .. n-1.
---@param n integer 0 or more
---@return Tensor i64 [n]
function Stream:permutation(n) end

--- The uniform numbers at positions first .. first + n - 1.
---@param n integer
---@param first? integer default 0
---@return Tensor f64 [n]
function Stream:uniforms(n, first) end

--- The standard normal numbers at positions first .. first + n - 1.
---@param n integer
---@param first? integer default 0
---@return Tensor f64 [n]
function Stream:normals(n, first) end

--- The integers in 0 .. below-1 at positions first .. first + n - 1.
---@param n integer
---@param below integer 1 or more
---@param first? integer default 0
---@return Tensor i64 [n]
function Stream:integers(n, below, first) end

return base
