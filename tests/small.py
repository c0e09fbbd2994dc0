"""A study for unit tests, and its training jobs as processes of their own."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grokforget
from grokforget.config import specs
from grokforget.config.specs import runs
from grokforget.config.specs.base import Item, JobSpec
from grokforget.config.study import Study
from grokforget.runtime import paths
from grokforget.runtime.spec_file import write_spec

SOURCE = Path(grokforget.__file__).parents[1]
STUDY: dict[str, Any] = {
    "study": "small",
    "seeds": [0, 1],
    "data": {"addition": {"kind": "modular", "modulus": 13, "operation": "+", "train_fraction": 0.6}},
    "settings": {
        "mlp": {
            "data": "addition",
            "model": {"kind": "mlp", "hidden": [16], "activation": "quadratic", "bias": False},
            "training": {
                "loss": "cross-entropy",
                "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 1.0},
                "batch_size": 32,
                "steps": 6000,
                "segment_steps": 3000,
                "evaluate_every": 20,
            },
            "selection": {"transition": "accuracy"},
        }
    },
    "forget_sets": {
        "within": {"kind": "within-classes", "class_share": 0.2, "fraction": 0.5},
        "random": {"kind": "random", "fraction": 0.1},
    },
    "methods": {
        "original": {"kind": "original"},
        "retrain": {"kind": "retrain"},
        "ascent": {"kind": "gradient-ascent", "learning_rate": 1e-2},
        "scrub": {"kind": "scrub", "epochs": 3, "max_epochs": 2},
    },
    "metrics": {"accuracy": {"kind": "accuracy"}},
    "analyses": {
        "alignment": {"kind": "gradient-alignment", "examples": 16, "batches": 2, "batch_size": 4, "pairs": 3}
    },
    "likelihood_ratio_attack": True,
    "along_training": {"method": "ascent", "snapshots": 4},
    "tuning": {"seed": 9, "candidates": {"ascent": {"parameter": "learning_rate", "values": [1e-2, 1e-3]}}},
}


def small(**changes: Any) -> Study:
    """The small study; ``changes`` are new values by the key's path, dots written as two underscores, a mapping's entries
    being added to those there are, and None taking an entry out."""
    tree = deepcopy(STUDY)
    for where, value in changes.items():
        *way, last = where.split("__")
        node = tree
        for step in way:
            node = node.setdefault(step, {})
        if value is None:
            del node[last]
        elif isinstance(value, dict):
            node[last] = {**node.get(last, {}), **value}
        else:
            node[last] = value
    return Study.model_validate(tree)


def job_specs() -> Iterator[type[JobSpec]]:
    """Every class of spec of the package that names a function."""
    for module in pkgutil.iter_modules(specs.__path__):
        importlib.import_module(f"{specs.__name__}.{module.name}")
    todo = [JobSpec]
    while todo:
        kind = todo.pop()
        todo.extend(kind.__subclasses__())
        # Tests have specs of their own.
        if hasattr(kind, "function") and kind.__module__.startswith(specs.__name__):
            yield kind


@dataclass
class Training:
    """The first segment of the small study's first run, in a folder."""

    folder: Path
    study: Study
    train_set: str = "full"
    segment: str = "001"

    @property
    def key(self) -> str:
        return paths.SEGMENT.format(setting="mlp", seed=0, train_set=self.train_set, segment=self.segment)

    @property
    def root(self) -> Path:
        return self.folder / "results" / self.study.study

    @property
    def record(self) -> Path:
        return self.root / paths.record_of(self.key)

    @property
    def log(self) -> Path:
        return self.root / paths.log_of(self.key)

    @property
    def products(self) -> dict[str, bytes]:
        """Every file that a finished job has written, but for its record."""
        return {path.name: path.read_bytes() for path in sorted((self.root / self.key).glob("*"))}

    @property
    def partials(self) -> list[Path]:
        """What an interrupted job has left for the next one."""
        return list((self.root / "store" / "unfinished").glob("*/partial.safetensors"))

    def prepare(self) -> None:
        """Make what the job reads."""
        self.run("prepare", paths.DATA.format(data="addition"), runs.prepare(self.study, "addition"))
        self.run("split", paths.SPLIT_JOB.format(data="addition", seed=0), runs.split(self.study, "addition", "0"))

    def run(self, rule: str, key: str, items: Mapping[str, Item]) -> None:
        """Run a job to its end."""
        subprocess.run(
            [sys.executable, "-m", "grokforget", *self._arguments(rule, key, items)],
            cwd=self.folder,
            env=self.environment(),
            check=True,
            capture_output=True,
        )

    def begin(self, saving_every: float | None = None, lines: bool = False) -> subprocess.Popen[str]:
        """Start the job; ``saving_every`` replaces the seconds between two savings, and ``lines`` has it log every
        evaluation."""
        module = ["-m", "grokforget"]
        if saving_every is not None or lines:
            edits = "import runpy, grokforget.runtime.progress as progress, grokforget.jobs.train as train\n"
            edits += f"train.SAVE_SECONDS = {saving_every}\n" if saving_every is not None else ""
            edits += "progress.LOG_SECONDS = -1\n" if lines else ""
            module = ["-c", f"{edits}runpy.run_module('grokforget', run_name='__main__')"]
        items = runs.train(self.study, "mlp", "0", self.train_set, self.segment)
        return subprocess.Popen(
            [sys.executable, *module, *self._arguments("train", self.key, items)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _arguments(self, rule: str, key: str, items: Mapping[str, Item]) -> list[str]:
        """As the rules give them: paths from the working folder."""
        write_spec(self.root, key, items, rule)
        root = self.root.relative_to(self.folder)
        spec, record, log = (str(root / path) for path in (paths.spec_of(key), paths.record_of(key), paths.log_of(key)))
        return ["run", spec, "--record", record, "--log", log]

    @staticmethod
    def environment() -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
