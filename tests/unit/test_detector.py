"""The detector as a tool: logs in the forms that other projects write them in."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grokforget.__main__ import main
from grokforget.grokking.detection import Series, detect

T = [1, 10, 50, 100, 200, 400, 600, 800, 1000, 1200, 1400, 1600]
TRAIN = [0.1, 0.3, 0.6, 1, 1, 1, 1, 1, 1, 1, 1, 1]
TEST = [0.01, 0.01, 0.02, 0.02, 0.02, 0.02, 0.05, 0.3, 0.95, 0.97, 1, 1]
GROKS = {"kind": "grokking", "t_mem": 100, "t_grok_90": 1000, "t_grok_99": 1400, "gap": 900, "gap_share": 0.9}
"""What that log says, in whatever form."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(*rows: Sequence[Any], between: str = ",") -> str:
    return "".join(between.join(map(str, row)) + "\n" for row in rows)


def objects(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["detect", *arguments, "--json", "--no-figure"]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["detect", *arguments, "--no-figure"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, "a sentence, no trace"
    return err


def write(text: str, name: str = "log.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def percent(values: Sequence[float]) -> list[str]:
    return [f"{100 * value:.1f}" for value in values]


def wandb(*runs: str) -> str:
    """As Weights & Biases exports a chart of two metrics: every cell in quotes, the two logged at other steps."""
    metrics = [f"{run} - {metric}" for run in runs for metric in ("train/acc", "test/acc")]
    head = ["Step", *(f"{name}{end}" for name in metrics for end in ("", "__MIN", "__MAX"))]
    rows = []
    for step, train, test in zip(T, TRAIN, TEST, strict=True):
        rows.append([step, *([train] * 3 + [""] * 3) * len(runs)])
        rows.append([step + 1 if step > 1000 else step, *([""] * 3 + [test] * 3) * len(runs)])
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in [head, *rows])


PLAIN = lines(["step", "train", "test"], *zip(T, TRAIN, TEST, strict=True))
PAIRS = [*zip(T, TRAIN, TEST, strict=True)]
FORMS: dict[str, tuple[str, str]] = {
    "step, train, test": ("log.csv", PLAIN),
    "percentages": (
        "log.csv",
        lines(["epoch", "Train Acc", "Val Acc"], *zip(T, percent(TRAIN), percent(TEST), strict=True)),
    ),
    "percent signs": (
        "log.csv",
        lines(
            ["epoch", "train_accuracy", "test_accuracy"], *((t, f"{100 * a}%", f"{100 * b}%") for t, a, b in PAIRS)
        ),
    ),
    "semicolons and a byte-order mark": (
        "log.csv",
        "\ufeff" + lines(["iteration", "trainAcc", "testAcc"], *PAIRS, between=";"),
    ),
    "tabs, losses and more": (
        "log.tsv",
        lines(
            ["global_step", "train_loss", "train_acc", "test_loss", "test_acc", "lr", "best_test_acc", "test_top5_acc"],
            *((t, 1.5, a, 4.6, b, 1e-3, 1, 1) for t, a, b in PAIRS),
            between="\t",
        ),
    ),
    "Keras": (
        "training.log",
        lines(["epoch", "accuracy", "loss", "val_accuracy", "val_loss"], *((t, a, 1, b, 2) for t, a, b in PAIRS)),
    ),
    "JSON lines": ("log.jsonl", objects(*({"step": t, "train_acc": a, "val_acc": b} for t, a, b in PAIRS))),
    "JSON lines, nested, with the settings first and the end cut off": (
        "log.jsonl",
        objects(
            {"seed": 3, "weight_decay": 1.0},
            *({"step": t, "train": {"loss": 0.1, "accuracy": a}, "test": {"accuracy": b}} for t, a, b in PAIRS),
        )
        + '{"step": 1800, "trai',
    ),
    "JSON lines, a line a set of examples": (
        "log.jsonl",
        objects(
            *({"iter": t, "split": split, "acc": value} for t, a, b in PAIRS for split, value in (("train", a), ("val", b)))
        ),
    ),
    "JSON, the state of a trainer": (
        "trainer_state.json",
        json.dumps(
            {
                "best_metric": None,
                "log_history": [
                    *({"step": t, "train_accuracy": a} for t, a, _ in PAIRS),
                    *({"step": t, "eval_accuracy": b} for t, _, b in PAIRS),
                ],
            }
        ),
    ),
    "JSON, lists by name": ("log.json", json.dumps({"steps": T, "train_accs": TRAIN, "test_accs": TEST})),
    "scalars by tag": (
        "scalars.csv",
        lines(
            ["run", "tag", "step", "value"],
            *(("p97", tag, t, value) for t, a, b in PAIRS for tag, value in (("acc/train", a), ("acc/test", b))),
        ),
    ),
    "out of order, with what is missing and what comes again": (
        "log.csv",
        lines(
            ["step", "train", "test"],
            *reversed(PAIRS),
            (100, 1, ""),
            (1000, 1, 0.95),
            (1100, "", "nan"),
            ("", 0.5, 0.5),
        ),
    ),
    "appended to, with its header again": (
        "log.csv",
        PLAIN + lines(["step", "train", "test"], *PAIRS[-3:]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_same_log_says_the_same_in_every_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, text = FORMS[form]
    (found,) = told(capsys, write(text, name))
    assert {key: found[key] for key in GROKS} == GROKS
    assert (found["censored"], found["transition"], found["train_accuracy"], found["test_accuracy"]) == (
        False,
        True,
        1,
        1,
    )


def test_parquet_is_read_too(capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame(PAIRS, columns=["step", "train_accuracy", "test_accuracy"]).to_parquet("log.parquet")
    (found,) = told(capsys, "log.parquet")
    assert {key: found[key] for key in GROKS} == GROKS


def test_an_export_of_weights_and_biases_has_the_steps_of_each_metric(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = told(capsys, write(wandb("dainty-sky - 12")))
    assert (found["run"], found["kind"]) == ("dainty-sky - 12", "grokking")
    assert (found["t_mem"], found["t_grok_90"], found["t_grok_99"]) == (100, 1000, 1401)
    both = told(capsys, write(wandb("a", "b")))
    assert [one["run"] for one in both] == ["a", "b"]


def test_files_of_one_scalar_are_given_together(capsys: pytest.CaptureFixture[str]) -> None:
    for name, values in (("train", TRAIN), ("test", TEST)):
        rows = ((1.7e9 + t, t, value) for t, value in zip(T, values, strict=True))
        write(lines(["Wall time", "Step", "Value"], *rows), f"{name}.csv")
    (found,) = told(capsys, "--train", "train.csv", "--test", "test.csv")
    assert {key: found[key] for key in GROKS} == GROKS
    assert "--train FILE --test FILE" in refused(capsys, "train.csv")


def test_two_charts_of_weights_and_biases_are_matched_by_their_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for name, values in (("train", TRAIN), ("test", TEST)):
        head = ["Step", *(f"{run} - acc{end}" for run in "ab" for end in ("", "__MIN", "__MAX"))]
        write(lines(head, *((t, *[value] * 6) for t, value in zip(T, values, strict=True))), f"{name}.csv")
    found = told(capsys, "--train", "train.csv", "--test", "test.csv")
    assert [one["run"] for one in found] == ["a", "b"]
    assert {key: found[1][key] for key in GROKS} == GROKS
    write(Path("test.csv").read_text().replace("b - acc", "c - acc"), "test.csv")
    assert "'b', 'c' in one of the two files alone" in refused(capsys, "--train", "train.csv", "--test", "test.csv")


def several() -> str:
    rows = [(seed, *row) for seed in (0, 1, 2) for row in PAIRS]
    never = [(seed, t, a, 0.02 if seed == 2 else b) for seed, t, a, b in rows]
    return write(lines(["seed", "step", "train_acc", "test_acc"], *never))


def test_several_runs_of_a_file_are_told_apart_by_their_column(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, several())
    assert [(one["run"], one["kind"]) for one in found] == [
        ("0", "grokking"),
        ("1", "grokking"),
        ("2", "did not finish"),
    ]
    assert [one["censored"] for one in found] == [False, False, True]
    assert found[2]["t_grok_90"] is None
    assert main(["detect", several()]) == 0
    out = capsys.readouterr().out
    assert "2 of 3 runs had a transition after t_mem: 67% [21%, 94%] (Wilson, 95 %); 1 censored." in out
    assert "> 1,600" in out
    assert Path("log.detected.png").stat().st_size > 10_000


def test_our_own_table_of_curves_is_such_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["setting", "train_set", "seed", "step", "train_accuracy", "validation_accuracy", "test_accuracy"]
    rows = [(one, "full", seed, t, a, b, b) for one in ("x", "y") for seed in (0, 1) for t, a, b in PAIRS]
    pd.DataFrame(rows, columns=columns).assign(train_loss=0.1, weight_norm=3.0).to_parquet("training.parquet")
    assert [one["run"] for one in told(capsys, "training.parquet")] == ["x, 0", "x, 1", "y, 0", "y, 1"]


def test_several_files_are_several_runs(capsys: pytest.CaptureFixture[str]) -> None:
    write(PLAIN, "a.csv")
    write(PLAIN, "b.csv")
    assert [one["run"] for one in told(capsys, "a.csv", "b.csv")] == ["a.csv", "b.csv"]


def worked_example(last: int) -> str:
    """The log of a tutorial on addition modulo 97, a row a thousand steps."""
    test = {101: 0.57, 102: 0.98}
    rows = [
        (1000 * k, min(1, 0.9 * k / 7) if k < 7 else 1, test.get(k, 0.01 if k < 101 else 1)) for k in range(1, last + 1)
    ]
    return lines(["step", "train", "test"], *rows)


@pytest.mark.parametrize("last", [103, 104, 150])
def test_the_worked_example_groks_at_102_thousand_steps(last: int, capsys: pytest.CaptureFixture[str]) -> None:
    """At 101 thousand it is 57 %: above a half, not above 90 %."""
    (found,) = told(capsys, write(worked_example(last)))
    assert (found["kind"], found["t_mem"], found["t_grok_90"], found["t_grok_99"]) == (
        "grokking",
        7000,
        102_000,
        103_000,
    )
    assert (found["gap"], found["gap_90"], found["gap_share"]) == (95_000, 95_000, 95 / 102)
    assert found["slope"] == pytest.approx(
        (1 - 0.01) / math.log10(103 / 100) if last == 103 else 0.99 / math.log10(104 / 100)
    )
    for detector in ("t_derivative", "t_sigmoid"):
        assert 100_000 < found[detector] < 102_500
    assert found["disagreement"] < 0.02
    assert found["disagreement"] == pytest.approx(abs(math.log10(found["t_derivative"] / found["t_sigmoid"])))
    # Three evaluations in a row are asked for, and the log may end before.
    assert any("the log ends before" in note for note in found["notes"]) == (last < 105)


def test_the_worked_example_as_its_text_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    few = [
        (1000, 0.3, 0.01),
        (7000, 1, 0.01),
        (100_000, 1, 0.01),
        (101_000, 1, 0.57),
        (102_000, 1, 0.98),
        (103_000, 1, 1),
    ]
    path = write(lines(["step", "train", "test"], *few))
    assert main(["detect", path]) == 0
    out = capsys.readouterr().out
    for said in (
        "grokking",
        "7,000 (before",
        "102,000 (before, at 101,000: 57.0%)",
        "95,000 to 90 %",
        "0.931",
        "sigmoid fit",
    ):
        assert said in out
    assert Path("log.detected.png").exists()


GRID = np.geomspace(1, 1e5, 200)


def rise(at: float, low: float, high: float, slope: float = 15) -> np.ndarray:
    return low + (high - low) / (1 + np.exp(-slope * (np.log10(GRID) - math.log10(at))))


FITS = rise(100, 0.1, 1.0, 40)
KINDS = {
    "grokking": (FITS, rise(1e4, 0.01, 1)),
    "delayed generalisation": (FITS, rise(50, 0, 0.4) + rise(1e4, 0, 0.55)),
    "double descent": (FITS, rise(10, 0, 0.6) - rise(60, 0, 0.4, 60) + rise(1e4, 0, 0.8)),
    "immediate generalisation": (FITS, rise(60, 0.01, 0.99)),
    "no memorisation": (rise(100, 0.1, 0.6), rise(1e4, 0.01, 0.5)),
    "did not finish": (FITS, rise(50, 0, 0.1)),
    "diverged": (FITS, rise(1e4, 0.01, 1)),
}


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_curve_are_told_apart(kind: str, seed: int | None) -> None:
    train, test = KINDS[kind]
    if seed is not None:
        test = np.clip(test + np.random.default_rng(seed).normal(0, 0.005, len(test)), 0, 1)
    found = detect(Series(GRID, train), Series(GRID, test), diverged=kind == "diverged")
    assert found.kind == kind
    assert found.censored == (kind == "did not finish")
    rises = kind in ("grokking", "delayed generalisation", "double descent")
    assert found.transition == rises
    for time in (found.t_derivative, found.t_sigmoid):
        assert (abs(math.log10(time) - 4) < 0.1) if rises else math.isnan(time)


def test_a_rise_that_stays_below_ninety_percent_is_read_from_its_plateau() -> None:
    found = detect(Series(GRID, FITS), Series(GRID, rise(1e4, 0.1, 0.8)))
    assert (found.kind, found.transition) == ("grokking", True)
    assert math.isnan(found.crossings["90"].time)
    assert abs(math.log10(found.t_grok) - 4) < 0.03
    assert found.by == "half way from 10.0% to 80.0% test accuracy"


def test_what_is_far_from_chance_is_told_by_the_number_of_classes() -> None:
    """Of sparse parity a half is chance."""
    parity = Series(GRID, rise(1e4, 0.5, 1.0))
    assert detect(Series(GRID, FITS), parity).kind == "delayed generalisation"
    assert detect(Series(GRID, FITS), parity, chance=0.5).kind == "grokking"


def test_a_log_that_begins_far_above_chance_is_asked_for_its_classes(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(lines(["step", "train", "test"], *((t, a, max(b, 0.5)) for t, a, b in PAIRS)))
    assert main(["detect", path, "--no-figure"]) == 0
    assert "begins at 50%" in capsys.readouterr().out
    (found,) = told(capsys, path, "--classes", "2")
    assert found["kind"] == "grokking"


def test_a_loss_that_ends_as_no_number_diverged(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(t, a, b, "nan" if t > 1000 else 0.5) for t, a, b in PAIRS]
    (found,) = told(capsys, write(lines(["step", "train", "test", "train_loss"], *rows)))
    assert (found["kind"], found["censored"], found["t_grok_90"]) == ("diverged", False, 1000)
    # Where NaN stands for what was not logged in a row, nothing did.
    rows = [(t, a, b, "nan" if number % 2 else 0.5) for number, (t, a, b) in enumerate(PAIRS)]
    (found,) = told(capsys, write(lines(["step", "train", "test", "train_loss"], *rows)))
    assert found["kind"] == "grokking"


def test_a_run_that_was_resumed_counts_what_it_wrote_last(capsys: pytest.CaptureFixture[str]) -> None:
    again = [*PAIRS[:9], (800, 1, 0.02), (1000, 1, 0.02), *PAIRS[9:]]
    (found,) = told(capsys, write(lines(["step", "train", "test"], *again)))
    assert found["t_grok_90"] == 1200
    assert "test: 2 steps come again, of which 2 with other values: the last counts" in found["notes"]
    (found,) = told(capsys, "log.csv", "--duplicates", "first")
    assert found["t_grok_90"] == 1000


def test_columns_may_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(lines(["t", "fit", "generalises", "which"], *((*row, "r") for row in PAIRS)))
    columns = ("--step-column", "t", "--train-column", "fit", "--test-column", "generalises", "--run-column", "which")
    (found,) = told(capsys, path, *columns)
    assert {key: found[key] for key in GROKS} == GROKS
    assert "no column 'a' (--test-column); there are 'fit', 'generalises'" in refused(
        capsys, path, *columns[:4], "--test-column", "a"
    )


LOSSES = lines(["step", "train", "test"], *((t, 4.6 * (1 - a), 4.6 * (1 - b)) for t, a, b in PAIRS))
REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "the file is empty"),
    "a header alone": ("step,train,test\n", "no rows"),
    "no header": (lines(*PAIRS), "no names of columns in the first line"),
    "no steps": (lines(["train", "test"], *((a, b) for _, a, b in PAIRS)), "name it with --step-column"),
    "losses alone": (
        lines(["step", "train_loss", "test_loss"], *PAIRS),
        "no column of train accuracy among 'train_loss', 'test_loss'; name it with --train-column",
    ),
    "losses that are called by their sets": (LOSSES, "if these are percentages and no losses, say `--unit percent`"),
    "two accuracies of one set": (
        lines(["step", "train_acc_step", "train_acc_epoch", "test_acc"], *((t, a, a, b) for t, a, b in PAIRS)),
        "2 columns may be the train accuracy",
    ),
    "two columns of a name": (
        lines(["step", "train", "test", "test"], *((*row, 1) for row in PAIRS)),
        "several columns",
    ),
    "no number": (PLAIN.replace("0.05", "tensor(0.05)"), "'tensor(0.05)' in row 7 of the column 'test'"),
    "an accuracy below 0": (PLAIN.replace("0.05", "-0.05"), "shares from 0 to 1 are wanted"),
    "an accuracy above 100": (
        lines(["step", "train", "test"], *((t, 110 * a, 100 * b) for t, a, b in PAIRS)),
        "percentages from 0 to 100 are wanted",
    ),
    "two units": (lines(["step", "train", "test"], *((t, 100 * a, b) for t, a, b in PAIRS)), "bring them to one unit"),
    "several runs without a name": (
        PLAIN + lines(*((t, a / 2, b / 2) for t, a, b in PAIRS)),
        "several runs in one file? Name their column with --run-column",
    ),
    "a line of another length": (PLAIN.replace("\n400,1,", "\n400,"), "line 7 has 2 cells"),
    "a step below 0": (PLAIN.replace("\n10,", "\n-10,"), "a step -10"),
    "one set alone": (lines(["step", "train", "test"], *((t, a, "") for t, a, _ in PAIRS)), "no test accuracy"),
    "several runs that differ in a few steps": (
        PLAIN + lines(*((t, a, b + 0.01 if t == 600 else b) for t, a, b in PAIRS)),
        "12 of 12 steps come again, 1 with other test accuracies",
    ),
    "broken JSON": ('{"step": 1}\n{"step": \n{"step": 3}\n', "line 2 is no JSON"),
    "JSON of something else": ("[1, 2, 3]", "JSON that is no list of objects"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_told_for_certain_is_refused_in_words(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, said = REFUSED[what]
    error = refused(capsys, write(text))
    assert error.startswith("log.csv: ")
    assert said in error


def test_files_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.csv: No such file" in refused(capsys, "nowhere.csv")
    Path("log.csv").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in refused(capsys, "log.csv")
    Path("log.csv").write_bytes(b"PAR1, but nothing of it")
    assert "a Parquet file that is damaged" in refused(capsys, "log.csv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either files of curves, or both"),
        (["log.csv", "--train", "log.csv"], "give either files of curves, or both"),
        (["log.csv", "--classes", "1"], "--classes 1: 2 or more"),
        (["log.csv", "--memorised", "99"], "--memorised 99.0: a share"),
        (["log.csv", "--sustained", "0"], "--sustained 0: 1 or more"),
        (["log.csv", "--figure", "a.txt"], "one of .png, .pdf, .svg"),
    ],
)
def test_options_are_checked_first(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *arguments)


def test_the_unit_may_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    low = [(t, 2 * a, b) for t, a, b in PAIRS]
    path = write(lines(["step", "train", "test"], *low))
    (found,) = told(capsys, path, "--unit", "percent")
    assert (found["kind"], found["train_accuracy"]) == ("no memorisation", 0.02)
    assert "shares from 0 to 1" in refused(capsys, path, "--unit", "share")


def test_a_log_that_begins_when_all_is_fitted_says_that_t_mem_may_be_earlier(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (found,) = told(capsys, write(lines(["step", "train", "test"], *PAIRS[4:])))
    assert found["t_mem"] == 200
    assert "the log begins with its training data fitted: t_mem may be earlier, and the gap longer" in found["notes"]
    (found,) = told(capsys, write(lines(["step", "train", "test"], *((t - 200, a, b) for t, a, b in PAIRS[4:]))))
    assert found["t_mem"] == 0
    assert not any("may be earlier" in note for note in found["notes"]), "nothing is earlier than step 0"


def test_a_column_of_splits_of_the_data_is_none_of_sets_of_examples(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(lines(["split", "step", "train_acc", "test_acc"], *((of, *row) for of in (3, 4) for row in PAIRS)))
    found = told(capsys, path, "--run-column", "split")
    assert [(one["run"], one["t_grok_90"]) for one in found] == [("3", 1000), ("4", 1000)]


def test_a_column_that_names_the_run_of_some_rows_alone_tells_no_runs_apart(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [({"step": t, "train_acc": a, "seed": 3}, {"step": t, "test_acc": b}) for t, a, b in PAIRS]
    (found,) = told(capsys, write(objects(*(row for pair in rows for row in pair))))
    assert {key: found[key] for key in GROKS} == GROKS


def test_a_byte_order_mark_is_no_part_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(told(capsys, write(f"\ufeff{PLAIN}"), "--step-column", "step")) == 1


def test_a_last_line_that_a_kill_cut_off_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = told(capsys, write(PLAIN + "1800,1"))
    assert (found["last_step"], found["notes"][0]) == (1600, "line 14, the last, is cut off and was left out")


def test_a_percent_sign_says_the_unit_of_its_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """Else a test accuracy of 0.8 beside a train accuracy of 100 may be either."""
    path = write(lines(["step", "train", "test"], *((t, f"{100 * a}%", "0.8%") for t, a, _ in PAIRS)))
    (found,) = told(capsys, path)
    assert (found["kind"], found["censored"], found["test_accuracy"]) == ("did not finish", True, 0.008)


def test_what_was_there_at_once_and_creeps_on_has_no_transition() -> None:
    found = detect(Series(GRID, FITS), Series(GRID, rise(60, 0.01, 0.93) + rise(1e4, 0, 0.06)))
    assert (found.kind, found.transition) == ("immediate generalisation", False)
    lost = np.where(GRID < 150, rise(60, 0.01, 0.93), 0.1) + rise(1e4, 0, 0.89)
    assert detect(Series(GRID, FITS), Series(GRID, lost)).kind == "double descent", "lost again, it may come back"


def test_memorising_and_holding_may_be_asked_for_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(PLAIN)
    (found,) = told(capsys, path, "--memorised", "0.5", "--sustained", "1")
    assert (found["t_mem"], found["gap"]) == (50, 950)


def test_the_figure_goes_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(PLAIN)
    assert main(["detect", path, "--figure", "there/curve.pdf"]) == 0
    first = Path("there/curve.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert main(["detect", path, "--figure", "there/curve.pdf"]) == 0
    assert Path("there/curve.pdf").read_bytes() == first, "the same log, the same bytes"
    Path("closed").write_text("a file, no folder")
    assert main(["detect", path, "--figure", "closed/curve.png"]) == 1
    out, err = capsys.readouterr()
    assert "grokking" in out, "what was found is told all the same"
    assert "name another place with --figure" in err
    assert not Path("log.detected.png").exists()
