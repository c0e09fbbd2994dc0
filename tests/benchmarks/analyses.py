"""What each analysis costs a model, and how that grows with the model and the data: ``python -m benchmarks.analyses``.

An MLP of two hidden layers on random images, one thread; each analysis with the sizes of its default settings, so that what
is drawn from the data does not grow with them. Every measurement is a process of its own, for its peak memory.
"""

from __future__ import annotations

import multiprocessing
import resource
import time

SIZES = ((100, 400), (200, 400), (400, 400), (200, 1600))
"""(width, training examples)."""


def measure(name: str, width: int, n: int) -> tuple[float, float]:
    """Seconds of a second call, and the MB by which both calls raised the peak of the process."""
    import torch

    from grokforget.analyses.base import Probe
    from grokforget.config.analyses import ANALYSES
    from grokforget.config.models import MLP
    from grokforget.config.specs.runs import ModelSpec
    from grokforget.config.training import TrainingSettings
    from grokforget.data.loader import Examples
    from grokforget.data.shape import DataShape
    from grokforget.models.build import build_model

    torch.set_num_threads(1)
    spec = ModelSpec(**dict(MLP(hidden=[width, width]).spec()))
    model = build_model(spec, DataShape((1, 8, 8), 10), seed=0).eval()
    drawn = torch.Generator().manual_seed(0)
    sizes = {"forget": n // 10, "retain": n - n // 10, "validation": n, "test": n}
    examples = {
        split: Examples(torch.rand(size, 64, generator=drawn), torch.arange(size) % 10) for split, size in sizes.items()
    }
    optimizer = {"name": "adamw", "learning_rate": 1e-3}
    settings = TrainingSettings.model_validate(
        {"loss": "mse", "optimizer": optimizer, "steps": 100, "segment_steps": 100}
    )
    state = {key: value.clone() for key, value in model.state_dict().items()}
    other = {key: value + 0.01 for key, value in state.items()}
    probe = Probe(model, examples, settings.objective().build(), 0, settings.recipe(), other, other)
    analysis = ANALYSES[name]().spec()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    analysis.build(probe)
    began = time.perf_counter()
    analysis.build(probe)
    seconds = time.perf_counter() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Print a table in Markdown: seconds a model, with the added peak memory in brackets."""
    from grokforget.config.analyses import ANALYSES

    heads = [f"width {width}, n {n}" for width, n in SIZES]
    print("\n".join([f"| analysis | {' | '.join(heads)} |", f"|---|{'--:|' * len(SIZES)}"]))
    context = multiprocessing.get_context("spawn")
    for name in ANALYSES:
        cells = []
        for width, n in SIZES:
            with context.Pool(1) as pool:
                seconds, memory = pool.apply(measure, (name, width, n))
            cells.append(f"{seconds:.2f} s ({memory:.0f} MB)")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
