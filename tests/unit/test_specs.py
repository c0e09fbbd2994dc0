"""The specs of a study wire its jobs: a change reaches what depends on it, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from grokforget.config.methods import METHODS
from grokforget.config.specs import collect as collecting
from grokforget.config.specs import figures as drawing
from grokforget.config.specs import inspection, runs, unlearning
from grokforget.config.specs import tables as deriving
from grokforget.config.specs.base import Item
from grokforget.config.study import Study
from grokforget.runtime import paths, spec_file
from grokforget.runtime.components import load_implementation
from grokforget.runtime.fingerprint import fingerprint
from small import job_specs, small

Jobs = dict[str, dict[str, Item]]


def every_job(study: Study) -> Jobs:
    """Every job that a rule could be asked for, by its key, as ``workflow/rules/`` ask the builders for their items."""
    tables = collecting.tables_of(study)
    figures = drawing.figures_of(study, [*tables, *collecting.SUMMARIES])
    papers = deriving.paper_tables_of(study, tables)
    products = collecting.products(tables, papers, figures)
    found: dict[str, Any] = {}

    def job(pattern: str, build: Callable[..., Any], **values: str) -> None:
        found[pattern.format(**values)] = build(study, **values)

    for data in study.data:
        job(paths.DATA, runs.prepare, data=data)
    for name, setting in study.settings.items():
        for seed in map(str, dict.fromkeys([*study.seeds_of(name), study.tuning.seed])):
            job(paths.SPLIT_JOB, runs.split, data=setting.data, seed=seed)
            where = {"setting": name, "seed": seed}
            job(paths.DIFFICULTIES, runs.difficulty, **where)
            job(paths.FORGETTING, runs.forget, **where)
            job(paths.SELECTION, runs.select, **where)
            job(paths.ALONG_TRAINING, unlearning.unlearn_along_training, **where)
            job(paths.MEASUREMENT, unlearning.measure, **where)
            job(paths.INSPECTION, inspection.analyse, **where)
            job(paths.TUNING_JOB, unlearning.tune, **where)
            for train_set in study.train_sets_of(name):
                for segment in study.segments(name):
                    job(paths.SEGMENT, runs.train, **where, train_set=train_set, segment=segment)
            for forget_set in study.forget_sets_of(name):
                job(paths.REQUEST, unlearning.unlearn, **where, forget_set=forget_set)
        job(paths.SHADOWS, inspection.shadow, setting=name)
        job(paths.ATTACK, inspection.attack, setting=name)
    for table in collecting.collected(study):
        job(paths.COLLECTION, collecting.collect, table=table)
    for figure in figures:
        job(paths.FIGURE, drawing.figure_item, figure=figure)
    for table in papers:
        job(paths.PAPER, lambda study, table: deriving.paper_table_item(study, table, tables), table=table)
    job("tables/summary", deriving.summarise_item)
    job("tables/tuned", deriving.tuned_item)
    job("tables/matched", deriving.matched_item)
    job("tables/runs", deriving.outcomes_item)
    job("paper/claims", lambda study: deriving.claims_item(study, tables))
    job("paper/explanations", lambda study: deriving.explanations_item(study, tables))
    job("paper/published", deriving.published_item)
    job(paths.PROVENANCE, lambda study: collecting.provenance(study, products))
    job(paths.CHOICE, collecting.choose)
    return {key: built if isinstance(built, dict) else {"": built} for key, built in found.items()}


def files_of(named: Any) -> list[str]:
    return [file for files in named.values() for file in ([files] if isinstance(files, str) else files)]


def all_jobs(study: Study) -> Jobs:
    """What `snakemake all tuning` runs: the jobs behind the study's products."""
    every = every_job(study)
    makers = {file: key for key, items in every.items() for item in items.values() for file in item.outputs.values()}
    asked = ["provenance.json", *(["tuning/choice.csv"] if study.tuning.candidates else [])]
    needed, todo = set(), list(asked)
    while todo:
        file = todo.pop()
        if not file.startswith("/") and makers[file] not in needed:
            needed.add(makers[file])
            todo.extend(file for item in every[makers[file]].values() for file in files_of(item.inputs))
    return {key: every[key] for key in every if key in needed}


