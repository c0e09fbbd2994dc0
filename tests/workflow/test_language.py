"""A study of a language model from nothing: every stage, by what its tables say."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from itertools import product

import numpy as np
import pandas as pd
import pytest

from snakemake_runs import REPOSITORY, Workspace

# Two minutes of jobs for a few tests; what each job does is tested beside it. One process runs the study for all of them.
pytestmark = [pytest.mark.long(sample=1), pytest.mark.xdist_group("language")]

STUDY = REPOSITORY / "tests" / "language.yaml"
METHODS = (
    "original", "retrain", "gradient-ascent", "fine-tune", "neg-grad-plus", "l1-sparse", "relative-ascent"
)  # fmt: skip
FORGET_SETS, CHECKPOINTS = ("pairs", "author", "early", "late"), ("early", "final")


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The study, run once for the tests of this file."""
    if find_spec("tokenizers") is None:
        pytest.skip("questions and answers need tokenizers, an extra of the package (language)")
    workspace = Workspace(tmp_path_factory.mktemp("language"))
    workspace.snakemake(study=STUDY)
    return workspace


def table(language: Workspace, name: str) -> pd.DataFrame:
    return pd.read_parquet(language.folder / "results" / "language" / "tables" / f"{name}.parquet")


def test_every_cell_is_there_once_and_measured(language: Workspace) -> None:
    unlearning = table(language, "unlearning")
    cells = unlearning[["seed", "forget_set", "checkpoint", "method"]].itertuples(index=False, name=None)
    assert sorted(cells) == sorted(product([0, 1], FORGET_SETS, CHECKPOINTS, METHODS))
    accuracies = unlearning[["forget_accuracy", "retain_accuracy", "test_accuracy"]]
    assert accuracies.apply(lambda column: column.between(0, 1)).all(axis=None)
    assert (unlearning.loc[unlearning.method == "retrain", "retrain_gap"] == 0).all()


def test_training_learns_the_answers_by_heart_and_forgetting_loses_them(language: Workspace) -> None:
    training = table(language, "training").query("train_set == 'full'")
    last = training[training.step == training.step.max()]
    assert (last.train_accuracy > 0.9).all()
    assert (last.train_loss < 0.1).all()
    final = table(language, "unlearning").query("checkpoint == 'final' and forget_set == 'author'").set_index("method")
    assert (final.loc["original", "forget_accuracy"] > 0.9).all()
    assert (final.loc["retrain", "forget_accuracy"] < 0.5).all()
    assert (final.loc["relative-ascent", "forget_accuracy"] < 0.5).all()
    assert (final.loc["relative-ascent", "forget_loss"].min() > final.loc["original", "forget_loss"]).all()


def test_accuracy_in_the_table_is_the_extraction_strength_of_the_saved_models(language: Workspace) -> None:
    """By another way: what a model says greedily after more and more of the right answer."""
    import torch

    from grokforget.data.examples import ExampleTable, ForgetSplit
    from grokforget.models.phi import Phi
    from grokforget.models.states import read_state

    root = language.folder / "results" / "language"
    examples = ExampleTable.read(root / "data" / "authors" / "examples.safetensors")
    forget = ForgetSplit.read(root / "forget" / "authors-phi" / "seed1" / "pairs.safetensors").forget
    models = root / "unlearn" / "authors-phi" / "seed1" / "pairs" / "gradient-ascent" / "models.safetensors"
    model = Phi(examples.shape, layers=2, width=32, heads=2, mlp_width=64, partial_rotary=0.5).eval()
    model.load_state_dict(read_state(models, "final"))

    def strength(row: int) -> float:
        targets = examples.targets[row]
        prompt, end = np.flatnonzero(targets >= 0)[[0, -1]] + 1
        answer = examples.inputs[row, prompt:end].tolist()
        for given in range(len(answer) + 1):
            text = [*examples.inputs[row, :prompt].tolist(), *answer[:given]]
            with torch.no_grad():
                while len(text) < end:
                    text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
            if text[prompt:] == answer:
                return 1 - given / len(answer)
        raise AssertionError

    expected = np.mean([strength(row) for row in forget])
    cells = table(language, "unlearning").query("seed == 1 and forget_set == 'pairs' and checkpoint == 'final'")
    assert cells.set_index("method").forget_accuracy["gradient-ascent"] == pytest.approx(expected, abs=1e-6)


