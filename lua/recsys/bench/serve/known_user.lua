--- Users that the bundle knows, drawn uniformly: 50 of 9,100 articles, without those that he has read, with titles and
--- reasons.
---
--- The peers: FastAPI as its tutorial has it, with all items scored at once by NumPy; the same with the answer written
--- by orjson past FastAPI; one item after another, as handlers of recommenders often do; and asyncio without a
--- framework.

local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"

return serving.row("known_user", {
  about = "POST /recommend for users that the bundle knows: 50 of 9,100 articles, seen ones excluded",
  body = function(i) return { user = served.user(i), k = 50 } end,
  goal = 12000, compared = true,
  peers = { fastapi = "serve_fastapi.py vectorised 2", fastapi_orjson = "serve_fastapi.py tuned 2",
    fastapi_loop = "serve_fastapi.py loop 1", asyncio = "serve_bare.py" },
  times = { fastapi = 10, fastapi_loop = 200 },
})
