---@meta
--- recsys.http: an HTTP server that the caller's thread drives, a client, and one that asks at a constant rate. Bytes
--- in, bytes out.

---@class http
local http = {}

--- Begin to listen. Requests wait in the server until step hands them to a handler.
---@param options { address?: string, port?: integer, max_body?: integer, max_memory?: integer, spool?: string,
---   timeout?: integer, connections?: integer, announce?: boolean }
---   address: default "127.0.0.1"; "*": all of this machine; port: 0, the default, is any that is free; max_body:
---   bytes, default 64 MiB, more is refused by 413; max_memory: bytes of a body that are kept in memory, default 1 MiB,
---   more lie in a file of the folder spool, without which they are refused; timeout: seconds of silence after which a
---   connection is closed, default 60; connections: at once, default 256; announce: hand over requests whose body is of
---   more than 64 KiB, or of a size that is not told, before it comes: it is kept only when the handler admits it
---@return HttpServer?
---@return string? message
---@return string? code     "io": the address or port is refused
function http.server(options) end

--- A client, which keeps its connections.
---@param options? { user?: string, password?: string, token?: string, timeout_ms?: integer, ca?: string,
---   insecure?: boolean, max_body?: integer }
---   user, password: sent as Basic authorization; token: as a bearer's, where there is no user; timeout_ms: how long
---   to wait for an answer, default 120000, 0 for ever; where a file is sent or fetched, how long a silence may be, and
---   a second more for each 4 MiB sent; ca: a file of certificates to trust instead of the system's; insecure: trust
---   any; max_body: bytes of an answer, default 256 MiB
---@return HttpClient?
---@return string? message
---@return string? code
function http.client(options) end

--- A client that asks at a constant rate, whatever becomes of the answers: request i is due i / rate seconds after the
--- start, and its latency counts from then, also when it had to wait for a connection. It connects at once.
---@param options { port: integer, rate: number, seconds: number, requests: string[], address?: string,
---   connections?: integer, timeout_ms?: integer }
---   rate: requests a second; seconds: for how long; requests: heads and bodies as they are sent, asked in turns;
---   address: a number, default "127.0.0.1"; connections: kept alive, default 16, so many requests are under way at the
---   most; timeout_ms: after which an answer has failed, default 10000
---@return HttpLoad?
---@return string? message
---@return string? code     "io": it cannot connect, "argument"
function http.load(options) end

--- A server; also closed by <close> and the collector.
---@class HttpServer
local HttpServer = {}

---@return integer port  that it listens on
function HttpServer:port() end

---@class HttpRequest
---@field method string
---@field path string       decoded, UTF-8, begins with "/"
---@field raw_path string   as it was sent, with the query
---@field query string[][]  { name, value } in order, decoded
---@field headers table<string, string>  names in lower case; equal ones joined by ", "
---@field body string?      or
---@field file string?      the path of the file that a large body lies in, removed after the answer unless it was moved
---@field address string    of the client, a number
---@field announced boolean? true: neither body nor file, which have not come yet: a handler that returns nil admits it,
---                          and gets the request again, whole; a response refuses it

---@class HttpResponse
---@field status integer?   200 .. 599, default 200
---@field headers table<string, string>?
---@field body string?      default ""
---@field file string?      the path of a file to send instead of a body

--- Look after all connections for timeout_ms at the most (-1: until something happens), and answer the requests that
--- are complete. What a handler raises is raised from here, and its request answered by 500.
---@param timeout_ms integer
---@param handler fun(request: HttpRequest): HttpResponse?  nil for announced requests alone
---@return integer handled  how many requests were
function HttpServer:step(timeout_ms, handler) end

--- Close all connections and let go of the port. Twice is fine.
function HttpServer:close() end

--- A client; also closed by <close> and the collector.
---@class HttpClient
local HttpClient = {}

--- Send a request and wait for its answer. An answer of any status is an answer.
---@param request { method?: string, url: string, headers?: table<string, string>, body?: string, file?: string,
---   into?: string, wait?: fun(): integer? }
---   method: default "GET"; file: the path of a file to send instead of a body; into: the path of a file that a body
---   with a status of 200 to 299 is written to, which is replaced when all is there; wait: called again and again while
---   there is no answer, first at once, then after as many ms as it gave, default 20; it may yield, so that a coroutine
---   waits beside the program; what it raises ends the request
---@return { status: integer, headers: table<string, string>, body: string }?
---@return string? message
---@return string? code  "io": no answer, "format": no HTTP, or too long, "argument": an address that makes no sense
function HttpClient:request(request) end

--- Close its connections. Twice is fine.
function HttpClient:close() end

--- Requests at a constant rate; also closed by <close> and the collector.
---@class HttpLoad
local HttpLoad = {}

--- Ask what is due, and give the next request that is over; nothing when all are. What the caller does between two
--- calls delays what is due then.
---@return integer? number   of the request, from 1: it asked requests[(number - 1) % #requests + 1]
---@return integer? status   0: it failed, and the body says why
---@return string? body
---@return number? latency   seconds from when it was due
function HttpLoad:next() end

--- Ask all that are left, without looking at answers.
function HttpLoad:run() end

--- due: requests so far; fine: answered by a status 2xx, other: by another one; failed: not answered; waited: most
--- requests that were due at once and not sent, for want of a connection; seconds: from the start to the last answer;
--- why: the first failure, or status and body of the first other answer, or "".
---@return { due: integer, fine: integer, other: integer, failed: integer, waited: integer, seconds: number,
---   why: string }
function HttpLoad:summary() end

--- The latency that a share of the fine answers did not exceed, by the nearest rank.
---@param share number  0 to 1
---@return number? seconds  nil when there is none
function HttpLoad:percentile(share) end

--- Close its connections. Twice is fine.
function HttpLoad:close() end

return http
