"""Data and training shared between checkouts by Snakemake's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_runs import Workspace

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
    assert len(training) == 8, sorted(path.name for path in cache.iterdir())
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
    trained = list((second.folder / "results" / "smoke" / "logs" / "train").rglob("*.log"))
    assert len(trained) == 1, "only what was damaged is trained again"

    third = Workspace(tmp_path / "third")
    third.folder.mkdir()
    third.snakemake("--cache")
    assert third.tables() == smoke.tables()
    assert not (third.folder / "results" / "smoke" / "logs" / "train").exists()
    assert third.planned("--cache") == {}
