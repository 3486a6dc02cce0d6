"""Peer of the bench row shape_news: the same steps by polars (eager, lazy, or eager with its strings
as categories), pandas or DuckDB, from tables in memory."""
import sys

from common import bench

library = sys.argv[1]
STRENGTHS = {"TimeSpent-Front": 0.3, "TimeSpent-Back": 0.5, "News Bookmarked": 1.0, "News Shared": 1.0}
REPEATED = ["deviceId", "event_type", "eventTimestamp", "hashId"]
KEYS = ["deviceId", "hashId"]


def setup_polars(arguments):
    import polars

    tables = (
        polars.read_csv(arguments["events"]),
        polars.read_csv(arguments["devices"]),
        polars.read_csv(arguments["contents"]),
        polars.DataFrame({"event_type": list(STRENGTHS), "strength": list(STRENGTHS.values())}),
    )
    if library != "polars_categorical":
        return tables
    return tuple(t.with_columns(polars.col(polars.String).cast(polars.Categorical)) for t in tables)


def run_polars(state):
    import polars
    from polars import col

    events, devices, contents, strengths = [t.lazy() for t in state] if library == "polars_lazy" else state
    made = (
        events.filter(col("event_type").is_in(list(STRENGTHS)))
        .unique(subset=REPEATED, keep="any")
        .join(devices, left_on="deviceId", right_on="deviceid", how="left")
        .join(contents, left_on="hashId", right_on="hashid", how="left")
        .join(strengths, on="event_type", how="left")
        .group_by(KEYS)
        .agg(
            time=col("eventTimestamp").min(),
            strength=col("strength").max(),
            events=polars.len(),
            language=col("language_selected").first(),
            kind=col("newsType").first(),
            seconds=col("overallTimeSpent").sum(),
        )
        .sort("time")
    )
    made = made.collect() if library == "polars_lazy" else made
    return made["time"], made["events"], made["strength"], made["language"].count(), made["kind"].count()


def setup_pandas(arguments):
    import pandas

    return (
        pandas.read_csv(arguments["events"]),
        pandas.read_csv(arguments["devices"]),
        pandas.read_csv(arguments["contents"]),
        pandas.DataFrame({"event_type": list(STRENGTHS), "strength": list(STRENGTHS.values())}),
    )


def run_pandas(state):
    events, devices, contents, strengths = state
    joined = (
        events[events.event_type.isin(STRENGTHS)]
        .drop_duplicates(REPEATED)
        .merge(devices, left_on="deviceId", right_on="deviceid", how="left")
        .merge(contents, left_on="hashId", right_on="hashid", how="left")
        .merge(strengths, on="event_type", how="left")
    )
    made = (
        joined.groupby(KEYS, sort=False)
        .agg(
            time=("eventTimestamp", "min"),
            strength=("strength", "max"),
            events=("event_type", "size"),
            language=("language_selected", "first"),
            kind=("newsType", "first"),
            seconds=("overallTimeSpent", "sum"),
        )
        .reset_index()
        .sort_values("time", kind="stable")
    )
    return made.time, made.events, made.strength, made.language.count(), made.kind.count()


def setup_duckdb(arguments):
    import duckdb

    database = duckdb.connect()
    for name in ("events", "devices", "contents"):
        database.execute(f"create table {name} as from read_csv('{arguments[name]}')")
    database.execute("create table strengths(event_type varchar, strength double)")
    database.executemany("insert into strengths values (?, ?)", list(STRENGTHS.items()))
    return database


def run_duckdb(database):
    made = database.execute(
        """with known as (
          select distinct on (deviceId, event_type, eventTimestamp, hashId) * from events
          where event_type in (select event_type from strengths))
        select k.deviceId, k.hashId, min(eventTimestamp) as time, max(strength) as strength, count(*) as events,
          first(language_selected) as language, first(newsType) as kind, sum(overallTimeSpent) as seconds
        from known k left join devices d on k.deviceId = d.deviceid left join contents c on k.hashId = c.hashid
        left join strengths using (event_type) group by k.deviceId, k.hashId order by time"""
    ).df()
    return made.time, made.events, made.strength, made.language.count(), made.kind.count()


def run(state):
    time, events, strength, languages, kinds = globals()["run_" + library.split("_")[0]](state)
    return {
        "rows": len(time),
        "events": int(events.sum()),
        "strength": float(strength.sum()),
        "first": int(time[0] if library.startswith("polars") else time.iloc[0]),
        "last": int(time[-1] if library.startswith("polars") else time.iloc[-1]),
        "languages": int(languages),
        "kinds": int(kinds),
    }


bench(run, globals()["setup_" + library.split("_")[0]])
