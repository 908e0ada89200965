"""How records look: text for terminals, HTML for notebooks, frames for pandas, from one table of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mlex_jupyter.faces import qualities
from mlex_jupyter.faces.ancestry import drawing, tree
from mlex_jupyter.faces.grids import Fact, Grid, html_facts, html_grid, text_facts, text_grid
from mlex_jupyter.faces.words import clock, plain, plural, size, spans, task_words, words
from mlex_jupyter.types import Architecture, Code, Entry, Job, JobState, Lineage, ModelReport, Quality, Record

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


def _from(found: Architecture) -> str:
    return f"source of {found.owner}, {found.version}" if found.owner else f"{found.distribution} {found.version}"


def _yes(check: Any) -> str:
    return "✔ ok" if check.ok else "✖ mend"


LEVELS = {"ok": "✔ ok", "warn": "! look", "problem": "✖ mend"}


def _verdict(report: Any) -> str:
    if not report.fits:
        return f"{report.model} does not suit {report.data}."
    warned = any(check.level == "warn" for check in report.checks)
    return f"{report.model} {'can be used on' if warned else 'suits'} {report.data}."


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
        _field("Note", "note"),
        _field("Made", "created", right=True),
    ),
    "StrokeInfo": (
        _field("Number", "number", right=True),
        Column("What", lambda stroke: f"{stroke.kind} of {stroke.of}" if stroke.of else stroke.kind),
        _field("State", "state"),
        Column("Pixels", lambda stroke: stroke.pixels or "", right=True),
        Column("Slices", lambda stroke: spans(stroke.slices)),
        _field("By", "author"),
        _field("When", "time", right=True),
    ),
    "SliceBalance": (
        _field("Slice", "z", right=True),
        _field("Pixels", "counts"),
        Column("Labelled", lambda found: f"{found.labelled:.2%}", right=True),
    ),
    "ZooEntry": (
        _field("Name", "name"),
        Column("Kind", lambda entry: f"model v{entry.version}" if entry.kind == "model" else "trains from zero"),
        _field("Title", "title"),
        Column("Score", _score),
        _field("Tags", "tags"),
        Column("Made", lambda entry: entry.created, right=True),
    ),
    "Model": (
        Column("Version", lambda model: f"v{model.version}"),
        _field("Name", "name"),
        _field("Aliases", "aliases"),
        _field("Title", "title"),
        Column("Score", _score),
        Column("Listed", lambda model: f"withdrawn {words(model.withdrawn)}" if model.withdrawn else ""),
        _field("Made", "created", right=True),
    ),
    "Entry": (
        _field("Name", "name"),
        _field("Version", "version"),
        _field("Title", "title"),
        _field("Kind", "kind"),
        _field("For", "applications"),
        _field("Imported", "imported", right=True),
    ),
    "FitCheck": (Column("", lambda check: LEVELS[check.level]), _field("What", "about"), _field("Says", "says")),
    "Experiment": (
        _field("Name", "name"),
        _field("Runs", "runs", right=True),
        Column("Not ended", lambda one: one.running or "", right=True),
        _field("Done", "done", right=True),
        Column("Best", lambda one: f"{one.best} (Dice {one.dice:.2f})" if one.best else ""),
        _field("Last", "last", right=True),
    ),
    "Architecture": (
        _field("Name", "name"),
        _field("Title", "title"),
        _field("Task", "task"),
        Column("From", lambda found: _from(found)),
    ),
    "Job": (
        _field("State", "state"),
        _field("Name", "name"),
        Column("Task", lambda job: job.spec.task.kind),
        Column("How far", _how_far),
        Column("Where", lambda job: job.spec.target),
        _field("Asked", "submitted", right=True),
    ),
    "Rule": (
        _field("Name", "name"),
        Column("On", lambda rule: rule.on.value + ("" if rule.match == "*" else f", {rule.match}")),
        Column("Does", lambda rule: " ".join([rule.do, *(f"{name}={text}" for name, text in rule.task.items())])),
        Column("Is", lambda rule: "on" if rule.enabled else "off"),
        _field("Fired", "fired", right=True),
        _field("Last", "last_fired", right=True),
        _field("Trouble", "message"),
    ),
    "Trial": (
        _field("Event", "event", right=True),
        _field("Time", "time"),
        _field("About", "about"),
        Column("Fires", lambda trial: "✔ yes" if trial.fires else "no"),
        _field("Says", "says"),
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
    "SliceQuality": (
        Column("Slice", lambda one: str(one.z), right=True),
        _field("Lowest", "low", right=True),
        _field("Highest", "high", right=True),
        _field("Mean", "mean", right=True),
        Column("Not numbers", lambda one: f"{one.bad:,}" if one.bad else "", right=True),
        Column("At the ends", lambda one: f"{one.at_ends:,}", right=True),
        Column("Empty", lambda one: "empty" if one.empty else ""),
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
        _field("notes", "meta"),
        _field("about", "description"),
        _field("made from", "derived_from"),
        Column("where", lambda data: f"{data.uri} ({data.reader})"),
        _field("checksum", "checksum"),
        _field("id", "id"),
        _field("owner", "owner"),
        Column("came by", lambda data: data.provenance and f"{data.provenance.software} on {data.provenance.host}"),
        _field("made", "created"),
    ),
    "LabelSet": (
        _field("name", "name"),
        _field("version", "version"),
        _field("pixels", "counts"),
        Column("slices", lambda labels: spans(labels.slices)),
        _field("note", "note"),
        _field("by", "author"),
        _field("where", "uri"),
        _field("id", "id"),
        _field("made", "created"),
    ),
    "Draft": (
        _field("name", "name"),
        Column("stands on", lambda draft: f"version {draft.version}"),
        Column("unsaved", lambda draft: "yes: mlex save-labels DATA LABELS keeps it" if draft.unsaved else "no"),
        _field("classes", "classes"),
        Column("to undo", lambda draft: plural(draft.undo, "stroke")),
        Column("to redo", lambda draft: plural(draft.redo, "stroke")),
        Column("refused", lambda draft: plural(draft.refused, "stroke") if draft.refused else ""),
        _field("number", "number"),
        _field("changed", "changed"),
    ),
    "Painted": (
        _field("done", "kind"),
        _field("number", "number"),
        _field("pixels", "pixels"),
        Column("slices", lambda painted: spans(sorted({tile.z for tile in painted.tiles}))),
        Column("to undo", lambda painted: plural(painted.undo, "stroke")),
        Column("to redo", lambda painted: plural(painted.redo, "stroke")),
    ),
    "LabelComparison": (
        Column("compared", lambda found: f"{found.name}, version {found.version} to {found.other}"),
        _field("labelled", "added"),
        _field("unlabelled", "removed"),
        _field("of another class", "changed"),
        Column(
            "by class",
            lambda found: Lines(tuple(f"{one.name}: {one.added} more, {one.removed} less" for one in found.classes)),
        ),
        Column("slices", lambda found: spans(found.slices) or "none differs"),
    ),
    "Exported": (
        _field("path", "path"),
        _field("format", "format"),
        _field("version", "version"),
        Column("size", lambda found: size(found.nbytes)),
    ),
    "Architecture": (
        _field("name", "name"),
        _field("title", "title"),
        _field("about", "description"),
        _field("takes", "inputs"),
        _field("gives", "outputs"),
        Column("from", lambda found: f"{_from(found)}, {found.builder}"),
    ),
    "Verification": (
        Column("state", lambda found: VERIFIED[found.state]),
        _field("name", "name"),
        _field("says", "says"),
        _field("checksum", "checksum"),
        _field("expected", "expected"),
        _field("changed", "changed"),
        _field("missing", "missing"),
        _field("added", "added"),
        _field("job", "job"),
        _field("read", "time"),
    ),
    "Quality": (
        _field("name", "name"),
        Column("looked at", qualities.looked_at),
        Column("values", qualities.values),
        Column("most", qualities.most),
        Column("not numbers", qualities.bad),
        Column("at the ends", qualities.at_ends),
        Column("classes", qualities.classes),
        Column("histogram", lambda found: qualities.bars(found.histogram)),
        Column("to mind", lambda found: Lines(found.warnings or ("Nothing stands out.",))),
    ),
    "ModelReport": (
        _field("name", "name"),
        Column("passes", lambda report: report.ok),
        Column("listed", lambda report: "yes" if report.listed else "no: `mlex ingest` lists it"),
    ),
    "Model": (
        Column("name", lambda model: f"{model.name}@{model.version}"),
        _field("also", "aliases"),
        _field("title", "title"),
        _field("withdrawn", "withdrawn"),
        _field("about", "description"),
        _field("tags", "tags"),
        Column("network", lambda model: f"{model.architecture} ({model.framework}), {model.task}"),
        _field("parameters", "params"),
        _field("classes", "classes"),
        _field("scores", "metrics"),
        _field("trained on", "trained_on"),
        _field("run", "run"),
        _field("made from", "parent"),
        Column("owner", lambda model: f"{model.owner}, {model.visibility}"),
        _field("project", "project"),
        _field("licence", "license"),
        _field("cite as", "citation"),
        _field("image", "image"),
        _field("weights", "weights"),
        _field("id", "id"),
        _field("made", "created"),
    ),
    "Entry": (
        Column("name", lambda entry: f"{entry.name} {entry.version}"),
        _field("title", "title"),
        _field("about", "description"),
        _field("kind", "kind"),
        _field("for", "applications"),
        _field("owner", "owner"),
        _field("reference", "reference"),
        _field("image", "image"),
        Column("command", lambda entry: Lines(entry.command)),
        _field("left aside", "left_aside"),
        _field("imported", "imported"),
    ),
    "FitReport": (Column("", lambda report: _verdict(report)),),
    "ZooPage": (
        Column("found", lambda page: f"{'more than ' if page.more_than_total else ''}{page.total}"),
        Column("more", lambda page: f"--past {page.next}" if page.next else ""),
    ),
    "Comparison": (Column("the same", lambda found: plural(found.same, "parameter")),),
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
NOTES: dict[str, Callable[[Any], str | None]] = {
    "Check": lambda check: check.mend,
    "FitCheck": lambda check: check.mend,
}
VERIFIED = {"noted": "✔ noted", "same": "✔ the same", "changed": "✖ changed", "running": "● running"}
PARAMETERS = ("Parameter", "Default", "Allowed", "Meaning")


# ---------------------------------------------------------------- from records to words


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


def facts(record: Record) -> list[Fact]:
    """What is said of one record; what it does not say is left out."""
    plainly = (_field(name.replace("_", " "), name) for name in type(record).model_fields)
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
    "FitReport": lambda report: grid(report.checks),
    "ModelReport": lambda report: grid(report.checks),
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
    """One JSON document of a record, a list of them, or plain values."""
    from pydantic_core import to_json

    return to_json(value, indent=indent).decode()
