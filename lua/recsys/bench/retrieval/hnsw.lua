--- A graph that compares items by bytes.
return require("recsys.bench.graph").row("top-10 of 1,000,000 items, 64 dimensions, by a graph over bytes", true)
