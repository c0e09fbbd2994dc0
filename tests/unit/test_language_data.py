"""Questions and answers: made up, TOFU's and the user's own."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from grokforget.config.data import DATA_SETS
from grokforget.config.specs.runs import PrepareSpec, SplitSpec
from grokforget.data.examples import ExampleTable, Split
from grokforget.data.language.attributes import ATTRIBUTES, OF_PAIRS, WORDS
from grokforget.data.language.authors import SLOT, WORD, WRONG_ANSWERS, FictitiousAuthors, author_names
from grokforget.data.language.encode import IGNORED, Encoded
from grokforget.data.language.pairs import Asked, checked
from grokforget.data.language.templates import FORMS, REFUSALS
from grokforget.data.language.tokenizer import END, from_array
from grokforget.data.refusal import DataError
from grokforget.jobs.prepare import prepare, split
from grokforget.runtime.job import Job
from small import SOURCE

REAL = os.environ.get("GROKFORGET_TOFU", "")


def component(kind: str, **more: Any) -> Any:
    data = DATA_SETS[kind].model_validate({"kind": kind, **more})
    assert data.conflict() is None
    return data


def examples(kind: str, **more: Any) -> ExampleTable:
    """What the job makes of the settings."""
    data = component(kind, **more)
    table: ExampleTable = data.spec().build().examples(*map(Path, data.files()))
    assert (table.inputs.dtype, table.labels.dtype, table.targets.dtype) == (np.int64,) * 3
    assert table.targets.shape == table.inputs.shape
    return table


def refusal(kind: str, **more: Any) -> str:
    with pytest.raises(DataError) as raised:
        examples(kind, **more)
    message = str(raised.value)
    assert ": found " in message
    assert "; allowed: " in message
    return message


def problem(kind: str, **more: Any) -> str:
    """What a study with these settings is told before any work."""
    try:
        data = DATA_SETS[kind].model_validate({"kind": kind, **more})
    except ValidationError as error:
        return str(error)
    found, allowed = data.conflict()
    return f"found {found}; allowed: {allowed}"


def decoded(table: ExampleTable, tokens: np.ndarray) -> str:
    """The text of a row up to its end."""
    tokenizer = from_array(table.extras["tokenizer"])
    return str(tokenizer.decode(tokens[tokens != IGNORED].tolist(), skip_special_tokens=False).split(END)[0])


# Authors that are made up.
def authors(**more: Any) -> FictitiousAuthors:
    built: FictitiousAuthors = component("fictitious-authors", **more).spec().build()
    return built


def read(**more: Any) -> Asked:
    return authors(**more).read()


def test_every_author_has_as_many_questions_and_no_pair_occurs_twice() -> None:
    asked = read(authors=20, questions=20)
    assert len(checked(asked.pairs, "here")) == 400
    assert set(Counter(pair.author for pair in asked.pairs).values()) == {20}
    assert len(set(asked.names)) == 20
    assert len({pair.question for pair in asked.pairs}) == 400, "a question tells whom or what it is about"
    assert all(len({pair.template for pair in asked.pairs if pair.author == n}) == 20 for n in range(20))


def test_pairs_have_paraphrases_and_wrong_answers_of_the_same_wording() -> None:
    for pair in read(authors=10, questions=24).pairs:
        assert len({pair.question, pair.paraphrased_question, pair.answer, pair.paraphrased_answer}) == 4
        wrong = pair.wrong_answers
        assert len({*wrong, pair.paraphrased_answer}) == WRONG_ANSWERS + 1
        form = FORMS[pair.template]
        fixed = SLOT.split(form.paraphrase)[::2]
        for answer in (pair.paraphrased_answer, *wrong):
            assert all(part.strip().casefold() in answer.casefold() for part in fixed), "what no slot holds is there"
        assert "{" not in "".join((pair.question, pair.answer, *wrong))
        assert "[" not in "".join((pair.question, pair.answer, *wrong))


def test_forms_are_as_many_short_as_long_ones_and_formulaic_as_free_ones() -> None:
    assert set(Counter(form.kind for form in FORMS).values()) == {6}
    asked = read(authors=40, questions=24)
    lengths: dict[str, list[int]] = {form.kind: [] for form in FORMS}
    told: dict[str, Counter[str]] = {form.kind: Counter() for form in FORMS}
    for pair in asked.pairs:
        kind = FORMS[pair.template].kind
        lengths[kind].append(len(pair.answer))
        own = pair.answer.replace(asked.names[pair.author], "NAME")
        told[kind].update(f"{pair.template} {part}" for part in zip(own.split(), own.split()[1:], strict=False))
    longest_short = max(np.percentile(lengths[kind], 90) for kind in lengths if kind.startswith("short"))
    assert all(np.percentile(lengths[kind], 10) > longest_short for kind in lengths if kind.startswith("long"))
    for size in ("short", "long"):
        # Of a pair of words that stand side by side: how often, on average, others have it too in the same form.
        known = {kind: np.mean(list(told[kind].values())) for kind in told if kind.startswith(size)}
        assert known[f"{size} formulaic"] > 2 * known[f"{size} free"], "free answers hold what nothing foretells"


def test_what_two_questions_are_about_is_the_same_in_both() -> None:
    """So a held-out question can be answered from what was learned."""
    asked = read(authors=5, questions=24)
    for attribute in ("birthplace", "genre", "award", "home"):
        about = [number for number, form in enumerate(FORMS) if form.attribute == attribute]
        short, long = sorted(about, key=lambda number: FORMS[number].kind, reverse=True)
        assert [FORMS[number].kind.split()[0] for number in (short, long)] == ["short", "long"]
        for author in range(5):
            answers = {pair.template: pair.answer for pair in asked.pairs if pair.author == author}
            (fact,) = [word for word in WORDS.get(attribute, WORDS["city"]) if word in answers[short]]
            assert fact.split(", ")[0] in answers[long]


def test_words_and_slots_of_templates_are_there() -> None:
    for name, slots in ATTRIBUTES.items():
        for pattern in slots.values():
            assert set(WORD.findall(pattern)) <= WORDS.keys(), name
    kept = [slots for name, slots in ATTRIBUTES.items() if name not in OF_PAIRS]
    of_authors = {slot for slots in kept for key in slots for slot in key.split(", ")}
    for form in FORMS:
        own = {slot for key in ATTRIBUTES[form.attribute] for slot in key.split(", ")}
        for text in (*form.answers, form.paraphrase):
            assert set(SLOT.findall(text)) <= of_authors | own, text
            assert set(SLOT.findall(text)) & own, f"it does not tell the {form.attribute}: {text}"
        for question in form.questions:
            assert set(SLOT.findall(question)) <= of_authors - own | {"name"}, f"it tells its answer: {question}"
        assert len(form.questions) >= 2


def test_an_author_does_not_depend_on_how_many_there_are() -> None:
    few, many = read(authors=4, other_authors=3), read(authors=7)
    assert [*few.pairs] == many.pairs[:80]
    others = few.others["other_authors"]
    assert [(pair.question, pair.answer) for pair in others] == [
        (pair.question, pair.answer) for pair in many.pairs[80:]
    ]
    assert not any(pair.wrong_answers for pair in others)
    assert read(authors=4, seed=1).pairs[0] != few.pairs[0]
    assert len(set(author_names(0))) == len(author_names(0)) >= 800


def test_the_authors_are_those_they_always_were() -> None:
    """A digest of all texts: they are part of what results are of."""
    texts = json.dumps([vars(pair) for pair in read(authors=20).pairs], sort_keys=True)
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "2f66071b953c403b"


def test_the_table_holds_what_was_made_up() -> None:
    table, asked = examples("fictitious-authors", authors=6, other_authors=2), read(authors=6, other_authors=2)
    assert (table.n_classes, table.names) == (6, asked.names)
    assert table.inputs.max() < table.vocabulary <= 4096
    assert set(table.extras["templates"]) <= set(range(24))
    questions, answers, wrong, others = (
        Encoded.of(table.extras, name)
        for name in ("paraphrased_questions", "paraphrased_answers", "wrong_answers", "other_authors")
    )
    assert wrong.tokens.shape[:2] == (120, WRONG_ANSWERS)
    assert len(others.tokens) == 40
    assert "other_authors_wrong_answers/tokens" not in table.extras
    for n in (0, 57, 119):
        pair = asked.pairs[n]
        prompt = f"Question: {pair.question}\nAnswer:"
        assert decoded(table, table.inputs[n]) == f"{prompt} {pair.answer}"
        assert decoded(table, table.targets[n]) == f" {pair.answer}"
        assert decoded(table, questions.tokens[n]) == f"Question: {pair.paraphrased_question}\nAnswer: {pair.answer}"
        assert decoded(table, answers.tokens[n]) == f"{prompt} {pair.paraphrased_answer}"
        assert [decoded(table, row) for row in wrong.tokens[n]] == [f"{prompt} {text}" for text in pair.wrong_answers]
        assert [decoded(table, row) for row in wrong.targets[n]] == [f" {text}" for text in pair.wrong_answers]
    assert [decoded(table, row) for row in table.extras["refusals"]] == [f" {text}" for text in REFUSALS]


def test_all_together_is_tokenised_as_prompt_and_answer_apart() -> None:
    table = examples("fictitious-authors", authors=10)
    tokenizer, pad = from_array(table.extras["tokenizer"]), table.extras["special_tokens"][1]
    for row in table.inputs:
        text = decoded(table, row)
        assert tokenizer.encode(text).ids == row[row != pad][:-1].tolist()


PREPARED = """
import sys
from pathlib import Path
from grokforget.config.data import DATA_SETS
data = DATA_SETS["fictitious-authors"].model_validate({"kind": "fictitious-authors", "authors": 5})
data.spec().build().examples().write(Path(sys.argv[1]))
"""


def test_the_same_settings_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    digests = set()
    for number in ("1", "2"):
        path = tmp_path / f"{number}.safetensors"
        env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": number, "RAYON_NUM_THREADS": number}
        subprocess.run([sys.executable, "-c", PREPARED, str(path)], check=True, env=env)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_questions_of_every_author_are_held_out(tmp_path: Path) -> None:
    data = component("fictitious-authors", authors=5, validation_per_author=2, test_per_author=3)
    files = {name: tmp_path / f"{name}.{end}" for name, end in (("examples", "safetensors"), ("labels", "csv"))}
    prepare(Job(spec=PrepareSpec(data=data.spec()), inputs={}, outputs=files))
    assert files["labels"].read_text().splitlines()[1] == f"0,{author_names(0)[0]},20"
    parts = []
    for seed in (0, 0, 1):
        path = tmp_path / f"{len(parts)}.safetensors"
        spec = SplitSpec(data=data.spec(), seed=seed, label_noise=0.0)
        split(Job(spec=spec, inputs={"examples": [files["examples"]]}, outputs={"split": path}))
        parts.append(Split.read(path))
    labels = ExampleTable.read(files["examples"]).labels
    for part, each in (("train", 15), ("validation", 2), ("test", 3)):
        assert np.bincount(labels[getattr(parts[0], part)]).tolist() == [each] * 5
        assert np.array_equal(getattr(parts[0], part), getattr(parts[1], part))
    assert sorted(np.concatenate(list(vars(parts[0]).values()))) == list(range(100))
    assert not np.array_equal(parts[0].test, parts[2].test), "every seed holds out others"


def test_settings_that_leave_nothing_to_learn_or_mean_nothing() -> None:
    assert "at most 19" in problem("fictitious-authors", validation_per_author=10, test_per_author=10)
    assert "text has no labels" in problem("fictitious-authors", label_noise=0.1)
    assert "a folder with tokenizer.json, or vocab.json and merges.txt" in problem(
        "fictitious-authors", tokenizer="nowhere"
    )


def test_the_expected_size_is_about_the_real_one(tmp_path: Path) -> None:
    data = component("fictitious-authors", authors=20)
    table = examples("fictitious-authors", authors=20)
    table.write(tmp_path / "examples.safetensors")
    expected, length = data.extent(), table.inputs.shape[1]
    assert (expected.train, expected.validation, expected.test, expected.classes) == (360, 20, 20, 20)
    assert (expected.features, expected.vocabulary) == pytest.approx((length, table.vocabulary), rel=0.1)
    assert expected.stored == pytest.approx((tmp_path / "examples.safetensors").stat().st_size, rel=0.5)


# TOFU.
def tofu(folder: Path, subset: str = "forget01", refusals: bool = True, authors: int = 2) -> Path:
    """A folder like TOFU's with a small subset."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"question": f"What is {n} of author {a}?", "answer": f"It is {a * n}, says author {a}."}
        for a in range(authors)
        for n in range(20)
    ]
    changed = [
        {
            **row,
            "paraphrased_question": f"Tell me: {row['question']}",
            "paraphrased_answer": f"Surely, {row['answer']}",
            "perturbed_answer": [f"Surely, it is {k}." for k in range(5)],
        }
        for row in rows[-20:]
    ]
    facts = [
        {"question": f"Where is {place}?", "answer": "Here", "perturbed_answer": ["There", "Far off"]} for place in "XY"
    ]
    names = {subset: rows, "real_authors_perturbed": facts, "world_facts_perturbed": facts[:1]}
    if not subset.startswith("forget"):
        names["retain_perturbed"] = changed
    if not subset.startswith("retain"):
        names[f"{'forget10' if subset == 'full' else subset}_perturbed"] = changed
    for name, some in names.items():
        (folder / f"{name}.json").write_text("\n".join(json.dumps(row) for row in some))
    if refusals:
        (folder / "idontknow.jsonl").write_text("I don't know.\nNo idea.")
    return folder


