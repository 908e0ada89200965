"""What faces show of each type: the columns of its table, and the facts of one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlex_jupyter.faces import qualities
from mlex_jupyter.faces.words import clock, plural, size, spans, task_words, words
from mlex_jupyter.types import Architecture, Job, JobState, Params

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


def field(title: str, name: str, *, right: bool = False) -> Column:
    """A field as it stands."""
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


def _sees(found: Architecture) -> str:
    if not found.finite_halo:
        return "the whole slice: tiles of large ones are blended"
    return f"{found.halo} pixels around each" if found.halo else ""


def _preset(name: str, params: Params) -> str:
    return f"{name}: {', '.join(f'{one}={words(value)}' for one, value in params.items())}"


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
        field("Name", "name"),
        Column("Shape", lambda data: " × ".join(map(str, data.shape))),
        field("Type", "dtype"),
        Column("Size", lambda data: size(data.nbytes), right=True),
        field("Tags", "tags"),
        field("Made", "created", right=True),
    ),
    "LabelSet": (
        field("Name", "name"),
        Column("Version", lambda labels: f"v{labels.version}"),
        Column("Labelled", lambda labels: plural(len(labels.slices), "slice")),
        field("Pixels", "counts"),
        field("Note", "note"),
        field("Made", "created", right=True),
    ),
    "StrokeInfo": (
        field("Number", "number", right=True),
        Column("What", lambda stroke: f"{stroke.kind} of {stroke.of}" if stroke.of else stroke.kind),
        field("State", "state"),
        Column("Pixels", lambda stroke: stroke.pixels or "", right=True),
        Column("Slices", lambda stroke: spans(stroke.slices)),
        field("By", "author"),
        field("When", "time", right=True),
    ),
    "ClassFound": (
        field("Class", "name"),
        Column("Share", lambda found: f"{found.fraction:.2%}", right=True),
        field("Voxels", "voxels", right=True),
        field("Objects", "objects", right=True),
        field("Mean size", "mean_size", right=True),
        field("Median", "median_size", right=True),
        field("Largest", "largest_size", right=True),
    ),
    "SliceFound": (
        field("Slice", "z", right=True),
        Column("Uncertainty", lambda found: f"{found.uncertainty:.1%}", right=True),
    ),
    "SliceBalance": (
        field("Slice", "z", right=True),
        field("Pixels", "counts"),
        Column("Labelled", lambda found: f"{found.labelled:.2%}", right=True),
    ),
    "ZooEntry": (
        field("Name", "name"),
        Column("Kind", lambda entry: f"model v{entry.version}" if entry.kind == "model" else "trains from zero"),
        field("Title", "title"),
        Column("Score", _score),
        field("Tags", "tags"),
        Column("Made", lambda entry: entry.created, right=True),
    ),
    "Model": (
        Column("Version", lambda model: f"v{model.version}"),
        field("Name", "name"),
        field("Aliases", "aliases"),
        field("Title", "title"),
        Column("Score", _score),
        Column("Listed", lambda model: f"withdrawn {words(model.withdrawn)}" if model.withdrawn else ""),
        field("Made", "created", right=True),
    ),
    "Entry": (
        field("Name", "name"),
        field("Version", "version"),
        field("Title", "title"),
        field("Kind", "kind"),
        field("For", "applications"),
        field("Imported", "imported", right=True),
    ),
    "FitCheck": (Column("", lambda check: LEVELS[check.level]), field("What", "about"), field("Says", "says")),
    "Experiment": (
        field("Name", "name"),
        field("Runs", "runs", right=True),
        Column("Not ended", lambda one: one.running or "", right=True),
        field("Done", "done", right=True),
        Column("Best", lambda one: f"{one.best} (Dice {one.dice:.2f})" if one.best else ""),
        field("Last", "last", right=True),
    ),
    "Architecture": (
        field("Name", "name"),
        field("Title", "title"),
        field("Task", "task"),
        Column("From", lambda found: _from(found)),
    ),
    "Job": (
        field("State", "state"),
        field("Name", "name"),
        Column("Task", lambda job: job.spec.task.kind),
        Column("How far", _how_far),
        Column("Where", lambda job: job.spec.target),
        field("Asked", "submitted", right=True),
    ),
    "Rule": (
        field("Name", "name"),
        Column("On", lambda rule: rule.on.value + ("" if rule.match == "*" else f", {rule.match}")),
        Column("Does", lambda rule: " ".join([rule.do, *(f"{name}={text}" for name, text in rule.task.items())])),
        Column("Is", lambda rule: "on" if rule.enabled else "off"),
        field("Fired", "fired", right=True),
        field("Last", "last_fired", right=True),
        field("Trouble", "message"),
    ),
    "Trial": (
        field("Event", "event", right=True),
        field("Time", "time"),
        field("About", "about"),
        Column("Fires", lambda trial: "✔ yes" if trial.fires else "no"),
        field("Says", "says"),
    ),
    "TargetInfo": (
        field("Name", "name"),
        Column("Ready", lambda target: "✔ Ready" if target.ready else f"✖ {target.reason or 'Not ready'}"),
        Column("Cores free", lambda target: f"{target.cpus_free} of {target.cpus}", right=True),
        Column(
            "GPUs free", lambda target: f"{target.gpus_free} of {target.gpus}" if target.gpus else "none", right=True
        ),
        Column("Memory", lambda target: f"{target.memory_gb:.0f} GB", right=True),
        field("Title", "title"),
    ),
    "SliceQuality": (
        Column("Slice", lambda one: str(one.z), right=True),
        field("Lowest", "low", right=True),
        field("Highest", "high", right=True),
        field("Mean", "mean", right=True),
        Column("Not numbers", lambda one: f"{one.bad:,}" if one.bad else "", right=True),
        Column("At the ends", lambda one: f"{one.at_ends:,}", right=True),
        Column("Empty", lambda one: "empty" if one.empty else ""),
    ),
    "Check": (Column("", _yes), field("What", "name"), field("Says", "says")),
    "Event": (
        field("Id", "id"),
        field("Time", "time"),
        field("About", "subject"),
        field("Kind", "kind"),
        field("Values", "values"),
    ),
}
# What is shown of one record; a type that is not here shows its fields.
FACTS: dict[str, tuple[Column, ...]] = {
    "Dataset": (
        field("name", "name"),
        Column("shape", lambda data: " × ".join(map(str, data.shape))),
        Column("type", lambda data: f"{data.dtype}, {data.axes}"),
        Column("chunks", lambda data: " × ".join(map(str, data.chunks or ()))),
        Column("size", lambda data: size(data.nbytes)),
        Column("pixel", lambda data: " × ".join(f"{side:g}" for side in data.pixel_size or ())),
        field("unit", "pixel_unit"),
        field("classes", "classes"),
        field("tags", "tags"),
        field("notes", "meta"),
        field("about", "description"),
        field("made from", "derived_from"),
        Column("where", lambda data: f"{data.uri} ({data.reader})"),
        field("checksum", "checksum"),
        field("id", "id"),
        field("owner", "owner"),
        Column("came by", lambda data: data.provenance and f"{data.provenance.software} on {data.provenance.host}"),
        field("made", "created"),
    ),
    "LabelSet": (
        field("name", "name"),
        field("version", "version"),
        field("pixels", "counts"),
        Column("slices", lambda labels: spans(labels.slices)),
        field("note", "note"),
        field("by", "author"),
        field("where", "uri"),
        field("id", "id"),
        field("made", "created"),
    ),
    "Draft": (
        field("name", "name"),
        Column("stands on", lambda draft: f"version {draft.version}"),
        Column("unsaved", lambda draft: "yes: mlex save-labels DATA LABELS keeps it" if draft.unsaved else "no"),
        field("classes", "classes"),
        Column("to undo", lambda draft: plural(draft.undo, "stroke")),
        Column("to redo", lambda draft: plural(draft.redo, "stroke")),
        Column("refused", lambda draft: plural(draft.refused, "stroke") if draft.refused else ""),
        field("number", "number"),
        field("changed", "changed"),
    ),
    "Painted": (
        field("done", "kind"),
        field("number", "number"),
        field("pixels", "pixels"),
        Column("slices", lambda painted: spans(sorted({tile.z for tile in painted.tiles}))),
        Column("to undo", lambda painted: plural(painted.undo, "stroke")),
        Column("to redo", lambda painted: plural(painted.redo, "stroke")),
    ),
    "LabelComparison": (
        Column("compared", lambda found: f"{found.name}, version {found.version} to {found.other}"),
        field("labelled", "added"),
        field("unlabelled", "removed"),
        field("of another class", "changed"),
        Column(
            "by class",
            lambda found: Lines(tuple(f"{one.name}: {one.added} more, {one.removed} less" for one in found.classes)),
        ),
        Column("slices", lambda found: spans(found.slices) or "none differs"),
    ),
    "Exported": (
        field("path", "path"),
        field("format", "format"),
        field("version", "version"),
        Column("size", lambda found: size(found.nbytes)),
    ),
    "Architecture": (
        field("name", "name"),
        field("title", "title"),
        field("about", "description"),
        field("takes", "inputs"),
        field("gives", "outputs"),
        Column("sees", _sees),
        Column("presets", lambda found: Lines(tuple(_preset(*one) for one in found.presets.items()))),
        Column("from", lambda found: f"{_from(found)}, {found.builder}"),
    ),
    "Verification": (
        Column("state", lambda found: VERIFIED[found.state]),
        field("name", "name"),
        field("says", "says"),
        field("checksum", "checksum"),
        field("expected", "expected"),
        field("changed", "changed"),
        field("missing", "missing"),
        field("added", "added"),
        field("job", "job"),
        field("read", "time"),
    ),
    "Quality": (
        field("name", "name"),
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
        field("name", "name"),
        Column("passes", lambda report: report.ok),
        Column("listed", lambda report: "yes" if report.listed else "no: `mlex ingest` lists it"),
    ),
    "Model": (
        Column("name", lambda model: f"{model.name}@{model.version}"),
        field("also", "aliases"),
        field("title", "title"),
        field("withdrawn", "withdrawn"),
        field("about", "description"),
        field("tags", "tags"),
        Column("network", lambda model: f"{model.architecture} ({model.framework}), {model.task}"),
        field("parameters", "params"),
        field("classes", "classes"),
        field("scores", "metrics"),
        field("trained on", "trained_on"),
        field("run", "run"),
        field("made from", "parent"),
        Column("owner", lambda model: f"{model.owner}, {model.visibility}"),
        field("project", "project"),
        field("licence", "license"),
        field("cite as", "citation"),
        field("image", "image"),
        field("weights", "weights"),
        field("id", "id"),
        field("made", "created"),
    ),
    "Entry": (
        Column("name", lambda entry: f"{entry.name} {entry.version}"),
        field("title", "title"),
        field("about", "description"),
        field("kind", "kind"),
        field("for", "applications"),
        field("owner", "owner"),
        field("reference", "reference"),
        field("image", "image"),
        Column("command", lambda entry: Lines(entry.command)),
        field("left aside", "left_aside"),
        field("imported", "imported"),
    ),
    "FitReport": (Column("", lambda report: _verdict(report)),),
    "Segmented": (
        Column("slices", lambda found: len(found.slices)),
        Column("uncertainty", lambda found: f"{found.uncertainty:.1%}"),
    ),
    "Tried": (
        Column("fit", lambda tried: Lines([f"{check.about}: {check.says}" for check in tried.fit.checks])),
        field("slice", "z"),
        Column("uncertainty", lambda tried: f"{tried.uncertainty:.1%}"),
        field("picture", "picture"),
        field("run", "run"),
    ),
    "ZooPage": (
        Column("found", lambda page: f"{'more than ' if page.more_than_total else ''}{page.total}"),
        Column("more", lambda page: f"--past {page.next}" if page.next else ""),
    ),
    "Comparison": (Column("the same", lambda found: plural(found.same, "parameter")),),
    "Job": (
        field("state", "state"),
        field("progress", "progress"),
        field("why", "message"),
        field("reason", "reason"),
        field("to do", "hint"),
        field("name", "name"),
        field("id", "id"),
        Column("task", lambda job: task_words(job.spec.task)),
        Column("parameters", lambda job: getattr(job.spec.task, "params", None)),
        Column("where", lambda job: job.spec.target),
        Column("after", lambda job: job.spec.after),
        field("scores", "metrics"),
        field("made", "outputs"),
        field("asked", "submitted"),
        Column(
            "took", lambda job: clock((job.ended - job.started).total_seconds()) if job.ended and job.started else ""
        ),
    ),
    "Why": (
        field("state", "state"),
        field("name", "name"),
        field("why", "reason"),
        Column("to do", lambda why: Lines(why.hints)),
        Column("log", lambda why: Lines(why.log_tail)),
    ),
}
# What stands under a row, whole, because people copy it.
NOTES: dict[str, Callable[[Any], str | None]] = {
    "Check": lambda check: check.mend,
    "FitCheck": lambda check: check.mend,
}
VERIFIED: dict[str, str] = {"noted": "✔ noted", "same": "✔ the same", "changed": "✖ changed", "running": "● running"}
PARAMETERS = ("Parameter", "Default", "Allowed", "Meaning")
