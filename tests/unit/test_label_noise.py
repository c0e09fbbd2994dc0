"""Label noise: which labels are replaced and by what, and that everything that looks at training examples sees the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokforget.config.specs import runs, unlearning
from grokforget.data.examples import ExampleTable, LabelNoise, Split, TrainingExamples, read_examples
from grokforget.jobs.difficulty import difficulty
from grokforget.jobs.prepare import forget, prepare, split
from grokforget.jobs.request import PreparedRequest
from grokforget.jobs.shadow import shadow
from grokforget.jobs.train import train_segment
from grokforget.runtime.files import read_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from small import small

SHARE = 0.25
STUDY: dict[str, Any] = {
    "data": {
        "digits": {"kind": "digits", "train": 200, "validation": 100, "label_noise": SHARE},
        "clean": {"kind": "digits", "train": 200, "validation": 100},
    },
    "settings__mlp__data": "digits",
    "likelihood_ratio_attack": False,
}


def made(folder: Path, data: str = "digits", seed: str = "0") -> dict[str, Path]:
    """The files of examples and split that the jobs write."""
    study = small(**STUDY)
    files = {name: folder / f"{data}{seed}-{name}" for name in ("examples", "labels", "split")}
    prepare(Job({}, {name: files[name] for name in ("examples", "labels")}, runs.prepare(study, data)[""].spec))
    split(Job({"examples": [files["examples"]]}, {"split": files["split"]}, runs.split(study, data, seed)[""].spec))
    return files


def test_so_many_training_labels_are_those_of_other_classes_and_no_others(tmp_path: Path) -> None:
    files = made(tmp_path)
    given = ExampleTable.read(files["examples"])
    table, parts = read_examples(files["examples"], files["split"])
    changed = np.flatnonzero(table.labels != given.labels)
    assert len(changed) == round(SHARE * 200)
    assert set(changed) <= set(parts.train)
    arrays, _ = read_tensors(files["split"])
    assert np.array_equal(arrays["noisy"], changed)
    assert np.array_equal(arrays["noisy_labels"], table.labels[changed])
    assert table.labels.dtype == np.int64
    assert np.array_equal(table.inputs, given.inputs)


def test_the_split_is_the_one_without_noise(tmp_path: Path) -> None:
    noisy, clean = (made(tmp_path, data) for data in ("digits", "clean"))
    for name, part in vars(Split.read(clean["split"])).items():
        assert np.array_equal(getattr(Split.read(noisy["split"]), name), part)
    assert sorted(read_tensors(clean["split"])[0]) == ["test", "train", "validation"]
    assert noisy["examples"].read_bytes() == clean["examples"].read_bytes()


def test_noise_is_the_seeds_own(tmp_path: Path) -> None:
    labels = np.arange(1000) % 10
    draws = [
        LabelNoise.drawn(0.2, np.arange(500), labels, 10, numpy_generator(seed, "label noise")) for seed in (0, 0, 1)
    ]
    assert np.array_equal(draws[0].index, draws[1].index)
    assert np.array_equal(draws[0].labels, draws[1].labels)
    assert not np.array_equal(draws[0].index, draws[2].index)


def test_every_other_class_is_as_likely_and_every_example_is(tmp_path: Path) -> None:
    labels, train = np.repeat(np.arange(4), 3000), np.arange(6000, 12000)
    noise = LabelNoise.drawn(0.5, train, labels, 4, numpy_generator(0, "label noise"))
    assert len(noise.index) == len(set(noise.index)) == 3000
    assert np.all(np.diff(noise.index) > 0)
    assert np.all(noise.labels != labels[noise.index])
    from_to = np.zeros((4, 4))
    np.add.at(from_to, (labels[noise.index], noise.labels), 1)
    assert (from_to[:2] == 0).all(), "these classes are not trained on"
    # About 1500 of each class, 500 of them to each other one; binomial deviations are below 30.
    for row in (2, 3):
        assert abs(from_to[row].sum() - 1500) < 150
        assert np.all(np.abs(np.delete(from_to[row], row) - 500) < 120)


# All that reads labels of training examples.
def test_all_jobs_see_the_same_noisy_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, files = small(**STUDY), made(tmp_path)
    table, parts = read_examples(files["examples"], files["split"])
    data = {"examples": [files["examples"]], "split": [files["split"]]}
    seen: dict[str, np.ndarray] = {}

    (item,) = runs.train(study, "mlp", "0", "full", "001").values()

    def look(run: Any) -> None:
        raise Seen(run.splits)

    monkeypatch.setattr("grokforget.jobs.train.train_run", look)
    with pytest.raises(Seen) as told:
        train_segment(Job(data, {}, item.spec))
    for name, part in vars(parts).items():
        assert np.array_equal(told.value.examples[name].y.numpy(), table.labels[part]), name

    rule = runs.forget(study, "mlp", "0")["within"]

    def given(*arguments: Any) -> TrainingExamples:
        seen["forget"] = arguments[0]
        return TrainingExamples(*arguments)

    monkeypatch.setattr("grokforget.jobs.prepare.TrainingExamples", given)
    forget(Job(data, {"forget": tmp_path / "forget"}, rule.spec))
    assert np.array_equal(seen["forget"], table.labels[parts.train])

    spec = next(iter(unlearning.unlearn(study, "mlp", "0", "within").values())).spec
    request = PreparedRequest(Job(data, {}, spec), tmp_path / "forget", "within")
    together = np.concatenate([request.examples[name].y.numpy() for name in ("forget", "retain")])
    assert np.array_equal(np.sort(together), np.sort(table.labels[parts.train]))
    assert np.array_equal(request.examples["test"].y.numpy(), table.labels[parts.test])


class Seen(Exception):
    """Ends a job once it has its examples."""

    def __init__(self, examples: Any) -> None:
        super().__init__()
        self.examples = examples


@pytest.mark.parametrize("job", [shadow, difficulty])
def test_jobs_that_need_a_trained_model_read_their_labels_in_the_same_place(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, module = made(tmp_path), job.__module__
    table, _ = read_examples(files["examples"], files["split"])

    def look(model: Any, given: ExampleTable, index: np.ndarray, device: Any) -> None:
        assert np.array_equal(given.labels, table.labels)
        raise Seen(None)

    monkeypatch.setattr(f"{module}.encoded", look)
    (item,) = runs.train(small(**STUDY), "mlp", "0", "full", "001").values()
    with pytest.raises(Seen):
        job(Job({"examples": [files["examples"]], "split": [files["split"]]}, {}, item.spec))


# What the study says.
def test_noise_counts_for_the_split_and_not_for_the_data() -> None:
    study = small(**STUDY)
    noisy, clean = (runs.split(study, name, "0")[""].spec for name in ("digits", "clean"))
    assert (noisy.label_noise, clean.label_noise) == (SHARE, 0)
    assert runs.prepare(study, "digits")[""].spec == runs.prepare(study, "clean")[""].spec


def test_no_attack_by_shadow_models_that_were_given_other_labels() -> None:
    with pytest.raises(ValueError, match=r"label noise under `likelihood_ratio_attack`: found 0\.25"):
        small(**{**STUDY, "likelihood_ratio_attack": True})


@pytest.mark.parametrize("share", [-0.1, 1.0, True, "some"])
def test_shares_that_are_none_are_refused(share: Any) -> None:
    with pytest.raises(ValueError, match="label_noise"):
        small(data={"digits": {"kind": "digits", "train": 200, "label_noise": share}})
