"""Where the time of a study went, from its logs: ``python -m benchmarks.utilisation results/laptop CORES``.

Useful is what a job's function took; starting Python, imports and Snakemake's own work are not. The wall time runs
from the start of the first job to the end of the last, so it means something for a study that ran in one go.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

LAST_LINE = re.compile(
    r"^(\S+ \S+) INFO ([^/\s]+)\S*: imports (\S+) s, work (\S+) s, (?:in all \S+ s, )?peak memory (\S+) MB$",
    re.MULTILINE,
)


def report(root: Path, cores: int) -> str:
    """A line a kind of job, and the sums."""
    kinds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    begins, ends = [], []
    for path in (root / "logs").rglob("*.log"):
        for stamp, kind, imports, work, memory in LAST_LINE.findall(path.read_text(encoding="utf-8")):
            ended = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")
            begins.append(ended - timedelta(seconds=float(imports) + float(work)))
            ends.append(ended)
            kinds[kind].append((float(work), float(memory)))
    wall = (max(ends) - min(begins)).total_seconds()
    useful = sum(work for jobs in kinds.values() for work, _ in jobs)
    lines = [f"{'job':22}{'jobs':>6}{'useful s':>10}{'peak MB':>9}"]
    for kind, jobs in sorted(kinds.items(), key=lambda item: -sum(work for work, _ in item[1])):
        lines.append(f"{kind:22}{len(jobs):6}{sum(work for work, _ in jobs):10.1f}{max(mb for _, mb in jobs):9.0f}")
    lines.append(f"wall {wall:.0f} s x {cores} cores, useful {useful:.0f} s: {useful / (wall * cores):.0%}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]), int(sys.argv[2])))