def recipes(study: Study, other: Callable[[str], bool] = lambda key: False) -> dict[str, str]:
    """Every item of every job by ``key`` or ``key@item``: a hash of all that decides it, with the same hash of the items
    that made what it reads in place of the files' checksums. ``other`` says whose code to take for changed."""
    jobs = all_jobs(study)
    made_by = {
        file: (key, name)
        for key, items in jobs.items()
        for name, item in items.items()
        for file in item.outputs.values()
    }
    told = {key: spec_file.content(items)["items"] for key, items in jobs.items()}

    @cache
    def recipe(key: str, name: str) -> str:
        item = told[key][name]
        decides = {part: item[part] for part in ("function", "spec", "code", "versions")}
        reads = {
            what: [recipe(*made_by[file]) if file in made_by else file for file in files]
            for what, files in item["inputs"].items()
        }
        text = json.dumps([decides, reads, sorted(item["outputs"]), other(key)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    return {f"{key}@{name}".rstrip("@"): recipe(key, name) for key, items in jobs.items() for name in items}


def content(items: dict[str, Item], name: str = "") -> dict[str, Any]:
    """What the spec file says of an item."""
    told: dict[str, Any] = spec_file.content(items)["items"][name]
    return told


def changed(before: Study, after: Study) -> set[str]:
    """The items that both have, with other recipes."""
    old, new = recipes(before), recipes(after)
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


@pytest.fixture(scope="module")
def study() -> Study:
    return small()


# What there is.
def test_no_two_jobs_write_the_same_file_and_every_file_belongs_to_its_job_by_its_path(study: Study) -> None:
    jobs = all_jobs(small(forget_sets=SCORED))
    written = [file for items in jobs.values() for item in items.values() for file in item.outputs.values()]
    assert len(written) == len(set(written))
    for key, items in jobs.items():
        for item in items.values():
            assert item.outputs
            for file in item.outputs.values():
                # The tables that are made with others, and the choice among candidates, are named apart.
                beside = {"tables/contrasts.parquet", "tables/claims.parquet", "tuning/candidates.csv"}
                beside |= {"data/addition/labels.csv", "tables/fronts.parquet", "tables/explanations.parquet"}
                beside |= {"tables/rates.parquet"}
                assert f"{file}/".startswith((f"{key}/", f"{key}.")) or file in beside


def test_a_rule_reads_what_another_one_has_as_its_output(study: Study) -> None:
    """A batch's output is its folder: Snakemake asks for no file in it."""
    for key, items in all_jobs(small(forget_sets=SCORED)).items():
        products = {paths.product_of(file) for item in items.values() for file in item.outputs.values()}
        if "" in items:
            assert products == {file for item in items.values() for file in item.outputs.values()}
        else:
            assert products == {key}, "one folder, which is the job's"


def test_a_study_has_every_job_once(study: Study) -> None:
    of_runs = [f"mlp/seed{seed}" for seed in (0, 1)]
    train_sets = ["full", "without-within", "without-random"]
    tables = [
        *("training", "checkpoints", "unlearning", "trajectories", "unlearning_along", "analysis", "along"),
        *("membership", "tuning", "tuning_trajectories", "tuned", "matched", "runs", "summary"),
    ]
    figures = [
        *("figure1a", "figure1b", "figure2", "alignment", "alignment-pairs", "pareto", "matched", "attacks"),
        *("claims", "explanations"),
    ]
    assert all_jobs(study).keys() == {
        *("data/addition/examples", "data/addition/seed0", "data/addition/seed1"),
        *(f"{job}/{run}" for job in ("forget", "checkpoints", "along_training", "metrics") for run in of_runs),
        *(f"{job}/{run}" for job in ("analysis", "tuning") for run in of_runs),
        *(f"train/{run}/{name}/segment00{n}" for run in of_runs for name in train_sets for n in (1, 2)),
        *(f"unlearn/{run}/{name}" for run in of_runs for name in ("within", "random")),
        # The seed that chooses, for which nothing else is done.
        *("data/addition/seed9", "forget/mlp/seed9", "checkpoints/mlp/seed9", "tuning/mlp/seed9"),
        *(f"train/mlp/seed9/{name}/segment00{n}" for name in train_sets for n in (1, 2)),
        *("shadows/mlp", "attack/mlp", "tuning/choice"),
        *(f"tables/{name}" for name in tables),
        *(
            f"paper/{name}"
            for name in ("table1", "table3", "table10", "membership", "claims", "explanations", "published")
        ),
        *(f"figures/{name}" for name in figures),
        "provenance",
    }


def test_what_a_study_does_not_ask_for_is_not_there(study: Study) -> None:
    every_job = all_jobs(study)
    every = set(every_job)
    alone = small(
        tuning__candidates__ascent=None,
        analyses__alignment=None,
        likelihood_ratio_attack=False,
        forget_sets__random=None,
    )
    left = all_jobs(alone)
    assert {key for key in every - left.keys() if "random" not in key and "seed9" not in key} == {
        *(f"{job}/mlp/seed{seed}" for job in ("analysis", "tuning") for seed in (0, 1)),
        *("shadows/mlp", "attack/mlp", "tuning/choice"),
        *(f"tables/{name}" for name in ("along", "membership", "tuning", "tuning_trajectories", "tuned")),
        *("paper/table3", "paper/table10"),
        *(f"figures/{name}" for name in ("alignment", "alignment-pairs", "pareto", "attacks")),
    }
    data = ["labels"]
    assert list(every_job["tables/matched"][""].inputs) == [
        "tuning",
        "tuning_trajectories",
        "unlearning",
        "trajectories",
        *data,
    ]
    assert list(left["tables/matched"][""].inputs) == ["unlearning", "trajectories", *data], "of the cells themselves"
    assert not [key for key in left if "seed9" in key]
    assert left.keys() <= every
    assert list(left["paper/claims"][""].inputs) == ["unlearning", "analysis", "matched", "fronts"]
    explained = ["training", "checkpoints", "unlearning_along", "matched", "analysis"]
    assert list(left["paper/explanations"][""].inputs) == explained


def test_the_products_are_tables_figures_and_pages(study: Study) -> None:
    products = collecting.products(["training"], ["table1"], ["figure2"])
    assert set(products) == {
        *(f"tables/{name}.parquet" for name in ("training", "summary", "contrasts", "claims", "explanations")),
        *(f"figures/figure2.{ending}" for ending in ("svg", "pdf", "png")),
        *(f"paper/table1.{ending}" for ending in ("csv", "md", "tex")),
        *(f"paper/{name}.{ending}" for name in ("claims", "explanations", "published") for ending in ("csv", "md")),
    }
    of_study = all_jobs(study)["provenance"][""].inputs["products"]
    assert len(of_study) == len(set(of_study))
    made = {file for items in all_jobs(study).values() for item in items.values() for file in item.outputs.values()}
    assert set(of_study) <= made


# What an item is told.
@pytest.mark.parametrize("key", ["data/addition/examples", "unlearn/mlp/seed0/within", "figures/figure2", "provenance"])
def test_an_item_says_its_function_code_versions_and_files(study: Study, key: str) -> None:
    for name, item in all_jobs(study)[key].items():
        told = content({name: item}, name)
        assert load_implementation(told["type"]) is type(item.spec)
        assert load_implementation(told["type"]).model_validate(told["spec"]) == item.spec
        assert told["function"] == item.spec.function
        assert told["versions"].keys() == {*item.spec.libraries}
        assert told["outputs"] == item.outputs
        assert {what: files_of({what: files}) for what, files in item.inputs.items()} == told["inputs"]


def test_the_code_of_an_item_is_that_of_its_function_and_of_the_components_in_its_spec(study: Study) -> None:
    methods = runs_of(study, "unlearn/mlp/seed0/within")
    model, job = "grokforget.models.mlp", "grokforget.jobs.unlearn"
    objective = runs.compute(study, "mlp", 0)["objective"].implementation.partition(":")[0]
    for name, kind in (("scrub", "scrub"), ("ascent", "gradient-ascent")):
        method = METHODS[kind].implementation.partition(":")[0]
        told = content(methods, name)
        assert told["implementations"] == sorted({job, method, model, objective})
        assert told["code"] == fingerprint(job, method, model, objective)


def test_components_are_found_at_any_depth_of_a_spec() -> None:
    scrub = {"implementation": "grokforget.methods.scrub:Scrub", "settings": {}}
    deep = {"here": scrub, "there": {"deeper": [{"implementation": "a.b:C"}], "again": scrub}, "plain": {"n": 1}}
    odd = {"implementation": 3}
    assert sorted(spec_file.implementations({**deep, "odd": odd})) == ["a.b", *["grokforget.methods.scrub"] * 2]


def runs_of(study: Study, key: str) -> dict[str, Item]:
    return all_jobs(study)[key]


# Those that run models.
MODELS = {"TrainSpec", "DifficultySpec", "LossesSpec", "UnlearnSpec", "UnlearnAlongTrainingSpec", "TuneSpec", "AnalyseSpec",
          "AnalyseAlongTrainingSpec", "AnalyseRunSpec", "ShadowSpec", "StackedSpec"}  # fmt: skip


def test_every_kind_of_job_names_its_function_and_the_locked_libraries_that_decide_its_numbers() -> None:
    found = {kind.__name__: kind for kind in job_specs()}
    assert found.keys() > MODELS
    for name, kind in found.items():
        assert callable(load_implementation(kind.function)), name
        versions = spec_file.versions_of(*kind.libraries)
        assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
        assert ("torch" in versions) == (name in MODELS)
        # What only puts records together has no numbers.
        assert versions or name == "ProvenanceSpec"
    assert {*found["FigureSpec"].libraries} == {"matplotlib", "seaborn", "pandas"}
    assert {*found["StatisticsFigureSpec"].libraries} == {"matplotlib", "seaborn", "pandas", "scipy"}
    assert {*found["CollectSpec"].libraries} == {"numpy", "pandas", "scipy"}


def test_only_the_reference_is_made_from_the_retrained_run(study: Study) -> None:
    for forget_set in ("within", "random"):
        methods = unlearning.unlearn(study, "mlp", "0", forget_set)
        assert methods.keys() == {"original", "retrain", "ascent", "scrub"}
        for name, item in methods.items():
            retrained = f"checkpoints/mlp/seed0/without-{forget_set}.safetensors"
            assert item.inputs.get("retrained") == (retrained if name == "retrain" else None)
            assert item.inputs["checkpoints"] == "checkpoints/mlp/seed0/full.safetensors"
            assert item.inputs["forget"] == f"forget/mlp/seed0/{forget_set}.safetensors"


@pytest.mark.parametrize(
    ("keep", "at", "kept", "named"),
    [
        ("all", ["before"], {"within", "random"}, set()),
        ("analysed", ["before"], set(), set()),
        ("analysed", ["before", "after"], {"within"}, set()),
        (["scrub"], ["before"], set(), {"scrub"}),
        (["scrub"], ["before", "after"], {"within"}, {"scrub"}),
    ],
)
def test_only_models_that_are_to_be_kept_are_written(
    keep: str | list[str], at: list[str], kept: set[str], named: set[str]
) -> None:
    study = small(keep_models=keep, analyses__alignment__at=at, analyses__alignment__forget_sets=["within"])
    for forget_set in ("within", "random"):
        for method, item in unlearning.unlearn(study, "mlp", "0", forget_set).items():
            assert ("models" in item.outputs) == (forget_set in kept or method in named)
            assert {"trajectory", "outputs", "diagnostics"} <= item.outputs.keys()
    read = {file for items in all_jobs(study).values() for item in items.values() for file in files_of(item.inputs)}
    written = {file for items in all_jobs(study).values() for item in items.values() for file in item.outputs.values()}
    assert {file for file in read if not file.startswith("/")} <= written


# What a change reaches.
TABLES = {"tables", "figures", "paper", "provenance"}
AFTER_UNLEARNING = {"metrics", "attack", *TABLES}
AFTER_SELECTION = {"unlearn", "tuning", "analysis", "shadows", *AFTER_UNLEARNING}
AFTER_TRAINING = {"checkpoints", "along_training", *AFTER_SELECTION}
# What is as it would be without saying so.
SAID = {
    "settings__mlp__seeds": [0, 1],
    "settings__mlp__checkpoints": ["early", "memorised", "grokked"],
    "settings__mlp__forget_sets": ["random", "within"],
    "analyses__alignment__forget_sets": ["random", "within"],
    "along_training__forget_sets": ["random", "within"],
    "tuning__forget_sets": ["random", "within"],
}

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
    "what trajectories are of": (
        {"trajectory_examples": 9},
        {"unlearn", "along_training", "tuning", *AFTER_UNLEARNING},
    ),
    "what batch norms are recalibrated on, without any": ({"recalibration_examples": 9}, {"provenance"}),
    "another metric": ({"metrics": {"ues": {"kind": "ues"}}}, {"metrics", *TABLES}),
    "an analysis": ({"analyses__alignment__pairs": 4}, {"analysis", *TABLES}),
    "an analysis along training no more": ({"analyses__alignment__at": ["before"]}, {"paper", "figures", "provenance"}),
    "no attack": ({"likelihood_ratio_attack": False}, {"paper", "provenance"}),
    "along training": (
        {"along_training__snapshots": 5},
        {"along_training", "analysis", *TABLES},
    ),
    "what is tuned": ({"tuning__candidates__ascent__values": [0.1]}, {"tuning", *TABLES}),
    "another seed that chooses": ({"tuning__seed": 10}, {"tuning", *TABLES}),
    "what was so anyhow": (SAID, {"provenance"}),
    "what is forgotten": ({"forget_sets__within__fraction": 0.4}, {"forget", "train", *AFTER_TRAINING}),
    "the data": ({"data__addition__train_fraction": 0.5}, {"data", "forget", "train", *AFTER_TRAINING}),
    "nothing": ({}, set()),
}


@pytest.mark.parametrize("case", STUDY_CHANGES)
def test_a_change_of_the_study_reaches_what_depends_on_it(study: Study, case: str) -> None:
    changes, expected = STUDY_CHANGES[case]
    assert {name.split("/")[0] for name in changed(study, small(**changes))} == expected


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
        ({"forget_sets": {"more": {"kind": "random", "fraction": 0.2}}}, {"tuning@ascent"}),
        ({"settings__mlp__training__steps": 9000}, {f"checkpoints@{t}" for t in ("full", "without-within", "without-random")}),
    ],
    ids=["a method", "a method in one setting", "a forget set", "a forget set more", "more steps"],
)  # fmt: skip
def test_a_change_of_one_thing_leaves_the_items_beside_it(
    study: Study, changes: dict[str, Any], expected: set[str]
) -> None:
    """``expected`` has the changed items up to the first step that depends on all of them."""
    reached = changed(study, small(**changes))
    # A job of all seeds has the seed in the names of its items.
    names = {name.replace("/mlp/seed0", "").replace("/mlp@seed0/", "@") for name in reached if "seed0" in name}
    after: tuple[str, ...] = ("along_training", "metrics")
    if any("checkpoints@full" in name for name in expected):
        after = (*after, "unlearn", "analysis", "shadows", "tuning")
    assert {name for name in names if not name.startswith(after)} == expected
    one = "within" if "forget_sets__within__fraction" in changes else None
    metrics = set() if "forget_sets" in changes else {"within", "random"}
    assert {name for name in names if name.startswith("metrics")} == {
        f"metrics@{name}" for name in metrics if one in (None, name)
    }


