"""What spec/frame_spec.lua compares as-of joins with: left.csv and right.csv of a folder joined by polars, each way."""
import itertools
import sys

import polars

folder = sys.argv[1]
left = polars.read_csv(folder + "/left.csv").with_row_index("i").sort("t")
right = polars.read_csv(folder + "/right.csv").sort("t", maintain_order=True)
for direction, strict, tolerance in itertools.product(("backward", "forward"), (False, True), (None, 40)):
    joined = left.join_asof(
        right, on="t", by="k", strategy=direction, allow_exact_matches=not strict, tolerance=tolerance
    ).sort("i")
    name = f"{direction}-{strict}-{tolerance}".lower().replace("none", "any")
    joined.select("v").write_csv(f"{folder}/{name}.csv", null_value="-")
