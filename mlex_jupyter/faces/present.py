"""How records look: text for terminals, HTML for notebooks, frames for pandas, from one table of columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from mlex_jupyter.faces import qualities
from mlex_jupyter.faces.ancestry import drawing, tree
from mlex_jupyter.faces.boards import board
from mlex_jupyter.faces.cells import COLOURS, Lines, field
from mlex_jupyter.faces.columns import COLUMNS, NOTES, PARAMETERS
from mlex_jupyter.faces.facts import FACTS
from mlex_jupyter.faces.grids import Fact, Grid, html_facts, html_grid, text_facts, text_grid
from mlex_jupyter.faces.words import clock, plain, words
from mlex_jupyter.types import Architecture, Code, Entry, JobState, Lineage, ModelReport, Quality, Record

OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Letters that JSON takes as they are and that mean something to terminals: commands, and turns of direction."""


def grid(records: Sequence[Record]) -> Grid:
    """The rows of a list of one type; columns in which nobody says anything are left out."""
    columns = COLUMNS.get(type(records[0]).__name__) or tuple(
        field(name, name) for name in type(records[0]).model_fields
    )
    rows = [[words(column.value(record)) for column in columns] for record in records]
    note = NOTES.get(type(records[0]).__name__, lambda record: None)
    kept = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return Grid(
        titles=tuple(columns[place].title for place in kept),
        right=tuple(columns[place].right for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in rows),
        colours=tuple(COLOURS.get(getattr(record, "state", getattr(record, "ok", None))) for record in records),
        notes=tuple(note(record) for record in records),
    )


def facts(record: Record) -> list[Fact]:
    """What is said of one record; what it does not say is left out."""
    plainly = (field(name.replace("_", " "), name) for name in type(record).model_fields)
    told = [(column.title, column.value(record)) for column in FACTS.get(type(record).__name__) or plainly]
    said = [
        Fact(title, _lines(value), COLOURS.get(value) if isinstance(value, JobState) else None) for title, value in told
    ]
    return [fact for fact in said if any(fact.lines)]


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(map(words, value.items)) if isinstance(value, Lines) else (words(value),)


def parameters(architecture: Architecture | Entry) -> Grid:
    """The parameters of an architecture or an entry, from its schema."""
    properties = architecture.params_schema.get("properties")
    found = properties if isinstance(properties, dict) else {}
    rows = tuple(
        (name, words(part.get("default")), _allowed(part), words(part.get("description") or part.get("title")))
        for name, part in found.items()
        if isinstance(part, dict)
    )
    return Grid(PARAMETERS, (False, True, False, False), rows, (None,) * len(rows), (None,) * len(rows))


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return words(schema["enum"])
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = words(schema.get("type"))
    if low is not None and high is not None:
        return f"{kind} {words(low)} to {words(high)}"
    over = "over" if "exclusiveMinimum" in schema else "from"
    return f"{kind} {over} {words(low)}" if low is not None else kind


def comparison(found: Any) -> Grid:
    """Runs side by side: what differs, and how they did, the best with a star."""
    took = [clock(seconds) if seconds is not None else "" for seconds in found.took_s]
    rows = [("state", *map(words, found.states)), ("took", *took)]
    rows += [(row.name, *map(words, row.values)) for row in found.differences]
    for row in found.metrics:
        rows.append((row.name, *(f"{'★ ' * (at in row.best)}{words(value)}" for at, value in enumerate(row.values))))
    return Grid(
        ("", *found.runs), (False, *[False] * len(found.runs)), tuple(rows), (None,) * len(rows), (None,) * len(rows)
    )


# What stands under the words about one record.
BELOW: dict[str, Callable[[Any], Grid | None]] = {
    "Architecture": parameters,
    "Comparison": comparison,
    "Entry": parameters,
    "Estimate": lambda found: grid(found.checks),
    "FitReport": lambda report: grid(report.checks),
    "Leaderboard": lambda found: board(found) if found.contenders else None,
    "ModelReport": lambda report: grid(report.checks),
    "Segmented": lambda found: grid(found.classes),
    "Tried": lambda tried: grid(tried.classes),
    "Quality": lambda found: grid(qualities.notable(found)),
    "ZooPage": lambda page: grid(page.entries) if page.entries else None,
}


# ---------------------------------------------------------------- what faces show


def text(value: Any, columns: int | None = None) -> str:
    """A record, or a list of them, for a terminal."""
    if isinstance(value, list | tuple):
        return text_grid(grid(value), columns) if value else "None yet."
    if not isinstance(value, Record):
        return plain(words(value))
    if isinstance(value, Lineage):
        return tree(value)
    if isinstance(value, Code):
        return value.text.rstrip()
    said = text_facts(facts(value), columns)
    below = BELOW.get(type(value).__name__, lambda _: None)(value)
    return f"{said}\n\n{text_grid(below, columns)}" if below else said


def record_html(record: Record) -> str:
    """One record as a small table of names and words."""
    if isinstance(record, Lineage):
        return drawing(record)
    if isinstance(record, ModelReport):
        return report_html(record)
    table = html_facts([fact for fact in facts(record) if fact.title != "histogram"])  # which is drawn
    if isinstance(record, Quality):
        table += qualities.drawing(record)
    below = BELOW.get(type(record).__name__, lambda _: None)(record)
    return table + html_grid(below) if below else table


def report_html(report: ModelReport) -> str:
    """What was tried of a network, with its sample."""
    said = html_facts(facts(report)) + html_grid(grid(report.checks))
    if report.picture is None:
        return said
    return f'{said}<img alt="Labels, and what it learned" src="data:image/png;base64,{escape(report.picture)}">'


class Table(list[Any]):
    """A list of records that shows itself as a table."""

    def __repr__(self) -> str:
        """The table as text."""
        return text(self) if self._records() else super().__repr__()

    def _repr_html_(self) -> str:
        if not self._records():
            return f"<pre>{escape(repr(list(self)))}</pre>" if self else "<i>None yet.</i>"
        return html_grid(grid(self))

    def _records(self) -> bool:
        return bool(self) and all(isinstance(item, Record) for item in self)

    def to_pandas(self) -> Any:
        """The records as a DataFrame, a row each, with all their fields."""
        return to_pandas(self)


def to_pandas(value: Record | Sequence[Record]) -> Any:
    """A record as a Series, several as a DataFrame."""
    import pandas as pd

    if isinstance(value, Record):
        return pd.Series(value.model_dump())
    return pd.DataFrame([record.model_dump() for record in value])


def as_json(value: Any, indent: int | None = 2) -> str:
    """One JSON document of a record, a list of them, or plain values; what a terminal would obey is escaped in it."""
    from pydantic_core import to_json

    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", to_json(value, indent=indent).decode())
