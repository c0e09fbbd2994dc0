"""Two and three processes that train together give what one gives. In float64: what is left is rounding, not a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.runtime.together import run_together
from grokforget.training.data_parallel import ALONE, Group, joined, synchronise_batch_norms
from grokforget.training.loop import start, train
from grokforget.training.modes import frozen_statistics
from grokforget.training.state import load_training, save_training

pytestmark = pytest.mark.xdist_group("data parallel")  # One run of the processes is enough for all tests.
STOP = 12
TOLERANCE = 1e-8
"""Of weights, losses and statistics after all steps: a batch norm of two examples makes much of rounding, a wrong formula
leaves no three digits."""
IN_FLOAT32 = 1e-4
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAMW = {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}
PLAIN: dict[str, Any] = {"loss": "cross-entropy", "optimizer": SGD, "batch_size": 8}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "a batch that is cut evenly": ("cnn", {"batch_size": 6}),
    "a batch that is not": ("cnn", {"batch_size": 7}),
    # Of 22 training images: the last batch of an epoch holds a single one, and all processes but one have none.
    "a batch of one": ("cnn", {"batch_size": 3}),
    "the full batch": ("cnn", {"batch_size": None, "optimizer": ADAMW, "loss": "mse"}),
    "crops and flips": ("cnn", {"augmentation": {"kind": "crop-flip", "padding": 1}}),
    "filtered": ("cnn", {"optimizer": {**SGD, "gradient_filter": {"kind": "grokfast-ema"}}}),
    "uphill": ("cnn", {"optimizer": {**SGD, "sam_rho": 0.1}}),
    "batch norm": ("normed", {}),
    "batch norm, unevenly": ("normed", {"batch_size": 7}),
    "batch norm of few": ("normed", {"batch_size": 10}),
    "batch norm uphill": ("normed", {"optimizer": {**ADAMW, "sam_rho": 0.1}}),
    "one that diverges": ("cnn", {"optimizer": {**SGD, "learning_rate": 100.0}, "loss": "mse"}),
}


def settings(**changes: Any) -> TrainingSettings:
    grids = {"steps": STOP, "segment_steps": STOP, "evaluate_every": 4, "snapshot_change": 0.1}
    return TrainingSettings.model_validate({**PLAIN, **grids, **changes})


def examples(n: int) -> Examples:
    generator = torch.Generator().manual_seed(n)
    return Examples(torch.randn(n, 2, 5, 4, generator=generator).double(), torch.arange(n) % 3)


# Of the test set every process but one has none.
SPLITS = {"train": examples(22), "validation": examples(9), "test": examples(1)}


def network(kind: str) -> nn.Module:
    torch.manual_seed(3)
    normed = kind == "normed"
    layers: list[nn.Module] = [nn.Conv2d(2, 4, 3, padding=1), *([nn.BatchNorm2d(4)] if normed else []), nn.ReLU()]
    layers += [nn.Conv2d(4, 5, 3), *([nn.BatchNorm2d(5, affine=False)] if normed else []), nn.ReLU(), nn.Flatten()]
    layers += [nn.Dropout(0.5)] if kind == "dropout" else []
    layers += [nn.Linear(30, 6), *([nn.BatchNorm1d(6, momentum=None)] if normed else []), nn.Linear(6, 3)]
    return nn.Sequential(*layers).double()


def trained(case: str, group: Group, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """What comes of a case: curve, steps of the snapshots, weights and statistics, memory of the optimizer."""
    torch.manual_seed(0)
    kind, changes = CASES[case]
    given = settings(**changes)
    state = start(network(kind).to(dtype), given.recipe().optimizer)
    splits = {name: Examples(each.x.to(dtype), each.y) for name, each in SPLITS.items()}
    segment = train(state, splits, given.recipe(), given.objective().build(), seed=5, stop=STOP, group=group)
    slots = state.optimizer.state_dict()["state"]
    memory = {f"{index}.{key}": torch.as_tensor(v) for index, slot in slots.items() for key, v in slot.items()}
    return {
        "rows": segment.curve,
        "snapshots": segment.snapshots,
        "diverged": state.diverged,
        "tensors": {**state.model.state_dict(), **memory},
    }


def dropped(group: Group, folder: Path, stops: tuple[int, ...]) -> dict[str, Tensor]:
    """The weights of a run of a model that draws, in segments, each from the file of the one before."""
    given, torch_state = settings(), torch.get_rng_state()
    torch.manual_seed(7)
    state = start(network("dropout"), given.recipe().optimizer)
    for stop in stops:
        train(state, SPLITS, given.recipe(), given.objective().build(), seed=5, stop=stop, group=group)
        path = folder / f"{len(stops)}.{stop}"
        if group.is_first:
            save_training(path, state)
        group.agreed(0)
        state = load_training(path, network("dropout"), given.recipe().optimizer)
    torch.set_rng_state(torch_state)
    return state.model.state_dict()


def mask(group: Group) -> Tensor:
    """What dropout leaves of ones, of a process's part in the first step."""
    model, given = network("dropout"), settings()
    kept: list[Tensor] = []
    layer = next(layer for layer in model if isinstance(layer, nn.Dropout))
    layer.register_forward_pre_hook(lambda _, args: (torch.ones_like(args[0]),))
    layer.register_forward_hook(lambda _, args, output: kept.append(output.detach()) if layer.training else None)
    state = start(model, given.recipe().optimizer)
    train(state, SPLITS, given.recipe(), given.objective().build(), seed=5, stop=1, group=group)
    return kept[0]


