"""Running Snakemake on a study in a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SMOKE = REPOSITORY / "workflow" / "studies" / "smoke.yaml"
SMALL = REPOSITORY / "tests" / "small.yaml"
CODE = ("Snakefile", "config.yaml", "requirements.lock", "requirements-hub.lock", "workflow", "profiles", "envs")


@dataclass
class Workspace:
    """A checkout and a folder that its results go to; ``variables`` stand in place of this process's environment."""

    folder: Path
    repository: Path = REPOSITORY
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    born: int = field(default_factory=time.time_ns)
    """What was made before was copied here."""

    def snakemake(
        self, *arguments: object, study: Path | None = SMOKE, check: bool = True, **where: object
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; stdout and stderr together. Raises AssertionError with the output where ``check`` fails."""
        done = subprocess.run(
            self.command(*arguments, study=study, **where),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            # A run that never ends must not keep the tests from ending; the longest takes a few minutes.
            timeout=1800,
        )
        done.stdout += done.stderr
        assert not check or done.returncode == 0, done.stdout
        return done

    def command(
        self,
        *arguments: object,
        study: Path | None = SMOKE,
        cores: int | None = 2,
        snakefile: Path | None = None,
    ) -> list[str]:
        """The command line; ``cores`` None leaves their number to a cluster's profile."""
        configfile = ["--configfile", str(study)] if study else []
        options = ["--snakefile", str(snakefile or self.repository / "Snakefile"), "--directory", str(self.folder)]
        if cores is not None:
            options += ["--cores", str(cores)]
        return [sys.executable, "-m", "snakemake", *options, *map(str, arguments), *configfile]

    def environment(self) -> dict[str, str]:
        """The variables, less what would change how Snakemake runs."""
        return {
            name: value for name, value in self.variables.items() if not name.startswith(("PYTHONPATH", "SNAKEMAKE"))
        }

    def python(self, *arguments: object, told: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python -m grokforget` of the checkout, with ``told`` on its standard input."""
        done = subprocess.run(
            [sys.executable, "-m", "grokforget", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment(), "PYTHONPATH": str(self.repository / "workflow" / "src")},
            input=told,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def planned(self, *arguments: object, study: Path | None = SMOKE) -> Counter[str]:
        """How many jobs of each rule a dry run would run."""
        output = self.snakemake("--dry-run", *arguments, study=study).stdout
        stats = re.search(r"Job stats:\njob +count\n-+ +-+\n((?:\S+ +\d+\n)+)", output)
        if stats is None:
            assert "Nothing to be done" in output, output
            return Counter()
        lines = (line.split() for line in stats[1].splitlines())
        return Counter({rule: int(count) for rule, count in lines if rule not in ("all", "total")})

    def tables(self, study: str = "smoke") -> dict[str, bytes]:
        """The bytes of every table and paper table."""
        root = self.folder / "results" / study
        files = [*root.glob("tables/*.parquet"), *root.glob("paper/*")]
        return {path.name: path.read_bytes() for path in sorted(files)}


def copied(source: Path, target: Path) -> None:
    """As `cp -a` does it: with time stamps, and links that stay links to one file."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)
