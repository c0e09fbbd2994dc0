"""What is asked of results: why jobs would run, whether files are what was written, what no job makes any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grokforget.config.specs import runs
from grokforget.config.specs.base import Item, JobSpec
from grokforget.runtime import paths
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import checksum, write_rows
from grokforget.runtime.fingerprint import digests
from grokforget.runtime.record import read_record
from grokforget.runtime.results import clean, flat, keys_of, reasons, records_of, verify, why
from grokforget.runtime.run import run_job
from grokforget.runtime.spec_file import content, load_spec, write_spec
from grokforget.runtime.store import VARIABLE, Store
from small import small
from snakemake_runs import SMALL


class MethodSpec(JobSpec):
    """Of items that nothing runs here."""

    function = "grokforget.jobs.unlearn:unlearn"
    libraries = ("torch", "numpy")
    seed: int = 0
    more: dict[str, Any] | None = None
    method: ComponentSpec


KEY = "unlearn/mlp/seed0/within"
SCRUB = ComponentSpec(
    implementation="grokforget.methods.scrub:Scrub", settings={"epochs": 3, "rates": {"up": 1, "down": 2}}
)
FISHER = ComponentSpec(implementation="grokforget.methods.fisher:FisherForgetting", settings={})
ASCENT = ComponentSpec(implementation="grokforget.methods.descent:GradientAscent", settings={"rate": 0.1})


def with_settings(method: ComponentSpec, **settings: Any) -> ComponentSpec:
    return method.model_copy(update={"settings": {**method.settings, **settings}})


def batch(shared: Any = None, reads: Any = None, **methods: ComponentSpec) -> dict[str, Item]:
    """Items of methods by name."""
    return {
        name: Item(
            MethodSpec(**(shared or {}), method=method),
            {"examples": "in/examples.parquet", **(reads or {})},
            {"table": f"{KEY}/{name}.parquet"},
        )
        for name, method in methods.items()
    }


class Results:
    """The record of one job, as if it had run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_rows(root / "in" / "examples.parquet", [{"n": 1}])

    def finish(self, made: dict[str, Item], key: str = KEY, **edits: Any) -> None:
        spec = {"rule": "unlearn", **json.loads(json.dumps(content(made))), **edits}
        source = self.root / "in" / "examples.parquet"
        read = {"in/examples.parquet": checksum(source)} if source.exists() else {}
        noted = {"spec": spec, "items": {}, "read": read, "wrote": {}}
        path = self.root / paths.record_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(noted))

    def reasons(self, items: dict[str, Item], key: str = KEY) -> list[str]:
        write_spec(self.root, key, items, "unlearn")
        return reasons(self.root, key, load_spec(self.root / paths.spec_of(key)))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return Results(Path("results/small"))


