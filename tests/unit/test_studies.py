"""The studies of the repository: each loads in a folder without data, and its controls are what they are called."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from grokforget.config.cost import ON_DEVICE, Costs
from grokforget.config.loader import ConfigError, load_study
from grokforget.config.study import Study
from grokforget.jobs.losses import step_near
from grokforget.training.schedule import log_steps
from hub_models import put_phi_1_5
from image_files import put_imagenet

ROOT = Path(__file__).parents[2]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]
of_each = pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
PHI_1_5 = ("tofu", "tofu-lora")
PUBLISHED = {"gradient-ascent", "nabla-tau", "scrub", "fisher", "fine-tune"}
"""The kinds of the paper's algorithms."""


@pytest.fixture
def loaded(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The study in a folder that has of all data ImageNet alone, and Phi-1.5, which cannot be fetched."""
    monkeypatch.chdir(tmp_path)
    if path.stem == "paper-vision":
        put_imagenet(tmp_path)
    if path.stem in PHI_1_5:
        put_phi_1_5(tmp_path)
    return load_study(path)


@of_each
def test_studies_load_and_fetch_what_they_need(path: Path, loaded: Study) -> None:
    assert loaded.study == {"config.yaml": "laptop"}.get(path.name, path.stem)
    known = [data for data in loaded.data.values() if hasattr(data, "download")]
    assert all(data.download for data in known), "`snakemake --configfile FILE` is to work from nothing"


@of_each
def test_what_a_study_costs_is_known_before_it_runs(path: Path, loaded: Study) -> None:
    costs = Costs(loaded)
    rules = (*ON_DEVICE, "measure") if loaded.methods else ("train",)
    for name in loaded.settings:
        for rule in rules:
            found = costs.of(rule, name)
            assert found
            assert all(math.isfinite(value) and value >= 0 for value in found), (rule, name, found)
            assert found.seconds > 0
    assert all(size < 80e9 for size in costs.gpu_needs().values()), "an H100 holds them"


def test_missing_images_are_told_with_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load_study(ROOT / "workflow" / "studies" / "paper-vision.yaml")
    assert "data.imagenet100.path: no such folder: found 'data/imagenet'" in str(raised.value)
    assert "data.imagenet100.classes: no such file: found 'data/imagenet100.txt'" in str(raised.value)


def test_a_missing_model_is_told_with_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load_study(ROOT / "workflow" / "studies" / "tofu.yaml")
    assert "settings.phi.model.folder: no such folder: found 'data/phi-1_5'" in str(raised.value)
    assert "data.tofu.tokenizer: no tokenizer: found 'data/phi-1_5'" in str(raised.value)


def test_the_lora_twin_of_tofu_is_tofu_but_for_its_adapters_rates_and_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_phi_1_5(tmp_path)
    tofu, twin = (load_study(ROOT / "workflow" / "studies" / f"{name}.yaml") for name in PHI_1_5)
    assert (tofu.data, tofu.forget_sets, tofu.metrics, tofu.seeds) == (
        twin.data, twin.forget_sets, twin.metrics, twin.seeds
    )  # fmt: skip
    ours, theirs = (flat(study.settings["phi"].model_dump(mode="json")) for study in (tofu, twin))
    changed = {key for key in ours if ours[key] != theirs[key]}
    assert changed == {
        *("model", "training.optimizer.learning_rate", "training.segment_steps", "training.snapshots_per_decade"),
        *("training.snapshot_change", "training.snapshot_precision", "resources.memory_mb", "resources.minutes"),
    }
    assert (tofu.settings["phi"].model.in_paper, twin.settings["phi"].model.in_paper) == ("phi-1.5", None)
    assert tofu.data["tofu"].in_paper == "tofu"
    for study in (tofu, twin):
        recipe = study.settings["phi"].training
        steps = [*sorted(log_steps(1, recipe.steps, recipe.snapshots_per_decade)), recipe.steps]
        assert step_near(steps, 20, 3600, recipe.batch_size) == 2154, "of epoch 19"
    for name, method in tofu.methods.items():
        rate = getattr(method, "learning_rate", None)
        assert twin.methods[name] == (method if rate is None else method.updated({"learning_rate": 10 * rate})), name


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested mapping as one, by dotted names; one of a kind counts as a whole."""
    if not isinstance(value, dict) or "kind" in value:
        return {name: value}
    inner = [flat(one, f"{name}.{key}".lstrip(".")) for key, one in value.items()]
    return {key: one for part in inner for key, one in part.items()}


CHANGED = {
    "constant-rate": {"optimizer.schedule", "optimizer.decay_steps"},
    "cosine": {"optimizer.schedule", "optimizer.decay_steps"},
    "augmented": {"augmentation"},
    "spline-orthogonal": {"penalty"},
    "spline-jacobian": {"penalty"},
    "no-grokking": {"optimizer.weight_decay"},
    "sam": {"optimizer.sam_rho"},
}
"""What of a recipe a control of that name changes, and nothing else; which snapshots are kept is no matter of training."""


INDUCED = {
    "grokfast-ema": {"optimizer.gradient_filter"},
    "grokfast-ma": {"optimizer.gradient_filter"},
    # Published without weight decay: it has none, or the base's.
    "perpendicular": {"optimizer.gradient_filter", "optimizer.weight_decay"},
    "stablemax": {"loss", "optimizer.weight_decay"},
    "muon": {"optimizer.name", "optimizer.matrix_learning_rate", "optimizer.momentum", "optimizer.nesterov"},
    "weight-decay": {"optimizer.weight_decay"},
    "initialisation": {"initialisation_scale"},
    "jacobian": {"penalty"},
    "transfer": {"transfer"},
}
"""What of a setting a lever may change; how many steps there are is no matter of training."""


def test_a_lever_changes_its_base_in_one_thing_and_the_bases_are_the_laptop_studys() -> None:
    study, laptop = (load_study(ROOT / name) for name in ("workflow/studies/levers.yaml", "config.yaml"))
    for name in study.main_settings:
        ours, theirs = study.settings[name], laptop.settings[name]
        for key in ("model", "initialisation_scale", "training", "selection"):
            assert getattr(ours, key) == getattr(theirs, key), (name, key)
        assert study.data[ours.data] == laptop.data[theirs.data]
        for method in study.methods:
            assert study.method(name, method) == laptop.method(name, method), (name, method)
    assert study.forget_sets["within-50"] == laptop.forget_sets["within-50"]
    assert not {*study.seeds} & {*laptop.seeds, *range(1000, 1005)}, "nothing was chosen on a seed that is reported"
    length = {"training.steps", "training.segment_steps"}
    told = set()
    for name, setting in study.settings.items():
        lever = setting.control.name.removeprefix("induced-") if setting.control else None
        if lever is None or lever == "donor":
            continue
        base = study.settings[setting.control.of]
        ours, theirs = (flat(one.model_dump(mode="json", exclude={"control", "checkpoints", "methods"})) for one in
                        (setting, base))  # fmt: skip
        changed = {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)} - length
        changed = {"transfer" if key.startswith("transfer") else key.removeprefix("training.") for key in changed}
        assert changed, name
        assert changed <= INDUCED[lever], name
        told.add(lever)
    assert told == {*INDUCED}


