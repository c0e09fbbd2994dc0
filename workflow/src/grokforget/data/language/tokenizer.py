"""Tokenizers: byte-level BPE trained on the data, or one that belongs to a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokforget.data.language.encode import Encoder, prompt_of
from grokforget.data.refusal import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END, PAD = "<|endoftext|>", "<|pad|>"
"""The tokens 0 and 1 of a trained tokenizer. They are two, so that a model that learns nothing on padding still learns to end."""
PARTS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
"""What GPT-2's kind of tokenizer may lie in, beside ``tokenizer.json``."""


def library() -> Any:
    """The tokenizers library. DataError where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        allowed = "pip install 'grokforget[language]'"
        raise DataError("questions and answers", "no tokenizers", error, allowed) from error
    return tokenizers


def trained(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019), of at most so many tokens, the 256 bytes and two special ones among them: every text
    can be written in it. The same texts give the same tokenizer."""
    hf = library()
    tokenizer: Tokenizer = byte_level(hf.Tokenizer(hf.models.BPE()))
    trainer = hf.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(hf.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_level(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with texts taken apart as GPT-2 does, no space put in front."""
    tokenizer.pre_tokenizer = library().pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library().decoders.ByteLevel()
    return tokenizer


def encoder_of(texts: Sequence[str], vocabulary: int, max_length: int | None) -> Encoder:
    """What encodes in a tokenizer that was trained on these texts."""
    tokenizer = trained(texts, vocabulary)
    end, pad = (tokenizer.token_to_id(token) for token in (END, PAD))
    assert end is not None, "the trainer was given it"
    assert pad is not None, "the trainer was given it"
    return Encoder(tokenizer, end, pad, max_length=max_length)


def read_encoder(files: Sequence[Path], max_length: int | None) -> Encoder:
    """A model's tokenizer from ``tokenizer.json``, or from one of ``PARTS``; ``tokenizer_config.json`` may say what ends a text,
    else it is ``<|endoftext|>``, which also pads where the tokenizer has nothing to pad with: nothing is learned there.
    Raises DataError."""
    hf, by_name = library(), {file.name: file for file in files}
    try:
        if "tokenizer.json" in by_name:
            tokenizer = hf.Tokenizer.from_file(str(by_name["tokenizer.json"]))
        else:
            parts = next(parts for parts in PARTS if set(parts) <= set(by_name))
            tokenizer = byte_level(hf.Tokenizer(hf.models.BPE.from_file(*(str(by_name[part]) for part in parts))))
        config = by_name.get("tokenizer_config.json")
        named: dict[str, Any] = json.loads(config.read_text("utf-8")) if config else {}
    except Exception as error:
        # What is wrong with a file, the library says as a plain Exception.
        raise DataError(
            files[0], "a tokenizer that cannot be read", error, "the files of a tokenizer, whole"
        ) from error
    ends, pads = (token_named(named.get(f"{what}_token")) for what in ("eos", "pad"))
    eos = tokenizer.token_to_id(ends or END)
    if eos is None:
        allowed = "an `eos_token` in tokenizer_config.json that is one of its tokens"
        raise DataError(files[0], "a tokenizer without a token that ends a text", repr(ends or END), allowed)
    pad = tokenizer.token_to_id(pads) if pads else None
    begin = tuple(token for token in tokenizer.encode("").ids if token != eos)
    return Encoder(tokenizer, eos, eos if pad is None else pad, begin, max_length)


def token_named(token: Any) -> str | None:
    """A token of ``tokenizer_config.json``, where it is a text or has one as ``content``."""
    return token.get("content") if isinstance(token, dict) else token


def check_apart(encoder: Encoder, asked: Sequence[tuple[str, str]], place: str | Path) -> None:
    """Raise DataError where tokenising prompt and answer together gives other tokens than each by itself: of such a tokenizer
    the first token of every answer would be one that no text has."""
    prompts = encoder.ids([prompt_of(question) for question, _ in asked], place)
    answers = encoder.ids([f" {answer}" for _, answer in asked], place)
    together = encoder.ids([f"{prompt_of(question)} {answer}" for question, answer in asked], place)
    for (question, _), prompt, answer, both in zip(asked, prompts, answers, together, strict=True):
        if [*prompt, *answer] != both:
            found = f"other tokens where question and answer meet, in the pair {question!r}"
            raise DataError(place, "a tokenizer that does not part prompt and answer", found, "a byte-level tokenizer")


def as_array(tokenizer: Tokenizer) -> np.ndarray:
    """Its JSON as bytes, (n,) uint8."""
    return np.frombuffer(tokenizer.to_str().encode(), dtype=np.uint8)


def from_array(array: np.ndarray) -> Tokenizer:
    """What ``as_array`` put down."""
    restored: Tokenizer = library().Tokenizer.from_str(array.tobytes().decode())
    return restored
