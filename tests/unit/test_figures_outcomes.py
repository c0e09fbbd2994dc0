"""Figures of what unlearning leaves: what they show equals what the tables say, and no study is too small for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figure_reads import figure_of, figure_spec, what_is_read
from grokforget.config.claims import claims
from grokforget.config.figures import FIGURES
from grokforget.config.loader import load_study
from grokforget.config.specs.base import Meanings
from grokforget.config.specs.shown import meanings
from grokforget.figures import claims as figure_claims
from grokforget.figures import designs as figure_designs
from grokforget.figures import pareto as figure_pareto
from grokforget.figures.parts import dots
from grokforget.jobs.render import render
from grokforget.runtime.files import write_table
from grokforget.runtime.job import Job
from grokforget.statistics.candidates import ASKED, CANDIDATES, OUTCOMES

SETTINGS = ["a-mlp", "b-mlp"]
CHECKPOINTS = ["early", "memorised", "grokked", "rescaled"]
METHODS = ["original", "retrain", "ascent", "scrub"]
FORGET_SETS = {
    "within-15": {"kind": "within-classes", "fraction": 0.15},
    "random-15": {"kind": "random", "fraction": 0.15},
    "within-50": {"kind": "within-classes", "fraction": 0.5},
}
SPEC: dict[str, Any] = {
    "settings": SETTINGS,
    "forget_sets": ["within-15", "within-50"],
    "checkpoints": CHECKPOINTS[:3],
    "methods": METHODS,
    "study": {
        "forget_sets": FORGET_SETS,
        "controls": {"a-sam": {"of": "a-mlp", "name": "sam"}, "a-flat": {"of": "a-mlp", "name": "flat"}},
        "analyses": {"attacked": "robustness", "again": "relearning", "far": "distance"},
        "references": ["original", "retrain"],
        "original": "original",
    },
    "claims": claims(),
}
NAMES = (
    *("pareto", "matched", "batch-norm", "designs", "controls", "attacks", "robustness", "relearning", "claims"),
    "explanations",
)
MEANINGS = Meanings.model_validate(SPEC["study"])
BUDGET = 30.0
Tables = dict[str, pd.DataFrame]


def made(seeds: tuple[int, ...] = (3, 5), settings: tuple[str, ...] = ("a-mlp", "b-mlp", "a-sam", "a-flat")) -> Tables:
    """Tables of a study, all numbers different."""
    draw = np.random.default_rng(0).random
    cells, attacks, tried, values = [], [], [], []
    for setting, seed in product(settings, seeds):
        control = setting in SPEC["study"]["controls"]
        names = ["matched"] if control else CHECKPOINTS[: 4 if setting == "a-mlp" else 3]
        for forget_set, checkpoint, method in product(["within-50"] if control else FORGET_SETS, names, METHODS):
            where = {"setting": setting, "seed": seed, "forget_set": forget_set, "checkpoint": checkpoint}
            columns = ["forget_accuracy", "retain_accuracy", "test_accuracy", "retrain_gap", "membership_accuracy"]
            columns.append("confidence_attack_nonmembers")
            cells.append({**where, "method": method, **{name: draw() for name in columns}})
            attacks.append({**where, "method": method, "lira_auc": draw(), "lira_tpr": draw()})
        for checkpoint, stage in product(names, ["before", *METHODS[1:]]):
            where = {
                "setting": setting,
                "seed": seed,
                "forget_set": "within-50",
                "checkpoint": checkpoint,
                "stage": stage,
            }
            for analysis, measure, part in ANALYSED:
                if stage == "before" and analysis != "attacked":
                    continue
                value = {"relearn_updates": BUDGET * draw(), "relearned": 1.0}.get(measure, draw())
                values.append({**where, "analysis": analysis, "measure": measure, "part": part, "value": value})
    for setting, seed, checkpoint, value in product(
        ["a-mlp", "b-mlp"], [*seeds, 99], CHECKPOINTS[:3], [0.1, 0.01, 1.0]
    ):
        for method in METHODS[2:]:
            where = {"setting": setting, "seed": seed, "forget_set": "within-50", "checkpoint": checkpoint}
            where["method"] = method
            before = {f"{split}_accuracy_before": draw() for split in ("forget", "retain")}
            after = {f"{split}_accuracy": draw() for split in ("forget", "retain")}
            tried.append({**where, "value": value, **before, **after, "flag": ""})
    tuning = pd.DataFrame(tried)
    tuned = tuning[(tuning.seed != 99) & (tuning.value == 0.1)].assign(protocol="own")
    levels = ("retrained", "ten-percent", "chance")
    # Drawn apart: the numbers of the other tables stay.
    other = np.random.default_rng(1).random
    read_at = [
        {
            **{key: row[key] for key in where},
            "level": level,
            "chosen": row["value"] == 0.1,
            "collateral": other(),
            "flag": "",
        }
        for row in tried
        if row["seed"] != 99
        for level in levels
    ]
    apart = np.random.default_rng(2).random
    by_statistics = [
        {**{key: row[key] for key in (*where, "method")}, "statistics": kind}
        | {name: apart() for name in ("forget_accuracy", "retain_accuracy")}
        for row, kind in product(cells, ("left", "frozen", "recalibrated"))
    ]
    return {
        "matched": pd.DataFrame(read_at),
        "unlearning": pd.DataFrame(cells),
        "batch_norm": pd.DataFrame(by_statistics),
        "membership": pd.DataFrame(attacks),
        "analysis": pd.DataFrame(values),
        "tuning": tuning,
        "tuned": pd.concat([tuned, tuned.assign(protocol="shared", value=1.0)]),
        "claims": decided(draw),
        "explanations": pd.concat([explained(draw, name, len(seeds)) for name in (*settings[:2], "all")]),
    }


ANALYSED = [
    *(
        ("attacked", "clean_accuracy", ""),
        ("attacked", "worst_accuracy", "0.1"),
        ("attacked", "worst_accuracy", "0.02"),
    ),
    *(("attacked", "zero_gradients", "margin"), ("attacked", "attacked_accuracy", "fgsm/margin/0.1")),
    *(("again", "relearn_updates", "near"), ("again", "relearned", "near")),
    *(("far", "js_divergence", "forget"), ("far", "js_divergence", "test")),
]


def decided(draw: Callable[[], float]) -> pd.DataFrame:
    """Tests of the claims with some verdict each."""
    rows = []
    for claim in claims().claims:
        for number, test in enumerate(claim.tests):
            for setting in ("all", "a-mlp", "b-mlp"):
                effect = draw()
                names = {"claim": claim.id, "test": test.name, "decides": test.decides, "setting": setting}
                verdict = ("supported", "contradicted", "undecided")[number % 3]
                ends = {"low": effect / 2, "high": 2 * effect}
                rows.append({**names, "effect": effect, **ends, "verdict": verdict, "why": ""})
    return pd.DataFrame(rows)


def explained(draw: Callable[[], float], setting: str, seeds: int) -> pd.DataFrame:
    """What explains the collateral in a setting; of snapshots CKA is not known."""
    rows = []
    for (units, level), predictor in product(OUTCOMES, ASKED):
        for given in ASKED[predictor]:
            labels = {"units": units, "level": level, "forget_set": "" if setting == "all" else "within-50"}
            known = (units, predictor) != ("snapshots", "CKA minus its control")
            middle = draw() - 0.5 if known else math.nan
            ends = {"correlation": middle, "low": middle - 0.1 * draw(), "high": middle + 0.1 * draw()}
            what = {"setting": setting, "predictor": predictor, "given": ", ".join(given)}
            counts = {"n": int(99 * draw()) + 1 if known else 0, "seeds": seeds}
            gone = {"left_out": 4, "there_before": len(setting), "not_reached": 30 if units == "snapshots" else 1}
            rows.append({**labels, **what, **ends, **counts, **gone})
    return pd.DataFrame(rows)


def job(folder: Path, name: str, tables: Tables, spec: Mapping[str, Any] = SPEC) -> Job:
    inputs = {table: [folder / f"{table}.parquet"] for table in FIGURES[name].tables}
    for table, (path,) in inputs.items():
        write_table(path, tables[table])
    outputs = {kind: folder / f"{name}.{kind}" for kind in ("svg", "pdf", "png")}
    return Job(inputs=inputs, outputs=outputs, spec=figure_spec(name, spec))


@pytest.fixture
def drawn() -> Any:
    """Draws a figure."""

    def draw(name: str, tables: Tables, spec: Mapping[str, Any] = SPEC) -> Figure:
        return figure_of(name, tables, spec)

    yield draw
    plt.close("all")


def panel(figure: Figure, row: str, column: str) -> Axes:
    """The panel in the row with this label on its left (its first line) and the column with this one below, its spaces
    being those of one line."""
    grid = {(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start): ax for ax in figure.axes}
    last = max(place for place, _ in grid)
    (at,) = [place for (place, side), ax in grid.items() if side == 0 and ax.get_ylabel().split("\n")[0] == row]
    (below,) = [
        side for (place, side), ax in grid.items() if place == last and " ".join(ax.get_xlabel().split()) == column
    ]
    return grid[at, below]


def marks(axes: Axes) -> dict[float, float]:
    """y → x of the markers of means."""
    lines = [line for line in axes.lines if line.get_linestyle() == "None" and line.get_markersize() == 3.8]
    return {round(y, 9): x for line in lines for x, y in line.get_xydata()}


def expected(value: Callable[[int, int], float], lines: int, series: int) -> dict[float, float]:
    """y → x where line i has its series j at ``value(i, j)``; what is no number is not drawn."""
    step = 0.84 / series
    places = {(i, j): round(i + (j - (series - 1) / 2) * step, 9) for i, j in product(range(lines), range(series))}
    return {y: value(*place) for place, y in places.items() if not math.isnan(value(*place))}


RECORDS: dict[int, tuple[pd.DataFrame, list[dict[Any, Any]]]] = {}
"""Of each table that was asked, which is kept so that no other takes its place."""


def mean(table: pd.DataFrame, column: str, **labels: Any) -> float:
    """Over the rows with these labels, one by one."""
    if id(table) not in RECORDS:
        RECORDS[id(table)] = table, table.to_dict("records")
    rows = RECORDS[id(table)][1]
    found = [row[column] for row in rows if all(row[key] == what for key, what in labels.items())]
    return sum(found) / len(found) if found else math.nan


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_written_in_three_formats(name: str, tmp_path: Path) -> None:
    few = claims().model_copy(update={"claims": claims().claims[8:]})
    todo = job(tmp_path, name, made((3,), ONE), {**SPEC, "settings": ["a-mlp"], "claims": few})
    render(todo)
    magic = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for kind, path in todo.outputs.items():
        assert path.read_bytes().startswith(magic[kind])
    assert b"seed" in todo.outputs["svg"].read_bytes() or name == "claims", "how the spread is shown is said"


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_reads_what_its_row_names(name: str) -> None:
    assert what_is_read(name, made(), SPEC) == (set(FIGURES[name].tables), set(FIGURES[name].shows))


def without_values(table: pd.DataFrame) -> pd.DataFrame:
    """With every other number missing."""
    numbers = [name for name in table.select_dtypes("float") if name != "value" or "measure" in table]
    return table.assign(**{name: table[name].where(np.arange(len(table)) % 2 == 0) for name in numbers})


ONE = ("a-mlp", "a-sam")
SMALL = {**SPEC, "settings": ["b-mlp"], "study": {**SPEC["study"], "controls": {}}}
HARD: dict[str, tuple[Callable[[], Tables], dict[str, Any]]] = {
    "one seed and setting, no controls": (lambda: made((3,), ("b-mlp",)), SMALL),
    "missing values": (lambda: {name: without_values(table) for name, table in made(settings=ONE).items()}, SPEC),
    "no values": (lambda: {name: emptied(table) for name, table in made(settings=ONE).items()}, SPEC),
    "no rows": (lambda: {name: table.iloc[:0] for name, table in made().items()}, SPEC),
}


def emptied(table: pd.DataFrame) -> pd.DataFrame:
    numbers = [name for name in table.select_dtypes("float") if name != "value" or "measure" in table]
    return table.assign(**dict.fromkeys(numbers, math.nan))


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", NAMES)
def test_no_study_is_too_small(name: str, case: str, drawn: Any) -> None:
    tables, spec = HARD[case]
    figure = drawn(name, tables(), spec)
    assert figure.get_figheight() <= 240 / 25.4
    if case == "missing values":
        figure.draw_without_rendering()
    if case == "no rows":
        assert name == "claims" or (not figure.axes and figure.texts), "it says why it is empty"


ATTACKS = [
    ("loss attack: accuracy (%)", "unlearning", "membership_accuracy", 100),
    ("likelihood-ratio attack: area under the curve", "membership", "lira_auc", 1),
]


def test_attacks_show_means_and_the_retrained_model(drawn: Any) -> None:
    tables = made()
    figure = drawn("attacks", tables)
    names, methods = CHECKPOINTS, ["original", "ascent", "scrub"]
    for setting, (column, table, value, factor) in product(SETTINGS, ATTACKS):
        axes = panel(figure, setting, column)
        here = tables[table]
        here = here[(here.setting == setting) & (here.forget_set == "within-50")]

        def x(i: int, j: int, here: pd.DataFrame = here, value: str = value, factor: int = factor) -> float:
            return factor * mean(here, value, method=methods[i], checkpoint=names[j])

        assert marks(axes) == pytest.approx(expected(x, 3, 4))
        ideal = {name: factor * mean(here, value, method="retrain", checkpoint=name) for name in names}
        strokes = [path.vertices[:, 0] for part in axes.collections for path in part.get_paths() if len(path) == 2]
        shown = {round(float(ends[0]), 6) for ends in strokes if ends[0] == ends[1]}
        assert {round(one, 6) for one in ideal.values() if not math.isnan(one)} <= shown


def test_attacks_can_do_without_the_table_of_likelihood_ratios(drawn: Any) -> None:
    tables = made()
    del tables["membership"]
    figure = drawn("attacks", tables)
    assert len({ax.get_subplotspec().colspan.start for ax in figure.axes}) == 2


def test_matched_forgetting_shows_what_the_chosen_candidates_lose_and_who_does_not_get_there(drawn: Any) -> None:
    tables = made()
    table = tables["matched"]
    late = (table.level == "chance") & (table.method == "scrub")
    table = table[
        ~(late & (table.checkpoint == "early")) & ~(late & (table.checkpoint == "grokked") & (table.seed == 5))
    ]
    figure = drawn("matched", {**tables, "matched": table})
    assert len(figure.axes) == 2 * 3
    for place, (setting, level) in enumerate(product(SETTINGS, ("retrained", "ten-percent", "chance"))):
        here = table[(table.setting == setting) & (table.level == level) & table.chosen]

        def x(i: int, j: int, here: pd.DataFrame = here) -> float:
            return 100 * mean(here, "collateral", method=METHODS[2:][i], checkpoint=CHECKPOINTS[j])

        assert marks(figure.axes[place]) == pytest.approx(expected(x, 2, 3))
        hollow = [
            line.get_xdata()
            for line in figure.axes[place].lines
            if line.get_markersize() == 3.8 and line.get_markerfacecolor() == "white"
        ]
        assert sum(map(len, hollow)) == (level == "chance"), "one mean of one seed of two"


def test_batch_norms_show_every_kind_of_statistics_and_the_recalibrated_retrained_model(drawn: Any) -> None:
    tables = made()
    figure = drawn("batch-norm", tables)
    kinds = ("left", "frozen", "recalibrated")
    lines = list(product(("original", "ascent", "scrub"), kinds))
    for setting, name in product(SETTINGS, ("forget", "retain")):
        axes = panel(figure, setting, f"{name} accuracy (%)")
        here = tables["batch_norm"]
        here = here[(here.setting == setting) & (here.forget_set == "within-50")]

        def x(i: int, j: int, here: pd.DataFrame = here, name: str = name) -> float:
            method, kind = lines[i]
            labels = {"method": method, "statistics": kind, "checkpoint": CHECKPOINTS[j]}
            return 100 * mean(here, f"{name}_accuracy", **labels)

        assert marks(axes) == pytest.approx(expected(x, 9, 4))
        ideal = here[(here.method == "retrain") & (here.statistics == "recalibrated")]
        strokes = [path.vertices[:, 0] for part in axes.collections for path in part.get_paths() if len(path) == 2]
        shown = {round(float(ends[0]), 6) for ends in strokes if ends[0] == ends[1]}
        means = 100 * ideal.groupby("checkpoint")[f"{name}_accuracy"].mean()
        assert {round(float(one), 6) for one in means} == shown
    labels = [label.get_text() for label in panel(figure, "a-mlp", "forget accuracy (%)").get_yticklabels()]
    assert labels[2:5] == ["(before), recalibrated", "ascent, left", "ascent, frozen"]


def test_controls_stand_beside_the_checkpoints_of_their_setting(drawn: Any) -> None:
    tables = made()
    figure = drawn("controls", tables)
    assert len(figure.axes) == 4, "only the setting and forget set that have controls"
    cells = tables["unlearning"]
    cells = cells[cells.forget_set == "within-50"]
    series = [*(("a-mlp", name) for name in CHECKPOINTS), ("a-sam", "matched"), ("a-flat", "matched")]
    for column, value in [("forget accuracy (%)", "forget_accuracy"), ("retain accuracy (%)", "retain_accuracy")]:

        def x(i: int, j: int, value: str = value) -> float:
            setting, checkpoint = series[j]
            return 100 * mean(cells, value, method=METHODS[2 + i], setting=setting, checkpoint=checkpoint)

        assert marks(panel(figure, "a-mlp", column)) == pytest.approx(expected(x, 2, 6))


LEVERS = {
    "a-muon": {"of": "a-mlp", "name": "induced-muon"},
    "a-grokfast": {"of": "a-mlp", "name": "induced-grokfast-ema"},
    "a-stablemax": {"of": "a-mlp", "name": "induced-stablemax"},
    "a-sam": {"of": "a-mlp", "name": "sam"},
}
INDUCED_SPEC = {**SPEC, "study": {**SPEC["study"], "controls": LEVERS}}


def of_levers() -> Tables:
    """Two methods and four seeds of ``grokked``, which the levers are by hand-made amounts above or below."""
    base = {("ascent", seed): 0.3 + 0.1 * seed for seed in range(4)} | {("scrub", seed): 0.2 for seed in range(4)}
    rows = []
    for setting, checkpoint, more in [
        ("a-mlp", "grokked", (0, 0, 0, 0)),
        ("a-mlp", "early", (0.5, 0.5, 0.5, 0.5)),
        ("a-muon", "matched", (0.02, 0.04, 0.06, 0.08)),
        ("a-grokfast", "matched", (-0.1, math.nan, -0.3, math.nan)),
        ("a-sam", "matched", (0.4, 0.4, 0.4, 0.4)),
    ]:
        for (method, seed), value in [*base.items(), *((("retrain", seed), 0.9) for seed in range(4))]:
            where = {"setting": setting, "seed": seed, "forget_set": "within-50", "checkpoint": checkpoint}
            # The methods differ by as much in both directions: their mean is the amount.
            forget = value + more[seed] + (0.01 if method == "ascent" else -0.01) * (checkpoint == "matched")
            rows.append({**where, "method": method, "forget_accuracy": forget, "retain_accuracy": value - more[seed]})
    return {"unlearning": pd.DataFrame(rows)}


def drawn_at(axes: Axes, name: str) -> list[float]:
    """x of the line of this name; empty where it is not drawn."""
    return [float(x) for line in axes.lines if line.get_gid() == name for x in line.get_xdata()]


def test_a_lever_is_compared_with_waited_for_grokking_seed_by_seed(drawn: Any) -> None:
    figure = drawn("induced", of_levers(), INDUCED_SPEC)
    forget, retain = figure.axes
    assert [label.get_text() for label in forget.get_yticklabels()] == ["muon", "grokfast-ema", "stablemax"]
    assert drawn_at(forget, "seeds induced-muon") == pytest.approx([2, 4, 6, 8])
    assert drawn_at(retain, "seeds induced-muon") == pytest.approx([-2, -4, -6, -8])
    assert drawn_at(forget, "mean induced-muon") == pytest.approx([5])
    # Deviations -3, -1, 1, 3: variance 20 / 3; t of 3 degrees of freedom is 3.18245 at 97.5 %.
    half = 3.182446 * math.sqrt(20 / 3 / 4)
    assert drawn_at(forget, "interval induced-muon") == pytest.approx([5 - half, 5 + half])
    assert drawn_at(forget, "seeds induced-grokfast-ema") == pytest.approx([-10, -30]), "of the seeds that have both"
    assert drawn_at(forget, "mean induced-stablemax") == []
    assert [text.get_text() for text in forget.texts] == ["n = 4", "n = 2", "no seed has both"]


def test_the_figure_of_levers_reads_what_its_row_names() -> None:
    row = FIGURES["induced"]
    assert what_is_read("induced", of_levers(), INDUCED_SPEC) == (set(row.tables), set(row.shows))


def test_the_figure_of_levers_says_why_it_is_empty(drawn: Any) -> None:
    figure = drawn("induced", made(), SPEC)
    assert [text.get_text() for text in figure.texts] == ["no setting has a lever"]


def test_the_spread_is_the_standard_deviation_over_seeds() -> None:
    _, axes = plt.subplots()
    values = {1: 2.0, 2: 3.0, 3: 7.0}
    rows = pd.DataFrame([{"line": "m", "series": "early", "seed": k, "value": v} for k, v in values.items()])
    dots.draw_dots(axes, rows, ["m"], dots.looks(["early"], MEANINGS))
    (bar,) = [path.vertices[:, 0] for part in axes.collections for path in part.get_paths() if len(path) == 2]
    # Deviations from 4: -2, -1, 3, so the variance is 14 / 2.
    assert sorted(bar) == pytest.approx([4 - math.sqrt(7), 4 + math.sqrt(7)])
    assert marks(axes) == pytest.approx({0.0: 4.0})
    each = [part for part in axes.collections if len(part.get_offsets()) == 3]
    assert sorted(each[0].get_offsets()[:, 0]) == [2, 3, 7]
    plt.close("all")


def test_robustness_before_and_after_at_each_radius(drawn: Any) -> None:
    tables = made()
    figure = drawn("robustness", tables)
    values = tables["analysis"]
    stages, columns = (
        ["before", "ascent", "scrub"],
        {"no attack": "", "attack ε = 0.02": "0.02", "attack ε = 0.1": "0.1"},
    )
    titles = [" ".join(ax.get_xlabel().split()) for ax in figure.axes[-4:-1]]
    assert titles == [f"accuracy (%), {title}" for title in columns], "radii grow"
    for setting, (title, part) in product(SETTINGS, columns.items()):
        axes = panel(figure, setting, f"accuracy (%), {title}")

        def x(i: int, j: int, part: str = part, setting: str = setting) -> float:
            measure = "worst_accuracy" if part else "clean_accuracy"
            labels = {"setting": setting, "measure": measure, "part": part, "checkpoint": CHECKPOINTS[j]}
            return 100 * mean(values, "value", stage=stages[i], **labels)

        assert marks(axes) == pytest.approx(expected(x, 3, 4))


def test_zero_gradients_have_a_column_only_where_there_are_some(drawn: Any) -> None:
    tables = made(settings=ONE)
    values = tables["analysis"]
    zero = values.measure == "zero_gradients"
    tables["analysis"] = values.assign(value=values.value.where(~zero, 0.0))
    figure = drawn("robustness", tables)
    assert len(figure.axes) == 3
    assert "no input gradient was exactly zero" in figure.get_suptitle()
    tables["analysis"].loc[values.index[zero][0], "value"] = 1 / 128
    figure = drawn("robustness", tables)
    assert len(figure.axes) == 4
    assert "no input gradient" not in figure.get_suptitle()


def test_relearning_that_does_not_get_there_is_hollow(drawn: Any) -> None:
    tables = made()
    values = tables["analysis"]
    missed = (values.setting == "b-mlp") & (values.analysis == "again") & (values.stage == "scrub")
    missed &= (values.checkpoint == "grokked") & (values.seed == 5)
    values.loc[missed & (values.measure == "relearned"), "value"] = 0.0
    values.loc[missed & (values.measure == "relearn_updates"), "value"] = BUDGET
    figure = drawn("relearning", tables)
    axes = panel(figure, "b-mlp", "updates until the forget loss is nearly back")
    again = values[(values.analysis == "again") & (values.measure == "relearn_updates")]

    def x(i: int, j: int) -> float:
        return mean(again, "value", setting="b-mlp", stage=METHODS[2 + i], checkpoint=CHECKPOINTS[j])

    assert marks(axes) == pytest.approx(expected(x, 2, 4))
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [tuple(line.get_xdata()) for line in hollow] == [pytest.approx((x(1, 2),))]
    assert marks(panel(figure, "a-mlp", "JS divergence, forget set (nats)")) == pytest.approx(
        expected(
            lambda i, j: mean(
                values,
                "value",
                **{"setting": "a-mlp", "stage": METHODS[2 + i], "checkpoint": CHECKPOINTS[j]},
                **{"measure": "js_divergence", "part": "forget"},
            ),
            2,
            4,
        )
    )


POINTS = {"a": (10, 50), "b": (20, 20), "c": (20, 30), "d": (30, 20), "e": (40, -1), "f": (60, 5), "g": (20, 20)}
"""b beats c, d; e beats f; g is as good as b."""


def test_a_front_holds_what_no_candidate_beats() -> None:
    points = pd.DataFrame([{"name": name, "x": x, "y": y} for name, (x, y) in POINTS.items()])
    assert sorted(figure_pareto.front(points).name) == ["a", "b", "e", "g"]
    assert list(figure_pareto.front(points).x) == [10, 20, 20, 40]
    assert figure_pareto.front(points.iloc[:0]).empty


def test_candidates_are_means_over_the_reported_seeds_and_their_choice_is_ringed(drawn: Any) -> None:
    tables = made()
    # A figure is not given flagged rows.
    tables["tuning"] = tables["tuning"][(tables["tuning"].value != 1.0) | (tables["tuning"].seed != 5)]
    figure = drawn("pareto", tables)
    tuning = tables["tuning"][tables["tuning"].seed != 99]
    assert [ax.get_title() for ax in figure.axes[:2]] == METHODS[2:]
    axes = figure.axes[3]  # the second row and column: b-mlp, scrub
    for checkpoint in CHECKPOINTS[:3]:
        here = {"setting": "b-mlp", "method": "scrub", "checkpoint": checkpoint}
        points = {}
        for value in (0.01, 0.1, 1.0):
            lost = [mean(tuning, f"retain_accuracy{end}", value=value, **here) for end in ("_before", "")]
            points[value] = (100 * mean(tuning, "forget_accuracy", value=value, **here), 100 * (lost[0] - lost[1]))
        ring, start, front = (
            next(line for line in axes.lines if line.get_gid() == f"{what} {checkpoint}")
            for what in ("chosen", "start", "front")
        )
        assert ring.get_xydata().tolist() == [pytest.approx(points[0.1])]
        starts = [mean(tuning, "forget_accuracy_before", value=value, **here) for value in points]
        assert start.get_xydata().tolist() == [pytest.approx((100 * np.mean(starts), 0))]
        best = [
            (x, y)
            for x, y in sorted(points.values())
            if not any(u <= x and v <= y and (u, v) != (x, y) for u, v in points.values())
        ]
        assert front.get_xydata() == pytest.approx(np.array(best))
        shown = [
            (*line.get_xydata()[k], line.get_markerfacecolor() == "white")
            for line in axes.lines
            if line.get_markersize() == 3.8 and line.get_color() == dots.CHECKPOINTS[checkpoint]["color"]
            for k in range(len(line.get_xdata()))
        ]
        wanted = [(*point, value == 1.0) for value, point in points.items()]
        assert sorted(shown) == [pytest.approx(one) for one in sorted(wanted)]


def test_designs_show_paired_differences_averaged_over_methods(drawn: Any) -> None:
    tables = made(seeds=(3, 5, 7))
    cells = tables["unlearning"]
    figure = drawn("designs", tables)
    labels = [
        label.get_text() for label in panel(figure, "b-mlp", "difference in forget accuracy (points)").get_yticklabels()
    ]
    assert labels[1] == "random-15\n(random)"
    axes = panel(figure, "b-mlp", "difference in retain accuracy (points)")

    def seeds(design: int, other: str) -> list[float]:
        here = {"setting": "b-mlp", "forget_set": list(FORGET_SETS)[design]}
        return [
            sum(
                100 * mean(cells, "retain_accuracy", seed=seed, method=method, checkpoint="grokked", **here)
                - 100 * mean(cells, "retain_accuracy", seed=seed, method=method, checkpoint=other, **here)
                for method in ("ascent", "scrub")
            )
            / 2
            for seed in (3, 5, 7)
        ]

    for offset, other in ((-0.18, "memorised"), (0.18, "early")):
        for design in range(3):
            values = np.array(seeds(design, other))
            assert marks(axes)[round(design + offset, 9)] == pytest.approx(values.mean())
            (bar,) = [
                line.get_xdata()
                for line in axes.lines
                if line.get_linestyle() == "-" and np.allclose(line.get_ydata(), design + offset)
            ]
            # Two-sided 95 % with two degrees of freedom: t = 4.302653.
            half = 4.302653 * values.std(ddof=1) / math.sqrt(3)
            assert list(bar) == pytest.approx([values.mean() - half, values.mean() + half], rel=1e-6)


def test_designs_of_two_forget_sets_are_no_comparison(drawn: Any) -> None:
    tables = made()
    cells = tables["unlearning"]
    tables["unlearning"] = cells[(cells.setting != "a-mlp") | (cells.forget_set != "random-15")]
    figure = drawn("designs", tables)
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["b-mlp"]
    assert figure_designs.FEWEST == 3


def test_claims_show_effects_in_their_units_and_what_was_predicted(drawn: Any) -> None:
    tables = made()
    figure = drawn("claims", tables)
    tests = tables["claims"]
    told = [claim for claim in claims().claims if any(test.decides for test in claim.tests)]
    assert len(figure.axes) == len(told)
    for axes, claim in zip(figure.axes, told, strict=True):
        deciding = [test for test in claim.tests if test.decides]
        effects = [line for line in axes.lines if line.get_gid() == "effect"]
        intervals = [line for line in axes.lines if line.get_gid() == "interval"]
        singles = [line for line in axes.lines if line.get_gid() == "setting b-mlp"]
        for number, test in enumerate(deciding):
            here = {"claim": claim.id, "test": test.name}
            factor = 100 if test.unit == "points" else 1
            assert effects[number].get_xdata() == pytest.approx([factor * mean(tests, "effect", setting="all", **here)])
            ends = [factor * mean(tests, end, setting="all", **here) for end in ("low", "high")]
            assert list(intervals[number].get_xdata()) == pytest.approx(ends)
            assert singles[number].get_xdata() == pytest.approx(
                [factor * mean(tests, "effect", setting="b-mlp", **here)]
            )
            none = 1.0 if test.statistic == "sd-ratio" else 0.0
            left, right = axes.patches[number].get_x(), axes.patches[number].get_x() + axes.patches[number].get_width()
            if test.direction == "equal":
                assert (left, right) == pytest.approx((-factor * test.margin, factor * test.margin))
            else:
                assert {"lower": right, "higher": left}[test.direction] == pytest.approx(none)
                assert {"lower": left < none, "higher": right > none}[test.direction]
            verdict = tests[(tests.claim == claim.id) & (tests.test == test.name)].verdict.iloc[0]
            assert effects[number].get_marker() == figure_claims.VERDICTS[verdict]["marker"]
            assert effects[number].get_markerfacecolor() == figure_claims.VERDICTS[verdict].get(
                "markerfacecolor", figure_claims.VERDICTS[verdict]["color"]
            )


def test_a_claim_without_any_result_is_a_line_that_says_so(drawn: Any) -> None:
    tables = made()
    number = len(drawn("claims", tables).axes)
    untested = tables["claims"].claim == 10
    tables["claims"].loc[untested, ["effect", "low", "high"]] = math.nan
    tables["claims"].loc[untested, "verdict"] = "not tested here"
    figure = drawn("claims", tables)
    assert len(figure.axes) == number - 1
    said = [" ".join(text.get_text().split()) for text in figure.texts if text.get_text().startswith("10. ")]
    assert said[0].endswith(f"Not tested here: {claims().claims[9].why_not}")


def test_tests_without_a_result_say_so(drawn: Any) -> None:
    tables = made()
    untested = tables["claims"].test == claims().claims[7].deciding[0].name
    tables["claims"].loc[untested, ["effect", "low", "high"]] = math.nan
    tables["claims"].loc[untested, "verdict"] = "not tested here"
    axes = drawn("claims", tables).axes[7]
    assert "not tested here" in [text.get_text() for text in axes.texts]
    assert len([line for line in axes.lines if line.get_gid() == "effect"]) == 1


def test_claims_whose_runs_do_not_count_say_why_they_are_undecided(drawn: Any) -> None:
    tables = made()
    lost = (tables["claims"].claim == 6) & (tables["claims"].setting == "all")
    tables["claims"].loc[lost, ["effect", "low", "high"]] = math.nan
    tables["claims"].loc[lost, ["verdict", "why"]] = ["undecided", "0 pairs left of 9"]
    texts = [text.get_text() for text in drawn("claims", tables).axes[5].texts]
    assert "undecided: 0 pairs left of 9" in texts


def test_claims_show_the_same_against_memorised(drawn: Any) -> None:
    tables = made()
    tests = tables["claims"]
    with_tests = [claim for claim in claims().claims if claim.deciding]
    number = 0
    for axes, claim in zip(drawn("claims", tables).axes, with_tests, strict=True):
        others = [claim.with_memorised(test) for test in claim.deciding]
        wanted = [other for test, other in zip(claim.deciding, others, strict=True) if other not in (None, test)]
        effects, intervals = (
            [line for line in axes.lines if line.get_gid() == f"{what} with memorised"]
            for what in ("effect", "interval")
        )
        assert len(effects) == len(intervals) == len(wanted)
        for effect, interval, other in zip(effects, intervals, wanted, strict=True):
            factor = 100 if other.unit == "points" else 1
            here = {"claim": claim.id, "test": other.name, "setting": "all"}
            assert effect.get_xdata() == pytest.approx([factor * mean(tests, "effect", **here)])
            ends = [factor * mean(tests, end, **here) for end in ("low", "high")]
            assert list(interval.get_xdata()) == pytest.approx(ends)
            verdict = tests[(tests.claim == claim.id) & (tests.test == other.name)].verdict.iloc[0]
            assert effect.get_marker() == figure_claims.VERDICTS[verdict]["marker"]
            low, high = axes.get_xlim()
            assert low <= min(ends) <= max(ends) <= high
            number += 1
    assert number > 9, "claims 1 to 9 have one each at least"


def test_tests_that_neither_decide_nor_replace_early_leave_no_trace(drawn: Any) -> None:
    tables = made()
    before = [ax.get_xlim() for ax in drawn("claims", tables).axes]
    others = {(claim.id, claim.with_memorised(test).name) for claim in claims().claims for test in claim.deciding}
    known = pd.MultiIndex.from_frame(tables["claims"][["claim", "test"]]).isin(others)
    beside = ~tables["claims"].decides & ~known
    tables["claims"].loc[beside, ["effect", "low", "high"]] = 50.0
    assert [ax.get_xlim() for ax in drawn("claims", tables).axes] == before


def test_explanations_show_every_coefficient_with_its_interval_and_units(drawn: Any) -> None:
    tables = made()
    table = tables["explanations"]
    figure = drawn("explanations", tables)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["a-mlp", "b-mlp", "all"]
    labels = [" ".join(label.get_text().split()) for label in figure.axes[0].get_yticklabels()]
    assert labels[: len(CANDIDATES)] == list(CANDIDATES)
    assert [label.partition(",")[0] for label in labels[len(CANDIDATES) :]] == ["past t_grok"] * 3
    for axes, setting in zip(figure.axes, ["a-mlp", "b-mlp", "all"], strict=True):
        gone = f"{34 + len(setting)} snapshots\n{5 + len(setting)} checkpoints"
        assert axes.get_xlabel() == f"without a collateral:\n{gone}"
        for units in ("snapshots", "checkpoints"):
            here = table[(table.setting == setting) & (table.units == units) & (table.level == "chance")]
            here = here.dropna(subset=["correlation"])
            for what, rows in (("plain", here[here.given == ""]), ("partial", here[here.given != ""])):
                shown = {
                    tuple(line.get_xydata()[0]): line for line in axes.lines if line.get_gid() == f"{what} {units}"
                }
                assert sorted(x for x, _ in shown) == pytest.approx(sorted(rows.correlation))
                hollow = {line.get_markerfacecolor() == "white" for line in shown.values()}
                assert hollow == {what == "partial"}
                for x, y in shown:
                    row = rows[np.isclose(rows.correlation, x)].iloc[0]
                    predictor = labels[round(y)].partition(",")[0]
                    assert predictor == row.predictor
                    (ends,) = [
                        line.get_xdata()
                        for line in axes.lines
                        if line.get_gid() == f"interval {what}" and line.get_ydata()[0] == y
                    ]
                    assert list(ends) == pytest.approx([row.low, row.high])
                    near = [text.get_text() for text in axes.texts if abs(text.get_position()[1] - y) < 0.2]
                    assert [str(row.n) in text.split("/") for text in near] == [True], (
                        "beside it, how many units it is of"
                    )
        assert [line for line in axes.lines if list(line.get_xdata()) == [0, 0]], "where there is no correlation"
        ys = [
            (line.get_gid().split()[-1], *line.get_xydata()[0][1:])
            for line in axes.lines
            if line.get_linestyle() == "None"
        ]
        assert len(set(ys)) == len(ys), "no mark is on another one's height"


def test_explanations_of_one_setting_have_no_mean_of_settings(drawn: Any) -> None:
    tables = made((3,), ("b-mlp",))
    tables["explanations"] = tables["explanations"].assign(low=math.nan, high=math.nan)
    figure = drawn("explanations", tables, SMALL)
    assert [axes.get_title() for axes in figure.axes] == ["b-mlp\nwithin-50"]
    assert not [line for line in figure.axes[0].lines if "interval" in (line.get_gid() or "")], "one seed has none"


def test_every_verdict_has_a_mark() -> None:
    """A verdict that the figure does not know would pass for not tested."""
    source = Path(figure_claims.__file__).parents[1] / "statistics" / "claims.py"
    (line,) = [line for line in source.read_text().splitlines() if line.startswith("SUPPORTED, CONTRADICTED")]
    assert line.partition(" = ")[2] == ", ".join(
        f'"{name}"' for name in [*figure_claims.VERDICTS, figure_claims.UNTESTED]
    )


def test_looks_follow_the_study_and_never_run_out() -> None:
    controls = {f"c{number}": {"of": "a-mlp", "name": f"control-{number}"} for number in range(8)}
    study = Meanings.model_validate({"controls": controls})
    styles = dots.looks(["strange", "grokked", *(f"control-{number}" for number in range(8))], study)
    assert list(styles) == ["grokked", *(f"control-{number}" for number in range(8)), "strange"]
    assert styles["control-1"] == dots.CONTROLS[1]
    many = {f"c{number}": {"of": "a-mlp", "name": f"control-{number}"} for number in range(20)}
    assert len(dots.looks([f"control-{n}" for n in range(20)], Meanings.model_validate({"controls": many}))) == 20


def test_as_many_controls_as_there_are_levers_are_told_apart() -> None:
    study = meanings(load_study(Path(__file__).parents[2] / "workflow" / "studies" / "levers.yaml"))
    styles = dots.looks(["early", "memorised", "grokked", *(one.name for one in study.controls.values())], study)
    assert len(styles) == 13
    assert len({style["color"] for style in styles.values()}) == len({str(style) for style in styles.values()}) == 13


@pytest.mark.parametrize(("count", "letters"), [(1, 8), (6, 8), (10, 8), (16, 22), (24, 22), (3, 200)])
def test_a_legend_is_in_two_rows_and_no_wider_than_the_page(count: int, letters: int) -> None:
    dots.set_small_style()
    figure, _ = dots.panels_of([3], 2)
    styles = {f"{number:0{letters}d}": dots.CONTROLS[number % len(dots.CONTROLS)] for number in range(count)}
    dots.key(figure, styles, {})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width or letters == 200
    two = -(-count // 2)
    assert legend._ncols == two if letters == 8 else legend._ncols < max(two, 2)
    plt.close(figure)
