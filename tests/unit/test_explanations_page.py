"""The page on what explains the collateral: what its sentences say of the numbers."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from grokforget.statistics.candidates import ASKED, OUTCOMES, PAST
from grokforget.tables.explanations import COLUMNS, STATUS
from grokforget.tables.explanations_page import page, sentence

NAN = math.nan
Key = tuple[str, str]


def rows(
    numbers: dict[Key, tuple[float, float, float]], setting: str = "digits", n: int = 60, seeds: int = 3, **more: Any
) -> pd.DataFrame:
    """The rows of a setting; what is not in ``numbers`` was not measured."""
    made = []
    for predictor, choices in ASKED.items():
        for given in (", ".join(one) for one in choices):
            estimate, low, high = numbers.get((predictor, given), (NAN, NAN, NAN))
            there = (predictor, given) in numbers
            counts = {"n": n if there else 0, "seeds": seeds if there else 0, "unmeasured": 0 if there else n}
            labels = {"setting": setting, "predictor": predictor, "given": given, "forget_set": "within"}
            ends = {"correlation": estimate, "low": low, "high": high}
            made += [
                {"units": units, "level": level, **labels, **ends, **counts, **dict.fromkeys(STATUS, 0), **more}
                for units, level in OUTCOMES
            ]
    return pd.DataFrame(made, columns=COLUMNS)


def said(table: pd.DataFrame) -> str:
    return sentence(table[(table.units == "snapshots") & (table.level == "chance")])


GIVEN = ["train accuracy", "train accuracy, test accuracy", "train accuracy, test accuracy, weight norm"]
PLAIN = {
    ("weight norm", ""): (-0.81, -0.9, -0.7),
    ("train accuracy", ""): (0.8, 0.7, 0.9),
    ("test accuracy", ""): (0.1, -0.7, 0.9),
    # Of what is asked of being past t_grok the plain coefficient is none of a candidate.
    (PAST, ""): (0.99, 0.98, 1.0),
}


def left(*numbers: tuple[float, float, float]) -> dict[Key, tuple[float, float, float]]:
    return {(PAST, given): one for given, one in zip(GIVEN, numbers, strict=True)}


def test_it_names_the_candidate_that_goes_with_it_most_and_what_is_left() -> None:
    numbers = left((0.3, 0.2, 0.4), (-0.12, -0.3, 0.1), (-0.2, -0.4, -0.1))
    assert said(rows({**PLAIN, **numbers}, seeds=6, left_out=2, not_reached=1)) == (
        "digits: of 3 candidates weight norm goes with the collateral most (ρ = -0.81 [-0.90, -0.70]; 60 snapshots of 6 seeds); "
        "without a collateral: 2 flagged, 1 never there. What is left for being past t_grok: given train accuracy ρ = +0.30 "
        "[+0.20, +0.40], more collateral past it; given train accuracy and test accuracy ρ = -0.12 [-0.30, +0.10], nothing that "
        "6 seeds can tell from none; given train accuracy and test accuracy and weight norm ρ = -0.20 [-0.40, -0.10], less "
        "collateral past it."
    )


def test_few_seeds_decide_nothing_even_where_all_agree() -> None:
    numbers = left((0.3, 0.2, 0.4), (0.3, -0.2, 0.4), (0.3, 0.2, 0.4))
    text = said(rows({**PLAIN, **numbers}, seeds=5))
    assert text.count("more collateral past it, but 5 seeds are too few to decide") == 2
    assert text.count("nothing that 5 seeds can tell from none") == 1


def test_one_seed_has_no_interval() -> None:
    numbers = {key: (estimate, NAN, NAN) for key, (estimate, *_) in {**PLAIN, **left(*[(0.3, 0, 0)] * 3)}.items()}
    text = said(rows(numbers, seeds=1))
    assert "(ρ = -0.81; 60 snapshots of 1 seed)" in text
    assert text.count("ρ = +0.30, which 1 seed cannot tell from none") == 3


def test_where_nothing_is_past_t_grok_nothing_is_said_of_it() -> None:
    assert said(rows(PLAIN)).count("nothing can be said") == 3


def test_no_units() -> None:
    none = rows({}, n=0, there_before=4)
    assert said(none) == "digits: no unit has a collateral to explain; without a collateral: 4 at the level before."
    alike = said(rows({}, n=7))
    assert alike == "digits: the units are too few, or alike, to correlate anything."


def test_over_all_settings_seeds_are_runs() -> None:
    table = rows({**PLAIN, **left(*[(0.3, 0.2, 0.4)] * 3)}, setting="all", seeds=12)
    text = said(table)
    assert text.startswith("All settings, on average: of 3 candidates")
    assert "60 snapshots of 12 runs" in text
    assert text.count("more collateral past it") == 3


def test_the_page_has_a_sentence_and_a_column_a_setting_and_the_mean_of_several() -> None:
    numbers = {**PLAIN, **left(*[(0.3, 0.2, 0.4)] * 3)}
    both = pd.concat([rows(numbers), rows(numbers, "modular"), rows(numbers, "all")])
    text = page(both)
    assert text.count("\n## ") == len(OUTCOMES)
    assert text.count("\n- ") == 3 * len(OUTCOMES)
    table = text.partition("## Snapshots")[2].partition("##")[0].splitlines()
    (head,) = [line for line in table if line.startswith("| predictor")]
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["predictor", "given", "digits", "modular", "all"]
    (norm,) = [line for line in table if line.startswith("| weight norm") and " – " in line.split("|")[2]]
    assert norm.split("|")[3].strip() == "-0.81 [-0.90, -0.70] (60)"
    assert "nan" not in text.lower()
    assert "nothing here says what mediates what" in " ".join(text.split())
    alone = page(pd.concat([rows(numbers), rows(numbers, "all")]))
    assert alone.count("\n- ") == len(OUTCOMES)
    assert "All settings" not in alone


def test_without_any_coefficient_there_is_no_table_of_them() -> None:
    text = page(rows({}, not_reached=7))
    assert "|" not in text
    assert text.count("without a collateral: 7 never there") == len(OUTCOMES)


@pytest.mark.parametrize("table", [rows({}).iloc[:0], rows({}, "all", n=0)], ids=["no rows", "no settings"])
def test_a_study_without_units_has_a_page_that_says_so(table: pd.DataFrame) -> None:
    assert page(table).count("In this study no unit has a collateral to explain.") == len(OUTCOMES)
