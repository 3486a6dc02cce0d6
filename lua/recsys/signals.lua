--- SIGINT and SIGTERM, for work that must not be cut in the middle of something.
---
--- By itself a signal raises { code = "interrupted", signal = n } wherever Lua happens to be, and a second one kills.
--- Between hold() and release() it waits instead, and who holds it asks for it where stopping leaves things whole.
--- Outside the host program (a stock lua5.4) signals are the system's, and all this does nothing.

local ok, host = pcall(require, "recsys.host_signals")

local signals = {}

--- From here on a signal raises nothing.
function signals.hold()
  if ok then host.hold() end
end

--- A signal raises again; one that waits does so at once.
function signals.release()
  if ok then host.release() end
end

--- How long a signal leaves the program to end by itself: after that it is killed by the same signal, also in the
--- middle of work in C. It counts from the signal.
---@param seconds integer  0: for ever, as by itself
function signals.grace(seconds)
  if ok then host.grace(seconds) end
end

--- The signal that asked to stop.
---@return integer? number  nil: none did
function signals.stopped()
  return ok and host.stopped() or nil
end

--- Take the signal that asked to stop as what ends the work as it should: the program's exit code is its own again.
---@return integer? number
function signals.obeyed()
  return ok and host.obeyed() or nil
end

--- What a signal raises, for who held it.
---@param number integer
---@param more? string  what people should know
function signals.raise(number, more)
  error({ code = "interrupted", signal = number,
    message = ("stopped by signal %d%s"):format(number, more and ": " .. more or "") }, 0)
end

return signals
