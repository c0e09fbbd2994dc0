"""Groups of examples by how their loss went: hand-made falls, strata, and what is said where a group is too small."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grokforget.config.forget_sets import FORGET_SETS, LocalGrokking
from grokforget.config.specs.runs import ForgetSpec, LossesSpec, ModelSpec
from grokforget.data.examples import ExampleTable, ForgetSplit, Split, TrainingExamples
from grokforget.jobs.losses import record_losses, step_near
from grokforget.jobs.prepare import forget
from grokforget.models.states import write_states
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_tensors, write_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from tiny_language import END, VOCABULARY, TinyCausal, pairs_of, some_pairs


def examples(falls: Any, **known: Any) -> TrainingExamples:
    falls = np.array(falls, dtype=np.float64)
    arrays = {name: np.array(values) for name, values in known.items()}
    return TrainingExamples(np.zeros(len(falls), dtype=np.int64), np.zeros((len(falls), 1)), falls=falls, **arrays)


def picked(train: TrainingExamples, group: str, pairs: int, seed: int = 0, **settings: Any) -> list[int]:
    rule = LocalGrokking(group=group, pairs=pairs, **settings).spec()
    found: np.ndarray = rule.build(train, numpy_generator(seed))
    return found.tolist()


EIGHT = [0.3, 0.9, 0.001, 0.02, 0.009, 0.7, 0.51, 0.1]


# The ends


def test_groups_by_quantile_are_the_ends_of_the_falls() -> None:
    train = examples(EIGHT)
    for seed in range(5):
        assert picked(train, "early", 2, seed) == [2, 4]
        assert picked(train, "late", 2, seed) == [1, 5]
        assert picked(train, "both", 4, seed) == [1, 2, 4, 5]
        assert picked(train, "early", 4, seed, quantile=0.5) == [2, 3, 4, 7]
    # Of three early has two.
    assert len({2, 4} & set(picked(train, "both", 3))) == 2


def test_groups_by_threshold_are_those_of_the_paper() -> None:
    """.01 itself is early, .5 itself is in neither group."""
    train = examples([0.01, 0.5, 0.011, 0.501, -0.2, 0.3])
    assert picked(train, "early", 2, quantile=None) == [0, 4]
    assert picked(train, "late", 1, quantile=None) == [3]
    assert picked(train, "both", 3, quantile=None) == [0, 3, 4]
    assert picked(train, "early", 3, quantile=None, low=0.02) == [0, 2, 4]
    assert picked(train, "late", 3, quantile=None, high=0.2) == [1, 3, 5]


def test_what_is_known_word_by_word_alone_is_memorised() -> None:
    train = examples(EIGHT, gaps=[0.1, 3, 0.2, 2, 0.05, 1, 0.3, 0.4])
    assert picked(train, "memorised", 2) == [1, 3]
    assert picked(train, "generalised", 2) == [0, 4]
    assert picked(train, "memorised", 3, quantile=None) == [1, 3, 5]


def test_draws_are_independent_and_equal_falls_are_drawn() -> None:
    train = examples(np.linspace(0, 1, 40))
    drawn = {tuple(picked(train, "early", 5, draw=draw)) for draw in range(1, 9)}
    assert len(drawn) > 5
    assert all(set(one) <= set(range(10)) for one in drawn)
    assert picked(train, "early", 5, draw=3) == picked(train, "early", 5, draw=3)
    assert len({tuple(picked(examples([0.0] * 8), "late", 2, seed)) for seed in range(20)}) > 5
    everywhere = {one for seed in range(60) for one in picked(train, "random", 5, seed)}
    assert everywhere == set(range(40))


def test_what_is_no_number_is_in_no_group() -> None:
    train = examples([math.nan, 0.1, math.inf, 0.2, 0.3, 0.4, -math.inf, 0.5])
    for group, expected in {"early": {1, 3}, "late": {5, 7}, "random": {1, 3, 4, 5, 7}}.items():
        drawn = {one for seed in range(40) for one in picked(train, group, 2, seed, quantile=0.4)}
        assert drawn == expected


def test_of_a_run_that_diverged_random_examples_are_forgotten() -> None:
    train = examples([math.nan] * 8, gaps=[math.nan] * 8, lengths=range(8))
    for settings in (
        {"group": "early"},
        {"group": "late", "matched": "length"},
        {"group": "memorised", "quantile": None},
    ):
        everywhere = {one for seed in range(40) for one in picked(train, **{"pairs": 2, **settings, "seed": seed})}
        assert everywhere == set(range(8))
        assert len(picked(train, **{"pairs": 3, **settings})) == 3


# Strata


def lengths_that_decide(n: int = 240) -> TrainingExamples:
    """Falls that are the answer's length, but for a little: as a pilot found it."""
    draw = numpy_generator(5)
    lengths = draw.integers(5, 45, n)
    final = draw.gamma(2, 0.002, n)
    return examples(
        lengths / 40 + draw.normal(0, 0.15, n), lengths=lengths, final_losses=final, templates=lengths // 10 * 10
    )


