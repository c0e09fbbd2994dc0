"""What was found, in words and as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from grokforget.detect.logs import Log
from grokforget.grokking.detection import Crossing, Detection
from grokforget.statistics.rates import wilson

Found = tuple[Log, Detection]
SHOWN = {
    "run": "run",
    "kind": "kind",
    "t_mem": "t_mem",
    "t_grok_90": "t_grok 90 %",
    "t_grok_99": "t_grok 99 %",
    "t_grok": "t_grok",
    "gap": "gap",
    "gap_share": "gap / t_grok",
    "slope": "slope / decade",
    "t_derivative": "steepest",
    "t_sigmoid": "sigmoid",
    "disagreement": "apart (decades)",
    "test_accuracy": "test at the end",
}
"""The columns of the table of several runs, and what stands above them."""
STEPS = {"t_mem", "t_grok_90", "t_grok_99", "t_grok", "gap", "t_derivative", "t_sigmoid"}
OF_TRANSITION = ("t_grok", "gap", "gap_share", "slope")
"""Said of runs with a transition alone: one that generalised at once has no gap."""


def row_of(log: Log, found: Detection) -> dict[str, Any]:
    """Plain values by name, None for what did not happen. ``gap``, ``gap_share`` and ``slope`` are those at ``t_grok``."""
    levels = found.crossings.items()
    values: dict[str, Any] = {
        "run": log.run,
        "kind": found.kind,
        "transition": found.transition,
        "censored": found.censored,
        "last_step": found.last,
        "t_mem": found.memorised.time,
        "t_grok": found.t_grok,
        "t_grok_by": found.by,
        **{f"t_grok_{name}": one.time for name, one in levels},
        "gap": found.gap,
        **{f"gap_{name}": one.time - found.memorised.time for name, one in levels},
        "gap_share": found.gap_share,
        "slope": found.slope,
        "t_derivative": found.t_derivative,
        "t_sigmoid": found.t_sigmoid,
        "disagreement": found.disagreement,
        "plateau": found.plateau,
        "train_accuracy": found.train,
        "test_accuracy": found.test,
        "notes": said_of(log, found),
    }
    return {name: None if isinstance(one, float) and math.isnan(one) else one for name, one in values.items()}


def page(name: str, log: Log, found: Detection) -> str:
    """One run, a line a measure."""
    lines = {"run": name, "kind": found.kind}
    lines["t_mem (train accuracy)"] = when(found.memorised, found.last)
    for level, one in found.crossings.items():
        lines[f"t_grok (test {level} %)"] = when(one, found.last)
    if found.transition:
        if found.t_grok != found.crossings["90"].time:
            lines["t_grok"] = f"{steps(found.t_grok)}, {found.by}"
        gaps = {level: one.time - found.memorised.time for level, one in found.crossings.items()}
        told = [f"{steps(gap)} to {level} %" for level, gap in gaps.items() if not math.isnan(gap)]
        lines["gap"] = ", ".join(told) or steps(found.gap)
        slope = "" if math.isnan(found.slope) else f"; slope at t_grok {found.slope:.3g} per decade of steps"
        lines["sharpness"] = f"gap / t_grok {found.gap_share:.3f}{slope}"
        lines["detectors"] = (
            f"steepest rise {steps(found.t_derivative)}, sigmoid fit {steps(found.t_sigmoid)}"
            f", {'not to be compared' if math.isnan(found.disagreement) else apart(found.disagreement)}"
        )
    if found.censored:
        lines["censored"] = (
            f"no transition within the {steps(found.last)} steps of this log; it is no time and in no mean"
        )
    plateau = "" if math.isnan(found.plateau) else f"; test {found.plateau:.1%} after t_mem"
    lines["at the end"] = f"train {found.train:.1%}, test {found.test:.1%}{plateau}"
    width = max(map(len, lines))
    return "\n".join([*(f"{what:<{width}}  {said}" for what, said in lines.items()), *notes(said_of(log, found))])


def said_of(log: Log, found: Detection) -> list[str]:
    """The notes on a log and on what was read off it."""
    times = {"t_mem": found.memorised, **{f"t_grok at {name} %": one for name, one in found.crossings.items()}}
    early = [name for name, one in times.items() if not one.confirmed]
    said = list(log.notes)
    if found.memorised.time > 0 and math.isnan(found.memorised.previous):
        said.append("the log begins with its training data fitted: t_mem may be earlier, and the gap longer")
    if early:
        said.append(f"the log ends before as many evaluations as asked confirm {' and '.join(early)}")
    return said


def overview(found: Mapping[str, Found]) -> str:
    """Several runs, a line each, and how many grokked."""
    rows = [{**row_of(log, one), "run": name} for name, (log, one) in found.items()]
    table = pd.DataFrame(
        [{shown: cell(name, row[name], row) for name, shown in SHOWN.items()} for row in rows], dtype=object
    )
    count = sum(one.transition for _, one in found.values())
    low, high = wilson(count, len(found))
    share = f"{count} of {len(found)} runs had a transition after t_mem: {count / len(found):.0%}"
    lines = [
        table.to_markdown(index=False, disable_numparse=True),
        "",
        "Gap and slope are those at t_grok: 90 % test accuracy, or half way up where that is never reached.",
        f"{share} [{low:.0%}, {high:.0%}] (Wilson, 95 %); {sum(one.censored for _, one in found.values())} censored.",
    ]
    said = dict.fromkeys(f"{name}: {note}" for name, (log, one) in found.items() for note in said_of(log, one))
    return "\n".join([*lines, *notes(list(said))])


def cell(name: str, value: Any, row: Mapping[str, Any]) -> str:
    """A value of the table. A time that did not come by the end of a log is above its last step, unless the run diverged."""
    if name in OF_TRANSITION and not row["transition"]:
        return "–"
    if value is None:
        late = name in ("t_mem", "t_grok_90", "t_grok_99") and row["kind"] != "diverged"
        return f"> {steps(row['last_step'])}" if late else "–"
    if name in STEPS:
        return steps(value)
    return f"{value:.1%}" if name == "test_accuracy" else f"{value:.3g}" if isinstance(value, float) else str(value)


def when(one: Crossing, last: float) -> str:
    """A time, with the evaluation before it: what came between the two is not known."""
    if math.isnan(one.time):
        return f"not within {steps(last)} steps"
    before = "" if math.isnan(one.previous) else f" (before, at {steps(one.previous)}: {one.accuracy:.1%})"
    return f"{steps(one.time)}{before}"


def steps(value: float) -> str:
    """Steps, with commas."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def apart(decades: float) -> str:
    """How far two times are apart."""
    return f"{decades:.2g} decades apart (a factor of {10**decades:.3g})"


def notes(said: Sequence[str]) -> list[str]:
    """As lines below."""
    return [f"note: {one}" for one in said]
