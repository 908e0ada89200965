"""Where a piece of an upload lands: the files that it fills, in their order, each of them only ever appended to."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.pieces import Piece
from mlex_jupyter.types import UploadFile

COMING = "upload.json"
WORTH_WRITING = 1 << 20
"""Of this many bytes the disk is told at once, so that there is little left to wait for in the end."""


@dataclass
class Stretch:
    """A part of a file that is still to come."""

    file: Path
    at: int
    end: int
    here: int = 0
    """How long the file is."""


class Landing:
    """What is left to fill with one piece."""

    def __init__(self, place: Path, files: Sequence[UploadFile], offset: int, size: int, *, following: bool) -> None:
        """The first of the files takes bytes from this offset on; only `following` lets the others have the rest."""
        self.place = place
        self.last = files[0]
        """The file in which the piece ends."""
        self.stretches: deque[Stretch] = deque()
        for file in files:
            step = min(size, file.size - offset)
            if step < 0:
                break
            self.stretches.append(Stretch(place / "files" / file.path, offset, offset + step))
            size, offset, self.last = size - step, 0, file
            if not size or not following:
                break
        if size or not self.stretches:
            raise Invalid(f"{files[0].path} was announced with {files[0].size} bytes; this piece goes beyond.")

    def take_in(self, piece: Piece) -> bool:
        """Write what has come of the piece, by turns with others who send to this upload; whether that was all."""
        with alone(self.place):
            while self.stretches:
                if not _filled(self.stretches[0], piece):
                    return False
                done = self.stretches.popleft()
                self.last = self.last.model_copy(update={"received": done.here})
        return True


def _filled(stretch: Stretch, piece: Piece) -> bool:
    descriptor = _opened(stretch.file)
    try:
        here = os.fstat(descriptor).st_size
        if stretch.at > here:
            raise Conflict(f"Of {stretch.file.name}, {here} bytes are here: go on from there.")
        begun = stretch.at
        while stretch.at < stretch.end:
            known = min(here, stretch.end) - stretch.at
            left = stretch.end - stretch.at
            moved = piece.move(None, 0, known) if known > 0 else piece.move(descriptor, stretch.at, left)
            stretch.at += moved
            if not moved:
                break
        _write_out(descriptor, begun, stretch.at)
        stretch.here = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    return stretch.at == stretch.end


def _opened(file: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(file, flags, 0o600)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, flags, 0o600)


def _write_out(descriptor: int, begin: int, end: int) -> None:
    """Have the disk begin with what it will be asked to have kept; nobody waits for it here."""
    if end - begin >= WORTH_WRITING and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Two who send pieces of one upload take turns, whichever processes they are in."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("The upload is no longer on its way.", hint="List them: mlex uploads") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not (place / COMING).is_file():  # finished or discarded while one waited
            raise NotFound("The upload is no longer on its way.", hint="List them: mlex uploads")
        yield
    finally:
        os.close(descriptor)
