"""The smoke study from nothing, as a user runs it."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from snakemake_runs import Workspace, copied

METHODS = ("original", "retrain", "gradient-ascent", "nabla-tau", "scrub", "fisher", "fine-tune")
CHECKPOINTS = ("early", "memorised", "grokked")


def table(smoke: Workspace, name: str) -> pd.DataFrame:
    return pd.read_parquet(smoke.folder / "results" / "smoke" / "tables" / f"{name}.parquet")


def test_every_cell_is_there_once_and_measured(smoke: Workspace) -> None:
    unlearning = table(smoke, "unlearning")
    cells = list(
        unlearning[["setting", "seed", "forget_set", "checkpoint", "method"]].itertuples(index=False, name=None)
    )
    assert sorted(cells) == sorted(product(["modular-mlp"], [0, 1], ["within-50"], CHECKPOINTS, METHODS))
    assert (
        unlearning[["forget_accuracy", "retain_accuracy", "test_accuracy"]]
        .apply(lambda c: c.between(0, 1))
        .all(axis=None)
    )
    assert (unlearning.flag == "").all()


def test_the_references_are_at_no_distance_from_themselves(smoke: Workspace) -> None:
    unlearning = table(smoke, "unlearning").set_index("method")
    drops = unlearning.loc["original", ["forget_accuracy_drop", "retain_accuracy_drop", "test_accuracy_drop"]]
    assert (drops == 0).all(axis=None)
    assert (unlearning.loc["retrain", "retrain_gap"] == 0).all()
    assert (unlearning.loc["scrub", "retrain_gap"] > 0).all()


def test_the_runs_grok_and_the_checkpoints_stand_in_order(smoke: Workspace) -> None:
    checkpoints = table(smoke, "checkpoints")
    full = checkpoints[checkpoints.train_set == "full"]
    assert (full.t_grok > full.t_mem).all()
    steps = full.pivot_table("step", "seed", "checkpoint")
    assert (steps.early < steps.memorised).all()
    assert (steps.memorised < steps.grokked).all()
    accuracy = full.pivot_table("test_accuracy", "seed", "checkpoint")
    assert (accuracy.grokked > 0.95).all()
    assert (accuracy.memorised < 0.6).all()


def test_accuracies_in_the_table_are_those_of_the_saved_models(smoke: Workspace) -> None:
    """An independent route from the final weights to the table: plain matrix products on the stored examples."""
    import numpy as np
    from safetensors.numpy import load_file

    root = smoke.folder / "results" / "smoke"
    examples = load_file(root / "data" / "addition" / "examples.safetensors")
    forget = load_file(root / "forget" / "modular-mlp" / "seed1" / "within-50.safetensors")["forget"]
    weights = load_file(root / "unlearn" / "modular-mlp" / "seed1" / "within-50" / "scrub" / "models.safetensors")
    pairs = examples["inputs"][forget]
    one_hot = np.eye(31)[pairs].reshape(len(pairs), -1)
    hidden = (one_hot @ weights["grokked/features.0.weight"].T) ** 2
    predicted = (hidden @ weights["grokked/output.weight"].T).argmax(1)
    row = table(smoke, "unlearning").query("seed == 1 and method == 'scrub' and checkpoint == 'grokked'")
    assert row.forget_accuracy.item() == pytest.approx((predicted == examples["labels"][forget]).mean(), abs=1e-12)


def test_contrasts_are_the_differences_of_the_seeds(smoke: Workspace) -> None:
    cells = (
        table(smoke, "unlearning")
        .query("method == 'gradient-ascent'")
        .pivot_table("retain_accuracy", "seed", "checkpoint")
    )
    contrasts = table(smoke, "contrasts").query("method == 'gradient-ascent' and measure == 'retain_accuracy'")
    by_contrast = contrasts.set_index("contrast").difference
    assert by_contrast["grokked - early"] == pytest.approx((cells.grokked - cells.early).mean())
    assert by_contrast["grokked - memorised"] == pytest.approx((cells.grokked - cells.memorised).mean())


def test_figures_and_paper_tables_are_there_in_every_format(smoke: Workspace) -> None:
    root = smoke.folder / "results" / "smoke"
    magic = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    names = (
        "figure1a",
        "figure1b",
        "figure2",
        "alignment",
        "cka",
        "modules",
        "ablation",
        "pareto",
        "attacks",
        "claims",
    )
    for figure, ending in product(names, magic):
        content = (root / "figures" / f"{figure}.{ending}").read_bytes()
        assert content.startswith(magic[ending])
        assert len(content) > 5000
    assert "| modular-mlp | original" in (root / "paper" / "table1.md").read_text()
    assert r"\bottomrule" in (root / "paper" / "table1.tex").read_text()
    assert len(pd.read_csv(root / "paper" / "table1.csv")) == len(METHODS) * len(CHECKPOINTS)


def test_provenance_says_of_every_file_who_made_it_with_what(smoke: Workspace) -> None:
    root = smoke.folder / "results" / "smoke"
    provenance = json.loads((root / "provenance.json").read_text())
    assert provenance["study"]["study"] == "smoke"
    results = {
        str(path.relative_to(smoke.folder))
        for path in root.rglob("*")
        if path.is_file()
        and not path.name.startswith(".")
        and path.relative_to(root).parts[0] not in ("jobs", "logs", "specs", "store")
    }
    assert set(provenance["files"]) == results - {"results/smoke/provenance.json", "results/smoke/study.json"}
    for name, file in provenance["files"].items():
        content = (smoke.folder / name).read_bytes()
        assert (file["sha256"], file["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        job = provenance["jobs"][file["job"]]
        assert re.match(r"[0-9a-f]{40}|unknown", job["commit"])
        assert job["costs"]["work_s"] >= 0
        assert job["costs"]["peak_mb"] > 20
        environment = provenance["environments"][job["environment"]]
        assert environment["libraries"]["torch"].startswith("2.")
        assert environment["processor"]


def test_a_record_tells_what_its_job_read(smoke: Workspace) -> None:
    record = json.loads((smoke.folder / "results/smoke/jobs/unlearn/modular-mlp/seed1/within-50.json").read_text())
    assert set(record["read"]) == {
        "data/addition/examples.safetensors",
        "data/addition/seed1.safetensors",
        "forget/modular-mlp/seed1/within-50.safetensors",
        "checkpoints/modular-mlp/seed1/full.safetensors",
        "checkpoints/modular-mlp/seed1/without-within-50.safetensors",
    }
    collected = json.loads((smoke.folder / "results/smoke/jobs/tables/unlearning_along.json").read_text())
    assert set(collected["read"]) == {f"along_training/modular-mlp/seed{seed}/within-50.parquet" for seed in (0, 1)}
    log = (smoke.folder / "results/smoke/logs/tables/unlearning_along.log").read_text()
    assert "read results/smoke/along_training/modular-mlp/seed0/within-50.parquet" in log
    assert re.search(r"wrote results/smoke/tables/unlearning_along.parquet \(\d+ bytes, [0-9a-f]{12}\)", log)
    assert re.search(r"imports [\d.]+ s, work [\d.]+ s, in all [\d.]+ s, peak memory \d+ MB", log)


def test_no_analysis_takes_twice_the_memory_of_training(smoke: Workspace) -> None:
    jobs = smoke.folder / "results" / "smoke" / "jobs"

    def peaks(stage: str) -> list[float]:
        return [json.loads(path.read_text())["costs"]["peak_mb"] for path in (jobs / stage).rglob("*.json")]

    assert len(peaks("analysis")) == 2
    assert max(peaks("analysis")) <= 2 * min(peaks("train"))


def test_every_claim_has_a_verdict(smoke: Workspace) -> None:
    root = smoke.folder / "results" / "smoke"
    claims = pd.read_csv(root / "paper" / "claims.csv")
    assert claims.claim.unique().tolist() == list(range(1, 13))
    assert claims.claim_verdict.isin(["supported", "contradicted", "undecided", "not tested here"]).all()
    page = (root / "paper" / "claims.md").read_text()
    assert all(f"## {number}. " in page for number in range(1, 13))
    tests = table(smoke, "claims").query("claim == 2 and setting == 'all' and decides").set_index("test")
    contrasts = table(smoke, "contrasts").query("contrast == 'grokked - early' and measure == 'test_accuracy'")
    unlearned = contrasts[~contrasts.method.isin(["original", "retrain"])]
    assert tests.effect["test accuracy, grokked - early"] == pytest.approx(unlearned.difference.mean())


def test_tables_hold_no_time_host_or_path(smoke: Workspace) -> None:
    for content in smoke.tables().values():
        assert str(smoke.folder).encode() not in content
    assert not {"host", "path", "date", "time"} & set(table(smoke, "unlearning").columns)


def test_a_second_run_has_nothing_to_do(smoke: Workspace, tmp_path: Path) -> None:
    # In a copy: even a dry run writes spec files, and others may be copying the study's folder.
    copied(smoke.folder, tmp_path)
    assert Workspace(tmp_path).planned() == {}


@pytest.mark.long(sample=0.5)
def test_the_same_study_gives_the_same_bytes_and_nothing_of_another_study(smoke: Workspace, tmp_path: Path) -> None:
    again = Workspace(tmp_path)
    again.snakemake()
    assert again.tables() == smoke.tables()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["smoke"]
    figures = sorted((tmp_path / "results" / "smoke" / "figures").iterdir())
    assert figures
    for figure in figures:
        assert figure.read_bytes() == (smoke.folder / figure.relative_to(tmp_path)).read_bytes(), figure.name
