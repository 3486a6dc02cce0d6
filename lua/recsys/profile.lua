--- What looking at frames finds: recsys.core.profile. lua/meta/profile.lua is the manual.
return require("recsys.core").profile
