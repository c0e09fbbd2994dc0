"""The metrics of answers: by hand, against the definitions that open-unlearning and TOFU publish, written out plainly, and
extraction strength against real generation."""

from __future__ import annotations

import math
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grokforget.config.metrics import METRICS, language_outputs
from grokforget.data.language.encode import IGNORED
from grokforget.metrics.base import Cell, Outputs
from grokforget.metrics.language.answer_probability import among_options, probability
from grokforget.metrics.language.answers import without_end
from grokforget.metrics.language.exact_memorisation import exact_memorisation
from grokforget.metrics.language.extraction_strength import extraction_strength
from grokforget.metrics.language.forget_quality import forget_quality
from grokforget.metrics.language.membership import area
from grokforget.metrics.language.min_k import min_k
from grokforget.metrics.language.min_k_plus_plus import normalised
from grokforget.metrics.language.model_utility import harmonic_mean
from grokforget.metrics.language.perplexity import perplexity
from grokforget.metrics.language.rouge_l import longest_common, rouge_l_recall, words
from grokforget.metrics.language.truth_ratio import nearness_to_one, preference, truth_ratio
from grokforget.metrics.language.zlib_ratio import compressed_bytes, zlib_ratio
from tiny_language import TinyCausal, generated, pairs_of, some_pairs

light_words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran"]


def marks(*rows: str) -> torch.Tensor:
    return torch.tensor([[mark == "1" for mark in row] for row in rows])


# Extraction strength and exact memorisation


