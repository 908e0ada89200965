"""Values in words, as people say them: `67 MB`, `12 s ago`, `● Running`, `epoch 3 of 50 · 2:10 left`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from mlex_jupyter.types import (
    ClassInfo,
    EstimateTask,
    Event,
    JobState,
    Output,
    PredictTask,
    PretrainTask,
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

STANDS = {state.value: f"{icon} {state.value.capitalize()}" for state, icon in ICONS.items()}
"""How a tuning stands."""


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


def lasting(seconds: float) -> str:
    """`0.83 s`, and from a minute on `2:10`."""
    return f"{seconds:.2g} s" if seconds < 60 else clock(seconds)


def plural(count: int, noun: str) -> str:
    """`1 slice`, `3 slices`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def spans(numbers: Sequence[int]) -> str:
    """`3, 7–9, 12`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in found)


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
            return f"{value:.4g}" if abs(value) < 1e4 or abs(value) >= 1e15 else f"{value:.0f}"
        case Progress():
            left = f" · {clock(value.eta_s or 0)} left" if (value.eta_s or 0) >= 1 else ""
            score = f" · Dice {value.score:.2f}" if value.score is not None else ""
            return f"{value.unit} {value.done} of {value.total}{score}{left}"
        case ClassInfo():
            return value.name
        case Output():
            return f"{value.kind} {value.name}"
        case Event():
            told = plain(words({name: part for name, part in value.values.items() if part is not None}))
            return f"{value.time.astimezone():%H:%M:%S} {plain(value.subject)} {plain(value.kind)}: {told}"
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
        case EstimateTask():
            return f"estimate the training of {task.model} on {task.data} with {task.labels}"
        case TrainTask():
            return f"train {task.model} on {task.data} with {task.labels}"
        case PretrainTask():
            return f"pretrain {task.model} on {task.data}"
        case PredictTask():
            version = f" v{task.version}" if task.version else ""
            return f"predict {task.data} with {task.model}{version}"
        case RunTask():
            return f"call {task.code.name}" if task.code and task.code.name else f"run {shlex.join(task.argv)}"


def plain_lines(text: str) -> str:
    """The same of each line."""
    return "\n".join(map(plain, text.split("\n")))


def plain(text: str) -> str:
    """A text that cannot move a terminal's cursor: what is not printable is shown as an escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
