"""``python -m grokforget detect CURVE.csv``: when the run of a log memorised and grokked."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ENDINGS = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("curves", type=Path, nargs="*", metavar="CURVE", help="CSV, JSON lines, JSON or Parquet")
    parser.add_argument("--train", type=Path, metavar="FILE", help="train accuracy alone, as TensorBoard exports it")
    parser.add_argument("--test", type=Path, metavar="FILE", help="test accuracy alone")
    for name in ("step", "train", "test", "run"):
        parser.add_argument(f"--{name}-column", metavar="NAME", help="guessed by its name, where it is not told")
    parser.add_argument("--classes", type=int, help="chance is 1 in so many; without it 0")
    parser.add_argument("--unit", choices=("guess", "share", "percent"), default="guess", help="of the accuracies")
    parser.add_argument(
        "--duplicates",
        choices=("refuse", "last", "first", "mean"),
        default="refuse",
        help="what counts of a step that comes again; by default the last, and where most steps do it is refused",
    )
    parser.add_argument("--memorised", type=float, default=0.99, help="train accuracy at t_mem (0.99)")
    parser.add_argument("--sustained", type=int, default=3, help="evaluations in a row that must hold (3)")
    parser.add_argument("--json", action="store_true", help="print an object a run, for programs")
    parser.add_argument("--figure", type=Path, help="the drawing, .png, .pdf or .svg (CURVE.detected.png)")
    parser.add_argument("--no-figure", action="store_true", help="draw nothing")


def wrong(options: argparse.Namespace) -> str:
    """What is wrong with the options; empty where nothing is."""
    if bool(options.train) != bool(options.test) or bool(options.curves) == bool(options.train):
        return "give either files of curves, or both --train FILE and --test FILE"
    if options.classes is not None and options.classes < 2:
        return f"--classes {options.classes}: 2 or more are wanted"
    if not 0 < options.memorised <= 1:
        return f"--memorised {options.memorised}: a share above 0, up to 1, is wanted"
    if options.sustained < 1:
        return f"--sustained {options.sustained}: 1 or more are wanted"
    if options.figure and options.figure.suffix.lower() not in ENDINGS:
        return f"--figure {options.figure}: one of {', '.join(ENDINGS)} is wanted"
    return ""


def run(options: argparse.Namespace) -> int:
    """Read the logs, print what they say and draw them; the exit status is 1 where that cannot be."""
    if problem := wrong(options):
        print(problem, file=sys.stderr)
        return 1
    # Only now: the other commands do without pandas.
    from grokforget.detect.columns import Asked
    from grokforget.detect.logs import read_log, read_two
    from grokforget.detect.refusal import LogError
    from grokforget.detect.report import overview, page, row_of
    from grokforget.grokking.detection import detect

    asked = Asked(*(getattr(options, f"{name}_column") for name in ("step", "train", "test", "run")))
    how = {"unit": options.unit, "duplicates": options.duplicates}
    try:
        if options.curves:
            logs = [(path, log) for path in options.curves for log in read_log(path, asked, **how)]
        else:
            logs = [(options.test, log) for log in read_two(options.train, options.test, asked, **how)]
    except LogError as error:
        print(error, file=sys.stderr)
        return 1
    several = len({path for path, _ in logs}) > 1
    found = {}
    for path, log in logs:
        name = ": ".join([*([str(path)] if several or not log.run else []), *([log.run] if log.run else [])])
        measured = detect(
            log.train,
            log.test,
            chance=1 / options.classes if options.classes else 0.0,
            memorised=options.memorised,
            sustained=options.sustained,
            diverged=log.diverged,
        )
        found[name] = log, measured
    if options.json:
        print("\n".join(json.dumps({**row_of(log, one), "run": name}) for name, (log, one) in found.items()))
    else:
        ((name, (log, one)), *more) = found.items()
        print(overview(found) if more else page(name, log, one))
        starts = max(float(log.test.accuracy[0]) for log, _ in found.values())
        if options.classes is None and starts > 0.2:
            print(
                f"note: test accuracy begins at {starts:.0%}; the kind takes chance for 0: `--classes N` says how many "
                "classes there are"
            )
    return 0 if options.no_figure else draw(options, found)


def draw(options: argparse.Namespace, found: dict) -> int:
    """The figure, beside the (first) log."""
    from grokforget.detect.drawing import figure, save

    beside = options.curves[0] if options.curves else options.test
    path = options.figure or beside.with_name(f"{beside.stem}.detected.png")
    try:
        save(figure(found), path)
    except OSError as error:
        print(f"{path}: {error.strerror or error}; name another place with --figure.", file=sys.stderr)
        return 1
    if not options.json:
        print(f"drawn: {path}")
    return 0