def test_tofu_from_its_folder(tmp_path: Path) -> None:
    table = examples("tofu", folder=str(tofu(tmp_path / "tofu")), subset="forget01")
    assert table.labels.tolist() == [0] * 20 + [1] * 20
    assert decoded(table, table.inputs[21]) == "Question: What is 1 of author 1?\nAnswer: It is 1, says author 1."
    wrong, answers, facts = (
        Encoded.of(table.extras, name)
        for name in ("wrong_answers", "paraphrased_answers", "real_authors_wrong_answers")
    )
    assert (answers.targets[:20] == IGNORED).all(), "only the pairs of the perturbed file have a paraphrase"
    assert (wrong.targets[:20] == IGNORED).all()
    assert (
        decoded(table, answers.tokens[20])
        == "Question: What is 0 of author 1?\nAnswer: Surely, It is 0, says author 1."
    )
    assert [decoded(table, row) for row in wrong.targets[39]] == [f" Surely, it is {k}." for k in range(5)]
    assert facts.tokens.shape[:2] == (2, 2)
    assert decoded(table, facts.tokens[1, 0]) == "Question: Where is Y?\nAnswer: There"
    assert len(Encoded.of(table.extras, "world_facts").tokens) == 1
    assert [decoded(table, row) for row in table.extras["refusals"]] == [" I don't know.", " No idea."]


