"""What docs/ says of rules and tables, against Snakemake's own graph and the tables of the smoke study."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from pages import DOCS, code, read, rows, section
from snakemake_runs import REPOSITORY, Workspace

Arrows = set[tuple[str, str]]


def implied(arrows: Arrows) -> Arrows:
    """All pairs of which the second can be reached from the first."""
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in arrows if b == c} - reached:
        reached |= more
    return reached


def test_the_graph_of_rules_is_snakemake_s(tmp_path: Path) -> None:
    """Every arrow of the page is one of Snakemake's, and from those on the page all of Snakemake's follow."""
    done = Workspace(tmp_path).snakemake("--rulegraph", "mermaid-js", study=REPOSITORY / "config.yaml")
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", done.stdout))
    true = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    (graph,) = re.findall(r"^```mermaid\n(.*?)^```$", read(DOCS / "how-it-works.md"), re.MULTILINE | re.DOTALL)
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", graph, re.MULTILINE))
    assert len(drawn) == graph.count("-->") > 20
    assert drawn - true == set(), "not in the workflow"
    assert true - implied(drawn) == set(), "missing on the page"


PAGE = read(DOCS / "tables.md")
HEADINGS = {
    name: heading for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) for name in heading.split(" and ")
}


def test_every_column_of_every_table_is_explained(smoke: Workspace) -> None:
    files = sorted((smoke.folder / "results" / "smoke" / "tables").glob("*.parquet"))
    # Its models have no batch norms: tests/unit/test_batch_norm_cells.py compares that table's columns with the page.
    # Nor has it groups of a language model's examples or grids.
    others = {"batch_norm", "groups", "group_losses", "laws"}
    assert {file.stem for file in files} == {*HEADINGS} - others, "the smoke study has every other table"
    for file in files:
        told = code(section(PAGE, HEADINGS[file.stem]))
        assert set(pd.read_parquet(file).columns) - set(told) == set(), file.stem


def test_every_measure_is_explained(smoke: Workspace) -> None:
    patterns: dict[str, list[str]] = {}
    name = ""
    for analysis, measures, _, meaning in rows(section(PAGE, "The measures of the analyses")):
        # A row without an analysis belongs to the one above it.
        name = code(analysis)[0] if analysis else name
        patterns.setdefault(name, []).extend([*code(measures), *code(meaning)])
    for table in ("analysis", "along"):
        found = pd.read_parquet(smoke.folder / "results" / "smoke" / "tables" / f"{table}.parquet")
        for name, measure in found[["analysis", "measure"]].drop_duplicates().itertuples(index=False):
            assert any(fnmatchcase(measure, pattern) for pattern in patterns[name]), (name, measure)
