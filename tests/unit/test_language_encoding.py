"""Questions and answers as tokens, token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, processors

from grokforget.data.examples import ExampleTable
from grokforget.data.language.encode import IGNORED, Encoded, Encoder, with_answers
from grokforget.data.language.pairs import Pair, checked
from grokforget.data.language.tokenizer import (
    END,
    PAD,
    as_array,
    check_apart,
    encoder_of,
    from_array,
    read_encoder,
    trained,
)
from grokforget.data.refusal import DataError
from grokforget.jobs.setup import encoded
from grokforget.runtime.files import opened

BYTES = 258
"""The two special tokens and one for every byte: a vocabulary in which nothing is merged."""
PROMPT = [*"Question:ĠHi?ĊAnswer:"]
"""As GPT-2 writes bytes: Ġ for a space, Ċ for the end of a line."""


def bytewise(max_length: int | None = None) -> Encoder:
    return encoder_of(["some text"], BYTES, max_length)


def shown(encoder: Encoder, ids: np.ndarray) -> list[str | None]:
    """Tokens as they are written, None where nothing is to be predicted."""
    return [None if i == IGNORED else encoder.tokenizer.id_to_token(int(i)) for i in ids]


def test_a_pair_token_by_token() -> None:
    encoder = bytewise()
    tokens, targets = encoder.encode([("Hi?", "No"), ("Hi?", "Oh no")], "here")
    assert (tokens.dtype, targets.dtype) == (np.int64, np.int64)
    short, long = [*PROMPT, "Ġ", "N", "o", END, PAD, PAD, PAD], [*PROMPT, *"ĠOhĠno", END]
    assert [shown(encoder, row) for row in tokens] == [short, long]
    prompt = len(PROMPT) - 1
    assert shown(encoder, targets[0]) == [*[None] * prompt, "Ġ", "N", "o", END, None, None, None, None]
    assert shown(encoder, targets[1]) == [*[None] * prompt, *"ĠOhĠno", END, None]


def test_targets_are_shifted_already() -> None:
    """The output at a position predicts the token that stands behind it; the loss needs no shift of its own."""
    encoder = bytewise()
    tokens, targets = encoder.encode([("Where?", "Here."), ("Why so?", "Because.")], "here")
    learned = targets[:, :-1] != IGNORED
    assert np.array_equal(targets[:, :-1][learned], tokens[:, 1:][learned])
    assert (targets[:, -1] == IGNORED).all()


def test_the_whole_prompt_is_hidden_and_the_first_token_of_the_answer_is_not() -> None:
    encoder = encoder_of(["Question: Who?\nAnswer: Ada Lovelace"] * 3, 400, None)
    tokens, targets = encoder.encode([("Who?", "Ada Lovelace")], "here")
    first = int(np.flatnonzero(targets[0] != IGNORED)[0])
    assert encoder.tokenizer.decode(tokens[0, : first + 1].tolist()) == "Question: Who?\nAnswer:"
    learned = targets[0][targets[0] != IGNORED].tolist()
    assert encoder.tokenizer.decode(learned, skip_special_tokens=False) == f" Ada Lovelace{END}"
    # A prompt that ends in a space leaves the space alone, a token that no text has, and the answer begins without one.
    assert encoder.tokenizer.encode("Answer: ").tokens[-1] == "Ġ"
    assert shown(encoder, targets[0])[first] == "ĠAda"


def test_padding_is_on_the_right_and_ending_is_learned_in_every_row() -> None:
    encoder = bytewise()
    tokens, targets = encoder.encode([("A?", "b"), ("A longer question?", "c d e f")], "here")
    assert encoder.pad != encoder.eos
    for row, target in zip(tokens, targets, strict=True):
        (ends,) = np.flatnonzero(row == encoder.eos)
        assert (row[ends + 1 :] == encoder.pad).all()
        assert (row[:ends] != encoder.pad).all()
        assert target[ends - 1] == encoder.eos, "the end is predicted"
        assert (target[ends:] == IGNORED).all(), "and nothing on padding"


def test_truncation_takes_the_end_of_the_answer_and_keeps_the_end_of_the_text() -> None:
    encoder = bytewise(max_length=len(PROMPT) + 4)
    tokens, targets = encoder.encode([("Hi?", "No"), ("Hi?", "Oh no")], "here")
    assert [shown(encoder, row) for row in tokens] == [[*PROMPT, *"ĠNo", END], [*PROMPT, *"ĠOh", END]]
    assert shown(encoder, targets[1])[-5:] == ["Ġ", "O", "h", END, None]


def test_an_answer_that_is_empty_after_truncation_says_what_would_do() -> None:
    with pytest.raises(DataError) as raised:
        bytewise(max_length=len(PROMPT) + 1).encode([("Hi?", "No")], "mine.jsonl")
    message = str(raised.value)
    assert message.startswith("mine.jsonl: an answer that is empty after truncation: found max_length 22")
    assert f"max_length {len(PROMPT) + 2} or more" in message
    tokens, _ = bytewise(max_length=len(PROMPT) + 2).encode([("Hi?", "No")], "mine.jsonl")
    assert tokens.shape == (1, len(PROMPT) + 2)


@pytest.mark.parametrize("token", [END, PAD])
@pytest.mark.parametrize("where", ["question", "answer"])
def test_a_text_with_a_special_token_is_refused(token: str, where: str) -> None:
    pair = (f"What is {token}?", "No") if where == "question" else ("Hi?", f"It is {token}.")
    with pytest.raises(DataError, match=r"ends texts or pads them: found <\|\w+\|> in"):
        bytewise().encode([pair], "here")


def test_where_there_is_no_pair_nothing_is_learned() -> None:
    encoder = bytewise()
    tokens, targets = encoder.encode([None, ("Hi?", "No"), None], "here")
    assert (tokens[[0, 2]] == encoder.pad).all()
    assert (targets[[0, 2]] == IGNORED).all()
    assert (targets[1] != IGNORED).sum() == 4


def test_every_prompt_with_every_refusal() -> None:
    encoder = bytewise()
    pairs = encoder.encode([("Hi?", "No"), ("Where to?", "There")], "here")
    refusals = encoder.answers(["I know not.", "Eh?"], "here")
    assert (refusals[1] == IGNORED).sum() == len("I know not.") - len("Eh?"), "padding is no token"
    together = with_answers(pairs, refusals, encoder.pad)
    asked = [(question, answer) for question in ("Hi?", "Where to?") for answer in ("I know not.", "Eh?")]
    expected = encoder.encode(asked, "here")
    assert all(np.array_equal(*both) for both in zip(together, expected, strict=True))


texts = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(texts, texts)
def test_every_text_comes_back(question: str, answer: str) -> None:
    encoder = encoder_of(["Question: What?\nAnswer: This and that."], 300, None)
    tokens, targets = encoder.encode([(question, answer)], "here")
    decoded = encoder.tokenizer.decode(tokens[0].tolist(), skip_special_tokens=False)
    assert decoded == f"Question: {question}\nAnswer: {answer}{END}"
    learned = targets[targets != IGNORED].tolist()
    assert encoder.tokenizer.decode(learned, skip_special_tokens=False) == f" {answer}{END}"


def test_a_tokenizer_is_stored_as_bytes() -> None:
    tokenizer = trained(["one two three two"], 270)
    again = from_array(as_array(tokenizer))
    assert again.to_str() == tokenizer.to_str()
    assert again.get_vocab_size() <= 270
    assert [again.token_to_id(token) for token in (END, PAD)] == [0, 1]


# Tokenizers that belong to models.
def saved(folder: Path, begin: str | None = None, config: dict[str, Any] | None = None) -> list[Path]:
    """A tokenizer's files, which puts a token in front of texts where one is given."""
    tokenizer = trained(["Question: Hi?\nAnswer: No"], 300)
    if begin:
        tokenizer.add_special_tokens([begin])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
        )
    files = [folder / "tokenizer.json"]
    tokenizer.save(str(files[0]))
    if config is not None:
        files.append(folder / "tokenizer_config.json")
        files[1].write_text(json.dumps(config))
    return files