@pytest.mark.parametrize("matched", ["length", "loss", "template"])
@pytest.mark.parametrize("quantile", [0.25, None])
def test_groups_that_are_matched_have_the_same_of_every_stratum(matched: str, quantile: float | None) -> None:
    train = lengths_that_decide()
    settings: dict[str, Any] = {"matched": matched, "quantile": quantile, "low": 0.6, "high": 0.65, "strata": 8}
    pairs = 12 if quantile is None else 40
    sets = {group: picked(train, group, pairs, **settings) for group in ("early", "late", "random")}
    if matched == "template":
        assert train.templates is not None
        stratum = train.templates
    else:
        values = train.lengths if matched == "length" else train.final_losses
        assert values is not None
        order, stratum = np.argsort(values, kind="stable"), np.zeros(len(train), dtype=int)
        for number, part in enumerate(np.array_split(order, 8)):
            stratum[part] = number
    counts = {group: Counter(stratum[found].tolist()) for group, found in sets.items()}
    assert counts["early"] == counts["late"] == counts["random"]
    assert counts["early"].total() == pairs
    assert not set(sets["early"]) & set(sets["late"])
    assert train.falls is not None
    falls = {group: train.falls[found] for group, found in sets.items()}
    if quantile:
        for one in counts["early"]:
            early, late = (falls[group][stratum[sets[group]] == one] for group in ("early", "late"))
            assert early.max() < late.min()
    else:
        assert falls["early"].max() <= 0.6
        assert falls["late"].min() > 0.65


def test_matching_by_length_takes_the_length_out() -> None:
    train = lengths_that_decide()
    assert train.lengths is not None
    plain, alike = (
        train.lengths[picked(train, "late", 40, matched=matched)].mean()
        - train.lengths[picked(train, "early", 40, matched=matched)].mean()
        for matched in (None, "length")
    )
    assert plain > 15
    assert abs(alike) < 2


