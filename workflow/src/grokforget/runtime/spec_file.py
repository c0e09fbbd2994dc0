"""The spec file of a job: all that decides its results but the bytes that it reads, as an input of its rule.

It is written while Snakemake plans, and only where its content differs from what is there. So Snakemake sees by itself
what changed in the study, the code or the locked versions, also among results that were copied without ``.snakemake``,
and the job is told what to do by a file of any length.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grokforget.runtime import paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.fingerprint import digests, fingerprint, versions_of
from grokforget.runtime.record import holds, read_record

FORMAT = 1
"""Raised by hand where a change of ``runtime/`` changes what is read from, or written to, files: all keys change with it."""
AGAIN = re.compile(r'\{"again": (\d+),')
"""How a spec file begins, whose keys are sorted: so the number is known without reading the rest, which can be long."""


def write_spec(root: Path, key: str, items: Mapping[str, Any], rule: str = "", into: Path | None = None) -> Path:
    """Write the spec file of the job ``key`` of the study in ``root``, where it differs, and return its path; it lies
    below ``into`` where that is given.

    ``items`` (``config.specs.base.Item``) by name; a job that is no batch has one, without a name. ``rule`` is the name by
    which Snakemake may be told to force it. What Snakemake cannot see is told it too: where there are results that the
    job's record does not hold of, a number in the file (``again``) is raised, for it takes a file of the same content for
    the same, and looks for no output that nothing asks for.
    """
    path = root / paths.spec_of(key)
    outputs = [file for item in items.values() for file in item.outputs.values()]
    spec = {"rule": rule, **content(items)}
    there = text_of(path)
    before = AGAIN.match(there)
    again = int(before[1]) if before else 0
    if any((root / file).is_file() for file in outputs) and not holds(
        root, read_record(root / paths.record_of(key)), spec, outputs
    ):
        again += 1
    text = as_text({**spec, "again": again})
    path = (into or root) / paths.spec_of(key)
    if (text_of(path) if into else there) != text:
        # Not waited for until it is on the disk, as results are: a spec file that is lost is written again.
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.stem}.{os.getpid()}.json")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    return path


def text_of(path: Path) -> str:
    """What stands in a file of text, and nothing where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def as_text(spec: Mapping[str, Any]) -> str:
    """A spec file's text: JSON with a line an item, so that people can read it. (``json`` can put in lines by itself, at ten
    times the cost.)"""
    items = ",\n".join(f"{json.dumps(name)}: {_dumps(item)}" for name, item in sorted(spec["items"].items()))
    rest = {name: value for name, value in spec.items() if name != "items"}
    return f'{_dumps(rest)[:-1]}, "items": {{\n{items}\n}}}}\n'


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def content(items: Mapping[str, Any]) -> dict[str, Any]:
    """What a spec file holds: ``items`` by name, and ``modules``, the digest of every module behind any of them."""
    told, modules = {}, set()
    for name, item in items.items():
        spec = item.spec.model_dump(mode="json")
        code = sorted({item.spec.function.partition(":")[0], *implementations(spec)})
        modules.update(code)
        told[name] = {
            "type": f"{type(item.spec).__module__}:{type(item.spec).__name__}",
            "function": item.spec.function,
            "spec": spec,
            "inputs": {what: [files] if isinstance(files, str) else list(files) for what, files in item.inputs.items()},
            "outputs": dict(item.outputs),
            "implementations": code,
            "code": fingerprint(*code),
            "versions": versions_of(*item.spec.decided_by()),
        }
    return {"format": FORMAT, "items": told, "modules": digests(*modules)}


def read_spec(path: Path) -> dict[str, Any]:
    """A spec file as it was written. Raises RuntimeError where the code that it names has been changed since."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for item in told["items"].values():
        if fingerprint(*item["implementations"]) != item["code"]:
            raise RuntimeError(
                f"the code behind {path} was changed after this job was planned; give the same command again"
            )
    return told


def load_spec(path: Path) -> dict[str, Any]:
    """What stands in a spec file, and nothing where there is none that can be read."""
    try:
        told: dict[str, Any] = json.loads(text_of(path))
    except ValueError:
        told = {}
    return {"rule": "", "format": FORMAT, "items": {}, "modules": {}, "again": 0, **told}


def typed(item: Mapping[str, Any]) -> Any:
    """The spec of an item as the class that rule and job share."""
    return load_implementation(item["type"]).model_validate(item["spec"])


def implementations(value: Any) -> Iterator[str]:
    """The modules of all components anywhere in a spec, as JSON has it."""
    if isinstance(value, dict):
        if isinstance(value.get("implementation"), str):
            yield value["implementation"].partition(":")[0]
        value = [*value.values()]
    if isinstance(value, list):
        for part in value:
            if isinstance(part, dict | list):
                yield from implementations(part)
