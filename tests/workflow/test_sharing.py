"""Data and training shared between checkouts by Snakemake's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_runs import SMOKE, Workspace

pytestmark = pytest.mark.xdist_group("smoke")


def test_a_second_checkout_with_the_same_study_trains_nothing(
    smoke: Workspace, checkout: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(cache))
    first, second = Workspace(tmp_path / "first"), Workspace(checkout.folder, checkout.repository)
    first.folder.mkdir()
    first.snakemake("--cache")
    assert first.tables() == smoke.tables()

    training = [path for path in cache.iterdir() if path.name.endswith("_snapshots.safetensors")]
    assert len(training) == 10, sorted(path.name for path in cache.iterdir())
    damaged = max(training, key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)

    # Its own results lie elsewhere, and are of another folder and checkout: none of that matters.
    done = second.snakemake("--cache", check=False)
    assert done.returncode != 0
    assert "snapshots.safetensors is damaged" in done.stdout
    done = second.snakemake("--cache")
    assert second.tables() == smoke.tables()
    assert len(trained(second)) == 1, "only what was damaged is trained again"

    third = Workspace(tmp_path / "third")
    third.folder.mkdir()
    # Under another name, and with another method.
    study = tmp_path / "study.yaml"
    study.write_text(SMOKE.read_text().replace("study: smoke", "study: other").replace("fisher: {", "noise: {"))
    third.snakemake("--cache", study=study)
    assert trained(third, "other") == []
    assert third.tables("other")["training.parquet"] == smoke.tables()["training.parquet"]
    assert third.planned("--cache", study=study) == {}


def trained(workspace: Workspace, study: str = "smoke") -> list[Path]:
    """Logs of the training jobs that ran; Snakemake leaves an empty one where it took the result from the cache."""
    logs = (workspace.folder / "results" / study / "logs" / "train").rglob("*.log")
    return [path for path in logs if path.stat().st_size]
