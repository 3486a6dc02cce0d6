--- Artifacts: MLflow's proxy (mlflow-artifacts/artifacts), what a run has (artifacts/list), and files for the page
--- (get-artifact). Nothing outside the folder of artifacts is ever told, sent, written or removed: track/artifacts.lua.

local files = require "recsys.files"
local kept = require "recsys.track.artifacts"
local media = require "recsys.ui.media"
local page = require "recsys.track.page"
local rest = require "recsys.ui.rest"
local uv = require "luv"

local artifacts = {}

local function not_found(path)
  rest.refuse("RESOURCE_DOES_NOT_EXIST", "There is no artifact '%s'.", (path:gsub("%c", "?")))
end

--- A file below the folder of artifacts, as bytes that run nothing in a browser.
local function send(context, path)
  local place = kept.path(context.store.folder, path)
  local stat = uv.fs_stat(place)
  if not stat or stat.type ~= "file" then not_found(path) end
  local shown = path:match "[^/]*$":gsub('[%c"\\\128-\255]', "_")
  return rest.raw({ file = place, headers = { ["Content-Type"] = media.type(path),
    ["Content-Disposition"] = ('inline; filename="%s"'):format(shown) } }, "artifact")
end

local function joined(a, b) return a ~= "" and b ~= "" and a .. "/" .. b or a .. b end

--- The path below the folder of artifacts that an address stands for. Others' addresses are refused: this server
--- neither reads files of its machine nor asks other servers on anyone's behalf.
---@param uri string
---@param below string
---@return string
local function proxied(uri, below)
  local path = kept.of(uri)
  if not path then rest.refuse("INVALID_PARAMETER_VALUE", "The artifacts at '%s' are not kept by this server.", uri) end
  return joined(path, kept.checked(below))
end

--- The path of a request without parts that are ".", which clients put before what they are told of "." itself.
local function asked_path(fields)
  local path = fields.path or ""
  if type(path) ~= "string" then rest.refuse_value("path", path, "it must be a text") end
  return (("/" .. path):gsub("/%.%f[/\0]", ""):gsub("^/", "", path:find "^/" and 0 or 1))
end

local function uri_of_run(context, fields)
  local id = fields.run_id or fields.run_uuid
  rest.need({ run_id = id }, "run_id")
  return context.store:run(id).info.artifact_uri or ""
end

artifacts["GET mlflow/artifacts/list"] = rest.json(function(context, fields)
  local uri, path, size <const> = uri_of_run(context, fields), kept.checked(asked_path(fields)), 1000
  local list, offset = kept.list(context.store.folder, proxied(uri, path)), page.offset(fields.page_token)
  for _, file in ipairs(list) do file.path = joined(path, file.path) end
  local cut, token = page.cut(table.move(list, offset + 1, math.min(#list, offset + size + 1), 1, {}), size, offset)
  return { root_uri = uri, files = #cut > 0 and cut or nil, next_page_token = token }
end)

artifacts["GET get-artifact"] = rest.json(function(context, fields)
  local path = kept.checked(rest.need(fields, "path"))
  return send(context, proxied(uri_of_run(context, fields), path))
end)

--- Put the body of a request there. When it is answered the disk has it.
local function receive(context, path, request)
  if request.file then
    uv.fs_chmod(request.file, tonumber("644", 8))
    kept.put(context.store.folder, path, request.file, "move")
    files.owe(kept.path(context.store.folder, path))
  else
    kept.write(context.store.folder, path, request.body)
  end
  files.settle()
end

--- What a page puts among a run's files: the body, as it is.
artifacts["POST mlflow/upload-artifact"] = function(context, _, request)
  local fields = {}
  for _, pair in ipairs(request.query) do fields[pair[1]] = pair[2] end
  local function need(name, value)
    if value == nil or value == "" then rest.refuse("INVALID_PARAMETER_VALUE", "Request must specify %s.", name) end
    return value
  end
  need("run_uuid", fields.run_uuid or fields.run_id)
  local path = kept.checked(need("path", fields.path))
  need("data", request.file or request.body)
  receive(context, proxied(uri_of_run(context, fields), path), request)
  return {}
end

--- The path of what a version was made from: runs:/RUN/PATH or mlflow-artifacts:/PATH.
artifacts["GET model-versions/get-artifact"] = rest.json(function(context, fields)
  local path = kept.checked(rest.need(fields, "path"))
  local source = require("recsys.registry.versions").get_download_uri(context.store.db, fields).artifact_uri
  local run, below = source:match "^runs:/*([^/]+)/*(.*)$"
  if not run then return send(context, proxied(source, path)) end
  return send(context, proxied(uri_of_run(context, { run_id = run }), joined(below, path)))
end)

-- The proxy: paths below the folder of artifacts.

artifacts["GET mlflow-artifacts/artifacts"] = rest.json(function(context, fields)
  local list = kept.list(context.store.folder, asked_path(fields))
  return { files = #list > 0 and list or nil }
end)

artifacts["GET mlflow-artifacts/artifacts/*"] = function(context, tail)
  return send(context, tail.path)
end

--- A path that is to be written or removed, which must be of something below the folder.
local function place_of(context, path)
  if kept.checked(path) == "" then rest.refuse("INVALID_PARAMETER_VALUE", "Invalid path: it is empty.") end
  return kept.path(context.store.folder, path)
end

artifacts["PUT mlflow-artifacts/artifacts/*"] = function(context, tail, request)
  local stat = uv.fs_stat(place_of(context, tail.path))
  if stat and stat.type == "directory" then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid path: '%s' is a folder.", tail.path)
  end
  receive(context, tail.path, request)
  return {}
end

artifacts["DELETE mlflow-artifacts/artifacts/*"] = function(context, tail)
  if not uv.fs_lstat(place_of(context, tail.path)) then not_found(tail.path) end
  kept.remove(context.store.folder, tail.path)
  return {}
end

return artifacts