BOTH = batch(scrub=SCRUB, ascent=ASCENT)
CASES: dict[str, tuple[dict[str, Item], list[str]]] = {
    "a key": (batch(scrub=with_settings(SCRUB, epochs=4), ascent=ASCENT), ["config method.settings.epochs: 3 → 4"]),
    "a deep key": (
        batch(scrub=with_settings(SCRUB, rates={"up": 1, "down": 5}), ascent=ASCENT),
        ["config method.settings.rates.down: 2 → 5"],
    ),
    "a shared key, once": (
        batch({"seed": 1, "more": {}}, scrub=SCRUB, ascent=ASCENT),
        ["config more: None → {}", "config seed: 0 → 1"],
    ),
    "a key less": (
        batch(scrub=SCRUB, ascent=ASCENT.model_copy(update={"settings": {}})),
        ["config method.settings: not given → {}", "config method.settings.rate: 0.1 → not given"],
    ),
    "an item more": (batch(scrub=SCRUB, ascent=ASCENT, fisher=FISHER), ["new: fisher"]),
    "an item less": (batch(scrub=SCRUB), ["no longer asked for: ascent"]),
    "others": (batch(scrub=SCRUB, fisher=FISHER), ["new: fisher", "no longer asked for: ascent"]),
    "config comes last": (
        batch({"seed": 1}, scrub=SCRUB),
        ["no longer asked for: ascent", "config seed: 0 → 1"],
    ),
    "nothing of its own": (BOTH, ["what it reads is made again"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_changed_is_named(results: Results, case: str) -> None:
    now, expected = CASES[case]
    results.finish(BOTH)
    assert results.reasons(now) == expected


def test_other_bytes_of_what_it_reads_are_named_by_their_file(results: Results) -> None:
    results.finish(BOTH)
    write_rows(results.root / "in" / "examples.parquet", [{"n": 2}])
    assert results.reasons(BOTH) == ["in/examples.parquet is another"]
    (results.root / "in" / "examples.parquet").unlink()
    assert results.reasons(BOTH) == ["what it reads is made again"], "not there: it will be seen then"


def test_results_that_are_missing_or_damaged_are_named(results: Results) -> None:
    study, root = small(), results.root
    items, key = runs.prepare(study, "addition"), "data/addition/examples"
    run_job(write_spec(root, key, items), root / paths.record_of(key))
    assert results.reasons(items, key) == ["what it reads is made again"]
    (root / f"{key}.safetensors").unlink()
    assert results.reasons(items, key) == [f"{key}.safetensors is missing or damaged"]


def test_what_has_no_record_was_not_made(results: Results) -> None:
    assert results.reasons(BOTH) == ["not made yet, or no longer whole"]
    results.finish(BOTH)
    (results.root / paths.record_of(KEY)).write_text("{")
    assert results.reasons(BOTH) == ["not made yet, or no longer whole"]


def test_a_library_is_named_with_its_versions(results: Results) -> None:
    items = json.loads(json.dumps(content(BOTH)["items"]))
    torch = items["scrub"]["versions"].pop("torch")
    items["ascent"]["versions"].pop("torch")
    for item in items.values():
        item["versions"] |= {"numpy": "0.1", "jax": "1.0"}
    numpy = content(BOTH)["items"]["scrub"]["versions"]["numpy"]
    results.finish(BOTH, items=items)
    assert results.reasons(BOTH) == [
        "locked version of jax: 1.0 → none",
        f"locked version of numpy: 0.1 → {numpy}",
        f"locked version of torch: none → {torch}",
    ]


def test_another_format_of_files_is_named(results: Results) -> None:
    results.finish(BOTH, format=0)
    assert results.reasons(BOTH) == ["the format of files"]


def edited(*names: str) -> dict[str, str]:
    """The modules behind ``BOTH``, with other code in some of them than there is now."""
    modules = content(BOTH)["modules"]
    assert set(names) <= modules.keys()
    return {**modules, **dict.fromkeys(names, "as it was")}


def test_code_is_named_by_its_module(results: Results) -> None:
    results.finish(BOTH, modules=edited("grokforget.methods.scrub", "grokforget.jobs.unlearn"))
    assert results.reasons(BOTH) == ["code of grokforget.jobs.unlearn", "code of grokforget.methods.scrub"]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"scrub": SCRUB}, "no longer asked for: ascent"),
        ({"scrub": SCRUB, "ascent": ASCENT, "fisher": FISHER}, "new: fisher"),
    ],
)
def test_the_code_of_an_item_that_came_or_went_was_not_changed(results: Results, methods: Any, said: str) -> None:
    results.finish(BOTH, modules=edited("grokforget.methods.scrub"))
    assert results.reasons(batch(**methods)) == [said, "code of grokforget.methods.scrub"]


def test_the_modules_of_a_job_are_those_of_all_its_items() -> None:
    alone = {name: {*content(batch(it=method))["modules"]} for name, method in (("scrub", SCRUB), ("ascent", ASCENT))}
    both = content(BOTH)["modules"]
    assert both.keys() == alone["scrub"] | alone["ascent"]
    assert "grokforget.methods.scrub" in both
    assert "grokforget.methods.scrub" not in alone["ascent"]
    assert both == digests("grokforget.jobs.unlearn", SCRUB.implementation, ASCENT.implementation)


def test_reasons_come_in_the_same_order_every_time(results: Results) -> None:
    """The order of sets differs from one process to the next."""
    names = [f"{letter}{letter}" for letter in "fbhdgaec"]
    now, before = (batch(scrub=SCRUB, **dict.fromkeys(half, ASCENT)) for half in (names[:4], names[4:]))
    came, went = sorted(names[:4]), sorted(names[4:])
    results.finish(before)
    assert results.reasons(now) == [
        *(f"new: {name}" for name in came),
        *(f"no longer asked for: {name}" for name in went),
    ]


def test_nested_values_are_told_by_their_path() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": []}, "e": {}}) == {"a.b.c": 1, "a.d": [], "e": {}}


