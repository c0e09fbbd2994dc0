"""``python -m faults [--faults N] [--seed S]``: inject faults into a small study, and report how many runs ended
identical. The exit status is 0 if all did."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.harness import Harness, Outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=104, help="how many; the kinds take turns")
    parser.add_argument("--seed", type=int, default=0, help="decides moments and victims")
    parser.add_argument(
        "--workers", type=int, default=2, help="runs at once; each takes two cores at times, one on average"
    )
    parser.add_argument("--only", type=int, nargs="*", help="only the faults of these numbers")
    options = parser.parse_args()
    began = time.monotonic()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder) / "faults", options.seed)
        print(f"undisturbed: {len(harness.jobs)} jobs, {harness.duration:.0f} s", flush=True)
        with ThreadPoolExecutor(options.workers) as pool:
            for outcome in pool.map(harness.run, options.only or range(options.faults)):
                outcomes.append(outcome)
                print(outcome, flush=True)
    print(report(outcomes))
    print(f"{(time.monotonic() - began) / 60:.0f} minutes")
    return 0 if all(outcome.identical for outcome in outcomes if outcome.ran) else 1


def report(outcomes: list[Outcome]) -> str:
    """A line a kind, and the sum."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    ran = [outcome for outcome in outcomes if outcome.ran]
    for outcome in ran:
        kinds[outcome.kind].append(outcome)
    lines = [f"\n{'fault':30}{'runs':>6}{'hit':>6}{'identical':>11}{'commands after it':>19}"]
    for kind, of_kind in kinds.items():
        hit, identical = sum(one.hit for one in of_kind), sum(one.identical for one in of_kind)
        tries = sum(one.tries for one in of_kind) / len(of_kind)
        lines.append(f"{kind:30}{len(of_kind):6}{hit:6}{identical:11}{tries:19.1f}")
    identical = sum(outcome.identical for outcome in ran)
    lines.append(f"{identical} of {len(ran)} runs ended with tables identical to the undisturbed run's")
    if len(ran) < len(outcomes):
        lines.append(f"{len(outcomes) - len(ran)} NOT RUN, see above")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
