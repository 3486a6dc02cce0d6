--- A server of models, without the command around it: recsys.core.server. lua/meta/server.lua is the manual.

return require("recsys.core").server
