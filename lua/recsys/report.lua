--- Charts and reports: pictures as SVG and PNG, pages as one HTML file, a line of a terminal.
---
---     local report = recsys.report
---     local chart = report.line { title = "Loss", x_name = "epoch", name = "train", y = { 3, 2, 1.5 } }
---     chart:save "loss.svg"                                 or "loss.png"
---     report.page { title = "My run" }:chart(chart):save "run.html"
---
--- Values are lists of numbers or one-dimensional tensors; false in a list is a value that is not there. A chart of
--- one series may have its fields in the place of `series`. Words come out as they are: markup in them is shown.
--- A wrong request raises and says what is wrong. docs/tracking.md, "Charts and reports", has a picture of each.

local exit = require "recsys.exit"

local report = {}

-- What checks a request raises without a place: say where the recipe called.
local function at_caller(fn)
  return function(asked)
    local ok, result = xpcall(fn, exit.traced, asked)
    if ok then return result end
    local message = type(result.message) == "string" and result.message or ""
    if result.traceback and message:find "^bad argument" then error(message, 2) end
    error(result, 0)
  end
end

local function from(module, name)
  return at_caller(function(asked) return require("recsys.report." .. module)[name](asked) end)
end

---@class ChartRequest
---@field title? string
---@field x_name? string   under the axis
---@field y_name? string
---@field height? number   default 250, of a width of 440

--- Curves. What is no number, or cannot be on a log scale, breaks its curve and is counted below the chart.
---@param asked ChartRequest  and
---  series: { name, y, x? (default 1, 2, ...), low?, high? (a band around y), dashed?, colour? (1 .. 8) }[]
---  log_x, log_y: logarithmic scales; from_zero: y's scale holds 0; tight_x = false: x's scale ends on round numbers
---  marks: { x or y, name? }[], lines across
---@return Chart
report.line = from("line", "line")

--- Points; of more than 4,000 in a series as many, evenly chosen.
---@param asked ChartRequest  as for line; labels in a series: of each point, shown when it is pointed at;
---  named: or beside it
---@return Chart
report.scatter = from("line", "scatter")

--- Bars that lie, with intervals.
---@param asked ChartRequest  and names: string[]; series: { name, values, low?, high? }[]
---@return Chart
report.bar = from("bar", "bar")

--- Several qualities, each a direction: 0 in the middle, 1 on the rim.
---@param asked ChartRequest  and names: string[], three or more; series: { name, values, labels? }[], shares from 0 to
---  1; labels: of each value, shown when it is pointed at in place of its share
---@return Chart
report.radar = from("radar", "radar")

--- How values spread. Several series are drawn over each other as shares of their own.
---@param asked ChartRequest  and series: { name, values }[]; bins: 1 .. 400, else by the values; from, to: ends; log_y
---@return Chart  facts: from, width, counts (of the first series)
report.histogram = from("bar", "histogram")

--- Predicted probabilities beside what happened: bins of equally many predictions with Wilson's 95 % intervals.
---@param asked ChartRequest  and series: { name, predicted, outcome }[], outcomes 0 or 1; bins: default 10
---@return Chart  facts: ece (expected calibration error over the bins), brier, n, bins; a list of them for series
report.calibration = from("recommender", "calibration")

--- Recall, or another metric with cut-offs, at each k, with its interval as a band.
---@param asked ChartRequest  and report: of recsys.evaluate, the model and its best baseline; or
---  series: { name, x (cut-offs), y, low?, high? }[]; metric: default "recall"
---@return Chart
report.recall_at_k = from("recommender", "recall_at_k")

--- How many interactions the busiest have, the next ones, ...: by rank, both axes logarithmic.
---@param asked ChartRequest  and series: { name, counts }[], in any order; or { name, rank, count }[]
---@return Chart
report.long_tail = from("recommender", "long_tail")

--- A page that begins with a title; add to it by its methods section, text, tiles, chart, table and code, and save it.
---@param asked { title: string, about?: string }
---@return Page
report.page = at_caller(function(asked) return require "recsys.report.page"(asked) end)

--- The last values in a few characters: ▁▂▅▇█.
---@param values number[]
---@param width? integer  default 16
---@return string
function report.sparkline(values, width) return require "recsys.report.sparkline"(values, width) end

--- Whether a value is a chart.
function report.is_chart(value) return require("recsys.report.plot").is(value) end

return report