DECIDED = {"paper/claims", "figures/claims", "provenance"}
EXPLAINED = {"paper/explanations", "figures/explanations", "provenance"}
ATTACKED = {"tables/membership", "paper/membership", "figures/attacks", "provenance"}
TUNED = {"tables/tuned", "figures/pareto", *DECIDED}
MATCHED = {"tables/matched", "figures/matched", *DECIDED, *EXPLAINED}
SPLITS = {f"data/addition/seed{seed}" for seed in (0, 1, 9)}

# Whose code is another → what is made from its results.
WIRING: dict[str, set[str]] = {
    "data/addition/examples": {"data", "forget", "train", *AFTER_TRAINING},
    r"data/addition/seed\d": {*SPLITS, "forget", "train", *AFTER_TRAINING},
    "forget/.*": {"forget", "train", *AFTER_TRAINING},
    "train/.*": {"train", *AFTER_TRAINING},
    "checkpoints/.*": {"checkpoints", *AFTER_SELECTION},
    "unlearn/.*": {"unlearn", *AFTER_UNLEARNING},
    "along_training/.*": {"along_training", "tables/unlearning_along", "figures/figure1b", *EXPLAINED},
    "metrics/.*": {"metrics", *TABLES},
    "tuning/mlp.*": {"tuning/mlp", "tuning/choice", "tables/tuning", "tables/tuning_trajectories", *TUNED, *MATCHED},
    "tuning/choice": {"tuning/choice"},
    "analysis/.*": {
        *("analysis", "tables/analysis", "tables/along", "paper/table3", "paper/published"),
        *("figures/alignment", "figures/alignment-pairs", *DECIDED, *EXPLAINED),
    },
    "shadows/.*": {"shadows", "attack", *ATTACKED},
    "attack/.*": {"attack", *ATTACKED},
    "tables/training": {"tables/training", "tables/runs", "figures/figure1a", *EXPLAINED},
    "tables/checkpoints": {
        *("tables/checkpoints", "figures/figure1a", "figures/figure1b", "figures/alignment", *EXPLAINED),
    },
    "tables/unlearning": {
        *("tables/unlearning", "tables/summary", "figures/figure2", "figures/attacks", *DECIDED),
        *(f"paper/{name}" for name in ("table1", "table10", "membership", "published")),
        *MATCHED,
    },
    "tables/trajectories": {"tables/trajectories", "figures/figure2", *MATCHED},
    "tables/unlearning_along": {"tables/unlearning_along", "figures/figure1b", *EXPLAINED},
    "tables/analysis": {
        *("tables/analysis", "paper/table3", "paper/published", "figures/alignment-pairs", *DECIDED, *EXPLAINED),
    },
    "tables/along": {"tables/along", "figures/alignment", *EXPLAINED},
    "tables/membership": ATTACKED,
    "tables/tuning": {"tables/tuning", *TUNED, *MATCHED},
    "tables/tuning_trajectories": {"tables/tuning_trajectories", *MATCHED},
    "tables/summary": {"tables/summary", "provenance"},
    "tables/tuned": TUNED,
    "tables/matched": MATCHED,
    "tables/runs": {"tables/runs", "provenance"},
    "paper/claims": DECIDED,
    "paper/explanations": EXPLAINED,
    **{
        f"paper/{name}": {f"paper/{name}", "provenance"}
        for name in ("table1", "table3", "table10", "membership", "published")
    },
    **{
        f"figures/{name}": {f"figures/{name}", "provenance"}
        for name in (
            "figure1a",
            "figure1b",
            "figure2",
            "alignment",
            "alignment-pairs",
            "pareto",
            "attacks",
            "claims",
            "matched",
            "explanations",
        )
    },
    "provenance": {"provenance"},
}


