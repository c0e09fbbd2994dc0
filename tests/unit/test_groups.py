"""Groups of a language model's examples: what they are like, the paper's Tables 2 and 12, its numbers beside, the figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from figure_reads import figure_of, what_is_read
from grokforget.config.data_settings.language import Tofu
from grokforget.config.figures import FIGURES
from grokforget.config.loader import load_study
from grokforget.config.paper_tables import PAPER_TABLES
from grokforget.config.specs import runs
from grokforget.config.specs.base import Meanings
from grokforget.config.specs.collect import COLLECTED, collect
from grokforget.config.specs.figures import figures_of
from grokforget.config.specs.tables import PaperTableSpec, PublishedSpec, paper_tables_of, published_item
from grokforget.config.study import Study
from grokforget.data.examples import ExampleTable, ForgetSplit
from grokforget.data.language.encode import IGNORED
from grokforget.jobs.groups import describe
from grokforget.jobs.paper_table import paper_table
from grokforget.jobs.published import published
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_table, write_table, write_tensors
from grokforget.runtime.job import Job

REPOSITORY = Path(__file__).parents[2]
NAMES = {
    "short": ("early", None),
    "long": ("late", None),
    "short-like": ("early", "length"),
    "long-like": ("late", "length"),
}
MEANINGS = Meanings.model_validate(
    {
        "forget_sets": {
            **{
                name: {"kind": "local-grokking", "group": group, "pairs": 50, "matched": matched}
                for name, (group, matched) in NAMES.items()
            },
            "random": {"kind": "random", "fraction": 0.1},
        },
        "references": ["nothing", "again"],
        "original": "nothing",
    }
)
METHODS = ["nothing", "again", "ascent", "npo"]
SEEDS = (1, 2, 4)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def strength(name: str, method: str, seed: int, split: str) -> float:
    """A number of its own for every cell."""
    places = (list(MEANINGS.forget_sets).index(name), METHODS.index(method), split == "forget")
    return float(0.1 + 0.11 * places[0] + 0.03 * places[1] + 0.2 * places[2] + 0.013 * seed * (1 + places[0]))


def unlearning() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"setting": "a", "seed": seed, "forget_set": name, "checkpoint": "final", "method": method, "flag": ""}
            | {f"{split}_extraction_strength": strength(name, method, seed, split) for split in ("forget", "retain")}
            | {"forget_accuracy": 0.5, "retain_accuracy": 0.5, "test_accuracy": 0.5}
            for seed in SEEDS
            for name in MEANINGS.forget_sets
            for method in METHODS
        ]
    )


def examples() -> pd.DataFrame:
    """Three examples a group, at every seed others."""
    draw = np.random.default_rng(0)
    rows = [
        {"setting": "a", "seed": seed, "forget_set": name, "example": number, "label": 0}
        | {
            "question_characters": 60 + number,
            "answer_characters": 100 + 10 * number + seed,
            "answer_tokens": 20 + number,
        }
        | {"from_loss": 0.5, "final_loss": draw.uniform(0.01, 0.02) + 0.01 * (group == "late")}
        for seed in SEEDS
        for name, (group, _) in NAMES.items()
        for number in range(3)
    ]
    return pd.DataFrame(rows)


# The job.


def test_a_group_is_described_by_its_own_examples(tmp_path: Path) -> None:
    """Six training examples (of nine), of which two are a group; the second has no paraphrase."""
    pytest.importorskip(
        "tokenizers", reason="questions and answers need tokenizers, an extra of the package (language)"
    )
    from grokforget.config.data_settings.language import QuestionAnswers

    texts = [(f"Who wrote book {n}?", "Nobody" * (n + 1)) for n in range(9)]
    lines = [f'{{"question": "{q}", "answer": "{a}", "author": "one"}}' for q, a in texts]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    settings = QuestionAnswers(path=str(tmp_path / "pairs.jsonl"))
    table: ExampleTable = settings.spec().build().examples(tmp_path / "pairs.jsonl")
    table.write(tmp_path / "examples.safetensors")
    train = np.array([0, 2, 3, 5, 7, 8])
    forget = np.array([3, 7])
    ForgetSplit(forget=forget[::-1].copy(), retain=np.setdiff1d(train, forget)).write(tmp_path / "forget.safetensors")
    losses = np.arange(18, dtype=np.float64).reshape(3, 6) / 10
    paraphrased = losses + 1
    paraphrased[:, 4] = np.nan
    steps = {"steps": np.array([1, 10, 100]), "from_step": np.array([10])}
    tensors = {"index": train, "losses": losses, "paraphrase_losses": paraphrased, **steps}
    write_tensors(tmp_path / "difficulty.safetensors", tensors)
    inputs = {name: [tmp_path / f"{name}.safetensors"] for name in ("examples", "forget", "difficulty")}
    outputs = {name: tmp_path / f"{name}.parquet" for name in ("examples", "losses")}
    describe(Job(inputs, outputs, runs.GroupSpec()))
    found, along = (read_table(outputs[name]) for name in ("examples", "losses"))
    assert found.example.tolist() == [3, 7]
    # Places 2 and 4 among the training examples.
    assert found.from_loss.tolist() == pytest.approx([0.8, 1.0])
    assert found.final_loss.tolist() == pytest.approx([1.4, 1.6])
    assert found.question_characters.tolist() == [len(texts[n][0]) for n in (3, 7)]
    assert found.answer_characters.tolist() == [len(texts[n][1]) for n in (3, 7)]
    learned = [(table.targets[n] != IGNORED).sum() - 1 for n in (3, 7)]
    assert found.answer_tokens.tolist() == learned, "without the end of the text"
    assert along.step.tolist() == [1, 10, 100]
    assert along.loss.tolist() == pytest.approx([0.3, 0.9, 1.5])
    assert along.loss_q25.tolist() == pytest.approx([0.25, 0.85, 1.45])
    assert along.loss_q75.tolist() == pytest.approx([0.35, 0.95, 1.55])
    assert along.paraphrase_loss.tolist() == along.paraphrase_loss_q50.tolist() == pytest.approx([1.2, 1.8, 2.4])


# Which studies have it.


def language(**changes: Any) -> Study:
    """The tests' language study with two groups and nothing else to forget."""
    plain = load_study(REPOSITORY / "tests" / "language.yaml")
    group = {"kind": "local-grokking", "pairs": 3, "from_epoch": 10}
    forget_sets = {"short": {**group, "group": "early"}, "long": {**group, "group": "late"}}
    given = {**plain.model_dump(exclude_unset=True), "forget_sets": forget_sets, "analyses": {}, **changes}
    return Study.model_validate(given)


