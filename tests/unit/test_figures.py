"""The registry of the figures, which of them a study has, what they are told, and the figures 1a, 1b and 2."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from figure_reads import figure_of, figure_spec, what_is_read
from grokforget.config.figures import FIGURES
from grokforget.config.loader import load_study
from grokforget.config.specs.figures import FigureSpec, ScheduleFigureSpec, figure_item, figures_of
from grokforget.config.study import Study
from grokforget.figures.parts.style import logarithmic, save
from grokforget.jobs.render import render
from grokforget.runtime.components import load_implementation
from grokforget.runtime.files import write_table
from grokforget.runtime.fingerprint import digests, versions_of
from grokforget.runtime.job import Job

LAPTOP = Path(__file__).parents[2] / "config.yaml"
TABLES = {table for row in FIGURES.values() for table in row.tables}
OF_RUNS = {"progress"}
"""Those of analyses that the laptop study does not have: of runs themselves."""
OF_GROUPS = {"groups", "group-losses"}
"""Of a language model's examples."""
OF_GRIDS = {"law", "fraction", "phase", "rates", "late-decay", "gallery", "levers", "induced"}
"""Of grids, of settings that are only looked at, and of levers."""
OTHERS = OF_RUNS | OF_GROUPS | OF_GRIDS


def spec_of(name: str) -> type[FigureSpec]:
    """The class of the figure's spec as its function names it."""
    return ScheduleFigureSpec if "schedules" in FIGURES[name].shows else FigureSpec


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(LAPTOP)


def changed(study: Study, **changes: Any) -> Study:
    """A study with some of its keys changed."""
    return Study.model_validate({**study.model_dump(exclude_unset=True), **changes})


@pytest.mark.parametrize("name", FIGURES)
def test_a_row_has_an_implementation_of_the_one_signature(name: str) -> None:
    function = load_implementation(FIGURES[name].implementation)
    assert function.__name__ == "figure"
    signature = inspect.signature(function)
    assert {key: value.annotation for key, value in signature.parameters.items()} == {
        "tables": "Mapping[str, pd.DataFrame]",
        "spec": spec_of(name).__name__,
    }
    assert signature.return_annotation == "Figure"


@pytest.mark.parametrize("name", FIGURES)
def test_a_row_says_what_its_figure_shows(name: str) -> None:
    row = FIGURES[name]
    assert set(row.shows) <= set(spec_of(name).model_fields) - {"figure"}
    assert row.caption.endswith(".")
    assert "\n" not in row.caption
    assert versions_of(*row.libraries)


@pytest.mark.parametrize("name", FIGURES)
def test_a_change_of_the_config_classes_is_no_change_of_a_figure(name: str) -> None:
    modules = digests("grokforget.jobs.render", FIGURES[name].implementation)
    assert FIGURES[name].implementation.partition(":")[0] in modules
    assert not [module for module in modules if module.startswith("grokforget.config")]


def test_the_laptop_study_has_every_figure_of_unlearning(study: Study) -> None:
    assert figures_of(study, TABLES) == [name for name in FIGURES if name not in OTHERS]


def test_what_is_of_runs_themselves_is_in_a_study_that_analyses_them(study: Study) -> None:
    analyses = {**study.model_dump(exclude_unset=True)["analyses"], "weights": {"kind": "weights"}}
    shown = [name for name in FIGURES if name not in OF_GROUPS | OF_GRIDS]
    assert figures_of(changed(study, analyses=analyses), TABLES) == shown


def test_no_figure_without_its_tables(study: Study) -> None:
    without = set(FIGURES) - OTHERS - set(figures_of(study, TABLES - {"along"}))
    assert without == {"alignment", "complexity", "modules"}
    assert figures_of(study, []) == []


