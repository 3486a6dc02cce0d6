---@meta
--- recsys.server: models answer HTTP calls, in threads that run no Lua (docs/serving.md). `recsys-run serve` is a
--- program around it, recsys.serve.operation.

---@class server
local server = {}

--- A server without a version, which listens to nobody yet.
---@param options { workers: integer, runtime?: string, commit?: string, openapi?: string, execution?: string,
---   accept?: string, models_root?: string, models_room?: integer }
---   workers: threads that answer, 1 to 1024; runtime, commit: what /version tells; openapi: the text of /openapi.json;
---   execution: that of /execution-parameters; accept: the type of /invocations' answers where the client takes any;
---   models_root: a folder below which models are loaded and unloaded by name; models_room: bytes that they may take
---@return Server  raises when memory is refused
function server.new(options) end

--- Whether an Accept wants a type in which /invocations answers.
---@param accept string  "text/csv, application/json;q=0.5"
---@return boolean
function server.answers(accept) end

--- A server, owned by the thread that made it; closing it twice is fine.
---@class Server
local Server = {}

---@alias Slot "live"|"candidate"|"shadow"

--- Put a model into a slot, in the place of the one that is there, when the answers under way are finished. The model
--- is the server's from then on: the handle is closed.
---@param slot Slot
---@param model ServedModel
---@param name string      what answers tell as model_version
---@param share? integer   of the candidate: of how many of 10,000 users it is; default 0
---@return true?
---@return string? message
---@return string? code  "memory": the model is as it was
function Server:put(slot, model, name, share) end

--- Keep events and items that are posted in a database, which is made, for its owner alone, when it is not there, and
--- answer by what it keeps: before the first put(). Its tables are called online_*; others may stand beside them.
---@param path string
---@param days? number  how long events are kept; 0: for ever; nil: as long as features look back and it matters what
---   was seen, at least 90 days
---@return true?
---@return string? message
---@return string? code  "io", "format", "busy", "memory"
function Server:keep(path, days) end

--- Give the server a file of its page, before it listens.
---@param path string   as it is asked for: "/serve.js"
---@param type string   its media type
---@param bytes string
---@return true
function Server:page(path, type, bytes) end

--- Load a serve recipe (recsys.serve_recipe) into a Lua state for each worker, and put its handlers before the server's
--- routes; before it listens.
---@param options { path: string, workers: integer, time_ms?: integer, memory?: integer }
---   path: of the recipe; workers: as many as the server was made for; time_ms: of a call, default 100; memory: bytes
---   of a state, default 64 MiB
---@return true?
---@return string? message  the recipe's, with its line
---@return string? code     "argument", "memory"
function Server:recipe(options) end

--- Take the version in a slot away.
---@param slot Slot
---@return true
function Server:clear(slot) end

--- Hash every member of the bundle in a slot, by all threads, while it answers.
---@param slot Slot
---@return true?
---@return string? message  names the file and the member
---@return string? code
function Server:verify(slot) end

--- What /ready tells; only "ready" is status 200. A new server is "verifying".
---@param state "verifying"|"ready"|"draining"
---@return true
function Server:state(state) end

--- How many times POST /admin/reload was called.
---@return integer
function Server:asked() end

--- Note for /version and /metrics what came of loading another version.
---@param asked integer     what asked() gave before
---@param failure? string   why there is none; nil: it is in place
---@return true
function Server:reloaded(asked, failure) end

--- What a service may be told; what is absent is as docs/serving.md, "Limits and hardening", says.
---@class ServiceOptions
---@field host? string           default "127.0.0.1"
---@field port? integer          0 (default) for any that is free
---@field names? string          words with a blank between: what Host may name beside loopback and 'host', where that
---   is loopback and there are no tokens; others are told 403
---@field workers integer        as many as the server was made for
---@field connections? integer   at once; per_address: of one client's address
---@field per_address? integer
---@field proxies? string        addresses and networks with commas between: of what comes from these X-Forwarded-For
---   tells the client
---@field rate? number           requests a second of a token, or of an address that shows none
---@field burst? number          of them at once
---@field tokens? string         a file of tokens; token_text: the same as a text, which came from a variable
---@field token_text? string
---@field certificate? string    PEM files: TLS
---@field key? string
---@field access_log? string     a file, "-" for standard output
---@field log_addresses? boolean whether clients' addresses stand in it
---@field max_body? integer      bytes
---@field head_ms? integer       for the whole head of a request; idle_ms: between two requests
---@field idle_ms? integer
---@field body_rate? integer     bytes a second; write_rate: of a reply
---@field write_rate? integer

--- Listen, and answer from now on.
---@param options ServiceOptions
---@return true?
---@return string? message
---@return string? code  "io", "format" (of a file), "argument", "memory"
function Server:start(options) end

--- Open the access log's path anew: its file was moved away.
---@return true
function Server:reopen_log() end

--- The port that it listens on.
---@return integer
function Server:port() end

--- Sums since the start: requests, errors (of status 500 or more), the answers of each slot, reloads, failed_reloads;
--- and where it listens connections (accepted), open, in_flight.
---@return table<string, integer>
function Server:counts() end

--- Take no more connections, answer what has come, and let go of those that are left after a time.
---@param timeout_ms integer
---@return true
function Server:drain(timeout_ms) end

--- What the last attempt to write or to read what is kept has met, with the database's path; nil after one that went
--- well, and where nothing is kept.
---@return string? message
function Server:trouble() end

--- Write what was posted and waits for the database, when the server is drained: nothing can be posted any more.
---@param timeout_ms integer  how long to go on trying; there is one attempt at the least, of 2 s at the most
---@return integer lost       posts that callers were told to be taken (202) and that could not be written
---@return string? message    why, with the database's path
function Server:finish(timeout_ms) end

--- Let go of all versions and connections.
function Server:close() end

return server
