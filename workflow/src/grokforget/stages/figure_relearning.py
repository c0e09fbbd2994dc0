"""How soon what was forgotten comes back, and how far the outputs are from the retrained model's."""

from __future__ import annotations

import pandas as pd

from grokforget.results.dots import (
    HOLLOW,
    IDEAL,
    MEAN,
    draw_dots,
    key,
    looks,
    nothing,
    panels_of,
    retrained,
    set_small_style,
    unlearned,
)
from grokforget.results.inspected import dotted
from grokforget.results.style import save
from grokforget.stages.job import Job
from grokforget.storage import read_table

MEASURES = {
    "relearn_updates near": "updates until the forget\nloss is nearly back",
    "relearn_updates accuracy": "updates until the forget\naccuracy is back",
    "js_divergence forget": "JS divergence,\nforget set (nats)",
    "js_divergence test": "JS divergence,\ntest set (nats)",
}
"""Column → its axis."""


def draw(job: Job) -> None:
    """A row a setting, a line a method: updates of relearning, and the Jensen-Shannon divergence of the outputs from the
    retrained model's; mean and standard deviation over seeds, on the last of the forget sets that were analysed.

    Hollow where some seed did not get there within its budget, so that the mean is a lower bound. Reads ``tables``
    (analysis); spec: ``settings``, ``checkpoints``, ``methods``, ``study``.
    """
    set_small_style()
    spec = job.spec
    values = marked(dotted(read_table(job.input("tables")), ["relearning", "distance"], spec["study"]))
    values = values[values.setting.isin(spec["settings"])]
    settings = [name for name in spec["settings"] if name in set(values.setting)]
    wanted = [name for name in MEASURES if name in set(values.column)]
    if not settings or not wanted:
        return nothing(job, "neither relearning nor distances were analysed")
    lines, styles = unlearned(spec), looks(values.series, spec["study"])
    figure, panels = panels_of([len(lines) * len(styles)] * len(settings), len(wanted))
    for row, setting in zip(panels, settings, strict=True):
        for axes, column in zip(row, wanted, strict=True):
            here = values[(values.setting == setting) & (values.column == column)]
            if here.empty:
                axes.set_axis_off()
                continue
            relearns = column.startswith("relearn")
            # The retrained model's divergence from itself is 0.
            ideal = here[here.line.isin(retrained(spec))] if relearns else None
            draw_dots(axes, here, lines, styles, ideal, bound=relearns)
        row[0].set_ylabel(f"{setting}\n{values.forget_set[values.setting == setting].iloc[0]}")
    for axes, column in zip(panels[-1], wanted, strict=True):
        axes.set_xlabel(MEASURES[column])
    key(figure, styles, {**MEAN, **IDEAL, "not back in some seed (lower bound)": HOLLOW})
    figure.suptitle("Relearning, and the Jensen-Shannon (JS) divergence of the outputs from the retrained model's")
    save(figure, job.outputs)


def marked(values: pd.DataFrame) -> pd.DataFrame:
    """With ``open``: relearn updates of a run that did not get there."""
    keys = ["setting", "seed", "forget_set", "checkpoint", "stage", "part"]
    missed = values[(values.measure == "relearned") & (values.value == 0)][keys].drop_duplicates()
    flags = values[keys].merge(missed, on=keys, how="left", indicator="found").found.eq("both").to_numpy()
    return values.assign(open=flags & (values.measure == "relearn_updates"))
