--- Item-kNN on Gowalla's pairs, of which few items have users in common (recsys.bench.neighbours).
return require("recsys.bench.neighbours").row("gowalla", { implicit = "item_knn.py implicit" })
