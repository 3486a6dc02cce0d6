--- What a program that another one started owes to it: recsys.core.process. lua/meta/process.lua is the manual.
return require("recsys.core").process
