"""Peer of the bench row shape_ratings: the same steps by polars or pandas, from tables in memory."""
import sys

from common import bench

library = sys.argv[1]
K = 20


def setup(arguments):
    if library == "polars":
        import polars as module
    else:
        import pandas as module
    return [module.read_csv(arguments[name]) for name in ("ratings", "users", "movies")]


def core_polars(table):
    import polars

    while True:
        kept = table.filter((polars.len().over("user") >= K) & (polars.len().over("item") >= K))
        if len(kept) == len(table):
            return kept
        table = kept


def run_polars(ratings, users_table, movies):
    import polars
    from polars import col

    core = core_polars(ratings)
    users = core.group_by("user").agg(n=polars.len(), mean=col("rating").mean(), last=col("time").max())
    items = core.group_by("item").agg(m=polars.len(), average=col("rating").mean(), std=col("rating").std())
    joined = (
        core.join(users, on="user")
        .join(items, on="item")
        .join(users_table, on="user", how="left")
        .join(movies, on="item", how="left")
        .with_columns(above=col("rating") - col("mean"))
    )
    by_genre = joined.group_by("genre", "age").agg(above=col("above").sum(), n=polars.len())
    return core, users, items, by_genre


def core_pandas(table):
    while True:
        kept = table[
            (table.groupby("user").user.transform("size") >= K) & (table.groupby("item").item.transform("size") >= K)
        ]
        if len(kept) == len(table):
            return kept
        table = kept


def run_pandas(ratings, users_table, movies):
    core = core_pandas(ratings)
    users = core.groupby("user", as_index=False).agg(n=("rating", "size"), mean=("rating", "mean"), last=("time", "max"))
    items = core.groupby("item", as_index=False).agg(
        m=("rating", "size"), average=("rating", "mean"), std=("rating", "std")
    )
    joined = (
        core.merge(users, on="user")
        .merge(items, on="item")
        .merge(users_table, on="user", how="left")
        .merge(movies, on="item", how="left")
    )
    joined["above"] = joined["rating"] - joined["mean"]
    by_genre = joined.groupby(["genre", "age"], as_index=False).agg(above=("above", "sum"), n=("above", "size"))
    return core, users, items, by_genre


def run(state):
    core, users, items, by_genre = globals()["run_" + library](*state)
    return {
        "rows": len(core),
        "users": len(users),
        "items": len(items),
        "groups": len(by_genre),
        "last": float(users["last"].sum()),
        "spread": float(items["std"].sum()),
        "most": int(by_genre["n"].max()),
    }


bench(run, setup)
