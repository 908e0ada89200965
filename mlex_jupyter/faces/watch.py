"""Waiting for a job, with one line that tells how it goes: "epoch 3 of 50 · loss 0.41 · Dice 0.83 · 2:10 left".

An interrupt ends the waiting and never the job.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from mlex_jupyter.faces.boards import live
from mlex_jupyter.faces.grids import cut
from mlex_jupyter.faces.words import clock, plain, state_word
from mlex_jupyter.types import Event, Job, JobState, Leaderboard

if TYPE_CHECKING:
    from mlex_jupyter.app import Mlex
    from mlex_jupyter.sync import Engine

LOOK_EVERY_S = 0.2


class Teller(Protocol):
    """Shows the newest line of a job."""

    def say(self, line: str, step: bool) -> None:
        """Show this line, in place of the last one where that can be done; a step is worth a line of its own."""

    def end(self) -> None:
        """Nothing more will be said."""


class StopWaiting(KeyboardInterrupt):
    """Interrupted while waiting; what was waited for goes on."""

    def __init__(self, name: str, back: str = "wait", end: str = "cancel") -> None:
        self.message = f"Stopped waiting; {name} goes on."
        self.hint = f"Come back with `mlex {back} {name}`, or end it with `mlex {end} {name}`."
        super().__init__(f"{self.message} {self.hint}")


def waiting(engine: Engine, job: Job, tell: Callable[[], Teller], timeout_s: float | None = None) -> Job:
    """Wait for a job; a failure is an error, and an interrupt says how to come back."""
    teller = tell()
    try:
        for told in engine.iterate(_told(engine.mlex, job, timeout_s)):
            if isinstance(told, Job):
                return told
            teller.say(told.line, told.step)
    except KeyboardInterrupt:
        raise StopWaiting(job.name) from None
    finally:
        teller.end()
    raise AssertionError("a wait ends with its job or an error")


def following(engine: Engine, board: Leaderboard, tell: Callable[[], Teller]) -> Leaderboard:
    """Wait for a tuning, its leaderboard before one's eyes; an interrupt says how to come back."""
    teller, name, before = tell(), board.tuning.name, None
    try:
        for board in engine.iterate(_boards(engine.mlex, name)):
            if (line := live(board)) != before:
                teller.say(line, step=before is None or line.split("\n")[0] != before.split("\n")[0])
                before = line
    except KeyboardInterrupt:
        raise StopWaiting(name, "leaderboard --wait", "tune-cancel") from None
    finally:
        teller.end()
    return engine.run(engine.mlex.leaderboard(name, wait=True))  # a failure is an error


async def _boards(mlex: Mlex, name: str) -> AsyncIterator[Leaderboard]:
    while True:
        board = await mlex.tuning(name)
        yield board
        if board.tuning.state != "running":
            return
        await mlex.changed(within_s=1)
        await asyncio.sleep(LOOK_EVERY_S)


@dataclass(frozen=True)
class Told:
    """How a job goes."""

    line: str
    step: bool
    """Whether its state or what it counts has changed, and not only a measured value."""


async def _told(mlex: Mlex, job: Job, timeout_s: float | None) -> AsyncIterator[Told | Job]:
    """A line whenever it changes, and the job when it has ended."""
    story = Story(job)
    yield Told(story.line(), step=True)
    ended = asyncio.create_task(mlex.wait(job.id, timeout_s=timeout_s))
    after = 0
    try:
        while True:
            done, _ = await asyncio.wait([ended], timeout=LOOK_EVERY_S)
            for event in await mlex.events(after=after, subject=job.id):
                after = event.id
                before, stood = story.line(), story.stands()
                story.hear(event)
                if story.line() != before:
                    yield Told(story.line(), step=story.stands() != stood)
            if done:
                yield await ended
                return
    finally:
        ended.cancel()


class Story:
    """What is known of a job from its events."""

    def __init__(self, job: Job) -> None:
        self.name = job.name
        self.state = job.state
        self.progress: dict[str, Any] = job.progress.model_dump() if job.progress else {}
        self.metrics: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        """Take an event in."""
        if event.kind == "state":
            self.state = JobState(str(event.values["state"]))
        elif event.kind == "progress":
            self.progress = dict(event.values)
        elif event.kind == "epoch" and isinstance(found := event.values.get("pairs_found"), float):
            self.metrics["partners_found"] = found
        elif event.kind == "metrics":
            numbers = {key: value for key, value in event.values.items() if isinstance(value, int | float)}
            self.metrics.update({key: value for key, value in numbers.items() if "loss" in key})

    def stands(self) -> tuple[JobState, Any]:
        """The state, and how many are done of what is counted."""
        return self.state, self.progress.get("done")

    def line(self) -> str:
        """How it goes, in one line."""
        return " · ".join([f"{state_word(self.state)} {plain(self.name)}", *self._facts()])

    def _facts(self) -> Iterable[str]:
        if self.state is not JobState.RUNNING:
            return
        if "total" in self.progress:
            yield f"{plain(str(self.progress['unit']))} {self.progress['done']} of {self.progress['total']}"
        for key, value in self.metrics.items():
            yield f"{plain(key.replace('_', ' '))} {value:.3g}"
        if (score := self.progress.get("score")) is not None:
            yield f"Dice {score:.2f}"
        if (left := self.progress.get("eta_s") or 0) >= 1:
            yield f"{clock(left)} left"


class TerminalLine:
    """A line, or some, that are written over."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lines = 1

    def say(self, line: str, step: bool) -> None:
        """Write over what was said last."""
        size = shutil.get_terminal_size()
        lines = [cut(one, size.columns - 1) for one in line.split("\n")[: max(1, size.lines - 1)]]
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        self.stream.write(f"\r{up}\x1b[{'J' if up else '2K'}" + "\n".join(lines))
        self.stream.flush()
        self._lines = len(lines)

    def end(self) -> None:
        """Leave the last line standing."""
        self.stream.write("\n")
        self.stream.flush()


class PlainLines:
    """A line for each step, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, line: str, step: bool) -> None:
        """Write a line, the first of several."""
        if step:
            print(line.split("\n")[0], file=self.stream, flush=True)

    def end(self) -> None:
        """There is nothing to clear."""


class NotebookLine:
    """One output of a cell that is updated."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def say(self, line: str, step: bool) -> None:
        """Put this line in place of the last."""
        self._handle.update({"text/plain": line}, raw=True)

    def end(self) -> None:
        """Leave the last line standing."""


def in_notebook() -> bool:
    """Whether this process is a kernel whose cells can show things."""
    shell = sys.modules.get("IPython")
    here = shell.get_ipython() if shell else None
    return getattr(here, "kernel", None) is not None


def teller() -> Teller:
    """What suits where this process writes."""
    if in_notebook():
        return NotebookLine()
    return TerminalLine(sys.stderr) if sys.stderr.isatty() else PlainLines(sys.stderr)
