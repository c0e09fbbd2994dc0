"""The light optimizers are torch's own in every bit, and cheap to make."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from grokforget.training.optimizers import adam, adamw, sgd

SOURCE = Path(__file__).parents[2] / "workflow" / "src"
CASES = [
    (sgd, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (sgd, torch.optim.SGD, {}),
    (adam, torch.optim.Adam, {}),
    (adamw, torch.optim.AdamW, {"betas": (0.9, 0.98)}),
]


@pytest.mark.parametrize(("light", "original", "more"), CASES)
def test_steps_are_those_of_the_original_class(light, original, more) -> None:
    torch.manual_seed(0)
    ours = torch.nn.Linear(5, 3)
    theirs = copy.deepcopy(ours)
    one = light(ours.parameters(), 0.05, 0.1, **more)
    two = original(theirs.parameters(), lr=0.05, weight_decay=0.1, fused=True, **more)
    for _ in range(5):
        x = torch.randn(7, 5)
        for model, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)
        assert mine.requires_grad


def test_making_and_stepping_imports_no_compiler() -> None:
    code = (
        "import sys, torch\nfrom grokforget.training.optimizers import adamw\n"
        "net = torch.nn.Linear(2, 2); optimizer = adamw(net.parameters(), 0.1, 0.1)\n"
        "net(torch.ones(1, 2)).sum().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE)}
    )
    assert done.stdout.strip() == "False"
