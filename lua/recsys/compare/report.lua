--- A study's report: for a terminal, as Markdown, and as one page with charts that needs no network and no script.

local base = require "recsys.base"
local files = require "recsys.files"
local json = require "recsys.json"
local report_of = require "recsys.report"
local sections = require "recsys.compare.sections"
local text = require "recsys.text"

local report = {}

--- A report as a terminal shows it.
---@param list Section[]
---@return string
function report.text(list)
  local lines = {}
  for _, section in ipairs(list) do
    lines[#lines + 1] = section.title:upper()
    for _, part in ipairs(section.tables or {}) do
      if part.title then lines[#lines + 1] = part.title end
      lines[#lines + 1] = text.columns(part.rows) .. "\n"
    end
  end
  return table.concat(lines, "\n")
end

local function cell(value) return (tostring(value == nil and "" or value):gsub("|", "\\|"):gsub("\n", " ")) end

local function markdown_table(rows)
  local lines = {}
  for r, row in ipairs(rows) do
    local cells = {}
    for c = 1, #rows[1] do cells[c] = cell(row[c]) end
    lines[#lines + 1] = "| " .. table.concat(cells, " | ") .. " |"
    if r == 1 then lines[2] = "|---|" .. ("---:|"):rep(#rows[1] - 1) end
  end
  return table.concat(lines, "\n")
end

--- A report as Markdown.
---@param title string
---@param list Section[]
---@return string
function report.markdown(title, list)
  local lines = { "# " .. title }
  for _, section in ipairs(list) do
    lines[#lines + 1] = "## " .. section.title
    for _, said in ipairs(section.text or {}) do lines[#lines + 1] = said end
    for _, part in ipairs(section.tables or {}) do
      if part.title then lines[#lines + 1] = "**" .. part.title .. "**" end
      lines[#lines + 1] = markdown_table(part.rows)
    end
  end
  return table.concat(lines, "\n\n") .. "\n"
end

--- What is seen first.
local function tiles(all)
  local best, seconds = nil, 0
  for _, system in ipairs(sections.ordered(all.test)) do best = best or system.family and system end
  for _, found in ipairs(all.found) do seconds = seconds + found.seconds end
  return { { best.name, ("best %s: %.4f"):format(all.test.metric, best.metrics[all.test.metric]) },
    { #all.found, "families" }, { text.count(all.test.queries), "test queries" },
    { text.duration(seconds), "of tuning in all" } }
end

--- A report as a page of its own.
---@return Page
function report.page(title, all, list)
  local page = report_of.page { title = title, about = all.about }
  page:tiles(tiles(all))
  for _, section in ipairs(list) do
    page:section(section.title)
    for _, said in ipairs(section.text or {}) do page:text(said) end
    for _, chart in ipairs(section.charts and section.charts() or {}) do page:chart(chart[1], chart[2]) end
    for _, part in ipairs(section.tables or {}) do
      page:table(part.rows, { title = part.title, wide = true, tight = true })
    end
  end
  return page
end

--- What a study was made on, in a line.
local function about(p, all)
  return ("%s, %s interactions to train on, %s items; seed %d"):format(p.data.source,
    text.count(all.test.rows.train), text.count(all.test.items), p.seed)
end

--- Trials without their curves.
local function brief(trials)
  local list = {}
  for i, trial in ipairs(trials) do
    list[i] = {}
    for name, value in pairs(trial) do list[i][name] = name ~= "curves" and value or nil end
  end
  return json.list(list)
end

--- The figures of each family for `--json` and for the tracked run.
local function figures(all)
  local list = {}
  for i, found in ipairs(all.found) do
    local served = all.served[i]
    for _, system in ipairs(all.test.systems) do
      if system.name == found.family then
        list[i] = { name = found.family, metrics = system.metrics, intervals = system.intervals, beyond = system.beyond,
          segments = system.segments, seconds = found.seconds, memory = found.memory, trials = brief(found.trials),
          best = found.best, bytes = served.bytes, p50 = served.latency.p50, p99 = served.latency.p99,
          batch_seconds = served.batch.seconds, cold_users = served.cold_users, new_items = served.new_items,
          bundle = served.bundle }
      end
    end
  end
  return list
end

--- The figures of each baseline.
local function baselines(all)
  local list = {}
  for _, system in ipairs(all.test.systems) do
    list[#list + 1] = not system.family and { name = system.name, metrics = system.metrics,
      intervals = system.intervals, beyond = system.beyond, segments = system.segments } or nil
  end
  return list
end

--- Without the families that failed, which are told as left out.
local function without_failed(all)
  local kept = { test = all.test, found = {}, served = {}, left = table.move(all.left, 1, #all.left, 1, {}) }
  for i, found in ipairs(all.found) do
    if found.failed then
      table.insert(kept.left, { name = found.family, why = found.failed })
    else
      table.insert(kept.found, found)
      table.insert(kept.served, all.served[i])
    end
  end
  return kept
end

--- Write the report; gives the recipe's result.
---@param p table
---@param all { found: table[], test: table, served: table[], left: table[] }
---@param page string      where the page is written
---@param markdown string  and the Markdown
---@return table
function report.result(p, all, page, markdown)
  all = without_failed(all)
  all.budget, all.requests = p.budget, p.speed.requests
  all.machine = ("Threads: %d"):format(base.threads())
  all.about = about(p, all)
  local title = ("%d families of recommenders on %s"):format(#all.found, p.data.source)
  local list = sections.of(all)
  report.page(title, all, list):save(page)
  files.write(markdown, report.markdown(title, list))
  local best
  for _, system in ipairs(sections.ordered(all.test)) do best = best or system.family and system end
  return { text = report.text(list), metrics = best.metrics, intervals = best.intervals, best = best.name,
    families = json.list(figures(all)), baselines = json.list(baselines(all)),
    significance = all.test.significance, queries = all.test.queries,
    protocol = all.test.protocol, fingerprint = all.test.fingerprint, left = json.list(all.left),
    threads = base.threads(), paths = { page = page, markdown = markdown } }
end

return report
