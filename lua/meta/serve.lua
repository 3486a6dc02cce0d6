---@meta
--- recsys.serve: a published model that answers requests in C, without the Lua model (docs/bundle.md).

---@class serve
local serve = {}

--- Open and check a published model: every byte is verified, and the plan is run once.
---@param bundle string   a file, or the NAME-VERSION or NAME of a published model
---@param dir? string     where published models lie, default registry.dir
---@return ServedModel?
---@return string? message  names the file and the member
---@return string? code     "format", "io", "memory"
function serve.open(bundle, dir) end

--- The same but for the members' hashes, which ServedModel:verify looks at: what a model needs is checked all the same,
--- so that a damaged bundle may answer wrongly until then, and does no other harm. A million items take a moment.
---@param path string    a file
---@param copy? boolean  others may write into the file: ServedModel:verify copies it, and the model goes on with that;
---   until then who opens the file to write is kept waiting where the system can. Default false: the file is never
---   written into but replaced, as the registry's are
---@return ServedModel?
---@return string? message
---@return string? code
function serve.map(path, copy) end

--- A loaded model, changed by posted events and items alone; closing it twice is fine.
---@class ServedModel
local ServedModel = {}

--- Hash every member, by all threads, and compare with the manifest.
---@return true?
---@return string? message  names the file and the member
---@return string? code     "format", "memory"
function ServedModel:verify() end

--- The bytes of a member of the bundle, "manifest.json" too.
---@param name string
---@return string?
function ServedModel:member(name) end

--- The bundle's digest: the hash of its manifest, which vouches for every byte.
---@return string  64 hexadecimal digits
function ServedModel:digest() end

--- What the bundle knows.
---@return { users: integer, items: integer, events: integer, width: integer, likeness: integer?, columns: string?,
---   as_of: integer, window: integer?, index: string }
---   likeness: so many of a vector's dimensions, the first, say what an item is; columns, in place of it: the codes by
---   which a user's row holds a score for each item;
---   as_of: ms since 1970 UTC, just after the last event; window: ms that an item stays a candidate, nil: for ever;
---   index: what finds items, "exact", "hnsw" or "columns" (docs/retrieval.md)
function ServedModel:facts() end

--- The id of a user.
---@param position integer  1 .. users
---@return string id
function ServedModel:user(position) end

--- The id and title of an item; the title is "" when the bundle has none.
---@param position integer  1 .. items
---@return string id
---@return string title
function ServedModel:item(position) end

---@class ServeRequest
---@field user? string        id; nil: nobody in particular
---@field history? (string|table)[]  instead of the user's own, oldest first: ids of items, which no window counts, or
---   { item: string, time: integer?, fields: string? } with ms and a JSON object of what filters and weights read
---@field fields? string      a JSON object: fields of a user whom the bundle does not know
---@field now? integer        ms since 1970 UTC; default as_of
---@field k? integer          1 or more, default 10
---@field exclude_seen? boolean  default true
---@field exclude? string[]   ids of items that are not to be recommended
---@field filter? string      a JSON object over the items' attributes: docs/serving.md
---@field caps? table<string, integer>  attribute -> how many items there may be of one value of it
---@field diversity? { lambda: number, pool: integer? }  lambda in (0, 1]: what the score counts against likeness to
---   what stands before; pool: of how many best candidates is chosen
---@field freshness? { boost: number, half_life: integer }  boost: added to the score of an item of age 0; half_life: ms
---@field fallback? boolean   whether popularity answers where the model knows nothing, default true

---@class ServeReason
---@field kind string         "like": the item is alike one of the user's latest; "fresh"; "popular"
---@field item? string        like: which one, and
---@field cosine? number      like: how much; above 0, up to 1
---@field score? number       like, where items have no vectors: the score that it has from that one alone; above 0
---@field boost? number       fresh: what freshness added to the score
---@field place? number       popular: from 1, among
---@field segment? table<string, string>  popular: the users with this value of this column; nil: all users

---@class ServedItem
---@field item string
---@field title? string
---@field score number
---@field rank integer        from 1
---@field source string       "model" or "popular"
---@field reasons ServeReason[]

