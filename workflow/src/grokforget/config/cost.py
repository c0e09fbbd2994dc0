"""What the jobs of a study cost, about, before any has run: seconds, memory and disk by kind of job.

All of it follows from how much is computed (``config/work.py``), at the speed of one class of machines. It is meant to be
right within a factor of two there; once jobs of a kind have run, their records tell (``runtime/expected.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokforget.config.method_settings.base import Method, Steps
from grokforget.config.work import Request, Work, batches
from grokforget.runtime.expected import Cost
from grokforget.runtime.remaining import START as AROUND

if TYPE_CHECKING:
    from grokforget.config.forget_sets import ForgetSet
    from grokforget.config.study import Study


@dataclass(frozen=True)
class Machine:
    """A class of machines: FLOP/s by kind of model, and seconds of a training step and of each layer in it."""

    rates: Mapping[str, float]
    step: float
    layer: float
    name: str


CORE = Machine(
    {"mlp": 110e9, "cnn": 90e9, "resnet": 65e9, "transformer": 95e9, "vit": 65e9, "phi": 65e9, "causal-lm": 65e9},
    step=0.15e-3,
    layer=0.1e-3,
    name="cores of an AMD EPYC with AVX-512",
)
"""In float32, from the records of runs of ``laptop`` and of the training jobs of ``cifar10-small`` beside other work (two cores
of an AMD EPYC with AVX-512, November 2026); ``vit`` was not measured, and is taken for as fast as the ResNet, nor ``causal-lm``,
taken for as fast as Phi."""
GPU = Machine(
    {"mlp": 25e12, "cnn": 25e12, "resnet": 25e12, "transformer": 25e12, "vit": 25e12, "phi": 25e12, "causal-lm": 25e12},
    step=0.2e-3,
    layer=0.03e-3,
    name="a GPU of the class of an H100, of which nothing was measured yet",
)
"""In float32: about a third of an H100's peak, and kernels as a recorded graph launches them. Not measured by anybody yet."""
EXAMPLES, TEXTS = 512, 32
"""Of a forward pass in evaluation."""
BFLOAT16 = 5.0
"""How much faster a GPU is in bfloat16 (not measured); a processor is taken for as fast."""
ON_DEVICE = ("train", "difficulty", "unlearn", "unlearn_along_training", "analyse", "shadow", "tune")
"""The rules whose jobs run models, on the study's device and with its threads."""
OTHERS = {
    "figure": 4.5,
    "claims": 2.2,
    "explain": 1.5,
    "match": 1.5,
    "prepare": 1.5,
    "outcomes": 1.4,
    "collect": 0.9,
    "fit_laws": 0.9,
    "published": 0.9,
    "summarise": 0.9,
    "select": 0.7,
    "attack": 0.4,
    "choose": 0.4,
    "paper_table": 0.4,
    "provenance": 0.4,
    "tuned": 0.4,
    "describe": 0.3,
    "forget": 0.1,
    "split": 0.1,
}
"""Seconds of a job of any other rule, in the laptop study."""
START = 1.6
"""Seconds until a job that runs a model does so: its process, its imports, its data."""
CELL = 6e-3
"""Seconds of the metrics of one cell, of about 1,800 examples."""
TORCH_MB, TABLES_MB, UNLEARNING_MB = 330.0, 250.0, 60.0
"""Memory of a process that has imported torch, of one that has imported pandas, and what unlearning takes beside it."""
ROW_BYTES, OTHER_BYTES = 10, 500_000
"""On disk: what a job writes of one example's outputs, and a job of no model, such as a figure, in all."""
SHARE_OF_CHANGES = 0.6
"""Share of a method's updates that change the forget accuracy, at which a trajectory has a row."""


def request_of(forget_set: ForgetSet, train: int, test: int, classes: int) -> Request:
    """The sizes of a request."""
    rule = getattr(forget_set, "intended", forget_set)
    share = getattr(rule, "class_share", 1.0) * getattr(rule, "fraction", 1.0)
    forget = getattr(rule, "pairs", None) or max(1, round(share * train))
    return Request(forget, max(train - forget, 1), test, classes)


