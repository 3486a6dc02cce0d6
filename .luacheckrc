std = "lua54"
max_line_length = 120
cache = false
exclude_files = { "artifacts", "build" }
files["spec"].std = "+busted"
-- Documentation of C modules: functions without bodies.
files["lua/meta"].ignore = { "212", "241" }