def planned(*jobs: str, root: str = "results/small", plan: str = "update pending") -> str:
    """Of `snakemake --summary`, all but what is not looked at."""
    return "".join(f"{root}/{name}\t-\t-\t-\tok\t{plan}\n" for job in jobs for name in (job, f"jobs/{job}.json"))


def test_jobs_of_the_same_rule_and_reasons_are_one_line(results: Results) -> None:
    one, two = batch(scrub=SCRUB), batch(scrub=SCRUB, fisher=FISHER)
    jobs = {"a": two, "b": one, "c": one, "d": two}
    for name, items in jobs.items():
        results.finish(BOTH, name)
        write_spec(results.root, name, items, "unlearn")
    write_spec(results.root, "e", runs.prepare(small(), "addition"), "prepare")
    results.finish(BOTH, "f")
    write_spec(results.root, "f", BOTH, "unlearn")
    text = planned(*"fabcd", "e") + planned("g", plan="no update")
    assert list(why(f"Building DAG of jobs...\noutput_file\tdate\trule\tlog\tstatus\tplan\n{text}")) == [
        "unlearn (2): new: fisher; no longer asked for: ascent",
        "unlearn (2): no longer asked for: ascent",
        "prepare (1): not made yet, or no longer whole",
        "unlearn (1): what it reads is made again",
    ]
    for nothing in ("", "Building DAG of jobs...\n", planned("a", plan="no update")):
        assert list(why(nothing)) == ["Everything is up to date."]


def test_jobs_are_found_wherever_the_results_lie(results: Results, tmp_path: Path) -> None:
    write_spec(tmp_path / "deep" / "results" / "small", KEY, BOTH, "unlearn")
    (line,) = why(planned(KEY, root=f"{tmp_path}/deep/results/small"))
    assert line == "unlearn (1): not made yet, or no longer whole"


# Verifying and clearing up.
@pytest.fixture
def made(results: Results) -> Results:
    """A prepared data set and two splits."""
    study = small()
    for rule, key, items in (
        ("prepare", "data/addition/examples", runs.prepare(study, "addition")),
        *(("split", f"data/addition/seed{seed}", runs.split(study, "addition", str(seed))) for seed in (0, 1)),
    ):
        run_job(write_spec(results.root, key, items, rule), results.root / paths.record_of(key))
    return results


JOBS = ["data/addition/examples", "data/addition/seed0", "data/addition/seed1"]


def test_records_are_found_by_their_jobs(made: Results) -> None:
    assert [name for name, _ in records_of(made.root)] == JOBS
    assert [record for _, record in records_of(made.root)] == [
        read_record(made.root / paths.record_of(job)) for job in JOBS
    ]
    keys = keys_of(made.root)
    assert {key for each in keys.values() for key in each} == {path.name for path in Store(made.root).entries()}
    (made.root / paths.record_of(JOBS[1])).write_text("{")
    assert [name for name, _ in records_of(made.root)] == [JOBS[0], JOBS[2]]


