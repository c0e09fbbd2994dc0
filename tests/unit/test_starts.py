"""Settings that have something of another setting's runs: all that was trained up to a step, or some layers to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.specs import collect, runs, unlearning
from grokforget.config.specs.base import Item
from grokforget.config.study import Study
from grokforget.jobs.prepare import prepare, split
from grokforget.jobs.train import train_segment
from grokforget.models.states import read_state
from grokforget.models.transfer import transfer
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
            "no such setting, or one that goes on from this one: found 'mpl'; .*did you mean 'mlp'",
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
    with pytest.raises(ValueError, match="drawn by difficulty, with another setting's runs"):
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


# Layers to begin with.
def giving(step: int = 50, layers: list[str] | None = None, **changes: Any) -> Study:
    """A study in which ``mlp`` gives ``given`` its first layer."""
    given = {**MLP, "training": {**MLP["training"], **SHORT, **changes.pop("training", {})}}
    given["transfer"] = {"setting": "mlp", "step": step, "layers": layers or ["features.0"]}
    return small(settings__mlp__training=SHORT, settings__given={**given, **changes.pop("setting", {})}, **changes)


def test_the_first_segment_reads_the_other_run_and_no_later_one() -> None:
    given = giving(100)
    (first,), (second,) = (runs.train(given, "given", "1", "without-within", one).values() for one in ("001", "002"))
    assert first.inputs["donor"] == "train/mlp/seed1/without-within/segment002/state.safetensors"
    assert first.spec.transferred == ("features.0",)
    assert "state" not in first.inputs
    assert "donor" not in second.inputs
    assert second.spec.transferred == ()
    (of_donor,) = runs.train(given, "mlp", "1", "without-within", "001").values()
    assert of_donor.spec.transferred == ()


def test_the_layer_is_the_others_and_all_else_is_drawn(tmp_path: Path) -> None:
    given = giving()
    trained(tmp_path, given, "mlp", "given")
    begun = {
        setting: read_state(tmp_path / f"train/{setting}/seed0/full/segment001/snapshots.safetensors", "0")
        for setting in ("mlp", "given")
    }
    donor = read_state(tmp_path / "train/mlp/seed0/full/segment001/state.safetensors", "model")
    assert torch.equal(begun["given"]["features.0.weight"], donor["features.0.weight"])
    assert not torch.equal(begun["given"]["features.0.weight"], begun["mlp"]["features.0.weight"])
    assert torch.equal(begun["given"]["output.weight"], begun["mlp"]["output.weight"])


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def test_layers_and_single_parameters_are_copied_by_name() -> None:
    donor, model = network(), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    donor[1].running_mean.fill_(3.0)
    transfer(donor.state_dict(), model, ["1", "2.weight"])
    for name, value in model.state_dict().items():
        taken = name.startswith("1.") or name == "2.weight"
        assert torch.equal(value, donor.state_dict()[name] if taken else before[name]), name
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["3"], r"the layer '3' to transfer has \[\] in this model, \[\] in the other one; layers here: 0, 1, 2"),
        (["0.wei"], "the layer '0.wei'"),
        (["0"], r"0\.bias, to transfer, is \(4,\) in this model, \(5,\) in the other one"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        transfer(network(5).state_dict(), network(), layers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"step": 75},
            "a step at which no segment of 'mlp' ends: found 75; allowed: a multiple of 50 above 0, up to 100",
        ),
        ({"step": 150}, "found 150; allowed: a multiple of 50 above 0, up to 100"),
        ({"setting": {"seeds": [5]}}, r"seeds that 'mlp' does not have: found \[5\]"),
        (
            {"setting": {"data": "more"}, "data": {"more": STUDY["data"]["addition"]}},
            "not that of 'mlp', whose layers it has: found 'more'; allowed: addition",
        ),
        (
            {"setting": {"starts_from": {"setting": "mlp", "step": 50}}},
            "layers that are transferred, with a start from another run",
        ),
        (
            {"setting": {"transfer": {"setting": "given", "step": 50, "layers": ["output"]}}},
            "no such setting, or one that goes on from this one: found 'given'; allowed: mlp",
        ),
    ],
)
def test_transfers_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        giving(**changes)


def test_another_model_may_give_and_take() -> None:
    """A smaller one, say, of which the embedding has the same shape: that is seen by the job."""
    given = giving(setting={"model": {**MLP["model"], "hidden": [16, 8]}})
    (first,) = runs.train(given, "given", "0", "full", "001").values()
    assert first.spec.model != runs.train(given, "mlp", "0", "full", "001")[""].spec.model