def test_the_wiring_names_every_job(study: Study) -> None:
    for key in all_jobs(study):
        assert len([pattern for pattern in WIRING if re.fullmatch(pattern, key)]) == 1, key


def is_of(key: str, name: str) -> bool:
    """Whether an item is of the job of that name, or of one below it."""
    return key == name or key.startswith((f"{name}/", f"{name}@"))


@pytest.mark.parametrize("whose", WIRING)
def test_other_code_of_a_job_reaches_what_is_made_from_its_results(study: Study, whose: str) -> None:
    before = recipes(study)
    after = recipes(study, lambda key: re.fullmatch(whose, key) is not None)
    reached = {name for name in before if before[name] != after[name]}
    for name in WIRING[whose]:
        assert any(is_of(key, name) for key in reached), name
    assert {key for key in reached if not any(is_of(key, name) for name in WIRING[whose])} == set()
    # All of its own jobs, and nothing of a run on the full train set but what the forget sets are for.
    assert all(name in reached for name in before if re.fullmatch(whose, name.partition("@")[0]))
    if whose == "forget/.*":
        assert not [name for name in reached if "/full/" in name or name.endswith("@full")]


def test_other_code_of_a_component_reaches_those_that_use_it(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipes(study)

    def other(*modules: str) -> str:
        return fingerprint(*modules) + ("other" if "grokforget.methods.scrub" in modules else "")

    monkeypatch.setattr(spec_file, "fingerprint", other)
    after = recipes(study)
    reached = {name for name in before if before[name] != after[name]}
    assert {name for name in reached if name.startswith("unlearn/")} == {
        f"unlearn/mlp/seed{seed}/{forget_set}@scrub" for seed in (0, 1) for forget_set in ("within", "random")
    }
    assert {name.split("/")[0] for name in reached} == {"unlearn", *AFTER_UNLEARNING}


# Difficulty.
HARDEST = {"kind": "by-difficulty", "fraction": 0.1}
SCORED = {"hard": HARDEST, "wrong": {"kind": "noisy", "intended": HARDEST}}


def test_only_what_is_drawn_by_difficulty_depends_on_it(study: Study) -> None:
    scored = small(forget_sets=SCORED)
    where = {f"difficulty/mlp/seed{seed}" for seed in (0, 1, 9)}
    assert all_jobs(scored).keys() >= where
    assert not all_jobs(study).keys() & where
    forget, scores = runs.forget(scored, "mlp", "0"), runs.difficulty(scored, "mlp", "0")
    assert scores.keys() == {"hard", "wrong"}
    for name, item in forget.items():
        assert item.inputs.get("difficulty") == (scores[name].outputs["difficulty"] if name in scores else None)
    snapshots = [f"train/mlp/seed0/full/segment00{n}/snapshots.safetensors" for n in (1, 2)]
    assert scores["hard"].inputs["snapshots"] == snapshots
    # The others stay as they are in a study without difficulty, and with other code for it.
    before, without = recipes(scored), recipes(study)
    shared = ("forget/", "train/", "checkpoints/", "unlearn/", "along_training/", "metrics/", "analysis/", "shadows/")
    assert all(before[name] == made for name, made in without.items() if name.startswith(shared))
    after = recipes(scored, lambda key: key.startswith("difficulty/"))
    reached = {name for name in before if before[name] != after[name]}
    assert {name.split("/")[0] for name in reached} == {"difficulty", "forget", "train", "tuning", *AFTER_TRAINING}
    # The attack has the runs without each forget set as shadow models.
    assert not [name for name in reached if re.search("within|random|full", name) and not name.startswith("attack/")]
    assert {name for name in reached if name.startswith("forget/mlp/seed0")} == {
        "forget/mlp/seed0@hard", "forget/mlp/seed0@wrong"
    }  # fmt: skip


def test_how_difficulty_is_measured_is_a_matter_of_each_forget_set() -> None:
    study = small(
        forget_sets={"hard": HARDEST, "easy": {**HARDEST, "order": "easiest"}, "long": {**HARDEST, "snapshots": 50}}
    )
    made = recipes(study)
    hard, easy, long = (made[f"difficulty/mlp/seed0@{name}"] for name in ("hard", "easy", "long"))
    # One key is computed once.
    assert hard == easy != long


def test_how_losses_went_is_recorded_for_the_forget_sets_that_are_drawn_by_it() -> None:
    early = {"kind": "local-grokking", "group": "early", "pairs": 5, "from_epoch": 100}
    study = small(forget_sets={"early": early, "late": {**early, "group": "late"}, "hard": HARDEST})
    items, forget = runs.difficulty(study, "mlp", "0"), runs.forget(study, "mlp", "0")
    assert {name: type(item.spec) for name, item in items.items()} == {
        "early": runs.LossesSpec, "late": runs.LossesSpec, "hard": runs.DifficultySpec
    }  # fmt: skip
    assert items["early"].spec == items["late"].spec
    assert items["early"].spec.batch_size == study.settings["mlp"].training.batch_size
    assert forget["late"].inputs["difficulty"] == items["late"].outputs["difficulty"]
    assert not {"from_epoch", "snapshots"} & forget["early"].spec.forget_set.settings.keys()


# Training.
def test_a_segment_depends_on_all_before_it_and_on_none_behind(study: Study) -> None:
    first, second = (runs.train(study, "mlp", "0", "full", name)[""] for name in ("001", "002"))
    assert second.inputs["state"] == first.outputs["state"]
    assert "state" not in first.inputs
    assert [item.spec.stop for item in (first, second)] == [3000, 6000]
    longer = small(settings__mlp__training__steps=60000)
    assert runs.train(longer, "mlp", "0", "full", "002") == {"": second}
    assert not {"steps", "segment_steps"} & second.spec.recipe.model_dump().keys()


def test_a_run_is_trained_on_the_full_train_set_or_without_a_forget_set(study: Study) -> None:
    full, without = (runs.train(study, "mlp", "0", name, "001")[""] for name in ("full", "without-random"))
    assert "forget" not in full.inputs
    assert without.inputs == {**full.inputs, "forget": "forget/mlp/seed0/random.safetensors"}
    assert without.spec == full.spec, "which train set it is, is said by what it reads"


def test_a_penalty_is_part_of_training_as_code_and_settings(study: Study) -> None:
    code = "grokforget.training.penalties.jacobian"
    penalised = small(settings__mlp__training__penalty={"kind": "jacobian", "strength": 1e-3})
    made, without = (content(runs.train(each, "mlp", "0", "full", "001")) for each in (penalised, study))
    components = json.dumps(made["spec"])
    assert f"{code}:" in components
    assert '"strength": 0.001' in components
    assert {*made["implementations"]} - {*without["implementations"]} == {code}
    assert made["code"] != without["code"]


def test_an_augmentation_is_part_of_training_as_code_and_settings() -> None:
    code = "grokforget.training.augmentations.crop_flip"
    digits: dict[str, Any] = {"kind": "digits", "train": 100, "validation": 100}
    plain = small(data__digits=digits, settings__mlp__data="digits", analyses=None)
    augmented = small(
        data__digits=digits,
        settings__mlp__data="digits",
        analyses=None,
        settings__mlp__training__augmentation={"kind": "crop-flip", "padding": 3},
    )
    made, without = (content(runs.train(each, "mlp", "0", "full", "001")) for each in (augmented, plain))
    assert made["spec"]["recipe"]["augmentation"]["settings"] == {"padding": 3, "flip": True}
    assert {*made["implementations"]} - {*without["implementations"]} == {code}
    assert made["code"] != without["code"]


@pytest.mark.parametrize(
    ("key", "value"), [("precision", "bfloat16"), ("snapshot_precision", "bfloat16"), ("cuda_graph", False)]
)
def test_what_a_run_computes_in_is_part_of_it(study: Study, key: str, value: Any) -> None:
    other = small(**{f"settings__mlp__training__{key}": value})
    made, before = (content(runs.train(each, "mlp", "0", "full", "001")) for each in (other, study))
    assert made["spec"] != before["spec"]
    assert made["spec"]["recipe"][key] == value


def test_how_many_jobs_share_a_gpu_is_no_part_of_them(study: Study) -> None:
    made, before = (content(runs.train(each, "mlp", "0", "full", "001")) for each in (small(jobs_per_gpu=4), study))
    assert made == before


def test_the_last_of_many_segments_can_be_asked_for_alone() -> None:
    """As a job does that Snakemake runs on a cluster: it reads the workflow anew, for itself alone."""
    many = {"settings__mlp__training__steps": 20 * 900, "settings__mlp__training__segment_steps": 20}
    last = runs.train(small(**many), "mlp", "0", "full", "900")[""]
    assert last.inputs["state"] == "train/mlp/seed0/full/segment899/state.safetensors"
    assert last.spec.stop == 20 * 900


def test_the_tuning_seed_has_retrained_references_of_what_is_tuned_alone() -> None:
    made = small(tuning__forget_sets=["random"])
    assert made.trained("mlp", 9) == ["full", "without-random"]
    assert made.trained("mlp", 1) == ["full", "without-within", "without-random"]
    assert list(runs.select(made, "mlp", "9")) == ["full", "without-random"]


def test_a_selection_reads_all_segments_of_its_run_in_order(study: Study) -> None:
    for train_set, item in runs.select(study, "mlp", "1").items():
        for what, ending in (("curves", "curve.parquet"), ("snapshots", "snapshots.safetensors")):
            assert item.inputs[what] == [f"train/mlp/seed1/{train_set}/segment00{n}/{ending}" for n in (1, 2)]
        assert "reference" not in item.inputs
        assert item.spec.model is None


# Figures and paper tables.
def told_of(item: Item) -> set[str]:
    """The fields of a spec that were given, the code beside them."""
    return item.spec.model_fields_set - {"figure", "table"}


def test_a_figure_shows_what_is_drawn_and_nothing_else(study: Study) -> None:
    drawn = {name: drawing.figure_item(study, name) for name in ("figure1a", "figure1b", "figure2", "alignment")}
    assert told_of(drawn["figure1a"]) == {"settings", "checkpoints"}
    assert drawn["figure1a"].spec.settings == ["mlp"]
    assert drawn["figure1a"].spec.checkpoints == study.checkpoints
    assert told_of(drawn["figure1b"]) == {"settings", "along_forget_sets", "along_method"}
    assert told_of(drawn["figure2"]) == {"settings", "forget_sets", "checkpoints", "methods", "retrain"}
    assert drawn["figure2"].spec.retrain == "retrain"
    assert drawn["figure1b"].spec.along_method == "ascent"
    # The paper's design where there is one, for the headline; all that are unlearned along training.
    table1 = deriving.paper_table_item(study, "table1", collecting.tables_of(study))
    assert drawn["figure2"].spec.forget_sets == table1.spec.forget_sets == ["within"]
    assert drawn["figure1b"].spec.along_forget_sets == ["within", "random"]
    alone = small(forget_sets__within=None)
    assert deriving.paper_table_item(alone, "table1", collecting.tables_of(alone)).spec.forget_sets == ["random"]
    assert told_of(drawn["alignment"]) == {"settings", "along_forget_sets", "study"}


# Analyses.
def test_an_analysis_of_results_depends_on_them_and_on_the_reference(study: Study) -> None:
    both = small(analyses__alignment__at=["before", "after"])
    before, after = (inspection.analyse(each, "mlp", "0")["before/within/alignment"] for each in (study, both))
    for item in (before, after):
        assert item.inputs["checkpoints"] == "checkpoints/mlp/seed0/full.safetensors"
        assert item.inputs["forget"] == "forget/mlp/seed0/within.safetensors"
        assert item.spec.before
        assert item.spec.forget_set == "within"
    assert (before.spec.methods, before.inputs.keys() & {"retrained", "unlearned"}) == ([], set())
    assert after.spec.methods == ["retrain", "ascent", "scrub"]
    unlearned = unlearning.unlearn(both, "mlp", "0", "within")
    assert after.inputs["unlearned"] == [unlearned[name].outputs["models"] for name in after.spec.methods]
    assert after.inputs["retrained"] == "checkpoints/mlp/seed0/without-within.safetensors"
    # Beside it nothing of a result changes: the analysis is not told where it is done.
    assert after.spec.analysis == before.spec.analysis
    assert not {"at", "forget_sets"} & before.spec.analysis.settings.keys()


def test_an_analysis_along_training_depends_on_the_run_and_on_no_checkpoint(study: Study) -> None:
    item = inspection.analyse(study, "mlp", "0")["along/random/alignment"]
    assert item.inputs["snapshots"] == [f"train/mlp/seed0/full/segment00{n}/snapshots.safetensors" for n in (1, 2)]
    assert item.inputs.keys() == {"examples", "split", "forget", "snapshots"}
    assert item.spec.snapshots == study.along_training.snapshots
    assert not {"checkpoints", "methods", "before"} & item.spec.model_dump().keys()


def test_every_seed_is_attacked_by_the_others_on_all_train_sets(study: Study) -> None:
    train_sets = ["full", "without-within", "without-random"]
    items = inspection.attack(study, "mlp")
    assert items.keys() == {"within", "random"}
    for forget_set, item in items.items():
        assert item.inputs["shadows"] == [
            f"shadows/mlp/seed{seed}/{name}.safetensors" for seed in (0, 1) for name in train_sets
        ]
        assert item.inputs["outputs"] == [
            each.outputs["outputs"]
            for seed in ("0", "1")
            for each in unlearning.unlearn(study, "mlp", seed, forget_set).values()
        ]
        assert item.inputs["forget"] == [f"forget/mlp/seed{seed}/{forget_set}.safetensors" for seed in (0, 1)]
        assert item.spec.train_sets == train_sets
    without = inspection.shadow(study, "mlp")["seed0/without-within"]
    assert without.inputs["forget"] == "forget/mlp/seed0/within.safetensors"


def test_a_setting_without_analyses_that_fit_it_has_no_job_for_them(study: Study) -> None:
    """A batch without items would make no folder, which the tables then miss."""
    images = {"kind": "robustness"}
    alone = small(analyses__alignment=None, analyses__robustness=images)
    assert not [key for key in all_jobs(alone) if key.startswith("analysis/")]
    assert "along" not in collecting.tables_of(alone)
    parts = collecting.collect(alone, "analysis")[""].inputs["parts"]
    assert parts
    assert all(part.endswith("/diagnostics.parquet") for part in parts)
    both = small(analyses__robustness=images)
    for seed in ("0", "1"):
        assert inspection.analyse(both, "mlp", seed) == inspection.analyse(study, "mlp", seed)


# Metrics, tables and tuning.
def test_metrics_read_a_file_a_method_in_the_order_that_they_are_told(study: Study) -> None:
    for forget_set, item in unlearning.measure(study, "mlp", "1").items():
        assert item.spec.methods == list(study.methods)
        assert (item.spec.original, item.spec.retrain, item.spec.seed) == ("original", "retrain", 1)
        methods = unlearning.unlearn(study, "mlp", "1", forget_set)
        for what in ("outputs", "trajectory", "diagnostics"):
            assert item.inputs[what] == [methods[name].outputs[what] for name in item.spec.methods]


@pytest.mark.parametrize("table", sorted({*collecting.COLLECTED} - {"batch_norm", "groups", "group_losses"}))
def test_a_table_has_labels_for_every_file_that_it_is_collected_from(study: Study, table: str) -> None:
    item = collecting.collect(study, table)[""]
    made = {file for items in all_jobs(study).values() for each in items.values() for file in each.outputs.values()}
    assert set(item.inputs["parts"]) <= made
    assert len(set(item.inputs["parts"])) == len(item.inputs["parts"]) == len(item.spec.labels) > 0
    for labels, part in zip(item.spec.labels, item.inputs["parts"], strict=True):
        # What the labels say stands in the file's path.
        words = re.split(r"[/.]", part)
        for name, value in labels.items():
            if name in ("setting", "forget_set", "train_set", "method") and part.split("/")[0] != "train":
                assert value in words or f"without-{value}" in words, (labels, part)
            if name == "seed":
                assert f"seed{value}" in words


def test_candidates_are_tried_on_every_seed_and_chosen_on_one(study: Study) -> None:
    assert study.tuning_seeds("mlp") == [0, 1, 9]
    for seed in ("0", "1", "9"):
        items = unlearning.tune(study, "mlp", seed)
        assert items.keys() == {"ascent"}
        assert items["ascent"].spec.candidates == [1e-2, 1e-3]
        assert items["ascent"].spec.forget_sets == ["within", "random"]
        assert items["ascent"].inputs["forget"] == [
            f"forget/mlp/seed{seed}/{name}.safetensors" for name in ("within", "random")
        ]
    chosen = collecting.choose(study)[""]
    assert chosen.inputs["parts"] == ["tuning/mlp/seed9/ascent.parquet"]
    assert chosen.spec.parts == [{"setting": "mlp", "seed": 9, "method": "ascent"}]
    assert deriving.tuned_item(study).spec.seed == 9
    tried = collecting.collect(study, "tuning")[""].inputs["parts"]
    assert tried == [f"tuning/mlp/seed{seed}/ascent.parquet" for seed in (0, 1, 9)]


def test_provenance_comes_after_all_products(study: Study) -> None:
    item = all_jobs(study)["provenance"][""]
    assert item.spec.study == study.model_dump(mode="json")
    assert "tables/claims.parquet" in item.inputs["products"]
