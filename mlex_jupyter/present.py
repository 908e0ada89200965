"""How values look: text for terminals, HTML for notebooks, a frame for pandas. One table of columns serves all three.

Names come from other people. In HTML they are escaped, in a terminal what is not printable is shown as an escape.
"""

from __future__ import annotations

import shlex
import shutil
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from html import escape
from typing import Any

from mlex_jupyter.types import (
    Architecture,
    ClassInfo,
    Job,
    JobState,
    Output,
    PredictTask,
    Progress,
    Record,
    RunTask,
    Task,
    TrainTask,
    now,
)

ICONS = {
    JobState.WAITING: "◷",
    JobState.QUEUED: "◷",
    JobState.RUNNING: "●",
    JobState.DONE: "✔",
    JobState.FAILED: "✖",
    JobState.CANCELLED: "⊘",
    JobState.LOST: "?",
}
COLOURS = {
    JobState.RUNNING: "--jp-brand-color1",
    JobState.DONE: "--jp-success-color1",
    JobState.FAILED: "--jp-error-color1",
    JobState.LOST: "--jp-warn-color1",
    True: "--jp-success-color1",
    False: "--jp-error-color1",
}


@dataclass(frozen=True)
class Column:
    """A column of a list: its title, and what it shows of a record."""

    title: str
    value: Callable[[Any], Any]
    right: bool = False


@dataclass(frozen=True)
class Lines:
    """Values that stand one under the other."""

    items: tuple[Any, ...]


def _field(title: str, name: str, *, right: bool = False) -> Column:
    return Column(title, lambda record: getattr(record, name), right)


def _score(record: Any) -> Any:
    scores = [value for key, value in record.metrics.items() if "dice" in key.lower()]
    return f"Dice {scores[0]:.2f}" if scores else ""


def _how_far(job: Job) -> str:
    far = job.progress
    if job.state is JobState.RUNNING and far:
        return words(far)
    return job.message or job.reason or _score(job) or ""


def _yes(check: Any) -> str:
    return "✔ ok" if check.ok else "✖ mend"


# What a list shows of each type, by the type's name.
COLUMNS: dict[str, tuple[Column, ...]] = {
    "Dataset": (
        _field("Name", "name"),
        Column("Shape", lambda data: " × ".join(map(str, data.shape))),
        _field("Type", "dtype"),
        Column("Size", lambda data: size(data.nbytes), right=True),
        _field("Tags", "tags"),
        _field("Made", "created", right=True),
    ),
    "LabelSet": (
        _field("Name", "name"),
        Column("Version", lambda labels: f"v{labels.version}"),
        Column("Labelled", lambda labels: plural(len(labels.slices), "slice")),
        _field("Pixels", "counts"),
        _field("Made", "created", right=True),
    ),
    "ZooEntry": (
        _field("Name", "name"),
        Column("Kind", lambda entry: f"model v{entry.version}" if entry.kind == "model" else "trains from zero"),
        _field("Title", "title"),
        Column("Score", _score),
        _field("Tags", "tags"),
        Column("Made", lambda entry: entry.created, right=True),
    ),
    "Architecture": (
        _field("Name", "name"),
        _field("Title", "title"),
        _field("Task", "task"),
        Column("From", lambda found: f"{found.distribution} {found.version}"),
    ),
    "Job": (
        _field("State", "state"),
        _field("Name", "name"),
        Column("Task", lambda job: job.spec.task.kind),
        Column("How far", _how_far),
        Column("Where", lambda job: job.spec.target),
        _field("Asked", "submitted", right=True),
    ),
    "TargetInfo": (
        _field("Name", "name"),
        Column("Ready", lambda target: "✔ Ready" if target.ready else f"✖ {target.reason or 'Not ready'}"),
        Column("Cores free", lambda target: f"{target.cpus_free} of {target.cpus}", right=True),
        Column(
            "GPUs free", lambda target: f"{target.gpus_free} of {target.gpus}" if target.gpus else "none", right=True
        ),
        Column("Memory", lambda target: f"{target.memory_gb:.0f} GB", right=True),
        _field("Title", "title"),
    ),
    "Check": (Column("", _yes), _field("What", "name"), _field("Says", "says")),
    "Event": (
        _field("Id", "id"),
        _field("Time", "time"),
        _field("About", "subject"),
        _field("Kind", "kind"),
        _field("Values", "values"),
    ),
}
# What is shown of one record; a type that is not here shows its fields.
FACTS: dict[str, tuple[Column, ...]] = {
    "Dataset": (
        _field("name", "name"),
        Column("shape", lambda data: " × ".join(map(str, data.shape))),
        Column("type", lambda data: f"{data.dtype}, {data.axes}"),
        Column("chunks", lambda data: " × ".join(map(str, data.chunks or ()))),
        Column("size", lambda data: size(data.nbytes)),
        Column("pixel", lambda data: " × ".join(f"{side:g}" for side in data.pixel_size or ())),
        _field("unit", "pixel_unit"),
        _field("classes", "classes"),
        _field("tags", "tags"),
        _field("made from", "derived_from"),
        Column("where", lambda data: f"{data.uri} ({data.reader})"),
        _field("id", "id"),
        _field("made", "created"),
    ),
    "Architecture": (
        _field("name", "name"),
        _field("title", "title"),
        _field("about", "description"),
        _field("takes", "inputs"),
        _field("gives", "outputs"),
        Column("from", lambda found: f"{found.distribution} {found.version}, {found.builder}"),
    ),
    "Job": (
        _field("state", "state"),
        _field("progress", "progress"),
        _field("why", "message"),
        _field("reason", "reason"),
        _field("to do", "hint"),
        _field("name", "name"),
        _field("id", "id"),
        Column("task", lambda job: task_words(job.spec.task)),
        Column("parameters", lambda job: getattr(job.spec.task, "params", None)),
        Column("where", lambda job: job.spec.target),
        Column("after", lambda job: job.spec.after),
        _field("scores", "metrics"),
        _field("made", "outputs"),
        _field("asked", "submitted"),
        Column(
            "took", lambda job: clock((job.ended - job.started).total_seconds()) if job.ended and job.started else ""
        ),
    ),
    "Why": (
        _field("state", "state"),
        _field("name", "name"),
        _field("why", "reason"),
        Column("to do", lambda why: Lines(why.hints)),
        Column("log", lambda why: Lines(why.log_tail)),
    ),
}
# What stands under a row, whole, because people copy it.
NOTES: dict[str, Callable[[Any], str | None]] = {"Check": lambda check: check.mend}
PARAMETERS = ("Parameter", "Default", "Allowed", "Meaning")