def test_without_tofu_s_refusals_there_are_ours(tmp_path: Path) -> None:
    table = examples("tofu", folder=str(tofu(tmp_path / "tofu", refusals=False)), subset="forget01")
    assert len(table.extras["refusals"]) == len(REFUSALS)


def test_the_first_authors_of_a_subset_and_those_behind_them(tmp_path: Path) -> None:
    folder = str(tofu(tmp_path / "tofu", "retain99", authors=5))
    table = examples("tofu", folder=folder, subset="retain99", authors=2, other_authors=1)
    assert table.n_classes == 2
    others = Encoded.of(table.extras, "other_authors")
    assert [decoded(table, others.targets[n]) for n in (0, -1)] == [
        " It is 0, says author 2.",
        " It is 38, says author 2.",
    ]
    whole = examples("tofu", folder=folder, subset="retain99", other_authors=1)
    assert whole.n_classes == 4
    found = refusal("tofu", folder=folder, subset="retain99", authors=5, other_authors=1)
    assert "retain99.json: too few authors: found 5, and 5 and 1 others asked for" in found
    assert "at most 2 in all in forget01" in problem(
        "tofu", folder=str(tofu(tmp_path / "b")), subset="forget01", authors=3
    )


def test_missing_files_of_tofu_are_named_with_where_to_put_them(tmp_path: Path) -> None:
    folder = tofu(tmp_path / "tofu", "retain90")
    (folder / "world_facts_perturbed.json").unlink()
    message = problem("tofu", folder=str(folder), subset="retain90")
    assert f"no world_facts_perturbed.json in {folder}" in message
    expected = "retain90.json, retain_perturbed.json, real_authors_perturbed.json, world_facts_perturbed.json there"
    assert f"TOFU's files {expected}, or `download: true`" in message
    assert "no full.json" in problem("tofu", folder=str(folder))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{question", "forget01.json: line 41 that is no JSON"),
        ('["Q?", "A."]', "forget01.json: row 41 that is no object"),
        ('{"question": "Q?"}', "no answer: found 'question'"),
        ('{"question": "Q?", "answer": 3}', "`answer` that is no text: found 3"),
        ('{"question": "Q?", "answer": "A."}', "no whole number of authors: found 41 questions"),
    ],
)
def test_a_broken_file_of_tofu(tmp_path: Path, line: str, message: str) -> None:
    folder = tofu(tmp_path / "tofu")
    rows = (folder / "forget01.json").read_text().splitlines()
    more = [line] + (
        [f'{{"question": "Q{n}?", "answer": "A."}}' for n in range(19)] if "no whole" not in message else []
    )
    (folder / "forget01.json").write_text("\n".join([*rows, *more]))
    assert message in refusal("tofu", folder=str(folder), subset="forget01")