def work(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(rank, size, folder / "meeting", "cpu") as group:
        found: dict[str, Any] = {case: trained(case, group) for case in CASES}
        found["float32"] = trained("batch norm", group, torch.float32)
        found["whole"] = dropped(group, folder, (STOP,))
        found["cut"] = dropped(group, folder, (1, 5, STOP))
        found["mask"] = mask(group)
    torch.save(found, folder / f"found{rank}")


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of so many processes found, of all cases."""
    folder = tmp_path_factory.mktemp("together")
    run_together(work, request.param, request.param, folder)
    return [torch.load(folder / f"found{rank}") for rank in range(request.param)]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("case", CASES)
def test_they_give_what_one_gives(together: list[dict[str, Any]], case: str) -> None:
    expected, found = trained(case, ALONE), together[0][case]
    diverged = case == "one that diverges"
    assert (found["diverged"], expected["diverged"]) == (diverged, diverged)
    assert found["snapshots"] == expected["snapshots"]
    assert [list(row) for row in found["rows"]] == [list(row) for row in expected["rows"]]
    for row, like in zip(found["rows"], expected["rows"], strict=True):
        assert {name: type(value) for name, value in row.items()} == {name: type(value) for name, value in like.items()}
        if not row["diverged"]:
            assert row == pytest.approx(like, rel=TOLERANCE)
    if not diverged:
        torch.testing.assert_close(found["tensors"], expected["tensors"], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.usefixtures("one_thread")
def test_in_float32_too(together: list[dict[str, Any]]) -> None:
    expected, found = trained("batch norm", ALONE, torch.float32), together[0]["float32"]
    for row, like in zip(found["rows"], expected["rows"], strict=True):
        assert row == pytest.approx(like, rel=IN_FLOAT32)
    torch.testing.assert_close(found["tensors"], expected["tensors"], rtol=IN_FLOAT32, atol=IN_FLOAT32)


@pytest.mark.parametrize("case", [*CASES, "whole", "cut"])
def test_all_have_the_same_bits(together: list[dict[str, Any]], case: str) -> None:
    first, *others = (found[case].get("tensors", found[case]) for found in together)
    assert all(other.keys() == first.keys() for other in others)
    assert all(torch.equal(other[name].nan_to_num(), first[name].nan_to_num()) for other in others for name in first)


def test_a_run_cut_into_segments_is_the_whole_to_the_bit_also_where_a_model_draws(
    together: list[dict[str, Any]],
) -> None:
    whole, cut = together[0]["whole"], together[0]["cut"]
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_each_draws_for_its_own_part(together: list[dict[str, Any]]) -> None:
    found = [each["mask"] for each in together]
    assert sum(map(len, found)) == PLAIN["batch_size"]
    assert len({part[:2].numpy().tobytes() for part in found}) == len(found)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_parts_are_even_and_make_up_the_whole(n: int, size: int) -> None:
    parts = [list(range(n))[Group(rank, size).part(n)] for rank in range(size)]
    assert [x for part in parts for x in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def looked(norm: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What a batch norm makes of x in every mode, one after the other, and the statistics that this leaves."""
    found = {"moving": norm(x)}
    with frozen_statistics(norm):
        found["frozen"] = norm(x)
    found |= {name: value.clone() for name, value in norm.state_dict().items()}
    found["half"] = norm(x.bfloat16())
    found["eval"] = norm.eval()(x)
    return found


def look_together(rank: int, folder: Path) -> None:
    with joined(rank, 2, folder / "meeting", "cpu") as group:
        norm = nn.BatchNorm2d(3)
        synchronise_batch_norms(norm)
        found = looked(norm, far()[group.part(len(far()))])
    torch.save(found, folder / f"found{rank}")


def far() -> Tensor:
    """Inputs whose mean is not near the running mean of a new batch norm."""
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 + 5


@pytest.mark.usefixtures("one_thread")
def test_a_batch_norm_in_every_mode(tmp_path: Path) -> None:
    run_together(look_together, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"found{rank}") for rank in range(2))
    for name, expected in looked(nn.BatchNorm2d(3), far()).items():
        tolerance = 1e-2 if name == "half" else 1e-5
        found = torch.cat([first[name], second[name]]) if expected.dim() == 4 else first[name]
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, msg=name)