def test_no_figure_without_the_analysis_that_it_shows(study: Study) -> None:
    analyses = study.model_dump(exclude_unset=True)["analyses"]

    def without(kind: str) -> set[str]:
        kept = {name: value for name, value in analyses.items() if value["kind"] != kind}
        return set(FIGURES) - OTHERS - set(figures_of(changed(study, analyses=kept), TABLES))

    assert without("gradient-alignment") == {"alignment", "alignment-pairs"}
    assert without("relearning") == {"relearning"}
    assert without("distance") == set(), "relearning is shown without distances, too"


def test_controls_and_designs_are_shown_where_there_are_some(study: Study) -> None:
    settings = study.model_dump(exclude_unset=True)["settings"]
    main = {name: setting for name, setting in settings.items() if "control" not in setting}
    assert set(FIGURES) - OTHERS - set(figures_of(changed(study, settings=main), TABLES)) == {"controls"}
    forget_sets = ["within-15", "within-50"]
    few = {name: {**setting, "forget_sets": forget_sets} for name, setting in settings.items()}
    assert set(FIGURES) - OTHERS - set(figures_of(changed(study, settings=few), TABLES)) == {"designs"}


@pytest.mark.parametrize("name", FIGURES)
def test_an_item_reads_and_writes_what_its_row_says(name: str, study: Study) -> None:
    item, row = figure_item(study, name), FIGURES[name]
    assert item.inputs == {table: f"tables/{table}.parquet" for table in row.tables}
    assert item.outputs == {ending: f"figures/{name}.{ending}" for ending in ("svg", "pdf", "png")}
    assert isinstance(item.spec, FigureSpec)
    assert item.spec.libraries == row.libraries
    assert item.spec.model_fields_set == {"figure", *row.shows}
    known = {analysis.kind for analysis in study.analyses.values()}
    assert set(item.spec.study.analyses.values()) == (known & set(row.analyses) if "study" in row.shows else set())
    assert name in OF_RUNS or "study" not in row.shows or known >= set(row.analyses)
    read = spec_of(name).model_validate_json(item.spec.model_dump_json())
    assert read.model_dump() == item.spec.model_dump()


def test_what_figures_are_told_of_the_laptop_study(study: Study) -> None:
    headline = figure_item(study, "figure2").spec
    assert isinstance(headline, FigureSpec)
    assert headline.settings == ["digits-mlp", "digits-cnn", "modular-transformer", "modular-mlp"]
    assert headline.forget_sets == ["within-15", "within-50"]
    assert headline.retrain == "retrain"
    along = figure_item(study, "figure1b").spec
    assert isinstance(along, FigureSpec)
    assert (along.along_forget_sets, along.along_method) == (["within-15", "within-50"], "gradient-ascent")
    controls = figure_item(study, "controls").spec
    assert isinstance(controls, FigureSpec)
    assert controls.study.controls["digits-mlp-sam"].model_dump() == {"of": "digits-mlp", "name": "sam"}
    assert controls.study.references == ["original", "retrain"]


