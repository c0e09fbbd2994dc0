"""README.md and docs/: short, linked, and true where a test can tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.growth import SETTINGS
from faults.kinds import KINDS
from grokforget.__main__ import main
from grokforget.config.methods import METHODS, REFERENCES
from grokforget.config.specs.collect import COLLECTED, SUMMARIES, TUNED
from grokforget.config.specs.tables import LAWS, MATCHED, RUNS
from pages import DOCS, FENCE, PAGES, README, ROOT, anchors, broken, code, links, prose, read, rows, section
from small import job_specs

MAKEFILE = read(ROOT / "Makefile")
EVERYTHING = {page: read(page) for page in PAGES}
ids = {"ids": lambda page: page.relative_to(ROOT).as_posix()}


def test_the_readme_is_short() -> None:
    lines = read(README).splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 160 and not line.startswith("|")] == [], "short by long lines"


@pytest.mark.parametrize("page", PAGES, **ids)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page, read(page))) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = DOCS / "results.md"
    text = "# One `thing`: more\n# One thing more\n[a](../README.md) ![b](laptop/claims.png) [c](#one-thing-more-1) `[d](e)`"
    assert anchors(text) == {"one-thing-more", "one-thing-more-1"}
    assert list(broken(page, f"{text}\n```\n[f](g)\n```\n[h](https://example.org/#i)")) == []
    for link in (
        "none.md",
        "laptop/none.png",
        "#none",
        "tables.md#none",
        "../../none",
        "../results/laptop",
        "laptop#a",
    ):
        assert len(list(broken(page, f"[a]({link}) ![b]({link})"))) == 2, link


def test_every_page_is_reached_from_the_readme_and_the_index_has_them_all() -> None:
    index = DOCS / "README.md"
    pages = {page for page in DOCS.glob("*.md") if page != index}
    for start, named in ((README, pages | {index}), (index, pages)):
        reached = {(start.parent / link.partition("#")[0]).resolve() for link in links(read(start))}
        assert sorted(page.name for page in named - reached) == [], start


def test_every_page_begins_with_its_title_and_has_no_other() -> None:
    # Those in folders of docs/ are what the studies made.
    for page, text in ((page, text) for page, text in EVERYTHING.items() if page.parent.parent != DOCS):
        titles = re.findall(r"^# .*$", prose(text), re.MULTILINE)
        assert len(titles) == 1, page
        assert text.startswith(titles[0]), page


def test_code_ends_on_the_line_that_it_begins_on() -> None:
    """Or what stands between backticks is read wrongly, by people and by these tests."""
    for page, text in EVERYTHING.items():
        assert [line for line in prose(text).splitlines() if line.count("`") % 2] == [], page


def test_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["--help"])
    (own,) = re.findall(r"\{([\w,]+)\}", capsys.readouterr().out)[:1]
    for page, text in EVERYTHING.items():
        # In prose commands stand in backticks; in blocks they begin a line.
        said = "\n".join([*code(text), *(block[0] for block in re.finditer(FENCE, text))])
        assert set(re.findall(r"^make ([a-z][\w-]*)", said, re.MULTILINE)) <= targets, page
        assert set(re.findall(r"python -m grokforget (\w+)", said)) <= {*own.split(",")}, page
        for module in re.findall(r"python -m ((?:benchmarks|faults)[\w.]*)", said):
            place = ROOT / "tests" / module.replace(".", "/")
            assert place.with_suffix(".py").is_file() or place.is_dir(), module
        for profile in re.findall(r"--workflow-profile ([\w-]+)", said):
            assert (ROOT / "profiles" / profile / "config.yaml").is_file(), profile


def test_all_commands_stand_on_one_page() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*?[^\\])$", MAKEFILE, re.MULTILINE | re.DOTALL)
    told = [row[0].strip("`") for row in rows(section(read(DOCS / "running.md"), "All commands"))]
    assert sorted(told) == sorted(f"make {target}" for target in phony.replace("\\", "").split())


MADE_BY_READERS = {"workflow/studies/mine.yaml"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], **ids)
def test_paths_exist(page: Path) -> None:
    """What a page names by its path from the repository's root."""
    made = {"results", "data", ".snakemake", ".venv"}
    tops = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name not in made)
    for name in {
        one for span in code(read(page)) for one in re.findall(rf"^(?:{tops})/[\w./-]+$", span)
    } - MADE_BY_READERS:
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


def test_the_map_has_every_folder() -> None:
    mapped = section(read(README), "What is where")
    (package,) = (row for row in rows(mapped) if row[0] == "`workflow/src/grokforget`")
    source = ROOT / "workflow" / "src" / "grokforget"
    assert sorted(code(package[1])) == sorted(
        path.name for path in source.iterdir() if (path / "__init__.py").is_file()
    )
    named = {one.split("/")[0] for row in rows(mapped) for one in code(row[0])}
    visible = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert visible - {"build"} <= named
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert tests <= {one for row in rows(mapped) if row[0] == "`tests`" for one in code(row[1])}


def verdicts(page: Path, heading: str | None) -> dict[str, str]:
    """Claim → verdict, of the page's table whose rows begin with a number."""
    found = rows(section(read(page), heading) if heading else read(page))
    return {
        row[0]: row[column].strip("*") for row in found if row[0].isdigit() for column in (3 if not heading else 2,)
    }