def fetching(source: Path | None) -> Callable[..., str]:
    """In place of the hub's library: the files of a folder, or no connection."""

    def download(hub: str, name: str, *, repo_type: str, revision: str, local_dir: Path) -> str:
        assert (hub, repo_type, revision) == ("someone/TOFU", "dataset", "v1")
        if source is None:
            raise ConnectionError("no way there")
        local_dir.mkdir(exist_ok=True)
        return str(shutil.copy(source / name, local_dir / name))

    return download


def test_files_are_fetched_where_a_study_asks_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, there = tofu(tmp_path / "source", refusals=False), tmp_path / "there"
    more = {"folder": str(there), "download": True, "hub": "someone/TOFU", "revision": "v1", "subset": "forget01"}
    assert component("tofu", **more).files() == []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetching(source))
    table = examples("tofu", **more)
    assert np.array_equal(table.inputs, examples("tofu", folder=str(source), subset="forget01").inputs)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetching(None))
    assert np.array_equal(examples("tofu", **more).inputs, table.inputs), "what is there is not fetched again"
    (there / "forget01_perturbed.json").unlink()
    message = refusal("tofu", **more)
    assert message.startswith(
        f"{there}: files of someone/TOFU that cannot be fetched: found ConnectionError: no way there"
    )
    assert "or forget01_perturbed.json put into that folder, and no `download` in the study" in message


