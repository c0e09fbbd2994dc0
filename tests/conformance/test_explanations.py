"""What explains the collateral, against SciPy, the textbook formula, and tables made by hand."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conformance.test_claims import tiny
from grokforget.config.analyses import ANALYSES
from grokforget.config.specs.base import Meanings
from grokforget.statistics import explanations as statistics
from grokforget.statistics.candidates import ANALYSED, ASKED, CANDIDATES, OF_TRAINING, OUTCOMES, PAST
from grokforget.statistics.explanations import ALL, coefficient, explain, interval, rank_correlations, resampled
from grokforget.tables.explanations import explanations

STUDY = Meanings(
    analyses={
        "align": "gradient-alignment",
        "far": "distance",
        "lc": "local-complexity",
        "sim": "cka",
        "sharp": "sharpness",
    }
)


def draws(seed: int, n: int, k: int) -> np.ndarray:
    """Columns (n, k) that go together, with many ties."""
    generator = np.random.default_rng(seed)
    return np.round(generator.normal(size=(n, k)) + generator.normal(size=(n, 1)), 0 if seed % 2 else 6)


def one(x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None) -> float:
    given = np.empty((len(x), 0)) if given is None else given
    return rank_correlations(x, y, given, np.ones((1, len(x)))).item()


def by_regression(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Pearson's correlation of the residuals of ranks."""
    ranks = [stats.rankdata(column) for column in given.T]
    design = np.column_stack([np.ones(len(x)), *ranks])
    left = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in map(stats.rankdata, (x, y))]
    return float(stats.pearsonr(*left).statistic)


