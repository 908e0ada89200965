"""A job is a folder and a command. This is the folder, the only thing that engine and run share.

<home>/jobs/<id>/job.json                  written by the supervisor: everything that the run needs
<home>/jobs/<id>/state.json                the supervisor's last word, so that a lost database can be rebuilt
<home>/jobs/<id>/events.jsonl              appended by the run, a line an event; read by the supervisor
<home>/jobs/<id>/log.txt                   what the run printed
<home>/jobs/<id>/checkpoint/               what resuming needs
<home>/jobs/<id>/attempts/<n>/claim        created exclusively by the one run that is attempt n
<home>/jobs/<id>/attempts/<n>/ending.json  how attempt n ended, when it made no result
<home>/jobs/<id>/result.json               the result; its existence means that the job is done
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.files import create_exclusively, read_piece, write_whole
from mlex_jupyter.types import Ending, JobFile, Record, Result, now

R = TypeVar("R", bound=Record)

MOST_LOG = 1 << 28
"""A log grows no longer: then its beginning and its end are kept."""
END_OF_LOG = 1 << 20
MOST_JSON = 1 << 26


class JobFolder:
    """One job's folder, private to its owner."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = path / "events.jsonl"
        self.log = path / "log.txt"
        self.checkpoint = path / "checkpoint"

    @classmethod
    def make(cls, path: Path, job: JobFile) -> JobFolder:
        """Create the folder and its job.json; done again, it changes nothing."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = cls(path)
        folder.check_owner()
        folder.checkpoint.mkdir(mode=0o700, exist_ok=True)
        (path / "attempts").mkdir(mode=0o700, exist_ok=True)
        write_whole(path / "job.json", job.model_dump_json(indent=2))
        return folder

    def note_state(self, state: dict[str, object]) -> None:
        """Keep the supervisor's last word here, where there is a folder yet."""
        if self.path.exists():
            write_whole(self.path / "state.json", json.dumps(state), durable=False)

    def check_owner(self) -> None:
        """Refuse a folder that is a link, or belongs to somebody else."""
        status = os.lstat(self.path)
        if self.path.is_symlink() or status.st_uid != os.getuid():
            raise Invalid(f"{self.path} is not a job folder of this user.")

    def cap_log(self) -> None:
        """Take the middle out of a log that has grown beyond all measure, and say so in it."""
        end, _, length = read_piece(self.log, -END_OF_LOG, 0)
        if length <= MOST_LOG:
            return
        _, last, length = read_piece(self.log, end, END_OF_LOG)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            os.ftruncate(descriptor, MOST_LOG // 2)
            note = f"\n[MLEx: the log was {length >> 20} MB long; its middle was taken out here]\n"
            os.write(descriptor, note.encode() + last)
        finally:
            os.close(descriptor)

    def job(self) -> JobFile:
        """What was asked for."""
        return JobFile.model_validate_json((self.path / "job.json").read_bytes())

    # ------------------------------------------------------------ attempts

    def attempt(self, number: int) -> Path:
        """The folder of one attempt."""
        return self.path / "attempts" / str(number)

    def claim(self, number: int) -> None:
        """Be the one run that is this attempt; a Conflict for every other, and for one that comes too late."""
        self.attempt(number).mkdir(mode=0o700, exist_ok=True)
        who = {"host": socket.gethostname(), "pid": os.getpid(), "time": now().isoformat()}
        create_exclusively(self.attempt(number) / "claim", json.dumps(who))
        self.check_current(number)

    def claimed(self, number: int) -> bool:
        """Whether a run has begun this attempt."""
        return (self.attempt(number) / "claim").exists()

    def check_current(self, number: int) -> None:
        """A Conflict where a later attempt has taken over, or the job is done: then nothing may be written."""
        if self.claimed(number + 1) or (self.path / "result.json").exists():
            raise Conflict(f"Attempt {number} of {self.path.name} is over: another has taken its place.")

    # ------------------------------------------------------------ how it ended

    def finish(self, result: Result) -> None:
        """Hand over the result of an attempt that still holds."""
        self.check_current(result.attempt)
        write_whole(self.path / "result.json", result.model_dump_json(indent=2))

    def end(self, number: int, ending: Ending) -> None:
        """Say how an attempt without a result ended."""
        write_whole(self.attempt(number) / "ending.json", ending.model_dump_json(indent=2))

    def result(self) -> Result | None:
        """The result, or None while there is none."""
        return _read(Result, self.path / "result.json")

    def ending(self, number: int) -> Ending | None:
        """How an attempt ended, or None where it did not say."""
        return _read(Ending, self.attempt(number) / "ending.json")


def _read(kind: type[R], path: Path) -> R | None:
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return kind.model_validate_json(read_piece(path, 0, MOST_JSON)[1])
    except ValidationError as error:
        raise Invalid(f"{path} cannot be read: {error.errors()[0]['msg']}.") from error
