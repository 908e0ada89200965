"""The one line that tells how a job goes."""

import io

from mlex_jupyter.faces.watch import PlainLines, Story, TerminalLine
from mlex_jupyter.types import Event, Job, JobSpec, JobState, RunTask, now


def a_job(name: str = "run") -> Job:
    spec = JobSpec(task=RunTask(argv=("true",)))
    return Job(id="run-1", name=name, spec=spec, owner="me", state=JobState.WAITING, attempt=1, submitted=now())


def event(kind: str, **values: object) -> Event:
    return Event.model_validate({"id": 1, "time": now(), "subject": "run-1", "kind": kind, "values": values})


def test_a_story_is_told_from_events() -> None:
    story = Story(a_job())
    assert story.line() == "◷ Waiting run"
    story.hear(event("state", state="running"))
    story.hear(event("progress", done=3, total=50, unit="epoch", fraction=0.06, eta_s=130, score=0.8312))
    story.hear(event("metrics", epoch=3, loss=0.41234))
    assert story.line() == "● Running run · epoch 3 of 50 · loss 0.412 · Dice 0.83 · 2:10 left"
    story.hear(event("note", text="saved"))
    story.hear(event("state", state="done"))
    assert story.line() == "✔ Done run"


def test_learning_without_labels_tells_how_many_partners_it_finds() -> None:
    story = Story(a_job())
    story.hear(event("state", state="running"))
    story.hear(event("epoch", epoch=2, loss=3.1, dice=None, pairs_found=0.25))
    assert story.line() == "● Running run · partners found 0.25"


def test_a_step_is_a_state_or_what_is_counted() -> None:
    story = Story(a_job())
    before = story.stands()
    story.hear(event("metrics", loss=0.4))
    assert story.stands() == before
    story.hear(event("progress", done=1, total=2, unit="epoch", fraction=0.5))
    assert story.stands() != before


def test_names_cannot_move_the_cursor() -> None:
    story = Story(a_job().model_copy(update={"name": "\x1b[2Jx"}))
    assert story.line() == "◷ Waiting \\x1b[2Jx"


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    stream = io.StringIO()
    line = TerminalLine(stream)
    line.say("one", True)
    line.say("two", False)
    line.end()
    assert stream.getvalue() == "\r\x1b[2Kone\r\x1b[2Ktwo\n"


def test_a_pipe_has_a_line_for_each_step() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines.say("one", True)
    lines.say("two", False)
    lines.say("three", True)
    lines.end()
    assert stream.getvalue() == "one\nthree\n"