def test_the_study_of_levers_uses_what_its_rule_chose() -> None:
    """Of the values that grokked on all three tuning seeds the one with the smallest median t_grok, a donor's steps included."""
    study = load_study(ROOT / "workflow" / "studies" / "levers.yaml")
    with open(ROOT / "workflow" / "studies" / "tuning" / "levers-candidates.csv") as file:
        tried = [row for row in csv.DictReader(file) if row["lever"] != "none"]
    levers: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in tried:
        levers.setdefault((row["setting"], row["lever"]), []).append(row)
    assert {len(rows) for rows in levers.values()} == {3}, "the same number of values"
    waits = {}
    for lever, rows in levers.items():
        times = {row["value"]: [row[f"t_grok_{seed}"] for seed in (1000, 1001, 1002)] for row in rows}
        medians = {
            value: statistics.median(map(float, found)) + float(value if lever[1] == "transfer" else 0)
            for value, found in times.items()
            if all(found)
        }
        best = min(medians, key=medians.__getitem__, default=None)
        assert [row["value"] for row in rows if row["chosen"] == "True"] == ([best] if best else []), lever
        waits[lever] = [float(row[f"t_matched_{seed}"] or "inf") for row in rows if row["chosen"] == "True"
                        for seed in (1000, 1001, 1002)]  # fmt: skip
        control = f"{lever[0].removesuffix('-mlp')}-{lever[1]}"
        if control not in study.settings:
            continue
        used: Any = study.settings[control].model_dump(mode="json")
        for key in rows[0]["key"].split("."):
            used = used[key]
        # What none of its values made grok is used as it is published: without weight decay.
        assert used == float(best or 0), lever
        steps = study.settings[control].training.steps
        most = study.settings[lever[0]].training.steps
        slowest = max(waits[lever], default=math.inf)
        assert steps == most if slowest * 2 > most else slowest * 2 <= steps < slowest * 2 + 200, lever
    # Of the digits, whose runs take longest, the levers that at least halve the wait.
    with open(ROOT / "workflow" / "studies" / "tuning" / "levers-candidates.csv") as file:
        bases = {row["setting"]: row for row in csv.DictReader(file) if row["lever"] == "none"}
    usual = statistics.median(float(bases["digits-mlp"][f"t_matched_{seed}"]) for seed in (1000, 1001, 1002))
    halved = {lever for (base, lever), found in waits.items()
              if base == "digits-mlp" and found and statistics.median(found) <= usual / 2}  # fmt: skip
    assert halved == {name.removeprefix("digits-") for name in study.settings if name.startswith("digits-")} - {"mlp"}


