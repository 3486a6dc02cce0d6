--- Layers, towers and fused losses: recsys.core.nn. lua/meta/nn.lua is the manual.
return require("recsys.core").nn
