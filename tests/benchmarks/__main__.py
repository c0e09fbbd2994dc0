"""Run all benchmarks."""

from __future__ import annotations

import torch

from benchmarks import (
    attacks,
    cka,
    cnn_step,
    evaluation,
    fisher,
    language,
    linear,
    local_complexity,
    resnet_step,
    stacked,
    transformer_step,
)

torch.set_num_threads(1)
for benchmark in (
    transformer_step,
    linear,
    cnn_step,
    resnet_step,
    evaluation,
    fisher,
    local_complexity,
    cka,
    attacks,
    language,
    stacked,
):
    print(benchmark.run())
