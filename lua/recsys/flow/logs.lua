--- Logs of tasks: RUN/logs/NN-name.txt has what a task told, in a process of its own or in the flow's, and
--- NN-name.I.txt what the I-th element of a map did. What told nothing has none.

local files = require "recsys.files"

local logs = {}

--- The beginning of the names of a task's files; nil for a name that no task has.
---@param task { number: integer, name: string }
---@return string?
function logs.step(task)
  return task.name:find "^[%w_][%w_%-%.]*$" and ("%02d-%s"):format(task.number, task.name) or nil
end

--- Say of each task which logs it has, as its `logs`: 0 is the task's, others are its elements'.
---@param folder string?  of the run; nil when it is gone
---@param tasks table[]
function logs.find(folder, tasks)
  local names = folder and files.names(folder .. "/logs") or {}
  for _, task in ipairs(tasks) do
    local step = logs.step(task)
    task.logs = {}
    for _, name in ipairs(names) do
      local rest_of = step and name:sub(1, #step) == step and name:sub(#step + 1)
      local element = rest_of and (rest_of == ".txt" and 0 or math.tointeger(tonumber(rest_of:match "^%.(%d+)%.txt$")))
      if element then table.insert(task.logs, element) end
    end
    table.sort(task.logs)
  end
end

return logs