# ---------------------------------------------------------------- words


def size(nbytes: float) -> str:
    """`67 MB`."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" or nbytes >= 10 else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} PB"


def ago(moment: datetime) -> str:
    """`12 s ago`; a date where that says more."""
    seconds = (now() - moment).total_seconds()
    for unit, length, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24), ("days", 86400, 14)):
        if seconds < length * most:
            count = max(0, int(seconds // length))
            return f"{count} {'day' if unit == 'days' and count == 1 else unit} ago"
    return moment.astimezone().strftime("%Y-%m-%d")


def clock(seconds: float) -> str:
    """`2:10`, or `1:02:10`."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def plural(count: int, noun: str) -> str:
    """`1 slice`, `3 slices`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def state_word(state: JobState) -> str:
    """`● Running`."""
    return f"{ICONS[state]} {state.value.capitalize()}"


def words(value: Any) -> str:
    """Any value of a record, in words."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case JobState():
            return state_word(value)
        case Enum():
            return str(value.value)
        case datetime():
            return ago(value)
        case float():
            return f"{value:.4g}"
        case Progress():
            left = f" · {clock(value.eta_s or 0)} left" if (value.eta_s or 0) >= 1 else ""
            score = f" · Dice {value.score:.2f}" if value.score is not None else ""
            return f"{value.unit} {value.done} of {value.total}{score}{left}"
        case ClassInfo():
            return value.name
        case Output():
            return f"{value.kind} {value.name}"
        case Record():
            said = ((name, words(part)) for name, part in value if name != "kind")
            return ", ".join(f"{name} {text}" for name, text in said if text)
        case Mapping():
            return ", ".join(f"{key} {words(part)}" for key, part in value.items())
        case list() | tuple():
            return ", ".join(map(words, value))
    return str(value)


def task_words(task: Task) -> str:
    """`train tunet on sand-tomo with scribbles`."""
    match task:
        case TrainTask():
            return f"train {task.model} on {task.data} with {task.labels}"
        case PredictTask():
            version = f" v{task.version}" if task.version else ""
            return f"predict {task.data} with {task.model}{version}"
        case RunTask():
            return f"run {shlex.join(task.argv)}"


def plain(text: str) -> str:
    """A text that cannot move a terminal's cursor: what is not printable is shown as an escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


# ---------------------------------------------------------------- tables of rows


@dataclass(frozen=True)
class Grid:
    """Titles and rows of words, the same for a terminal and for a notebook."""

    titles: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[str | None, ...]
    """Of the first column's icon, a row."""
    notes: tuple[str | None, ...]


