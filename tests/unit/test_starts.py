"""Settings that go on from another setting's runs: whose segments they have, and what is the same in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grokforget.config.specs import collect, runs, unlearning
from grokforget.config.specs.base import Item
from grokforget.config.study import Study
from grokforget.jobs.prepare import prepare, split
from grokforget.jobs.train import train_segment
from grokforget.models.states import read_state
from grokforget.runtime.files import read_table, tensor_groups
from grokforget.runtime.job import Job
from small import STUDY, small

MLP = STUDY["settings"]["mlp"]


def other(
    training: dict[str, Any] | None = None, start: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A setting as ``mlp``, but for the changes, that goes on from it."""
    optimizer = {**MLP["training"]["optimizer"], **(training or {}).get("optimizer", {})}
    recipe = {**MLP["training"], **(training or {}), "optimizer": optimizer}
    return {**MLP, "training": recipe, "starts_from": {"setting": "mlp", "step": 3000, **(start or {})}, **changes}


def study(later: dict[str, Any], **changes: Any) -> Study:
    return small(settings__later=later, **changes)


LATE = {"optimizer": {"weight_decay": 0.5}}


def test_the_way_goes_through_the_other_setting() -> None:
    given = study(other({**LATE, "steps": 4500, "segment_steps": 500}))
    assert given.way("later") == [("mlp", "001"), ("later", "007"), ("later", "008"), ("later", "009")]
    assert given.segments("later") == ["007", "008", "009"]
    assert given.way("mlp") == [("mlp", "001"), ("mlp", "002")]


def test_a_way_may_go_through_several_settings() -> None:
    last = other({"steps": 9000}, {"setting": "later", "step": 6000})
    given = study(other(LATE), settings__last=last)
    assert given.way("last") == [("mlp", "001"), ("later", "002"), ("last", "003")]


def test_the_first_segment_reads_the_state_of_the_other_setting_and_the_next_its_own() -> None:
    given = study(other({**LATE, "steps": 9000}))
    states = {
        segment: runs.train(given, "later", "1", "without-random", segment)[""].inputs["state"]
        for segment in given.segments("later")
    }
    assert states == {
        "002": "train/mlp/seed1/without-random/segment001/state.safetensors",
        "003": "train/later/seed1/without-random/segment002/state.safetensors",
    }
    assert runs.train(given, "later", "1", "without-random", "002")[""].inputs["forget"].startswith("forget/later/")


def test_curves_and_snapshots_before_are_those_of_the_other_setting() -> None:
    given = study(other(LATE))
    item = runs.select(given, "later", "0")["full"]
    assert item.inputs["curves"] == [
        "train/mlp/seed0/full/segment001/curve.parquet",
        "train/later/seed0/full/segment002/curve.parquet",
    ]
    assert [file.split("/")[1] for file in item.inputs["snapshots"]] == ["mlp", "later"]
    along = unlearning.unlearn_along_training(given, "later", "0")["within"]
    assert [file.split("/")[1] for file in along.inputs["snapshots"]] == ["mlp", "later"]
    curves = [
        (run["setting"], file.split("/")[1]) for run, file in collect.training(given) if run["setting"] == "later"
    ]
    assert set(curves) == {("later", "mlp"), ("later", "later")}


def test_the_optimizers_memory_goes_on_where_it_is_the_same() -> None:
    both = ("optimizer", "gradient_filter")
    for optimizer, taken in (
        ({"weight_decay": 0.0}, both),
        ({"name": "sgd", "learning_rate": 0.1}, ("gradient_filter",)),
        ({"gradient_filter": {"kind": "grokfast-ma"}}, ("optimizer",)),
    ):
        given = study(other({"optimizer": optimizer, "steps": 9000}))
        found = [runs.train(given, "later", "0", "full", segment)[""].spec.takes_over for segment in ("002", "003")]
        assert found == [taken, both]
    assert runs.train(given, "mlp", "0", "full", "001")[""].spec.takes_over == both


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (
            other(start={"setting": "mpl"}),
            "no such setting, or goes on from this one: found 'mpl'; .*did you mean 'mlp'",
        ),
        (other(start={"setting": "later"}), "goes on from this one: found 'later'; allowed: mlp"),
        (other(start={"step": 1500}), "a start within a segment of 'mlp': found 1500; allowed: a multiple of 3000"),
        (
            other({"segment_steps": 2000}),
            "a start within a segment of 'later': found 3000; allowed: a multiple of 2000",
        ),
        (other(start={"step": 6000}), "one of the two runs is not: found 6000; allowed: above 0, up to 5999"),
        (
            other({"steps": 12000}, {"step": 9000}),
            "one of the two runs is not: found 9000; allowed: above 0, up to 6000",
        ),
        (other(start={"step": 0}), "greater than or equal to 1"),
        (other(initialisation_scale=2.0), r"starts from: found 2\.0; allowed: 1\.0"),
        (other(model={**MLP["model"], "hidden": [17]}), "not that of 'mlp', which it starts from"),
        (other(seeds=[0, 7]), r"seeds that 'mlp' does not have: found \[7\]"),
    ],
)
def test_starts_that_cannot_be_are_refused(later: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study(later)


def test_starts_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="goes on from this one: found 'last'; allowed: mlp"):
        study(other(start={"setting": "last"}), settings__last=other(start={"setting": "later"}))


