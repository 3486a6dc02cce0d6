"""Peer of the bench row describe_events: the same figures by polars, as one would ask for them."""
from common import bench

USER, ITEM, TIME = "deviceId", "hashId", "eventTimestamp"
QUANTILES = [0.01, 0.25, 0.5, 0.75, 0.99]


def with_polars(arguments):
    import polars
    from polars import col

    f = polars.read_csv(arguments["path"])
    figures = {}
    for name in f.columns:
        column = f[name]
        figures[name] = {"missing": column.null_count(), "distinct": column.drop_nulls().n_unique(),
                         "top": column.drop_nulls().value_counts(sort=True).head(10)}
        measure = column.str.len_chars() if column.dtype == polars.String else column
        figures[name]["quantiles"] = [measure.quantile(q, "linear") for q in QUANTILES]
        figures[name]["moments"] = (measure.min(), measure.max(), measure.mean(), measure.std(ddof=0))
        figures[name]["histogram"] = measure.drop_nulls().hist(bin_count=24)
    repeated = len(f) - f.n_unique()
    pairs = f.select(USER, ITEM).n_unique()
    counts = {name: f.group_by(name).len()["len"].sort(descending=True) for name in (USER, ITEM)}
    spreads = {name: [c.quantile(q, "linear") for q in QUANTILES] for name, c in counts.items()}
    times = f[TIME].sort()
    cold = []
    for share in (0.1, 0.2):
        start = times[int(len(f) * (1 - share) + 1e-9)]
        before, after = f.filter(col(TIME) < start), f.filter(col(TIME) >= start)
        new = [after.join(before.select(name).unique(), on=name, how="anti") for name in (USER, ITEM)]
        cold.append({"user_events": len(new[0]), "item_events": len(new[1]), "new_items": new[1][ITEM].n_unique()})
    assert spreads
    return {"rows": len(f), "repeated": repeated, "pairs": pairs, "users": len(counts[USER]),
            "items": len(counts[ITEM]), "median": figures["overallTimeSpent"]["quantiles"][2],
            "missing": figures["cardViewPosition"]["missing"], "distinct": figures["overallTimeSpent"]["distinct"],
            "top": figures["event_type"]["top"]["count"][0], "new_items": cold[0]["new_items"],
            "user_events": cold[0]["user_events"]}


bench(with_polars)
