"""The plan of a study wires its jobs: a change reaches what depends on it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from grokforget import recipes as module
from grokforget.fingerprint import fingerprint
from grokforget.plan import Plan, PlannedJob
from grokforget.recipes import canonical, recipe, unit, units
from grokforget.stages import STAGES
from small import small


def all_jobs(plan: Plan) -> list[PlannedJob]:
    """What `snakemake all tuning` runs."""
    return list({job.key: job for job in [*plan.jobs(), *plan.tuning_jobs()]}.values())


def unit_recipes(plan: Plan) -> dict[str, str]:
    """Every unit of every job by ``key`` or ``key@unit``."""
    named = ((job.key, units(job.task)) for job in all_jobs(plan))
    return {f"{key}@{name}".rstrip("@"): recipe(made) for key, parts in named for name, made in parts.items()}


def changed(before: Plan, after: Plan) -> set[str]:
    """The units that both have, with other recipes."""
    old, new = unit_recipes(before), unit_recipes(after)
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small()


def test_keys_are_unique_and_no_jobs_products_begin_with_anothers_key(plan: Plan) -> None:
    planned = [*plan.jobs(), *plan.tuning_jobs()]
    keys = [job.key for job in planned]
    assert len(keys) == len(set(keys))
    for job in planned:
        assert job.products
        for product in job.products:
            for other in set(keys) - {job.key}:
                assert not f"{product}/".startswith(f"{other}/")
                assert not f"{product}.".startswith(f"{other}.")


def test_a_job_gets_the_task_that_was_planned_whatever_the_way(plan: Plan) -> None:
    for job in all_jobs(plan):
        assert recipe(json.loads(canonical(job.task))) == recipe(job.task)


def test_the_plan_has_every_job_once(plan: Plan) -> None:
    runs = [f"mlp/seed{seed}" for seed in (0, 1)]
    train_sets = ["full", "without-within", "without-random"]
    expected = {
        *("data/addition/examples", "data/addition/seed0", "data/addition/seed1"),
        *(f"{stage}/{run}" for stage in ("forget", "checkpoints", "sweep", "measures") for run in runs),
        *(f"train/{run}/{name}/segment00{n}" for run in runs for name in train_sets for n in (1, 2)),
        *(f"unlearn/{run}/{name}" for run in runs for name in ("within", "random")),
        *(f"tables/{t}" for t in ("training", "checkpoints", "unlearning", "trajectories", "sweep", "analysis")),
        *("tables/summary", "paper/table1", "figures/figure1a", "figures/figure1b", "figures/figure2", "provenance"),
    }
    assert {job.key for job in plan.jobs()} == expected
    assert {job.key for job in plan.tuning_jobs()} == {
        *("data/addition/seed9", "forget/mlp/seed9", "checkpoints/mlp/seed9", "tuning/mlp/ascent", "tuning/choice"),
        *(f"train/mlp/seed9/full/segment00{n}" for n in (1, 2)),
    }
    assert list(small(tuning__candidates__ascent=None).tuning_jobs()) == []


def test_only_the_reference_is_made_from_the_retrained_run(plan: Plan) -> None:
    for forget_set in ("within", "random"):
        methods = units(plan.unlearn("mlp", 0, forget_set))
        retrained = recipe(unit(plan.select("mlp", 0), f"without-{forget_set}"))
        assert methods.keys() == {"original", "retrain", "ascent", "scrub"}
        for name, made in methods.items():
            assert (made["upstream"].get("retrained") == retrained) == (name == "retrain")
            assert made["spec"].get("retrained", False) == (name == "retrain")
            assert made["upstream"]["checkpoints"] == recipe(unit(plan.select("mlp", 0), "full"))


TABLES = {"tables", "figures", "paper", "provenance"}
AFTER_UNLEARNING = {"measures", *TABLES}
AFTER_SELECTION = {"unlearn", "tuning", *AFTER_UNLEARNING}
AFTER_TRAINING = {"checkpoints", "sweep", *AFTER_SELECTION}

STUDY_CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a further seed": ({"seeds": [0, 1, 2]}, TABLES),
    "a seed less": ({"seeds": [1]}, TABLES),
    "a further forget set": ({"forget_sets": {"more": {"kind": "random", "fraction": 0.2}}}, {"tuning", *TABLES}),
    "a further method": ({"methods": {"tuned": {"kind": "fine-tune", "epochs": 1}}}, AFTER_UNLEARNING),
    "a method less": ({"methods__scrub": None}, AFTER_UNLEARNING),
    "more steps": ({"settings__mlp__training__steps": 9000}, AFTER_TRAINING),
    "another optimizer": ({"settings__mlp__training__optimizer__weight_decay": 0.5}, {"train", *AFTER_TRAINING}),
    "another scale": ({"settings__mlp__initialisation_scale": 2.0}, {"train", *AFTER_TRAINING}),
    "threads": ({"threads": 2}, {"train", *AFTER_TRAINING}),
    "another selection": ({"settings__mlp__selection__sustained": 2}, {"checkpoints", *AFTER_SELECTION}),
    "other checkpoints": ({"checkpoints": ["grokked"]}, {"checkpoints", *AFTER_SELECTION}),
    "the stride": ({"trajectory_stride": 2}, {"unlearn", *AFTER_UNLEARNING}),
    "another measure": ({"measures": {"ues": {"kind": "ues"}}}, AFTER_UNLEARNING),
    "the sweep": ({"sweep__snapshots": 5}, {"sweep", "tables", "figures", "provenance"}),
    "what is tuned": ({"tuning__candidates__ascent__values": [0.1]}, {"tuning", "provenance"}),
    "what is forgotten": ({"forget_sets__within__fraction": 0.4}, {"forget", "train", *AFTER_TRAINING}),
    "the data": ({"data__addition__train_fraction": 0.5}, {"data", "forget", "train", *AFTER_TRAINING}),
    "nothing": ({}, set()),
}


@pytest.mark.parametrize("case", STUDY_CHANGES)
def test_a_change_of_the_study_reaches_what_depends_on_it(plan: Plan, case: str) -> None:
    changes, expected = STUDY_CHANGES[case]
    assert {name.split("/")[0] for name in changed(plan, small(**changes))} == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"methods__ascent__learning_rate": 0.5}, {"unlearn/within@ascent", "unlearn/random@ascent"}),
        ({"settings__mlp__methods": {"scrub": {"epochs": 4}}}, {"unlearn/within@scrub", "unlearn/random@scrub"}),
        (
            {"forget_sets__within__fraction": 0.4},
            {
                *("forget@within", "checkpoints@without-within"),
                *(f"train/without-within/segment00{n}" for n in (1, 2)),
                *(f"unlearn/within@{method}" for method in ("original", "retrain", "ascent", "scrub")),
            },
        ),
        ({"settings__mlp__training__steps": 9000}, {f"checkpoints@{t}" for t in ("full", "without-within", "without-random")}),
    ],
    ids=["a method", "a method in one setting", "a forget set", "more steps"],
)  # fmt: skip
def test_a_change_of_one_thing_leaves_the_units_beside_it(
    plan: Plan, changes: dict[str, Any], expected: set[str]
) -> None:
    """``expected`` has the changed units up to the first step that depends on all of them."""
    names = {name.replace("/mlp/seed0", "") for name in changed(plan, small(**changes)) if "/seed0" in name}
    after = (
        ("sweep", "measures", "unlearn")
        if any("checkpoints@full" in name for name in expected)
        else ("sweep", "measures")
    )
    assert {name for name in names if not name.startswith(after)} == expected
    one = "within" if "forget_sets__within__fraction" in changes else None
    assert {name for name in names if name.startswith("measures")} == {
        f"measures@{name}" for name in ("within", "random") if one in (None, name)
    }


WIRING: dict[str, set[str]] = {
    "prepare": {"data/addition/examples", "data/addition/seed", "forget", "train", *AFTER_TRAINING},
    "split": {"data/addition/seed", "forget", "train", *AFTER_TRAINING},
    "forget": {"forget", "train", *AFTER_TRAINING},
    "train": {"train", *AFTER_TRAINING},
    "select": {"checkpoints", *AFTER_SELECTION},
    "unlearn": {"unlearn", *AFTER_UNLEARNING},
    "sweep": {"sweep", "tables/sweep", "figures/figure1b", "provenance"},
    "measure": AFTER_UNLEARNING,
    "tune": {"tuning/mlp", "tuning/choice"},
    "choose": {"tuning/choice"},
    "collect-training": {"tables/training", "figures/figure1a", "provenance"},
    "collect-checkpoints": {"tables/checkpoints", "figures/figure1a", "figures/figure1b", "provenance"},
    "collect-unlearning": {"tables/unlearning", "tables/summary", "paper", "figures/figure2", "provenance"},
    "collect-trajectories": {"tables/trajectories", "figures/figure2", "provenance"},
    "collect-sweep": {"tables/sweep", "figures/figure1b", "provenance"},
    "collect-analysis": {"tables/analysis", "provenance"},
    "summarise": {"tables/summary", "paper", "provenance"},
    "table1": {"paper", "provenance"},
    "figure1a": {"figures/figure1a", "provenance"},
    "figure1b": {"figures/figure1b", "provenance"},
    "figure2": {"figures/figure2", "provenance"},
    "provenance": {"provenance"},
}


@pytest.fixture
def other_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def change(stage: str) -> None:
        def other(*names: str) -> str:
            return "other" if names[0] == STAGES[stage] else fingerprint(*names)

        monkeypatch.setattr(module, "fingerprint", other)

    return change


def test_the_wiring_names_every_stage() -> None:
    assert WIRING.keys() == STAGES.keys()


@pytest.mark.parametrize("stage", WIRING)
def test_other_code_of_a_stage_reaches_what_is_made_from_its_results(plan: Plan, stage: str, other_code: Any) -> None:
    before = unit_recipes(plan)
    other_code(stage)
    after = unit_recipes(small())
    reached = {name for name in before if before[name] != after[name]}
    for name in WIRING[stage]:
        assert any(key.startswith(name) for key in reached), name
    assert {key for key in reached if not key.startswith(tuple(WIRING[stage]))} == set()
    # All of a stage's own jobs, and nothing of a run on the full train set but what the forget sets are for.
    whole = {"train", "unlearn", "measure", "forget", "select", "sweep"}
    if stage in whole:
        where = {"measure": "measures", "select": "checkpoints"}.get(stage, stage)
        assert all(name in reached for name in before if name.startswith(f"{where}/"))
    if stage == "forget":
        assert not [name for name in reached if "/full/" in name or name.endswith("@full")]


def test_a_segment_depends_on_all_before_it_and_on_none_behind(plan: Plan) -> None:
    first, second = (plan.train("mlp", 0, "full", name) for name in ("001", "002"))
    assert second["upstream"]["state"] == recipe(first)
    assert "state" not in first["upstream"]
    assert [made["spec"]["stop"] for made in (first, second)] == [3000, 6000]
    longer = small(settings__mlp__training__steps=60000)
    assert longer.train("mlp", 0, "full", "002") == second


def test_the_last_of_many_segments_can_be_asked_for_first() -> None:
    """As a job does that Snakemake runs on a cluster: it reads the workflow anew, for itself alone."""
    many = {"settings__mlp__training__steps": 20 * 900, "settings__mlp__training__segment_steps": 20}
    last = small(**many).train("mlp", 0, "full", "900")
    plan = small(**many)
    assert [plan.train("mlp", 0, "full", name) for name in plan.segments("mlp")][-1] == last
    assert last["upstream"]["state"] == recipe(plan.train("mlp", 0, "full", "899"))


def test_the_tuning_seed_trains_on_the_full_train_set_alone(plan: Plan) -> None:
    assert plan.train_sets(9) == ["full"]
    assert plan.train_sets(1) == ["full", "without-within", "without-random"]
    assert list(units(plan.select("mlp", 9))) == ["full"]


def test_a_figure_shows_what_is_drawn_and_nothing_else(plan: Plan) -> None:
    assert plan.figure("figure1a")["spec"] == {"settings": ["mlp"], "checkpoints": plan.study.checkpoints}
    assert plan.figure("figure1b")["spec"].keys() == {"settings", "forget_sets", "sweep_method"}
    assert plan.figure("figure2")["spec"].keys() == {"settings", "forget_sets", "checkpoints", "methods", "retrain"}
    assert plan.figure("figure2")["spec"]["retrain"] == "retrain"
    assert plan.figure("figure1b")["spec"]["sweep_method"] == "ascent"
