--- A large file written aside line by line and renamed when it is whole. For bytes at hand there is files.write.

local files = require "recsys.files"

---@class Writer
local Writer = {}
Writer.__index = Writer

local writer = {}

--- Begin a file. The first refusal of the disk is kept and told by commit.
---@param path string
---@return Writer
function writer.new(path)
  local self = setmetatable({ path = path, part = path .. ".part", lines = {}, n = 0 }, Writer)
  self.file, self.message = io.open(self.part, "wb")
  return self
end

local function flush(self)
  if self.file and not self.message then
    local ok, message = self.file:write(table.concat(self.lines, "", 1, self.n))
    if not ok then self.message = message end
  end
  self.n = 0
end

--- Append text as it is.
function Writer:add(text)
  local n = self.n + 1
  self.lines[n], self.n = text, n
  if n == 4096 then flush(self) end
end

local function close(self)
  if not self.file then return nil, self.message end
  local ok, message = self.file:close()
  if not ok or self.message then return nil, self.message or message end
  return files.sync(self.part)
end

--- Close and rename into place: after this the name shows the whole file, and before it the old one or none.
---@return boolean|nil done, string? message, string? code
function Writer:commit()
  flush(self)
  local ok, message = close(self)
  if ok then ok, message = os.rename(self.part, self.path) end
  if ok then
    self.finished = true
    files.sync_folder_of(self.path)
    return true
  end
  self:abandon()
  return nil, ("cannot write %s: %s"):format(self.path, message), "io"
end

--- Close and leave no trace.
function Writer:abandon()
  if self.finished then return end
  self.finished = true
  if self.file and io.type(self.file) == "file" then self.file:close() end
  os.remove(self.part)
end

--- What a signal or an error left half-written goes with its writer, at the latest when the program ends.
Writer.__gc = Writer.abandon

return writer
