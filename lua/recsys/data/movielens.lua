--- MovieLens: a folder in the layout of ML-100K (u.data, u.user, u.item) or of ML-1M (ratings.dat, users.dat,
--- movies.dat). Harper and Konstan 2015, doi:10.1145/2827872.
---
--- users: user, age (number), gender, occupation, zip. items: item, title, genres (list), year (number), and from
--- ML-100K created (the release date). interactions: user, item, rating, time, strength (rating / 5).

local lfs = require "lfs"

local movielens = {}

local genres = { "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
  "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western" }

local function flag_names()
  local names = { "item", "title", "created", "video", "url" }
  for i, genre in ipairs(genres) do names[5 + i] = "is " .. genre end
  return names
end

-- How the files of each layout are read. Quotes are ordinary characters in all of them.
local layouts = {
  ["ml-100k"] = {
    ratings = { file = "u.data", separator = "\t", names = { "user", "item", "rating", "time" } },
    users = { file = "u.user", separator = "|", names = { "user", "age", "gender", "occupation", "zip" } },
    items = { file = "u.item", separator = "|", encoding = "latin-1", names = flag_names(),
      types = { title = "string", created = "time", url = "string", video = "string" } },
  },
  ["ml-1m"] = {
    ratings = { file = "ratings.dat", separator = "::", names = { "user", "item", "rating", "time" } },
    users = { file = "users.dat", separator = "::", names = { "user", "gender", "age", "occupation", "zip" } },
    items = { file = "movies.dat", separator = "::", encoding = "latin-1", names = { "item", "title", "genres" },
      types = { title = "string", genres = { "list", "|" } } },
  },
}

local types = { user = "string", item = "string", rating = "number", time = "time_s", age = "number", gender = "string",
  occupation = "string", zip = "string" }

local function options_for(part, p)
  local options = { separator = part.separator, names = part.names, encoding = part.encoding, quote = "",
    bad_limit = p.bad_limit, types = {} }
  for _, name in ipairs(part.names) do options.types[name] = types[name] end
  for name, kind in pairs(part.types or {}) do options.types[name] = kind end
  options.quarantine = require("recsys.data").quarantine(p, part.file)
  return options
end

--- A frame of ratings as the folder's layout writes them: user, item, rating, time, strength.
---@param path string
---@param layout "ml-100k"|"ml-1m"
---@param p? { bad_limit: number?, quarantine: string? }
---@param report? table
---@return Frame? ratings  nil, message, code
---@return string? message
---@return string? code
function movielens.read_interactions(path, layout, p, report)
  local part = layouts[layout].ratings
  local ratings, message, code = require("recsys.data").read(path, options_for(part, p or {}), report or {})
  if not ratings then return nil, message, code end
  return ratings:with("strength", "number", ratings:column("rating") / 5)
end

--- The 19 flags of ML-100K as a list of genres.
local function gather_flags(items)
  local flags, lists = {}, {}
  for i, genre in ipairs(genres) do flags[i] = items:column("is " .. genre):tolist() end
  for row = 1, items:rows() do
    local list = {}
    for i, genre in ipairs(genres) do
      if flags[i][row] == 1 then list[#list + 1] = genre end
    end
    lists[row] = list
  end
  return items:select({ "item", "title", "created" }):with("genres", "list", lists)
end

--- The year in "Toy Story (1995)".
local function add_year(items)
  local years, strings, codes = {}, items:strings "title", items:column("title"):tolist()
  for row, code in ipairs(codes) do
    years[row] = tonumber((strings[code] or ""):match "%((%d%d%d%d)%)%s*$") or false
  end
  return items:with("year", "number", years)
end

local function layout_of(dir)
  for name, layout in pairs(layouts) do
    if lfs.attributes(dir .. "/" .. layout.ratings.file) then return name end
  end
end

--- The files of the layout that a folder has: { { part, file, options of frame.read_csv } }; nil for another folder.
---@param dir string
---@return { part: "ratings"|"users"|"items", file: string, options: FrameCsvOptions }[]? files
---@return string? layout
function movielens.files(dir)
  local name, found = layout_of(dir), {}
  for i, part in ipairs { "ratings", "users", "items" } do
    local file = name and layouts[name][part]
    if file then found[i] = { part = part, file = file.file, options = options_for(file, {}) } end
  end
  return name and found, name
end

--- The refusal of a folder without the files.
function movielens.absent(dir)
  return nil, ("there is no MovieLens data in %s: the files u.data, u.user and u.item (ML-100K) or ratings.dat, "
    .. "users.dat and movies.dat (ML-1M) are expected there. Unpack ml-100k.zip or ml-1m.zip from "
    .. "https://grouplens.org/datasets/movielens/ and set data.dir to its folder, or work on the generated sample with "
    .. "data.source=news"):format(dir), "io"
end

--- Read the folder p.dir.
---@param p { dir: string, bad_limit: number?, quarantine: string? }  quarantine: a folder for malformed rows
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function movielens.load(p)
  local data = require "recsys.data"
  local name, report = layout_of(p.dir), { quarantined = 0 }
  if not name then return movielens.absent(p.dir) end
  local layout, parts, paths = layouts[name], {}, {}
  for i, part in ipairs { "ratings", "users", "items" } do
    paths[i] = p.dir .. "/" .. layout[part].file
    local f, message, code = data.read(paths[i], options_for(layout[part], p), report)
    if not f then return nil, message, code end
    parts[part] = f
  end
  if name == "ml-100k" then parts.items = gather_flags(parts.items) end
  local fingerprint, message, code = data.fingerprint(paths, { source = "movielens" })
  if not fingerprint then return nil, message, code end
  return data.new {
    name = name, fingerprint = fingerprint, report = report,
    interactions = parts.ratings:with("strength", "number", parts.ratings:column("rating") / 5),
    users = parts.users, items = add_year(parts.items),
    columns = { title = "title", created = name == "ml-100k" and "created" or nil, categories = "genres" },
    origin = { source = "movielens", dir = p.dir, layout = name },
  }
end

--- The dataset with titles for items, as TensorFlow Recommenders' tutorials have it: movies of one title are one item,
--- of which the first in the file gives the features. Interactions have `moment`, the time as a number of days.
---@param dataset Dataset
---@return Dataset
function movielens.by_title(dataset)
  local titles = dataset.items:select { "item", "title" }
  local named = dataset.interactions:join(titles, "item"):without { "item" }:rename { title = "item" }
  named = named:with("moment", "number", named:column("time"):to "f64" / 86400000)
  local items = dataset.items:with("item", dataset.items, "title"):distinct "item"
  return dataset:with(named, { items = items, name = dataset.name .. "-titles",
    fingerprint = dataset.fingerprint .. "-titles" })
end

return movielens