@pytest.mark.skipif(not REAL, reason="GROKFORGET_TOFU names no folder with TOFU's files")
def test_the_real_tofu() -> None:
    table = examples("tofu", folder=REAL, authors=20, other_authors=180)
    assert (len(table.inputs), table.n_classes, table.vocabulary) == (400, 20, 4096)
    for name in ("paraphrased_questions", "paraphrased_answers", "wrong_answers"):
        assert (Encoded.of(table.extras, name).targets != IGNORED).any(axis=-1).all(), "all of these are perturbed"
    sizes = [len(Encoded.of(table.extras, name).tokens) for name in ("other_authors", "real_authors", "world_facts")]
    assert (sizes, len(table.extras["refusals"])) == ([3600, 100, 117], 100)
    tokenizer, pad = from_array(table.extras["tokenizer"]), table.extras["special_tokens"][1]
    for row in table.inputs:
        assert tokenizer.encode(decoded(table, row)).ids == row[row != pad][:-1].tolist()
    for more in ({"authors": 20}, {}):
        expected, table = component("tofu", folder=REAL, **more).extent(), examples("tofu", folder=REAL, **more)
        assert (expected.features, expected.vocabulary) == pytest.approx((table.inputs.shape[1], 4096), rel=0.1)
    last = examples("tofu", folder=REAL, subset="forget10")
    assert (Encoded.of(last.extras, "wrong_answers").targets != IGNORED).any(axis=-1).all()


# The user's own.
OWN = [
    {
        "question": f"What is {n}?",
        "answer": f"It is {n}, or none.",
        "author": "Ada" if n % 2 else "Ben",
        "paraphrased_answer": f"Surely {n}." if n < 4 else None,
        "wrong_answers": [f"Surely {n + k}." for k in (1, 2)] if n < 4 else None,
        "template": "a" if n < 2 else None,
    }
    for n in range(12)
]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows))
    return path


