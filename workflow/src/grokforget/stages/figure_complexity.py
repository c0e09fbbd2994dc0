"""Local complexity along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from grokforget.results.along import LEGEND, dash, draw_runs, mark_times
from grokforget.results.dots import empty, set_small_style
from grokforget.results.inspected import of_kinds
from grokforget.results.panels import grid, heading, legend, settings_of, settled
from grokforget.results.style import SPLITS, save
from grokforget.stages.job import Job
from grokforget.storage import read_table

KIND = "local-complexity"
LOOKS = {
    "retain": SPLITS["retain"],
    "forget": SPLITS["forget"],
    "test": {**SPLITS["test"], "linestyle": (0, (1, 1.2))},
}


def draw(job: Job) -> None:
    """Reads ``tables`` (along, checkpoints); spec: ``settings``, ``swept`` (forget sets), ``study``."""
    along, checkpoints = map(read_table, job.inputs["tables"])
    save(settled(figure(along, checkpoints, job.spec)), job.outputs)


def figure(along: pd.DataFrame, checkpoints: pd.DataFrame, spec: Mapping[str, Any]) -> Figure:
    """A panel a setting: neurons that change sign near a point, mean over points of retain, forget and test set, against the
    snapshot's step. Only networks with ReLU have it."""
    set_small_style()
    rows = of_kinds(along[along.measure == "local_complexity"], [KIND], spec["study"], spec["swept"])
    settings = settings_of(rows, spec["settings"])
    if not settings:
        return empty("no local complexity along training in this study (networks without ReLU have none)")
    drawn, panels = grid(1, len(settings), 56)
    for axes, setting in zip(panels[0], settings, strict=True):
        of_setting = rows[rows.setting == setting]
        for split, look in LOOKS.items():
            draw_runs(axes, of_setting[of_setting.part == split], look)
        mark_times(axes, checkpoints, setting, named=True)
        axes.set_title(heading(rows, setting), pad=13)
        axes.set_xlabel("training step")
    panels[0, 0].set_ylabel("local complexity\n(neurons that change sign)")
    drawn.suptitle("local complexity along training")
    lines = {f"{split} set": {"linewidth": 1.6, **dash(look)} for split, look in LOOKS.items()}
    legend(drawn, {**lines, LEGEND: {"linestyle": "none"}})
    return drawn
