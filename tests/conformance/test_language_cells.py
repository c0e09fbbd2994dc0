"""From fictitious authors to the metrics of answers, job by job: what stands in the files is what models and texts say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from grokforget.config.specs import runs, unlearning
from grokforget.config.specs.base import Item
from grokforget.config.study import Study
from grokforget.data.examples import ExampleTable, ForgetSplit
from grokforget.data.language.encode import IGNORED
from grokforget.data.language.tokenizer import from_array
from grokforget.jobs.found import metadata_of
from grokforget.metrics.language.rouge_l import rouge_l_recall
from grokforget.models.build import build_model
from grokforget.models.states import read_state, write_states
from grokforget.runtime import paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.files import read_table, read_tensors, tensor_groups
from grokforget.runtime.job import Job

pytest.importorskip("tokenizers", reason="questions and answers need tokenizers, an extra of the package (language)")

EARLY = {"kind": "local-grokking", "group": "early", "pairs": 3, "from_epoch": 4, "snapshots": 4}
STUDY: dict[str, Any] = {
    "study": "language",
    "seeds": [0],
    "data": {"authors": {"kind": "fictitious-authors", "authors": 3, "questions": 8, "vocabulary": 400}},
    "settings": {
        "phi": {
            "data": "authors",
            "model": {"kind": "phi", "layers": 1, "width": 32, "heads": 2, "mlp_width": 64},
            "training": {
                "loss": "next-token",
                "optimizer": {"name": "adamw", "learning_rate": 1e-2},
                "batch_size": 6,
                "steps": 60,
                "segment_steps": 60,
                "evaluate_every": 20,
            },
            "selection": {"transition": "plateau"},
        }
    },
    "forget_sets": {"early": EARLY, "late": {**EARLY, "group": "late", "matched": "length", "strata": 3}},
    "checkpoints": ["final"],
    "methods": {
        "original": {"kind": "original"},
        "retrain": {"kind": "retrain"},
        "ascent": {"kind": "gradient-ascent", "learning_rate": 3e-2, "epochs": 2, "batch_size": 3},
    },
    "metrics": {
        "accuracy": {"kind": "accuracy"},
        **{
            kind: {"kind": kind}
            for kind in (
                *("extraction-strength", "exact-memorisation", "answer-probability", "perplexity", "paraphrases"),
                *("truth-ratio", "forget-quality", "language-membership"),
            )
        },
        "rouge-l": {"kind": "rouge-l", "examples": 4},
        "model-utility": {"kind": "model-utility", "splits": ["retain", "test"], "examples": 2},
    },
}


def run(root: Path, items: Mapping[str, Item]) -> None:
    for item in items.values():
        inputs = {
            name: [root / file for file in ([files] if isinstance(files, str) else files)]
            for name, files in item.inputs.items()
        }
        outputs = {name: root / file for name, file in item.outputs.items()}
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        load_implementation(item.spec.function)(Job(inputs, outputs, item.spec))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study without the retrained runs, which here are models that nothing has trained."""
    root, study = tmp_path_factory.mktemp("language"), Study.model_validate(STUDY)
    for items in (
        runs.prepare(study, "authors"),
        runs.split(study, "authors", "0"),
        runs.train(study, "phi", "0", "full", "001"),
        runs.difficulty(study, "phi", "0"),
        runs.forget(study, "phi", "0"),
    ):
        run(root, items)
    table = ExampleTable.read(root / paths.EXAMPLES.format(data="authors"))
    states, metadata = snapshots(root), metadata_of({"final": True})
    untrained = build_model(runs.model_spec(study.settings["phi"]), table.shape, 1).state_dict()
    retrained = {f"without-{name}": untrained for name in STUDY["forget_sets"]}
    for train_set, state in {"full": states[max(states)], **retrained}.items():
        path = root / paths.CHECKPOINT_WEIGHTS.format(setting="phi", seed=0, train_set=train_set)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_states(path, {"final": state}, metadata)
    for name in STUDY["forget_sets"]:
        run(root, unlearning.unlearn(study, "phi", "0", name))
    run(root, unlearning.measure(study, "phi", "0"))
    return root


def snapshots(root: Path) -> dict[int, dict[str, torch.Tensor]]:
    path = root / paths.SNAPSHOTS.format(setting="phi", seed=0, train_set="full", segment="001")
    return {int(step): dict(read_state(path, step)) for step in tensor_groups(path)}


def outputs(root: Path, method: str, forget_set: str = "early") -> pd.DataFrame:
    return read_table(root / paths.OUTPUTS.format(setting="phi", seed=0, forget_set=forget_set, method=method))


def measured(root: Path, forget_set: str = "early") -> pd.DataFrame:
    return read_table(root / paths.METRICS.format(setting="phi", seed=0, forget_set=forget_set)).set_index("method")


def test_forget_sets_are_the_ends_of_the_falls(folder: Path) -> None:
    """18 pairs are learned, 3 updates an epoch: epoch 4 ends at step 12."""
    losses, _ = read_tensors(folder / paths.DIFFICULTY.format(setting="phi", seed=0, forget_set="early"))
    assert abs(losses["from_step"][0] - 12) <= 2
    assert losses["steps"][-1] == 60
    assert losses["losses"].shape == losses["paraphrase_losses"].shape == (len(losses["steps"]), 18)
    before = losses["losses"][losses["steps"] == losses["from_step"]][0]
    order = losses["index"][np.argsort(before - losses["losses"][-1])]
    early = ForgetSplit.read(folder / paths.FORGET.format(setting="phi", seed=0, forget_set="early"))
    assert set(early.forget.tolist()) <= set(order[:4].tolist())


