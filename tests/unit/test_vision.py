"""torchvision beside a torch that its compiled operators were not built for, and beside one that they fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "workflow" / "src"
USE = """
import torch
from grokforget.data.torchvision_cpu import torchvision
vision = torchvision()
net = vision.models.resnet18(num_classes=10).eval()
assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
assert vision.datasets.CIFAR10 and vision.transforms.functional.hflip(torch.eye(2)[None])[0, 0, 1] == 1
assert torchvision() is vision
"""
# What the compiled library does when it fits: declare (and implement) the operators before anybody else does.
FITTING = """
import torch
ready = torch.library.Library("torchvision", "DEF")
ready.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
ready.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
ready.impl("nms", lambda dets, scores, threshold: torch.tensor([7]), "CPU")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


def test_models_data_sets_and_transforms_work_whatever_this_torch_is_built_for() -> None:
    done = run(USE)
    assert done.returncode == 0, done.stderr


def test_operators_that_are_there_are_left_alone() -> None:
    """The compiled ones where they fit this torch, otherwise ones that stand in for them."""
    if run("import torchvision").returncode == 0:
        done = run(USE + "assert torch.ops.torchvision.nms(torch.eye(4)[:1], torch.ones(1), 0.5).tolist() == [0]")
    else:
        done = run(FITTING + USE + "assert torch.ops.torchvision.nms(torch.eye(4)[:1], torch.ones(1), 0.5).item() == 7")
    assert done.returncode == 0, done.stderr


def test_the_module_is_needed_where_the_plain_import_fails() -> None:
    """On a machine where the plain import works this only says so; where it fails it fails for the reason that we mend."""
    done = run("import torchvision")
    assert done.returncode == 0 or "operator torchvision::nms does not exist" in done.stderr
