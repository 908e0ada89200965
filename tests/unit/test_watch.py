"""The one line that tells how a job goes."""

import io

from mlex_jupyter.types import Event, Job, JobSpec, JobState, RunTask, now
from mlex_jupyter.watch import PlainLines, Story, TerminalLine


def a_job(name: str = "run") -> Job:
    spec = JobSpec(task=RunTask(argv=("true",)))
    return Job(id="run-1", name=name, spec=spec, owner="me", state=JobState.WAITING, attempt=1, submitted=now())


def event(kind: str, **values: object) -> Event:
    return Event.model_validate({"id": 1, "time": now(), "subject": "run-1", "kind": kind, "values": values})


def test_a_story_is_told_from_events() -> None:
    story = Story(a_job())
    assert story.line() == "◷ Waiting run"
    assert story.hears(event("state", state="running"))
    assert story.hears(event("progress", done=3, total=50, unit="epoch", fraction=0.06, eta_s=130, score=None))
    assert story.hears(event("metrics", epoch=3, train_loss=0.41234, val_dice=0.8312))
    assert story.line() == "● Running run · epoch 3 of 50 · train loss 0.412 · val dice 0.831 · 2:10 left"
    assert not story.hears(event("note", text="saved"))
    assert story.hears(event("state", state="done"))
    assert story.line() == "✔ Done run"


def test_names_cannot_move_the_cursor() -> None:
    story = Story(a_job().model_copy(update={"name": "\x1b[2Jx"}))
    assert story.line() == "◷ Waiting \\x1b[2Jx"


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    stream = io.StringIO()
    line = TerminalLine(stream)
    line.say("one")
    line.say("two")
    line.end()
    assert stream.getvalue() == "\r\x1b[2Kone\r\x1b[2Ktwo\n"


def test_a_pipe_has_a_line_for_each_change() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines.say("one")
    lines.say("two")
    lines.end()
    assert stream.getvalue() == "one\ntwo\n"
