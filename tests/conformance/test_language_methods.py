"""The methods of language models against plain calculations, token by token and one example at a time, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from conformance import plain
from conformance.problems import assert_same_path, difference, path, spy
from grokforget.config.methods import METHODS
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired, epoch_of, partners, refusals, together
from grokforget.methods.runner import unlearn
from grokforget.runtime.seeds import derive_seed
from grokforget.training.classification import Classification
from grokforget.training.language import Language
from texts import VOCABULARY, TinyLM, refused, texts

REFUSALS = 3
KINDS = [kind for kind, settings in METHODS.items() if settings.objectives == ("language",)]
COMMON: dict[str, Any] = {"learning_rate": 0.02, "weight_decay": 0.1, "epochs": 3, "batch_size": 3}
OWN: dict[str, dict[str, Any]] = {
    "gradient-difference": {"gamma": 0.7, "alpha": 1.3},
    "kl": {"gamma": 0.7, "alpha": 1.3},
    "npo": {"beta": 0.4, "gamma": 0.7, "alpha": 1.3},
    "dpo": {"beta": 0.4, "gamma": 0.7, "alpha": 1.3},
    "simnpo": {"beta": 2.5, "delta": 0.3, "gamma": 0.7, "alpha": 1.3},
    "rmu": {"module": "blocks.0", "coefficient": 3.0, "gamma": 0.7, "alpha": 1.3},
    "undial": {"beta": 4.0, "gamma": 0.7, "alpha": 1.3},
    "task-vector": {"scale": 1.5, "steps": 4},
}


def build(kind: str, **changes: object) -> Paired:
    method = METHODS[kind](**{**COMMON, **OWN.get(kind, {}), **changes}).spec().build()
    assert isinstance(method, Paired)
    return method


def problem(n_forget: int = 7, n_retain: int = 10, seed: int = 0, dropout: float = 0.0, **shape: Any) -> Problem:
    sets = [texts(n, 10 * seed + i, **shape) for i, n in enumerate((n_forget, n_retain, 5), start=1)]
    extras = {"refused": refused(sets[0], REFUSALS, seed=9)}
    return Problem(TinyLM(dropout=dropout).double(), *sets, objective=Language(), seed=seed, extras=extras)


# The plain model: one example, token by token.
def hidden(w: plain.Weights, tokens: list[int]) -> list[list[Tensor]]:
    """What the first and what the second block give at each token."""
    h = [w["embedding.weight"][token] for token in tokens]
    layers = []
    for block in ("blocks.0", "blocks.1"):
        means = [sum(h[: t + 1]) / (t + 1) for t in range(len(h))]
        h = [
            one + torch.tanh(w[f"{block}.linear.weight"] @ mean + w[f"{block}.linear.bias"])
            for one, mean in zip(h, means, strict=True)
        ]
        layers.append(h)
    return layers


def log_softmax(z: Tensor) -> Tensor:
    return z - torch.log(sum(torch.exp(one) for one in z))


def answers(examples: Examples, rows: Tensor) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Of each example in these rows its tokens without padding, and where which token is to be predicted."""
    found = []
    for row in rows.tolist():
        y = examples.y[row].tolist()
        asked = [(t, token) for t, token in enumerate(y) if token != IGNORED]
        found.append((examples.x[row].tolist()[: asked[-1][0] + 1], asked))
    return found


def logits(w: plain.Weights, tokens: list[int]) -> list[Tensor]:
    return [w["lm_head.weight"] @ h + w["lm_head.bias"] for h in hidden(w, tokens)[1]]


def losses(w: plain.Weights, examples: Examples, rows: Tensor) -> list[list[Tensor]]:
    """-log p of each answer token, by example."""
    found = []
    for tokens, asked in answers(examples, rows):
        z = logits(w, tokens)
        found.append([-log_softmax(z[t])[token] for t, token in asked])
    return found


def mean(values: list[Any]) -> Any:
    return sum(values) / len(values)


def over_examples(values: list[list[Tensor]]) -> Tensor:
    return mean([mean(one) for one in values])