def break_(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_every_file_is_compared_with_what_its_job_wrote(made: Results) -> None:
    assert list(verify(made.root)) == []
    split, missing = (made.root / f"{job}.safetensors" for job in JOBS[1:])
    break_(split)
    missing.unlink()
    assert list(verify(made.root)) == [
        f"{split} is not what was written: its checksum is another. The next run makes it anew.",
        f"{missing} is missing; the next run makes it if it is needed.",
    ]
    # What is damaged is out of date from here on; what is missing Snakemake sees itself.
    assert [name for name, _ in records_of(made.root)] == [JOBS[0], JOBS[2]]


def summary(*jobs: str) -> str:
    lines = ["output_file\tdate\trule\tlog-file(s)\tstatus\tplan"]
    for job in jobs:
        lines += [f"results/small/{job}.safetensors\t-\t-", f"results/small/jobs/{job}.json\t-\t-"]
    return "\n".join(lines)


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("remove", [False, True])
def test_what_no_job_makes_is_told_and_removed_where_that_is_asked_for(made: Results, remove: bool) -> None:
    for name in (".lock", ".forced.json", "study.json", "logs/data/addition/seed0.log", "logs/data/addition/seed1.log"):
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        (made.root / name).touch()
    (made.root / "old" / "deep").mkdir(parents=True)
    for name in ("old/deep/a.txt", "old/b.txt", "data/stray.txt"):
        (made.root / name).write_text("x" * 1000)
    (made.root / "in" / "examples.parquet").unlink()
    (made.root / "in").rmdir()
    before, entries = files(made.root), len(list(Store(made.root).entries()))
    *told, last = clean(summary(*JOBS[:2]), remove)
    gone = ["data/addition/seed1.safetensors", "data/stray.txt", "jobs/data/addition/seed1.json"]
    gone += ["logs/data/addition/seed1.log", "specs/data/addition/seed1/spec.json"]
    whole = ["old/ (2 files)", "specs/data/addition/seed1/ (1 file)"]
    assert told == [f"results/small/{name}" for name in [*sorted(gone[:4]), *whole]]
    if remove:
        assert last.endswith("MB, removed")
        left = before - files(made.root)
        assert {name for name in left if not name.startswith("store/")} == {*gone, "old/deep/a.txt", "old/b.txt"}
        assert len(list(Store(made.root).entries())) == entries - 1, "what is kept of a job that is gone goes too"
        assert list(clean(summary(*JOBS[:2]), remove)) == ["results/small: every file belongs to a job of this study."]
    else:
        assert last.endswith("belongs to no job of this study; give REMOVE=yes to remove it")
        assert files(made.root) == before
    assert list(verify(made.root)) == []


def test_an_item_that_is_no_longer_asked_for_belongs_to_no_job(results: Results) -> None:
    for name in ("scrub", "ascent"):
        write_rows(results.root / KEY / f"{name}.parquet", [{"n": 1}])
    (results.root / "in" / "examples.parquet").unlink()
    (results.root / "in").rmdir()
    results.finish(BOTH)
    write_spec(results.root, KEY, batch(scrub=SCRUB))
    text = f"results/small/{KEY}\t-\nresults/small/jobs/{KEY}.json\t-"
    told = list(clean(text, True))
    assert told[:-1] == [f"results/small/{KEY}/ascent.parquet"]
    assert (results.root / KEY / "scrub.parquet").exists()


def test_an_unfinished_job_keeps_what_it_has_done(made: Results) -> None:
    """It is planned, and has no record yet."""
    (made.root / paths.record_of(JOBS[1])).unlink()
    (made.root / f"{JOBS[1]}.safetensors").unlink()
    entries = list(Store(made.root).entries())
    list(clean(summary(*JOBS), True))
    assert list(Store(made.root).entries()) == entries


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("nothing", 0), ("results/a/jobs/x.json\t-\nresults/b/jobs/x.json\t-", 2)],
)
def test_nothing_is_removed_where_it_is_not_known_of_which_study(made: Results, text: str, count: int) -> None:
    before = files(made.root)
    assert list(clean(text, True)) == [f"found the records of {count} studies in Snakemake's summary; allowed: of one"]
    assert files(made.root) == before


Answer = Callable[..., int]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Answer:
    import io

    from grokforget import __main__ as command

    def answer(*arguments: str, stdin: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        return command.main([*arguments])

    return answer


def test_where_results_go_is_said_by_the_study(ask: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a study.yaml").write_text(SMALL.read_text())
    assert ask("folder", str(tmp_path / "a study.yaml")) == 0
    assert capsys.readouterr().out == "results/small\n"
    assert ask("folder", str(tmp_path / "none.yaml")) == 1
    told = capsys.readouterr()
    assert (told.out, "none.yaml: cannot be read" in told.err) == ("", True)


def test_the_command_line_asks_the_same(made: Results, ask: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("verify", "results/small") == 0
    assert capsys.readouterr().out == "results/small: every file is what its job wrote.\n"
    assert ask("why", stdin="Nothing to be done.") == 0
    assert capsys.readouterr().out == "Everything is up to date.\n"
    assert ask("store", "results/small") == 0
    assert capsys.readouterr().out.startswith("results/small/store: 0.0 MB, 0.0 MB of them beside the results.")
    assert ask("clean", stdin=summary(*JOBS)) == 0
    assert "results/small/in/" in capsys.readouterr().out
    break_(made.root / f"{JOBS[1]}.safetensors")
    assert ask("verify", "results/small") == 1
    assert "is not what was written" in capsys.readouterr().out
    assert ask("store", "results/small", "--empty") == 0
    assert not (made.root / "store").exists()
    assert (made.root / "in").exists()
    assert ask("clean", "--remove", stdin=summary(*JOBS)) == 0
    assert not (made.root / "in").exists()
