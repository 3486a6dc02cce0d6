--- Media types of files by their names.

local media = {}

local types = { html = "text/html; charset=utf-8", css = "text/css; charset=utf-8",
  js = "text/javascript; charset=utf-8", json = "application/json", svg = "image/svg+xml", png = "image/png",
  jpg = "image/jpeg", jpeg = "image/jpeg", gif = "image/gif", webp = "image/webp", pdf = "application/pdf",
  csv = "text/csv; charset=utf-8", ico = "image/x-icon",
  mp4 = "video/mp4", webm = "video/webm", mp3 = "audio/mpeg", wav = "audio/wav", woff2 = "font/woff2" }
for _, name in ipairs { "txt", "log", "md", "lua", "py", "yaml", "yml", "tsv", "jsonl", "ndjson", "toml", "cfg",
  "ini" } do
  types[name] = "text/plain; charset=utf-8"
end

--- The media type of a file by its name; bytes of no kind for others.
---@param path string
---@return string
function media.type(path)
  return types[(path:match "%.(%w+)$" or ""):lower()] or "application/octet-stream"
end

return media