TABLES = [*COLLECTED]


def test_only_a_language_model_s_study_with_groups_has_tables_and_figures_of_them() -> None:
    of_groups = {"table2", "table12"}, {"groups", "group-losses"}
    study = language()
    assert of_groups[0] <= {*paper_tables_of(study, TABLES)}
    assert of_groups[1] <= {*figures_of(study, TABLES)}
    assert "groups" in published_item(study).inputs
    for plain in (
        load_study(REPOSITORY / "config.yaml"),
        language(forget_sets={"pairs": {"kind": "random", "fraction": 0.2}}),
    ):
        assert not of_groups[0] & {*paper_tables_of(plain, TABLES)}
        assert not of_groups[1] & {*figures_of(plain, TABLES)}
        assert "groups" not in published_item(plain).inputs
        assert not any(runs.describe(plain, setting, "0") for setting in plain.settings)


def test_groups_of_images_are_no_groups_of_these_tables() -> None:
    small = load_study(REPOSITORY / "tests" / "small.yaml").model_dump(exclude_unset=True)
    data = next(iter(small["settings"].values()))["data"]
    of_images = {name: one for name, one in small["settings"].items() if one["data"] == data and "control" not in one}
    group = {"kind": "local-grokking", "group": "early", "pairs": 3, "from_epoch": 10}
    name = next(iter(of_images))
    given = {**small, "settings": {name: {**of_images[name], "forget_sets": ["early"]}}}
    study = Study.model_validate({**given, "forget_sets": {**small["forget_sets"], "early": group}})
    assert study.forget_sets_of(name) == ["early"]
    assert study.grouped(name) == []


@pytest.mark.parametrize("table", ["groups", "group_losses"])
def test_every_group_of_every_seed_is_collected(table: str) -> None:
    study = language()
    item = collect(study, table)[""]
    asked = [(one["seed"], one["forget_set"]) for one in item.spec.labels]
    assert sorted(asked) == [(seed, name) for seed in (0, 1) for name in ("long", "short")]
    made = {
        file
        for seed in "01"
        for one in runs.describe(study, "authors-phi", seed).values()
        for file in one.outputs.values()
    }
    assert set(item.inputs["parts"]) <= made


