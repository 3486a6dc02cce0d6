-- process.lua - limits of a process under refused memory; the limit here is none that anybody meets.
local process = require("recsys.core").process

assert(process.reserved() >= 0)
assert(process.limit(1 << 50))
local done, message, code = process.follow(-1)
assert(not done and message and (code == "io" or code == "memory"))