SPEC = {
    "settings": ["a-mlp", "b-mlp"],
    "forget_sets": ["small", "large"],
    "along_forget_sets": ["small", "large"],
    "checkpoints": ["early", "grokked"],
    "methods": ["original", "retrain", "ascent"],
    "along_method": "ascent",
    "retrain": "retrain",
}
SEEDS, STEPS, UPDATES = (0, 1), (1, 10, 100), (0, 1, 2)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Accuracies drawn at random."""
    draw = np.random.default_rng(0).random
    training, checkpoints, sweep, trajectories, unlearning = [], [], [], [], []
    splits = [f"{split}_accuracy" for split in ("train", "test", "forget", "retain")]
    for setting in SPEC["settings"]:
        for seed in SEEDS:
            run = {"setting": setting, "seed": seed}
            for train_set in ("full", "without-small"):
                for step in STEPS:
                    training.append({**run, "train_set": train_set, "step": step, **{one: draw() for one in splits}})
                for name, step in (("early", 10), ("grokked", 100)):
                    times = {"t_mem": 20.0, "t_grok": 100.0 * (seed + 1)}
                    where = {**run, "train_set": train_set, "checkpoint": name, "step": step}
                    checkpoints.append({**where, **times, "test_accuracy": draw()})
            for forget_set in SPEC["forget_sets"]:
                for step in STEPS:
                    values = {f"{prefix}{one}": draw() for prefix in ("", "original_") for one in splits[2:]}
                    sweep.append({**run, "forget_set": forget_set, "step": step, **values})
                for name in SPEC["checkpoints"]:
                    cell = {**run, "forget_set": forget_set, "checkpoint": name}
                    for method in SPEC["methods"]:
                        unlearning.append({**cell, "method": method, "forget_accuracy": draw()})
                        for update in UPDATES if method == "ascent" else UPDATES[:1]:
                            here = {**cell, "method": method, "update": update, "forget_accuracy": draw()}
                            trajectories.append({**here, "final": False})
                        trajectories.append({**here, "final": True})
    made = {"training": training, "checkpoints": checkpoints, "unlearning_along": sweep}
    made |= {"trajectories": trajectories, "unlearning": unlearning}
    return {name: pd.DataFrame(rows) for name, rows in made.items()}


HEADLINE = ("figure1a", "figure1b", "figure2")


@pytest.mark.parametrize("name", HEADLINE)
def test_a_figure_reads_what_its_row_names(name: str, tables: dict[str, pd.DataFrame]) -> None:
    assert what_is_read(name, tables, SPEC) == (set(FIGURES[name].tables), set(FIGURES[name].shows))


@pytest.mark.parametrize("name", HEADLINE)
def test_headline_figures_are_written_twice_with_the_same_bytes(
    name: str, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    inputs = {table: [tmp_path / f"{table}.parquet"] for table in FIGURES[name].tables}
    for table, (path,) in inputs.items():
        write_table(path, tables[table])
    written = []
    for time in ("first", "second"):
        outputs = {kind: tmp_path / time / f"{name}.{kind}" for kind in ("svg", "pdf", "png")}
        render(Job(inputs=inputs, outputs=outputs, spec=figure_spec(name, SPEC)))
        written.append({kind: path.read_bytes() for kind, path in outputs.items()})
    assert written[0] == written[1]
    for kind, beginning in {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}.items():
        assert written[0][kind].startswith(beginning)


def test_figure_1a_shows_means_over_seeds_of_the_full_training_set(tables: dict[str, pd.DataFrame]) -> None:
    axes = figure_of("figure1a", tables, SPEC).axes[1]
    rows = tables["training"]
    rows = rows[(rows.setting == "b-mlp") & (rows.train_set == "full")]
    assert axes.get_title() == "b-mlp"
    for line, split in zip(axes.lines, ("train", "test"), strict=False):
        means = [100 * rows[f"{split}_accuracy"][rows.step == step].mean() for step in STEPS]
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([STEPS, means]))
    chosen = tables["checkpoints"]
    chosen = chosen[(chosen.setting == "b-mlp") & (chosen.train_set == "full") & (chosen.checkpoint == "grokked")]
    np.testing.assert_allclose(axes.lines[3].get_ydata(), 100 * chosen.test_accuracy)
    plt.close("all")


@pytest.mark.parametrize("step", [0, 20])
def test_figure_1a_of_runs_that_diverged_is_drawn(step: int, tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """At the start or at their first record; no checkpoint of theirs counts."""
    training = tables["training"]
    training = training[training.setting.isin(SPEC["settings"][:1]) & (training.step == STEPS[0])].assign(step=step)
    drawn = {"training": training, "checkpoints": tables["checkpoints"].iloc[:0]}
    figure = figure_of("figure1a", drawn, {**SPEC, "settings": SPEC["settings"][:1]})
    save(figure, {kind: tmp_path / f"figure.{kind}" for kind in ("svg", "pdf", "png")})
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] > 0
    assert [len(line.get_xdata()) for line in axes.lines[:2]] == [step > 0] * 2


@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_needs_nothing_and_follows_what_comes_later(which: Literal["x", "y"]) -> None:
    axes = plt.subplots()[1]
    assert getattr(axes, f"get_{which}lim")()[0] <= 0, "a linear axis that was looked at"
    for limits in ((1, 10), (30, 3000)):
        logarithmic(axes, which)
        assert getattr(axes, f"get_{which}lim")() == pytest.approx(limits, rel=0.5)
        axes.plot([30, 3000], [30, 3000])
    plt.close("all")


@pytest.mark.parametrize("left", [0, 1])
def test_figure_1b_of_runs_without_snapshots_along_training_is_drawn(
    left: int, tables: dict[str, pd.DataFrame]
) -> None:
    """Of no setting, or of one: runs that diverge before their first update have none."""
    along = tables["unlearning_along"]
    there = SPEC["settings"][1 : 1 + left]
    figure = figure_of("figure1b", {**tables, "unlearning_along": along[along.setting.isin(there)]}, SPEC)
    drawn = [axes.axison for axes in figure.axes]
    assert drawn == [False, bool(left)] * 2
    assert len(figure.legends[0].get_texts()) == 4 * left, "what is drawn is explained"
    plt.close("all")


def test_figure_1b_shows_every_seed_and_their_mean(tables: dict[str, pd.DataFrame]) -> None:
    figure = figure_of("figure1b", tables, SPEC)
    assert figure.get_suptitle() == "before and after ascent"
    axes = figure.axes[2]  # the second row, the first column
    rows = tables["unlearning_along"]
    rows = rows[(rows.setting == "a-mlp") & (rows.forget_set == "large")].sort_values(["seed", "step"])
    (mean,) = [line for line in axes.lines if str(line.get_label()).startswith("forget, after")]
    ends = [100 * rows.forget_accuracy[rows.step == step].mean() for step in (STEPS[0], STEPS[-1])]
    np.testing.assert_allclose(np.asarray(mean.get_ydata())[[0, -1]], ends)
    thin = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_linewidth() == 0.4]
    for seed in SEEDS:
        wanted = 100 * rows.forget_accuracy[rows.seed == seed].to_numpy()
        assert any(np.allclose(values, wanted) for values in thin)
    upright = {line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2}
    assert {20.0, 150.0} <= upright, "medians over seeds of t_mem and t_grok"
    plt.close("all")


def test_figure_2_shows_means_results_and_the_retrained_references(tables: dict[str, pd.DataFrame]) -> None:
    figure = figure_of("figure2", tables, SPEC)
    assert [axes.get_title() for axes in figure.axes[:1]] == ["ascent"], "methods that make updates"
    assert len(figure.axes) == 4
    axes = figure.axes[1]
    assert axes.get_ylabel().split("\n")[:2] == ["a-mlp", "large"]
    cell = {"setting": "a-mlp", "forget_set": "large", "checkpoint": "grokked"}

    def of(table: str, method: str) -> pd.DataFrame:
        rows = tables[table]
        for key, value in {**cell, "method": method}.items():
            rows = rows[rows[key] == value]
        return rows

    curve, result, reference = axes.lines[3:6]
    rows = of("trajectories", "ascent")
    means = [100 * rows.forget_accuracy[(rows["update"] == one) & ~rows.final].mean() for one in UPDATES]
    np.testing.assert_allclose(curve.get_xydata(), np.column_stack([UPDATES, means]))
    np.testing.assert_allclose(result.get_xydata(), [[2, 100 * rows.forget_accuracy[rows.final].mean()]])
    retrained = 100 * of("unlearning", "retrain").forget_accuracy.mean()
    np.testing.assert_allclose(reference.get_ydata(), [retrained, retrained])
    plt.close("all")