@pytest.mark.parametrize(
    ("right", "strength", "known"),
    [
        ("11111", 1.0, 1.0),
        # Given the first token, the other four follow: k = 1 of 5.
        ("01111", 0.8, 0.8),
        ("10111", 0.6, 0.8),
        ("00001", 0.2, 0.2),
        # The last token is not said whatever stands before: nothing is extracted, where open-unlearning has 1 / 5.
        ("11110", 0.0, 0.8),
        ("00000", 0.0, 0.0),
        ("1", 1.0, 1.0),
        ("0", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("end", "01")
def test_strength_and_share_of_known_tokens_by_hand(right: str, strength: float, known: float, end: str) -> None:
    """With two tokens of a prompt in front and two pads behind; whether the end of the text is known counts for neither."""
    row = marks(f"11{right}{end}11")
    answer = without_end(marks(f"00{'1' * len(right)}100"))
    assert answer.sum() == len(right)
    assert extraction_strength(row, answer).tolist() == [pytest.approx(strength)]
    assert exact_memorisation(row, answer).tolist() == [pytest.approx(known)]


def strength_by_generation(model: nn.Module, prompt: list[int], answer: list[int]) -> float:
    """The definition: the fewest tokens of the answer after which the model goes on with all others, at least one."""
    n = len(answer)
    for k in range(n):
        if generated(model, prompt + answer[:k], n - k) == answer[k:]:
            return 1 - k / n
    return 0.0


def test_extraction_strength_of_one_pass_is_that_of_greedy_generation() -> None:
    model = TinyCausal()
    found = set()
    for known in (0.3, 0.8, 0.95, 1.0):
        prompts, answers = some_pairs(model, 60, known)
        pairs = pairs_of(prompts, answers)
        answer = without_end(pairs.y != IGNORED)
        strengths = extraction_strength(model(pairs.x).argmax(2) == pairs.y, answer)
        expected = [strength_by_generation(model, *pair) for pair in zip(prompts, answers, strict=True)]
        torch.testing.assert_close(strengths, torch.tensor(expected))
        found |= set(expected)
    assert {0.0, 1.0} < found
    assert len(found) > 8


# Probability, perplexity and the options


def test_probability_and_perplexity_by_hand() -> None:
    """Answers of 2 and 6 tokens with p = 1/4 and 1/2 a token: -log p is 2 log 4 + 6 log 2 = 10 log 2 over 8 tokens."""
    losses, tokens = np.log([4.0, 2.0]), np.array([2.0, 6.0])
    assert probability(losses).tolist() == pytest.approx([0.25, 0.5])
    assert perplexity(losses, tokens) == pytest.approx(2 ** (10 / 8))
    assert math.isnan(perplexity(losses[:0], tokens[:0]))


def test_probability_among_options_by_hand() -> None:
    """p = .2 against .1 and .1 is a half; one wrong answer that is not there does not count, and without any it is unknown."""
    right, nan = -np.log([0.2, 0.2, 0.2]), math.nan
    wrong = np.array([-np.log([0.1, 0.1]), [-math.log(0.3), nan], [nan, nan]])
    assert among_options(right, wrong).tolist() == pytest.approx([0.5, 0.4, nan], nan_ok=True)
    # Where every probability is 0 to the last digit there is still a choice.
    assert among_options(np.array([2000.0]), np.array([[2000.0]])).tolist() == [0.5]
    assert among_options(np.array([3000.0]), np.array([[1.0]])).tolist() == [0.0]


# Membership


def plain_min_k(log_p: list[float], k: float) -> float:
    """As open-unlearning has it."""
    return -float(np.mean(np.sort(log_p)[: max(1, int(len(log_p) * k))]))


@pytest.mark.parametrize("k", [0.2, 0.3, 0.4, 0.7, 1.0])
def test_min_k_is_the_mean_of_the_least_expected_tokens(k: float) -> None:
    draw = np.random.default_rng(0)
    rows = [draw.normal(-2, 1, n).tolist() for n in range(1, 21)]
    scores, answer = torch.full((20, 24), -99.0, dtype=torch.float64), torch.zeros(20, 24, dtype=torch.bool)
    for row, values in enumerate(rows):
        scores[row, 2 : 2 + len(values)] = torch.tensor(values, dtype=torch.float64)
        answer[row, 2 : 2 + len(values)] = True
    np.testing.assert_allclose(min_k(scores, answer, k), [plain_min_k(values, k) for values in rows], rtol=1e-12)
    assert min_k(scores, torch.zeros_like(answer), k).tolist() == [0] * 20


def test_min_k_by_hand() -> None:
    """The two lowest of ten at k = .2: -(−5 − 3) / 2."""
    scores = torch.tensor([[-1.0, -5, -1, -1, -3, -1, -1, -1, -1, -1]])
    assert min_k(scores, scores < 0, 0.2).item() == 4
    assert min_k(scores, scores < 0, 0.1).item() == 5


def test_normalised_log_probability_by_hand_and_as_published() -> None:
    """Of p = (1/2, 1/4, 1/4), log p has the mean -1.5 log 2 and the standard deviation .5 log 2: a half is 1, a quarter -1."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)).repeat(2, 1) + 3
    assert normalised(logits, torch.tensor([0, 1])).tolist() == pytest.approx([1, -1])
    generator = torch.Generator().manual_seed(0)
    logits, targets = 2 * torch.randn(50, 30, generator=generator, dtype=torch.float64), torch.arange(50) % 30
    log_p = torch.log_softmax(logits, 1)
    mu = (log_p.exp() * log_p).sum(1)
    sigma = (log_p.exp() * log_p**2).sum(1) - mu**2
    expected = (log_p[torch.arange(50), targets] - mu) / sigma.clamp(min=1e-6).sqrt()
    torch.testing.assert_close(normalised(logits, targets), expected)
    sure = torch.tensor([[60.0, 0, -math.inf]])
    assert normalised(sure, torch.tensor([0])).isfinite().all()


def test_compressed_size_and_ratio() -> None:
    text = "Née à Łódź. " * 9
    assert compressed_bytes(text) == len(zlib.compress(text.encode("utf-8")))
    assert zlib_ratio(np.array([2.0]), np.array([50.0])).tolist() == [0.04]


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [([1, 2], [3, 4], 1.0), ([3, 4], [1, 2], 0.0), ([1, 2], [1, 2], 0.5), ([1, 3], [2], 0.5), ([1, 2, 2], [2], 2 / 3)],
)
def test_area_is_the_share_of_pairs_that_are_told_apart(
    members: list[float], others: list[float], expected: float
) -> None:
    assert area(np.array(members, float), np.array(others, float)) == pytest.approx(expected)


def test_area_of_what_is_not_known_is_not_known() -> None:
    some = np.array([1.0, 2])
    assert all(math.isnan(area(*both)) for both in [(some[:0], some), (some, some[:0]), (some, np.array([math.nan]))])


# ROUGE-L


@pytest.mark.parametrize(
    ("reference", "said", "expected"),
    [
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("police killed the gunman", "the gunman kill police", 2 / 4),
        ("The author's name is José.", "name: JOSÉ, is it?", 2 / 6),
        ("a b c", "a b c a b c", 1.0),
        ("a b c", "", 0.0),
        ("...", "a", 0.0),
    ],
)
def test_rouge_recall_by_hand(reference: str, said: str, expected: float) -> None:
    """The first two are Lin's own example. Letters outside a to z part words, as in the library: jos, and s of author's."""
    assert rouge_l_recall(reference, said, stemmer=False) == pytest.approx(expected)


@pytest.mark.parametrize("stemmer", [False, True])
def test_rouge_recall_is_that_of_rouge_score(stemmer: bool) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=stemmer)
    draw = np.random.default_rng(0)
    vocabulary = [*light_words, "killed", "killing", "authors", "José's", "1984", "it's", "...", "Müller-Lüdenscheidt"]
    texts = [" ".join(draw.choice(vocabulary, draw.integers(0, 14))) for _ in range(300)]
    for reference, said in pairwise(texts):
        expected = scorer.score(reference, said)["rougeL"].recall
        assert rouge_l_recall(reference, said, stemmer=stemmer) == pytest.approx(expected, abs=1e-12)


def test_the_longest_common_subsequence_is_that_of_a_plain_search() -> None:
    def plain(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return 0
        return plain(a[1:], b[1:]) + 1 if a[0] == b[0] else max(plain(a[1:], b), plain(a, b[1:]))

    draw = np.random.default_rng(1)
    for _ in range(100):
        first, second = (draw.choice(list("abc"), draw.integers(0, 7)).tolist() for _ in range(2))
        assert longest_common(first, second) == plain(first, second)


def test_stems_without_the_library_are_refused_by_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grokforget.config.metrics.find_spec", lambda name: None)
    for kind in ("rouge-l", "model-utility"):
        assert METRICS[kind]().conflict() is None
        found, allowed = METRICS[kind](stemmer=True).conflict() or ("", "")
        assert "without the library rouge-score" in str(found)
        assert "stemmer false" in allowed
    assert words("Killed, killing!", stemmer=False) == ["killed", "killing"]


# Truth ratio, forget quality, utility


def test_truth_ratio_by_hand() -> None:
    """p(right) = 1/2; wrong ones of 1/2 and 1/8: geometric mean 1/4, arithmetic 5/16. Wrong answers that are not there do not
    count."""
    right, nan = np.log([2.0, 2.0, 2.0, nan := math.nan]), math.nan
    wrong = np.array([np.log([2.0, 8.0]), [math.log(8), nan], [nan, nan], np.log([2.0, 2.0])])
    geometric, arithmetic = (truth_ratio(right, wrong, mean) for mean in ("geometric", "arithmetic"))
    assert geometric.tolist() == pytest.approx([1 / 2, 1 / 4, nan, nan], nan_ok=True)
    assert arithmetic.tolist() == pytest.approx([5 / 8, 1 / 4, nan, nan], nan_ok=True)


def test_truth_ratio_is_that_of_open_unlearning_and_the_inverse_of_that_of_tofus_code() -> None:
    draw = np.random.default_rng(0)
    right, wrong = draw.gamma(2, 1, 40), draw.gamma(2, 1, (40, 5))
    found = truth_ratio(right, wrong, "geometric")
    np.testing.assert_allclose(found, np.exp(-wrong.mean(1)) / (np.exp(-right) + 1e-10), rtol=1e-12)
    np.testing.assert_allclose(1 / found, np.exp(wrong.mean(1) - right), rtol=1e-6)
    # TOFU aggregates its inverse so that both come to the same.
    inverse = np.exp(wrong.mean(1) - right)
    assert nearness_to_one(found) == pytest.approx(np.minimum(inverse, 1 / inverse).mean(), rel=1e-6)
    assert preference(found) == pytest.approx(np.maximum(0, 1 - 1 / inverse).mean(), rel=1e-6)


def test_aggregations_by_hand() -> None:
    ratios = np.array([0.25, 2.0, 1.0, 0.0, math.nan])
    assert nearness_to_one(ratios) == pytest.approx((0.25 + 0.5 + 1 + 0) / 4)
    assert preference(ratios) == pytest.approx((0.75 + 0 + 0 + 1) / 4)
    assert math.isnan(nearness_to_one(ratios[4:]))


def test_forget_quality_by_hand() -> None:
    """Two samples of 4 that do not overlap: the statistic is 1, and 2 of the 8-choose-4 orders are as extreme. It is the same of
    the inverse."""
    low, high = np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, math.nan, 8])
    assert forget_quality(low, high) == pytest.approx((2 / 70, 1))
    assert forget_quality(1 / low, 1 / high) == pytest.approx((2 / 70, 1))
    assert forget_quality(low, low) == pytest.approx((1, 0))
    assert all(map(math.isnan, forget_quality(low, high[3:4])))


def test_harmonic_mean_by_hand() -> None:
    assert harmonic_mean([1.0, 0.5, 0.25]) == pytest.approx(3 / 7)
    assert harmonic_mean([1.0, 0.0]) == 0
    assert math.isnan(harmonic_mean([1.0, math.nan, 0.0]))


# Of cells


def cell(**changes: Any) -> Cell:
    """Two pairs of every split, numbers that are easily followed; ``changes`` of the unlearned model's columns."""
    splits = np.repeat(["forget", "retain", "test", "real_authors", "world_facts"], 2)
    columns = {
        "split": splits,
        "label": np.arange(10),
        "loss": np.log([8.0, 2, 1, 2, 4, 4, 2, 2, 2, 2]),
        "correct": np.array([0, 0.5, 1, 1, 0.25, 0.5, 1, 0, 0, 1]),
        "confidence": np.zeros(10),
        "tokens": np.full(10, 5),
        "exact_memorisation": np.linspace(0, 0.9, 10),
        "min_k": np.log([9.0, 1, 1, 1, 4, 4, 1, 1, 1, 1]),
        "min_k_plus_plus": np.arange(10.0),
        "compressed_bytes": np.full(10, 20),
        "paraphrased_question_loss": np.arange(10.0),
        "paraphrased_question_strength": np.linspace(0, 1, 10),
        "paraphrased_answer_loss": np.log([4.0, 4, 2, 2, 2, 2, 2, 2, 2, 2]),
        "wrong_answer_loss": np.log([4.0, 2, 4, 4, 2, 2, 8, 8, 2, 2]),
        "wrong_answer_probability": 1 / np.array([4.0, 2, 4, 4, 2, 2, 8, 8, 2, 2]),
        "choice_probability": np.array([0, 0, 0, 0, 0, 0, 0.5, 0.7, 0.2, 0.4]),
        "rouge_l": np.array([0.5, math.nan, 1, 0.5, 0.2, 0.4, 1, 1, 0.5, 0.5]),
        "said": np.array(["a", None] * 5, dtype=object),
    }
    other = Outputs(columns)
    trajectory = {name: [0.0] for name in ("forget_accuracy", "forget_loss", "retain_accuracy", "test_accuracy")}
    return Cell({**columns, **changes}, other, other, {"update": [0], **trajectory}, **CHANCE, seed=0)


CHANCE: dict[str, Any] = {"chance" if "chance" in Cell.__dataclass_fields__ else "n_classes": 5}
EXPECTED = {
    "extraction-strength": {"forget_extraction_strength": 0.25, "retain_extraction_strength": 1},
    "exact-memorisation": {"retain_exact_memorisation": 0.25},
    "answer-probability": {"forget_probability": 0.3125, "retain_probability": 0.75, "test_probability": 0.25},
    "perplexity": {"forget_perplexity": 4, "retain_perplexity": math.sqrt(2), "test_perplexity": 4},
    "paraphrases": {"retain_paraphrase_loss": 2.5, "test_paraphrase_strength": 0.5},
    "rouge-l": {"forget_rouge_l": 0.5, "retain_rouge_l": 0.75, "test_rouge_l": 0.3},
    # R of forget: 1 and 2; of retain 1/2 and 1/2; of test 1.
    "truth-ratio": {"forget_truth_ratio": 0.75, "retain_truth_ratio": 0.5, "test_truth_ratio": 0},
    "forget-quality": {"forget_quality": 1, "forget_quality_distance": 0},
    # .75, .75, .5 on retain; .6, 1, .75 on real authors; .3, .5 and 0 on facts.
    "model-utility": {"model_utility": 0},
    # Losses log 8 and log 2 against log 4 twice; 9 and 1 against 4; 0 and 1 against 4 and 5.
    "language-membership": {"loss_auc": 0.5, "min_k_auc": 0.5, "min_k_plus_plus_auc": 1, "zlib_auc": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPECTED)
def test_metrics_of_a_cell_by_hand(kind: str) -> None:
    found = METRICS[kind]().spec().build(cell())
    assert {name: found[name] for name in EXPECTED[kind]} == pytest.approx(EXPECTED[kind], abs=1e-8)


def test_every_language_metric_is_tried_and_unknown_of_a_model_that_has_diverged() -> None:
    assert {kind for kind, row in METRICS.items() if row.objectives == ("language",)} == EXPECTED.keys()
    diverged = cell(loss=np.array([math.nan] + [1.0] * 9))
    for kind in EXPECTED:
        assert all(map(math.isnan, METRICS[kind]().spec().build(diverged).values())), kind


def test_utility_is_the_harmonic_mean_of_its_numbers_on_the_sets_that_are_asked_for() -> None:
    nine = cell(wrong_answer_loss=np.log([4.0, 2, 4, 4, 8, 8, 8, 8, 4, 4]))
    nine_numbers = [0.75, 0.75, 0.5, 0.6, 1, 0.75, 0.3, 0.5, 0.5]
    found = METRICS["model-utility"]().spec().build(nine)
    assert found["model_utility"] == pytest.approx(harmonic_mean(nine_numbers))
    own = METRICS["model-utility"](splits=["retain", "test"]).spec().build(nine)
    assert own["model_utility"] == pytest.approx(harmonic_mean([0.75, 0.75, 0.5, 0.25, 0.3, 0.75]))


def test_arithmetic_and_geometric_means_are_read_from_columns_of_their_own() -> None:
    given = cell(wrong_answer_probability=np.full(10, 0.125))
    assert METRICS["truth-ratio"](mean="arithmetic").spec().build(given)["forget_truth_ratio"] == pytest.approx(0.5)
    assert METRICS["truth-ratio"]().spec().build(given)["forget_truth_ratio"] == pytest.approx(0.75)


def test_what_metrics_ask_for_comes_together_as_the_most_of_it() -> None:
    kinds = {"rouge-l": {"examples": 10}, "model-utility": {"examples": 30, "stemmer": True}, "accuracy": {}}
    kinds |= {"language-membership": {"k": 0.4}, "paraphrases": {}}
    spec = language_outputs(METRICS[kind](**settings) for kind, settings in kinds.items())
    assert spec.settings == {
        **{"answered": 30, "stemmer": True, "wrong_answers": 400},
        **{"k": 0.4, "paraphrased_questions": True},
    }
    assert language_outputs([METRICS["accuracy"]()]).settings == {}


def test_further_columns_are_read_and_unknown_with_the_others() -> None:
    outputs = cell().outputs
    assert outputs.column("forget", "tokens").tolist() == [5, 5]
    assert outputs.known("forget", "rouge_l").tolist() == [0.5]
    unknown = outputs.unknown()
    assert unknown.column("forget", "label").tolist() == [0, 1]
    assert np.isnan(unknown.column("forget", "tokens")).all()
    with pytest.raises(KeyError):
        outputs.column("forget", "said")
