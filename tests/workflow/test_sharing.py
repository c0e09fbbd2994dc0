"""A store that several studies and checkouts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from computed import computed_in
from snakemake_runs import SMOKE, Workspace


@pytest.mark.long(sample=0.5)
def test_a_second_checkout_with_the_same_study_computes_nothing(
    smoke: Workspace, checkout: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("GROKFORGET_STORE", str(store))
    first, second, third = Workspace(tmp_path / "first"), checkout, Workspace(tmp_path / "third")
    for workspace in (first, third):
        workspace.folder.mkdir()
    first.snakemake()
    assert first.tables() == smoke.tables()
    assert not (first.folder / "results" / "smoke" / "store").exists()

    snapshots = first.folder / "results/smoke/train/modular-mlp/seed0/full/segment001/snapshots.safetensors"
    (kept,) = (path for path in store.rglob("snapshots.safetensors") if path.samefile(snapshots))
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)

    # Its own results lie elsewhere, and are of another folder and checkout: none of that matters. What is damaged is found.
    second.snakemake()
    assert second.tables() == smoke.tables()
    done = computed_in(second)
    assert list(done) == ["train/modular-mlp/seed0/full/segment001"]

    # Under another name, and with another method.
    study = tmp_path / "study.yaml"
    study.write_text(SMOKE.read_text().replace("study: smoke", "study: other").replace("fisher: {", "noise: {"))
    third.snakemake(study=study)
    done = computed_in(third, "other")
    assert not [
        job for job in done if job.startswith(("data/", "train/", "forget/", "checkpoints/", "along_training/"))
    ]
    assert {item for job, items in done.items() if job.startswith("unlearn/") for item in items} == set()
    assert third.tables("other")["training.parquet"] == smoke.tables()["training.parquet"]
    assert third.planned(study=study) == {}