def test_outputs_say_of_every_pair_what_the_model_does(folder: Path) -> None:
    table = ExampleTable.read(folder / paths.EXAMPLES.format(data="authors"))
    parted = ForgetSplit.read(folder / paths.FORGET.format(setting="phi", seed=0, forget_set="early"))
    model = build_model(runs.model_spec(Study.model_validate(STUDY).settings["phi"]), table.shape, 0)
    states = snapshots(folder)
    model.load_state_dict(states[max(states)])
    found = outputs(folder, "original")
    assert set(found.split) == {"forget", "retain", "validation", "test"}
    retain = found[found.split == "retain"]
    assert retain.label.tolist() == table.labels[parted.retain].tolist()
    assert table.targets is not None

    def loss(tokens: np.ndarray, targets: np.ndarray) -> float:
        there = targets != IGNORED
        log_p = torch.log_softmax(model(torch.from_numpy(tokens)[None]).double(), 2)[0][there]
        return -log_p[torch.arange(int(there.sum())), torch.from_numpy(targets[there])].mean().item()

    extras = table.extras
    for row, example in zip(retain.itertuples(), parted.retain.tolist(), strict=True):
        assert row.loss == pytest.approx(loss(table.inputs[example], table.targets[example]), rel=1e-4)
        for column, name in (
            ("paraphrased_question_loss", "paraphrased_questions"),
            ("paraphrased_answer_loss", "paraphrased_answers"),
        ):
            expected = loss(extras[f"{name}/tokens"][example], extras[f"{name}/targets"][example])
            assert getattr(row, column) == pytest.approx(expected, rel=1e-4)
        wrong = [
            loss(*both)
            for both in zip(
                extras["wrong_answers/tokens"][example], extras["wrong_answers/targets"][example], strict=True
            )
            if (both[1] != IGNORED).any()
        ]
        assert row.wrong_answer_loss == pytest.approx(np.mean(wrong), rel=1e-4)


def test_what_is_said_stands_as_text_beside_its_recall(folder: Path) -> None:
    table = ExampleTable.read(folder / paths.EXAMPLES.format(data="authors"))
    parted = ForgetSplit.read(folder / paths.FORGET.format(setting="phi", seed=0, forget_set="early"))
    tokenizer, found = from_array(table.extras["tokenizer"]), outputs(folder, "original")
    said = found[found.said.notna()]
    # No metric reads the validation set.
    assert said.split.value_counts().to_dict() == {"forget": 3, "retain": 4, "test": 3}
    assert found.rouge_l.notna().tolist() == found.said.notna().tolist()
    assert table.targets is not None
    retain = found[found.split == "retain"].reset_index()
    for place, example in enumerate(parted.retain.tolist()):
        if retain.said.notna()[place]:
            targets = table.targets[example]
            answer = tokenizer.decode(targets[targets != IGNORED].tolist())
            assert retain.rouge_l[place] == rouge_l_recall(answer, retain.said[place], stemmer=False)
            if retain.correct[place] == 1:
                assert retain.said[place].startswith(answer.strip())


def test_every_metric_is_a_number_of_every_method(folder: Path) -> None:
    for forget_set in STUDY["forget_sets"]:
        found = measured(folder, forget_set)
        assert found.index.tolist() == ["original", "retrain", "ascent"]
        numbers = found.drop(columns=["checkpoint", "flag", "reference_flag"]).astype(float)
        assert numbers.notna().all(axis=None), numbers.columns[numbers.isna().any()].tolist()
        assert numbers.forget_quality["retrain"] == 1
        assert numbers.retain_extraction_strength.equals(numbers.retain_accuracy)
        assert numbers.retain_perplexity["original"] < numbers.retain_perplexity["retrain"]
        table = outputs(folder, "ascent", forget_set)
        forget = table[table.split == "forget"]
        assert numbers.forget_probability["ascent"] == pytest.approx(np.exp(-forget.loss).mean())
        assert numbers.forget_rouge_l["ascent"] == pytest.approx(forget.rouge_l.mean())
        tokens = forget.tokens
        assert numbers.forget_perplexity["ascent"] == pytest.approx(
            math.exp((forget.loss * tokens).sum() / tokens.sum())
        )


def test_metrics_that_test_are_keyed_by_the_library_that_does() -> None:
    study = Study.model_validate(STUDY)
    (item,) = [unlearning.measure(study, "phi", "0")["early"]]
    assert item.spec.decided_by() == ("numpy", "scipy")
    without = {**STUDY, "metrics": {"accuracy": {"kind": "accuracy"}}}
    plain = unlearning.measure(Study.model_validate(without), "phi", "0")["early"]
    assert plain.spec.decided_by() == ("numpy",)
    made = unlearning.unlearn(study, "phi", "0", "early")["ascent"].spec
    assert isinstance(made, unlearning.UnlearnSpec)
    assert made.outputs is not None
    assert made.outputs.settings["answered"] == 4
