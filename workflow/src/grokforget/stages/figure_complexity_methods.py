"""Local complexity before and after every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from grokforget.results.dots import BEFORE, MEAN, draw_dots, empty, key, looks, panels_of, set_small_style
from grokforget.results.inspected import of_kinds
from grokforget.results.panels import settings_of, settled
from grokforget.results.style import save
from grokforget.stages.job import Job
from grokforget.storage import read_table

KIND = "local-complexity"
PARTS = ("forget", "retain", "test")


def draw(job: Job) -> None:
    """Reads ``tables`` (analysis); spec: ``settings``, ``forget_sets``, ``checkpoints``, ``methods``, ``study``."""
    (analysis,) = map(read_table, job.inputs["tables"])
    save(settled(figure(analysis, job.spec)), job.outputs)


def figure(analysis: pd.DataFrame, spec: Mapping[str, Any]) -> Figure:
    """A row a setting, a column a set of examples, a line a method, a dot a checkpoint or control: neurons that change sign
    near a point, mean and standard deviation over seeds. Only networks with ReLU have it."""
    set_small_style()
    rows = of_kinds(analysis[analysis.measure == "local_complexity"], [KIND], spec["study"], spec["forget_sets"])
    settings = settings_of(rows, spec["settings"])
    if not settings:
        return empty("no local complexity in this study (networks without ReLU have none)")
    rows = rows.assign(line=rows.stage.replace("before", BEFORE), series=rows.checkpoint)
    lines = [name for name in (BEFORE, *spec["methods"]) if (rows.line == name).any()]
    styles = {setting: looks(of.series, spec["study"]) for setting, of in rows.groupby("setting")}
    drawn, panels = panels_of([len(styles[setting]) * len(lines) for setting in settings], len(PARTS), each=1.6)
    for row, setting in zip(panels, settings, strict=True):
        of_setting = rows[rows.setting == setting]
        for axes, part in zip(row, PARTS, strict=True):
            draw_dots(axes, of_setting[of_setting.part == part], lines, styles[setting])
            axes.tick_params(labelbottom=True)
        row[0].set_ylabel(f"{setting}\nforget set {of_setting.forget_set.iloc[0]}")
    for axes, part in zip(panels[0], PARTS, strict=True):
        axes.set_title(f"on the {part} set")
    for axes in panels[-1]:
        axes.set_xlabel("local complexity\n(neurons that change sign)")
    drawn.suptitle("local complexity before and after unlearning")
    key(drawn, looks(rows.series, spec["study"]), MEAN)
    return drawn
