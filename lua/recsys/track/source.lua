--- Where a run comes from: the user, the commit of the working folder.

local files = require "recsys.files"
local uv = require "luv"

local source = {}

--- The folder of Git that 'folder' belongs to, with that of its branches; nil outside of Git.
local function git_folders(folder)
  local place = uv.fs_realpath(folder)
  while place do
    local git = place .. "/.git"
    local pointer = files.read(git)
    if pointer then -- a worktree: its own folder, beside the common one
      local own = pointer:match "^gitdir: ([^\n]+)"
      if not own then return nil end
      if not own:find "^/" then own = place .. "/" .. own end
      local common = files.read(own .. "/commondir")
      common = common and common:match "[^\n]+" or "."
      return own, common:find "^/" and common or own .. "/" .. common
    end
    if files.exists(git .. "/HEAD") then return git, git end
    place = place:match "^(.+)/[^/]+$"
  end
end

--- The commit that is checked out, without a process of its own to ask for it.
---@param folder string
---@return string?  nil outside of Git
function source.commit(folder)
  local own, common = git_folders(folder)
  local head = own and files.read(own .. "/HEAD")
  if not head then return nil end
  local branch = head:match "^ref: ([^\n]+)"
  if not branch then return head:match "^%x+" end
  local loose = files.read(common .. "/" .. branch)
  if loose then return loose:match "^%x+" end
  for commit, name in (files.read(common .. "/packed-refs") or ""):gmatch "(%x+) ([^\n]+)" do
    if name == branch then return commit end
  end
end

--- Who runs the process.
---@return string
function source.user()
  local ok, user = pcall(uv.os_get_passwd)
  return ok and user and user.username or os.getenv "USER" or "unknown"
end

return source
