"""What needs a GPU: tests, throughput, and a small study. ``make gpu-check`` runs all of it and writes one report."""
