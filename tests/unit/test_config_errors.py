"""A wrong study is refused before any work, by a message that says where, what was found and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from grokforget.config.checks import RESERVED
from grokforget.config.loader import ConfigError, load_study
from grokforget.config.setting import CheckpointName

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "workflow" / "studies" / "smoke.yaml"
TEXT = SMOKE.read_text(encoding="utf-8")

Edit = Callable[[str], str]
JARGON = ("Traceback", "pydantic", "validation error", "value_error", "type_error", "type=", "input_value", "https://")

MLP = "settings.modular-mlp"
OPTIMIZER = f"{MLP}.training.optimizer"
MISSING = object()


def put(key: str, value: Any) -> Edit:
    """Set (or with MISSING drop) one key of the smoke study; keys hold no dots."""

    def edit(text: str) -> str:
        tree = yaml.safe_load(re.sub(r"(?<![.\d])(\d)e-(\d)", r"\1.0e-\2", text))
        node = tree
        *path, last = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        if value is MISSING:
            del node[last]
        else:
            node[last] = value
        return yaml.safe_dump(tree, sort_keys=False)

    return edit


def replace(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert text.count(old) == 1
        return text.replace(old, new)

    return edit


def both(first: Edit, second: Edit) -> Edit:
    return lambda text: second(first(text))


def refusal(path: Path) -> str:
    """The message with which a study is refused, checked for what every message must have."""
    with pytest.raises(ConfigError) as raised:
        load_study(path)
    message = str(raised.value)
    assert all(line.startswith(str(path)) for line in message.splitlines()), message
    assert not [word for word in JARGON if word in message], message
    return message


def bad(key: str, value: Any, *says: str, at: str | None = None) -> Any:
    """A study whose ``key`` has a bad value; the message is about the key ``at`` and contains all of ``says``."""
    return pytest.param(
        put(key, value), f": {at or key}: ", says, id=f"{key}={'(dropped)' if value is MISSING else value}"
    )


def within() -> dict[str, Any]:
    return {"kind": "within-classes", "fraction": 0.5}


def duplicates() -> dict[str, Any]:
    return {"kind": "duplicated", "fraction": 0.1}


def forgetting(rule: dict[str, Any], *says: str, at: str) -> Any:
    """A study with a bad forget set more."""
    return bad("forget_sets.more", rule, *says, at=f"forget_sets.more.{at}")


METHODS = "fine-tune, fisher, gradient-ascent, nabla-tau, original, retrain, scrub"
PENALTY = f"{MLP}.training.penalty"
AUGMENTATION = f"{MLP}.training.augmentation"
MALFORMED = [
    # Unknown keys, with the nearest known one.
    bad(
        "sedes",
        [0],
        "unknown key",
        "found 'sedes'",
        "allowed: along_training, analyses, checkpoints, data, device,",
        "did you mean 'seeds'?",
    ),
    bad("initialisation_scale", 8, "unknown key", "found 'initialisation_scale'"),
    bad(f"{MLP}.modle", {}, "unknown key", "initialisation_scale, labels, methods, model,", "did you mean 'model'?"),
    bad(f"{MLP}.model.hiden", [3], "unknown key", "activation, bias, hidden,", "did you mean 'hidden'?"),
    bad(f"{MLP}.training.step", 3, "unknown key", "segment_steps", "did you mean 'steps'?"),
    bad(f"{OPTIMIZER}.lerning_rate", 0.1, "unknown key", "betas, clip, decay_steps", "did you mean 'learning_rate'?"),
    bad(f"{MLP}.selection.sustaned", 3, "unknown key", "did you mean 'sustained'?"),
    bad("methods.nabla-tau.batch-size", 64, "unknown key", "did you mean 'batch_size'?"),
    bad("forget_sets.within-50.share", 0.2, "unknown key", "did you mean 'class_share'?"),
    # Measures: accuracy is what tables and figures show, and two of a kind would write the same columns.
    bad("metrics.accuracy", MISSING, "no metric of accuracy", "one of kind accuracy", at="metrics"),
    bad("metrics.again", {"kind": "membership", "splits": 5}, "given twice", "found 'membership'", "each kind once"),
    # Models that are kept.
    bad("keep_models", "some", "not one of the choices", "found 'some'", "all, analysed, or a list of methods"),
    bad("keep_models", [], "not one of the choices", "found []"),
    bad("keep_models", ["scrub", 3], "not one of the choices", "found ['scrub', 3]"),
    bad("keep_models", ["scrub", "scrub"], "given twice", "found 'scrub'", at="keep_models.1"),
    bad("keep_models", ["fisher", "scurb"], "no such method", "did you mean 'scrub'?", at="keep_models.1"),
    # Parts of the examples.
    bad("trajectory_examples", 0, "found 0", "greater than or equal to 1"),
    bad("recalibration_examples", 1, "found 1", "greater than or equal to 2"),
    # Wrong types.
    bad("data.addition.modulus", "31", "found '31'", "a valid integer"),
    bad("data.addition.modulus", 31.0, "found 31.0", "a valid integer"),
    bad("data.addition.modulus", True, "found True", "a valid integer"),
    bad("data.addition.modulus", None, "found None", "a valid integer"),
    bad(f"{OPTIMIZER}.learning_rate", True, "found True", "a valid number"),
    bad(f"{MLP}.training.steps", 1e3, "found 1000.0", "a valid integer"),
    bad(f"{MLP}.model.bias", "no", "found 'no'", "a valid boolean"),
    bad(f"{MLP}.model.bias", 0, "found 0", "a valid boolean"),
    bad(f"{MLP}.model.hidden", 96, "found 96", "a valid list"),
    bad(f"{MLP}.model.hidden", [96, 9.5], "found 9.5", "a valid integer", at=f"{MLP}.model.hidden.1"),
    bad(f"{MLP}.training", ["steps"], "found ['steps']"),
    bad(f"{MLP}.training", None, "found None"),
    bad(OPTIMIZER, "adamw", "found 'adamw'"),
    bad("methods", ["original", "retrain"], "found ['original', 'retrain']", "a mapping from names to settings"),
    bad("data", None, "found None"),
    bad("study", 3, "found 3", "a valid string"),
    # Kinds and choices that do not exist.
    bad("methods.fisher.kind", "fischer", "found 'fischer'", "nabla-tau, scrub", "mean 'fisher'?"),
    bad("methods.fisher.kind", "zzzzz", "found 'zzzzz'", "original, retrain, gradient-ascent,"),
    bad("data.addition.kind", "modula", "found 'modula'", "digits, modular", "mean 'modular'?"),
    bad(f"{MLP}.model.kind", "mpl", "found 'mpl'", "mlp, cnn, resnet, vit, torchvision, transformer", "mean 'mlp'?"),
    bad(
        "forget_sets.within-50.kind",
        "within-class",
        "found 'within-class'",
        "did you mean 'within-classes'?",
    ),
    bad("metrics.ues.kind", "uess", "found 'uess'", "accuracy, retrain-gap, ues,", "mean 'ues'?"),
    bad("methods.fisher", {}, "is missing; add it", at="methods.fisher.kind"),
    bad(f"{OPTIMIZER}.name", "adamv", "found 'adamv'", "sgd, adam, adamw", "did you mean 'adam'?"),
    bad(f"{MLP}.training.loss", "crossentropy", "mse, cross-entropy", "did you mean 'cross-entropy'?"),
    bad(f"{MLP}.model.activation", "relue", "relu, quadratic", "did you mean 'relu'?"),
    bad("data.addition.operation", "x", "found 'x'", "+, -, *, /"),
    bad("device", "gpu", "found 'gpu'", "cpu, cuda"),
    # Names of other parts of the study.
    bad(f"{MLP}.data", "adition", "found 'adition'", "allowed: addition", "did you mean 'addition'?"),
    bad(
        "checkpoints",
        ["early", "groked"],
        "found 'groked'",
        "early, memorised, grokked",
        "mean 'grokked'?",
        at="checkpoints.1",
    ),
    bad("checkpoints", ["early", "early"], "given twice", "found 'early'", at="checkpoints.1"),
    bad("checkpoints", [], "found []", "at least 1"),
    bad(
        "along_training.method", "gradient-acent", "found 'gradient-acent'", METHODS, "did you mean 'gradient-ascent'?"
    ),
    bad("along_training.method", "original", "found 'original'", "allowed: gradient-ascent, nabla-tau, scrub"),
    bad("methods.gradient-ascent", MISSING, "found 'gradient-ascent'", at="along_training.method"),
    bad("methods.retrain", MISSING, "'retrain'", "found []", "one method of kind retrain", at="methods"),
    bad("methods.original", MISSING, "'original'", "found []", "one method of kind original", at="methods"),
    bad("methods.again", {"kind": "retrain"}, "found ['retrain', 'again']", "one method of kind retrain", at="methods"),
    # Ranges.
    bad("data.addition.train_fraction", 0, "found 0", "greater than 0"),
    bad("data.addition.train_fraction", -0.1, "found -0.1", "greater than 0"),
    bad("data.addition.train_fraction", 1.0, "found 1.0", "less than 1"),
    bad("data.addition.train_fraction", float("nan"), "found '.nan'"),
    bad("forget_sets.within-50.fraction", 0.0, "found 0.0", "greater than 0"),
    bad("forget_sets.within-50.fraction", 1, "found 1", "less than 1"),
    bad("forget_sets.within-50.class_share", 1.5, "found 1.5", "less than 1"),
    bad(f"{OPTIMIZER}.learning_rate", -1.0e-3, "found -0.001", "greater than 0"),
    bad(f"{OPTIMIZER}.learning_rate", 0, "found 0", "greater than 0"),
    bad(f"{OPTIMIZER}.learning_rate", float("inf"), "found '.inf'"),
    bad(f"{OPTIMIZER}.betas", [0.9, 1.0], "found 1.0", "less than 1", at=f"{OPTIMIZER}.betas.1"),
    bad(f"{OPTIMIZER}.betas", [0.9], "found [0.9]", "at least 2"),
    bad(f"{MLP}.initialisation_scale", 0, "found 0", "greater than 0"),
    bad(f"{OPTIMIZER}.sam_rho", -0.05, "found -0.05", "greater than or equal to 0"),
    bad(f"{OPTIMIZER}.sam_rho", float("nan"), "found '.nan'"),
    bad(f"{OPTIMIZER}.sam_rho", "0.05", "found '0.05'", "a valid number"),
    bad(f"{OPTIMIZER}.sam_rho", None, "found None", "a valid number"),
    bad(f"{OPTIMIZER}.sam_roh", 0.05, "unknown key", "did you mean 'sam_rho'?"),
    bad(f"{MLP}.training.sam_rho", 0.05, "unknown key: found 'sam_rho'"),
    # Gradient filters.
    bad(
        f"{OPTIMIZER}.gradient_filter", {"kind": "grokfast"}, "found 'grokfast'", at=f"{OPTIMIZER}.gradient_filter.kind"
    ),
    bad(
        f"{OPTIMIZER}.gradient_filter",
        {"kind": "grokfast-ema", "alpha": 1.0},
        "found 1.0",
        "less than 1",
        at=f"{OPTIMIZER}.gradient_filter.alpha",
    ),
    bad(
        f"{OPTIMIZER}.gradient_filter",
        {"kind": "grokfast-ma", "alpha": 0.9},
        "unknown key: found 'alpha'",
        at=f"{OPTIMIZER}.gradient_filter.alpha",
    ),
    bad(f"{MLP}.training.gradient_filter", {"kind": "grokfast-ma"}, "unknown key: found 'gradient_filter'"),
    bad(
        f"{MLP}.training.loss",
        "stable-max",
        "found 'stable-max'",
        "cross-entropy, stablemax",
        "did you mean 'stablemax'",
    ),
    # Penalties.
    bad(PENALTY, {"kind": "jacobean", "strength": 1.0}, "found 'jacobean'", "mean 'jacobian'?", at=f"{PENALTY}.kind"),
    bad(PENALTY, {"strength": 1.0}, "is missing; add it", at=f"{PENALTY}.kind"),
    bad(PENALTY, {"kind": "jacobian"}, "is missing; add it", at=f"{PENALTY}.strength"),
    bad(PENALTY, {"kind": "jacobian", "strength": 0}, "found 0", "greater than 0", at=f"{PENALTY}.strength"),
    bad(PENALTY, {"kind": "jacobian", "strength": -1e-3}, "found -0.001", "greater than 0", at=f"{PENALTY}.strength"),
    bad(
        PENALTY,
        {"kind": "template-orthogonality", "strenght": 1.0},
        "unknown key",
        "did you mean 'strength'?",
        at=f"{PENALTY}.strenght",
    ),
    bad(PENALTY, "jacobian", "found 'jacobian'"),
    bad(PENALTY, 0.1, "found 0.1"),
    # Augmentations, and what a recipe computes in.
    bad(AUGMENTATION, {"kind": "crop-flip"}, "does not fit", "crop-flip of tokens", "data of images, or null"),
    pytest.param(
        both(
            both(put("data.addition", {"kind": "digits", "train": 100, "validation": 100}), put("analyses", {})),
            put(AUGMENTATION, {"kind": "crop-flip", "padding": 8}),
        ),
        f": {AUGMENTATION}: ",
        ("padding 8 of images of 8 pixels", "less than their side"),
        id="padding as large as the images",
    ),
    bad(AUGMENTATION, {"kind": "crop"}, "found 'crop'", "mean 'crop-flip'?", at=f"{AUGMENTATION}.kind"),
    bad(AUGMENTATION, {"kind": "crop-flip", "padding": -1}, "found -1", at=f"{AUGMENTATION}.padding"),
    bad(f"{MLP}.training.precision", "float16", "found 'float16'", "bfloat16"),
    bad(f"{MLP}.training.snapshot_precision", "half", "found 'half'", "float32, bfloat16"),
    bad(f"{MLP}.training.cuda_graph", "yes", "found 'yes'"),
    # Relative ascent.
    bad(
        "methods.relative",
        {"kind": "relative-ascent", "share": 0},
        "found 0",
        "greater than 0",
        at="methods.relative.share",
    ),
    bad(
        "methods.relative",
        {"kind": "relative-ascent", "share": 1.5},
        "found 1.5",
        "less than",
        at="methods.relative.share",
    ),
    bad(
        "methods.relative",
        {"kind": "relative-ascent", "learning_rate": 0.1},
        "unknown key",
        "batch_size, batch_statistics, epochs, kind, share",
        at="methods.relative.learning_rate",
    ),
    bad("seeds", [0, -1], "found -1", "greater than or equal to 0", at="seeds.1"),
    bad("seeds", [0, 1, 0], "given twice", "found 0", at="seeds.2"),
    bad("seeds", [], "found []", "at least 1"),
    bad("seeds", 3, "found 3", "a valid list"),
    bad("threads", 0, "found 0", "greater than or equal to 1"),
    bad("along_training.snapshots", 1, "found 1", "greater than or equal to 2"),
    bad("data", {}, "found {}", "at least 1"),
    # Names become folder names.
    bad("study", "../x", "found '../x'"),
    bad("study", "A B", "found 'A B'"),
    bad("study", "x\n", "found 'x\\n'"),
    bad("study", "", "found ''"),
    bad("study", "a" * 61, "60"),
    # Required keys.
    *[
        bad(key, MISSING, "is missing")
        for key in ("study", "seeds", "data", "settings", "forget_sets", "methods", "metrics")
    ],
    bad(f"{MLP}.model", MISSING, "is missing"),
    bad(f"{MLP}.training.loss", MISSING, "is missing"),
    bad(f"{OPTIMIZER}.learning_rate", MISSING, "is missing"),
    bad("data.addition.modulus", MISSING, "is missing"),
    bad("forget_sets.within-50.fraction", MISSING, "is missing"),
    # Settings that are fine one by one.
    bad(f"{MLP}.training.steps", 1001, "found 1001", "a multiple of 500"),
    bad(f"{OPTIMIZER}.schedule", "cosine", "found None", "a number of updates", at=f"{OPTIMIZER}.decay_steps"),
    bad(f"{OPTIMIZER}.nesterov", True, "a setting that adamw does not have: found True"),
    bad(f"{OPTIMIZER}.momentum", 0.9, "a setting that adamw does not have: found 0.9"),
    bad(f"{OPTIMIZER}.matrix_learning_rate", 0.02, "a setting that adamw does not have: found 0.02"),
    bad(f"{OPTIMIZER}.name", "moun", "found 'moun'", "did you mean 'muon'"),
    bad(f"{OPTIMIZER}.decay_steps", 5, "decay_steps with a constant schedule", "found 5"),
    bad(f"{OPTIMIZER}.warmup_steps", 1001, "longer than the run", "found 1001", "at most steps, 1000"),
    bad(f"{OPTIMIZER}.warmup_steps", -1, "found -1", "greater than or equal to 0"),
    bad(f"{OPTIMIZER}.warmup_steps", 2.5, "found 2.5", "a valid integer"),
    bad(f"{OPTIMIZER}.switches", [{"step": 5}], "a switch of nothing", at=f"{OPTIMIZER}.switches.0.step"),
    bad(f"{OPTIMIZER}.switches", [{"step": 0, "weight_decay": 1}], "found 0", at=f"{OPTIMIZER}.switches.0.step"),
    bad(f"{OPTIMIZER}.switches", [{"weight_decay": 1}], "is missing", at=f"{OPTIMIZER}.switches.0.step"),
    bad(f"{OPTIMIZER}.switches", [{"step": 5, "momentum": 1}], "unknown key", at=f"{OPTIMIZER}.switches.0.momentum"),
    bad(
        f"{OPTIMIZER}.switches",
        [{"step": 50, "weight_decay": 1}, {"step": 50, "weight_decay": 0}],
        "switches that are not in order: found 50; allowed: a step behind 50",
        at=f"{OPTIMIZER}.switches.1.step",
    ),
    bad(
        f"{OPTIMIZER}.switches",
        [{"step": 1000, "weight_decay": 1}],
        "a switch behind the end of the run: found 1000; allowed: below steps, 1000",
        at=f"{OPTIMIZER}.switches.0.step",
    ),
    bad(f"{MLP}.training.processes", 0, "found 0", "greater than or equal to 1"),
    bad(f"{OPTIMIZER}.warmup", 5, "unknown key", "did you mean 'warmup_steps'?"),
    bad(
        OPTIMIZER,
        {"name": "sgd", "learning_rate": 0.1, "nesterov": True},
        "nesterov without momentum",
        "found 0.0",
        "a momentum above 0",
        at=f"{OPTIMIZER}.momentum",
    ),
    bad(f"{MLP}.training.segment_steps", 250, "found 250", "a multiple of evaluate_every, 20"),
    bad(
        "data.addition.train_fraction", 0.0001, "found '0 training and 96 validation pairs of 961'", at="data.addition"
    ),
    bad(
        f"{MLP}.model",
        {"kind": "transformer", "width": 130, "heads": 4},
        "width 130 and heads 4",
        "a multiple of heads",
    ),
    bad(f"{MLP}.model", {"kind": "cnn"}, "a cnn on tokens", "data of images"),
    pytest.param(
        both(put(f"{MLP}.training.processes", 9), put(f"{MLP}.training.batch_size", 8)),
        f": {MLP}.training.processes: ",
        ("more processes than examples in a batch", "found 9", "at most batch_size, 8"),
        id="processes without examples",
    ),
    pytest.param(
        both(
            put(f"{MLP}.training.processes", 2),
            put(f"{MLP}.training.penalty", {"kind": "jacobian", "strength": 0.1}),
        ),
        f": {MLP}.training.processes: ",
        ("several processes with a penalty", "found 2", "allowed: 1"),
        id="processes with a penalty",
    ),
    pytest.param(
        both(put(f"{MLP}.model", {"kind": "transformer"}), put("data.addition", {"kind": "digits", "train": 200})),
        f": {MLP}.model: ",
        ("a transformer on images", "data of tokens"),
        id="transformer on images",
    ),
    bad(
        "data.addition",
        {"kind": "modular", "modulus": 33, "operation": "/", "train_fraction": 0.5},
        "33",
        "a prime modulus",
    ),
    bad("data.addition.validation_fraction", 0.4, "0.6 + 0.4", "a sum below 1", at="data.addition"),
    bad("data.addition", {"kind": "digits", "train": 1500, "validation": 300}, "1500", "300", "at most 1700"),
    # Forget sets.
    forgetting({"kind": "uneven-classes", "fraction": 0.1, "ratio": 1.0}, "found 1.0", "less than 1", at="ratio"),
    forgetting({"kind": "uneven-classes", "ratio": 0.5}, "is missing", at="fraction"),
    forgetting(
        {"kind": "by-difficulty", "fraction": 0.1, "order": "hard"}, "found 'hard'", "hardest, easiest", at="order"
    ),
    forgetting({"kind": "by-difficulty", "fraction": 0.1, "score": "los"}, "found 'los'", "mean 'loss'?", at="score"),
    forgetting({"kind": "by-difficulty", "fraction": 0.1, "snapshots": 0}, "found 0", "or equal to 1", at="snapshots"),
    forgetting({"kind": "local-grokking", "group": "earl", "pairs": 4}, "found 'earl'", "early, late", at="group"),
    forgetting({"kind": "local-grokking", "group": "late", "pairs": 0}, "found 0", "or equal to 1", at="pairs"),
    forgetting(
        {"kind": "local-grokking", "group": "late", "pairs": 4, "quantile": 0.6}, "found 0.6", "0.5", at="quantile"
    ),
    forgetting(
        {"kind": "duplicated", "fraction": 0.1, "twins": "alone"}, "found 'alone'", "together, apart", at="twins"
    ),
    forgetting({"kind": "noisy", "intended": within(), "wrong": 0}, "found 0", "greater than 0", at="wrong"),
    forgetting(
        {"kind": "noisy", "intended": {**within(), "fraction": 2}}, "found 2", "less than 1", at="intended.fraction"
    ),
    forgetting(
        {"kind": "noisy", "intended": {**within(), "share": 1}}, "unknown key", "'class_share'?", at="intended.share"
    ),
    forgetting(
        {"kind": "noisy", "intended": {"kind": "noisy"}}, "found 'noisy'", "within-classes, whole", at="intended.kind"
    ),
    forgetting({"kind": "noisy", "wrong": 0.1}, "is missing", at="intended"),
    *[
        pytest.param(
            both(put("forget_sets.more", rule), put("data.addition.operation", "-")),
            ": forget_sets.more: ",
            ("a forget set that does not fit", "duplicates under -", "+, *"),
            id=f"{rule['kind']} without duplicates",
        )
        for rule in (duplicates(), {"kind": "noisy", "intended": duplicates()})
    ],
    # Changes of a method in one setting.
    bad(f"{MLP}.methods.scrubb", {}, "found 'scrubb'", METHODS, "did you mean 'scrub'?"),
    bad(f"{MLP}.methods.scrub.epoch", 3, "unknown key", "max_epochs", "did you mean 'epochs'?"),
    bad(f"{MLP}.methods.scrub.epochs", "3", "found '3'", "a valid integer"),
    bad(f"{MLP}.methods.scrub.epochs", 0, "found 0", "greater than or equal to 1"),
    bad(f"{MLP}.methods.scrub.optimizer", "adm", "found 'adm'", "adam", "sgd"),
    bad(f"{MLP}.methods.scrub.kind", "fisher", "found 'fisher'"),
    bad(f"{MLP}.methods.scrub", 3, "found 3"),
    # Tuning.
    bad("tuning.seed", 1, "found 1", "not in `seeds`"),
    bad("tuning.settings", ["nothing"], "no such setting that is no control", "'nothing'", at="tuning.settings.0"),
    bad("tuning.candidates.scrab", {"values": [0.1]}, "found 'scrab'", METHODS, "did you mean 'scrub'?"),
    bad("tuning.candidates.scrub.values", [], "found []", "at least 1"),
    bad("tuning.candidates.scrub.values", [0.1, 0.1], "given twice", at="tuning.candidates.scrub.values.1"),
    bad("tuning.candidates.scrub.values", [0], "found 0", "greater than 0", at="tuning.candidates.scrub.values.0"),
]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "study.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(("edit", "where", "says"), MALFORMED)
def test_malformed_study_is_refused_with_place_find_and_choices(
    tmp_path: Path, edit: Edit, where: str, says: tuple[str, ...]
) -> None:
    message = refusal(written(tmp_path, edit(TEXT)))
    assert where in message
    assert not [part for part in says if part not in message], message


@pytest.mark.parametrize(
    ("candidates", "says"),
    [
        ({"parameter": "lr", "values": [0.1]}, ("no such setting", "found 'lr'", "learning_rate")),
        ({"parameter": "epochs", "values": [0.5]}, ("found 0.5", "a valid integer")),
        ({"values": [1000.0]}, ("found 1000.0", "less than or equal to 100")),
    ],
)
def test_tuning_candidate_that_the_method_refuses_is_refused(
    tmp_path: Path, candidates: dict[str, Any], says: tuple[str, ...]
) -> None:
    message = refusal(written(tmp_path, put("tuning.candidates.scrub", candidates)(TEXT)))
    assert ": tuning.candidates.scrub" in message
    assert not [part for part in says if part not in message], message


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            replace("forget_sets:", "  modular-mlp: {}\n\nforget_sets:"),
            ("'modular-mlp' is given twice", "each name once"),
        ),
        (replace("seeds: [0, 1]", "seeds: [0, 1]\nseeds: [2]"), ("'seeds' is given twice",)),
        (replace("scrub, epochs: 3,", "scrub, epochs: 3, epochs: 4,"), ("'epochs' is given twice",)),
        (lambda _: "study: [1\nseeds: }\n", ("not valid YAML",)),
        (lambda _: "study:\n\tx: 1\n", ("not valid YAML", "'\\t'")),
        (lambda _: "study: *nobody\n", ("not valid YAML", "'nobody'")),
        (lambda _: "study: a\n---\nstudy: b\n", ("not valid YAML", "another document")),
        (lambda _: "study: !!python/object/apply:os.getcwd []\n", ("not valid YAML", "python/object/apply")),
        (lambda _: "", ("found nothing", "a mapping with the keys study, seeds, data")),
        (lambda _: "# only a comment\n", ("found nothing",)),
        (lambda _: "- study: smoke\n", ("found a list", "a mapping with the keys")),
        (lambda _: "smoke\n", ("found a str", "a mapping with the keys")),
    ],
)
def test_file_that_is_no_study_is_refused(tmp_path: Path, edit: Edit, says: tuple[str, ...]) -> None:
    message = refusal(written(tmp_path, edit(TEXT)))
    assert not [part for part in says if part not in message], message


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "study: caf\xe9\n".encode("latin-1")))
    assert "cannot be read" in message
    assert "utf-8" in message


def test_missing_file_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere.yaml")
    assert "No such file" in message
    assert "--configfile" in message


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      steps: 1000", "      steps: 1001"),
        ("seeds: [0, 1]", "seeds: [0, 0]"),
        ("  fisher: {kind: fisher}", "  fisher: {kind: fisher, alfa: 1}"),
        ("      optimizer: {name: adamw,", "      optimizer: {name: adamw, nesterov: true,"),
        ("along_training: {method: gradient-ascent,", "along_training: {method: fishr,"),
        ("    data: addition", "    data: subtraction"),
    ],
)
def test_message_names_the_line(tmp_path: Path, old: str, new: str) -> None:
    text = replace(old, new)(TEXT)
    line = 1 + next(number for number, content in enumerate(text.splitlines()) if content.startswith(new))
    path = written(tmp_path, text)
    assert refusal(path).startswith(f"{path}:{line}: ")


def test_every_problem_has_a_line_of_its_own(tmp_path: Path) -> None:
    edit = both(put("data.addition.modulus", "x"), both(put(f"{MLP}.training.steps", -1), put("threads", 0)))
    lines = refusal(written(tmp_path, edit(TEXT))).splitlines()
    assert len(lines) == 3
    for line, key in zip(lines, ("data.addition.modulus", f"{MLP}.training.steps", "threads"), strict=True):
        assert f": {key}: " in line


@pytest.mark.parametrize(
    "edit",
    [
        replace("  addition: {kind", "  {addition}: {kind"),
        replace("  addition: {kind", "  ? [1, 2]\n  : {kind"),
        replace("modulus: 31", "modulus: !!int x"),
    ],
    ids=["mapping as key", "list as key", "tag that does not fit"],
)
def test_yaml_that_constructs_nothing_is_refused(tmp_path: Path, edit: Edit) -> None:
    assert "not valid YAML" in refusal(written(tmp_path, edit(TEXT)))


def test_control_character_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "not valid YAML" in refusal(written(tmp_path, "study: \0\n"))


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (put(f"{MLP}.training", None), "instance of"),
        (put("methods.fisher", 3), "object to extract"),
        (put("study", "A B"), "String should match pattern"),
        (put("seeds", []), "List should have"),
    ],
)
def test_message_speaks_of_the_file(tmp_path: Path, edit: Edit, word: str) -> None:
    assert word not in refusal(written(tmp_path, edit(TEXT)))


def test_words_that_yaml_once_took_for_something_else_are_words(tmp_path: Path) -> None:
    text = replace("  modular-mlp:", "  yes:")(replace("study: smoke", "study: 2024-13-45")(TEXT))
    study = load_study(written(tmp_path, text))
    assert (study.study, list(study.settings)) == ("2024-13-45", ["yes"])


@pytest.mark.parametrize("number", ["010", "1:30", "0x1f"])
def test_numbers_of_other_bases_are_no_numbers(tmp_path: Path, number: str) -> None:
    assert f"found '{number}'" in refusal(written(tmp_path, replace("modulus: 31", f"modulus: {number}")(TEXT)))


def test_a_cnn_with_more_poolings_than_pixels_is_refused(tmp_path: Path) -> None:
    edit = both(
        put("data.addition", {"kind": "digits", "train": 100}),
        put(f"{MLP}.model", {"kind": "cnn", "channels": [8] * 4}),
    )
    assert "4 poolings of 8 pixels" in refusal(written(tmp_path, edit(TEXT)))


def test_a_value_of_the_command_line_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config: study: not valid YAML"):
        load_study(written(tmp_path, TEXT), {"study": "[a"})


def test_an_error_of_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_study(written(tmp_path, TEXT), {"seeds": [0, 0]})
    assert str(raised.value).startswith("--config: seeds.1: given twice")


@pytest.mark.parametrize("path", [ROOT / "config.yaml", SMOKE], ids=["config.yaml", "smoke.yaml"])
def test_studies_of_the_repository_load(path: Path) -> None:
    study = load_study(path)
    assert study.study == {"config.yaml": "laptop", "smoke.yaml": "smoke"}[path.name]
    for setting in study.settings.values():
        assert setting.training.steps % setting.training.segment_steps == 0


@pytest.mark.parametrize(
    ("written_as", "value"),
    [("1e-3", 1e-3), ("1E-3", 1e-3), ("1.0e-3", 1e-3), ("2e0", 2.0), ("0.5", 0.5), ("1", 1.0), ("+1e-2", 1e-2)],
)
def test_numbers_are_read_as_they_are_written(tmp_path: Path, written_as: str, value: float) -> None:
    text = replace("learning_rate: 5e-3", f"learning_rate: {written_as}")(TEXT)
    study = load_study(written(tmp_path, text))
    rate = study.settings["modular-mlp"].training.optimizer.learning_rate
    assert rate == value
    assert isinstance(rate, float)


def test_quoted_number_is_no_number(tmp_path: Path) -> None:
    text = replace("learning_rate: 5e-3", 'learning_rate: "5e-3"')(TEXT)
    assert f": {OPTIMIZER}.learning_rate: found '5e-3'; allowed: a valid number" in refusal(written(tmp_path, text))


def test_override_replaces_a_whole_top_level_key() -> None:
    plain, changed = load_study(SMOKE), load_study(SMOKE, {"seeds": [7, 8], "along_training": {"method": "scrub"}})
    assert changed.seeds == [7, 8]
    assert (changed.along_training.method, changed.along_training.snapshots) == ("scrub", 15)
    assert changed.settings == plain.settings


def without_what_smoke_adds() -> dict[str, Any]:
    tree = yaml.safe_load(SMOKE.read_text())
    for key in ("tuning", "along_training", "analyses", "likelihood_ratio_attack"):
        del tree[key]
    for setting in tree["settings"].values():
        setting.pop("methods", None)
    return tree


def test_what_a_study_does_not_name_stands_in_no_ones_way(tmp_path: Path) -> None:
    """Another method than gradient ascent along training, and a seed that by default would choose among candidates."""
    tree = without_what_smoke_adds()
    del tree["methods"]["gradient-ascent"]
    tree["seeds"] = [1000]
    study = load_study(written(tmp_path, yaml.safe_dump(tree, sort_keys=False)))
    assert study.along_method == next(name for name in tree["methods"] if name not in ("original", "retrain"))
    assert study.tuning_seeds("modular-mlp") == []


def test_a_study_without_any_unlearning_method_is_refused(tmp_path: Path) -> None:
    tree = without_what_smoke_adds()
    tree["methods"] = {name: tree["methods"][name] for name in ("original", "retrain")}
    told = refusal(written(tmp_path, yaml.safe_dump(tree, sort_keys=False)))
    assert ": methods: no unlearning method: found ['original', 'retrain']; allowed: one beside the references" in told


def test_override_is_checked_like_the_file() -> None:
    with pytest.raises(ConfigError, match=r"seeds\.1: given twice: found 7"):
        load_study(SMOKE, {"seeds": [7, 7]})
    with pytest.raises(ConfigError, match=r"unknown key: found 'sedes'.*did you mean 'seeds'"):
        load_study(SMOKE, {"sedes": [7]})


def test_method_merges_the_settings_changes(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, put(f"{MLP}.methods", {"scrub": {"epochs": 7, "gamma": 0.5}})(TEXT)))
    merged, plain = study.method("modular-mlp", "scrub"), study.methods["scrub"]
    assert merged.model_dump() == {**plain.model_dump(), "epochs": 7, "gamma": 0.5}
    assert plain.model_dump()["epochs"] == 3
    assert study.method("modular-mlp", "fisher") == study.methods["fisher"]


def test_spec_of_a_component_is_its_code_and_settings_without_kind() -> None:
    spec = load_study(SMOKE).method("modular-mlp", "fisher").spec()
    assert spec.model_dump() == {
        "implementation": "grokforget.methods.fisher:FisherForgetting",
        "settings": {"alpha": 1e-6, "examples": None},
    }


# Names that stand for something else.
CONTROL = {
    "data": "addition",
    "model": {"kind": "mlp", "hidden": [4]},
    "training": {
        "loss": "mse",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "steps": 100,
        "segment_steps": 100,
    },
    "selection": {"transition": "accuracy"},
    "checkpoints": ["final"],
}
MORE: dict[str, Callable[[str], Edit]] = {
    "settings": lambda name: put(f"settings.{name}", {k: v for k, v in CONTROL.items() if k != "checkpoints"}),
    "forget_sets": lambda name: put(f"forget_sets.{name}", within()),
    "methods": lambda name: put(f"methods.{name}", {"kind": "relative-ascent"}),
    "analyses": lambda name: put("analyses", {name: {"kind": "gradient-alignment"}}),
    "controls": lambda name: put("settings.other", {**CONTROL, "control": {"of": "modular-mlp", "name": name}}),
}
"""A study with one thing more, of a name."""


@pytest.mark.parametrize(
    ("part", "name", "why"),
    [
        ("settings", "all", "all settings together in claims"),
        ("settings", "choice", "tuning/choice.csv"),
        ("settings", "candidates", "tuning/candidates.csv"),
        ("forget_sets", "full", "the train set that nothing is left out of"),
        ("forget_sets", "without-within-50", "the train set that NAME is left out of"),
        ("methods", "before", "the stage of the checkpoints themselves"),
        ("analyses", "unlearning", "what methods report of themselves"),
        *(("controls", name, "is a checkpoint") for name in get_args(CheckpointName)),
        ("controls", "pre-trained", "the paper's early checkpoint"),
        ("controls", "grok-long", "the paper's grokked checkpoint"),
    ],
)
def test_a_name_that_would_change_what_tables_say_is_refused_with_the_reason(
    part: str, name: str, why: str, tmp_path: Path
) -> None:
    message = refusal(written(tmp_path, MORE[part](name)(TEXT)))
    key = "settings.other.control.name" if part == "controls" else f"{part}.{name}"
    assert f": {key}: a reserved name: " in message
    assert why in message
    assert f"found {name!r}; allowed: another name" in message


@pytest.mark.parametrize("part", MORE)
def test_names_are_reserved_only_where_they_stand_for_something_else(part: str, tmp_path: Path) -> None:
    every = {name.replace("*", "x") for names in RESERVED.values() for name in names}
    own = {name.replace("*", "x") for name in RESERVED[part]}
    for name in sorted(every - own | {"final-one", "unlearning-more", "without", "pre", "sam"}):
        load_study(written(tmp_path, MORE[part](name)(TEXT)))


def test_the_method_that_does_nothing_may_be_called_as_its_stage_is(tmp_path: Path) -> None:
    edit = both(put("methods.original", MISSING), put("methods.before", {"kind": "original"}))
    assert load_study(written(tmp_path, edit(TEXT))).name_of("original") == "before"


def test_two_controls_of_a_setting_have_two_names(tmp_path: Path) -> None:
    control = {**CONTROL, "control": {"of": "modular-mlp", "name": "sam"}}
    message = refusal(written(tmp_path, both(put("settings.one", control), put("settings.two", control))(TEXT)))
    assert "settings.one.control.name: the name of another control of 'modular-mlp': found 'sam'" in message
