--- HTTP, server and client: recsys.core.http. lua/meta/http.lua is the manual.

return require("recsys.core").http
