---@meta
--- recsys.core.trace: where the time of training steps goes, as spans inside one another. recsys.train.profile is the
--- form for people.

local trace = {}

---@class Trace
local Trace = {}

--- An empty trace. Its clock begins now.
---@param most_events? integer  spans that are kept one by one, default 100000; later ones count in rows alone
---@return Trace
function trace.new(most_events) end

--- Open a span inside the one that is open. Raises at a depth of 16.
---@param name string
---@return Trace self
function Trace:open(name) end

--- Close the innermost span, and say what work it did. Raises when none is open.
---@param flops? number  default 0
---@param bytes? number  default 0
---@return Trace self
function Trace:close(flops, bytes) end

--- How many spans are open.
---@return integer
function Trace:depth() end

--- See the operations of a tape from now on, forward and backward, each a span; their work follows from their shapes
--- (runtime/nn/cost.c).
---@param tape Tape
---@return Trace self
function Trace:watch(tape) end

--- Sums by name and kind, in order of appearance. seconds are without those of the spans inside, so the rows add up to
--- the outermost spans.
---@return { name: string, kind: "span"|"forward"|"backward", calls: integer, seconds: number, flops: number,
---   bytes: number }[]
function Trace:rows() end

--- The spans that were kept, in order of their ends: `row` is a position in rows(), `start` counts from new(), and
--- `seconds` include the spans inside.
---@return { row: integer, start: number, seconds: number }[]
function Trace:events() end

return trace
