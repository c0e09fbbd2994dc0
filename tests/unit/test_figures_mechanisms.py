"""The figures of the analyses: what they plot, against the tables by another route, and tables with little in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figure_reads import figure_of, figure_spec, what_is_read
from grokforget.config.figures import FIGURES
from grokforget.config.specs.base import Meanings
from grokforget.figures import alignment as figure_alignment
from grokforget.figures import alignment_pairs as figure_alignment_pairs
from grokforget.figures import modules as figure_modules
from grokforget.figures.cka import shortened
from grokforget.figures.parts.curves import mean_curve, times
from grokforget.figures.parts.grid import settings_of
from grokforget.figures.parts.select import natural, of_each_group, of_kinds
from grokforget.figures.parts.style import CHECKPOINTS, SPLITS
from grokforget.jobs.render import render
from grokforget.runtime.files import write_table
from grokforget.runtime.job import Job

STUDY: dict[str, Any] = {
    "forget_sets": {name: {"kind": "random", "fraction": 0.1} for name in ("within", "half", "other")},
    "controls": {"mlp-sam": {"of": "mlp", "name": "sam"}},
    "analyses": {"g": "gradient-alignment", "k": "cka", "l": "local-complexity", "m": "module-model", "a": "ablation"},
    "references": ["original", "retrain"],
    "original": "original",
}
SPEC: dict[str, Any] = {
    "settings": ["mlp", "cnn"],
    "forget_sets": ["within", "half"],
    "along_forget_sets": ["within", "half"],
    "checkpoints": ["early", "grokked"],
    "methods": ["original", "retrain", "ascent"],
    "study": STUDY,
}
QUANTILES = {"q10": -0.2, "q50": 0.1, "q90": 0.4}
PAIRS = ("forget-retain", "forget-forget", "retain-retain")
SPLIT_NAMES = ("forget", "retain", "test")
STEPS = (1, 10, 100)
NAMES = ("alignment", "alignment-pairs", "cka", "complexity", "complexity-methods", "modules", "ablation")


def measured(after: bool) -> Iterator[tuple[str, str, str]]:
    """The (analysis, measure, part) that tables have."""
    for split in SPLIT_NAMES:
        yield "l", "local_complexity", split
    if after:
        return
    for measure in figure_alignment.MEASURES:
        yield "g", measure, ""
    yield "g", "gradient_cosine", "layer.0"
    for kind in figure_alignment_pairs.KINDS:
        for quantile in QUANTILES:
            yield "g", f"{kind}_{quantile}", ""
    for measure in ("p", "rho", "predicted", "measured"):
        for pair in PAIRS:
            yield "m", f"module_{measure}", pair
    for kind in ("cka", "cka_control", "cka_unbiased", "cka_unbiased_control"):
        for layer in ("features.10", "features.2", "representation"):
            yield "k", kind, layer
    yield "k", "cka_rows", ""
    for split in SPLIT_NAMES:
        for part in ("none", "0.1/specific", "0.1/random", "0.1/random_sd", "0.05/specific", "0.05/random"):
            yield "a", "ablated_accuracy", f"{split}/{part}"


def tables(settings: tuple[str, ...] = ("mlp", "cnn", "mlp-sam"), seeds: int = 3) -> dict[str, pd.DataFrame]:
    """Values drawn at random, in (0, 1); of the forget set ``within``, too, which no figure shows."""
    random = np.random.default_rng(0)
    before, along, checkpoints = [], [], []
    for setting in settings:
        control = setting in STUDY["controls"]
        for seed in range(seeds):
            for checkpoint in ["matched"] if control else SPEC["checkpoints"]:
                for forget_set in ("within", "half"):
                    here = {"setting": setting, "seed": seed, "forget_set": forget_set, "checkpoint": checkpoint}
                    for stage in ("before", "retrain", "ascent"):
                        before += [(*here.values(), stage, *what) for what in measured(after=stage != "before")]
                # Of one seed there is a checkpoint more.
                for name in [checkpoint] if seed else [checkpoint, f"{checkpoint}-again"]:
                    checkpoints.append((setting, "full", seed, name, 10.0 * (seed + 1), 50.0 * (seed + 1)))
            if not control:
                ways = [(setting, seed, name, step) for name in ("within", "half") for step in STEPS]
                along += [(*way, *what) for way in ways for what in measured(after=False) if what[0] in "glm"]
    labels = ["setting", "seed", "forget_set"]
    values = ["analysis", "measure", "part"]
    made = {
        "analysis": pd.DataFrame(before, columns=[*labels, "checkpoint", "stage", *values]),
        "along": pd.DataFrame(along, columns=[*labels, "step", *values]),
    }
    made = {name: table.assign(value=random.uniform(0.01, 0.99, len(table))) for name, table in made.items()}
    noisy = made["along"].measure == "gradient_cosine_is_noise"
    made["along"].loc[noisy, "value"] = (made["along"].step[noisy] == 10).astype(float)
    of_runs = ["setting", "train_set", "seed", "checkpoint", "t_mem", "t_grok"]
    return {**made, "checkpoints": pd.DataFrame(checkpoints, columns=of_runs)}


@pytest.fixture(scope="module")
def whole() -> dict[str, pd.DataFrame]:
    return tables()


@pytest.fixture(scope="module")
def figures(whole: dict[str, pd.DataFrame]) -> Iterator[dict[str, Figure]]:
    yield {name: drawn(name, whole) for name in NAMES}
    plt.close("all")


@pytest.mark.parametrize("name", [name for name in NAMES if "along" in FIGURES[name].tables])
def test_a_figure_of_runs_without_snapshots_along_training_is_drawn(name: str, whole: dict[str, pd.DataFrame]) -> None:
    """Of no setting, or of one: runs that diverge before their first update have none."""
    along = whole["along"]
    for there in ([], ["cnn"]):
        of_some = drawn(name, {**whole, "along": along[along.setting.isin(there)]})
        titles = {axes.get_title().partition("\n")[0] for axes in of_some.axes} - {""}
        assert titles == ({"mlp", "cnn"} if name == "modules" else set(there))
    plt.close("all")


def drawn(name: str, given: Mapping[str, pd.DataFrame], **changes: Any) -> Figure:
    return figure_of(name, given, {**SPEC, **changes})


def value(table: pd.DataFrame, **labels: Any) -> np.ndarray:
    """The values of the forget set that is shown, sorted by seed."""
    for name, label in {"forget_set": "half", **labels}.items():
        table = table[table[name] == label]
    return table.sort_values("seed").value.to_numpy()


def titled(figure: Figure, text: str) -> list[Axes]:
    return [axes for axes in figure.axes if text in axes.get_title()]


def lines(axes: Axes, color: str, **wanted: Any) -> list[Line2D]:
    """Of this colour, width or marker."""
    found = [line for line in axes.lines if same_color(line.get_color(), color)]
    return [line for line in found if all(getattr(line, f"get_{key}")() == its for key, its in wanted.items())]


def hollow(line: Line2D) -> bool:
    return same_color(line.get_markerfacecolor(), "white")


def points(line: Line2D) -> np.ndarray:
    return np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_and_setting_without_controls_and_with_missing_values(name: str, tmp_path: Path) -> None:
    """In the three formats; one value in four is missing, and all of another setting, which has no panel."""
    given = tables(("mlp", "cnn"), seeds=1)
    for table in ("analysis", "along"):
        rows = given[table]
        rows.loc[(rows.setting == "cnn") | (rows.index % 4 == 0), "value"] = np.nan
    given["checkpoints"][["t_mem", "t_grok"]] = np.nan
    for table in FIGURES[name].tables:
        write_table(tmp_path / f"{table}.parquet", given[table])
    outputs = {kind: tmp_path / f"figure.{kind}" for kind in ("svg", "pdf", "png")}
    inputs = {table: [tmp_path / f"{table}.parquet"] for table in FIGURES[name].tables}
    spec = figure_spec(name, {**SPEC, "study": {**STUDY, "controls": {}}})
    render(Job(inputs=inputs, outputs=outputs, spec=spec))
    for kind, beginning in {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}.items():
        assert outputs[kind].read_bytes().startswith(beginning)
    written = outputs["svg"].read_text()
    assert ">mlp" in written
    assert ">cnn" not in written
    assert ">sam<" not in written
    assert "mem" not in written.replace("memorised", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_reads_what_its_row_names(name: str, whole: dict[str, pd.DataFrame]) -> None:
    assert what_is_read(name, whole, SPEC) == (set(FIGURES[name].tables), set(FIGURES[name].shows))


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_without_anything_to_show_says_so(name: str, whole: dict[str, pd.DataFrame]) -> None:
    figure = drawn(name, {table: rows.iloc[:0] for table, rows in whole.items()})
    assert not figure.axes
    assert words(figure).startswith("no ")


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_without_the_analysis_has_no_panel(
    name: str, whole: dict[str, pd.DataFrame], figures: dict[str, Figure]
) -> None:
    some = {table: rows[rows.setting != "cnn"] for table, rows in whole.items()}
    figure = drawn(name, some)
    assert "mlp" in words(figure)
    assert "cnn" not in words(figure)
    assert "cnn" in words(figures[name])
    plt.close(figure)


@pytest.mark.parametrize("name", NAMES)
def test_the_forget_set_that_is_shown_is_written(name: str, figures: dict[str, Figure]) -> None:
    assert "half" in words(figures[name])
    assert "within" not in words(figures[name]).replace("within the retain set", "")


@pytest.mark.parametrize("name", ["alignment-pairs", "cka", "complexity-methods", "modules"])
def test_controls_stand_beside_the_checkpoints(name: str, figures: dict[str, Figure]) -> None:
    shown = [text.get_text() for text in figures[name].findobj(plt.Text)]
    assert "sam" in shown
    assert not {"mlp-sam", "matched"} & set(shown)


def test_the_rows_of_a_kind() -> None:
    labels = ["setting", "forget_set", "checkpoint", "analysis"]
    rows = pd.DataFrame(
        [
            ("mlp", "within", "early", "second"),
            ("mlp", "half", "early", "second"),
            ("mlp", "other", "early", "second"),
            ("cnn", "other", "early", "second"),
            ("mlp-sam", "half", "matched", "second"),
            ("mlp-sam", "other", "matched", "second"),
            ("cnn", "half", "early", "unlike"),
        ],
        columns=labels,
    ).assign(value=1.0)
    rows.loc[len(rows)] = ["mlp", "half", "early", "second", np.nan]
    kinds = {"second": "cka", "unlike": "ablation"}
    shown = of_kinds(rows, ["cka"], Meanings.model_validate({**STUDY, "analyses": kinds}), ["within", "half"])
    assert [tuple(row) for row in shown[labels].to_numpy()] == [
        ("mlp", "half", "early", "second"),
        ("cnn", "other", "early", "second"),
        ("mlp", "half", "sam", "second"),
    ]


def test_layers_are_in_the_order_of_their_numbers() -> None:
    names = ["representation", "features.10", "zoom.1", "features.2", "features.2"]
    assert natural(names) == ["features.2", "features.10", "zoom.1", "representation"]


def test_a_mean_curve_is_interpolated_in_log_step_where_all_seeds_are() -> None:
    runs = pd.DataFrame(
        [(0, 0, 9.0), (0, 1, 0.0), (0, 100, 2.0), (1, 10, 3.0), (1, 1000, 5.0), (1, 5, np.nan), (2, 1, np.nan)],
        columns=["seed", "step", "value"],
    )
    steps, mean = mean_curve(runs)
    np.testing.assert_allclose(steps[[0, -1]], [10, 100])
    # Seed 0 is log10(step), seed 1 is 2 + log10(step).
    np.testing.assert_allclose(mean, 1 + np.log10(steps))


def test_a_geometric_mean_curve() -> None:
    runs = pd.DataFrame(
        [(0, 1, 1e-4), (0, 100, 1.0), (1, 1, 1e-2), (1, 100, 1e-2), (1, 10, 0.0)], columns=["seed", "step", "value"]
    )
    steps, mean = mean_curve(runs, geometric=True)
    np.testing.assert_allclose(mean, np.sqrt(1e-4 * steps**2 * 1e-2))


@pytest.mark.parametrize("rows", [[], [(0, 1, 1.0), (0, 2, 1.0), (1, 5, 1.0)]])
def test_no_mean_curve_where_seeds_share_no_step(rows: list[tuple[int, int, float]]) -> None:
    steps, mean = mean_curve(pd.DataFrame(rows, columns=["seed", "step", "value"]))
    assert len(steps) == len(mean) == 0


def test_times_are_medians_over_seeds(whole: dict[str, pd.DataFrame]) -> None:
    other = whole["checkpoints"].assign(train_set="without-half", t_mem=1e6)
    found = times(pd.concat([other, whole["checkpoints"]]), "mlp")
    assert found == {"t_mem": 20.0, "t_grok": 100.0}


def test_alignment_shows_cosines_noise_and_lengths(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    figure = figures["alignment"]
    (above,), below = titled(figure, "cnn"), figure.axes[-1]
    seeds = {
        step: value(whole["along"], setting="cnn", step=step, measure="gradient_cosine", part="") for step in STEPS
    }
    (mean,) = lines(above, color="#000000", linewidth=1.6)
    np.testing.assert_allclose(points(mean)[[0, -1]], [(step, seeds[step].mean()) for step in (1, 100)])
    for measure, dashed in (("gradient_cosine_control", False), ("pair_cosine_mean_control", True)):
        (control,) = [line for line in lines(above, color="0.6", linewidth=1.1) if line.is_dashed() == dashed]
        ends = [value(whole["along"], setting="cnn", step=step, measure=measure).mean() for step in (1, 100)]
        np.testing.assert_allclose(points(control)[[0, -1], 1], ends)
    assert "two parts of the retain set" in words(figure)
    noise, full = (
        np.concatenate([points(line) for line in lines(above, "0.15", marker="o") if hollow(line) == is_noise])
        for is_noise in (True, False)
    )
    np.testing.assert_allclose(np.sort(noise, axis=0), [(10, one) for one in np.sort(seeds[10])])
    assert sorted(full[:, 1]) == sorted([*seeds[1], *seeds[100]])
    for split in ("forget", "retain"):
        (length,) = lines(below, color=SPLITS[split]["color"], linewidth=1.6)
        ends = [value(whole["along"], setting="cnn", step=s, measure=f"{split}_gradient_norm") for s in (1, 100)]
        np.testing.assert_allclose(points(length)[[0, -1], 1], [np.prod(end) ** (1 / 3) for end in ends])
    assert below.get_yscale() == "log"
    for axes in (above, below):
        upright = {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
        assert {20.0, 100.0} <= upright


def test_alignment_pairs_shows_quantiles(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    figure = figures["alignment-pairs"]
    (axes,) = titled(figure, "mlp")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["early", "grokked", "sam"]
    colour = figure_alignment_pairs.KINDS["forget_pair_cosine"]["color"]
    low, middle, high = (
        value(whole["analysis"], setting="mlp-sam", stage="before", measure=f"forget_pair_cosine_{q}")
        for q in QUANTILES
    )
    bar, median = lines(axes, color=colour, linewidth=4.5)[2], lines(axes, color=colour, marker="s")[2]
    np.testing.assert_allclose(points(bar)[:, 0], [low.mean(), high.mean()])
    np.testing.assert_allclose(points(median)[:, 0], [middle.mean()])
    each = [
        points(line) for line in axes.lines if line.get_marker() == "|" and line.get_ydata()[0] == bar.get_ydata()[0]
    ]
    np.testing.assert_allclose(np.sort(np.concatenate(each)[:, 0]), np.sort([*low, *middle, *high]))


@pytest.mark.parametrize(("row", "ending"), [(0, ""), (1, "_unbiased")])
def test_cka_shows_means_by_layer(
    whole: dict[str, pd.DataFrame], figures: dict[str, Figure], row: int, ending: str
) -> None:
    axes = np.reshape(figures["cka"].axes, (2, 2))[row, 1]
    order = ["features.2", "features.10", "representation"]
    for measure, is_hollow, colour in ((f"cka{ending}", False, "#000000"), (f"cka{ending}_control", True, "0.6")):
        of = {"setting": "cnn", "checkpoint": "grokked", "stage": "before", "measure": measure}
        seeds = np.array([value(whole["analysis"], part=layer, **of) for layer in order])
        found = [line for line in lines(axes, color=colour, marker="^") if hollow(line) == is_hollow]
        np.testing.assert_allclose(points(found[0])[:, 1], seeds.mean(1))
        if not is_hollow:
            bars = [bar for bar in segments(axes) if np.isclose(bar[:, 1].mean(), seeds[0].mean())]
            np.testing.assert_allclose(bars[0][:, 1], seeds[0].mean() + seeds[0].std(ddof=1) * np.array([-1, 1]))


def segments(axes: Axes) -> list[np.ndarray]:
    """The error bars."""
    return [one for bars in axes.collections for one in bars.get_segments()]  # type: ignore[attr-defined]


def test_complexity_shows_means(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    (axes,) = titled(figures["complexity"], "mlp")
    for split in SPLIT_NAMES:
        (mean,) = lines(axes, color=SPLITS[split]["color"], linewidth=1.6)
        ends = [value(whole["along"], setting="mlp", step=step, analysis="l", part=split) for step in (1, 100)]
        np.testing.assert_allclose(points(mean)[[0, -1], 1], np.mean(ends, axis=1))


def test_complexity_methods_shows_means(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    panels = np.reshape(figures["complexity-methods"].axes, (2, 3))
    names = ["(before)", "retrain", "ascent"]
    assert [label.get_text() for label in panels[0, 0].get_yticklabels()] == names
    for axes, split in zip(panels[0], SPLIT_NAMES, strict=True):
        of = {"setting": "mlp", "checkpoint": "early", "analysis": "l", "part": split}
        wanted = [value(whole["analysis"], stage=stage, **of).mean() for stage in ("before", "retrain", "ascent")]
        marked = [points(line) for line in lines(axes, color=CHECKPOINTS["early"]["color"], marker="o")]
        found = np.concatenate(marked)
        np.testing.assert_allclose(found[np.argsort(found[:, 1]), 0], wanted)


def test_modules_shows_every_seed_and_the_curves(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    panels = np.reshape(figures["modules"].axes, (5, 2))
    for axes, pair in zip(panels[:3, 1], PAIRS, strict=True):
        of = {"setting": "cnn", "checkpoint": "early", "stage": "before", "part": pair}
        (line,) = lines(axes, color=CHECKPOINTS["early"]["color"], marker="o")
        wanted = [value(whole["analysis"], measure=f"module_{which}", **of) for which in ("predicted", "measured")]
        np.testing.assert_allclose(points(line), 100 * np.array(wanted).T)
        assert axes.get_xlim() == axes.get_ylim()
    for row, measure in ((3, "module_p"), (4, "module_rho"), (4, "module_predicted"), (4, "module_measured")):
        (mean,) = lines(panels[row, 1], color=figure_modules.CURVES[measure]["color"], linewidth=1.6)
        of = {"setting": "cnn", "measure": measure, "part": "forget-retain"}
        ends = [value(whole["along"], step=step, **of).mean() for step in (1, 100)]
        np.testing.assert_allclose(points(mean)[[0, -1], 1], 100 * np.array(ends))


def test_modules_without_checkpoints_shows_the_curves_alone(whole: dict[str, pd.DataFrame]) -> None:
    shown = [axes.axison for axes in drawn("modules", {**whole, "analysis": whole["analysis"].iloc[:0]}).axes]
    assert shown == [False] * 6 + [True] * 4


def test_ablation_shows_accuracies_by_share(whole: dict[str, pd.DataFrame], figures: dict[str, Figure]) -> None:
    figure = figures["ablation"]
    axes = np.reshape(figure.axes, (2, 2))[1, 0]
    assert [one.get_title() for one in figure.axes[:2]] == ["early", "grokked"]
    for removed, face in (("specific", False), ("random", True)):
        of = {"setting": "cnn", "checkpoint": "early", "stage": "before", "measure": "ablated_accuracy"}
        parts = ["retain/none", f"retain/0.05/{removed}", f"retain/0.1/{removed}"]
        wanted = [100 * value(whole["analysis"], part=part, **of).mean() for part in parts]
        found = lines(axes, color=SPLITS["retain"]["color"], marker="o")
        (line,) = [line for line in found if hollow(line) == face]
        np.testing.assert_allclose(points(line), np.column_stack([[0, 5, 10], wanted]))


def test_long_names_of_layers_are_told_without_the_folder_that_all_lie_in() -> None:
    phi = ["model.layers.0", "model.layers.0.mlp.activation_fn", "model.layers.1", "representation"]
    assert shortened(phi) == ("layer of model.layers", ["0", "0.mlp.activation_fn", "1", "representation"])
    for names in (["features.1", "features.3", "representation"], []):
        assert shortened(names) == ("layer", names)


def test_groups_of_examples_are_shown_each_by_itself() -> None:
    """Those of which there is something; other settings as ever, by the forget set that is preferred."""
    rule = {"kind": "local-grokking", "pairs": 4}
    sets = {"early": {**rule, "group": "early"}, "late": {**rule, "group": "late"}, "any": {**rule, "group": "random"}}
    study = Meanings.model_validate({"forget_sets": {**sets, "few": {"kind": "random"}}, "analyses": {"alike": "cka"}})
    cells = [("phi", "early"), ("phi", "late"), ("phi", "any"), ("mlp", "few"), ("mlp", "any")]
    table = pd.DataFrame(
        [{"setting": one, "forget_set": name, "seed": 0, "analysis": "alike", "value": 1.0} for one, name in cells]
    )
    shown = of_each_group(table, ["cka"], study, ["few"])
    assert sorted(zip(shown.setting, shown.forget_set, strict=True)) == [
        ("mlp", "few"), ("phi\nearly", "early"), ("phi\nlate", "late")
    ]  # fmt: skip
    assert settings_of(shown, ["phi", "mlp"]) == ["phi\nearly", "phi\nlate", "mlp"]