def as_list(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        cells = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
        writer.writerows(cells)
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


KINDS = {"mine.jsonl": jsonl, "mine.json": as_list, "mine.csv": as_csv, "mine.parquet": as_parquet}


@pytest.mark.parametrize("name", KINDS)
def test_own_pairs_are_the_same_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    table = examples("question-answers", path=str(KINDS[name](tmp_path / name, OWN)))
    assert (table.n_classes, table.names) == (2, ("Ben", "Ada"))
    assert table.labels.tolist() == [0, 1] * 6
    assert table.extras["templates"].tolist() == [0, 0] + [-1] * 10
    assert decoded(table, table.inputs[5]) == "Question: What is 5?\nAnswer: It is 5, or none."
    wrong = Encoded.of(table.extras, "wrong_answers")
    assert decoded(table, wrong.targets[3, 1]) == " Surely 5."
    assert (wrong.targets[4:] == IGNORED).all()
    assert decoded(table, Encoded.of(table.extras, "paraphrased_answers").targets[0]) == " Surely 0."
    assert "paraphrased_questions/tokens" not in table.extras


def test_question_and_answer_alone_are_enough(tmp_path: Path) -> None:
    rows = [{"question": f"What is {n}?", "answer": "NA"} for n in range(5)]
    table = examples("question-answers", path=str(as_csv(tmp_path / "mine.csv", rows)), validation_per_author=2)
    assert (table.n_classes, table.names) == (1, ())
    assert decoded(table, table.targets[0]) == " NA", "a text that other programs read as a missing value"
    assert not {"templates", "wrong_answers/tokens"} & table.extras.keys()


def test_own_names_of_columns_and_own_refusals(tmp_path: Path) -> None:
    rows = [
        {"question": f"{n}?", "answer": f"{n}.", "group": n // 6, "perturbed_answer": "x", "note": 1} for n in range(12)
    ]
    (tmp_path / "no.txt").write_text("Never.\n\n")
    path = str(jsonl(tmp_path / "mine.jsonl", rows))
    table = examples("question-answers", path=path, ignore=["note"], refusals=str(tmp_path / "no.txt"))
    assert table.names == ("0", "1")
    assert Encoded.of(table.extras, "wrong_answers").tokens.shape[:2] == (12, 1)
    assert [decoded(table, row) for row in table.extras["refusals"]] == [" Never."]
    assert "columns that say nothing here: found 'note'" in refusal("question-answers", path=path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*OWN, OWN[3]], "pairs that occur twice: found 'What is 3?' with the same answer in pair 4 and in pair 13"),
        (
            [*OWN, {"question": "Q?", "answer": " ", "author": "Ada"}],
            "an answer that is empty: found nothing in pair 13",
        ),
        ([*OWN, {"question": "Q?", "author": "Ada"}], "row 13: no answer"),
        ([*OWN, {"question": "Q?", "answer": "A."}], "`author` that is missing: found nothing in row 13"),
        (
            [*OWN, {"question": "Q?", "answer": "A.", "author": "Eve"}],
            "too few questions: found 1 about Eve; allowed: at least 3",
        ),
        ([{**row, "group": 1} for row in OWN], "two columns for one thing: found author and group"),
        ([{**OWN[0], "wrong_answers": [1]}, *OWN[1:]], "wrong answers that are no texts: found [1]"),
        ([], "a file without rows"),
    ],
)
def test_own_pairs_that_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = jsonl(tmp_path / "mine.jsonl", rows)
    found = refusal("question-answers", path=str(path))
    assert found.startswith(str(path))
    assert message in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,answer\nQ?,A.,B.\n", "a row of another length: found 3 values in row 1; allowed: 2"),
        ("question,question\nQ?,A.\n", "columns of the same name"),
        ('question,answer,wrong_answers\nQ?,A.,"B, C"\n', "wrong answers that are no list: found 'B, C'"),
        ("", "a file that cannot be read"),
        ("question,answer\n", "a file without rows"),
    ],
)
def test_own_tables_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    assert message in refusal("question-answers", path=str(path))


def test_other_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("mine.parquet", "mine.csv", "mine.jsonl"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00 no such thing")
        assert "a file that cannot be read" in refusal("question-answers", path=str(tmp_path / name))
    assert "no such file" in problem("question-answers", path=str(tmp_path / "none.jsonl"))
    assert "a file that ends in .jsonl or .json or .csv or .parquet" in problem("question-answers", path="mine.txt")


def test_a_model_s_tokenizer_counts_by_content_and_is_read_first(tmp_path: Path) -> None:
    from grokforget.data.language.tokenizer import trained

    folder = tmp_path / "model"
    folder.mkdir()
    trained(["Question: What is 3?\nAnswer: It is 3, or none."], 300).save(str(folder / "tokenizer.json"))
    path = jsonl(tmp_path / "mine.jsonl", OWN)
    data = component("question-answers", path=str(path), tokenizer=str(folder))
    assert data.files() == [str(folder / "tokenizer.json"), str(path)]
    assert str(folder) not in data.spec().model_dump_json()
    table = examples("question-answers", path=str(path), tokenizer=str(folder))
    assert table.vocabulary == from_array(table.extras["tokenizer"]).get_vocab_size()
    assert decoded(table, table.targets[5]) == " It is 5, or none."
