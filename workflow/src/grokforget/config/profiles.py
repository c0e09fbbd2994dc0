"""Check a profile without running anything: ``python -m grokforget.config.profiles FILE...``.

Snakemake takes a profile's keys for options of its command line: of one that it does not know it says so without naming
the file, and one that is nested (a rule's name, say) it drops without a word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import yaml

WORKFLOW = Path(__file__).parents[3]
BY_RULE = ("set-resources", "set-threads", "groups")


def problems(path: Path) -> Iterator[str]:
    """What is wrong with a profile, a line each: file, line, key, what was found, what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text)
    except (OSError, UnicodeDecodeError) as error:
        yield f"{path}: cannot be read: {error}"
        return
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        yield f"{path}{line}: not valid YAML: {error.problem}"
        return
    if not isinstance(tree, yaml.MappingNode):
        yield f"{path}: found {'nothing' if tree is None else 'no mapping'}; allowed: options of snakemake, `option: value`"
        return
    known, rules = options(), rule_names()
    executor = next((str(value.value) for key, value in tree.value if key.value == "executor"), "")
    # The options of a plugin that is not installed are not known; they all begin with its name.
    foreign = (
        f"{executor}-"
        if executor and not find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}")
        else None
    )
    for key, value in tree.value:
        if foreign and key.value.startswith(foreign):
            continue
        if key.value not in known:
            yield _unknown(path, key, key.value, "an option of snakemake without its dashes (snakemake --help)", known)
        elif key.value in BY_RULE and isinstance(value, yaml.MappingNode):
            for name, _ in value.value:
                if name.value not in rules:
                    yield _unknown(path, name, f"{key.value}.{name.value}", f"a rule: {', '.join(rules)}", rules)


def options() -> list[str]:
    """The long options of Snakemake and of the plugins that are installed."""
    from snakemake.cli import get_argument_parser

    actions = get_argument_parser()._actions
    return sorted({name[2:] for action in actions for name in action.option_strings if name.startswith("--")})


def rule_names() -> list[str]:
    """The rules of the workflow."""
    files = [WORKFLOW.parent / "Snakefile", *sorted((WORKFLOW / "rules").glob("*.smk"))]
    return [name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(encoding="utf-8"), re.M)]


def _unknown(path: Path, node: yaml.ScalarNode, key: str, allowed: str, names: list[str]) -> str:
    near = get_close_matches(node.value, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{path}:{node.start_mark.line + 1}: {key}: unknown key: found {node.value!r}; allowed: {allowed}{hint}"


def main(arguments: list[str]) -> int:
    """Print what is wrong with the profiles; the exit status is 0 or 1."""
    found = [problem for argument in arguments for problem in problems(Path(argument))]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
