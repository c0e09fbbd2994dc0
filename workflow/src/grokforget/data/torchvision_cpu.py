"""torchvision, importable beside any build of torch.

PyPI's Linux wheel of torchvision is built against CUDA. Beside a CPU-only torch its compiled operators do not load, and
``import torchvision`` stops at "operator torchvision::nms does not exist", because it registers further properties of
the operators ``nms`` and ``qnms``. Declaring the two before the import is enough for data sets, models and transforms;
calling them remains an error, as it should.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@cache
def torchvision() -> ModuleType:
    """Import torchvision, declaring the operators that this installation lacks.

    Raises ImportError as the import itself does where torchvision is not installed.
    """
    for library in _declared():
        # The declarations live as long as the object that made them.
        _KEPT.append(library)
    import torchvision as module

    return module


_KEPT: list[object] = []


def _declared() -> list[object]:
    """Declare the missing operators; nothing where the compiled ones load by themselves."""
    _load_compiled()
    missing = [name for name in SCHEMAS if not _exists(name)]
    if not missing:
        return []
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        library.define(SCHEMAS[name])
    return [library]


def _load_compiled() -> None:
    """Load torchvision's compiled operators, if they fit this torch, as its own import is about to."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("torchvision")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for compiled in Path(place).glob("_C*.so"):
            try:
                torch.ops.load_library(compiled)
            except OSError:
                continue


def _exists(name: str) -> bool:
    try:
        return hasattr(torch.ops.torchvision, name)
    except RuntimeError:
        return False
