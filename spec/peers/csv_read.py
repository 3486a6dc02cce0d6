"""Peer of the bench rows csv_read and csv_read_ratings: all columns eagerly into memory by polars, DuckDB or pandas."""
import os
import sys

from common import bench

library = sys.argv[1]


def read(path):
    """The table as (rows, columns, column name -> function of a row number -> value, column name -> sum)."""
    if library == "polars":
        import polars

        table = polars.read_csv(path)
        return table.height, table.width, lambda name, row: table[name][row], lambda name: table[name].sum()
    if library == "pandas":
        import pandas

        table = pandas.read_csv(path)
        return len(table), table.shape[1], lambda name, row: table[name].iloc[row], lambda name: table[name].sum()
    import duckdb

    base = duckdb.connect()
    base.execute(f"set threads = {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}")
    base.execute("create table t as select * from read_csv(?)", [path])
    one = lambda query: base.execute(query).fetchone()[0]
    return (
        one("select count(*) from t"),
        one("select count(*) from duckdb_columns() where table_name = 't'"),
        lambda name, row: one(f'select "{name}" from t where rowid = {row}'),
        lambda name: one(f'select sum("{name}") from t'),
    )


def run(arguments):
    rows, columns, cell, total = read(arguments.get("copy", arguments["path"]))
    check = {"rows": rows, "columns": columns}
    if "copy" in arguments:
        return check | {"ratings": int(total("rating")), "first": int(cell("time", 0)), "last": int(cell("time", rows - 1))}
    return check | {
        "positions": int(total("cardViewPosition")),
        "first": cell("deviceId", 0),
        "last": cell("hashId", rows - 1),
    }


bench(run)
