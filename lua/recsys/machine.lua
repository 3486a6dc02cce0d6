--- Rates that this machine's threads reach: recsys.core.machine. lua/meta/machine.lua is the manual.
return require("recsys.core").machine
