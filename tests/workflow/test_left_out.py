"""Figures, paper tables and verdicts of a study of whose rows some, or all, do not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from grokforget.config.loader import load_study
from grokforget.config.specs.base import Item
from grokforget.config.specs.collect import COLLECTED
from grokforget.config.specs.figures import figure_item, figures_of
from grokforget.config.specs.tables import (
    MATCHED,
    claims_item,
    explanations_item,
    paper_table_item,
    paper_tables_of,
    published_item,
    summarise_item,
)
from grokforget.jobs.claims import claims
from grokforget.jobs.explanations import explain
from grokforget.jobs.paper_table import paper_table
from grokforget.jobs.published import published
from grokforget.jobs.render import render
from grokforget.jobs.summarise import summarise
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG
from snakemake_runs import REPOSITORY, Workspace

STUDY = load_study(REPOSITORY / "workflow" / "studies" / "smoke.yaml")

FLAGS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "no run grokked": lambda table: table.get("checkpoint", pd.Series("", table.index)).isin(["grokked", "matched"]),
    "one seed diverged": lambda table: table.seed == table.seed.min(),
    "every model diverged": lambda table: pd.Series(True, table.index),
}


@pytest.mark.parametrize("case", FLAGS)
def test_all_is_drawn_and_decided_without_the_rows_that_do_not_count(
    case: str, smoke: Workspace, tmp_path: Path
) -> None:
    flag = "not found" if case == "no run grokked" else "diverged"
    (tmp_path / "tables").mkdir()
    flagged = set()
    for path in sorted((smoke.folder / "results" / "smoke" / "tables").glob("*.parquet")):
        table = read_table(path)
        if FLAG in table:
            numbers = table.select_dtypes("float").columns.difference(
                ["step", "value"] if "measure" not in table else []
            )
            gone = FLAGS[case](table)
            # What a flagged row says is never read: these would stand out.
            table.loc[gone, [FLAG, *numbers]] = [flag, *[1e6] * len(numbers)]
            flagged.add(path.stem)
        write_table(tmp_path / "tables" / path.name, table)
    without = {"training", "batch_norm", "groups", "group_losses"}
    assert flagged == {*COLLECTED, "tuned", *MATCHED} - without, "every table of models says which rows count"

    def run(function: Callable[[Job], None], item: Item) -> dict[str, Path]:
        named = {name: [files] if isinstance(files, str) else [*files] for name, files in item.inputs.items()}
        inputs = {name: [tmp_path / file for file in files] for name, files in named.items()}
        outputs = {name: tmp_path / file for name, file in item.outputs.items()}
        for path in outputs.values():
            path.parent.mkdir(exist_ok=True)
        function(Job(inputs, outputs, item.spec))
        return outputs

    names = [path.stem for path in (tmp_path / "tables").iterdir()]
    run(summarise, summarise_item(STUDY))
    summary = read_table(tmp_path / "tables" / "summary.parquet")
    assert summary.left_out.sum() > 0
    assert not (summary[["mean", "std"]].abs() > 1e5).any(axis=None)
    told = run(claims, claims_item(STUDY, names))
    tests = read_table(told["tests"])
    assert not (tests.effect.abs() > 1e3).any()
    if case != "one seed diverged":
        assert set(tests.verdict[tests.test.str.contains("grokked")]) <= {"undecided", "not tested here"}
        assert "are flagged" in told["md"].read_text()
    explained = run(explain, explanations_item(STUDY, names))
    of_units = read_table(explained["table"])
    assert of_units.left_out.sum() > 0
    if case == "every model diverged":
        assert of_units.n.sum() == 0
    assert "nan" not in explained["md"].read_text()
    for name in paper_tables_of(STUDY, names):
        text = run(paper_table, paper_table_item(STUDY, name, names))["md"].read_text()
        assert "Left out: " in text, name
        assert "nan" not in text, name
    run(published, published_item(STUDY))
    for name in figures_of(STUDY, names):
        for path in run(render, figure_item(STUDY, name)).values():
            assert path.stat().st_size > 1000, name
