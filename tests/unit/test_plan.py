"""The plan of a study wires its jobs: a change reaches what depends on it, and nothing else."""

from __future__ import annotations

import json
import re
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
    tables = ["training", "checkpoints", "unlearning", "trajectories", "sweep", "analysis", "along", "membership"]
    figures = ["figure1a", "figure1b", "figure2", "alignment", "alignment-pairs", "pareto", "attacks", "claims"]
    expected = {
        *("data/addition/examples", "data/addition/seed0", "data/addition/seed1"),
        *(f"{stage}/{run}" for stage in ("forget", "checkpoints", "sweep", "measures") for run in runs),
        *(f"{stage}/{run}" for stage in ("analysis", "shadows", "tuning") for run in runs),
        *(f"train/{run}/{name}/segment00{n}" for run in runs for name in train_sets for n in (1, 2)),
        *(f"unlearn/{run}/{name}" for run in runs for name in ("within", "random")),
        # The seed that chooses, for which nothing else is done.
        *("data/addition/seed9", "forget/mlp/seed9", "checkpoints/mlp/seed9", "tuning/mlp/seed9"),
        *(f"train/mlp/seed9/full/segment00{n}" for n in (1, 2)),
        "attack/mlp",
        *(f"tables/{name}" for name in [*tables, "tuning", "tuned", "summary"]),
        *(f"paper/{name}" for name in ("table1", "table3", "table10", "membership", "claims", "published")),
        *(f"figures/{name}" for name in figures),
        "provenance",
    }
    assert {job.key for job in plan.jobs()} == expected
    assert {job.key for job in plan.tuning_jobs()} == {"tuning/choice"}


def test_what_a_study_does_not_ask_for_is_not_planned(plan: Plan) -> None:
    every = {job.key for job in all_jobs(plan)}
    alone = small(
        tuning__candidates__ascent=None,
        analyses__alignment=None,
        likelihood_ratio_attack=False,
        forget_sets__random=None,
    )
    left = {job.key for job in all_jobs(alone)}
    assert {key for key in every - left if "random" not in key and "seed9" not in key} == {
        *(f"{stage}/mlp/seed{seed}" for stage in ("analysis", "shadows", "tuning") for seed in (0, 1)),
        *("attack/mlp", "tuning/choice"),
        *(f"tables/{name}" for name in ("along", "membership", "tuning", "tuned")),
        *("paper/table3", "paper/table10"),
        *(f"figures/{name}" for name in ("alignment", "alignment-pairs", "pareto", "attacks")),
    }
    assert not [key for key in left if "seed9" in key]
    assert left <= every
    assert alone.decide_claims == ["unlearning", "analysis"]
    assert list(alone.claims()["upstream"]) == ["unlearning", "analysis"]


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
AFTER_UNLEARNING = {"measures", "attack", *TABLES}
AFTER_SELECTION = {"unlearn", "tuning", "analysis", "shadows", *AFTER_UNLEARNING}
AFTER_TRAINING = {"checkpoints", "sweep", *AFTER_SELECTION}
# What is as it would be without saying so.
SAID = {
    "settings__mlp__seeds": [0, 1],
    "settings__mlp__checkpoints": ["early", "memorised", "grokked"],
    "settings__mlp__forget_sets": ["random", "within"],
    "analyses__alignment__forget_sets": ["random", "within"],
    "sweep__forget_sets": ["random", "within"],
    "tuning__forget_sets": ["random", "within"],
}
PUBLISHED = {"dataset": "cifar10", "model": "cnn"}