class SettingCosts:
    """What the jobs of one setting cost. Raises LookupError where its data or its model do not tell."""

    def __init__(self, study: Study, name: str) -> None:
        self.study, self.name, self.setting = study, name, study.settings[name]
        data = study.data[self.setting.data]
        extent = data.extent()
        if extent is None:
            raise LookupError(f"data of kind {data.kind}")
        model = self.setting.model.work(data, extent)
        if model is None:
            raise LookupError(f"a model of kind {self.setting.model.kind}")
        self.extent, self.model, self.recipe = extent, model, self.setting.training
        self.looked_at = TEXTS if self.recipe.objective_name == "language" else EXAMPLES
        self.machine = GPU if study.device == "cuda" else CORE
        self.rate = self.machine.rates.get(self.setting.model.kind, min(self.machine.rates.values()))
        self.step = self.machine.step + self.machine.layer * model.layers
        self.checkpoints = len(study.checkpoints_of(name))
        self.segments = self.recipe.steps // self.recipe.segment_steps
        self.weights, self.frozen = 4 * (model.parameters - model.frozen), 4 * model.frozen
        """Bytes of the weights that learn and of the others, in float32."""
        sizes = extent.train, extent.test, extent.classes
        self.requests = {one: request_of(study.forget_sets[one], *sizes) for one in study.forget_sets_of(name)}

    @property
    def recalibrated(self) -> int:
        """Examples that batch norms are recalibrated on before a look at a model."""
        return min(self.study.recalibration_examples, self.extent.train) if self.setting.model.has_batch_norm else 0

    @property
    def batch(self) -> int:
        """Examples of a training step."""
        return min(self.recipe.batch_size or self.extent.train, self.extent.train)

    @property
    def states(self) -> int:
        """Numbers that optimizer and gradient filter keep of every parameter."""
        optimizer = self.recipe.optimizer
        filtered = optimizer.gradient_filter.kept if optimizer.gradient_filter else 0
        return filtered + (int(optimizer.momentum > 0) if optimizer.name == "sgd" else 2)

    def logarithmic(self, per_decade: int) -> float:
        """Points of a log-spaced grid over a run."""
        return min(per_decade * math.log10(self.recipe.steps) + 1, self.recipe.steps + 1)

    @property
    def evaluations(self) -> float:
        """Of a run."""
        return self.recipe.steps / self.recipe.evaluate_every + self.logarithmic(self.recipe.evaluations_per_decade)

    @property
    def snapshots(self) -> float:
        """Of a run: those of the grid, and one whenever an accuracy has moved, from chance to 1 mostly at once in both."""
        grid = self.logarithmic(self.recipe.snapshots_per_decade)
        return grid + min(0.8 / self.recipe.snapshot_change, max(self.evaluations - grid, 0))

    def forward(self, examples: float) -> float:
        """Seconds of a forward pass over so many examples."""
        return self.computed(Work(0, round(examples))) + self.step / 3 * batches(round(examples), self.looked_at)

    def computed(self, work: Work) -> float:
        """Seconds of so many calls and passes."""
        return work.calls * self.step + work.passes * self.model.flops / self.rate

    def train(self) -> float:
        """Of a segment."""
        faster = BFLOAT16 if self.recipe.precision == "bfloat16" and self.machine is GPU else 1.0
        # SAM takes every gradient twice, and the gradient of a penalty is one of a gradient.
        times = (2 if self.recipe.optimizer.sam_rho else 1) * (3 if self.recipe.penalty else 1)
        steps = self.computed(Work(self.recipe.steps * times, 0))
        steps += self.computed(Work(0, 3 * times * self.recipe.steps * self.batch)) / faster
        return (steps + self.evaluations * self.forward(self.extent.evaluated)) / self.segments

    def followed(self, method: Method, request: Request, stride: int | None = None) -> float:
        """Of what is looked at on a method's way from one checkpoint and at its end."""
        most = self.study.trajectory_examples or self.extent.train
        forget, *rest = (min(n, most) for n in (request.forget, request.retain, request.test))
        before = self.forward(self.recalibrated) if self.recalibrated else 0.0
        row = before + self.forward(forget + sum(rest))
        look = row / stride if stride else before + self.forward(forget) + SHARE_OF_CHANGES * row
        end = self.forward(self.extent.evaluated)
        updates = method.work(request).calls if isinstance(method, Steps) else 1
        return updates * look + 2 * row + end

    def applied(self, method: Method, request: Request, stride: int | None = None) -> float:
        """Of a method from one checkpoint."""
        return self.computed(method.work(request)) + self.followed(method, request, stride)

    def unlearn(self) -> float:
        """All methods on a forget set, of all of them the mean."""
        methods = [self.study.method(self.name, name) for name in self.study.methods]
        cells = [(method, request) for method in methods for request in self.requests.values()]
        stride = self.setting.trajectory_stride or self.study.trajectory_stride
        found = sum(self.applied(*cell, stride) for cell in cells)
        everything = self.forward(self.extent.evaluated)
        if self.recalibrated:
            # Once more with frozen statistics, where nothing is looked at on the way.
            moving = [cell for cell in cells if getattr(cell[0], "batch_statistics", "") == "moving"]
            found += sum(self.computed(method.work(request)) + everything for method, request in moving)
            # And every result with its statistics as they were left.
            found += len(cells) * everything
        return self.checkpoints * (found / len(self.requests) + len(methods) * everything)

    def tune(self) -> float:
        found = 0.0
        for name, candidates in self.study.tuning.candidates.items():
            method, n = self.study.method(self.name, name), len(candidates.values)
            for request in (self.requests[one] for one in self.study.forget_sets_tuned(self.name)):
                times = 1 if method.in_common else n
                found += times * self.computed(method.work(request)) + n * self.followed(method, request)
        return self.checkpoints * found

    @property
    def looked_at_along(self) -> float:
        """Snapshots."""
        return min(self.study.along_training.snapshots or self.snapshots, self.snapshots)

    def unlearn_along_training(self) -> float:
        method = self.study.method(self.name, self.study.along_method)
        requests = [self.requests[name] for name in self.study.forget_sets_along(self.name)]
        return self.looked_at_along * sum(self.applied(method, request) for request in requests)

    def analyse(self) -> float:
        found = 0.0
        before = self.forward(self.recalibrated) if self.recalibrated else 0.0
        itself = Request(0, self.extent.train, self.extent.test, self.extent.classes)
        for name, analysis in self.study.analyses.items():
            if self.study.analysed_run(self.name, name):
                found += self.looked_at_along * (before + self.computed(analysis.work(itself)))
            for forget_set in self.study.analysed(self.name, name):
                models = self.checkpoints * ("before" in analysis.at)
                models += self.checkpoints * (len(self.study.methods) - 1) * ("after" in analysis.at)
                along = "along" in analysis.at and forget_set in self.study.forget_sets_along(self.name)
                one = before + self.computed(analysis.work(self.requests[forget_set]))
                found += (models + self.looked_at_along * along) * one
        return found

    def difficulty(self) -> float:
        return self.snapshots * self.forward(self.extent.train)

    def shadow(self) -> float:
        runs = len(self.study.seeds_of(self.name)) * len(self.study.train_sets_of(self.name))
        return runs * self.checkpoints * self.forward(self.extent.evaluated)

    def measure(self) -> float:
        cells = len(self.requests) * self.checkpoints * len(self.study.methods)
        return 0.3 + cells * CELL * max(1.0, self.extent.evaluated / 1800)

    def seconds(self, rule: str) -> float:
        """Of a job."""
        of_rule: float = getattr(self, rule)()
        return of_rule / self.study.threads + START if rule in ON_DEVICE else of_rule + AROUND

    def memory_mb(self, rule: str) -> float:
        """Of a job that runs the model. On a GPU the activations are there."""
        examples = max(self.batch, self.looked_at) if self.study.device == "cpu" else 0
        held = self.extent.stored + self.frozen + self.weights * (4 + self.states) + 8 * self.model.kept * examples
        return TORCH_MB + (UNLEARNING_MB if rule in ("unlearn", "tune", "analyse") else 0) + held / 1e6

    def gpu_bytes(self) -> float:
        """Memory on a GPU that a training step needs at the very least: examples, weights, gradients, optimizer, and what the
        backward pass needs of the forward pass."""
        of_each = 2 if self.recipe.precision == "bfloat16" else 4
        examples = self.extent.evaluated * self.extent.features
        return examples + self.frozen + self.weights * (2 + self.states) + of_each * self.model.kept * self.batch

    def disk(self, rule: str) -> tuple[float, float]:
        """Bytes that a job writes, and how many of them are unlearned models."""
        states, methods = self.weights * self.checkpoints, self.study.methods
        rows = self.extent.evaluated * self.checkpoints * ROW_BYTES
        if rule == "train":
            kept = self.snapshots * self.weights * (0.5 if self.recipe.snapshot_precision == "bfloat16" else 1)
            return kept / self.segments + self.weights * (1 + self.states), 0.0
        if rule == "select":
            return states * len(self.study.train_sets_of(self.name)), 0.0
        if rule == "unlearn":
            models = [self.study.keeps_models(self.name, one, method) for one in self.requests for method in methods]
            kept = states * sum(models) / len(self.requests)
            return kept + rows * len(methods), kept
        if rule == "shadow":
            return rows * len(self.study.seeds_of(self.name)) * len(self.study.train_sets_of(self.name)), 0.0
        return 100_000.0, 0.0