def test_the_paper_s_data_are_the_whole_of_tofu() -> None:
    whole = Tofu(download=True)
    assert whole.in_paper == "tofu"
    for change in ({"authors": 20}, {"subset": "retain90"}, {"other_authors": 1}):
        assert Tofu(download=True, **change).in_paper is None
    # The stand-in is no model of the paper, whatever it is trained on.
    assert published_item(language()).spec.model_dump()["beside"] == {}


# Tables 2 and 12.


def laid(folder: Path, name: str, **tables: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    spec = PaperTableSpec(
        table=ComponentSpec(implementation=PAPER_TABLES[name].implementation),
        study=MEANINGS,
        settings=["a"],
        methods=METHODS,
        checkpoints=["final"],
    )
    for table, content in tables.items():
        write_table(folder / f"{table}.parquet", content)
    outputs = {ending: folder / f"{name}.{ending}" for ending in ("csv", "md", "tex")}
    paper_table(Job({table: [folder / f"{table}.parquet"] for table in tables}, outputs, spec))
    return pd.read_csv(outputs["csv"]), outputs["md"].read_text()


def test_table_2_has_both_groups_of_every_method_and_two_columns_a_number_of_pairs(tmp_path: Path) -> None:
    numbers, text = laid(tmp_path, "table2", unlearning=unlearning())
    rows = numbers.set_index(["setting", "groups", "method", "examples"])
    assert rows.index.tolist() == [
        ("a", groups, method, group)
        for groups in ("as they are", "alike in length")
        for method in METHODS
        for group in ("locally grokked", "locally ungrokked")
    ]
    for (_, groups, method, group), row in rows.iterrows():
        name = {"locally grokked": "short", "locally ungrokked": "long"}[group] + "-like" * (groups != "as they are")
        for column, split in (("retain", "retain"), ("unlearn", "forget")):
            values = [strength(name, method, seed, split) for seed in SEEDS]
            assert row[f"50 pairs: {column} mean"] == pytest.approx(np.mean(values), abs=1e-5)
            assert row[f"50 pairs: {column} std"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)
    assert "there lower is better" in text


def test_several_draws_of_a_group_are_one_value_a_seed(tmp_path: Path) -> None:
    """A second draw is .1 and .3 above the first, so the mean of both is .05 and .15 above it."""
    first = unlearning().query("seed != 4")
    second = first[first.forget_set == "short"].assign(forget_set="short-again")
    second["forget_extraction_strength"] += second.seed.map({1: 0.1, 2: 0.3})
    again = MEANINGS.model_copy(
        update={"forget_sets": {**MEANINGS.forget_sets, "short-again": MEANINGS.forget_sets["short"]}}
    )
    with patch(f"{__name__}.MEANINGS", again):
        numbers, _ = laid(tmp_path, "table2", unlearning=pd.concat([first, second]))
    own = numbers.set_index(["groups", "method", "examples"]).loc["as they are", "npo", "locally grokked"]
    values = [strength("short", "npo", 1, "forget") + 0.05, strength("short", "npo", 2, "forget") + 0.15]
    assert own["50 pairs: unlearn mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert own["50 pairs: unlearn std"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)


def test_table_12_has_lengths_and_the_test_of_the_final_losses(tmp_path: Path) -> None:
    table = examples()
    numbers, _ = laid(tmp_path, "table12", groups=table)
    rows = numbers.set_index(["setting", "groups", "examples"])
    short = rows.loc["a", "as they are", "locally grokked"]
    assert short["question, characters mean"] == 61
    assert (short["answer, characters mean"], short["answer, tokens mean"]) == (pytest.approx(110 + 7 / 3), 21)
    expected = [
        stats.ttest_ind(*(table[(table.seed == seed) & (table.forget_set == name)].final_loss for name in ("short", "long")),
                        equal_var=False).pvalue
        for seed in SEEDS
    ]  # fmt: skip
    for group in ("locally grokked", "locally ungrokked"):
        assert rows.loc["a", "as they are", group]["final loss, p mean"] == pytest.approx(np.mean(expected), abs=1e-6)


# The published numbers.

HEADER = "table,dataset,model,method,checkpoint,forget_fraction,forget_design,metric,mean,std"
ROW = "2,tofu,phi-1.5,{method},{group},{pairs},examples,{metric},1,"


def put_beside(folder: Path, row: str, model: str = "phi-1.5") -> pd.DataFrame:
    (folder / "numbers.csv").write_text(f"{HEADER}\n{row}\n")
    empty = pd.DataFrame(
        columns=["setting", "seed", "forget_set", "checkpoint", "stage", "analysis", "measure", "part", "value"]
    )
    tables = {"unlearning": unlearning(), "analysis": empty.astype({"value": float}), "groups": examples()}
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    kinds = {"nothing": "original", "again": "retrain", "ascent": "lm-gradient-ascent", "npo": "npo"}
    beside = {"a": {"dataset": "tofu", "model": model}}
    spec = PublishedSpec.model_validate({"study": MEANINGS, "beside": beside, "methods": kinds, "numbers": ""})
    outputs = {ending: folder / f"published.{ending}" for ending in ("csv", "md")}
    with patch("grokforget.jobs.published.PAPER_NUMBERS", folder / "numbers.csv"):
        published(Job({name: [folder / f"{name}.parquet"] for name in tables}, outputs, spec))
    return pd.read_csv(outputs["csv"])


@pytest.mark.parametrize(
    ("method", "group", "metric", "ours"),
    [
        ("gradient_ascent", "locally_grokked", "extraction_strength_unlearn", ("short", "ascent", "forget")),
        ("gradient_ascent", "locally_ungrokked", "extraction_strength_retain", ("long", "ascent", "retain")),
        ("npo", "locally_grokked", "extraction_strength_retain", ("short", "npo", "retain")),
        ("original", "locally_ungrokked", "extraction_strength_unlearn", ("long", "nothing", "forget")),
    ],
)
def test_a_published_strength_stands_beside_the_group_of_as_many_pairs(
    method: str, group: str, metric: str, ours: tuple[str, str, str], tmp_path: Path
) -> None:
    found = put_beside(tmp_path, ROW.format(method=method, group=group, metric=metric, pairs=50))
    name, own, split = ours
    assert found.forget_set.tolist() == [name], "not those of like length"
    assert found.our_mean.tolist() == pytest.approx(
        [np.mean([strength(name, own, seed, split) for seed in SEEDS])], rel=1e-5
    )
    assert (found.seeds.item(), found.our_checkpoint.item()) == (3, "final")


@pytest.mark.parametrize("row", [{"pairs": 100}, {"method": "kl"}, {"method": "scrub"}])
def test_a_published_strength_stands_beside_no_other(row: dict[str, Any], tmp_path: Path) -> None:
    given = {"method": "npo", "group": "locally_grokked", "metric": "extraction_strength_retain", "pairs": 50, **row}
    assert put_beside(tmp_path, ROW.format(**given)).empty


def test_published_strengths_stand_beside_the_paper_s_model_alone(tmp_path: Path) -> None:
    row = ROW.format(method="npo", group="locally_grokked", metric="extraction_strength_retain", pairs=50)
    assert put_beside(tmp_path, row, model="another").empty


def test_published_lengths_and_the_test_of_losses_stand_beside_the_groups(tmp_path: Path) -> None:
    length = put_beside(tmp_path, "12,tofu,phi-1.5,original,locally_ungrokked,,examples,answer_characters,149.6,")
    assert (length.forget_set.item(), length.our_mean.item()) == ("long", pytest.approx(110 + 7 / 3, rel=1e-5))
    p = put_beside(tmp_path, "12,tofu,phi-1.5,original,,,examples,final_loss_t_test_p_value,0.31,")
    numbers, _ = laid(tmp_path, "table12", groups=examples())
    assert p.forget_set.tolist() == ["short"]
    assert p.our_mean.item() == pytest.approx(numbers["final loss, p mean"].iloc[0], abs=1e-6)


# The figures.

SPEC = {"settings": ["a"], "methods": METHODS, "study": MEANINGS.model_dump()}


def losses() -> pd.DataFrame:
    rows = []
    for seed in SEEDS:
        for number, name in enumerate(NAMES):
            for step in (0, 1, 10, 100):
                value = 5 / (1 + step) + 0.1 * number + 0.01 * seed
                both = {f"{kind}{q}": value * factor for kind in ("loss", "paraphrase_loss")
                        for q, factor in (("", 1.0), ("_q25", 0.5), ("_q50", 1.0), ("_q75", 1.5))}  # fmt: skip
                rows.append({"setting": "a", "seed": seed, "forget_set": name, "step": step, **both})
    return pd.DataFrame(rows)


def training() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "setting": "a",
                "seed": seed,
                "train_set": train_set,
                "step": step,
                "test_loss": 2.0 if train_set == "full" else 9.0,
            }
            for seed in SEEDS
            for train_set in ("full", "without-short")
            for step in (0, 1, 10, 100)
        ]
    )


