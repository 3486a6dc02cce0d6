"""Peer of the bench row csv_write: the same columns written by polars or pandas."""
import sys

from common import bench

library = sys.argv[1]


def setup(arguments):
    import numpy

    n = int(arguments["rows"])
    draw = numpy.random.default_rng(1)
    users = numpy.array([f"user-{i * 2654435761 % 2**32:08x}" for i in range(1, 10401)])
    items = numpy.array([f"item-{i * 2654435761 % 2**32:08x}" for i in range(1, 8171)])
    columns = {
        "user": users[draw.integers(0, 10400, n)],
        "item": items[draw.integers(0, 8170, n)],
        "time": draw.integers(1700000000000, 1705000000000, n),
        "position": draw.integers(0, 60, n),
        "seconds": draw.integers(0, 60000, n) / 1000,
    }
    if library == "polars":
        import polars

        return arguments["path"] + "." + library, polars.DataFrame(columns)
    import pandas

    return arguments["path"] + "." + library, pandas.DataFrame(columns)


def run(state):
    path, table = state
    if library == "polars":
        table.write_csv(path)
    else:
        table.to_csv(path, index=False)
    return {"rows": len(table)}


bench(run, setup)