class Costs:
    """What the jobs of a study cost."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.device, self.jobs_per_gpu = study.device, study.jobs_per_gpu
        self.basis = (GPU if study.device == "cuda" else CORE).name
        self.known: dict[str, SettingCosts] = {}
        self.unknown: dict[str, str] = {}
        """Settings of whose jobs nothing is known, and why, as far as they were asked for."""

    def setting(self, name: str) -> SettingCosts | None:
        """When it is asked for: to count the images in folders takes a while."""
        if name in self.study.settings and name not in {*self.known, *self.unknown}:
            try:
                self.known[name] = SettingCosts(self.study, name)
            except LookupError as reason:
                self.unknown[name] = str(reason)
        return self.known.get(name)

    def of(self, rule: str, name: str) -> Cost | None:
        """Of a job of a rule, in a setting, on a data set or for a table of that name; None where that cannot be told."""
        if rule == "together":
            return self._of_grid(name)
        costs = self.setting(name)
        if rule in ON_DEVICE or rule == "measure":
            if costs is None:
                return None
            memory = costs.memory_mb(rule) if rule in ON_DEVICE else TABLES_MB
            cores = self.study.threads if rule in ON_DEVICE else 1
            on_gpu = self.device == "cuda" and rule in ON_DEVICE
            return Cost(costs.seconds(rule), memory, *costs.disk(rule), cores, on_gpu)
        written = costs.disk(rule)[0] if costs else float(OTHER_BYTES)
        if rule == "prepare" and (extent := self.study.data[name].extent()):
            written = extent.stored
        return Cost(OTHERS.get(rule, 1.0) + AROUND, TABLES_MB, written)

    def _of_grid(self, grid: str) -> Cost | None:
        """Of a job that trains all runs of a seed of a grid."""
        found = [(self.of("train", name), len(self.study.segments(name))) for name in self.study.together[grid]]
        parts = [(cost, segments) for cost, segments in found if cost]
        if len(parts) < len(found):
            return None
        seconds = START + sum(segments * (cost.seconds - START) for cost, segments in parts)
        disk = sum(segments * cost.disk for cost, segments in parts)
        return parts[0][0]._replace(seconds=seconds, memory_mb=max(cost.memory_mb for cost, _ in parts), disk=disk)

    def gpu_needs(self) -> dict[str, float]:
        """Bytes on a GPU that training needs at least, by setting."""
        return {name: costs.gpu_bytes() for name in self.study.settings if (costs := self.setting(name))}
