--- Parts of a moment: hour, weekday (Monday first), day of the month, month, day of the year; as codes or as a point
--- on a circle. Hour and weekday go round smoothly, the others in steps.

local parts = { hour = 24, weekday = 7, month_day = 31, month = 12, year_day = 366 }
local smooth = { hour = 86400000, weekday = 7 * 86400000 } -- ms of a turn

local function offset_ms(text)
  local sign, hours, minutes = text:match "^([+-])(%d%d):(%d%d)$"
  if not sign then return nil end
  return (sign == "-" and -1 or 1) * (tonumber(hours) * 60 + tonumber(minutes)) * 60000
end

--- The step that puts a part on a circle. The moment is shifted to local time first; a week turns from Thursday.
local function circle(side, moment, part, offset)
  if smooth[part] then
    local shifted = side:step("affine", moment, { scale = 1, shift = offset })
    return side:step("fourier", shifted, { period = smooth[part], harmonics = 1 })
  end
  local value = side:step("time_part", moment, { part = part, offset = offset })
  return side:step("fourier", value, { period = parts[part], harmonics = 1 })
end

return {
  reads = "the row itself",
  column = true,
  options = { parts = "list", as = { "codes", "cyclic" }, utc_offset = "text" },
  defaults = { parts = { "hour", "weekday" }, as = "codes", utc_offset = "+00:00" },
  check = function(given)
    for _, part in ipairs(given.parts or {}) do
      if not parts[part] then
        return ("'%s' is no part of a time: hour, weekday, month_day, month, year_day"):format(part)
      end
    end
    if given.utc_offset and not offset_ms(given.utc_offset) then
      return ("option 'utc_offset' is '%s', not like +05:30"):format(given.utc_offset)
    end
  end,
  build = function(d, sides)
    local side, offset = sides[d.side], offset_ms(d.utc_offset)
    local moment = side:read(d.column, "number")
    for _, part in ipairs(d.parts) do
      local name = d.name .. "_" .. part
      if d.as == "cyclic" then
        side:output(name, circle(side, moment, part, offset), { feature = d.kind })
      else
        local value = side:step("time_part", moment, { part = part, offset = offset })
        side:output(name, side:step("code", value, { n = parts[part] }),
          { feature = d.kind, table = d.side .. "." .. name })
      end
    end
  end,
}
