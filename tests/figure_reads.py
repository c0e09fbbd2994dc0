"""Calls a figure as its job does, with what its row in the registry names, and watches what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from grokforget.config.figures import FIGURES
from grokforget.config.specs.figures import FigureSpec
from grokforget.runtime.components import load_implementation


def figure_spec(name: str, fields: Mapping[str, Any]) -> FigureSpec:
    """The spec of a figure: of ``fields`` what its row says that it shows."""
    shown = {field: fields[field] for field in FIGURES[name].shows}
    return FigureSpec.model_validate({"figure": {"implementation": FIGURES[name].implementation}, **shown})


def figure_of(name: str, tables: Mapping[str, pd.DataFrame], fields: Mapping[str, Any]) -> Figure:
    """The figure, from its tables (those that are there) and its spec alone."""
    own = {table: tables[table] for table in FIGURES[name].tables if table in tables}
    figure = load_implementation(FIGURES[name].implementation)(own, figure_spec(name, fields))
    assert isinstance(figure, Figure)
    return figure


class WatchedTables(dict[str, pd.DataFrame]):
    """Tables that note which of them are read."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        super().__init__(tables)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> pd.DataFrame:
        self.read.add(name)
        return super().__getitem__(name)


class WatchedSpec:
    """A spec that notes which of its fields are read."""

    def __init__(self, spec: FigureSpec) -> None:
        self._spec = spec
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._spec, name)


def what_is_read(name: str, tables: Mapping[str, pd.DataFrame], fields: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The names of the tables, and of the fields of the spec, that a figure reads where all that there is is given."""
    every = {field: fields[field] for field in FigureSpec.model_fields if field in fields}
    spec = FigureSpec.model_validate({"figure": {"implementation": FIGURES[name].implementation}, **every})
    watched_tables, watched_spec = WatchedTables(tables), WatchedSpec(spec)
    plt.close(load_implementation(FIGURES[name].implementation)(watched_tables, watched_spec))
    return watched_tables.read, watched_spec.read
