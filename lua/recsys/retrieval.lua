--- Exact top-K: recsys.core.retrieval. lua/meta/retrieval.lua is the manual.
return require("recsys.core").retrieval
