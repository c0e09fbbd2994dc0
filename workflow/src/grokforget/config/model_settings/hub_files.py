"""What the files of a model say of it without any library: its sizes, its tokens and what ends its texts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from grokforget.config.base import problem
from grokforget.config.data_settings.own import absolute, there

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
END = "<|endoftext|>"
"""What ends a text where a tokenizer does not say it."""


def model_folder(path: str) -> str:
    """A validator of paths: the folder of a whole model in safetensors."""
    folder = absolute(there(path, "folder", absolute(path).is_dir()))
    if not (folder / CONFIG).is_file():
        raise problem(f"no {CONFIG} in {folder}", path, "a model's folder, with its config.json and its safetensors")
    told = read_json(folder / CONFIG)
    if not isinstance(told.get("model_type"), str):
        raise problem(f"no model_type in {folder / CONFIG}", sorted(told)[:8], "the config.json of a model of the hub")
    if (folder / "adapter_config.json").is_file():
        raise problem(f"an adapter in {folder}", "adapter_config.json", "a model with the adapter merged into it")
    weights = weight_files(folder)
    if not weights:
        others = sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        allowed = (
            f"{WEIGHTS}, or {INDEX} and its parts, as save_pretrained writes them: nothing that is loaded can run code"
        )
        raise problem(f"no weights in safetensors in {folder}", ", ".join(others) or "no weights at all", allowed)
    for file in weights:
        tensors_of(file)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """What stands in a file of JSON, a mapping. Raises a problem that names the file."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise problem(f"a file that cannot be read, {path}", str(error), "JSON, whole") from error
    if not isinstance(told, dict):
        raise problem(f"a file of another form, {path}", type(told).__name__, "a mapping in JSON")
    return told


def weight_files(folder: Path) -> list[Path]:
    """The files of the weights; none where there are none. Raises a problem where one of several is missing."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise problem(
            f"no {missing[0]} in {folder}", f"{len(names) - len(missing)} of {len(names)} parts", "all of them"
        )
    return [folder / name for name in names]


def files_of(path: str) -> list[str]:
    """What is read of a model's folder, as absolute paths."""
    folder = absolute(path)
    index = [] if (folder / WEIGHTS).is_file() else [folder / INDEX]
    return [str(file) for file in (folder / CONFIG, *index, *weight_files(folder))]


def tensors_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by name of the tensors of a .safetensors file, by its header alone. Raises a problem where it is not whole."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            header = json.loads(file.read(length)) if length <= size else {}
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=-1)
        if 8 + length + end != size:
            raise ValueError(
                f"{size} bytes, of which the header tells {8 + length + end}" if header else f"{size} bytes"
            )
        return {name: tuple(tensor["shape"]) for name, tensor in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        allowed = "a .safetensors file, whole (a file of some hundred bytes is what Git LFS leaves in its place)"
        raise problem(f"weights that cannot be read, {path}", str(error), allowed) from error


class Sizes:
    """What the files of a model in a folder say of how large it is."""

    def __init__(self, path: str) -> None:
        told = read_json(absolute(path) / CONFIG)
        self.config = {**told, **told.get("text_config", {})}
        self.tensors = {
            name: shape for file in weight_files(absolute(path)) for name, shape in tensors_of(file).items()
        }

    def number(self, *names: str) -> int:
        """The first of these keys of ``config.json`` that is a number, and 0 where none is."""
        return next((value for name in names if isinstance(value := self.config.get(name), int)), 0)

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return self.number("vocab_size")

    @property
    def width(self) -> int:
        return self.number("hidden_size", "n_embd", "d_model")

    @property
    def layers(self) -> int:
        return self.number("num_hidden_layers", "n_layer", "num_layers")

    @property
    def heads(self) -> int:
        return self.number("num_attention_heads", "n_head", "num_heads")

    @property
    def parameters(self) -> int:
        """Of all tensors in its files."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    def matrices(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) by name of the weights of the linear layers within the blocks, whose names have the block's number:
        embeddings and the output layer lie outside."""
        flipped = self.config.get("model_type") == "gpt2"
        found = {
            name: shape
            for name, shape in self.tensors.items()
            if len(shape) == 2 and name.endswith(".weight") and any(part.isdigit() for part in name.split("."))
        }
        return {name: (shape[1], shape[0]) if flipped else (shape[0], shape[1]) for name, shape in found.items()}


def ends_of(path: str) -> set[int]:
    """The tokens that end a text by ``config.json`` and ``generation_config.json`` of a model's folder; none where they do not
    say it."""
    folder = absolute(path)
    configs = [Sizes(path).config]
    if (folder / "generation_config.json").is_file():
        configs.append(read_json(folder / "generation_config.json"))
    told = (one.get("eos_token_id") for one in configs)
    return {end for one in told if one is not None for end in (one if isinstance(one, list) else [one])}


def tokens_of(files: Sequence[str]) -> dict[str, int]:
    """Number by token of the files of a tokenizer, special ones included."""
    first = Path(files[0])
    return _tokens(first, first.stat().st_mtime_ns)


@cache
def _tokens(path: Path, changed: int) -> dict[str, int]:
    told = read_json(path)
    if path.name != "tokenizer.json":
        return told
    known = told.get("model", {}).get("vocab", {})
    # Unigram models have (token, score) in the order of their numbers.
    tokens = dict(known) if isinstance(known, dict) else {entry[0]: number for number, entry in enumerate(known)}
    return tokens | {token["content"]: token["id"] for token in told.get("added_tokens", [])}


def end_of(files: Sequence[str]) -> str:
    """The token that ends a text, by ``tokenizer_config.json`` among the files of a tokenizer."""
    configs = [read_json(Path(file)) for file in files if Path(file).name == "tokenizer_config.json"]
    told: Any = configs[0].get("eos_token") if configs else None
    found: str | None = told.get("content") if isinstance(told, dict) else told
    return found or END