---@class ServeAnswer
---@field known boolean       false: no such user, scored by the unknown row and what the request tells
---@field now integer         the moment that was answered for
---@field foreign integer     items of the given history that the catalogue does not hold
---@field unknown integer     exclusions that it does not hold
---@field ignored? string[]   names of the given fields that nothing reads; nil: all are read
---@field filtered { seen: integer, rule: integer }  items that were left out because the user has seen them, and by a
---   rule: the window, the filter, an exclusion
---@field fallback? string    why popularity answers: "unknown_user", "no_score"; nil: the model does
---@field missing? string     why there are fewer than k items: "candidates" (none are left), "caps"; nil: there are k
---@field items ServedItem[]  best first, at most k

--- A user's best items. The scores have the bits that recommend_users gives.
---@param request ServeRequest
---@return ServeAnswer?
---@return string? message
---@return string? code
function ServedModel:recommend(request) end

--- Answer a request as POST /recommend or another of the calls does, but for what the service adds: docs/serving.md.
---@param request string  a JSON object: one request, or several users'
---@param call? string    "recommend" (the default), "similar", "score", "embed"
---@return string? answer  JSON; of several users a request that fails is answered in place
---@return string? message  with the place of what is wrong: "filter.price.gte: ..."
---@return string? code     "format" for what is no JSON, "argument" for a request that makes no sense, "memory"
function ServedModel:answer(request, call) end

--- Answer a file of users into a file, block by block: docs/serving.md, "In bulk". Nothing may change the model
--- meanwhile.
---@param options { users: string, out: string, format: string?, to: string?, key: string?, request: string?,
---   most: integer?, every: integer? }  format: "ids" (the default), "csv", "jsonl"; to: "jsonl" (the default),
---   "csv"; key: what the answers depend on, so
---   that only a batch with the same key goes on from an unfinished file; request: a JSON object, what holds for every
---   request; most: the largest k, default 1000; every: ms between two records of how far it is, default 1000
---@return ServedBatch?
---@return string? message  names the file and the line
---@return string? code     "io", "format", "argument", "busy", "memory"
function ServedModel:batch(options) end

---@class ServedBatch
local ServedBatch = {}

--- Answer a block more, by all threads.
---@return boolean? done    true: the file is whole and in its place
---@return string? message
---@return string? code
function ServedBatch:step() end

--- How far it is.
---@return { bytes: integer, read: integer, users: integer, items: integer, fallbacks: integer, short: integer,
---   refused: integer, resumed: integer, ignored: string[] }  bytes of the users' file, in all, read and
---   answered by an earlier run; users and items answered, of these users by popularity and with fewer than k items;
---   lines that could not be answered; names of fields of users that nothing reads, as far as this run has seen them
function ServedBatch:facts() end

--- Let go of it; an unfinished file stays for the next one.
function ServedBatch:close() end

--- The best items of many users at one moment, exact; equal scores in order of items.
---@param options { first: integer?, n: integer?, now: integer?, k: integer?, exclude_seen: boolean? }
---   n users from position first on; default all
---@return Tensor? rows     i64 [n, k], 0-based catalogue rows; -1 where there are fewer than k candidates
---@return Tensor|string scores  f32 [n, k]; minus infinity beside -1
---@return string? code
function ServedModel:recommend_users(options) end

--- Take an event into the state that histories and counts read; `as_of` moves behind it. The user may be new. Nothing
--- else may use the model meanwhile. An event that is earlier than others goes to its place in time.
---@param event { user: string, item: string, time: integer, fields: string? }
---   time: ms; fields: a JSON object with the columns that filters and weights of features read
---@return true?
---@return string? message  of an item that the catalogue lacks, of a field of the wrong type
---@return string? code     "argument", "memory"
function ServedModel:advance(event) end

--- Put an item into the catalogue without training: new, or in the place of the one of that id. Its fields are encoded
--- as the catalogue's were, and its vector has the bits of a bundle that was published with it. Nothing else may use
--- the model meanwhile.
---@param item { item: string, title: string?, created: integer?, fields: string? }
---   created: ms, without it an item of a model whose items age is no candidate; fields: a JSON object with the other
---   columns of the item frame
---@return true?
---@return string? message  of a field of the wrong type, of a bundle without an item plan
---@return string? code     "argument", "format", "memory"
function ServedModel:put(item) end

--- Make the item vectors anew as of the period of a moment, where the item side counts events; elsewhere nothing
--- changes. To be called when a period begins, or after events were posted. Nothing else may use the model meanwhile.
---@param now? integer  ms; default as_of
---@return true?
---@return string? message
---@return string? code  "memory", "format"
function ServedModel:refresh(now) end

--- Let go of the model; later calls raise.
function ServedModel:close() end

return serve
