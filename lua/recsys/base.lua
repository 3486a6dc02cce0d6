--- Threads, random streams and the like: recsys.core.base. lua/meta/base.lua is the manual.
return require("recsys.core").base