STUDY_CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a further seed": ({"seeds": [0, 1, 2]}, {"attack", *TABLES}),
    "a seed less": ({"seeds": [1], "likelihood_ratio_attack": False}, TABLES),
    "a further forget set": (
        {"forget_sets": {"more": {"kind": "random", "fraction": 0.2}}},
        {"tuning", "attack", *TABLES},
    ),
    "a further method": ({"methods": {"tuned": {"kind": "fine-tune", "epochs": 1}}}, AFTER_UNLEARNING),
    "a method less": ({"methods__scrub": None}, AFTER_UNLEARNING),
    "more steps": ({"settings__mlp__training__steps": 9000}, AFTER_TRAINING),
    "another optimizer": ({"settings__mlp__training__optimizer__weight_decay": 0.5}, {"train", *AFTER_TRAINING}),
    "another scale": ({"settings__mlp__initialisation_scale": 2.0}, {"train", *AFTER_TRAINING}),
    "threads": ({"threads": 2}, {"train", *AFTER_TRAINING}),
    "another selection": ({"settings__mlp__selection__sustained": 2}, {"checkpoints", *AFTER_SELECTION}),
    "other checkpoints": ({"checkpoints": ["grokked"]}, {"checkpoints", *AFTER_SELECTION}),
    "the stride": ({"trajectory_stride": 2}, {"unlearn", *AFTER_UNLEARNING}),
    "another measure": ({"measures": {"ues": {"kind": "ues"}}}, {"measures", *TABLES}),
    "an analysis": ({"analyses__alignment__pairs": 4}, {"analysis", *TABLES}),
    "an analysis along training no more": ({"analyses__alignment__at": ["before"]}, {"provenance"}),
    "no attack": ({"likelihood_ratio_attack": False}, {"paper", "provenance"}),
    "the sweep": ({"sweep__snapshots": 5}, {"sweep", "analysis", "tables", "figures", "provenance"}),
    "what is tuned": ({"tuning__candidates__ascent__values": [0.1]}, {"tuning", *TABLES}),
    "another seed that chooses": ({"tuning__seed": 10}, {"tuning", *TABLES}),
    "what it stands beside": ({"settings__mlp__published": [PUBLISHED]}, {"paper", "provenance"}),
    "what was so anyhow": (SAID, {"provenance"}),
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
        (
            {"methods__ascent__learning_rate": 0.5},
            {"unlearn/within@ascent", "unlearn/random@ascent", "tuning@ascent"},
        ),
        ({"settings__mlp__methods": {"scrub": {"epochs": 4}}}, {"unlearn/within@scrub", "unlearn/random@scrub"}),
        (
            {"forget_sets__within__fraction": 0.4},
            {
                *("forget@within", "checkpoints@without-within", "shadows@without-within", "tuning@ascent"),
                *("analysis@before/within/alignment", "analysis@along/within/alignment"),
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
    after: tuple[str, ...] = ("sweep", "measures")
    if any("checkpoints@full" in name for name in expected):
        after = (*after, "unlearn", "analysis", "shadows", "tuning")
    assert {name for name in names if not name.startswith(after)} == expected
    one = "within" if "forget_sets__within__fraction" in changes else None
    assert {name for name in names if name.startswith("measures")} == {
        f"measures@{name}" for name in ("within", "random") if one in (None, name)
    }


DECIDED = {"paper/claims", "figures/claims", "provenance"}
ATTACKED = {"tables/membership", "paper/membership", "figures/attacks", "provenance"}
TUNED = {"tables/tuned", "figures/pareto", *DECIDED}
DRAWN = ("figure1a", "figure1b", "figure2", "alignment", "alignment-pairs", "pareto", "attacks", "claims")
# The small study has nothing to show in these.
IDLE = (
    "cka",
    "complexity",
    "complexity-methods",
    "modules",
    "ablation",
    "designs",
    "controls",
    "robustness",
    "relearning",
)
SPLITS = {f"data/addition/seed{seed}" for seed in (0, 1, 9)}

WIRING: dict[str, set[str]] = {
    "prepare": {"data", "forget", "train", *AFTER_TRAINING},
    "split": {*SPLITS, "forget", "train", *AFTER_TRAINING},
    # No forget set of the small study is drawn by difficulty.
    "difficulty": set(),
    "forget": {"forget", "train", *AFTER_TRAINING},
    "train": {"train", *AFTER_TRAINING},
    "select": {"checkpoints", *AFTER_SELECTION},
    "unlearn": {"unlearn", *AFTER_UNLEARNING},
    "sweep": {"sweep", "tables/sweep", "figures/figure1b", "provenance"},
    "measure": {"measures", *TABLES},
    "tune": {"tuning/mlp", "tuning/choice", "tables/tuning", *TUNED},
    "choose": {"tuning/choice"},
    "analyse": {
        *("analysis", "tables/analysis", "tables/along", "paper/table3", "paper/published"),
        *("figures/alignment", "figures/alignment-pairs", *DECIDED),
    },
    "shadow": {"shadows", "attack", *ATTACKED},
    "attack": {"attack", *ATTACKED},
    "collect-training": {"tables/training", "figures/figure1a", "provenance"},
    "collect-checkpoints": {
        *("tables/checkpoints", "figures/figure1a", "figures/figure1b", "figures/alignment", "provenance"),
    },
    "collect-unlearning": {
        *("tables/unlearning", "tables/summary", "figures/figure2", "figures/attacks", *DECIDED),
        *(f"paper/{name}" for name in ("table1", "table10", "membership", "published")),
    },
    "collect-trajectories": {"tables/trajectories", "figures/figure2", "provenance"},
    "collect-sweep": {"tables/sweep", "figures/figure1b", "provenance"},
    "collect-analysis": {"tables/analysis", "paper/table3", "paper/published", "figures/alignment-pairs", *DECIDED},
    "collect-along": {"tables/along", "figures/alignment", "provenance"},
    "collect-membership": ATTACKED,
    "collect-tuning": {"tables/tuning", *TUNED},
    "summarise": {"tables/summary", "paper/table1", "provenance"},
    "table1": {"paper/table1", "provenance"},
    "tuned": TUNED,
    "claims": DECIDED,
    "published": {"paper/published", "provenance"},
    "paper-table": {"paper/table3", "paper/table10", "paper/membership", "provenance"},
    **{f"figure-{name}": {f"figures/{name}", "provenance"} for name in DRAWN},
    **{f"figure-{name}": set() for name in IDLE},
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


def is_of(key: str, name: str) -> bool:
    """Whether a unit is of the job of that name, or of one below it."""
    return key == name or key.startswith((f"{name}/", f"{name}@"))


@pytest.mark.parametrize("stage", WIRING)
def test_other_code_of_a_stage_reaches_what_is_made_from_its_results(plan: Plan, stage: str, other_code: Any) -> None:
    before = unit_recipes(plan)
    other_code(stage)
    after = unit_recipes(small())
    reached = {name for name in before if before[name] != after[name]}
    for name in WIRING[stage]:
        assert any(is_of(key, name) for key in reached), name
    assert {key for key in reached if not any(is_of(key, name) for name in WIRING[stage])} == set()
    # All of a stage's own jobs, and nothing of a run on the full train set but what the forget sets are for.
    where = {
        "measure": "measures",
        "select": "checkpoints",
        "analyse": "analysis",
        "shadow": "shadows",
        "tune": "tuning",
    }
    if stage in {*where, "train", "unlearn", "forget", "sweep", "attack"}:
        assert all(name in reached for name in before if name.startswith(f"{where.get(stage, stage)}/"))
    if stage == "forget":
        assert not [name for name in reached if "/full/" in name or name.endswith("@full")]


HARDEST = {"kind": "by-difficulty", "fraction": 0.1}
SCORED = {"hard": HARDEST, "wrong": {"kind": "noisy", "intended": HARDEST}}


def test_only_what_is_drawn_by_difficulty_depends_on_it(plan: Plan, other_code: Any) -> None:
    scored = small(forget_sets=SCORED)
    where = {f"difficulty/mlp/seed{seed}" for seed in (0, 1, 9)}
    assert {job.key for job in scored.jobs()} >= where
    assert not {job.key for job in all_jobs(plan)} & where
    forget, scores = units(scored.forget("mlp", 0)), units(scored.difficulty("mlp", 0))
    assert scores.keys() == {"hard", "wrong"}
    for name, made in forget.items():
        assert made["upstream"].get("difficulty") == (recipe(scores[name]) if name in scores else None)
        assert made["spec"].get("difficulty", False) == (name in scores)
    runs = [recipe(scored.train("mlp", 0, "full", segment)) for segment in ("001", "002")]
    assert scores["hard"]["upstream"]["segments"] == runs == plan._run("mlp", 0, "full")["segments"]
    # The others stay as they are in a study without difficulty, and with other code for it.
    before, without = unit_recipes(scored), unit_recipes(plan)
    shared = ("forget/", "train/", "checkpoints/", "unlearn/", "sweep/", "measures/", "analysis/", "shadows/")
    assert all(before[name] == made for name, made in without.items() if name.startswith(shared))
    other_code("difficulty")
    after = unit_recipes(small(forget_sets=SCORED))
    reached = {name for name in before if before[name] != after[name]}
    assert {name.split("/")[0] for name in reached} == {"difficulty", "forget", "train", "tuning", *AFTER_TRAINING}
    # The attack has the runs without each forget set as shadow models.
    assert not [name for name in reached if re.search("within|random|full", name) and not name.startswith("attack/")]
    assert {name for name in reached if name.startswith("forget/mlp/seed0")} == {
        "forget/mlp/seed0@hard", "forget/mlp/seed0@wrong"
    }  # fmt: skip


def test_how_difficulty_is_measured_is_a_matter_of_each_forget_set() -> None:
    plan = small(
        forget_sets={"hard": HARDEST, "easy": {**HARDEST, "order": "easiest"}, "long": {**HARDEST, "snapshots": 50}}
    )
    made = {name: recipe(scores) for name, scores in units(plan.difficulty("mlp", 0)).items()}
    # One recipe is computed once (units.py).
    assert made["hard"] == made["easy"] != made["long"]


def test_a_segment_depends_on_all_before_it_and_on_none_behind(plan: Plan) -> None:
    first, second = (plan.train("mlp", 0, "full", name) for name in ("001", "002"))
    assert second["upstream"]["state"] == recipe(first)
    assert "state" not in first["upstream"]
    assert [made["spec"]["stop"] for made in (first, second)] == [3000, 6000]
    longer = small(settings__mlp__training__steps=60000)
    assert longer.train("mlp", 0, "full", "002") == second


def test_a_penalty_is_part_of_training_as_code_and_settings(plan: Plan) -> None:
    code = "grokforget.training.penalties.jacobian:Jacobian"
    penalised = small(settings__mlp__training__penalty={"kind": "jacobian", "strength": 1e-3})
    made, without = (each.train("mlp", 0, "full", "001") for each in (penalised, plan))
    assert made["spec"]["training"]["penalty"] == {"implementation": code, "settings": {"strength": 1e-3}}
    assert made["code"] == fingerprint(STAGES["train"], "grokforget.models.mlp:MLP", code)
    assert without["spec"]["training"]["penalty"] is None
    assert without["code"] == fingerprint(STAGES["train"], "grokforget.models.mlp:MLP")
    assert not {"steps", "segment_steps"} & made["spec"]["training"].keys()


def test_the_last_of_many_segments_can_be_asked_for_first() -> None:
    """As a job does that Snakemake runs on a cluster: it reads the workflow anew, for itself alone."""
    many = {"settings__mlp__training__steps": 20 * 900, "settings__mlp__training__segment_steps": 20}
    last = small(**many).train("mlp", 0, "full", "900")
    plan = small(**many)
    assert [plan.train("mlp", 0, "full", name) for name in plan.segments("mlp")][-1] == last
    assert last["upstream"]["state"] == recipe(plan.train("mlp", 0, "full", "899"))


def test_the_tuning_seed_trains_on_the_full_train_set_alone(plan: Plan) -> None:
    assert plan.train_sets("mlp", 9) == ["full"]
    assert plan.train_sets("mlp", 1) == ["full", "without-within", "without-random"]
    assert list(units(plan.select("mlp", 9))) == ["full"]


def test_a_figure_shows_what_is_drawn_and_nothing_else(plan: Plan) -> None:
    assert plan.figure("figure1a")["spec"] == {"settings": ["mlp"], "checkpoints": plan.study.checkpoints}
    assert plan.figure("figure1b")["spec"].keys() == {"settings", "swept", "sweep_method"}
    assert plan.figure("figure2")["spec"].keys() == {"settings", "forget_sets", "checkpoints", "methods", "retrain"}
    assert plan.figure("figure2")["spec"]["retrain"] == "retrain"
    assert plan.figure("figure1b")["spec"]["sweep_method"] == "ascent"
    # The paper's design where there is one, for the headline; all that is swept along training.
    assert plan.figure("figure2")["spec"]["forget_sets"] == plan.table1()["spec"]["forget_sets"] == ["within"]
    assert plan.figure("figure1b")["spec"]["swept"] == ["within", "random"]
    assert small(forget_sets__within=None).table1()["spec"]["forget_sets"] == ["random"]
    assert plan.figure("alignment")["spec"].keys() == {"settings", "swept", "study"}


def test_an_analysis_of_results_depends_on_them_and_on_the_reference(plan: Plan) -> None:
    both = small(analyses__alignment__at=["before", "after"])
    before, after = (units(each.analyse("mlp", 0))["before/within/alignment"] for each in (plan, both))
    checkpoints = recipe(unit(plan.select("mlp", 0), "full"))
    for made in (before, after):
        assert made["upstream"]["checkpoints"] == checkpoints
        assert made["upstream"]["forget"] == recipe(unit(plan.forget("mlp", 0), "within"))
        assert made["spec"]["before"]
        assert made["spec"]["forget_set"] == "within"
    assert (before["spec"]["methods"], before["upstream"].keys() & {"retrained", "unlearned"}) == ([], set())
    assert after["spec"]["methods"] == ["retrain", "ascent", "scrub"]
    unlearned = units(plan.unlearn("mlp", 0, "within"))
    assert after["upstream"]["unlearned"] == {name: recipe(unlearned[name]) for name in after["spec"]["methods"]}
    assert after["upstream"]["retrained"] == recipe(unit(plan.select("mlp", 0), "without-within"))
    # Beside it nothing of a result changes: the analysis is not told where it is done.
    assert after["spec"]["analysis"] == before["spec"]["analysis"]
    assert not {"at", "forget_sets"} & before["spec"]["analysis"]["settings"].keys()


def test_an_analysis_along_training_depends_on_the_run_and_on_no_checkpoint(plan: Plan) -> None:
    made = units(plan.analyse("mlp", 0))["along/random/alignment"]
    assert made["upstream"]["segments"] == [recipe(plan.train("mlp", 0, "full", name)) for name in ("001", "002")]
    assert made["upstream"].keys() == {"examples", "split", "forget", "segments"}
    assert made["spec"]["snapshots"] == plan.study.sweep.snapshots
    assert not {"checkpoints", "methods", "before"} & made["spec"].keys()


def test_every_seed_is_attacked_by_the_others_on_all_train_sets(plan: Plan) -> None:
    shadows = [
        recipe(unit(plan.shadow("mlp", seed), name))
        for seed in (0, 1)
        for name in ("full", "without-within", "without-random")
    ]
    made = units(plan.attack("mlp"))
    assert made.keys() == {"within", "random"}
    for forget_set, attack in made.items():
        unlearned = [recipe(each) for seed in (0, 1) for each in units(plan.unlearn("mlp", seed, forget_set)).values()]
        assert attack["upstream"]["shadows"] == recipe(shadows)
        assert attack["upstream"]["unlearned"] == recipe(unlearned)
        assert attack["spec"]["forget_set"] == forget_set
    without = units(plan.shadow("mlp", 0))["without-within"]
    assert without["upstream"]["forget"] == recipe(unit(plan.forget("mlp", 0), "within"))


def test_candidates_are_tried_on_every_seed_and_chosen_on_one(plan: Plan) -> None:
    assert plan.tuning_seeds("mlp") == [0, 1, 9]
    for seed in (0, 1, 9):
        made = units(plan.tune("mlp", seed))
        assert made.keys() == {"ascent"}
        assert made["ascent"]["spec"]["candidates"] == [1e-2, 1e-3]
        assert made["ascent"]["upstream"]["forget"] == [
            recipe(unit(plan.forget("mlp", seed), name)) for name in ("within", "random")
        ]
    assert plan.choose()["upstream"] == {"tuned": recipe([recipe(unit(plan.tune("mlp", 9), "ascent"))])}
    assert plan.tuned()["spec"] == {"seed": 9}


def test_a_setting_without_analyses_that_fit_it_has_no_job_for_them(plan: Plan) -> None:
    """A batch without units would make no folder, which the tables then miss."""
    images = {"kind": "robustness"}
    alone = small(analyses__alignment=None, analyses__robustness=images)
    assert not [job.key for job in alone.jobs() if job.key.startswith("analysis/")]
    assert "along" not in alone.tables
    scopes = alone.collect("analysis")["spec"]["analyses"]
    assert scopes["mlp"]["parts"] == []
    both = [job for job in small(analyses__robustness=images).jobs() if job.key.startswith("analysis/")]
    assert [units(job.task).keys() for job in both] == [units(plan.analyse("mlp", seed)).keys() for seed in (0, 1)]