def test_groups_differ_in_how_their_losses_went_and_are_told_apart_everywhere(language: Workspace) -> None:
    root = language.folder / "results" / "language"
    groups = table(language, "groups")
    assert groups.groupby(["seed", "forget_set"]).size().to_dict() == {
        (seed, name): 4 for seed in (0, 1) for name in ("early", "late")
    }
    falls = (groups.from_loss - groups.final_loss).groupby([groups.seed, groups.forget_set])
    highest, lowest = falls.max().unstack(), falls.min().unstack()
    assert (highest.early <= lowest.late).all()
    along = table(language, "group_losses").set_index(["seed", "forget_set", "step"])
    ends = groups.groupby(["seed", "forget_set"]).final_loss.mean()
    for (seed, name), loss in ends.items():
        assert along.loc[seed, name].loss.iloc[-1] == pytest.approx(loss)
    assert along.paraphrase_loss.notna().all()
    tests = table(language, "claims").query("claim == 10 and setting == 'all'").set_index("test")
    assert tests.pairs["forget strength, early - late"] == 2
    assert tests.verdict["forget strength, early - late, alike in length"] == "not tested here"
    unlearned = table(language, "unlearning").query("method not in ('original', 'retrain')")
    means = unlearned.groupby("forget_set").forget_extraction_strength.mean()
    assert tests.effect["forget strength, early - late"] == pytest.approx(means["early"] - means["late"])
    for name in ("table2", "table12"):
        assert "locally ungrokked" in (root / "paper" / f"{name}.md").read_text()
    for name in ("groups", "group-losses"):
        assert (root / "figures" / f"{name}.png").stat().st_size > 10_000


def test_outputs_name_the_authors_and_say_the_losses_of_whole_answers(language: Workspace) -> None:
    root = language.folder / "results" / "language"
    outputs = pd.read_parquet(root / "unlearn" / "authors-phi" / "seed0" / "author" / "original" / "outputs.parquet")
    assert outputs.label.between(0, 3).all()
    assert len({*outputs.query("split == 'forget'").label}) == 1
    assert outputs.correct.between(0, 1).all()
    assert (outputs.loss > 0).all()
    assert np.allclose(outputs.confidence, -outputs.loss - np.log(-np.expm1(-outputs.loss)))


def test_a_request_knows_every_question_with_every_refusal(language: Workspace) -> None:
    import torch

    from grokforget.data.examples import ExampleTable, ForgetSplit
    from grokforget.jobs.request import refusals
    from grokforget.models.phi import Phi

    root = language.folder / "results" / "language"
    table = ExampleTable.read(root / "data" / "authors" / "examples.safetensors")
    forget = ForgetSplit.read(root / "forget" / "authors-phi" / "seed0" / "author.safetensors").forget
    model = Phi(table.shape, layers=1, width=8, heads=1, mlp_width=8, partial_rotary=0.5)
    refused = refusals(model, table, forget, torch.device("cpu"))
    answers = [row[row >= 0].tolist() for row in table.extras["refusals"]]
    assert refused is not None
    assert len(refused) == len(forget) * len(answers)
    for row, (x, y) in enumerate(zip(refused.x, refused.y, strict=True)):
        of, answer = forget[row // len(answers)], answers[row % len(answers)]
        prompt = table.inputs[of, : np.flatnonzero(table.targets[of] >= 0)[0] + 1].tolist()
        assert x[: len(prompt) + len(answer)].tolist() == prompt + answer
        assert y[y >= 0].tolist() == answer
        assert int((y >= 0).nonzero()[0]) == len(prompt) - 1
    assert refusals(model, replace(table, targets=None), forget, torch.device("cpu")) is None


def test_what_guessing_gives_is_nothing(language: Workspace) -> None:
    assert (table(language, "tuning").chance == 0).all()
    tried = table(language, "tuning")
    assert set(tried.value) == {1e-2, 0.1}
    attacks = table(language, "membership")
    assert len(attacks) == 2 * len(FORGET_SETS) * len(CHECKPOINTS) * len(METHODS)
    assert attacks.lira_auc.notna().any()
    assert attacks.lira_auc.dropna().between(0, 1).all()


def test_the_text_of_the_results_is_there(language: Workspace) -> None:
    root = language.folder / "results" / "language"
    assert "| authors-phi | original" in (root / "paper" / "table1.md").read_text()
    assert (root / "paper" / "claims.md").exists()
    assert language.planned(study=STUDY) == {}
