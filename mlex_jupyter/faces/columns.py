"""Columns: what lists show of each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlex_jupyter.faces.cells import Column, field, from_where
from mlex_jupyter.faces.words import STANDS, plural, size, spans, words
from mlex_jupyter.types import Job, JobState


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


LEVELS = {"ok": "✔ ok", "warn": "! look", "problem": "✖ mend"}

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
    "Tuning": (
        Column("State", lambda one: STANDS[one.state]),
        field("Name", "name"),
        Column("Trials", lambda one: f"{one.asked - one.running} of {one.trials}", right=True),
        Column("At work", lambda one: one.running or "", right=True),
        Column("Pruned", lambda one: one.pruned or "", right=True),
        Column("Failed", lambda one: one.failed or "", right=True),
        Column("Best", lambda one: f"{one.best} ({one.spec.metric} {one.value:.3g})" if one.best else ""),
        field("Asked", "created", right=True),
        field("Trouble", "message"),
    ),
    "Architecture": (
        field("Name", "name"),
        field("Title", "title"),
        field("Task", "task"),
        Column("From", lambda found: from_where(found)),
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
# What stands under a row, whole, because people copy it.
NOTES: dict[str, Callable[[Any], str | None]] = {
    "Check": lambda check: check.mend,
    "FitCheck": lambda check: check.mend,
}
PARAMETERS = ("Parameter", "Default", "Allowed", "Meaning")
