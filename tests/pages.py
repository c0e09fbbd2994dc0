"""The project's Markdown pages, as the tests of what they say read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "workflow").rglob("*.md"),
        ROOT / "results" / "README.md",
    ]
)
FENCE = re.compile(r"^(```+).*?^\1\s*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def links(text: str) -> list[str]:
    """The targets of links and images; those within code are none."""
    return LINK.findall(re.sub(r"(?<!`)`[^`\n]+`(?!`)", "code", prose(text)))


def anchors(text: str) -> set[str]:
    """What GitHub calls a page's headings in addresses: lower case, punctuation gone, hyphens for spaces, and a number
    behind the second of a name."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?)\s*#*$", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(page: Path, text: str) -> Iterator[str]:
    """The relative links of a page that lead nowhere in a fresh clone."""
    for target in links(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"{target}: no such file"
        elif not path.is_relative_to(ROOT):
            yield f"{target}: outside the repository"
        elif path.is_relative_to(ROOT / "results") and path.name != "README.md":
            yield f"{target}: results are in no clone"
        elif anchor and (path.suffix != ".md" or anchor not in anchors(read(path) if name else text)):
            yield f"{target}: no such heading"


def section(text: str, heading: str) -> str:
    """What stands below a heading, to the next one of any level; code blocks count as text."""
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(text: str) -> list[list[str]]:
    """The cells of all tables of a text, without their heads."""
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = {number - 1 for number, row in enumerate(cells) if all(re.fullmatch(r":?-+:?", cell) for cell in row)}
    return [row for number, row in enumerate(cells) if number not in heads and number - 1 not in heads]


def code(text: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(text))