# The coefficients.
@pytest.mark.parametrize("seed", range(6))
def test_without_anything_given_it_is_spearmans(seed: int) -> None:
    x, y = draws(seed, 25, 2).T
    assert one(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_by_hand() -> None:
    """Ranks 1 2 3 4 5 and 2 1 4 3 5: the squared differences add up to 4, and 1 - 6·4 / (5·24) = .8."""
    x, y = np.array([0.1, 0.2, 5.0, 6.0, 70.0]), np.array([20.0, 10.0, 40.0, 30.0, 50.0])
    assert one(x, y) == pytest.approx(0.8, abs=1e-12)
    assert one(x, -y) == pytest.approx(-0.8, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_given_one_it_is_the_textbooks_partial_correlation(seed: int) -> None:
    """(r_xy - r_xz·r_yz) / √((1 - r_xz²)(1 - r_yz²))."""
    x, y, z = draws(seed, 30, 3).T
    xy, xz, yz = (stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert one(x, y, z[:, None]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("given", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_given_several_it_is_the_correlation_of_residuals(seed: int, given: int) -> None:
    columns = draws(seed, 30, 2 + given)
    x, y, rest = columns[:, 0], columns[:, 1], columns[:, 2:]
    assert one(x, y, rest) == pytest.approx(by_regression(x, y, rest), abs=1e-10)


def test_what_is_given_twice_or_constant_is_as_if_given_once_or_not() -> None:
    x, y, z = draws(0, 30, 3).T
    once = one(x, y, z[:, None])
    assert one(x, y, np.column_stack([z, z])) == pytest.approx(once, abs=1e-9)
    assert one(x, y, np.column_stack([z, np.full(30, 2.0)])) == pytest.approx(once, abs=1e-9)


def test_a_predictor_that_is_constant_or_told_by_what_is_given_has_no_coefficient() -> None:
    x, y, z = draws(0, 30, 3).T
    assert math.isnan(one(np.full(30, 3.0), y))
    assert math.isnan(one(x, np.full(30, 3.0)))
    assert math.isnan(one(z, y, z[:, None]))
    assert math.isnan(one(np.exp(z), y, np.column_stack([z, x]))), "the ranks are the same"


@pytest.mark.parametrize("given", [0, 1, 2, 3])
def test_as_many_units_as_lie_on_a_line_anyhow_are_too_few(given: int) -> None:
    columns = np.random.default_rng(given).normal(size=(3 + given, 2 + given))
    assert math.isfinite(one(columns[:, 0], columns[:, 1], columns[:, 2:]))
    assert math.isnan(one(columns[1:, 0], columns[1:, 1], columns[1:, 2:]))


@pytest.mark.parametrize("seed", range(4))
def test_a_unit_counts_as_often_as_it_was_drawn(seed: int) -> None:
    columns = draws(seed, 20, 4)
    counts = np.random.default_rng(seed).integers(0, 4, size=(5, 20))
    x, y, given = columns[:, 0], columns[:, 1], columns[:, 2:]
    plain = rank_correlations(x, y, given[:, :0], counts.astype(float))
    partial = rank_correlations(x, y, given, counts.astype(float))
    for row, alone, rest in zip(counts, plain, partial, strict=True):
        drawn = np.repeat(np.arange(20), row)
        assert alone == pytest.approx(stats.spearmanr(x[drawn], y[drawn]).statistic, abs=1e-12)
        assert rest == pytest.approx(by_regression(x[drawn], y[drawn], given[drawn]), abs=1e-10)


# The bootstrap.
def units(seeds: int, each: int = 8, setting: str = "a") -> pd.DataFrame:
    x, y, z = draws(4, seeds * each, 3).T
    return pd.DataFrame({"setting": setting, "seed": np.repeat(range(seeds), each), "x": x, "y": y, "z": z})


def test_seeds_are_drawn_whole() -> None:
    """Each draw against Spearman's of the very rows that it stands for."""
    table = units(4)
    estimate, values = coefficient(table, "x", "y", [], "a")
    assert estimate == pytest.approx(stats.spearmanr(table.x, table.y).statistic, abs=1e-12)
    counts = resampled([0, 1, 2, 3], "a")
    assert counts.shape == (statistics.DRAWS, 4)
    assert (counts.sum(1) == 4).all()
    for number in range(0, 200, 7):
        rows = pd.concat([table[table.seed == seed] for seed in np.repeat(range(4), counts[number])])
        assert values[number] == pytest.approx(stats.spearmanr(rows.x, rows.y).statistic, abs=1e-12)
    assert interval(values) == pytest.approx(np.percentile(values, [2.5, 97.5]))


def test_every_seed_is_drawn_as_often_as_any_other_and_the_stream_is_fixed() -> None:
    counts = resampled(range(3), "a")
    assert counts.mean(0) == pytest.approx([1, 1, 1], abs=0.06)
    assert len(np.unique(counts, axis=0)) == 10, "as the docs say"
    assert (counts == resampled(range(3), "a")).all()
    assert (counts != resampled(range(3), "b")).any()


def test_one_seed_has_a_coefficient_and_no_interval() -> None:
    estimate, values = coefficient(units(1, 20), "x", "y", ["z"], "a")
    assert math.isfinite(estimate)
    assert np.isnan(values).all()
    assert np.isnan(interval(values)).all()


def test_draws_without_a_coefficient_are_left_out_until_they_are_half() -> None:
    values = np.arange(100.0)
    some, most = values.copy(), values.copy()
    some[:50], most[:51] = np.nan, np.nan
    assert interval(some) == pytest.approx(np.percentile(values[50:], [2.5, 97.5]))
    assert np.isnan(interval(most)).all()


def test_over_settings_it_is_the_mean_of_the_coefficients() -> None:
    both = pd.concat([units(3), units(4, 9, "b").assign(y=lambda table: -table.y), units(2, 9, "c").assign(x=1.0)])
    rows = pd.DataFrame(explain(both, "y", {"x": [(), ("z",)]}))
    for given in ("", "z"):
        here = rows[rows.given == given].set_index("setting")
        assert here.correlation[ALL] == pytest.approx(here.correlation[["a", "b"]].mean())
        assert math.isnan(here.correlation["c"])
        parts = [coefficient(both[both.setting == name], "x", "y", [given] if given else [], name)[1] for name in "ab"]
        assert here.loc[ALL, ["low", "high"]].tolist() == pytest.approx(np.percentile(np.mean(parts, 0), [2.5, 97.5]))
        # The units of a setting without a coefficient have no part in it.
        assert (here.n[ALL], here.seeds[ALL], here.unmeasured[ALL]) == (24 + 36, 7, 18)


def test_what_was_not_measured_does_not_count_and_is_counted() -> None:
    table = units(3)
    table.loc[::3, "x"] = np.nan
    table.loc[:2, "y"] = np.nan
    (row, _) = pd.DataFrame(explain(table, "y", {"x": [()]})).to_dict("records")
    known = table.dropna(subset=["x", "y"])
    assert (row["n"], row["unmeasured"]) == (len(known), table.y.notna().sum() - len(known))
    assert row["correlation"] == pytest.approx(stats.spearmanr(known.x, known.y).statistic, abs=1e-12)


# The units.
STEPS = [10, 100, 1000, 10000, 30000]
NAMES = ["early", "memorised", "grokked"]
T_GROK = {0: 900.0, 1: 5000.0, 2: math.nan}


def study(settings: tuple[str, ...] = ("a", "b")) -> dict[str, pd.DataFrame]:
    """Tables of two settings and three seeds, all numbers different."""
    draw = np.random.default_rng(3).random
    curves, checkpoints, along, snapshots, analysis, matched = ([] for _ in range(6))
    for setting, seed, train_set in product(settings, T_GROK, ["full", "without-w"]):
        run = {"setting": setting, "seed": seed, "train_set": train_set}
        curves += [{**run, "step": step, **{name: draw() for name in list(OF_TRAINING.values())[:3]}} for step in STEPS]
        for name, step in zip(NAMES, STEPS[1:], strict=False):
            known = {column: draw() for column in list(OF_TRAINING.values())[:3]}
            checkpoints.append({**run, "checkpoint": name, "t_grok": T_GROK[seed], "step": step, "flag": "", **known})
    for setting, seed, forget_set in product(settings, T_GROK, ["v", "w"]):
        request = {"setting": setting, "seed": seed, "forget_set": forget_set}
        for step in STEPS:
            accuracies = {
                f"{split}_accuracy{end}": draw() for split in ("retain", "test") for end in ("", "_at_chance")
            }
            names = {
                name if name.endswith("chance") else f"original_{name}": value for name, value in accuracies.items()
            }
            snapshots.append({**request, "step": step, "flag": "", "updates_to_chance": 2.5, **names})
        for name, method, level in product(NAMES, ["ascent", "scrub"], ["chance", "retrained", "ten-percent"]):
            numbers = {"level_accuracy": 0.1, "forget_accuracy_before": 0.9, "collateral": draw(), "flag": ""}
            labels = {**request, "checkpoint": name, "method": method, "level": level}
            matched += [
                {**labels, **numbers, "chosen": True},
                {**labels, **numbers, "collateral": draw(), "chosen": False},
            ]
        if forget_set == "w":
            for one in ANALYSED.values():
                name = {kind: name for name, kind in STUDY.analyses.items()}[one.kind]
                for measure in filter(None, (one.measure, one.control)):
                    value = {**request, "analysis": name, "measure": measure, "flag": ""}
                    others = [{**value, "part": "other"}]
                    if one.kind not in ("cka", "distance"):
                        along += [{**row, "value": draw(), "step": step} for step in STEPS for row in others]
                        along += [{**value, "part": one.part, "value": draw(), "step": step} for step in STEPS]
                    for checkpoint in NAMES:
                        analysis.append(
                            {**value, "part": one.part, "value": draw(), "checkpoint": checkpoint, "stage": "before"}
                        )
                        analysis.append(
                            {**value, "part": one.part, "value": draw(), "checkpoint": checkpoint, "stage": "scrub"}
                        )
    frames = {"training": curves, "checkpoints": checkpoints, "unlearning_along": snapshots, "along": along}
    return {name: pd.DataFrame(rows) for name, rows in {**frames, "analysis": analysis, "matched": matched}.items()}


def explained(tables: dict[str, pd.DataFrame], settings: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    return explanations(tables, STUDY, list(settings), ["w", "v"])


def row_of(table: pd.DataFrame, predictor: str, **labels: Any) -> dict[str, Any]:
    wanted = {"units": "snapshots", "level": "chance", "setting": "a", "given": "", "predictor": predictor, **labels}
    (row,) = [row for row in table.to_dict("records") if all(row[name] == value for name, value in wanted.items())]
    return row


def plain_units(tables: dict[str, pd.DataFrame], kind: str, level: str) -> pd.DataFrame:
    """Setting a, forget set w: outcome and all predictors, one by one."""
    rows = []
    for seed, place in product(T_GROK, STEPS if kind == "snapshots" else NAMES):
        by = "step" if kind == "snapshots" else "checkpoint"

        def at(name: str, seed: int = seed, place: Any = place, by: str = by, **labels: str) -> pd.DataFrame:
            table = tables[name]
            labels = {"setting": "a", "seed": seed, by: place, **labels}
            for column, value in labels.items():
                table = table[table[column] == value]
            return table

        if kind == "snapshots":
            one = at("unlearning_along", forget_set="w").iloc[0]
            drops = [
                one[f"original_{split}_accuracy"] - one[f"{split}_accuracy_at_chance"] for split in ("retain", "test")
            ]
            y = sum(drops) / 2
            known = at("training", train_set="full").iloc[0]
        else:
            here = at("matched", forget_set="w", level=level)
            y = here[here.chosen].collateral.mean()
            known = at("checkpoints", train_set="full").iloc[0]
        row = {"seed": seed, "y": y, **{name: known[column] for name, column in OF_TRAINING.items()}}
        row[PAST] = float(known.step >= T_GROK[seed])
        for name, what in ANALYSED.items():
            table = at("along") if kind == "snapshots" else at("analysis", stage="before")
            table = table[table.part == what.part]
            value = [table[table.measure == measure].value.sum() for measure in (what.measure, what.control) if measure]
            row[name] = value[0] - sum(value[1:]) if (table.measure == what.measure).any() else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("kind", "level"), OUTCOMES)
def test_all_coefficients_are_those_of_units_put_together_one_by_one(kind: str, level: str) -> None:
    tables = study()
    table, plain = explained(tables), plain_units(tables, kind, level)
    for predictor, choices in ASKED.items():
        for given in choices:
            row = row_of(table, predictor, units=kind, level=level, given=", ".join(given))
            if plain[predictor].isna().all():
                assert (row["n"], row["unmeasured"]) == (0, len(plain))
                assert math.isnan(row["correlation"])
                continue
            if given:
                expected = by_regression(plain[predictor].to_numpy(), plain.y.to_numpy(), plain[list(given)].to_numpy())
            else:
                expected = stats.spearmanr(plain[predictor], plain.y).statistic
            assert row["correlation"] == pytest.approx(expected, abs=1e-9), (predictor, given)
            assert (row["n"], row["seeds"], row["unmeasured"]) == (len(plain), 3, 0)
            assert row["low"] <= row["high"]
            assert row["forget_set"] == "w", "v comes before it in the study, and nothing was analysed of it"


def test_a_table_has_every_row_once() -> None:
    table = explained(study())
    asked = sum(map(len, ASKED.values()))
    assert len(table) == len(table.drop_duplicates(["units", "level", "setting", "predictor", "given"]))
    assert len(table) == 3 * 3 * asked
    assert set(table.setting) == {"a", "b", ALL}
    assert set(CANDIDATES) | {PAST} == set(table.predictor)


def test_every_measure_that_may_explain_something_is_one_that_its_analysis_has() -> None:
    probe = tiny()
    for one in ANALYSED.values():
        has = {(row.measure, row.part) for row in ANALYSES[one.kind]().spec().build(probe)}
        for measure in filter(None, (one.measure, one.control)):
            assert (measure, one.part) in has
    assert ANALYSED["local complexity"].part == "retain"
    assert {"before"} <= {*ANALYSES["distance"]().at}, "of the checkpoint, and not of what was made of it"


def test_train_and_test_accuracy_are_given_each_other() -> None:
    assert ASKED["train accuracy"] == ((), ("test accuracy",))
    assert ASKED["test accuracy"] == ((), ("train accuracy",))
    assert ASKED["weight norm"] == ((), ("train accuracy", "test accuracy"))


def test_snapshots_without_a_collateral_are_counted() -> None:
    tables = study(("a",))
    whole = row_of(explained(tables, ("a",)), "step")
    along = tables["unlearning_along"]
    of = {step: (along.step == step) & (along.forget_set == "w") for step in STEPS}
    along.loc[of[10] & (along.seed < 2), "updates_to_chance"] = 0.0
    along.loc[of[100], ["updates_to_chance", "retain_accuracy_at_chance", "test_accuracy_at_chance"]] = math.nan
    along.loc[of[1000] & (along.seed == 0), "flag"] = "diverged"
    along.loc[of[1000] & (along.seed == 0), "original_retain_accuracy"] = 1e6
    row = row_of(explained(tables, ("a",)), "step")
    assert [whole[name] for name in ("n", "left_out", "there_before", "not_reached")] == [15, 0, 0, 0]
    assert [row[name] for name in ("n", "left_out", "there_before", "not_reached")] == [9, 1, 2, 3]
    over = row_of(explained(tables, ("a",)), "step", setting=ALL)
    assert [over[name] for name in ("n", "left_out", "there_before", "not_reached")] == [9, 1, 2, 3]


def test_a_method_that_does_not_get_there_from_one_checkpoint_does_not_move_the_mean_of_the_others() -> None:
    """Methods of very different cost: without those that do not get there the plain mean would follow which are left."""
    tables = study(("a",))
    matched = tables["matched"]
    cost = matched.method.map({"ascent": 0.0, "scrub": 100.0})
    base = matched.checkpoint.map({"early": 1.0, "memorised": 2.0, "grokked": 3.0}) + 0.1 * matched.seed
    matched["collateral"] = (cost + base).where(matched.chosen, 9.0)
    gone = (matched.method == "scrub") & (matched.checkpoint == "grokked") & (matched.seed == 0)
    matched.loc[gone, ["collateral", "flag"]] = [math.nan, "not reached"]
    steps = tables["checkpoints"]
    assert steps.step.nunique() == 3
    row = row_of(explained(tables, ("a",)), "step", units="checkpoints")
    order = [base[(matched.checkpoint == name) & (matched.seed == seed)].iloc[0] for seed in T_GROK for name in NAMES]
    assert row["n"] == 9
    assert row["correlation"] == pytest.approx(stats.spearmanr(order, STEPS[1:4] * 3).statistic, abs=1e-9)


def test_checkpoints_without_a_collateral_are_counted() -> None:
    tables = study(("a",))
    matched = tables["matched"]
    at = {name: (matched.checkpoint == name) & (matched.level == "chance") for name in NAMES}
    matched.loc[at["early"], "forget_accuracy_before"] = 0.1
    matched.loc[at["memorised"] & (matched.seed == 1), ["collateral", "flag"]] = [math.nan, "not reached"]
    matched.loc[at["grokked"] & (matched.seed == 2), ["collateral", "flag"]] = [1e6, "not found"]
    row = row_of(explained(tables, ("a",)), "step", units="checkpoints")
    assert [row[name] for name in ("n", "left_out", "there_before", "not_reached")] == [4, 1, 3, 1]
    other = row_of(explained(tables, ("a",)), "step", units="checkpoints", level="retrained")
    assert [other[name] for name in ("n", "left_out", "there_before", "not_reached")] == [9, 0, 0, 0]


def test_flagged_measures_are_not_measured() -> None:
    tables = study(("a",))
    along = tables["along"]
    along.loc[along.seed == 1, ["flag", "value"]] = ["diverged", 1e6]
    row = row_of(explained(tables, ("a",)), "sharpness")
    assert (row["n"], row["seeds"], row["unmeasured"]) == (10, 2, 5)


@pytest.mark.parametrize("missing", [("unlearning_along", "along"), ("matched", "analysis"), ("along", "analysis")])
def test_what_a_study_does_not_have_has_no_rows_or_no_numbers(missing: tuple[str, ...]) -> None:
    tables = {name: table for name, table in study().items() if name not in missing}
    table = explained(tables)
    for kind, source in (("snapshots", "unlearning_along"), ("checkpoints", "matched")):
        own = table[(table.units == kind) & (table.setting != ALL)]
        assert own.empty == (source in missing)
    assert table.correlation[table.predictor == "step"].notna().any()


def test_without_units_there_is_the_mean_over_no_settings() -> None:
    tables = study()
    table = explained({name: tables[name] for name in ("training", "checkpoints")})
    assert set(table.setting) == {ALL}
    assert table.n.sum() == 0
    assert table[["correlation", "low", "high"]].isna().all(axis=None)
    emptied = {name: one.iloc[:0] for name, one in tables.items()}
    pd.testing.assert_frame_equal(explained(emptied), table)


def test_the_same_tables_give_the_same_numbers_in_any_order() -> None:
    tables = study()
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    pd.testing.assert_frame_equal(explained(tables), explained(shuffled), rtol=1e-9)
