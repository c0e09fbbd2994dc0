"""Benchmarks: ratios of one run, on one thread. `make benchmark` prints them; no test depends on their times."""
