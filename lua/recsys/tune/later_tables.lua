--- What flow.db keeps of studies beside recsys.tune.tables, added later.
---
--- `promoted` is the step behind which a pruned trial was taken up again. `retrained` is the number of the trial that
--- was trained again as a whole, `retrained_run` its run of the tracking store, `retrained_folder` its folder.

return [[
ALTER TABLE trials ADD COLUMN promoted INTEGER;
ALTER TABLE studies ADD COLUMN retrained INTEGER;
ALTER TABLE studies ADD COLUMN retrained_run TEXT;
ALTER TABLE studies ADD COLUMN retrained_folder TEXT;
]]
