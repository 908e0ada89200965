"""Pieces of files on their way: from memory, from files here, or out of a connection, and never held as a whole.

Who takes a piece has it `move` what is there, and waits with `ready` for more until all of it has come, in order and
once. What people send is `Parts`, which can be read again from the beginning when an answer was lost.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlex_jupyter.errors import Conflict

PIECE = 1 << 24
"""What one piece should hold; more than twice this is refused."""
LARGEST = 2 * PIECE
PART = 1 << 20


class Piece(ABC):
    """So many bytes that come one after another."""

    size: int

    @abstractmethod
    async def ready(self) -> None:
        """Return when there is more to move."""

    @abstractmethod
    def move(self, target: int | None, at: int, most: int) -> int:
        """Write what is there into an open file, or nowhere; how many bytes it was. It waits for no one."""


class Parts(Piece):
    """A piece that can be iterated over, a part at a time, as often as need be."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.stopped = False
        """Set by whoever gave up, so that a thread that sends it ends as well."""
        self._coming: Iterator[bytes] | None = None
        self._part = memoryview(b"")

    @abstractmethod
    def _parts(self) -> Iterator[bytes]: ...

    def __iter__(self) -> Iterator[bytes]:
        """From the beginning."""
        for part in self._parts():
            if self.stopped:
                raise InterruptedError("given up")
            yield part

    async def ready(self) -> None:
        """It is all there."""

    def move(self, target: int | None, at: int, most: int) -> int:
        """Write the next bytes."""
        self._coming = self._coming or iter(self)
        moved = 0
        while moved < most and (self._part or self._next()):
            part = self._part[: most - moved]
            written = len(part) if target is None else os.pwrite(target, part, at + moved)
            self._part = self._part[written:]
            moved += written
        return moved

    def _next(self) -> bool:
        assert self._coming is not None
        self._part = memoryview(next(self._coming, b""))
        return bool(self._part)


class InMemory(Parts):
    """Bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self._data = memoryview(data)

    def _parts(self) -> Iterator[bytes]:
        for at in range(0, self.size, PART):
            yield bytes(self._data[at : at + PART])


class InFiles(Parts):
    """Stretches of files, one after another: a file, where it begins, how long it is."""

    def __init__(self, stretches: Sequence[tuple[Path, int, int]]) -> None:
        super().__init__(sum(size for _, _, size in stretches))
        self._stretches = stretches

    def _parts(self) -> Iterator[bytes]:
        """Of small files many at once, since each part costs the same."""
        few: list[bytes] = []
        held = 0
        for stretch in self._stretches:
            for part in _read(*stretch):
                few.append(part)
                held += len(part)
                if held >= PART // 2:
                    yield b"".join(few) if len(few) > 1 else part
                    few, held = [], 0
        if few:
            yield b"".join(few)


def _read(path: Path, offset: int, size: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while size:
            part = file.read(min(PART, size))
            if not part:
                raise Conflict(f"{path} became shorter while it was read.", hint="Upload it again.")
            size -= len(part)
            yield part


def divided(sizes: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """What is missing of files, each its size and what of it is there, as pieces: file, beginning and length of parts.

    A piece goes over the ends of files, but not into one of which something is there.
    """
    piece: list[tuple[int, int, int]] = []
    held = 0
    for number, (size, here) in enumerate(sizes):
        if piece and here:
            yield piece
            piece, held = [], 0
        while here < size:
            step = min(PIECE - held, size - here)
            piece.append((number, here, step))
            here, held = here + step, held + step
            if held == PIECE:
                yield piece
                piece, held = [], 0
    if piece:
        yield piece
