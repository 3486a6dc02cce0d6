--- Item-kNN on MovieLens-1M's pairs, of which popular items have many users in common (recsys.bench.neighbours).
return require("recsys.bench.neighbours").row("movielens", { implicit = "item_knn.py implicit",
  scikit_learn = "item_knn.py sklearn" })
