--- Names for runs that were given none: two words and a number, as people can say them aloud.

local uv = require "luv"

local words = {}

local kinds = { "able", "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cosy",
  "crisp", "eager", "early", "fair", "fond", "fresh", "gentle", "glad", "golden", "grand", "honest", "jolly", "keen",
  "kind", "lively", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "patient", "placid", "proud",
  "quick", "quiet", "rapid", "ready", "silent", "silver", "smart", "smooth", "steady", "sunny", "swift", "tidy",
  "trusty", "upbeat", "vivid", "warm", "wise", "witty" }
local animals = { "ant", "badger", "bat", "bear", "beaver", "bee", "bison", "camel", "carp", "cat", "colt", "crane",
  "crow", "deer", "dove", "duck", "eagle", "eel", "elk", "falcon", "finch", "fox", "gecko", "goat", "goose", "hare",
  "hawk", "heron", "horse", "ibis", "jay", "kite", "lark", "lynx", "mole", "moose", "moth", "newt", "otter", "owl",
  "panda", "perch", "pike", "raven", "robin", "seal", "shrew", "sloth", "snail", "stork", "swan", "tern", "toad",
  "trout", "viper", "whale", "wolf", "wren", "yak", "zebra" }

--- Such a name. No stream of random numbers is touched that results depend on.
---@return string
function words.name()
  local a, b, c, d = uv.random(4):byte(1, 4)
  return ("%s-%s-%d"):format(kinds[a % #kinds + 1], animals[b % #animals + 1], (c * 256 + d) % 1000)
end

return words
