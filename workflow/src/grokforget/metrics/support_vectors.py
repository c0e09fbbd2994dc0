"""Support vector machines on one number in [0, 1] with the kernel exp(-(x - y)²), several at once.

On so short an interval the kernel has few directions: with u = x - ½ it is Σ_k φ_k(u) φ_k(u'), φ_k(u) = exp(-u²) u^k √(2^k/k!),
and what follows after ``TERMS`` of them is below the last digit of float64. So the machine is a linear one in as many
dimensions, and the steps of an interior-point method cost n · ``TERMS``² where a general one costs n³.
"""

from __future__ import annotations

import math

import numpy as np

TERMS = 16
"""(1/2)^k / k! is at most 1e-18 from here on."""
GAP = 1e-9
"""Mean product of a bound's distance and its multiplier at which a solution is taken: the error of the weights is at most
about the root of 4n times that."""
FEASIBLE = 1e-6
"""Largest violation of the other conditions, in units of the margin."""
STEPS = 40
"""Ten to twenty are usual."""


def features(x: np.ndarray) -> np.ndarray:
    """φ_k of numbers (n,) in [0, 1], (n, TERMS)."""
    u, k = x[:, None] - 0.5, np.arange(TERMS)
    return np.exp(-(u**2)) * u**k * np.sqrt(2.0**k / np.array([math.factorial(number) for number in k]))


def decisions(x: np.ndarray, labels: np.ndarray, learnt: np.ndarray, asked: np.ndarray, penalty: float) -> np.ndarray:
    """Decision function (S, m), positive for true labels, of numbers ``asked`` (m,) by S machines that learn labels (n,) bool
    of x (n,) from the examples ``learnt`` (S, n) bool, of both kinds each: those of ``SVC(C=penalty, kernel="rbf", gamma=1)``
    of scikit-learn.

    Its dual, min ½ |Φᵀ(yα)|² - Σα with 0 ≤ α ≤ C and Σ yα = 0, by a primal-dual interior-point method (Mehrotra 1992, SIAM
    Journal on Optimization 2:575), all machines together.
    """
    y = np.where(labels, 1.0, -1.0)
    design = np.concatenate([y[:, None] * features(x), y[:, None]], axis=1)
    inside, count = learnt.astype(np.float64), learnt.sum(1)
    # α and C - α, and the multipliers of their bounds. Of what a machine does not learn from, α counts as 0 everywhere.
    primal, dual = np.full((2, *learnt.shape), penalty / 2), np.ones((2, *learnt.shape))
    offset = np.zeros(len(learnt))
    for _ in range(STEPS):
        weights = (primal[0] * inside) @ design
        excess = weights[:, :-1] @ design[:, :-1].T + offset[:, None] * y - 1 - dual[0] + dual[1]
        gap = (primal * dual * inside).sum((0, 2)) / (2 * count)
        violation = np.maximum(np.abs(excess * inside).max(1), np.abs(weights[:, -1]))
        going = (gap > GAP) | (violation > FEASIBLE)
        if not going.any():
            break
        newton = Newton(design, inside, primal, dual, excess, weights[:, -1])
        toward, along, _ = newton.step(np.zeros_like(primal))
        ends = (primal + longest(primal, toward) * toward) * (dual + longest(dual, along) * along)
        centre = ((ends * inside).sum((0, 2)) / (2 * count) / gap) ** 3 * gap
        toward, along, shift = newton.step(centre[:, None] - toward * along)
        # A machine that has arrived stays, since its equations become singular beyond.
        length, stretch = (0.995 * going[:, None] * longest(*pair) for pair in ((primal, toward), (dual, along)))
        primal, dual, offset = primal + length * toward, dual + stretch * along, offset + stretch[:, 0] * shift
    weights = (primal[0] * inside) @ design[:, :-1]
    # Given the weights, the hinge losses are least between these two order statistics of y - Φw: one number where a vector is
    # free, and else the middle is taken, as LIBSVM does.
    residual = np.sort(np.where(learnt, y - weights @ features(x).T, np.inf), 1)
    positive = (learnt & labels).sum(1)[:, None]
    offset = np.take_along_axis(residual, np.concatenate([positive - 1, positive], 1), 1).mean(1)
    return weights @ features(asked).T + offset[:, None]


class Newton:
    """The linear equations of one step, for both of its right-hand sides.

    Of S machines: ``primal`` α and C - α, ``dual`` the multipliers of their bounds, both (2, S, n); ``excess`` (S, n), of the
    dual's gradient over the multipliers; ``unbalanced`` (S,), Σ yα.
    """

    def __init__(
        self,
        design: np.ndarray,
        inside: np.ndarray,
        primal: np.ndarray,
        dual: np.ndarray,
        excess: np.ndarray,
        unbalanced: np.ndarray,
    ) -> None:
        self.design, self.primal, self.dual, self.excess, self.unbalanced = design, primal, dual, excess, unbalanced
        self.ratio = dual / primal
        self.scale = inside / self.ratio.sum(0)
        self.system = np.matmul(design.T * self.scale[:, None, :], design)
        self.system[:, range(TERMS), range(TERMS)] += 1

    def step(self, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changes of ``primal``, ``dual`` and the offset (S,) towards primal · dual = ``products`` (2, S, n)."""
        pull = products / self.primal - self.dual
        right = pull[0] - pull[1] - self.excess
        projected = (self.scale * right) @ self.design
        projected[:, -1] += self.unbalanced
        try:
            solved = np.linalg.solve(self.system, projected[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            # Close to a solution at which no vector is free, round-off may leave nothing of the last equation.
            solved = (np.linalg.pinv(self.system, hermitian=True) @ projected[:, :, None])[:, :, 0]
        move = self.scale * (right - solved @ self.design.T)
        toward = np.stack([move, -move])
        return toward, pull - self.ratio * toward, solved[:, -1]


def longest(point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Of each machine the largest share of a step, (S, 1) in [0, 1], that leaves a point (2, S, n) positive."""
    return 1 / np.maximum(1, (-direction / point).max((0, 2)))[:, None]
