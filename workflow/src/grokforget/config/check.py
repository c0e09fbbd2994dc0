"""Check a study without running anything: ``python -m grokforget.config.check FILE``.

Snakemake itself reads a file given by ``--configfile`` first, and where that is no YAML at all says so without its
name; this names file and line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grokforget.config.loader import ConfigError, load_study


def main(arguments: list[str]) -> int:
    """Print what the study holds, or what is wrong with it; the exit status is 0 or 1."""
    (path,) = map(Path, arguments)
    try:
        study = load_study(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    cells = sum(len(study.checkpoints_of(setting)) for setting, _, _ in study.requests()) * len(study.methods)
    print(
        f"{path}: study {study.study!r} is valid: {len(study.settings)} settings, {len(study.seeds)} seeds, {cells} cells"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
