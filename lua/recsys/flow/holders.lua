--- Who is at work on a run, by the name that no other process ever has (recsys.track.process), and the folder that it
--- works in, from which the recipe's path leads to the recipe.

return [[
ALTER TABLE runs ADD COLUMN holder TEXT;
ALTER TABLE runs ADD COLUMN home TEXT;
]]
