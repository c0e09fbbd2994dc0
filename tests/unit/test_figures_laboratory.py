"""Figures of the laboratory: what they show equals what the tables say, and which study has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from grokforget.config.figures import FIGURES
from grokforget.config.specs import collect
from grokforget.config.specs.figures import figure_item, figures_of
from grokforget.config.study import Study
from grokforget.figures.fraction import boundaries
from grokforget.figures.levers import ratio
from grokforget.figures.parts.laboratory import KINDS
from grokforget.grokking.transition import KINDS as ALL_KINDS
from grokforget.jobs.render import render
from grokforget.runtime.components import load_implementation
from grokforget.runtime.files import write_table
from grokforget.runtime.job import Job
from grokforget.statistics.timed_runs import timed
from grokforget.tables.laws import laws
from grokforget.tables.runs import rates
from small import STUDY

NAMES = ("law", "fraction", "phase", "rates", "late-decay", "gallery", "levers")
BUDGET = 1000
DECAY, FRACTION = "training.optimizer.weight_decay", "data.train_fraction"
Tables = dict[str, pd.DataFrame]


def study(**settings: dict[str, Any]) -> Study:
    """From which nothing is unlearned."""
    tree = {key: STUDY[key] for key in ("study", "seeds", "data")}
    base = STUDY["settings"]["mlp"]
    return Study.model_validate({**tree, "settings": {name: {**base, **changes} for name, changes in settings.items()}})


def switched(step: int) -> dict[str, Any]:
    recipe = STUDY["settings"]["mlp"]["training"]
    optimizer = {**recipe["optimizer"], "switches": [{"step": step, "weight_decay": 0}]}
    return {"training": {**recipe, "optimizer": optimizer}}


LABORATORY = study(
    plane={"vary": {DECAY: [0, 0.1, 1, 10], FRACTION: [0.4, 0.6]}},
    slow={"labels": {"lever": "none"}},
    fast={"labels": {"lever": "grokfast-ema"}},
    late=switched(500),
)


def run(setting: str, seed: int, time: float | str, **labels: Any) -> dict[str, Any]:
    """A row of ``runs``: grokked at a time, or of another kind."""
    kind = time if isinstance(time, str) else "grokking"
    known, fitted = (float(time), 50.0 + seed) if not isinstance(time, str) else (math.nan, 50.0)
    if kind in ("no memorisation", "diverged"):
        fitted = math.nan
    row: dict[str, Any] = {
        "setting": setting,
        "train_set": "full",
        "seed": seed,
        "kind": kind,
        "transition": kind == "grokking",
    }
    row |= {"steps": BUDGET, "t_mem": fitted, "censored": kind == "did not finish"}
    for ending in ("", "_90", "_99"):
        row |= {f"t_grok{ending}": known, f"gap{ending}": known - fitted, f"censored{ending}": kind == "did not finish"}
    return {**row, **labels}


def made() -> Tables:
    """Tables of the laboratory."""
    never, stuck = "did not finish", "no memorisation"
    times = {
        (0, 0.4): (never, never, never), (0.1, 0.4): (never, never, 900), (1, 0.4): (500, 400, never), (10, 0.4): (stuck,) * 3,
        (0, 0.6): (never, never, never), (0.1, 0.6): (600, 700, 650), (1, 0.6): (210, 200, 190), (10, 0.6): (stuck,) * 3,
    }  # fmt: skip
    rows = []
    for (decay, fraction), seeds in times.items():
        name = f"plane-train-fraction-{fraction}-weight-decay-{decay}"
        labels = {"grid": "plane", "lever": "", "train_fraction": fraction, "weight_decay": float(decay)}
        rows += [run(name, seed, time, **labels) for seed, time in enumerate(seeds)]
    for name, lever, seeds in (
        ("slow", "none", (800, 600, never)),
        ("fast", "grokfast-ema", (400, 150, 500)),
        ("late", "", (900, 900, 900)),
    ):
        labels = {"grid": "", "lever": lever, "train_fraction": math.nan, "weight_decay": math.nan}
        rows += [run(name, seed, time, **labels) for seed, time in enumerate(seeds)]
    runs = pd.DataFrame(rows)
    told = runs[["setting", "grid", "lever", "train_fraction", "weight_decay"]].drop_duplicates()
    steps = np.array([0, 1, 10, 100, 1000])
    curves = [
        pd.DataFrame({"setting": row.setting, "train_set": "full", "seed": row.seed, "step": steps}).assign(
            train_accuracy=steps / 1000, test_accuracy=steps / 2000
        )
        for row in runs.itertuples()
    ]
    shares = rates(runs.drop(columns=["grid", "lever", "train_fraction", "weight_decay"])).merge(told, on="setting")
    return {"runs": runs, "rates": shares, "laws": laws(runs), "training": pd.concat(curves, ignore_index=True)}


@pytest.fixture
def tables() -> Iterator[Tables]:
    yield made()
    plt.close("all")


def draw(name: str, tables: Tables, of: Study = LABORATORY) -> Figure:
    spec: Any = figure_item(of, name).spec
    figure = load_implementation(FIGURES[name].implementation)({one: tables[one] for one in FIGURES[name].tables}, spec)
    assert isinstance(figure, Figure)
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axes for axes in figure.axes if axes.get_title() == title]
    return found


def marked(axes: Axes, gid: str) -> set[tuple[float, float]]:
    """What is marked under a name: x to two digits, y."""
    lines = [line for line in axes.lines if line.get_gid() == gid]
    return {(float(f"{x:.1g}"), float(y)) for line in lines for x, y in line.get_xydata() if np.isfinite(y)}


def test_a_study_has_the_figures_that_it_has_something_for() -> None:
    assert figures_of(LABORATORY, collect.tables_of(LABORATORY)) == list(NAMES)
    plain = Study.model_validate(STUDY)
    assert not {*NAMES} & {*figures_of(plain, [*collect.tables_of(plain), *collect.SUMMARIES])}
    some = study(a={"vary": {FRACTION: [0.4, 0.6]}})
    assert figures_of(some, collect.tables_of(some)) == ["fraction", "rates", "gallery"]


def test_all_kinds_of_curves_have_a_colour() -> None:
    assert set(KINDS) == set(ALL_KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_written_in_three_formats(name: str, tables: Tables, tmp_path: Path) -> None:
    inputs = {table: [tmp_path / f"{table}.parquet"] for table in FIGURES[name].tables}
    for table, (path,) in inputs.items():
        write_table(path, tables[table])
    outputs = {kind: tmp_path / f"{name}.{kind}" for kind in ("svg", "pdf", "png")}
    render(Job(inputs=inputs, outputs=outputs, spec=figure_item(LABORATORY, name).spec))
    assert all(path.stat().st_size > 1000 for path in outputs.values())


@pytest.mark.parametrize("name", NAMES)
def test_without_rows_they_say_why_they_are_empty(name: str, tables: Tables) -> None:
    figure = draw(name, {one: table.iloc[:0] for one, table in tables.items()})
    assert not figure.axes
    assert figure.texts


def test_the_law_shows_every_run_censored_ones_at_their_budget_and_counts_the_others(tables: Tables) -> None:
    axes = panel(draw("law", tables), "plane\ntrain fraction 0.4")
    assert marked(axes, "known") == {(0.1, 900), (1, 500), (1, 400)}
    assert marked(axes, "censored") == {(0.1, BUDGET), (1, BUDGET)}
    (style,) = {line.get_marker() for line in axes.lines if line.get_gid() == "censored"}
    assert style == "^"
    assert "3 grokked, 3 censored, 3 excluded" in axes.get_xlabel()
    assert "at 0: 0 of 3 grokked" in axes.get_xlabel()
    (line,) = [line for line in axes.lines if line.get_gid() == "law"]
    law = tables["laws"].query("within == 'train_fraction 0.4' and quantity == 't_grok'").iloc[0]
    x, y = line.get_xydata().T
    assert (x[0], x[-1]) == pytest.approx((0.1, 1))
    assert y == pytest.approx(law.time * (x / law.middle) ** -law.exponent)
    assert f"a = {law.exponent:.2f} [{law.low:.2f}, {law.high:.2f}]" in axes.get_xlabel()


def test_fractions_have_their_boundaries_and_medians_that_count_who_never_grokked(tables: Tables) -> None:
    runs = tables["runs"]
    one = runs[(runs.weight_decay == 0.1) & (runs.grid != "")]
    assert list(boundaries(one).values()) == pytest.approx([0.6, math.nan], nan_ok=True)
    sudden = one.assign(kind=one.kind.where(one.train_fraction < 0.6, "immediate generalisation"))
    assert list(boundaries(sudden).values())[1] == 0.6
    figure = draw("fraction", tables)
    upper = panel(figure, "plane\nweight decay 0.1")
    lower = figure.axes[figure.axes.index(upper) + 3]
    assert {text.get_text() for text in upper.texts} == {"1/3", "3/3"}
    assert marked(lower, "median t_grok") == {(0.6, 650)}, "one of three is no median"
    assert marked(lower, "censored") == {(0.4, BUDGET)}


def test_a_plane_has_the_kind_of_most_seeds_hatched_where_they_differ_and_the_gap(tables: Tables) -> None:
    axes = panel(draw("phase", tables), "plane")
    cells = {
        (patch.get_x() + 0.5, patch.get_y() + 0.5): patch for patch in axes.patches if isinstance(patch, Rectangle)
    }
    kinds = {place: patch.get_gid() for place, patch in cells.items()}
    assert kinds[1, 0] == "did not finish"
    assert kinds[2, 0] == kinds[1, 1] == "grokking"
    assert kinds[3, 0] == "no memorisation"
    assert {place for place, patch in cells.items() if patch.get_hatch()} == {(1, 0), (2, 0)}
    # Of the gaps 450, 349 and none the median is 450.
    assert {text.get_position(): text.get_text() for text in axes.texts}[2, 0] == f"{math.log10(450):.1f}"
    assert "24 runs, 9 of them censored" in axes.get_xlabel()


def test_rates_have_wilsons_intervals(tables: Tables) -> None:
    figure = draw("rates", tables)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fast", "late", "slow"]
    assert [text.get_text() for text in axes.texts] == ["3/3", "3/3", "2/3"]
    table = tables["rates"].query("outcome == 'grokked'").set_index("setting").loc[["fast", "late", "slow"]]
    bars = next(one for one in axes.containers if one.lines[0].get_gid() == "grokked")
    ends = np.array([path.vertices[:, 0] for path in bars.lines[2][0].get_paths()])
    assert ends == pytest.approx(100 * table[["low", "high"]].to_numpy())


def test_switches_are_marked_in_the_settings_that_have_them_beside_those_without(tables: Tables) -> None:
    figure = draw("late-decay", tables)
    titles = [axes.get_title().split(",")[0] for axes in figure.axes]
    assert titles == ["slow", "fast", "late"], "of the grid none is switched"
    switches = [[line.get_xdata()[0] for line in axes.lines if line.get_gid() == "switch"] for axes in figure.axes]
    assert switches == [[], [], [500]]


def test_the_gallery_has_an_example_of_each_kind_that_occurs(tables: Tables) -> None:
    figure = draw("gallery", tables)
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes]
    assert titles == ["grokking", "no memorisation", "did not finish"]
    first = figure.axes[0]
    assert first.get_title().split("\n")[1] == "fast, seed 0"
    assert [line.get_xdata()[0] for line in first.lines if line.get_gid() in ("t_mem", "t_grok")] == [50, 400]
    assert "17 of 33 runs" in first.get_xlabel()


def test_levers_are_paired_by_seed_with_what_has_none(tables: Tables) -> None:
    figure = draw("levers", tables)
    times, ratios = figure.axes
    assert [label.get_text() for label in times.get_yticklabels()] == [
        "without\n2 of 3 grokked",
        "grokfast-ema\n3 of 3 grokked",
    ]
    assert [line.get_xdata().tolist() for line in times.lines if line.get_gid() == "censored slow"] == [[BUDGET]]
    each, middle, low, high = ratio(timed(tables["runs"], "t_grok"), "fast", "slow")
    assert sorted(each) == [0.25, 0.5]
    assert middle == pytest.approx(math.sqrt(0.125))
    # Student's t of one degree of freedom: 12.706 standard errors.
    half = 12.7062 * math.log(2) / 2
    assert (low, high) == pytest.approx((middle * math.exp(-half), middle * math.exp(half)), rel=1e-4)
    (mark,) = [line for line in ratios.lines if line.get_gid() == "ratio fast"]
    assert mark.get_xdata() == pytest.approx([middle])
    assert "n = 2" in {text.get_text() for text in ratios.texts}
