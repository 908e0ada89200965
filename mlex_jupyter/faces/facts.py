"""Facts: what is shown of one record, by its type; a type that is not here shows its fields."""

from __future__ import annotations

from typing import Any

from mlex_jupyter.faces import qualities
from mlex_jupyter.faces.cells import Column, Lines, field, from_where
from mlex_jupyter.faces.words import STANDS, clock, lasting, plural, size, spans, task_words, words
from mlex_jupyter.types import Architecture, Measurement, Params, Tuning, Varied

VERIFIED: dict[str, str] = {"noted": "✔ noted", "same": "✔ the same", "changed": "✖ changed", "running": "● running"}


def _sees(found: Architecture) -> str:
    if not found.finite_halo:
        return "the whole slice: tiles of large ones are blended"
    return f"{found.halo} pixels around each" if found.halo else ""


def _without_labels(found: Architecture) -> str:
    """The parameters of `mlex pretrain`, those of the network aside."""
    form: Any = (found.pretrain_schema or {}).get("properties", {})
    own = [f"{name}={words(about.get('default'))}" for name, about in form.items() if about["x-group"] == "training"]
    return f"mlex pretrain {found.name}: {', '.join(own)}" if own else ""


def _preset(name: str, params: Params) -> str:
    return f"{name}: {', '.join(f'{one}={words(value)}' for one, value in params.items())}"


def _verdict(report: Any) -> str:
    if not report.fits:
        return f"{report.model} does not suit {report.data}."
    warned = any(check.level == "warn" for check in report.checks)
    return f"{report.model} {'can be used on' if warned else 'suits'} {report.data}."


def varied(one: Varied) -> str:
    """A parameter, and what it may be."""
    if one.kind == "choice":
        return f"{one.name}: {words(one.choices)}"
    steps = ", by orders of magnitude" if one.log else f", in steps of {words(one.step)}" if one.step else ""
    return f"{one.name}: {words(one.low)} to {words(one.high)}{steps}"


def _a_step(found: Measurement) -> str:
    by_steps = found.largest_batch is not None
    return f"{found.step_s:.3g} s, measured on {found.measured}" if by_steps else "it learns all at once"


def _an_epoch(found: Measurement) -> str:
    if found.largest_batch is None:
        return ""
    steps = plural(found.steps_per_epoch, "step")
    return f"{lasting(found.epoch_s)}: {steps}, and {found.epoch_end_s:.2g} s to judge"


def _epochs(found: Measurement) -> str:
    return f"{plural(found.epochs, 'epoch')}, and {found.start_s:.2g} s to begin"


def _memory(found: Measurement) -> str:
    over = "; taken in pieces, since the batch does not fit at once" if found.in_pieces else ""
    return f"{found.memory_gb:.2g} of {found.memory_limit_gb:.3g} GB{over}"


def _largest(found: Measurement, name: str, unit: str) -> str:
    """What is asked for, and the largest that fits."""
    most = getattr(found, f"largest_{name}")
    how = "tried out" if name in found.tried else "worked out"
    return "" if most is None else f"{getattr(found, name)} {unit}; up to {most} fit ({how})"


def _watch(found: Tuning) -> str:
    return f"mlex leaderboard {found.name} --wait" if found.state == "running" else ""


def trials(found: Tuning) -> str:
    """How many there are, and how they stand."""
    stand = {"done": found.done, "pruned": found.pruned, "failed": found.failed, "at work": found.running}
    told = ", ".join(f"{count} {state}" for state, count in stand.items() if count)
    return f"{found.asked - found.running} of {found.trials}{f': {told}' if told else ''}"


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
    "Tuning": (
        Column("tuning", lambda one: f"{one.name}, {STANDS[one.state]}"),
        Column("of", lambda one: task_words(one.spec.task)),
        Column("varied", lambda one: Lines(tuple(map(varied, one.space)))),
        Column("trials", trials),
        Column("best", lambda one: one.best and f"{one.best}, {one.spec.metric} {one.value:.3g}"),
        field("trouble", "message"),
        field("asked", "created"),
    ),
    "Estimate": (
        Column("training", lambda found: f"{found.model} on {found.data}, at {found.target}"),
        Column("on", lambda found: found.measurement.machine),
        Column("a step", lambda found: _a_step(found.measurement)),
        Column("an epoch", lambda found: _an_epoch(found.measurement)),
        Column("in all", lambda found: f"about {lasting(found.measurement.total_s)}: {_epochs(found.measurement)}"),
        Column("memory", lambda found: _memory(found.measurement)),
        Column("batch", lambda found: _largest(found.measurement, "batch", "crops")),
        Column("patch", lambda found: _largest(found.measurement, "patch", "pixels")),
    ),
    "Leaderboard": (
        Column("tuning", lambda found: f"{found.tuning.name}, {STANDS[found.tuning.state]}"),
        Column("of", lambda found: task_words(found.tuning.spec.task)),
        Column("varied", lambda found: Lines(tuple(map(varied, found.tuning.space)))),
        Column("trials", lambda found: trials(found.tuning)),
        Column("left", lambda found: found.eta_s and f"about {clock(found.eta_s)}"),
        Column("trouble", lambda found: found.tuning.message),
        Column("watch it", lambda found: _watch(found.tuning)),
        Column("keep the best", lambda found: found.publish),
    ),
    "Architecture": (
        field("name", "name"),
        field("title", "title"),
        field("about", "description"),
        field("takes", "inputs"),
        field("gives", "outputs"),
        Column("sees", _sees),
        Column("presets", lambda found: Lines(tuple(_preset(*one) for one in found.presets.items()))),
        Column("without labels", _without_labels),
        Column("from", lambda found: f"{from_where(found)}, {found.builder}"),
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
        Column("fit", lambda tried: Lines(tuple(f"{check.about}: {check.says}" for check in tried.fit.checks))),
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
