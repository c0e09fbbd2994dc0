"""The check on a GPU, as far as it can be checked without one: that it runs, counts rightly, and reports what failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gpu import __main__ as check
from gpu import study, throughput
from gpu.parts import MODELS, resnet18
from grokforget.data.shape import DataShape

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--report", str(tmp_path / "report.md")])
    return tmp_path / "report.md"


def test_without_a_gpu_it_says_so(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check.main() == 0
    assert capsys.readouterr().out.startswith("No GPU: ")
    assert not report.exists()


def test_a_report_says_what_passed_what_failed_and_what_ran_out_of_time(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = {
        "Good": (["-c", "print('a table')"], 60),
        "Bad": (["-c", "print('what was wrong'); raise SystemExit(3)"], 60),
        "Slow": (["-c", "print('begun', flush=True); import time; time.sleep(60)"], 1),
    }
    monkeypatch.setattr(check, "CHECKS", checks)
    sys.argv.append("--rehearse")
    assert check.main() == 1
    text = report.read_text()
    assert "## Good: passed" in text
    assert "\na table\n" in text
    assert "## Bad: FAILED" in text
    assert "what was wrong" in text
    assert "## Slow: FAILED" in text
    assert "begun\n\nNot finished after 1 s." in text.replace("begun\n\n\n", "begun\n\n")
    for what in ("card", "driver", "torch", "Python", "checkout", "command"):
        assert f"- {what}: " in text
    assert "a rehearsal" in text.lower()


def test_its_parts_take_less_than_eight_minutes() -> None:
    assert sum(seconds for _, seconds in check.CHECKS.values()) < 480


def test_operations_are_counted() -> None:
    model = MODELS["cnn"](DataShape((1, 8, 8), 10))
    # Two convolutions at 64 and 16 positions, then 4 positions of 32 channels to 32, and these to 10.
    expected = 2 * (64 * 9 * 16 + 16 * 9 * 16 * 32 + 128 * 32 + 32 * 10)
    assert throughput.operations(model, torch.zeros(1, 1, 8, 8)) == expected


def test_a_resnet18_is_what_is_published_of_it() -> None:
    """0.56 billion multiplications an image of CIFAR, 11.17 million weights."""
    model: nn.Module = resnet18(throughput.CIFAR)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(11.17e6, rel=1e-3)
    counted = throughput.operations(model, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    assert counted / 2 == pytest.approx(0.556e9, rel=0.01)


def test_throughput_and_the_plain_study_run() -> None:
    table = throughput.report(throughput.REHEARSAL, MODELS["cnn"])
    assert all(f"| {variant.name} | {batch} |" in table for variant in throughput.VARIANTS for batch in (128, 512))
    rows = study.plainly(20).splitlines()
    assert [row.split(" |")[0] for row in rows[2:]] == [
        "| trained",
        "| retrained without",
        *(f"| {m}" for m in study.METHODS),
    ]
