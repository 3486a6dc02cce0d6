---@meta
--- recsys.core.process: what a program that another one started owes to it: to end with it, and to keep to its memory.

---@class Process
local process = {}

--- From here on this process, and all of its group, end by SIGKILL as soon as nobody holds the other end of the pipe:
--- the system closes it, however its holder dies. Holds also while the program is busy in C.
---@param fd integer  the number of the file; it is not the caller's any more
---@return boolean? done
---@return string? message
---@return string? code  "io": it is no pipe, or no thread can be had to watch it
function process.follow(fd) end

--- How many bytes of memory that is the process's alone it may reserve from now on (RLIMIT_DATA): heap, stacks of
--- threads, what it may write and shares with nobody, used or not. Files that are mapped to be read are not counted.
---@param bytes integer  1 or more
---@return boolean? done
---@return string? message
---@return string? code  "io"
function process.limit(bytes) end

--- The bytes that `limit` counts, now.
---@return integer  0 where the system does not tell
function process.reserved() end

return process
