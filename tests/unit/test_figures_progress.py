"""The figure of progress measures: what it plots, against the tables by another route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from figure_reads import figure_of, what_is_read
from grokforget.config.figures import FIGURES
from grokforget.config.specs.figures import FigureSpec, figure_item
from grokforget.figures.progress import LOOKS, PANELS
from small import small

SPEC: dict[str, Any] = {
    "settings": ["mlp", "cnn", "unseen"],
    "study": {
        "analyses": {"w": "weights", "f": "fourier", "h": "hessian", "u": "active-units", "l": "local-complexity"}
    },
}
MEASURED = {
    ("w", "weight_norm"): [""],
    ("w", "last_layer_norm"): [""],
    ("w", "effective_rank"): ["features.10.weight", "features.2.weight"],
    ("w", "matrix_norm"): ["features.2.weight"],
    ("u", "active_share"): ["train", "test"],
    ("h", "top_eigenvalue"): [""],
    ("l", "local_complexity"): ["retain", "test"],
    ("f", "restricted_loss"): ["train", "test"],
}
STEPS, SEEDS = (1, 10, 100), (0, 1, 2)


def tables() -> dict[str, pd.DataFrame]:
    """Drawn in (0, 1); of the setting ``cnn`` nothing of a group, and of ``mlp`` requests to forget too, which are not shown."""
    draw = np.random.default_rng(0).random
    along, training, runs = [], [], []
    for setting in ("mlp", "cnn"):
        for seed in SEEDS:
            run = {"setting": setting, "seed": seed}
            runs += [{**run, "train_set": name, "t_mem": 8.0 + seed, "t_grok": 60.0} for name in ("full", "without-a")]
            for step in STEPS:
                for name in ("full", "without-a"):
                    accuracies = {f"{part}_accuracy": draw() for part in ("train", "test")}
                    training.append({**run, "train_set": name, "step": step, **accuracies})
                for (analysis, measure), parts in MEASURED.items():
                    for forget_set in ("full", *(["a"] if measure == "local_complexity" else [])):
                        named = {
                            **run,
                            "forget_set": forget_set,
                            "step": step,
                            "analysis": analysis,
                            "measure": measure,
                        }
                        of_group = setting == "mlp" or measure != "restricted_loss"
                        along += [{**named, "part": part, "value": draw()} for part in parts if of_group]
    return {"along": pd.DataFrame(along), "training": pd.DataFrame(training), "runs": pd.DataFrame(runs)}


@pytest.fixture(scope="module")
def drawn() -> Iterator[Figure]:
    figure = figure_of("progress", tables(), SPEC)
    yield figure
    plt.close(figure)


def panel(figure: Figure, label: str, column: int = 0) -> Axes:
    (row,) = (number for number, axes in enumerate(figure.axes[::2]) if axes.get_ylabel() == label)
    return figure.axes[2 * row + column]


def thick(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linewidth() > 1 and len(line.get_xdata())]


def test_it_reads_what_its_row_names() -> None:
    assert what_is_read("progress", tables(), SPEC) == ({"along", "runs", "training"}, {"settings", "study"})


def test_a_row_is_a_measure_that_there_is_and_a_column_a_setting(drawn: Figure) -> None:
    labels = [axes.get_ylabel() for axes in drawn.axes[::2]]
    shown = {measure for _, measure in MEASURED} | {"accuracy"}
    assert labels == [one.label for one in PANELS if shown & {*one.measures}]
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["mlp", "cnn"]
    assert all(axes.get_xscale() == "log" for axes in drawn.axes)
    assert drawn.axes[0].get_shared_x_axes().joined(drawn.axes[0], drawn.axes[-2]), "one clock"


def test_seeds_are_thin_and_their_mean_is_thick(drawn: Figure) -> None:
    rows = tables()["along"]
    rows = rows[(rows.setting == "mlp") & (rows.measure == "active_share") & (rows.part == "test")]
    axes = panel(drawn, "share of units\nactive")
    seeds = [line.get_ydata() for line in axes.lines if line.get_linewidth() == 0.4]
    for _, one in rows.groupby("seed"):
        assert any(np.array_equal(one.value, line) for line in seeds)
    (line,) = (line for line in thick(axes) if line.get_ydata()[0] == pytest.approx(rows[rows.step == 1].value.mean()))
    assert line.get_ydata()[-1] == pytest.approx(rows[rows.step == 100].value.mean())


def test_accuracies_are_percents_of_the_run_on_the_full_train_set(drawn: Figure) -> None:
    rows = tables()["training"]
    rows = rows[(rows.setting == "mlp") & (rows.train_set == "full") & (rows.step == 1)]
    ends = [line.get_ydata()[0] for line in thick(drawn.axes[0])]
    assert ends == pytest.approx([100 * rows[f"{part}_accuracy"].mean() for part in ("test", "train")])


def test_of_local_complexity_only_the_run_itself_is_shown(drawn: Figure) -> None:
    rows = tables()["along"]
    rows = rows[(rows.measure == "local_complexity") & (rows.setting == "mlp") & (rows.step == 1)]
    axes = panel(drawn, "local complexity")
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["train", "test"]
    run = rows[rows.forget_set == "full"].groupby("part").value.mean()
    assert [line.get_ydata()[0] for line in thick(axes)] == pytest.approx([run["retain"], run["test"]])


def test_times_are_marked_in_every_panel(drawn: Figure) -> None:
    for axes in drawn.axes:
        upright = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_zorder() == 1]
        assert upright == [9.0, 60.0], axes.get_ylabel()


def test_what_a_setting_does_not_have_is_said(drawn: Figure) -> None:
    axes = panel(drawn, "loss with key\nwaves alone", column=1)
    assert [text.get_text() for text in axes.texts] == ["not measured here"]
    assert not thick(axes)


def test_of_many_matrices_their_mean_is_drawn() -> None:
    given = tables()
    row = {"setting": "mlp", "seed": 0, "forget_set": "full", "analysis": "w", "measure": "stable_rank"}
    count = len(LOOKS) + 1
    many = [{**row, "step": step, "part": f"{n}.weight", "value": n * step} for n in range(count) for step in (1, 10)]
    given["along"] = pd.concat([given["along"], pd.DataFrame(many)], ignore_index=True)
    figure = figure_of("progress", given, SPEC)
    axes = panel(figure, "stable rank")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"mean of {count}"]
    assert [line.get_ydata()[-1] for line in thick(axes)] == [pytest.approx(10 * (count - 1) / 2)]
    plt.close(figure)


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    given = tables()
    given["along"].loc[(given["along"].measure == "top_eigenvalue") & (given["along"].step == 1), "value"] = -1.0
    figure = figure_of("progress", given, SPEC)
    axes = panel(figure, "top eigenvalue\nof the Hessian")
    assert {x for line in axes.lines if line.get_linewidth() == 0.4 for x in line.get_xdata()} == {10, 100}
    plt.close(figure)


def test_without_analyses_of_runs_it_says_so() -> None:
    given = tables()
    given["along"] = given["along"][given["along"].forget_set != "full"]
    figure = figure_of("progress", given, SPEC)
    told = [text.get_text() for text in figure.findobj(Text)]
    assert "no analyses of runs themselves along training in this study" in told
    plt.close(figure)


def test_it_is_told_of_settings_from_which_nothing_is_unlearned_too() -> None:
    study = small(analyses__weights={"kind": "weights"})
    looked_at = study.settings["mlp"].model_copy(update={"unlearn": False})
    study = study.model_copy(update={"settings": {**study.settings, "other": looked_at}})
    spec = figure_item(study, "progress").spec
    assert isinstance(spec, FigureSpec)
    assert spec.settings == ["mlp", "other"]
    assert spec.study.analyses == {"weights": "weights"}
    assert FIGURES["progress"].every_setting
