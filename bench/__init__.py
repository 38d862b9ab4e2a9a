"""The benchmark: one table, every row a ratio to a baseline of the same run. Start it by ``make bench``."""
