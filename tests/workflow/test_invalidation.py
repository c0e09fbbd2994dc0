"""After an edit exactly those jobs rerun whose results could be others."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from edits import (
    PACKAGE,
    RULES,
    STUDY,
    Edit,
    appended,
    code,
    locked,
    reformatted,
    replaced,
    several,
    study,
    touch_everything,
)
from snakemake_runs import Workspace

pytestmark = pytest.mark.xdist_group("smoke")

# The jobs of the smoke study behind each stage: one setting, two seeds and that of the tuning, one forget set, two train sets,
# two segments. None of its analyses is of what unlearning leaves.
PAPER = {"summarise": 1, "table1": 1, "claims": 1, "published": 1, "provenance": 1}
AFTER_MEASURING = {"measure": 2, "collect": 1, **PAPER, "paper_table": 1, "figure": 3}
AFTER_UNLEARNING = {**AFTER_MEASURING, "attack": 1, "collect": 4, "paper_table": 3, "figure": 7}
UNLEARNING = {"unlearn": 2, **AFTER_UNLEARNING}
TUNED = {"tune": 3, "tuned": 1}
SWEPT = {"sweep": 2, **TUNED}
SELECTION = {"select": 3, **UNLEARNING, "analyse": 2, "shadow": 2, **TUNED, "collect": 6, "figure": 11}
SELECTION_AND_SWEEP = {**SELECTION, "sweep": 2, "collect": 8}
TRAINING = {"train": 10, **SELECTION_AND_SWEEP, "collect": 9}
EVERYTHING = {"prepare": 1, "split": 3, "forget": 3, **TRAINING}
COLLECTED = {"collect": 9, **PAPER, "tuned": 1, "attack": 1, "paper_table": 3, "figure": 11}
FIGURES = {"figure": 11, "provenance": 1}

CASES: dict[str, tuple[Edit, dict[str, int]]] = {
    # What a job does is the same.
    "touch every file": (touch_everything, {}),
    "reformat all code": (reformatted, {}),
    "a comment in the training loop": (appended(PACKAGE / "training" / "loop.py", "\n# A comment.\n"), {}),
    "a docstring of SCRUB": (replaced(PACKAGE / "unlearning" / "scrub.py", '"""SCRUB and', '"""The SCRUB and'), {}),
    "a further class in a registry": (code("unlearning/registry.py"), {}),
    "the machinery around the stages": (several(code("units.py"), code("preflight.py"), code("__main__.py")), {}),
    "a rule's message, memory and time": (
        several(
            replaced(RULES / "training.smk", "mem_mb=more(1500)", "mem_mb=more(3000)"),
            replaced(RULES / "training.smk", "runtime=more(10)", "runtime=more(600)"),
            replaced(RULES / "training.smk", '"Train {', '"Training {'),
        ),
        {},
    ),
    "a profile": (appended(Path("profiles") / "default" / "profile.yaml", "\nkeep-going: true\n"), {}),
    "a locked tool that no number depends on": (locked("pytest"), {}),
    "what a scheduler is asked for": (
        study("    selection: {", "    resources: {memory_mb: 4000, minutes: 300}\n    selection: {"),
        {"provenance": 1},
    ),
    "the seed that chooses": (
        study("tuning:\n", "tuning:\n  seed: 7\n"),
        {
            "split": 1,
            "forget": 1,
            "train": 2,
            "select": 1,
            "tune": 1,
            "tuned": 1,
            "collect": 1,
            "claims": 1,
            "figure": 2,
        }
        | {"provenance": 1},
    ),
    "what is tried": (
        study("values: [1e-3, 1e-2]", "values: [1e-3, 3e-3]"),
        {**TUNED, "collect": 1, "claims": 1, "figure": 2, "provenance": 1},
    ),
    # The study.
    "one method's learning rate": (
        study("learning_rate: 1e-2}", "learning_rate: 2e-2}"),
        {**UNLEARNING, **SWEPT, "collect": 6, "figure": 9},
    ),
    "a method of one setting": (
        study("    selection: {", "    methods: {scrub: {epochs: 2}}\n    selection: {"),
        UNLEARNING,
    ),
    "a further method": (
        study("  fine-tune:", "  tuned: {kind: fine-tune, epochs: 1}\n  fine-tune:"),
        {**UNLEARNING, "figure": 8},
    ),
    "a method less": (study("  fisher: {kind: fisher}\n", ""), {**UNLEARNING, "figure": 8}),
    "a further seed": (
        study("seeds: [0, 1]", "seeds: [0, 1, 2]"),
        {
            **COLLECTED,
            **{"split": 1, "forget": 1, "train": 4, "select": 1, "unlearn": 1, "sweep": 1, "measure": 1},
            **{"analyse": 1, "shadow": 1, "tune": 1},
        },
    ),
    # An attack with shadow models needs two.
    "a seed less": (
        several(study("seeds: [0, 1]", "seeds: [1]"), study("likelihood_ratio_attack: true\n", "")),
        {**COLLECTED, "attack": 0, "collect": 8, "figure": 10},
    ),
    "a further forget set": (
        study("\nmethods:", "  random: {kind: random, fraction: 0.1}\n\nmethods:"),
        {**EVERYTHING, "prepare": 0, "split": 0, "train": 4, "select": 2, "paper_table": 4},
    ),
    "what a forget set draws": (
        study("fraction: 0.5}", "fraction: 0.4}"),
        {**TRAINING, "forget": 3, "train": 4, "select": 2},
    ),
    "a further setting": (
        study(
            "\nforget_sets:",
            "  wider:\n    data: addition\n    model: {kind: mlp, hidden: [128], activation: quadratic, bias: false}\n"
            "    training: {loss: mse, optimizer: {name: adamw, learning_rate: 5e-3}, steps: 500, segment_steps: 500,"
            " evaluate_every: 20}\n    selection: {transition: accuracy}\n\nforget_sets:",
        ),
        {**COLLECTED, "forget": 3, "train": 5, "select": 3, "unlearn": 2, "sweep": 2, "measure": 2}
        | {"analyse": 2, "shadow": 2, "tune": 3},
    ),
    "more training steps": (study("steps: 1000", "steps: 1500"), {**TRAINING, "train": 5}),
    "where runs are cut": (study("segment_steps: 500", "segment_steps: 200"), {**TRAINING, "train": 25}),
    "the training's weight decay": (study("weight_decay: 1.0", "weight_decay: 0.9"), TRAINING),
    "how checkpoints are selected": (
        study("{transition: accuracy}", "{transition: accuracy, grokked_accuracy: 0.98}"),
        SELECTION,
    ),
    "how often trajectories are evaluated": (study("measures:\n", "trajectory_stride: 2\n\nmeasures:\n"), UNLEARNING),
    "how many snapshots are swept": (
        study("snapshots: 8", "snapshots: 6"),
        {"sweep": 2, "analyse": 2, "collect": 2, "figure": 3, "provenance": 1},
    ),
    "a measure less": (study("  membership: {kind: membership}\n", ""), AFTER_MEASURING),
    "another number of threads": (study("seeds:", "threads: 2\nseeds:"), TRAINING),
    "another modulus": (study("modulus: 31", "modulus: 29"), EVERYTHING),
    # The code.
    "SCRUB": (code("unlearning/scrub.py"), UNLEARNING),
    "what gradient ascent and fine-tuning share": (
        code("unlearning/descent.py"),
        {**UNLEARNING, **SWEPT, "collect": 6, "figure": 9},
    ),
    "a model that several settings share": (code("models/mlp.py"), TRAINING),
    "another model": (code("models/cnn.py"), {}),
    "the training loop": (code("training/loop.py"), TRAINING),
    "how checkpoints are found": (code("grokking/detect.py"), SELECTION),
    "a forget set's rule": (code("forget_sets/by_class.py"), {**TRAINING, "forget": 3, "train": 4, "select": 2}),
    "a data set": (code("data/modular.py"), EVERYTHING),
    "a measure": (code("measures/ues.py"), AFTER_MEASURING),
    "an analysis": (
        code("analysis/cka.py"),
        {"analyse": 2, "collect": 1, "claims": 1, "published": 1, "paper_table": 2, "figure": 5, "provenance": 1},
    ),
    "an analysis along training": (
        code("analysis/module_model.py"),
        {"analyse": 2, "collect": 2, "claims": 1, "published": 1, "paper_table": 2, "figure": 6, "provenance": 1},
    ),
    "the size of an analysis": (
        study("cka: {kind: cka, matchings: 2}", "cka: {kind: cka, matchings: 3}"),
        {"analyse": 2, "collect": 1, "claims": 1, "published": 1, "paper_table": 2, "figure": 5, "provenance": 1},
    ),
    "an analysis less": (
        study("  cka: {kind: cka, matchings: 2}\n", ""),
        {"analyse": 2, "collect": 1, "claims": 1, "published": 1, "paper_table": 2, "figure": 4, "provenance": 1},
    ),
    "the attack with shadow models": (
        code("analysis/likelihood_ratio.py"),
        {"attack": 1, "collect": 1, "paper_table": 1, "figure": 1, "provenance": 1},
    ),
    "the statistics": (code("analysis/statistics.py"), {"summarise": 1, "table1": 1, "provenance": 1}),
    "how spreads are compared": (
        code("analysis/spread.py"),
        {"summarise": 1, "table1": 1, "claims": 1, "figure": 1, "provenance": 1},
    ),
    "how claims are decided": (
        replaced(Path("workflow") / "claims.yaml", "level: 0.05", "level: 0.01"),
        {"claims": 1, "figure": 1, "provenance": 1},
    ),
    "a published number": (
        replaced(Path("workflow") / "resources" / "paper_numbers.csv", "73.72", "73.73"),
        {"published": 1, "provenance": 1},
    ),
    "one figure": (code("stages/figure2.py"), {"figure": 1, "provenance": 1}),
    "the style of the figures": (code("results/style.py"), FIGURES),
    "table 1": (code("stages/table1.py"), {"table1": 1, "provenance": 1}),
    "a paper table's layout": (code("stages/paper_table.py"), {"paper_table": 3, "provenance": 1}),
    # The libraries.
    "the locked torch": (locked("torch"), TRAINING),
    "the locked seaborn": (locked("seaborn"), FIGURES),
    "the locked scikit-learn": (locked("scikit-learn"), EVERYTHING),
}

# Those that are run as well, with the units that batches are to compute: job → unit → what was done.
RUNS: dict[str, dict[str, set[str]]] = {
    "SCRUB": {"unlearn/modular-mlp/seed0/within-50": {"scrub"}},
    "one method's learning rate": {
        "unlearn/modular-mlp/seed1/within-50": {"gradient-ascent"},
        "sweep/modular-mlp/seed1": {"within-50"},
        "tuning/modular-mlp/seed1": {"gradient-ascent"},
    },
    "a further method": {"unlearn/modular-mlp/seed0/within-50": {"tuned"}},
    "a method less": {"unlearn/modular-mlp/seed0/within-50": set()},
    "a further seed": {"checkpoints/modular-mlp/seed2": {"full", "without-within-50"}},
    "a further forget set": {
        "forget/modular-mlp/seed0": {"random"},
        "checkpoints/modular-mlp/seed0": {"without-random"},
        "sweep/modular-mlp/seed0": {"random"},
        "measures/modular-mlp/seed0": {"random"},
    },
    "more training steps": {"checkpoints/modular-mlp/seed0": {"full", "without-within-50"}},
    "an analysis along training": {
        "analysis/modular-mlp/seed1": {"before/within-50/module-model", "along/within-50/module-model"},
    },
    "a seed less": {},
    "the style of the figures": {},
    "the locked seaborn": {},
}
SAME_NUMBERS = {"SCRUB", "an analysis along training", "the style of the figures", "the locked seaborn"}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_reruns_exactly(name: str, copy: Workspace) -> None:
    edit, expected = CASES[name]
    edit(copy.repository)
    assert copy.planned(study=copy.repository / STUDY) == Counter(expected)


@pytest.mark.parametrize("name", RUNS)
def test_a_real_run_does_what_the_dry_run_says(name: str, copy: Workspace, smoke: Workspace) -> None:
    edit, expected = CASES[name]
    edit(copy.repository)
    done = copy.snakemake(study=copy.repository / STUDY)
    ran = Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", done.stdout))
    assert ran - Counter({"all": 1}) == Counter(expected)
    jobs = copy.folder / "results" / "smoke" / "jobs"
    for job, computed in RUNS[name].items():
        units = json.loads((jobs / f"{job}.json").read_text())["units"]
        assert {unit for unit, what in units.items() if what == "computed"} == computed, job
    assert copy.planned(study=copy.repository / STUDY) == {}
    assert (copy.tables() == smoke.tables()) == (name in SAME_NUMBERS)


@pytest.mark.parametrize("notes", [".snakemake", None], ids=["with Snakemake's notes", "the results alone"])
def test_results_copied_into_a_fresh_clone_are_valid(notes: str | None, copy: Workspace, tmp_path: Path) -> None:
    moved = Workspace(tmp_path / "elsewhere", tmp_path / "moved")
    # As `git clone` and `cp -r` do it: new time stamps, in no order that means anything.
    shutil.copytree(copy.repository, moved.repository, copy_function=shutil.copyfile)
    for name in ("results", notes):
        if name:
            shutil.copytree(copy.folder / name, moved.folder / name, copy_function=shutil.copyfile)
    assert moved.planned(study=moved.repository / STUDY) == {}
    code("unlearning/scrub.py")(moved.repository)
    assert moved.planned(study=moved.repository / STUDY) == Counter(UNLEARNING)


def test_results_of_other_code_copied_over_valid_ones_are_found_out(copy: Workspace, tmp_path: Path) -> None:
    """Snakemake's notes are of the results that were there before."""
    other = Workspace(tmp_path / "other", copy.repository)
    shutil.copytree(copy.folder, other.folder)
    code("unlearning/scrub.py")(copy.repository)
    copy.snakemake(study=copy.repository / STUDY)
    assert copy.planned(study=copy.repository / STUDY) == {}
    shutil.copytree(other.folder / "results", copy.folder / "results", dirs_exist_ok=True)
    assert copy.planned(study=copy.repository / STUDY) == Counter(UNLEARNING)


def test_the_reasons_are_given_in_plain_words(copy: Workspace) -> None:
    several(
        code("unlearning/scrub.py"),
        study("learning_rate: 1e-2}", "learning_rate: 2e-2}"),
        locked("seaborn"),
        study("  fisher: {kind: fisher}\n", ""),
    )(copy.repository)
    told = copy.snakemake("--dry-run", study=copy.repository / STUDY).stdout
    line = next(line for line in told.splitlines() if line.strip().startswith("unlearn (2)"))
    assert "code of grokforget.unlearning.scrub" in line
    assert "config method.settings.learning_rate: 0.01 → 0.02" in line
    assert "no longer asked for: fisher" in line
    assert "locked version of seaborn" not in line
    assert re.search(r"figure1a \(1\): locked version of seaborn: 0\S+ → 99\.0\S+\n", told)
