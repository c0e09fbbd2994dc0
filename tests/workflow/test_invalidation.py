"""After an edit exactly those items are computed whose results could be others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from computed import computed, computed_in
from edits import (
    PACKAGE,
    RULES,
    STUDY,
    Edit,
    appended,
    code,
    locked,
    reformatted,
    registered,
    replaced,
    several,
    study,
    touch_everything,
)
from grokforget.runtime import paths
from grokforget.runtime.results import records_of
from grokforget.runtime.spec_file import load_spec
from snakemake_runs import Workspace

# Items of the smoke study by rule: one setting, two seeds and that of the tuning, one forget set, two train sets, two segments,
# seven methods, four analyses, of which two are done along training too.
MODELS = {"unlearn": 14, "unlearn_along_training": 2, "tune": 6, "analyse": 12, "shadow": 4}
TRAINING = {"train": 12, **MODELS}
LESS_OF_METHODS = {"measure": 2, "collect": 2, "attack": 1, "published": 1, "paper_table": 4}

CASES: dict[str, tuple[Edit, dict[str, int]]] = {
    # What a job does is the same.
    "touch every file": (touch_everything, {}),
    "reformat all code": (reformatted, {}),
    "a comment in the training loop": (appended(PACKAGE / "training" / "loop.py", "\n# A comment.\n"), {}),
    "a docstring of SCRUB": (replaced(PACKAGE / "methods" / "scrub.py", '"""SCRUB and', '"""The SCRUB and'), {}),
    "another log line": (
        replaced(PACKAGE / "jobs" / "train.py", 'log.info("saved at step %d"', 'log.info("SAVED at step %d"'),
        {},
    ),
    "another format of the log": (
        replaced(PACKAGE / "__main__.py", "%(asctime)s %(levelname)s", "%(levelname)s %(asctime)s"),
        {},
    ),
    "another wording of an error": (
        replaced(PACKAGE / "forget_sets" / "by_class.py", '"forgetting by class needs', '"To forget by class takes'),
        {},
    ),
    "the machinery around the jobs": (
        several(*(code(f"runtime/{name}.py") for name in ("run", "store", "record", "preflight", "progress"))),
        {},
    ),
    "a rule's message, memory and time": (
        several(
            replaced(RULES / "training.smk", "mem_mb=more(1500)", "mem_mb=more(3000)"),
            replaced(RULES / "training.smk", "runtime=more(10)", "runtime=more(600)"),
            replaced(RULES / "training.smk", '"Train {', '"Training {'),
        ),
        {},
    ),
    "a profile": (appended(Path("profiles") / "default" / "config.yaml", "\nkeep-going: true\n"), {}),
    "a locked tool that no number depends on": (locked("pytest"), {}),
    "what a scheduler is asked for": (
        study("    selection: {", "    resources: {memory_mb: 4000, minutes: 300}\n    selection: {"),
        {},
    ),
    "a caption": (replaced(PACKAGE / "config" / "figures.py", 'caption="', 'caption="In short: '), {}),
    # What is registered beside the others is nothing to them.
    "a further data set": (registered("data.py", "DATA_SETS", "DataSet", "grokforget.data.digits:Digits"), {}),
    "a further model": (registered("models.py", "MODELS", "Model", "grokforget.models.cnn:CNN"), {}),
    "a further method": (
        registered("methods.py", "METHODS", "Method", "grokforget.methods.descent:FineTune"),
        {},
    ),
    "a further metric": (registered("metrics.py", "METRICS", "Component", "grokforget.metrics.ues:measure"), {}),
    "a further analysis": (registered("analyses.py", "ANALYSES", "Analysis", "grokforget.analyses.cka:cka"), {}),
    "a further figure": (
        replaced(
            PACKAGE / "config" / "figures.py",
            '    "figure2": FigureRow(',
            '    "further": FigureRow(\n        "grokforget.figures.figure1a:figure", tables=("training", "checkpoints"),\n'
            '        shows=("settings",), caption="Once more.",\n    ),\n    "figure2": FigureRow(',
        ),
        {"figure": 1},
    ),
    # The study.
    "the seed that chooses": (
        study("tuning:\n", "tuning:\n  seed: 7\n"),
        {"split": 1, "forget": 1, "train": 4, "select": 2, "tune": 2, "tuned": 1, "match": 1, "collect": 2},
    ),
    "what is tried": (study("values: [1e-3, 1e-2]", "values: [1e-3, 3e-3]"), {"tune": 3}),
    "one method's learning rate": (
        study("learning_rate: 1e-2}", "learning_rate: 2e-2}"),
        {"unlearn": 2, "unlearn_along_training": 2, "tune": 3},
    ),
    "a method of one setting": (
        study("    selection: {", "    methods: {scrub: {epochs: 2}}\n    selection: {"),
        {"unlearn": 2},
    ),
    "a method more": (
        study("  fine-tune:", "  tuned: {kind: fine-tune, epochs: 1}\n  fine-tune:"),
        {"unlearn": 2, **LESS_OF_METHODS, "figure": 4},
    ),
    "a method less": (study("  fisher: {kind: fisher}\n", ""), {**LESS_OF_METHODS, "figure": 4}),
    "a further seed": (
        study("seeds: [0, 1]", "seeds: [0, 1, 2]"),
        {
            **{
                "split": 1,
                "forget": 1,
                "train": 4,
                "select": 2,
                "unlearn": 7,
                "unlearn_along_training": 1,
                "measure": 1,
            },
            **{"analyse": 6, "shadow": 2, "attack": 1, "tune": 2, "collect": 9},
        },
    ),
    # An attack with shadow models needs two.
    "a seed less": (
        several(study("seeds: [0, 1]", "seeds: [1]"), study("likelihood_ratio_attack: true\n", "")),
        {"collect": 9, "paper_table": 1},
    ),
    # What the names of forget sets mean stands in the specs of claims, figures and paper tables; candidates are tried on all.
    "a further forget set": (
        study("\nmethods:", "  random: {kind: random, fraction: 0.1}\n\nmethods:"),
        {
            **{"forget": 3, "train": 6, "select": 3, "unlearn": 14, "unlearn_along_training": 2, "measure": 2},
            **{"analyse": 12, "shadow": 2, "attack": 2, "tune": 6, "collect": 8},
            **{"claims": 1, "published": 1, "paper_table": 4, "figure": 9},
        },
    ),
    "what a forget set draws": (
        study("fraction: 0.5}", "fraction: 0.4}"),
        {"forget": 3, "claims": 1, "published": 1, "paper_table": 3, "figure": 8},
    ),
    "more training steps": (
        study("steps: 1000", "steps: 1500"),
        {"train": 6, "select": 6, "unlearn_along_training": 2, "analyse": 4, "collect": 1},
    ),
    "where runs are cut": (
        study("segment_steps: 500", "segment_steps: 200"),
        {"train": 30, "select": 6, "unlearn_along_training": 2, "analyse": 4, "collect": 1},
    ),
    # Analyses are told the recipe, by which some train on.
    # The norm law, of the table `runs`, is told of it.
    "the training's weight decay": (
        study("weight_decay: 1.0", "weight_decay: 0.9"),
        {"train": 12, "analyse": 12, "outcomes": 1},
    ),
    "how checkpoints are selected": (
        study("{transition: accuracy}", "{transition: accuracy, grokked_accuracy: 0.98}"),
        {"select": 6, "outcomes": 1},
    ),
    "how often trajectories are evaluated": (
        study("metrics:\n", "trajectory_stride: 2\n\nmetrics:\n"),
        {"unlearn": 14},
    ),
    "how many snapshots are looked at": (
        study("snapshots: 8", "snapshots: 6"),
        {"unlearn_along_training": 2, "analyse": 4},
    ),
    "a metric less": (study("  membership: {kind: membership}\n", ""), {"measure": 2}),
    "another number of threads": (study("seeds:", "threads: 2\nseeds:"), TRAINING),
    "another modulus": (study("modulus: 31", "modulus: 29"), {"prepare": 1, "split": 3}),
    "the size of an analysis": (
        study("cka: {kind: cka, matchings: 2}", "cka: {kind: cka, matchings: 3}"),
        {"analyse": 2},
    ),
    "an analysis less": (
        study("  cka: {kind: cka, matchings: 2}\n", ""),
        {"claims": 1, "explain": 1, "collect": 1, "published": 1},
    ),
    "what explains the collateral": (code("statistics/explanations.py"), {"explain": 1, "figure": 1}),
    # The code.
    "SCRUB": (code("methods/scrub.py"), {"unlearn": 2}),
    "what gradient ascent and fine-tuning share": (
        code("methods/descent.py"),
        {"unlearn": 4, "unlearn_along_training": 2, "tune": 6},
    ),
    "a model that several settings share": (code("models/mlp.py"), TRAINING),
    "another model": (code("models/cnn.py"), {}),
    "the training loop": (code("training/loop.py"), {"train": 12}),
    "how checkpoints are found": (code("grokking/transition.py"), {"select": 6, "outcomes": 1}),
    "what is told of every run": (code("grokking/outcome.py"), {"outcomes": 1}),
    "the detector of other people's logs": (
        several(code("grokking/detection.py"), code("detect/report.py"), code("detect/logs.py")),
        {},
    ),
    "a forget set's rule": (code("forget_sets/by_class.py"), {"forget": 3}),
    "a data set": (code("data/modular.py"), {"prepare": 1, "split": 3}),
    "a metric": (code("metrics/ues.py"), {"measure": 2}),
    "an analysis": (code("analyses/cka.py"), {"analyse": 2}),
    "an analysis along training": (code("analyses/module_model.py"), {"analyse": 4}),
    "the attack with shadow models": (code("metrics/mia_lira.py"), {"attack": 1}),
    "the statistics": (code("statistics/contrasts.py"), {"summarise": 1}),
    "how spreads are compared": (code("statistics/spread.py"), {"summarise": 1, "claims": 1}),
    "how claims are decided": (
        replaced(Path("workflow") / "claims.yaml", "level: 0.05", "level: 0.01"),
        {"claims": 1, "figure": 1},
    ),
    "a published number": (
        replaced(Path("workflow") / "resources" / "paper_numbers.csv", "73.72", "73.73"),
        {"published": 1},
    ),
    "one figure": (code("figures/figure2.py"), {"figure": 1}),
    "what is left out, in words": (code("statistics/left_out.py"), {"figure": 13, "paper_table": 4}),
    "the style of the figures": (code("figures/parts/style.py"), {"figure": 13}),
    "the paper tables' layouts": (code("tables/paper.py"), {"paper_table": 4}),
    # The libraries.
    "the locked torch": (locked("torch"), TRAINING),
    "the locked seaborn": (locked("seaborn"), {"figure": 13}),
    "the locked scikit-learn": (locked("scikit-learn"), {"prepare": 1}),
}
EXPECTED = {name: Counter(expected) for name, (_, expected) in CASES.items()}
OF_THE_STUDY = [*CASES][[*CASES].index("the seed that chooses") : [*CASES].index("SCRUB")]
SAME_BYTES = {*CASES} - {*OF_THE_STUDY, "how claims are decided", "a published number"}
"""Edits after which every job writes what it wrote: nothing behind what is computed is computed."""


@pytest.mark.parametrize("name", CASES)
def test_an_edit_asks_for_exactly_what_it_concerns(name: str, copy: Workspace) -> None:
    """By the keys that the jobs have after the edit; what other bytes then bring with them, the real runs below tell."""
    edit, _ = CASES[name]
    edit(copy.repository)
    assert computed(copy) == EXPECTED[name]


@pytest.mark.long(sample=3)
@pytest.mark.parametrize("name", CASES)
def test_a_real_run_computes_that_and_what_then_reads_other_bytes(name: str, copy: Workspace, smoke: Workspace) -> None:
    edit, _ = CASES[name]
    edit(copy.repository)
    root = copy.folder / "results" / "smoke"
    before = dict(records_of(root))
    copy.snakemake(study=copy.repository / STUDY)
    found: Counter[str] = Counter()
    for job, items in computed_in(copy).items():
        spec = load_spec(root / paths.spec_of(job))
        found[spec["rule"]] += len(items)
    if name in SAME_BYTES:
        assert found == EXPECTED[name]
        assert copy.tables() == smoke.tables()
    else:
        assert found >= EXPECTED[name]
    # Nothing was computed but for a reason: an item that is new, was asked for, or reads what it did not read before.
    for job, record in records_of(root):
        if job in computed_in(copy) and job in before:
            assert (record["spec"]["items"], record["read"]) != (before[job]["spec"]["items"], before[job]["read"]), job
    assert copy.planned(study=copy.repository / STUDY) == {}
    assert computed(copy) == {}