def test_other_data_and_forget_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="not that of 'mlp', which it starts from: found 'more'; allowed: addition"):
        study(other(data="more"), data={"more": STUDY["data"]["addition"]})
    with pytest.raises(ValueError, match=r"forget_sets that 'mlp' does not have: found \['random'\]"):
        study(other(), settings__mlp__forget_sets=["within"])
    hard = {"hard": {"kind": "by-difficulty", "fraction": 0.2}}
    with pytest.raises(ValueError, match="drawn by difficulty, with a start from another run"):
        study(other(), forget_sets=hard)


# What is trained.
def do(job: Any, item: Item, root: Path) -> None:
    inputs = {
        what: [root / file for file in ([files] if isinstance(files, str) else files)]
        for what, files in item.inputs.items()
    }
    outputs = {what: root / file for what, file in item.outputs.items()}
    for file in outputs.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    job(Job(inputs, outputs, item.spec))


SHORT = {"steps": 100, "segment_steps": 50, "evaluate_every": 10}


def trained(root: Path, given: Study, *settings: str) -> None:
    """All segments of these settings, seed 0."""
    do(prepare, runs.prepare(given, "addition")[""], root)
    do(split, runs.split(given, "addition", "0")[""], root)
    for setting in settings:
        for segment in given.segments(setting):
            do(train_segment, runs.train(given, setting, "0", "full", segment)[""], root)


def short(later: dict[str, Any], **changes: Any) -> Study:
    return study(later, settings__mlp__training=SHORT, **changes)


def file_of(root: Path, setting: str, what: str) -> Path:
    return root / f"train/{setting}/seed0/full/segment002/{what}"


def test_going_on_with_the_same_recipe_is_the_same_to_the_byte(tmp_path: Path) -> None:
    given = short(other(SHORT, {"step": 50}))
    trained(tmp_path, given, "mlp", "later")
    for what in ("state.safetensors", "snapshots.safetensors", "curve.parquet"):
        assert file_of(tmp_path, "later", what).read_bytes() == file_of(tmp_path, "mlp", what).read_bytes()


def test_decay_that_comes_with_another_setting_is_decay_that_is_switched_on(tmp_path: Path) -> None:
    switches = {"switches": [{"step": 50, "weight_decay": 0.0}]}
    given = short(
        other({**SHORT, "optimizer": {"weight_decay": 0.0}}, {"step": 50}),
        settings__switched={
            **MLP,
            "training": {**MLP["training"], **SHORT, "optimizer": {**MLP["training"]["optimizer"], **switches}},
        },
    )
    trained(tmp_path, given, "mlp", "later", "switched")
    for what in ("state.safetensors", "curve.parquet"):
        assert file_of(tmp_path, "later", what).read_bytes() == file_of(tmp_path, "switched", what).read_bytes()
        assert file_of(tmp_path, "later", what).read_bytes() != file_of(tmp_path, "mlp", what).read_bytes()


def test_another_gradient_filter_begins_with_no_memory_and_the_same_goes_on(tmp_path: Path) -> None:
    window = {"kind": "grokfast-ma", "window": 10}
    for later, taken in ((window, True), ({"kind": "grokfast-ma", "window": 20}, False)):
        given = short(
            other({**SHORT, "optimizer": {"gradient_filter": later}}, {"step": 50}),
            settings__mlp__training__optimizer__gradient_filter=window,
        )
        trained(tmp_path, given, "mlp", "later")
        seen = read_state(file_of(tmp_path, "later", "state.safetensors"), "gradient_filter")["seen"]
        assert int(seen) == (100 if taken else 50)
        states = [file_of(tmp_path, setting, "state.safetensors").read_bytes() for setting in ("mlp", "later")]
        assert (states[0] == states[1]) == taken


def test_another_optimizer_begins_with_no_memory(tmp_path: Path) -> None:
    given = short(other({**SHORT, "optimizer": {"name": "sgd", "learning_rate": 0.1}}, {"step": 50}))
    trained(tmp_path, given, "mlp", "later")
    state = file_of(tmp_path, "later", "state.safetensors")
    assert "optimizer" in tensor_groups(file_of(tmp_path, "mlp", "state.safetensors"))
    assert "optimizer" not in tensor_groups(state), "plain SGD has no memory"
    assert read_table(file_of(tmp_path, "later", "curve.parquet")).step.min() > 50
    assert (
        read_state(state, "model").keys() == read_state(file_of(tmp_path, "mlp", "state.safetensors"), "model").keys()
    )
