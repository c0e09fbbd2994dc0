"""The environment of the jobs: this Python and this checkout, whether or not an environment is activated."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def lead_jobs_here() -> None:
    """Put this package and the running Python first in what child processes look through.

    The jobs run ``python -m grokforget``, so that `snakemake` works by its full path too and the package need not be installed.
    """
    first = {"PYTHONPATH": Path(__file__).parents[1], "PATH": Path(sys.executable).parent}
    for name, folder in first.items():
        places = [place for place in os.environ.get(name, "").split(os.pathsep) if place and place != str(folder)]
        os.environ[name] = os.pathsep.join([str(folder), *places])