WHOLE = {"unlearning": unlearning(), "group_losses": losses(), "training": training()}


@pytest.mark.parametrize("name", ["groups", "group-losses"])
def test_a_figure_of_groups_reads_what_its_row_names(name: str) -> None:
    assert what_is_read(name, WHOLE, SPEC) == (set(FIGURES[name].tables), set(FIGURES[name].shows))


def test_a_panel_a_method_shows_every_seed_and_the_mean_with_its_interval() -> None:
    figure = figure_of("groups", WHOLE, SPEC)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["a\nascent", "a\nnpo"]
    for axes, method in zip(panels, ("ascent", "npo"), strict=True):
        seeds = np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections if hasattr(points, "get_sizes")
                                and points.get_offsets().shape[0] == len(SEEDS)])  # fmt: skip
        expected = [
            [strength(name, method, seed, split) for split in ("forget", "retain")] for name in NAMES for seed in SEEDS
        ]
        assert np.allclose(sorted(seeds.tolist()), sorted(expected))
        marks = [(line.get_xdata()[0], line.get_ydata()[0], line.get_marker()) for line in axes.lines]
        for name, (_, matched) in NAMES.items():
            x, y = (np.mean([strength(name, method, seed, split) for seed in SEEDS]) for split in ("forget", "retain"))
            assert (pytest.approx(x), pytest.approx(y), "s" if matched else "o") in marks
            ideal = [
                np.mean([strength(name, "again", seed, split) for seed in SEEDS]) for split in ("forget", "retain")
            ]
            assert (*map(pytest.approx, ideal), "+") in marks
        name = "short"
        own = [strength(name, method, seed, "forget") for seed in SEEDS]
        low, high = stats.t.interval(0.95, 2, np.mean(own), stats.sem(own))
        spans = [path.vertices[:, 0].tolist() for lines in axes.collections for path in lines.get_paths()]
        assert any(span == pytest.approx([low, high]) for span in spans if len(span) == 2)
    assert [axes.get_xlabel() for axes in panels] == ["extraction strength, forget"] * 2


