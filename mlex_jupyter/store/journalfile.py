"""One file of a journal: a line of JSON a changed row, only ever appended to, until a backup holds what it tells.

Whatever is no whole line is none: a process may have died while it wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

NUMBERED = re.compile(rb'\{"n": (\d+),')
TAIL_BYTES = 1 << 16


class JournalFile:
    """Lines with the numbers of the commits that they tell of."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, lines: bytes, at_most: int | None = None) -> int:
        """Write these lines, unless the file has become larger than that; how large it is now."""
        with self._locked() as file:
            if at_most is None or os.fstat(file).st_size <= at_most:
                os.write(file, lines)
            return os.fstat(file).st_size

    def lines(self) -> list[dict[str, Any]]:
        """All that is there."""
        try:
            said = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in map(_parse, said) if line is not None]

    def last(self) -> int:
        """The highest number at its end."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                said = file.read().splitlines()
        except FileNotFoundError:
            return 0
        return max((line["n"] for line in map(_parse, said) if line is not None), default=0)

    def drop_before(self, number: int) -> None:
        """Keep only the lines from this number on."""
        if not self.path.exists():
            return
        with self._locked() as file:
            said = os.pread(file, os.fstat(file).st_size, 0).splitlines(keepends=True)
            left = [line for line in said if (found := NUMBERED.match(line)) and int(found[1]) >= number]
            os.ftruncate(file, 0)
            os.write(file, b"".join(left))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(line)
    except ValueError:
        return None
    whole = isinstance(found, dict) and {"n", "table", "key", "row"} <= found.keys()
    return found if whole and isinstance(found["n"], int) else None
