"""Gradient difference (Liu et al. 2022, arXiv 2203.12817; in TOFU, arXiv 2401.06121): ascent beside plain training."""

from __future__ import annotations

from grokforget.methods.language.gradient_ascent import GradientAscent


class GradientDifference(GradientAscent):
    """-γ NLL_f + α NLL_r: gradient ascent with the retain loss that all paired methods have."""