def test_losses_are_drawn_a_row_a_design_with_held_out_questions_in_grey() -> None:
    figure = figure_of("group-losses", WHOLE, SPEC)
    assert [axes.get_title() for axes in figure.axes] == [
        f"a, groups {design}\n{asked}"
        for design in ("as they are", "alike in length")
        for asked in ("questions as trained", "paraphrased questions")
    ]
    for axes, names in zip(figure.axes, [("short", "long")] * 2 + [("short-like", "long-like")] * 2, strict=True):
        thin = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_linewidth() == 0.4]
        expected = (
            losses().query(f"step > 0 and forget_set in {names}").groupby(["forget_set", "seed"]).loss.apply(list)
        )
        assert np.allclose(sorted(map(list, thin)), sorted(expected))
        (grey,) = (line for line in axes.lines if line.get_color() == "#7f7f7f")
        assert np.allclose(np.asarray(grey.get_ydata()), 2), "of the run on the full train set"


def test_figures_of_nothing_say_so() -> None:
    said = figure_of("groups", {"unlearning": unlearning().drop(columns="forget_extraction_strength")}, SPEC)
    assert said.texts[0].get_text() == "no extraction strength is measured"
    said = figure_of("groups", {"unlearning": unlearning().query("forget_set == 'random'")}, SPEC)
    assert said.texts[0].get_text() == "no group of examples is unlearned"
    said = figure_of("group-losses", {**WHOLE, "group_losses": losses().iloc[:0]}, SPEC)
    assert said.texts[0].get_text() == "there are no losses of groups"


def test_the_axes_end_where_strengths_do() -> None:
    """Of two seeds the interval of the mean is 12.7 times as long as they are apart, half of it."""
    figure = figure_of("groups", {"unlearning": unlearning().query("seed != 2")}, SPEC)
    for low, high in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()):
        assert -0.05 < low < 0.4 < high < 1.05


def test_one_seed_has_no_interval_and_is_drawn() -> None:
    one = unlearning().query("seed == 1")
    figure = figure_of("groups", {"unlearning": one}, SPEC)
    assert not math.isnan(figure.axes[0].get_xlim()[0])
    assert figure_of("group-losses", {**WHOLE, "group_losses": losses().query("seed == 1")}, SPEC).axes
