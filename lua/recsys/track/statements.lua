--- SQL in the making: texts with their parameters in step.

local statements = {}

--- A statement { parts, parameters }: a text and the parameters of its question marks.
function statements.new(text, ...)
  return { parts = { text }, parameters = { ... } }
end

--- Add a text, with parameters.
function statements.add(s, text, ...)
  s.parts[#s.parts + 1] = text
  for i = 1, select("#", ...) do s.parameters[#s.parameters + 1] = (select(i, ...)) end
end

--- Add another statement.
function statements.append(s, other)
  table.move(other.parts, 1, #other.parts, #s.parts + 1, s.parts)
  table.move(other.parameters, 1, #other.parameters, #s.parameters + 1, s.parameters)
end

--- Rows offset + 1 .. offset + limit.
---@return table[]
function statements.rows(db, s, limit, offset)
  local parameters = table.move(s.parameters, 1, #s.parameters, 1, {})
  parameters[#parameters + 1], parameters[#parameters + 2] = limit, offset
  return db:rows(table.concat(s.parts, " ") .. " LIMIT ? OFFSET ?", parameters)
end

--- The first row.
---@return table?
function statements.row(db, s)
  return db:row(table.concat(s.parts, " "), s.parameters)
end

--- How many rows there are.
---@return integer
function statements.count(db, s)
  return db:row("SELECT count(*) AS n FROM (" .. table.concat(s.parts, " ") .. ")", s.parameters).n
end

return statements
