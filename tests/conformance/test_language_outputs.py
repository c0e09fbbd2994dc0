"""The columns that metrics of answers read, against pairs that are taken one by one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.metrics.language.rouge_l import rouge_l_recall
from grokforget.runtime.seeds import numpy_generator
from grokforget.training import answering
from grokforget.training.answering import greedy_answers
from grokforget.training.evaluate import MOST_TEXTS
from grokforget.training.language import Language
from grokforget.training.language_outputs import Beside, LanguageOutputs, statistics
from grokforget.training.outputs import per_example
from tiny_language import END, TinyCausal, generated, pairs_of, some_pairs

N = 2 * MOST_TEXTS + 7


def decode(tokens: Sequence[int]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def asked(known: float = 0.7) -> tuple[TinyCausal, list[list[int]], list[list[int]], Examples]:
    model = TinyCausal()
    prompts, answers = some_pairs(model, N, known)
    return model, prompts, answers, pairs_of(prompts, answers)


def plain_losses(model: TinyCausal, prompt: list[int], answer: list[int]) -> list[float]:
    """-log p of every token of an answer and its end, one after the other, in float64."""
    tokens = [*prompt, *answer, END]
    log_p = torch.log_softmax(model(torch.tensor([tokens])).double(), 2)[0]
    return [-log_p[place - 1, tokens[place]].item() for place in range(len(prompt), len(tokens))]


def plain_normalised(model: TinyCausal, prompt: list[int], answer: list[int]) -> list[float]:
    """(log p - mean) / standard deviation of every token of an answer."""
    tokens, found = [*prompt, *answer], []
    for place in range(len(prompt), len(tokens)):
        p = torch.softmax(model(torch.tensor([tokens[:place]])).double()[0, -1], 0).tolist()
        mean = sum(one * math.log(one) for one in p)
        variance = sum(one * (math.log(one) - mean) ** 2 for one in p)
        found.append((math.log(p[tokens[place]]) - mean) / math.sqrt(variance))
    return found


def test_every_column_is_that_of_the_pair_alone() -> None:
    model, prompts, answers, pairs = asked()
    model.train()
    columns = LanguageOutputs(k=0.4).columns(model, pairs, Beside(), decode=decode, end=END, longest=12, seed=0)
    assert model.training
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        losses = plain_losses(model, prompt, answer)
        lowest = sorted(-loss for loss in losses[:-1])[: max(1, int(0.4 * len(answer)))]
        assert columns["loss"][row] == pytest.approx(np.mean(losses), rel=1e-5)
        assert columns["tokens"][row] == len(answer) + 1
        assert columns["min_k"][row] == pytest.approx(-np.mean(lowest), rel=1e-5)
        lowest = sorted(plain_normalised(model, prompt, answer))[: len(lowest)]
        assert columns["min_k_plus_plus"][row] == pytest.approx(-np.mean(lowest), rel=1e-3, abs=1e-3)
        assert columns["compressed_bytes"][row] == len(zlib.compress(decode(answer).encode()))
        right = [generated(model, prompt + answer[:k], 1) == [answer[k]] for k in range(len(answer))]
        assert columns["exact_memorisation"][row] == pytest.approx(np.mean(right))
    same = per_example(model, pairs, Language())
    for name in ("confidence", "loss", "correct"):
        np.testing.assert_allclose(columns[name], same[name], rtol=1e-12, err_msg=name)
    assert {values.dtype.kind for values in columns.values()} == {"f"}


def test_no_more_logits_than_those_of_a_batch_are_ever_there() -> None:
    model, *_, pairs = asked()
    given = Beside(pairs, pairs, Examples(pairs.x.repeat_interleave(3, 0), pairs.y.repeat_interleave(3, 0)))
    settings = {"wrong_answers": N, "paraphrased_questions": True, "answered": N}
    LanguageOutputs(**settings).columns(model, pairs, given, decode=decode, end=END, longest=20, seed=0)
    assert max(n for n, _ in model.shapes) == MOST_TEXTS


def test_paraphrases_and_wrong_answers_are_asked_beside_the_pairs() -> None:
    model, prompts, answers, pairs = asked()
    others = [[(token + 1 - 2) % 11 + 2 for token in answer] for answer in answers]
    first, second = pairs_of(prompts, others), pairs_of(prompts, answers[::-1])
    longest = max(first.x.shape[1], second.x.shape[1])

    def widened(values: Tensor, value: int) -> Tensor:
        return torch.nn.functional.pad(values, (0, longest - values.shape[1]), value=value)

    wrong_x, wrong_y = (
        torch.stack([widened(getattr(one, name), value) for one in (first, second)], 1)
        for name, value in (("x", 1), ("y", IGNORED))
    )
    # The first pair has one wrong answer, the second none, and no paraphrase.
    wrong_y[0, 1], wrong_y[1] = IGNORED, IGNORED
    paraphrased = pairs_of(prompts[::-1], answers)
    paraphrased.y[1] = IGNORED
    arrays = {
        "wrong_answers/tokens": wrong_x, "wrong_answers/targets": wrong_y,
        "paraphrased_questions/tokens": paraphrased.x, "paraphrased_questions/targets": paraphrased.y,
        "paraphrased_answers/tokens": paraphrased.x, "paraphrased_answers/targets": paraphrased.y,
    }  # fmt: skip
    index = np.array([0, 1, 2, 50])
    beside = Beside.of({name: values.numpy() for name, values in arrays.items()}, index, torch.device("cpu"))
    given = pairs[torch.from_numpy(index)]
    settings = LanguageOutputs(wrong_answers=N, paraphrased_questions=True)
    found = settings.columns(model, given, beside, decode=decode, end=END, longest=12, seed=0)
    for place, row in enumerate(index.tolist()):
        right = np.mean(plain_losses(model, prompts[row], answers[row]))
        wrong = [np.mean(plain_losses(model, prompts[row], some)) for some in (others[row], answers[::-1][row])]
        wrong = wrong[: {0: 1, 1: 0}.get(row, 2)]
        p, other = math.exp(-right), [math.exp(-loss) for loss in wrong]
        reworded = math.nan if row == 1 else np.mean(plain_losses(model, prompts[::-1][row], answers[row]))
        expected = {
            "paraphrased_question_loss": reworded,
            "paraphrased_answer_loss": reworded,
            "wrong_answer_loss": np.mean(wrong) if wrong else math.nan,
            "wrong_answer_probability": np.mean(other) if wrong else math.nan,
            "choice_probability": p / (p + sum(other)) if wrong else math.nan,
        }
        assert {name: found[name][place] for name in expected} == pytest.approx(expected, rel=1e-5, nan_ok=True)
    # Of fewer pairs the same, and nothing of the others.
    some = LanguageOutputs(wrong_answers=2).columns(model, given, beside, decode=decode, end=END, longest=12, seed=0)
    asked_of = np.sort(numpy_generator(0, "answered").permutation(len(index))[:2])
    for name in ("paraphrased_answer_loss", "wrong_answer_loss", "wrong_answer_probability", "choice_probability"):
        np.testing.assert_allclose(some[name][asked_of], found[name][asked_of], rtol=1e-6)
        assert np.isnan(np.delete(some[name], asked_of)).all()
    # A set without paraphrases, as questions about real authors, has its answers themselves; without wrong ones, nothing.
    of_set = {f"facts_wrong_answers/{part}": arrays[f"wrong_answers/{part}"].numpy() for part in ("tokens", "targets")}
    facts = settings.columns(
        model,
        given,
        Beside.of(of_set, index, torch.device("cpu"), "facts"),
        decode=decode,
        end=END,
        longest=12,
        seed=0,
    )
    np.testing.assert_array_equal(facts["paraphrased_answer_loss"], facts["loss"])
    np.testing.assert_array_equal(facts["choice_probability"], found["choice_probability"])
    assert "paraphrased_question_loss" not in facts
    plain = settings.columns(model, given, Beside(), decode=decode, end=END, longest=12, seed=0)
    assert not [name for name in plain if "answer" in name or "choice" in name]


@pytest.mark.parametrize("ahead", [1, 3, 16])
@pytest.mark.parametrize("known", [0.0, 0.9, 1.0])
def test_answers_are_those_of_generating_token_by_token(
    known: float, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "AHEAD", ahead)
    model, prompts, _, pairs = asked(known)
    longest = pairs.x.shape[1] + 3
    model.shapes.clear()
    found = greedy_answers(model, pairs, END, longest)
    passes = len(model.shapes)
    ended = 0
    for prompt, said in zip(prompts, found, strict=True):
        expected = generated(model, prompt, longest - len(prompt))
        ended += END in expected
        assert said == [token for token in expected if token != END]
    assert 0 < ended < N
    assert passes <= 3 * longest


def test_a_prompt_that_begins_with_ends_of_texts_is_answered() -> None:
    """As of a tokenizer in which one token parts texts."""
    model, prompts, answers, _ = asked(0.9)
    prompts = [[END, END, *prompt] for prompt in prompts]
    pairs = pairs_of(prompts, answers)
    found = greedy_answers(model, pairs, END, 15)
    expected = [generated(model, prompt, 15 - len(prompt)) for prompt in prompts]
    assert found == [[token for token in said if token != END] for said in expected]
    assert max(map(len, found)) > 5


def test_a_pair_that_is_known_takes_one_pass() -> None:
    model = TinyCausal()
    prompts, _ = some_pairs(model, 200, 0)
    by_itself = [generated(model, prompt, 8) for prompt in prompts]
    known = [(prompt, said[:-1]) for prompt, said in zip(prompts, by_itself, strict=True) if said[-1] == END != said[0]]
    assert len(known) > 5
    pairs = pairs_of(*map(list, zip(*known[:20], strict=True)))
    model.shapes.clear()
    assert greedy_answers(model, pairs, END, pairs.x.shape[1]) == [said for _, said in known[:20]]
    assert len(model.shapes) == 1


def test_what_is_said_is_compared_with_the_right_answer_for_the_pairs_that_are_drawn() -> None:
    model, prompts, answers, pairs = asked(0.9)
    longest = pairs.x.shape[1]
    found = LanguageOutputs(answered=9).columns(model, pairs, Beside(), decode=decode, end=END, longest=longest, seed=4)
    drawn = sorted(numpy_generator(4, "answered").permutation(N)[:9].tolist())
    assert np.flatnonzero(~np.isnan(found["rouge_l"])).tolist() == drawn
    for row in range(N):
        if row not in drawn:
            assert found["said"][row] is None
            continue
        said = decode([token for token in generated(model, prompts[row], longest - len(prompts[row])) if token != END])
        assert found["said"][row] == said
        assert found["rouge_l"][row] == rouge_l_recall(decode(answers[row]), said, stemmer=False)
    others = LanguageOutputs(answered=9).columns(
        model, pairs, Beside(), decode=decode, end=END, longest=longest, seed=5
    )
    assert np.isnan(others["rouge_l"]).tolist() != np.isnan(found["rouge_l"]).tolist()
    everything = LanguageOutputs(answered=500).columns(
        model, pairs, Beside(), decode=decode, end=END, longest=longest, seed=5
    )
    assert not np.isnan(everything["rouge_l"]).any()


def test_outputs_that_are_not_finite_make_a_pair_unknown_and_no_other() -> None:
    model, *_, pairs = asked()

    class Broken(TinyCausal):
        def forward(self, x: Tensor) -> Tensor:
            # Whatever it is given last, its third token is where it breaks for texts that begin as the first does.
            out = super().forward(x)
            return torch.where((x[:, :1] == pairs.x[0, 0])[..., None], math.nan, out)

    broken = statistics(Broken(), pairs, 0.2)
    bad = (pairs.x[:, 0] == pairs.x[0, 0]).numpy()
    assert 0 < bad.sum() < N
    sound = statistics(model, pairs, 0.2)
    for name, values in broken.items():
        assert np.isnan(values).tolist() == bad.tolist(), name
        np.testing.assert_array_equal(values[~bad], sound[name][~bad])


def test_a_set_without_pairs_has_columns_without_rows() -> None:
    model, *_, pairs = asked()
    columns = LanguageOutputs(answered=5).columns(model, pairs[:0], Beside(), decode=decode, end=END, longest=9, seed=0)
    assert {len(values) for values in columns.values()} == {0}