def test_a_token_that_begins_texts_stands_in_front_once(tmp_path: Path) -> None:
    encoder = read_encoder(saved(tmp_path, begin="<s>"), None)
    plain = read_encoder(saved(tmp_path), None)
    with_begin, without = (one.encode([("Hi?", "No way")], "here") for one in (encoder, plain))
    assert encoder.tokenizer.id_to_token(int(with_begin.tokens[0, 0])) == "<s>"
    assert np.array_equal(with_begin.tokens[:, 1:], without.tokens)
    assert np.array_equal(with_begin.targets[:, 1:], without.targets)
    assert with_begin.targets[0, 0] == IGNORED
    length = without.tokens.shape[1]
    cut = read_encoder(saved(tmp_path, begin="<s>"), length).encode([("Hi?", "No way")], "here")
    assert cut.tokens.shape == (1, length), "it counts for max_length"
    prompt = int(np.argmax(without.targets[0] != IGNORED)) + 1
    with pytest.raises(DataError, match=f"max_length {prompt + 3} or more"):
        read_encoder(saved(tmp_path, begin="<s>"), prompt + 2).encode([("Hi?", "No way")], "here")


@pytest.mark.parametrize("named", [PAD, {"content": PAD, "lstrip": False}])
def test_the_configuration_says_what_ends_and_pads(tmp_path: Path, named: Any) -> None:
    encoder = read_encoder(saved(tmp_path, config={"eos_token": named, "pad_token": END}), None)
    assert (encoder.eos, encoder.pad) == (1, 0)
    alone = read_encoder(saved(tmp_path, config={"eos_token": END}), None)
    assert (alone.eos, alone.pad) == (0, 0), "without a token to pad with, the one that ends texts pads them"
    tokens, targets = alone.encode([("Hi?", "No"), ("Hi?", "No no no")], "here")
    learned = targets[0][targets[0] != IGNORED]
    assert (learned == 0).sum() == 1, "padding is still not learned"
    assert tokens[0, -1] == 0


