"""Displays: which volumes have a pyramid to look at them along all axes; it is made once somebody looks.

<home>/pyramids/<dataset's id>-<mark of its files>/
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

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
        context = contextvars.copy_context()

        def heard(so_far: dict[str, int]) -> None:
            far = so_far["done"] / so_far["of"]
            self._far[dataset.id] = far
            context.run(tell, f"prepared {far:.0%} of level {so_far['level']} of {dataset.name}")

        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            place = await asyncio.to_thread(self._place, dataset)
            with _alone(self.folder / f".{dataset.id}.lock") as mine:
                if mine and not place.is_dir():
                    self._check_room(dataset)
                    await asyncio.to_thread(self.drop, dataset)  # of what the files were before
                    await self.reading.pyramid(dataset, place, heard)
        except (MlexError, OSError) as error:
            self._failed[dataset.id] = getattr(error, "message", str(error))
            log.warning("No display pyramid of %s: %s", dataset.name, error)

    def _check_room(self, dataset: Dataset) -> None:
        needed = dataset.nbytes // 7
        free = shutil.disk_usage(self.folder).free - SPARE
        if needed > free:
            raise MlexError(f"It would take {needed / 1e9:.1f} GB, and {max(0, free) / 1e9:.1f} GB are free.")


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """True for one of many processes at a time, which then has the work to itself."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
