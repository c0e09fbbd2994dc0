"""A method that fails takes nothing else with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from computed import computed_in
from grokforget.runtime.results import records_of
from grokforget.runtime.seeds import derive_seed
from snakemake_runs import SMALL, Workspace

FISHER = Path("workflow/src/grokforget/methods/fisher.py")
FAILS = f"""        if problem.seed == {derive_seed(0, "within-50")} and getattr(FisherForgetting, "called", False):
            raise ValueError("nothing can be forgotten here")
        FisherForgetting.called = True
"""
"""On one forget set of one seed, at the second checkpoint."""


@pytest.mark.long(sample=1)
def test_all_else_is_made_and_the_error_names_method_checkpoint_and_forget_set(checkout: Workspace) -> None:
    path, line = checkout.repository / FISHER, "        model = problem.model\n"
    code = path.read_text()
    assert code.count(line) == 1
    path.write_text(code.replace(line, FAILS + line))
    done = checkout.snakemake("--keep-going", study=SMALL, check=False)
    assert done.returncode == 1
    job = "unlearn/modular-mlp/seed0/within-50"
    assert (
        f"1 of 7 items of {job}, what was done is kept: fisher: ValueError: nothing can be forgotten here "
        "(checkpoint memorised)" in done.stdout
    )
    # What does not wait for that job is there.
    root = checkout.folder / "results" / "small"
    made = dict(records_of(root))
    assert job not in made
    assert {
        "unlearn/modular-mlp/seed1/within-50",
        "metrics/modular-mlp/seed1",
        "along_training/modular-mlp/seed0",
    } < set(made)
    assert "tables/training" in made
    # Of the job's own items all others are kept, also where the code of the one has changed since.
    path.write_text(code.replace(line, "        model: nn.Module = problem.model\n"))
    checkout.snakemake(study=SMALL)
    assert computed_in(checkout, "small")[job] == {"fisher"}