def over_tokens(values: list[list[Tensor]]) -> Tensor:
    return mean([value for one in values for value in one])


MEAN = {"examples": over_examples, "tokens": over_tokens}
Loss = Callable[[plain.Weights, plain.Weights, Problem, Batch, dict[str, Any]], Tensor]
"""Of the weights, the original's, the request, the batch, and the settings."""


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def retained(w: plain.Weights, given: Problem, batch: Batch, settings: dict[str, Any]) -> Tensor:
    return settings["alpha"] * MEAN[settings["mean_over"]](losses(w, given.retain, batch.retain))


def ascent(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    return -MEAN[s["mean_over"]](losses(w, given.forget, batch.forget))


def gradient_difference(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    return s["gamma"] * ascent(w, o, given, batch, s) + retained(w, given, batch, s)


def kl(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    divergences = []
    for tokens, asked in answers(given.retain, batch.retain):
        now, before = logits(w, tokens), logits(o, tokens)
        one = []
        for t, _ in asked:
            p, q = log_softmax(before[t]), log_softmax(now[t])
            one.append(sum(torch.exp(p[v]) * (p[v] - q[v]) for v in range(VOCABULARY)))
        divergences.append(one)
    return s["gamma"] * ascent(w, o, given, batch, s) + s["alpha"] * MEAN[s["mean_over"]](divergences)


def preference(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    both = losses(w, given.extras["refused"], batch.refused) + losses(w, given.retain, batch.retain)
    return MEAN[s["mean_over"]](both)


def log_ratios(w: plain.Weights, o: plain.Weights, examples: Examples, rows: Tensor) -> list[Tensor]:
    return [sum(b) - sum(a) for a, b in zip(losses(w, examples, rows), losses(o, examples, rows), strict=True)]


def npo(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    terms = [-2 / s["beta"] * torch.log(sigmoid(-s["beta"] * r)) for r in log_ratios(w, o, given.forget, batch.forget)]
    return s["gamma"] * mean(terms) + retained(w, given, batch, s)


def dpo(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    won = log_ratios(w, o, given.extras["refused"], batch.refused)
    lost = log_ratios(w, o, given.forget, batch.forget)
    terms = [-2 / s["beta"] * torch.log(sigmoid(s["beta"] * (a - b))) for a, b in zip(won, lost, strict=True)]
    return s["gamma"] * mean(terms) + retained(w, given, batch, s)


def simnpo(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    means = [mean(one) for one in losses(w, given.forget, batch.forget)]
    terms = [-2 / s["beta"] * torch.log(sigmoid(s["beta"] * (one - s["delta"]))) for one in means]
    return s["gamma"] * mean(terms) + retained(w, given, batch, s)


def control(given: Problem, width: int, coefficient: float) -> Tensor:
    generator = torch.Generator().manual_seed(derive_seed(given.seed, "unlearning", "control vector"))
    u = torch.rand(width, generator=generator, dtype=torch.float64)
    return coefficient * u / math.sqrt(sum(float(one) ** 2 for one in u))


def rmu_squares(
    w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    target = control(given, 6, s["coefficient"])
    forget, retain = [], []
    for tokens, asked in answers(given.forget, batch.forget):
        h = hidden(w, tokens)[0]
        forget.append([mean(list((h[t] - target) ** 2)) for t, _ in asked])
    for tokens, asked in answers(given.retain, batch.retain):
        now, before = hidden(w, tokens)[0], hidden(o, tokens)[0]
        retain.append([mean(list((now[t] - before[t]) ** 2)) for t, _ in asked])
    return forget, retain


def rmu(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    forget, retain = rmu_squares(w, o, given, batch, s)
    return s["gamma"] * over_examples(forget) + s["alpha"] * over_examples(retain)


def undial(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    crossed = []
    for tokens, asked in answers(given.forget, batch.forget):
        now, before = logits(w, tokens), logits(o, tokens)
        one = []
        for t, token in asked:
            lowered = before[t] - torch.tensor([s["beta"] * (v == token) for v in range(VOCABULARY)])
            p, q = log_softmax(lowered), log_softmax(now[t])
            one.append(-sum(torch.exp(p[v]) * q[v] for v in range(VOCABULARY)))
        crossed.append(one)
    return s["gamma"] * MEAN[s["mean_over"]](crossed) + retained(w, given, batch, s)


def tuning(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """Plain training on the forget set: over all tokens, as the recipe has it."""
    return over_tokens(losses(w, given.forget, batch.forget))


LOSSES: dict[str, Loss] = {
    "lm-gradient-ascent": ascent,
    "gradient-difference": gradient_difference,
    "kl": kl,
    "preference": preference,
    "dpo": dpo,
    "npo": npo,
    "simnpo": simnpo,
    "rmu": rmu,
    "undial": undial,
    "task-vector": tuning,
}


def settings_of(kind: str, **changes: Any) -> dict[str, Any]:
    return METHODS[kind](**{**COMMON, **OWN.get(kind, {}), **changes}).model_dump()


def rates(settings: dict[str, Any], per_epoch: int) -> list[float]:
    warmup, total = settings["warmup_epochs"] * per_epoch, settings["epochs"] * per_epoch
    rising = [(i + 1) / warmup for i in range(min(warmup, total))]
    rest = total - warmup
    falling = [1 - i / rest if settings["schedule"] == "linear" else 1.0 for i in range(rest)]
    return [settings["learning_rate"] * share for share in rising + falling]


def expected(kind: str, given: Problem, **changes: Any) -> list[plain.Weights]:
    """The weights after every update by plain AdamW."""
    settings = settings_of(kind, **changes)
    w = original = plain.weights_of(given.model)
    batches = [b for epoch in range(settings["epochs"]) for b in epoch_of(given, settings["batch_size"], epoch)]
    optimizer, steps = plain.Adam(settings["weight_decay"], decoupled=True), []
    for batch, rate in zip(batches, rates(settings, len(batches) // settings["epochs"]), strict=True):
        used = {name: value for name, value in w.items() if kind != "rmu" or name.startswith(("embedding", "blocks.0"))}

        def loss(leaves: plain.Weights, w: plain.Weights = w, batch: Batch = batch) -> Tensor:
            return LOSSES[kind]({**w, **leaves}, original, given, batch, settings)

        w = {**w, **optimizer.update(used, plain.gradient(loss, used), rate)}
        steps.append(w)
    if kind == "task-vector":
        return [
            {
                name: value - settings["scale"] * k / settings["steps"] * (w[name] - value)
                for name, value in original.items()
            }
            for k in range(1, settings["steps"] + 1)
        ]
    return steps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"mean_over": "tokens", "schedule": "constant", "warmup_epochs": 0}, {"warmup_epochs": 2, "batch_size": 4}],
    ids=["examples", "tokens", "warm-up"],
)
def test_the_path_is_that_of_the_plain_loss(kind: str, changes: dict[str, Any]) -> None:
    given = problem()
    want = expected(kind, given, **changes)
    assert_same_path(path(build(kind, **changes), given, mode_between=False), want)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_tested_with_other_settings_than_its_defaults(kind: str) -> None:
    defaults = METHODS[kind]().model_dump()
    own = {*defaults} - {*METHODS["lm-gradient-ascent"]().model_dump()}
    assert own == {*OWN.get(kind, {})}
    assert all(defaults[name] != value for name, value in {**COMMON, **OWN.get(kind, {})}.items())


# Known wrong versions: each would show.
def moved(kind: str, given: Problem, **changes: Any) -> tuple[Paired, Batch, plain.Weights, plain.Weights]:
    """A prepared method whose model has gone on since, a batch, and the weights now and before."""
    method, before = build(kind, **changes), plain.weights_of(given.model)
    method.prepare(given)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in given.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.2)
    given.model.train()
    return method, epoch_of(given, 5, 0)[0], plain.weights_of(given.model), before


def sums(values: list[list[Tensor]]) -> Tensor:
    return mean([sum(one) for one in values])


def per_token_npo(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """NPO of means over tokens, where sums are meant."""
    pairs = zip(losses(w, given.forget, batch.forget), losses(o, given.forget, batch.forget), strict=True)
    terms = [-2 / s["beta"] * torch.log(sigmoid(-s["beta"] * (mean(b) - mean(a)))) for a, b in pairs]
    return s["gamma"] * mean(terms) + retained(w, given, batch, s)


def rmu_mixed(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """Sums (B,) over an example's tokens divided by counts (B, 1): every sum by every count."""
    parts = rmu_squares(w, o, given, batch, s)
    forget, retain = (mean([sum(one) / len(other) for one in part for other in part]) for part in parts)
    return s["gamma"] * forget + s["alpha"] * retain


def rmu_tokens(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    forget, retain = rmu_squares(w, o, given, batch, s)
    return s["gamma"] * over_tokens(forget) + s["alpha"] * over_tokens(retain)


def kl_reversed(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    return (
        s["gamma"] * ascent(w, o, given, batch, s)
        + kl(o, w, given, batch, s)
        - s["gamma"] * ascent(o, o, given, batch, s)
    )


def kl_everywhere(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """At prompts and padding too, divided by all positions."""
    x = given.retain[batch.retain].x
    found = []
    for row in x.tolist():
        pairs = zip(logits(o, row), logits(w, row), strict=True)
        found += [(log_softmax(p).exp() * (log_softmax(p) - log_softmax(q))).sum() for p, q in pairs]
    return s["gamma"] * ascent(w, o, given, batch, s) + s["alpha"] * mean(found)


def apart(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """The mean of two means over tokens, where both sets together are meant."""
    sets = ((given.extras["refused"], batch.refused), (given.retain, batch.retain))
    return mean([over_tokens(losses(w, *one)) for one in sets])


def with_tokens(loss: Loss) -> Loss:
    return lambda w, o, given, batch, s: loss(w, o, given, batch, {**s, "mean_over": "tokens"})


def with_sums(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    return -sums(losses(w, given.forget, batch.forget))


def paired_with_others(loss: Loss) -> Loss:
    """The retain examples of the next batch."""

    def wrong(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
        return loss(w, o, given, batch._replace(retain=(batch.retain + 1) % len(given.retain)), s)

    return wrong


def refused_by_others(w: plain.Weights, o: plain.Weights, given: Problem, batch: Batch, s: dict[str, Any]) -> Tensor:
    """The refusals of another question."""
    return dpo(w, o, given, batch._replace(refused=batch.refused.roll(1)), s)


WRONG: list[tuple[str, str, Loss, dict[str, Any]]] = [
    ("lm-gradient-ascent", "a mean over tokens", with_tokens(ascent), {}),
    ("lm-gradient-ascent", "sums over tokens", with_sums, {}),
    ("gradient-difference", "other partners", paired_with_others(gradient_difference), {}),
    ("kl", "the other direction", kl_reversed, {}),
    ("kl", "prompts and padding counted", kl_everywhere, {}),
    ("kl", "a mean over tokens", with_tokens(kl), {}),
    ("preference", "the sets apart", apart, {"mean_over": "tokens"}),
    ("npo", "means over tokens", per_token_npo, {}),
    ("dpo", "refusals of others", refused_by_others, {}),
    ("rmu", "samples mixed by broadcasting", rmu_mixed, {}),
    ("rmu", "a mean over tokens", rmu_tokens, {}),
    ("undial", "a mean over tokens", with_tokens(undial), {}),
]


@pytest.mark.parametrize(
    ("kind", "what", "wrong", "changes"), WRONG, ids=[f"{kind}: {what}" for kind, what, *_ in WRONG]
)
def test_a_known_wrong_version_would_show(kind: str, what: str, wrong: Loss, changes: dict[str, Any]) -> None:
    given = problem()
    method, batch, w, before = moved(kind, given, **changes)
    settings = settings_of(kind, **changes)
    got = method.loss(given, batch).item()
    assert abs(got - LOSSES[kind](w, before, given, batch, settings).item()) < 1e-9
    assert abs(got - wrong(w, before, given, batch, settings).item()) > 1e-3, what


# The model as it came.
@pytest.mark.parametrize("kind", ["kl", "dpo", "npo", "rmu", "undial"])
def test_the_reference_has_no_dropout_and_is_asked_once(kind: str) -> None:
    given = problem(dropout=0.5)
    given.model.train()
    method, before = build(kind), plain.weights_of(given.model)
    calls = spy(given.model)
    method.prepare(given)
    looked_at = len(calls)
    assert looked_at
    assert all(not call.training and not call.grad for call in calls)
    assert all(module.training for module in given.model.modules())
    given.model.eval()
    for batch in epoch_of(given, 3, 1):
        got = method.loss(given, batch).item()
        assert abs(got - LOSSES[kind](before, before, given, batch, settings_of(kind)).item()) < 1e-9
    calls.clear()
    again = build(kind)
    list(again.run(given))
    assert all(call.training and call.grad for call in calls), (
        "the reference was there already, and no step asks it again"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_that_share_what_was_worked_out_find_the_same(kind: str) -> None:
    given, alone = problem(), problem()
    list(build(kind, learning_rate=0.01).run(given))
    given.model.load_state_dict(alone.model.state_dict())
    assert given.shared or kind in ("lm-gradient-ascent", "gradient-difference", "preference", "simnpo")
    list(build(kind).run(given))
    list(build(kind).run(alone))
    assert difference(plain.weights_of(given.model), plain.weights_of(alone.model)) == 0


def test_longer_runs_do_not_take_over_what_shorter_ones_worked_out() -> None:
    for kind in ("kl", "dpo", "rmu", "task-vector"):
        given, alone = problem(n_retain=40), problem(n_retain=40)
        list(build(kind, epochs=1).run(given))
        given.model.load_state_dict(alone.model.state_dict())
        list(build(kind, epochs=3).run(given))
        list(build(kind, epochs=3).run(alone))
        assert difference(plain.weights_of(given.model), plain.weights_of(alone.model)) == 0, kind


# The first step.
def gradient(given: Problem, loss: Tensor) -> plain.Weights:
    """Of the model's weights; without those that the loss does not depend on."""
    given.model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in given.model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("beta", [0.01, 0.1, 3.0])
def test_the_first_step_of_npo_is_that_of_ascent_on_whole_answers(beta: float) -> None:
    given = problem()
    method = build("npo", beta=beta, alpha=0.0, gamma=1.0)
    method.prepare(given)
    batch = epoch_of(given, 5, 0)[0]
    got = gradient(given, method.loss(given, batch))
    want = plain.gradient(lambda w: -sums(losses(w, given.forget, batch.forget)), plain.weights_of(given.model))
    assert difference(got, want) < 1e-9
    assert method.loss(given, batch).item() == pytest.approx(2 * math.log(2) / beta, abs=1e-9)


def test_npo_fades_where_ascent_goes_on() -> None:
    given = problem()
    method, batch, *_ = moved("npo", given, beta=2.0, alpha=0.0, gamma=1.0)
    with torch.no_grad():
        method.before += 50
    faded = gradient(given, method.loss(given, batch))
    assert max(value.abs().max().item() for value in faded.values()) < 1e-12


def test_what_keeps_to_the_original_is_nothing_at_the_start() -> None:
    for kind in ("kl", "rmu"):
        given = problem()
        method = build(kind)
        method.prepare(given)
        batch = epoch_of(given, 5, 0)[0]
        assert abs(method.retain_loss(given, batch).item()) < 1e-14
        grown = gradient(given, method.retain_loss(given, batch))
        assert grown
        assert all(value.abs().max() < 1e-12 for value in grown.values()), kind


def test_undial_lowers_the_answers_and_an_untouched_logit_changes_nothing() -> None:
    given = problem()
    method = build("undial", beta=1e-9, alpha=0.0)
    method.prepare(given)
    grown = gradient(given, method.loss(given, epoch_of(given, 5, 0)[0]))
    assert max(value.abs().max().item() for value in grown.values()) < 1e-8


# Padding.
def padded(given: Examples, width: int, token: int) -> Examples:
    """With so many further columns, and everything behind the last position that matters replaced."""
    x = torch.nn.functional.pad(given.x, (0, width), value=token)
    y = torch.nn.functional.pad(given.y, (0, width), value=IGNORED)
    for row in range(len(x)):
        x[row, int((y[row] != IGNORED).nonzero()[-1]) + 1 :] = token
    return Examples(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_bit(kind: str) -> None:
    given = problem(dropout=0.5)
    other = replace(
        given,
        model=copy.deepcopy(given.model),
        forget=padded(given.forget, 4, 7),
        retain=padded(given.retain, 9, 3),
        extras={"refused": padded(given.extras["refused"], 2, 5)},
        shared={},
    )
    ends = []
    for one in (given, other):
        torch.manual_seed(0)
        list(build(kind).run(one))
        ends.append(plain.weights_of(one.model))
    assert difference(*ends) == 0


def test_two_sets_together_are_padded_by_what_does_not_count() -> None:
    first, second = texts(2, 1, longest=3), texts(3, 2, longest=6)
    both = together(first, second)
    assert both.x.shape == both.y.shape == (5, 9)
    assert torch.equal(both.y[:2, :6], first.y)
    assert bool((both.y[:2, 6:] == IGNORED).all())
    assert torch.equal(both.y[2:], second.y)


# Pairs.
@pytest.mark.parametrize(("n_forget", "n_retain"), [(7, 18), (18, 7), (1, 1), (6, 6)])
@pytest.mark.parametrize("size", [1, 4, 6, 50])
def test_an_epoch_pairs_every_forget_example_with_a_retain_example_and_leaves_none_over(
    n_forget: int, n_retain: int, size: int
) -> None:
    given = problem(n_forget, n_retain)
    epochs = [epoch_of(given, size, epoch) for epoch in range(3)]
    for batches in epochs:
        assert [len(b.forget) for b in batches] == [size] * (n_forget // size) + [n_forget % size] * (
            n_forget % size > 0
        )
        assert all(len(b.forget) == len(b.retain) == len(b.refused) for b in batches)
        assert sorted(torch.cat([b.forget for b in batches]).tolist()) == list(range(n_forget))
        retain = torch.cat([b.retain for b in batches]).bincount(minlength=n_retain)
        assert retain.max() - retain.min() <= 1, "as often as any other"
        for b in batches:
            assert torch.equal(b.refused // REFUSALS, b.forget), "a refusal of the own question"
    orders = [[torch.cat(parts).tolist() for parts in zip(*batches, strict=True)] for batches in epochs]
    if n_forget > 1:
        assert orders[0] != orders[1]
        assert orders[0][1] != orders[0][0], "partners in an order of their own"


def test_who_is_paired_with_whom_does_not_depend_on_the_size_of_batches_and_does_on_seed_and_epoch() -> None:
    def pairs(given: Problem, size: int, epoch: int) -> list[tuple[int, ...]]:
        batches = epoch_of(given, size, epoch)
        return sorted(zip(*(torch.cat(one).tolist() for one in zip(*batches, strict=True)), strict=True))

    given = problem(12, 30)
    assert pairs(given, 1, 0) == pairs(given, 5, 0) == pairs(problem(12, 30), 12, 0)
    assert len({str(pairs(problem(12, 30, seed=seed), 5, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_partners_are_drawn_evenly_and_anew() -> None:
    given = problem(n_forget=3, n_retain=10)
    drawn = [partners(given, epoch).tolist() for epoch in range(200)]
    assert min(torch.tensor(drawn).flatten().bincount(minlength=10)) > 35, "60 each, on average"
    assert len({str(one) for one in drawn}) > 120, "of 720"


def test_refusals_are_drawn_evenly_and_anew() -> None:
    given = problem(n_forget=300)
    everything = torch.arange(300)
    drawn = [refusals(given, everything, epoch) % REFUSALS for epoch in range(3)]
    assert all(one.bincount().min() > 60 for one in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(refusals(given, everything.flip(0), 0).flip(0), refusals(given, everything, 0))
    assert len(partners(given, 0)) == 300


# Updates.
@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({}, [0.2, 0.4, 0.6, 0.8, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ({"schedule": "constant"}, [0.2, 0.4, 0.6, 0.8, *[1] * 11]),
        ({"warmup_epochs": 0, "epochs": 1}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"epochs": 1}, [0.2, 0.4, 0.6, 0.8, 1]),
        ({"warmup_epochs": 2, "epochs": 1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
)
def test_the_warm_up_is_counted_in_updates_of_whole_batches(changes: dict[str, Any], shares: list[float]) -> None:
    """13 forget examples in batches of 3: 5 updates an epoch, whatever is in the last."""
    method = build("lm-gradient-ascent", **{"learning_rate": 2.0, **changes})
    given = problem(n_forget=13)
    used = []
    method.rate, rate = lambda *at: used.append(rate(*at)) or 0.0, method.rate  # type: ignore[method-assign,func-returns-value]
    list(method.run(given))
    assert used == pytest.approx([2 * share for share in shares])


def test_what_rmu_does_not_reach_keeps_every_bit() -> None:
    given = problem()
    before = plain.weights_of(given.model)
    list(build("rmu").run(given))
    after = plain.weights_of(given.model)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("blocks.1", "lm_head"))}


def test_a_task_vector_taken_in_other_steps_ends_at_the_same_bits() -> None:
    ends = []
    for steps in (1, 3, 10):
        given = problem()
        assert len(path(build("task-vector", steps=steps), given)) == steps
        ends.append(plain.weights_of(given.model))
    assert difference(ends[0], ends[1]) == difference(ends[0], ends[2]) == 0


# What is asked of a request.
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_forgets(kind: str) -> None:
    """What it is for, from a model that knows both sets."""
    given = problem()
    known = torch.optim.AdamW(given.model.parameters(), lr=0.05)
    for _ in range(150):
        known.zero_grad()
        sum(given.objective.training_loss(given.model(p.x), p.y) for p in (given.forget, given.retain)).backward()
        known.step()
    record = unlearn(build(kind, epochs=10, learning_rate=0.03), given, texts(4, 5), stride=1)
    first, last = record.trajectory[0], record.trajectory[-1]
    assert last["forget_loss"] > first["forget_loss"] + 0.1
    assert record.diagnostics["diverged"] == 0


@pytest.mark.parametrize("kind", ["preference", "dpo"])
@pytest.mark.parametrize(("extras", "found"), [({}, "none"), ({"refused": texts(8, 1)}, "8 rows for 7")])
def test_a_request_without_refusals_is_told_so(kind: str, extras: dict[str, Examples], found: str) -> None:
    given = replace(problem(), extras=extras)
    with pytest.raises(ValueError, match=f"refusals: found {found}"):
        next(build(kind).run(given))


def test_a_module_that_the_model_does_not_have_is_told() -> None:
    with pytest.raises(ValueError, match=r"found 'model.layers.7'.* allowed: blocks.0, blocks.1"):
        next(build("rmu", module="model.layers.7").run(problem()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_classes_is_refused(kind: str) -> None:
    given = replace(problem(), objective=Classification(loss="cross-entropy"))
    with pytest.raises(TypeError, match="found the objective Classification"):
        next(build(kind).run(given))


class Scaled(TinyLM):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("kind", ["kl", "undial"])
def test_a_model_with_something_behind_its_output_layer_is_refused(kind: str) -> None:
    given = replace(problem(), model=Scaled().double())
    with pytest.raises(TypeError, match="the outputs of Scaled are not those of its output layer"):
        next(build(kind).run(given))
