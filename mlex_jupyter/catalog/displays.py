"""Displays: which volumes have a pyramid to look at them along all axes; it is made once somebody looks.

<home>/pyramids/<dataset's id>-<mark of its files>/
<home>/pyramids/.<dataset's id>.lock    held by the process that makes it, with who that is and how far it is
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mlex_jupyter.data.places import is_url
from mlex_jupyter.data.pyramid import wanted
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.data.shelf import stamp_of
from mlex_jupyter.errors import MlexError
from mlex_jupyter.settings import Settings
from mlex_jupyter.telling import tell
from mlex_jupyter.types import Dataset, Display

log = logging.getLogger(__name__)

SPARE = 1 << 30
"""Bytes that stay free on the disk."""
LOOK_AGAIN_S = 0.3
"""How soon one that is made elsewhere is looked at again."""
SAID = 500
"""Bytes of a lock's file, always as many, so that a read that falls into a write finds no half of it."""


class Displays:
    """The pyramids of one home."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "pyramids"
        self.reading = Reading(settings)
        self._making: dict[str, asyncio.Task[None]] = {}
        self._far: dict[str, float] = {}
        self._failed: dict[str, str] = {}

    async def place(self, dataset: Dataset) -> Path | None:
        """Where the pyramid is, if there is one."""
        if not wanted(dataset):
            return None
        place = await asyncio.to_thread(self._place, dataset)
        return place if place.is_dir() else None

    async def begin(self, dataset: Dataset) -> Path | None:
        """`place`; where there is none yet and one is wanted, it is being made from here on."""
        place = await self.place(dataset)
        if place is None and wanted(dataset) and dataset.id not in self._failed:
            self._make(dataset)
        return place

    async def finished(self, dataset: Dataset) -> Display:
        """Wait until the pyramid is there, where one is wanted."""
        self._failed.pop(dataset.id, None)
        if wanted(dataset) and await self.place(dataset) is None:
            await asyncio.shield(self._make(dataset))
        return await self.state(dataset)

    async def state(self, dataset: Dataset) -> Display:
        """How quick a volume is to look at."""
        place = await self.place(dataset)
        making = dataset.id in self._making
        return Display(
            dataset=dataset.id,
            name=dataset.name,
            wanted=wanted(dataset),
            ready=place is not None or not wanted(dataset),
            levels=len(list(place.iterdir())) if place else 0,
            fraction=1.0 if place else self._far.get(dataset.id, 0.0) if making else None,
            problem=self._failed.get(dataset.id),
        )

    def drop(self, dataset: Dataset) -> None:
        """Remove what is there of a dataset's pyramids, half-made ones of killed processes among them."""
        for pattern in (f"{dataset.id}-*", f".{dataset.id}-*"):
            for left in self.folder.glob(pattern):
                shutil.rmtree(left, ignore_errors=True)

    def _place(self, dataset: Dataset) -> Path:
        stamp = blake2b(repr(stamp_of(dataset.uri)).encode(), digest_size=8).hexdigest()
        return self.folder / f"{dataset.id}-{'url' if is_url(dataset.uri) else stamp}"

    def _make(self, dataset: Dataset) -> asyncio.Task[None]:
        if dataset.id not in self._making:
            self._making[dataset.id] = asyncio.create_task(self._made(dataset))
            self._making[dataset.id].add_done_callback(lambda _: self._making.pop(dataset.id, None))
        return self._making[dataset.id]

    async def _made(self, dataset: Dataset) -> None:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            place = await asyncio.to_thread(self._place, dataset)
            with _lock(self.folder / f".{dataset.id}.lock") as lock:
                while not place.is_dir():
                    if lock.take():
                        await self._build(dataset, place, lock)
                    else:
                        self._say_elsewhere(dataset, lock.said())
                        await asyncio.sleep(LOOK_AGAIN_S)
        except (MlexError, OSError) as error:
            self._failed[dataset.id] = getattr(error, "message", str(error))
            log.warning("No display pyramid of %s: %s", dataset.name, error)

    async def _build(self, dataset: Dataset, place: Path, lock: Lock) -> None:
        """Make it, unless it came to be there while somebody else had the lock."""
        if place.is_dir():
            return
        context = contextvars.copy_context()

        def heard(so_far: dict[str, int]) -> None:
            far = so_far["done"] / so_far["of"]
            self._far[dataset.id] = far
            lock.say(far, so_far["level"])
            context.run(tell, f"prepared {far:.0%} of level {so_far['level']} of {dataset.name}")

        lock.say(0.0, 1)
        self._check_room(dataset)
        await asyncio.to_thread(self.drop, dataset)  # of what the files were before
        await self.reading.pyramid(dataset, place, heard)

    def _say_elsewhere(self, dataset: Dataset, said: Mapping[str, Any]) -> None:
        if said:
            self._far[dataset.id] = said["far"]
            by = f"{said['process']} on {said['host']}"
            tell(f"prepared {said['far']:.0%} of level {said['level']} of {dataset.name}, by the process {by}")

    def _check_room(self, dataset: Dataset) -> None:
        needed = dataset.nbytes // 7
        free = shutil.disk_usage(self.folder).free - SPARE
        if needed > free:
            raise MlexError(f"It would take {needed / 1e9:.1f} GB, and {max(0, free) / 1e9:.1f} GB are free.")


class Lock:
    """Held by one of many processes at a time, which then has the work to itself; it ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self) -> bool:
        """Whether it is held by this process now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def say(self, far: float, level: int) -> None:
        """Who holds it, and how far the work is, for those who wait."""
        said = {"process": os.getpid(), "host": socket.gethostname(), "far": far, "level": level}
        os.pwrite(self._descriptor, json.dumps(said).ljust(SAID).encode()[:SAID], 0)

    def said(self) -> Mapping[str, Any]:
        """What its holder says; nothing where it has not said anything yet."""
        with contextlib.suppress(ValueError):
            found = json.loads(os.pread(self._descriptor, SAID, 0))
            if isinstance(found, dict) and found.keys() >= {"process", "host", "far", "level"}:
                return found
        return {}


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[Lock]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield Lock(descriptor)
    finally:
        os.close(descriptor)