@of_each
def test_a_control_changes_what_it_is_called_for_and_nothing_else(path: Path, loaded: Study) -> None:
    for name, setting in loaded.settings.items():
        # The digits' controls are trained without the large initialisation, and stop earlier: config.yaml says why.
        if not setting.control or setting.control.name not in CHANGED or setting.data == "digits-300":
            continue
        base = loaded.settings[setting.control.of]
        assert (setting.model, setting.initialisation_scale) == (base.model, base.initialisation_scale), name
        ours, theirs = (flat(one.training.model_dump(mode="json")) for one in (setting, base))
        changed = {key for key in ours if ours[key] != theirs[key] and not key.startswith("snapshot")}
        assert changed == CHANGED[setting.control.name], name


@of_each
def test_an_annealed_run_ends_where_its_cosine_does(path: Path, loaded: Study) -> None:
    for name, setting in loaded.settings.items():
        optimizer = setting.training.optimizer
        if optimizer.schedule == "cosine":
            assert optimizer.decay_steps == setting.training.steps, name


LABORATORY = ("laboratory", "laboratory-transformer", "levers", "regression")
IMAGES = [
    path
    for path in STUDIES
    if path.stem not in ("config", "smoke", "tofu-small", "tofu-real-small", *PHI_1_5, *LABORATORY)
]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_studies_of_images_ask_the_papers_question_in_its_terms(path: Path, loaded: Study) -> None:
    assert loaded.seeds == [0, 1, 2]
    assert loaded.tuning.seed not in loaded.seeds
    assert loaded.checkpoints == ["early", "memorised", "grokked"]
    if path.stem != "late-rises":
        assert {method.kind for method in loaded.methods.values()} == {"original", "retrain", *PUBLISHED}
        assert {"gradient-alignment", "cka", "local-complexity"} <= loaded.analysed_kinds()
    annealed = {name for name in loaded.main_settings if loaded.settings[name].training.optimizer.schedule == "cosine"}
    twins = {
        setting.control.of
        for setting in loaded.settings.values()
        if setting.control and setting.control.name == "constant-rate"
    }
    # Of the ResNet on two cores, of the hour and of label noise there is none: twins cost as much as what they are compared with.
    assert annealed - twins <= {
        "cifar10-small": {"resnet"},
        "cifar10-1h": {"resnet", "cnn"},
        "late-rises": {"noisy"},
    }.get(path.stem, set())
