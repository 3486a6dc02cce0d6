"""Scaled numbers, quantile buckets and window counts by scikit-learn, pandas and polars: JSON in, JSON out.

    python feature_reference.py IN OUT

IN holds `train` (numbers that scalers learn from), `all` (numbers to scale), `distinct` (numbers without repeats to cut
into `n` buckets), and `events` (lists user, time in ms, kind) with `window` in ms and `kinds`.
"""
import json
import sys

import numpy
import pandas
import polars
from sklearn.preprocessing import RobustScaler, StandardScaler


def scaled(scaler, job):
    def column(values):
        return numpy.array([numpy.nan if x is None else x for x in values], dtype=float).reshape(-1, 1)

    return [None if numpy.isnan(x) else x for x in scaler.fit(column(job["train"])).transform(column(job["all"]))[:, 0].tolist()]


def buckets(job):
    """By rank alone: no edges are searched."""
    ranks = pandas.Series(job["distinct"]).rank(method="first").astype(int) - 1
    return (ranks * job["n"] // len(ranks) + 1).tolist()


def window_counts(job):
    """For each event, how many of its user's events, and how many of some kinds, lie in [time - window, time)."""
    events = polars.DataFrame({**job["events"], "row": range(len(job["events"]["user"]))})
    events = events.with_columns(polars.from_epoch("time", time_unit="ms").alias("time")).sort("user", "time")
    counts = (
        events.rolling("time", period=f"{int(job['window'])}ms", closed="left", group_by="user")
        .agg(polars.len().alias("n"), polars.col("kind").is_in(job["kinds"]).fill_null(False).sum().alias("some"))
        .unique(["user", "time"])
    )
    joined = events.join(counts, on=["user", "time"], how="left").sort("row")
    return {"n": joined["n"].to_list(), "some": joined["some"].to_list()}


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    result = {
        "standard": scaled(StandardScaler(), job),
        "robust": scaled(RobustScaler(), job),
        "buckets": buckets(job),
        "counts": window_counts(job),
    }
    with open(sys.argv[2], "w") as file:
        json.dump(result, file)


main()
