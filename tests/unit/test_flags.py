"""Which rows count, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from grokforget.config.specs.base import Meanings
from grokforget.config.specs.figures import FigureSpec
from grokforget.figures.parts.style import save
from grokforget.jobs import render as module
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import write_table
from grokforget.runtime.job import Job
from grokforget.statistics.contrasts import mean_and_spread, paired_differences
from grokforget.statistics.flags import counted, flag_of
from grokforget.statistics.left_out import left_out, note_of


def rows(setting: str, checkpoint: str, flags: list[list[str]], **labels: Any) -> pd.DataFrame:
    """Of each seed the flags of its cells, which are methods."""
    return pd.DataFrame(
        [
            {
                **{"setting": setting, "seed": seed, "forget_set": "w15", "checkpoint": checkpoint},
                **{"method": f"m{number}", "flag": flag, "accuracy": seed + number / 10, **labels},
            }
            for seed, of_seed in enumerate(flags)
            for number, flag in enumerate(of_seed)
        ]
    )


@pytest.mark.parametrize(
    ("found", "finite", "flag"),
    [(True, True, ""), (False, True, "not found"), (True, False, "diverged"), (False, False, "diverged")],
)
def test_a_model_that_says_nothing_has_diverged_whatever_it_is_called(found: bool, finite: bool, flag: str) -> None:
    assert flag_of(found, finite) == flag


def test_rows_without_a_flag_count() -> None:
    table = rows("a", "grokked", [["", "diverged"], ["not found", ""]])
    assert counted(table).method.tolist() == ["m0", "m1"]
    assert counted(table).seed.tolist() == [0, 1]
    assert len(counted(table.drop(columns="flag"))) == 4, "a table without flags"
    assert counted(table.iloc[:0]).empty


def test_what_is_left_out_is_said_by_run_and_checkpoint() -> None:
    table = pd.concat(
        [
            rows("a", "grokked", [["not found"] * 2, ["", ""], ["not found"] * 2]),
            rows("a", "early", [["", ""]] * 3),
            rows("b", "memorised", [["not found"]]),
            rows("b", "matched", [["not found"], [""]]),
            rows("c", "grokked", [["diverged", ""], ["", ""]]),
        ]
    )
    assert [*left_out(table).values()] == [
        "a: 2 of 3 runs did not grok",
        "b: 1 of 2 runs have no checkpoint matched",
        "b: 1 of 1 runs have no checkpoint memorised",
        "c: cells of 1 of 2 runs diverged (grokked)",
    ]
    assert note_of([table, table.iloc[:0], table]) == f"Left out: {'; '.join(left_out(table).values())}."
    assert note_of([counted(table)]) == ""
    # Another table of the same runs, with the seed that chooses, say, does not say it twice.
    more = pd.concat([table, rows("a", "grokked", [["", ""]] * 4).assign(seed=[9, 9, 10, 10, 11, 11, 12, 12])])
    assert note_of([table, more]) == note_of([table])
    along = table.drop(columns="checkpoint").assign(step=1)
    assert [*left_out(along[along.setting == "c"]).values()] == ["c: cells of 1 of 2 runs diverged"]
    others = table.assign(train_set="without-w15")
    assert left_out(others) == {}, "of runs on the full training set"


def test_means_and_differences_leave_flagged_rows_out_and_count_them() -> None:
    table = pd.concat(
        [rows("a", "early", [["", ""]] * 3), rows("a", "grokked", [["", ""], ["not found"] * 2, ["", "diverged"]])]
    )
    table.loc[table.flag != "", "accuracy"] = 1e9
    means = mean_and_spread(table, ["accuracy"]).set_index(["checkpoint", "method"])
    assert means.loc[("grokked", "m0"), ["mean", "seeds", "left_out"]].tolist() == [1.0, 2, 1]
    assert means.loc[("grokked", "m1"), ["mean", "seeds", "left_out"]].tolist() == [0.1, 1, 2]
    assert means.loc["early"].left_out.tolist() == [0, 0]
    pairs = paired_differences(table, ["accuracy"], [("grokked", "early")]).set_index("method")
    assert pairs.loc["m0", ["difference", "pairs", "left_out"]].tolist() == [0.0, 2, 1]
    assert pairs.loc["m1", ["difference", "pairs", "left_out"]].tolist() == [0.0, 1, 2]


def test_contrasts_have_their_types_also_where_there_are_none() -> None:
    """A study with one checkpoint has nothing to contrast; its table goes together with another study's."""
    some = paired_differences(
        pd.concat([rows("a", name, [[""]] * 3) for name in ("early", "grokked")]), ["accuracy"], [("grokked", "early")]
    )
    none = paired_differences(rows("a", "early", [[""]] * 3), ["accuracy"], [("grokked", "early")])
    assert len(none) == 0
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert set(none.dtypes.astype(str)) == {"str", "float64", "int64"}


