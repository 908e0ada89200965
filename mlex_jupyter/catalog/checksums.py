"""Checksums: noted once, compared whenever somebody asks, file by file.

<home>/checksums/<dataset>.json         the files that were noted, with their digests
<home>/checksums/<dataset>.last.json    what the last comparison found
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlex_jupyter.catalog.datasets import Catalog
from mlex_jupyter.data.digests import (
    OF_ETAGS,
    Contents,
    Part,
    algorithm_of,
    checksum_of,
    contents_of,
    difference,
    places_of,
    size_of,
)
from mlex_jupyter.data.places import Policy, is_url, split
from mlex_jupyter.errors import NotFound, Unavailable
from mlex_jupyter.files import write_whole
from mlex_jupyter.settings import Settings
from mlex_jupyter.telling import tell
from mlex_jupyter.types import Dataset, Verification, now

NAMED = 20
SAY_EVERY_S = 0.5


class Checksums:
    """The checksums of one home."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.folder = settings.home / "checksums"
        self.catalog = catalog
        self.policy = Policy.of(settings)

    async def size(self, dataset: Dataset) -> int:
        """How many bytes a comparison has to read."""
        if algorithm_of(dataset.uri) == OF_ETAGS:
            return 0
        return await asyncio.to_thread(lambda: size_of(self._places(dataset)))

    def _places(self, dataset: Dataset) -> Mapping[str, str]:
        """The files to read; Forbidden where a link has come in their place that leads out of what may be opened."""
        if not is_url(dataset.uri):
            self.policy.check(split(dataset.uri)[0])
        return places_of(dataset.uri)

    async def last(self, dataset: Dataset) -> Verification:
        """What the last comparison found."""
        try:
            return Verification.model_validate_json((self.folder / f"{dataset.id}.last.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            hint = f"Do it: mlex verify {dataset.name}"
            raise NotFound(f"{dataset.name} was never verified.", hint=hint) from None

    async def verify(self, dataset: Dataset, *, accept: bool) -> Verification:
        """Read everything, and compare it with what was noted; the first time, or to accept it, note it."""
        listed = algorithm_of(dataset.uri) == OF_ETAGS
        contents = await (self._list(dataset) if listed else self._read(dataset))
        checksum, noted = checksum_of(contents, algorithm_of(dataset.uri)), self._noted(dataset)
        found = _compared(dataset, contents, noted, accept=accept)
        if found.state == "noted" or (found.state == "same" and noted is None):
            self._write(f"{dataset.id}.json", json.dumps({"checksum": checksum, "files": contents}))
        if dataset.checksum != checksum and found.state != "changed":
            await self.catalog.note_checksum(dataset.id, checksum)
        self._write(f"{dataset.id}.last.json", found.model_dump_json())
        return found

    async def _list(self, dataset: Dataset) -> Contents:
        """What the service says of the objects; none of them is read."""
        context = contextvars.copy_context()

        def heard(so_far: dict[str, int]) -> None:
            context.run(tell, f"listed {so_far['done']:,} objects of {dataset.name}")

        found = await self.catalog.reading.listing(dataset, heard)
        if not found:
            raise NotFound(f"There is nothing at {dataset.uri}.", hint="Was it moved? Register it where it lies now.")
        return {key: Part(size, etag) for key, size, etag in found}

    async def _read(self, dataset: Dataset) -> Contents:
        """In a thread, which ends soon after its caller has gone away."""
        stop, context = threading.Event(), contextvars.copy_context()
        said = Progress(dataset.name, stop, lambda line: context.run(tell, line))

        def read() -> Contents:
            places = self._places(dataset)
            said.total = size_of(places)
            return contents_of(places, said)

        try:
            return await asyncio.to_thread(read)
        finally:
            stop.set()

    def _noted(self, dataset: Dataset) -> Contents | None:
        """What was noted, where it is whole and belongs to the checksum that the dataset has."""
        try:
            kept = json.loads((self.folder / f"{dataset.id}.json").read_bytes())
            contents = {name: Part(*part) for name, part in kept["files"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        checksum = checksum_of(contents, algorithm_of(dataset.uri))
        return contents if dataset.checksum in (None, checksum) else None

    def _write(self, name: str, content: str) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(self.folder / name, content)


class Progress:
    """Says how far the reading is: to whoever waits, and where it is a job, to whoever watches that."""

    def __init__(self, name: str, stop: threading.Event, tell: Callable[[str], None]) -> None:
        self.name = name
        self.total = 0
        self._stop = stop
        self._tell = tell
        self._done = 0
        self._begun = self._said = time.monotonic()
        folder = os.environ.get("MLEX_JOB_FOLDER")
        self._events = Path(folder) / "events.jsonl" if folder else None

    def __call__(self, more: int) -> None:
        """So many bytes more."""
        if self._stop.is_set():
            raise Unavailable("Nobody waits for this checksum any more.")
        self._done += more
        moment = time.monotonic()
        if moment - self._said < SAY_EVERY_S:
            return
        self._said = moment
        self._tell(f"read {_size(self._done)} of {_size(self.total)} of {self.name}")
        if self._events is not None:
            self._append(moment)

    def _append(self, moment: float) -> None:
        fraction = min(1.0, self._done / max(1, self.total))
        megabytes = {"done": self._done // 1_000_000, "total": self.total // 1_000_000, "unit": "MB"}
        left = (moment - self._begun) * (1 - fraction) / max(fraction, 1e-6)
        values: dict[str, Any] = {**megabytes, "fraction": fraction, "eta_s": left}
        line = json.dumps({"time": time.time(), "kind": "progress", "values": values})
        assert self._events is not None
        with contextlib.suppress(OSError), self._events.open("a") as file:
            file.write(line + "\n")


def _compared(dataset: Dataset, contents: Contents, noted: Contents | None, *, accept: bool) -> Verification:
    algorithm = algorithm_of(dataset.uri)
    listed = algorithm == OF_ETAGS
    checksum = checksum_of(contents, algorithm)
    expected = None if accept else checksum_of(noted, algorithm) if noted is not None else dataset.checksum
    nbytes = sum(part.size for part in contents.values())
    about = {"dataset": dataset.id, "name": dataset.name, "checksum": checksum, "time": now()}
    about |= {"files": len(contents), "nbytes": nbytes}
    read = f"{_counted(len(contents), listed=listed)}, {_size(nbytes)}"
    read += ", by the ETags that the service says; no value was read" if listed else ""
    if expected is None:
        return Verification(state="noted", says=f"Noted: {read}. From now on this is what is right.", **about)
    if checksum == expected:
        return Verification(state="same", says=f"All is as it was: {read}.", **about)
    found = difference(noted, contents) if noted is not None else {}
    counts = ", ".join(f"{len(names)} {what}" for what, names in found.items() if names)
    of = f" {counts}, of {_counted(len(noted), listed=listed)}" if noted is not None else " which files, nobody noted"
    then = "An object that was written again may have another ETag and the same values." if listed else ""
    return Verification(
        state="changed",
        expected=expected,
        says=f"It is not what it was:{of}. {then or 'What was trained on it saw other values.'}",
        **{what: tuple(map(_said, names[:NAMED])) for what, names in found.items()},
        **about,
    )


def _said(name: str) -> str:
    """A file's name as text, also where it is none."""
    return name.encode(errors="backslashreplace").decode()


def _counted(count: int, *, listed: bool) -> str:
    one = "object" if listed else "file"
    return f"1 {one}" if count == 1 else f"{count:,} {one}s"


def _size(nbytes: int) -> str:
    if nbytes < 100_000:
        return f"{nbytes:,} bytes"
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"
