"""Run all benchmarks."""

from __future__ import annotations

import torch

from benchmarks import fisher, local_complexity, transformer_step

torch.set_num_threads(1)
for benchmark in (transformer_step, fisher, local_complexity):
    print(benchmark.run())