def test_the_verdicts_are_those_of_the_shown_results() -> None:
    shown = verdicts(DOCS / "laptop" / "claims.md", None)
    assert len(shown) == 12
    assert verdicts(README, "What came out") == shown
    assert verdicts(DOCS / "results.md", "The verdicts") == shown
    assert verdicts(DOCS / "verdicts.md", "Side by side") == shown


TRIPLE = re.compile(r"([+-]?[\d.]+)(?: [a-z][a-z ]*)? \[([+-]?[\d.]+), ([+-]?[\d.]+)\]")


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        (README, "What came out"),
        (DOCS / "results.md", "The verdicts"),
        (DOCS / "verdicts.md", "Side by side"),
    ],
)
def test_the_effects_are_those_of_the_shown_results(page: Path, heading: str) -> None:
    """Every effect with its interval is one of the claim's own tests over all settings, rounded."""
    shown = read(DOCS / "laptop" / "claims.md")
    found = rows(section(read(page), heading))
    told = {row[0]: TRIPLE.findall(" ".join(row[3:])) for row in found if row[0].isdigit()}
    assert sum(map(len, told.values())) >= 15
    for claim, triples in told.items():
        (tests,) = re.findall(rf"^## {claim}\. .*?(?=^## |\Z)", shown, re.MULTILINE | re.DOTALL)
        true = [found for row in rows(tests) if row[1] == "all" for found in TRIPLE.findall(row[2])]
        for triple in triples:
            assert any(all(map(rounded, triple, one)) for one in true), (claim, triple)


def rounded(short: str, full: str) -> bool:
    """Whether a number is the other one with fewer digits."""
    half = 0.5 * 10 ** -len(short.partition(".")[2])
    return abs(float(short) - float(full)) <= half + 1e-9


def test_the_fault_table_has_every_kind_and_its_sum() -> None:
    *kinds, total = rows(section(read(DOCS / "faults.md"), "How that was tried"))
    assert len(kinds) == len(KINDS)
    counts = [[int(cell) for cell in row[1:]] for row in kinds]
    assert [sum(column) for column in zip(*counts, strict=True)] == [int(cell) for cell in total[1:]]
    (faults,) = re.findall(r"^FAULTS \?= (\d+)$", MAKEFILE, re.MULTILINE)
    assert total[1] == faults


def test_the_growth_table_counts_its_cells_and_keeps_what_is_promised() -> None:
    table = [
        [float(cell.replace(",", "")) for cell in row] for row in rows(section(read(DOCS / "benchmarks.md"), "Growth"))
    ]
    for seeds, forget_sets, methods, cells, *_ in table:
        assert cells == seeds * forget_sets * methods * len(SETTINGS) * 3
    (held,) = (row for row in table if row[:3] == [20, 4, 14])
    assert max(held[5:7]) <= 6, "tests/workflow/test_growth.py"


def test_every_rule_is_explained() -> None:
    """A rule is named for its function, where that is not one for several things."""
    named = {
        "train_segment": "train",
        "train_stack": "train",
        "render": "figure",
        "analyse_along_training": "analyse",
        "analyse_run": "analyse",
        "record_losses": "difficulty",
    }
    functions = {kind.function.partition(":")[2] for kind in job_specs()}
    told = [code(row[0])[0] for row in rows(section(read(DOCS / "how-it-works.md"), "From data to verdicts"))]
    assert sorted(told) == sorted({named.get(function, function) for function in functions})


def test_every_table_has_its_section() -> None:
    page = read(DOCS / "tables.md")
    tables = {*COLLECTED, TUNED, *MATCHED, *RUNS, LAWS, *SUMMARIES}
    assert {code(row[0])[0] for row in rows(section(page, "The tables"))} == tables
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert {name for heading in headings for name in heading.split(" and ")} == tables


def test_what_methods_report_of_themselves_is_explained() -> None:
    told = code(section(read(DOCS / "tables.md"), "The measures of the analyses"))
    methods = (ROOT / "workflow" / "src" / "grokforget" / "methods").glob("*.py")
    assigned = "".join(re.findall(r"self\.diagnostics = \{.*", "\n".join(map(read, methods))))
    names = set(re.findall(r'"(\w+)":', assigned))
    assert len(names) >= 7
    assert names <= {*told}


NUMBER = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?(?![\w.])")


def test_the_table_of_methods_has_every_kind_with_its_defaults() -> None:
    """A number among the defaults is one of the method's own."""
    told = {code(row[0])[0]: row for row in rows(read(DOCS / "methods.md"))}
    assert sorted(told) == sorted(METHODS)
    for kind, (name, _, defaults, cost) in told.items():
        assert links(name) == [f"studies.md#{kind}"]
        own = [value for value in METHODS[kind]().model_dump().values() if isinstance(value, (int, float))]
        said = [float(number) for number in NUMBER.findall(defaults)]
        assert set(said) <= {*map(float, own)}, kind
        assert (len(said) > 0) == (kind not in REFERENCES), kind
        assert all(float(number) > 0 for number in re.split(r", | to ", cost) if number), kind


def test_of_results_git_keeps_the_page_alone(tmp_path: Path) -> None:
    for name in ("results/README.md", "results/report.html", "results/laptop/README.md", "results/laptop/store/ab/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".gitignore", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "core.excludesFile="]
    subprocess.run([*git, "init", "--quiet"], check=True)
    done = subprocess.run([*git, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["?? .gitignore", "?? results/README.md"]
