"""What a rule makes of an event: whether it fires, and the job with what the event is about in its words."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from mlex_jupyter.errors import Invalid, MlexError, nearest
from mlex_jupyter.jobs.happenings import GIVES, Facts
from mlex_jupyter.store.tables import Row
from mlex_jupyter.types import JobSpec, PredictTask, PretrainTask, Rule, RunTask, Task, TrainTask, Trial, checked
from mlex_jupyter.yamls import yaml_mapping

TASKS: dict[str, type[TrainTask | PretrainTask | PredictTask | RunTask]] = {
    "train": TrainTask,
    "pretrain": PretrainTask,
    "predict": PredictTask,
    "run": RunTask,
}
PLACE = re.compile(r"\{(\w+)\}")
DEEPEST = 8
"""So many rules in a row, one's job setting off the next, are surely a mistake."""


def why_not(rule: Rule, facts: Facts) -> str | None:
    """Why a rule does not fire, or None where it does."""
    if rule.on not in facts.on:
        return "something else happened"
    if not fnmatch.fnmatchcase(facts.values["name"], rule.match):
        return f"its name does not match {rule.match}"
    if missing := [tag for tag in rule.tags if tag not in facts.tags]:
        return f"it has no tag {missing[0]}"
    if rule.id in facts.chain and not rule.again:
        return "it came of this rule's own job (--again lets it)"
    if len(facts.chain) >= DEEPEST:
        return f"{DEEPEST} rules in a row led to it: no more"
    return None


def spec_of(rule: Rule, event: Row, facts: Facts) -> JobSpec:
    """The job that a rule asks for; the same event asks for the same."""
    key = f"rule {rule.id} event {event.id}"
    return JobSpec(task=task_of(rule, facts.values), target=rule.target, resources=rule.resources, key=key)


def task_of(rule: Rule, values: Mapping[str, str]) -> Task:
    """The task, with what the event is about in place of what stands in braces."""
    fields: dict[str, Any] = {}
    for field, text in rule.task.items():
        if field == "argv":
            fields[field] = tuple(_filled(word, values) for word in shlex.split(text))
        elif field in ("params", "arguments"):
            fields[field] = yaml_mapping(_filled(text, values))
        else:
            filled = _filled(text, values)
            fields[field] = int(filled) if filled.isdecimal() and field in ("version", "retries") else filled
    task: Task = checked(TASKS[rule.do], **fields)
    return task


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        if place[1] not in values:
            raise Invalid(f"There is no {place[0]} here: this has {', '.join(sorted(values))}.")
        return values[place[1]]

    return PLACE.sub(value, text)


def check(rule: Rule) -> None:
    """Refuse a rule that could never make a job."""
    known = GIVES[rule.on][1]
    for text in rule.task.values():
        for place in PLACE.findall(text):
            if place not in known:
                hint = nearest(place, known) or f"There are {', '.join(f'{{{one}}}' for one in known)}."
                raise Invalid(f"On {rule.on.value!r} there is no {{{place}}}.", hint=hint)
    task_of(rule, dict.fromkeys(known, "1"))


def tried(rule: Rule, event: Row, facts: Facts) -> Trial:
    """What a rule would have made of an event."""
    when = datetime.fromtimestamp(event.time, timezone.utc)
    task, why = None, why_not(rule, facts)
    if why is None:
        try:
            task = task_of(rule, facts.values)
        except MlexError as error:
            why = error.message
    says = (
        why
        or f"{rule.do} with {', '.join(f'{name} {_filled(text, facts.values)}' for name, text in rule.task.items())}"
    )
    return Trial(event=event.id, time=when, about=facts.values["name"], fires=task is not None, says=says, task=task)