def test_a_figure_is_not_given_what_does_not_count_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.concat([rows(name, "grokked", [["not found"], [""]]) for name in ("a", "a-sam", "b")])
    write_table(tmp_path / "unlearning.parquet", table)
    given: dict[str, Any] = {}
    monkeypatch.setattr(module, "save", lambda figure, outputs, note: given.update(note=note))
    monkeypatch.setattr(
        ComponentSpec, "build", lambda self, tables, spec: given.update(seeds=tables["unlearning"].seed.tolist())
    )
    spec = FigureSpec(figure=ComponentSpec(implementation="grokforget.figures.controls:figure"), settings=["a"])
    job = Job({"unlearning": [tmp_path / "unlearning.parquet"]}, {}, spec)
    module.render(job)
    assert given == {"seeds": [1, 1, 1], "note": "Left out: a: 1 of 2 runs did not grok."}
    # With the controls of what it draws, where it is told of them.
    study = Meanings.model_validate(
        {"controls": {"a-sam": {"of": "a", "name": "sam"}, "b-sam": {"of": "b", "name": "sam"}}}
    )
    module.render(replace(job, spec=spec.model_copy(update={"study": study})))
    assert given["note"] == "Left out: a: 1 of 2 runs did not grok; a-sam: 1 of 2 runs did not grok."


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_the_note_stands_below_all_else_in_lines_as_wide_as_the_figure(layout: str | None, tmp_path: Path) -> None:
    figure, axes = plt.subplots(figsize=(3, 2), layout=layout)
    axes.set_xlabel("x")
    line = axes.plot([0, 1])[0]
    if layout:
        figure.legend([line], ["a legend at the lower edge"], loc="outside lower center")
    else:
        figure.legend([line], ["a legend below the figure"], loc="upper center", bbox_to_anchor=(0.5, 0))
    extents: dict[str, Any] = {}

    def note_extents(event: Any) -> None:
        for name, artist in zip(("legend", "note"), (figure.legends[0], *figure.texts), strict=False):
            extents[name] = artist.get_window_extent(event.renderer)

    figure.canvas.mpl_connect("draw_event", note_extents)
    save(
        figure,
        {kind: tmp_path / f"a.{kind}" for kind in ("svg", "pdf", "png")},
        "Left out: " + "; ".join(f"setting-{n}: 2 of 9 runs did not grok" for n in range(4)) + ".",
    )
    assert figure.texts[-1].get_text().count("\n") >= 2
    assert extents["note"].y1 < extents["legend"].y0, "as it is saved"
    assert extents["note"].width < 3.2 * 200


def test_of_candidates_those_that_were_chosen_are_told() -> None:
    table = pd.DataFrame(
        [
            {
                "setting": "a",
                "checkpoint": "grokked",
                "seed": seed,
                "chosen": chosen,
                "flag": "not reached" * (seed >= least),
            }
            for chosen, least in ((True, 2), (False, 0))
            for seed in range(3)
        ]
    )
    assert note_of([table]) == "Left out: a: 1 of 3 cells never forgot as much."