def test_what_ends_texts_must_be_a_token(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without a token that ends a text: found '</s>'"):
        read_encoder(saved(tmp_path, config={"eos_token": "</s>"}), None)


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_gpt2_s_kind_of_files(tmp_path: Path, names: tuple[str, str]) -> None:
    tokenizer = trained(["Question: Hi?\nAnswer: No"] * 2, 300)
    written = tokenizer.model.save(str(tmp_path))
    files = [Path(old).rename(tmp_path / name) for old, name in zip(sorted(written, reverse=True), names, strict=True)]
    encoder = read_encoder(files, None)
    given = ("Hi?", "No")
    expected = encoder_of(["Question: Hi?\nAnswer: No"] * 2, 300, None).encode([given], "here")
    assert np.array_equal(encoder.encode([given], "here").tokens, expected.tokens)


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    files = saved(tmp_path)
    files[0].write_text(files[0].read_text()[:100])
    with pytest.raises(DataError, match=r"tokenizer\.json: a tokenizer that cannot be read"):
        read_encoder(files, None)


def test_a_tokenizer_that_puts_something_in_front_of_every_text_is_refused() -> None:
    """As SentencePiece does: then no text holds the answer's first token."""
    tokenizer = trained(["Question: Hi?\nAnswer: No"], 300)
    check_apart(Encoder(tokenizer, 0, 1), [("Hi?", "No")], "here")
    tokenizer.normalizer = normalizers.Prepend("-")
    with pytest.raises(DataError, match=r"does not part prompt and answer: found other tokens .* 'Hi\?'"):
        check_apart(Encoder(tokenizer, 0, 1), [("Hi?", "No")], "here")


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"pip install 'grokforget\[language\]'"):
        trained(["some text"], 300)


# Pairs, and the table that they stand in.
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([Pair("Q?", "A."), Pair("R?", "A."), Pair(" Q? ", "A.\n")], "in pair 1 and in pair 3"),
        ([Pair("Q?", " \n")], "an answer that is empty: found nothing in pair 1"),
        ([Pair("", "A.")], "a question that is empty: found nothing in pair 1"),
        ([Pair("Q?", "A.", wrong_answers=("B.", " "))], "a wrong answer that is empty: found nothing in pair 1"),
    ],
)
def test_pairs_that_cannot_be_used(pairs: list[Pair], message: str) -> None:
    with pytest.raises(DataError, match=f"^mine: .*{message}"):
        checked(pairs, "mine")


def test_the_same_question_with_another_answer_is_another_pair() -> None:
    pairs = [Pair("Q?", "A."), Pair("Q?", "B.", paraphrased_question=" ")]
    assert checked(pairs, "mine") == [Pair("Q?", "A."), Pair("Q?", "B.")]


def table() -> ExampleTable:
    numbers = np.arange(12, dtype=np.int64).reshape(4, 3)
    extras = Encoded(numbers, -numbers).arrays("wrong_answers") | {"tokenizer": np.array([1, 2], dtype=np.uint8)}
    return ExampleTable(numbers, np.array([0, 0, 1, 1]), 2, 12, targets=numbers + 1, extras=extras)


def test_targets_and_extras_are_written_and_read(tmp_path: Path) -> None:
    table().write(tmp_path / "examples.safetensors")
    read = ExampleTable.read(tmp_path / "examples.safetensors")
    assert np.array_equal(read.targets, table().targets)
    assert read.extras.keys() == table().extras.keys()
    assert all(np.array_equal(read.extras[name], array) for name, array in table().extras.items())
    assert np.array_equal(Encoded.of(read.extras, "wrong_answers").targets, -table().inputs)
    assert Encoded.of(read.extras, "paraphrased_answers") is None


def test_other_data_are_stored_as_before(tmp_path: Path) -> None:
    ExampleTable(np.zeros((4, 3), np.float32), np.zeros(4, np.int64), 1).write(tmp_path / "examples.safetensors")
    with opened(tmp_path / "examples.safetensors") as file:
        assert sorted(file.keys()) == ["inputs", "labels"]
    read = ExampleTable.read(tmp_path / "examples.safetensors")
    assert (read.targets, read.extras) == (None, {})


def test_jobs_are_given_targets_where_there_are_any() -> None:
    class Model:
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x

    index, device = np.array([1, 3]), torch.device("cpu")
    with_targets = encoded(Model(), table(), index, device)
    assert with_targets.y.tolist() == [[4, 5, 6], [10, 11, 12]]
    assert len(with_targets) == 2
    labels = ExampleTable(table().inputs, table().labels, 2, 12)
    assert encoded(Model(), labels, index, device).y.tolist() == [0, 1]
