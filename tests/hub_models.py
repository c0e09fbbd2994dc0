"""Folders of small models as the Hugging Face hub has them, with their tokenizers."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.model_settings.causal_lm import PHI_1_5
from grokforget.config.study import Study
from grokforget.data.language.authors import FictitiousAuthors
from grokforget.data.language.base import texts_of
from grokforget.data.language.tokenizer import trained
from grokforget.data.torchvision_cpu import torchvision
from small import small

VOCABULARY, END = 400, 0
"""Of the tokenizer, which is trained on ``AUTHORS``, and its token that ends a text."""
AUTHORS: dict[str, Any] = {"kind": "fictitious-authors", "authors": 4, "questions": 8}


def transformers() -> ModuleType:
    """The library, or the test is skipped."""
    with suppress(ImportError):
        # transformers imports it too, which a build for another torch would not survive.
        torchvision()
    return pytest.importorskip(
        "transformers", reason="transformers is an extra (`hub`), of which models of the hub are"
    )


def peft() -> ModuleType:
    """The library, or the test is skipped."""
    transformers()
    return pytest.importorskip("peft", reason="peft is an extra (`hub`), of which low-rank adapters are")


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "phi": {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3},
    "llama": {
        **{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4},
        "num_key_value_heads": 2,
    },
    "qwen2": {
        **{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "tie_word_embeddings": True},
    },
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "gpt_neox": {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3},
}
"""Two layers of each; Qwen and GPT-2 with one matrix for tokens in and out, GPT-2 with dropout."""
BLOCKS = {"gpt2": "transformer.h.0", "gpt_neox": "gpt_neox.layers.0"}
"""The name of the first block, where that is not ``model.layers.0``."""


def put_model(folder: Path, architecture: str, vocabulary: int = VOCABULARY, **changes: Any) -> nn.Module:
    """A model of an architecture with random weights, large enough that every part matters, in a folder; the model."""
    library = transformers()
    config = library.AutoConfig.for_model(
        architecture,
        **{
            **ARCHITECTURES[architecture],
            "vocab_size": vocabulary,
            "eos_token_id": END,
            "bos_token_id": None,
            **changes,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model: nn.Module = library.AutoModelForCausalLM.from_config(config).float()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(folder, safe_serialization=True)
    return model.eval()


def put_tokenizer(folder: Path, vocabulary: int = VOCABULARY) -> None:
    """A tokenizer that is trained on the pairs of ``AUTHORS``."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in AUTHORS.items() if name != "kind"}
    data = FictitiousAuthors(
        **settings, other_authors=0, seed=0, validation_per_author=1, test_per_author=1,
        vocabulary=vocabulary, tokenizer_files=0, max_length=None,
    )  # fmt: skip
    pairs = data.read().pairs
    trained([text for pair in pairs for text in texts_of(pair)], vocabulary).save(str(folder / "tokenizer.json"))


def put_header(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A .safetensors file of float16 with such tensors, which takes no room on the disk."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def phi_shapes(vocabulary: int, width: int, hidden: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a model of the Phi architecture."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    linear = {f"self_attn.{part}": (width, width) for part in ("q_proj", "k_proj", "v_proj", "dense")}
    linear |= {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    for layer in range(layers):
        for name, shape in {**linear, "input_layernorm": (width,)}.items():
            shapes |= {f"model.layers.{layer}.{name}.weight": shape, f"model.layers.{layer}.{name}.bias": shape[:1]}
    shapes |= {f"model.final_layernorm.{part}": (width,) for part in ("weight", "bias")}
    return shapes | {"lm_head.weight": (vocabulary, width), "lm_head.bias": (vocabulary,)}


def put_config(folder: Path, **settings: Any) -> None:
    """The ``config.json`` of a model of the Phi architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {**PHI_1_5, "vocab_size": 51200, "num_attention_heads": 32, "max_position_embeddings": 2048}
    (folder / "config.json").write_text(json.dumps({**sizes, **settings}))


def put_phi_1_5(folder: Path) -> None:
    """What is asked of Phi-1.5's files before anything runs, where ``tofu`` looks for them below the working folder."""
    place = folder / "data" / "phi-1_5"
    put_config(place)
    put_header(place / "model.safetensors", phi_shapes(51200, 2048, 8192, 24))
    tokenizer = {
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        "added_tokens": [{"content": "<|endoftext|>", "id": 1}],
    }
    (place / "tokenizer.json").write_text(json.dumps(tokenizer))


def put_plain(folder: Path, **settings: Any) -> Path:
    """A small Phi with the tokenizer that it belongs to, written without ``transformers``; the folder."""
    put_tokenizer(folder)
    put_config(folder, **{"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24,
                          "num_attention_heads": 2, "eos_token_id": END, **settings})  # fmt: skip
    put_header(folder / "model.safetensors", phi_shapes(VOCABULARY, 16, 24, 2))
    return folder


def hub_study(model: dict[str, Any], tokenizer: Path | None, **changes: Any) -> Study:
    """The small study with a model of the hub in place of the MLP; ``changes`` as those of ``small``."""
    training = {
        **{"loss": "next-token", "batch_size": 8, "steps": 100, "segment_steps": 50, "evaluate_every": 10},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "warmup_steps": 10, "clip": 1.0},
    }
    told = {"data": "authors", "model": {"kind": "causal-lm", **model}, "training": training}
    apart: dict[str, Any] = {
        **{"data__addition": None, "settings__mlp": None, "methods__scrub": None, "analyses__alignment": None},
        "data__authors": {**AUTHORS, "tokenizer": None if tokenizer is None else str(tokenizer)},
        "settings__hub": {**told, "selection": {"transition": "plateau"}},
        "analyses__relearning": {"kind": "relearning", "updates": 2},
        "forget_sets__early": {"kind": "local-grokking", "group": "early", "pairs": 2, "from_epoch": 2},
    }
    return small(**{**apart, **changes})


if __name__ == "__main__":
    put_model(Path(sys.argv[1]), sys.argv[2])
    put_tokenizer(Path(sys.argv[1]))
