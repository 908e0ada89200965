"""One attempt at a job, as the code inside sees it: what was asked, where to write, when to stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from pydantic import JsonValue

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.types import JobFile

LONGEST_S = 1e8  # three years: a timer does not count without end


class Stopped(Exception):
    """Asked to stop, and saved: raised by the work once its checkpoint is written."""


class Attempt:
    """What a task may use: `job`, `folder`, `emit`, `note` and `stopping`."""

    def __init__(self, folder: JobFolder, job: JobFile, number: int) -> None:
        self.folder = folder
        self.job = job
        self.number = number
        self.stopping = False
        self.out_of_time = False
        self._events = _open_events(folder.events)

    @property
    def path(self) -> Path:
        """The job folder; weights, predictions and pictures are written here."""
        return self.folder.path

    def listen(self) -> None:
        """From now on signals and the time limit set `stopping`: the work saves and raises `Stopped`."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM):
            signal.signal(number, self._on_signal)
        limit_s = min(float(os.environ.get("MLEX_TIME_LIMIT_S", 0)), LONGEST_S)
        signal.setitimer(signal.ITIMER_REAL, limit_s)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        self.out_of_time = number == signal.SIGALRM

    def emit(self, kind: str, **values: JsonValue) -> None:
        """Append an event: one line, one write, so that a reader never sees half of it for long."""
        line = json.dumps({"time": time.time(), "attempt": self.number, "kind": kind, "values": values})
        os.write(self._events, line.encode() + b"\n")

    def note(self, text: str) -> None:
        """Say something in plain words, in the log and in the stream of events."""
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True, file=sys.stdout)
        self.emit("note", text=text)

    def progress(
        self, done: int, total: int, unit: str, *, eta_s: float | None = None, score: float | None = None
    ) -> None:
        """How far the work is: "epoch 3 of 50"."""
        fraction = min(1.0, done / total) if total else 1.0
        self.emit("progress", done=done, total=total, unit=unit, fraction=fraction, eta_s=eta_s, score=score)


def _open_events(path: Path) -> int:
    """Open for appending; a line that a killed run left half written is closed off first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor


class Helper(Attempt):
    """One of several processes of an attempt that is not the first: it works, and leaves speaking to the first."""

    def emit(self, kind: str, **values: JsonValue) -> None:
        """The first says it."""

    def note(self, text: str) -> None:
        """The first says it."""