def test_strata_by_hand() -> None:
    """Lengths 1 and 9, four examples each: a half of each stratum is the two lowest falls of one length."""
    train = examples([4, 1, 3, 2, 14, 11, 13, 12], lengths=[1, 1, 1, 1, 9, 9, 9, 9])
    settings: dict[str, Any] = {"matched": "length", "strata": 2, "quantile": 0.5}
    assert picked(train, "early", 4, **settings) == [1, 3, 5, 7]
    assert picked(train, "late", 4, **settings) == [0, 2, 4, 6]
    assert picked(train, "both", 8, **settings) == [*range(8)]
    one_of_each = np.array(picked(train, "early", 2, **settings))
    assert sorted(one_of_each // 4) == [0, 1]


# Too few


def message(train: TrainingExamples, group: str, pairs: int, **settings: Any) -> str:
    with pytest.raises(ValueError) as error:
        picked(train, group, pairs, **settings)
    return str(error.value)


@pytest.mark.parametrize("group", ["early", "late", "both", "generalised", "memorised"])
@pytest.mark.parametrize("matched", [None, "length"])
@pytest.mark.parametrize("quantile", [0.05, None])
def test_a_group_that_is_too_small_says_how_many_there_are_and_from_where_on_there_are_enough(
    group: str, matched: str | None, quantile: float | None
) -> None:
    plain = lengths_that_decide()
    train = examples(plain.falls, gaps=plain.falls, lengths=plain.lengths)
    settings: dict[str, Any] = {"matched": matched, "quantile": quantile, "low": 0.05, "high": 1.2, "strata": 4}
    if matched and quantile is None:
        # The ends overlap in length a little.
        settings |= {"low": 0.4, "high": 0.8}
    pairs = 50
    text = message(train, group, pairs, **settings)
    assert f"and {pairs // 2 if group == 'both' else pairs} were asked for" in text
    while "there would be enough" in text:
        key, value = re.findall(r"`(\w+)` (-?[\d.e-]+)", text)[0]
        before = settings[key]
        settings[key] = float(value)
        assert settings[key] != before
        try:
            assert len(picked(train, group, pairs, **settings)) == pairs
            return
        except ValueError as error:
            # Of both, the other end may be too small as well.
            assert group == "both"
            text = str(error)
    assert matched
    assert "no threshold" in text


def test_what_is_said_of_a_group_that_is_too_small_by_hand() -> None:
    train = examples(EIGHT, lengths=[1] * 4 + [9] * 4)
    assert message(train, "early", 3) == (
        "2 training examples are in the lowest 0.25 of the falls, and 3 were asked for for 'early': "
        "there would be enough from `quantile` 0.375 on"
    )
    assert message(train, "early", 3, quantile=None) == (
        "2 training examples are with falls of at most 0.01, and 3 were asked for for 'early': "
        "there would be enough from `low` 0.02 on"
    )
    assert message(train, "late", 4, quantile=None) == (
        "3 training examples are with falls of more than 0.5, and 4 were asked for for 'late': "
        "there would be enough from `high` 0.1 down"
    )
    assert "no quantile gives more than 4" in message(train, "early", 5)
    assert message(train, "random", 9) == "there are 8 training examples in all, and 9 were asked for"
    assert "matched in length" in message(train, "random", 6, matched="length", strata=2)


def test_what_is_not_known_is_said() -> None:
    nothing = TrainingExamples(np.zeros(4, dtype=np.int64), np.zeros((4, 1)))
    assert "nothing for falls to go by" in message(nothing, "early", 1)
    assert "nothing for gaps to go by" in message(examples(EIGHT), "memorised", 1)
    assert "nothing for a match in template to go by" in message(examples(EIGHT), "early", 1, matched="template")


# In a study


class Fake:
    """Data of so many training examples."""

    def __init__(self, inputs: str, train: int) -> None:
        self.inputs, self.n = inputs, train

    def extent(self) -> Any:
        return type("Extent", (), {"train": self.n})


@pytest.mark.parametrize(
    ("settings", "data", "found"),
    [
        ({"group": "early", "quantile": None, "low": 0.5}, Fake("text", 400), "low 0.5 and high 0.5"),
        ({"group": "early", "matched": "length"}, Fake("images", 400), "matched length of data of images"),
        ({"group": "memorised"}, Fake("images", 400), "group memorised of data of images"),
        ({"group": "random", "pairs": 400}, Fake("text", 400), "pairs 400 of 400"),
        ({"group": "early", "pairs": 101}, Fake("text", 400), "pairs 101 of 400"),
        ({"group": "both", "pairs": 201}, Fake("text", 400), "pairs 201 of 400"),
    ],
)
def test_settings_that_cannot_give_the_group_are_refused_before_any_work(
    settings: dict[str, Any], data: Any, found: str
) -> None:
    conflict = LocalGrokking(**{"pairs": 40, **settings}).conflict_with(data)
    assert conflict
    assert found in str(conflict[0])


def test_settings_that_can_are_not_refused() -> None:
    for settings in ({"group": "early", "pairs": 100}, {"group": "both", "pairs": 200}, {"group": "random"}):
        assert LocalGrokking(**{"pairs": 40, **settings}).conflict_with(Fake("text", 400)) is None
    rule = FORGET_SETS["noisy"](intended={"kind": "local-grokking", "group": "late", "pairs": 4})
    assert rule.difficulty() == {"from_epoch": 20, "snapshots": 20}


# Losses along a run


@pytest.mark.parametrize(
    ("epoch", "batch_size", "expected"),
    # 100 examples: 7 updates of 16 an epoch, 1 of all.
    [(1, 16, 7), (2, 16, 13), (20, 16, 140), (20, None, 20), (20, 1000, 20)],
)
def test_the_snapshot_nearest_to_the_end_of_an_epoch(epoch: float, batch_size: int | None, expected: int) -> None:
    assert step_near([0, 1, 7, 13, 18, 20, 100, 140, 700], epoch, 100, batch_size) == expected


@pytest.mark.parametrize("epoch", [3, 50, 100, 1000])
def test_an_epoch_without_a_snapshot_near_it_or_at_the_end_is_refused(epoch: float) -> None:
    with pytest.raises(ValueError, match="more `snapshots_per_decade`"):
        step_near([0, 1, 7, 100, 700], epoch, 100, 16)


class Sure(nn.Module):
    """A tiny language model whose logits are as large as its one weight says."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.sureness = nn.Parameter(torch.ones(()))
        self.model = TinyCausal()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sureness * self.model(x)


def test_losses_are_recorded_along_the_run_and_forget_sets_are_drawn_by_them(tmp_path: Path) -> None:
    """Of 20 texts 16 are learned, in batches of 4; the run has five snapshots, each surer of what it says."""
    prompts, answers = some_pairs(TinyCausal(), 20, 0.6)
    pairs = pairs_of(prompts, answers)
    reworded = pairs_of(prompts[::-1], answers)
    reworded.y[3] = -100
    table = ExampleTable(
        pairs.x.numpy(),
        np.arange(20) % 4,
        4,
        VOCABULARY,
        targets=pairs.y.numpy(),
        extras={
            "paraphrased_questions/tokens": reworded.x.numpy(),
            "paraphrased_questions/targets": reworded.y.numpy(),
            "templates": np.arange(20) % 3,
            "special_tokens": np.array([END, 1]),
        },
    )
    table.write(tmp_path / "examples")
    split = Split(np.arange(2, 18), np.array([0, 1]), np.array([18, 19]))
    split.write(tmp_path / "split")
    model = ModelSpec(implementation=f"{__name__}:Sure")
    steps = {0: 0.0, 4: 0.3, 9: 0.5, 20: 1.0, 40: 2.0}
    states = {}
    for step, sureness in steps.items():
        state = Sure(None).state_dict()
        states[str(step)] = {**state, "sureness": torch.tensor(sureness)}
    write_states(tmp_path / "snapshots", states)
    inputs = {name: [tmp_path / name] for name in ("examples", "split", "snapshots")}
    spec = LossesSpec(
        model=model,
        objective=ComponentSpec(implementation="grokforget.training.language:Language"),
        seed=0,
        threads=1,
        device="cpu",
        from_epoch=2,
        snapshots=1,
        batch_size=4,
    )
    record_losses(Job(inputs, {"difficulty": tmp_path / "difficulty"}, spec))
    found, _ = read_tensors(tmp_path / "difficulty")
    assert found["index"].tolist() == split.train.tolist()
    # Epoch 2 ends at step 8; one of the others is the nearest to the beginning of the grid.
    assert found["from_step"].tolist() == [9]
    assert {9, 40} <= set(found["steps"].tolist())
    for step, losses, others in zip(found["steps"], found["losses"], found["paraphrase_losses"], strict=True):
        for row, example in enumerate(split.train.tolist()):
            for given, value in ((pairs, losses[row]), (reworded, others[row])):
                there = given.y[example] != -100
                logits = steps[int(step)] * TinyCausal()(given.x[example][None])[0][there]
                plain = torch.log_softmax(logits.double(), 1)[torch.arange(len(logits)), given.y[example][there]]
                assert value == pytest.approx(-plain.mean().item() if there.any() else math.nan, rel=1e-4, nan_ok=True)

    rule = LocalGrokking(group="late", pairs=3)
    spec_of_set = ForgetSpec(forget_set=rule.spec(), name="late", seed=7)
    given = {"examples": inputs["examples"], "split": inputs["split"], "difficulty": [tmp_path / "difficulty"]}
    forget(Job(given, {"forget": tmp_path / "forget"}, spec_of_set))
    falls = found["losses"][found["steps"].tolist().index(9)] - found["losses"][-1]
    answer = ForgetSplit.read(tmp_path / "forget")
    assert set(answer.forget.tolist()) <= set(split.train[np.argsort(falls)[-4:]].tolist())
    # A run that diverged at step 9: there is no snapshot near epoch 20, and what is forgotten is drawn all the same.
    lost = {**states["9"], "sureness": torch.tensor(math.nan)}
    write_states(tmp_path / "diverged", {"0": states["0"], "9": lost})
    snapshots = {**inputs, "snapshots": [tmp_path / "diverged"]}
    late = spec.model_copy(update={"from_epoch": 20})
    record_losses(Job(snapshots, {"difficulty": tmp_path / "none"}, late))
    unknown, _ = read_tensors(tmp_path / "none")
    assert unknown["from_step"].tolist() == [9]
    assert np.isnan(unknown["losses"][-1]).all()
    forget(Job({**given, "difficulty": [tmp_path / "none"]}, {"forget": tmp_path / "drawn"}, spec_of_set))
    assert len(ForgetSplit.read(tmp_path / "drawn").forget) == 3
    # With all that a rule may go by.
    everything = ComponentSpec(implementation=f"{__name__}:look", settings={})
    forget(Job(given, {"forget": tmp_path / "again"}, spec_of_set.model_copy(update={"forget_set": everything})))
    (seen,) = SEEN
    assert seen.falls is not None
    np.testing.assert_array_equal(seen.falls, falls)
    np.testing.assert_array_equal(seen.final_losses, found["losses"][-1])
    np.testing.assert_array_equal(seen.gaps, found["paraphrase_losses"][-1] - found["losses"][-1])
    assert seen.lengths is not None
    assert seen.lengths.tolist() == [len(answers[example]) for example in split.train]
    assert seen.templates is not None
    assert seen.templates.tolist() == [example % 3 for example in split.train]
    # Scores of other examples are refused.
    write_tensors(tmp_path / "others", {**found, "index": found["index"] + 1})
    with pytest.raises(ValueError, match="is not of the training examples"):
        forget(Job({**given, "difficulty": [tmp_path / "others"]}, {"forget": tmp_path / "never"}, spec_of_set))


SEEN: list[TrainingExamples] = []


def look(train: TrainingExamples, generator: np.random.Generator) -> np.ndarray:
    SEEN.append(train)
    return np.array([0])
