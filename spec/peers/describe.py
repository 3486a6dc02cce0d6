"""What pandas says of interactions in a CSV: user, item, rating, time. Prints JSON. Called by spec/describe_spec.lua."""
import json
import sys

import numpy
import pandas

f = pandas.read_csv(sys.argv[1], sep=sys.argv[2], engine="python" if len(sys.argv[2]) > 1 else "c",
                    names=["user", "item", "rating", "time"], dtype={"user": str, "item": str})


def spread(values):
    quantiles = values.quantile([0.01, 0.25, 0.5, 0.75, 0.99]).tolist()
    return {"min": float(values.min()), "max": float(values.max()), "mean": float(values.mean()),
            "deviation": float(values.std(ddof=0)), "quantiles": quantiles}


def skew(name):
    counts = f.groupby(name).size().sort_values(ascending=False)
    x = counts.to_numpy(dtype=float)
    differences = numpy.abs(x[:, None] - x[None, :]).sum()
    return {"n": len(x), "spread": spread(counts), "gini": float(differences / (2 * len(x) ** 2 * x.mean())),
            "top_1": float(x[:-(-len(x) // 100)].sum() / x.sum()), "top_10": float(x[:-(-len(x) // 10)].sum() / x.sum()),
            "once": int((x == 1).sum())}


def cold(share):
    times = f.time.sort_values(kind="stable").to_numpy()
    start = times[int(len(f) * (1 - share) + 1e-9)]
    before, after = f[f.time < start], f[f.time >= start]
    new_user, new_item = ~after.user.isin(before.user), ~after.item.isin(before.item)
    return {"events": len(after), "users": after.user.nunique(), "items": after.item.nunique(),
            "new_users": after.user[new_user].nunique(), "new_items": after.item[new_item].nunique(),
            "user_events": int(new_user.sum()), "item_events": int(new_item.sum()),
            "either_events": int((new_user | new_item).sum())}


print(json.dumps({"rating": spread(f.rating), "time": spread(f.time * 1000.0), "distinct": int(f.time.nunique()),
                  "pairs": int(len(f.drop_duplicates(["user", "item"]))), "users": skew("user"), "items": skew("item"),
                  "cold": [cold(0.1), cold(0.2)]}))