def grid(records: Sequence[Record]) -> Grid:
    """The rows of a list of one type; columns in which nobody says anything are left out."""
    columns = COLUMNS.get(type(records[0]).__name__) or tuple(
        _field(name, name) for name in type(records[0]).model_fields
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


def facts(record: Record) -> list[tuple[str, tuple[str, ...]]]:
    """One record as names and what is said of each, in lines; what is not said is left out."""
    columns = FACTS.get(type(record).__name__) or tuple(
        _field(name.replace("_", " "), name) for name in type(record).model_fields
    )
    told = [(column.title, _lines(column.value(record))) for column in columns]
    return [(title, lines) for title, lines in told if any(lines)]


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(map(words, value.items)) if isinstance(value, Lines) else (words(value),)


def parameters(architecture: Architecture) -> Grid:
    """The parameters of an architecture, from its schema."""
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


# ---------------------------------------------------------------- text


GAP = "  "
NARROWEST = 4


def width(text: str) -> int:
    """The columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, most: int) -> str:
    """A text that fits, its end replaced by … where it did not."""
    if width(text) <= most:
        return text
    while text and width(text) > most - 1:
        text = text[:-1]
    return text + "…"


def text_grid(found: Grid, columns: int | None = None) -> str:
    """A table for a terminal of so many columns."""
    most = columns or shutil.get_terminal_size((120, 24)).columns
    rows = [list(found.titles), *[[plain(cell) for cell in row] for row in found.rows]]
    widths = [max(width(row[place]) for row in rows) for place in range(len(found.titles))]
    while sum(widths) + len(GAP) * (len(widths) - 1) > most and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row, note in zip(rows, [None, *found.notes], strict=True):
        lines += _text_row(row, widths, found.right)
        lines += [f"{' ' * widths[0]}{GAP}→ {plain(note)}"] if note else []
    return "\n".join(lines)


def _text_row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """A row; the words of its last column go on in the next line, those of the others are cut."""
    *most, last = row
    cells = [_fitted(cell, room, side) for cell, room, side in zip(most, widths, right, strict=False)]
    wrapped = [_fitted(last, widths[-1], True)] if right[-1] else textwrap.wrap(last, widths[-1]) or [""]
    first = GAP.join([*cells, wrapped[0]]).rstrip()
    indent = " " * sum(room + len(GAP) for room in widths[:-1])
    return [first, *(indent + more for more in wrapped[1:])]


def _fitted(cell: str, most: int, to_the_right: bool) -> str:
    fitting = cut(cell, most)
    space = " " * (most - width(fitting))
    return space + fitting if to_the_right else fitting + space


def text(value: Any, columns: int | None = None) -> str:
    """A record, or a list of them, for a terminal."""
    if isinstance(value, list | tuple):
        return text_grid(grid(value), columns) if value else "None yet."
    if not isinstance(value, Record):
        return plain(words(value))
    told = facts(value)
    longest = max((len(name) for name, _ in told), default=0)
    lines = "\n".join(
        f"{name if number == 0 else '':<{longest}}{GAP}{plain(line)}"
        for name, said in told
        for number, line in enumerate(said)
    )
    return f"{lines}\n\n{text_grid(parameters(value), columns)}" if isinstance(value, Architecture) else lines


# ---------------------------------------------------------------- HTML

TABLE = (
    "border-collapse:collapse;font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);"
    "color:var(--jp-ui-font-color1);font-variant-numeric:tabular-nums"
)
HEAD = (
    "padding:4px 16px 4px 0;vertical-align:top;color:var(--jp-ui-font-color2);font-weight:500;"
    "font-size:var(--jp-ui-font-size0)"
)
CELL = "padding:4px 16px 4px 0;vertical-align:top;white-space:pre-wrap;border-top:1px solid var(--jp-border-color2)"


def html_grid(found: Grid) -> str:
    """A table that looks as JupyterLab does, in both themes."""
    sides = ["right" if right else "left" for right in found.right]
    head = "".join(
        f'<th style="{HEAD};text-align:{side}">{escape(title)}</th>'
        for title, side in zip(found.titles, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{CELL};text-align:{side}">{_html_cell(cell, colour if place == 0 else None)}</td>'
            for place, (cell, side) in enumerate(zip(row, sides, strict=True))
        )
        + "</tr>"
        + (f'<tr><td></td><td colspan="{len(row) - 1}"><code>{escape(plain(note))}</code></td></tr>' if note else "")
        for row, colour, note in zip(found.rows, found.colours, found.notes, strict=True)
    )
    return f'<table style="{TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _html_cell(cell: str, colour: str | None) -> str:
    """The icon carries the hue, the word keeps the text's colour."""
    safe = escape(plain(cell))
    if colour is None or " " not in safe:
        return safe
    icon, rest = safe.split(" ", 1)
    return f'<span style="color:var({colour})">{icon}</span> {rest}'


def _html_lines(said: Sequence[str], colour: str | None) -> str:
    return "<br>".join(_html_cell(line, colour) for line in said)


def record_html(record: Record) -> str:
    """One record as a small table of names and words."""
    rows = "".join(
        f'<tr><th style="{HEAD};text-align:left;border-top:1px solid var(--jp-border-color2)">{escape(name)}</th>'
        f'<td style="{CELL};text-align:left">{_html_lines(said, _colour(record, name))}</td></tr>'
        for name, said in facts(record)
    )
    table = f'<table style="{TABLE}"><tbody>{rows}</tbody></table>'
    return table + html_grid(parameters(record)) if isinstance(record, Architecture) else table


def _colour(record: Record, name: str) -> str | None:
    value = getattr(record, name, None)
    return COLOURS.get(value) if isinstance(value, JobState) else None


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
    """One JSON document of a record, a list of them, or plain values."""
    from pydantic_core import to_json

    return to_json(value, indent=indent).decode()
