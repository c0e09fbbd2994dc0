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

    from grokforget.analysis.probe import Probe
    from grokforget.analysis.registry import ANALYSES
    from grokforget.components import load_implementation
    from grokforget.data.shape import DataShape
    from grokforget.models.build import build_model
    from grokforget.models.registry import MLP
    from grokforget.training.evaluate import Examples

    torch.set_num_threads(1)
    model = build_model({**MLP(hidden=[width, width]).spec(), "alpha": 1.0}, DataShape((1, 8, 8), 10), seed=0).eval()
    drawn = torch.Generator().manual_seed(0)
    sizes = {"forget": n // 10, "retain": n - n // 10, "validation": n, "test": n}
    examples = {
        split: Examples(torch.rand(size, 64, generator=drawn), torch.arange(size) % 10) for split, size in sizes.items()
    }
    optimizer = {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "betas": [0.9, 0.999]}
    recipe = {"loss": "mse", "batch_size": None, "optimizer": {**optimizer, "schedule": "constant", "sam_rho": 0.0}}
    state = {key: value.clone() for key, value in model.state_dict().items()}
    other = {key: value + 0.01 for key, value in state.items()}
    probe = Probe(model, examples, 10, 0, {**recipe, "penalty": None}, other, other)
    spec = ANALYSES[name]().spec()
    analyse = load_implementation(spec["implementation"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    analyse(probe, **spec["settings"])
    began = time.perf_counter()
    analyse(probe, **spec["settings"])
    seconds = time.perf_counter() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Print a table in Markdown: seconds a model, with the added peak memory in brackets."""
    from grokforget.analysis.registry import ANALYSES

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
