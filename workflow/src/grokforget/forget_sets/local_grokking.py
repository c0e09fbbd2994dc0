"""Forget sets of examples by how their loss went after a candidate epoch: locally grokked ones, and those beside them.

The paper's language model has one end of training; there its *examples* are told apart. Locally grokked are those whose loss
falls by less than .01 from epoch 20 to the end, locally ungrokked those whose loss falls by more than .5 (arXiv 2512.03437).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokforget.data.examples import TrainingExamples
from grokforget.forget_sets.apportion import apportion

ENDS = {"falls": ("early", "late"), "gaps": ("generalised", "memorised")}
"""The groups at the low and at the high end of what examples are told apart by.

``falls``, of the loss from the candidate epoch to the end: ``early``, the paper's locally grokked, and ``late``, ungrokked.
``gaps``, by which the loss of the question in other words is larger at the end than that of the question itself:
``generalised``, and ``memorised``, known word by word alone.
"""
PARTS = {"both": ("early", "late")}
"""Groups of several in equal parts."""
LOW, HIGH, ANY = 0, 1, 2
"""The ends, and everything."""

Cut = float | tuple[float, float]
"""Where the ends are: a quantile, or the thresholds of the low and of the high end."""


def local_grokking(
    train: TrainingExamples,
    generator: np.random.Generator,
    *,
    group: str,
    pairs: int,
    quantile: float | None,
    low: float,
    high: float,
    matched: str | None,
    strata: int,
    draw: int,
) -> np.ndarray:
    """``pairs`` of the examples of a ``group``: of one of ``ENDS``, of ``both`` early and late (of an odd number early has one
    more), or ``random`` ones.

    The ends are the lowest and the highest ``quantile``, or where that is None what is at most ``low`` and what is more than
    ``high``, nats. With ``matched`` the examples are first parted in strata of like answer ``length`` or final ``loss``, equally
    large and as many as ``strata`` says, or of the same ``template``. Then the ends are those of each stratum, and every group
    takes as many from a stratum, in proportion to the smaller of its two ends: groups differ in nothing that strata hold
    together.

    ``draw`` counts independent draws. What has no number is in no group; where nothing has one, the run has diverged, and what
    is forgotten of it are random examples: its cells are flagged and count nowhere. ValueError where what the
    group or the match goes by is not known, and where there are fewer examples than asked for: with how many there are, and the
    quantile or threshold from which on there would be enough.
    """
    generator = generator.spawn(draw)[-1]
    cut: Cut = (low, high) if quantile is None else quantile
    by = "gaps" if group in ENDS["gaps"] else "falls"
    if pairs <= len(train) and not np.isfinite(known(getattr(train, by), by)).any():
        return np.sort(generator.permutation(len(train))[:pairs])
    parted = Parted.of(train, by, matched, strata, generator)
    parts = PARTS.get(group, (group,))
    picked = []
    for number, part in enumerate(parts):
        end = ENDS[by].index(part) if part in ENDS[by] else ANY
        wanted = (pairs + len(parts) - 1 - number) // len(parts)
        limits = parted.limits(end, cut)
        if limits.sum() < wanted:
            raise ValueError(too_few(parted, part, end, cut, wanted, pairs))
        shares = apportion(wanted, limits.astype(np.float64), limits)
        for members, share in zip(parted.members(end, cut), shares, strict=True):
            picked.append(generator.permutation(members)[:share])
    return np.sort(np.concatenate(picked))


@dataclass(frozen=True)
class Parted:
    """Positions of examples in strata, within each in the order of their ``values`` (n,), equal ones at random."""

    strata: Sequence[np.ndarray]
    values: np.ndarray
    by: str
    matched: str | None

    @classmethod
    def of(
        cls, train: TrainingExamples, by: str, matched: str | None, strata: int, generator: np.random.Generator
    ) -> Parted:
        """The examples whose values are numbers."""
        values = known(getattr(train, by), by)
        mixed = generator.permutation(len(train))
        ordered = mixed[np.argsort(values[mixed], kind="stable")]
        ordered = ordered[np.isfinite(values[ordered])]
        if matched is None:
            return cls([ordered], values, by, matched)
        alike = known(getattr(train, ALIKE[matched]), f"a match in {matched}")
        if matched == "template":
            stratum = np.unique(alike, return_inverse=True)[1]
        else:
            stratum = np.full(len(train), -1)
            parts = np.array_split(np.sort(ordered)[np.argsort(alike[np.sort(ordered)], kind="stable")], strata)
            for number, part in enumerate(parts):
                stratum[part] = number
        return cls([ordered[stratum[ordered] == one] for one in np.unique(stratum[ordered])], values, by, matched)

    def sizes(self, end: int, cut: Cut) -> np.ndarray:
        """How many examples of each stratum are at an end, int64 (strata,)."""
        if end == ANY:
            return np.array([len(members) for members in self.strata])
        if isinstance(cut, float):
            # A product that stands for a whole number may lie a last bit below it.
            return np.array([math.floor(cut * len(members) + 1e-9) for members in self.strata])
        low = np.array([np.searchsorted(self.values[members], cut[end], "right") for members in self.strata])
        return low if end == LOW else self.sizes(ANY, cut) - low

    def limits(self, end: int, cut: Cut) -> np.ndarray:
        """How many a group may take of each stratum: all that are at its end, or where groups are matched as many as are at the
        smaller one."""
        if self.matched is None:
            return self.sizes(end, cut)
        return np.minimum(self.sizes(LOW, cut), self.sizes(HIGH, cut))

    def members(self, end: int, cut: Cut) -> list[np.ndarray]:
        """The positions at an end, by stratum."""
        sizes = self.sizes(end, cut)
        return [
            members[len(members) - size :] if end == HIGH else members[:size]
            for members, size in zip(self.strata, sizes.tolist(), strict=True)
        ]

    def cuts(self, end: int, cut: Cut) -> list[Cut]:
        """All that make a difference to an end, the one with the fewest examples first; the other end's threshold stays."""
        if isinstance(cut, float):
            shares = {number / len(members) for members in self.strata for number in range(1, len(members) // 2 + 1)}
            return [*sorted(shares)]
        values = np.unique(self.values[np.concatenate(self.strata)]).tolist()
        if end == HIGH:
            # More than the next lower value: the value itself and all above it.
            return [(cut[LOW], value) for value in [*values[-2::-1], -math.inf]]
        return [(value, cut[HIGH]) for value in values]


ALIKE = {"length": "lengths", "loss": "final_losses", "template": "templates"}
"""What examples of one stratum share, in the words of ``TrainingExamples``."""


def known(values: np.ndarray | None, what: str) -> np.ndarray:
    """ValueError where it is not."""
    if values is None:
        raise ValueError(f"the training examples have nothing for {what} to go by")
    return values


def too_few(parted: Parted, part: str, end: int, cut: Cut, wanted: int, pairs: int) -> str:
    """What is said where a group has fewer examples than asked for."""
    there = int(parted.limits(end, cut).sum())
    matched = f", matched in {parted.matched}," if parted.matched else ""
    if end == ANY and not parted.matched:
        return f"there are {there} training examples in all, and {wanted} were asked for"
    side = LOW if end == ANY else end
    if isinstance(cut, float):
        where = f"in the {('lowest', 'highest')[side]} {cut:.4g} of the {parted.by}"
    else:
        where = f"with {parted.by} of {('at most', 'more than')[side]} {cut[side]:.4g}"
    of_group = f" for {part!r}, of the {pairs} of the group" if wanted != pairs else f" for {part!r}"
    text = f"{there} training examples{matched} are {where}, and {wanted} were asked for{of_group}: "
    cuts = parted.cuts(side, cut)
    enough = bisect_left(cuts, wanted, key=lambda one: int(parted.limits(end, one).sum()))
    if enough == len(cuts):
        most = int(parted.limits(end, cuts[-1]).sum()) if cuts else 0
        key = "quantile" if isinstance(cut, float) else f"threshold `{('low', 'high')[side]}`"
        return f"{text}no {key} gives more than {most}"
    found = cuts[enough]
    if isinstance(found, float):
        return f"{text}there would be enough from `quantile` {rounded(found, up=True):.4g} on"
    key, value = ("low", "high")[side], rounded(found[side], up=side == LOW)
    return f"{text}there would be enough from `{key}` {value:.4g} {('on', 'down')[side]}"


def rounded(value: float, *, up: bool) -> float:
    """To four digits, never the other way: what is said to be enough is enough."""
    if not value or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return (math.ceil if up else math.floor)(value / unit) * unit
