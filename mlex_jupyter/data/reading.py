"""Reading: foreign files are opened in processes of their own, and this asks them.

A few such processes stay warm (`lanes`), and each answers one request at a time (`asking`). One that crashes, takes
too much memory or says nothing for too long ends that read, in words; the next read gets another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlex_jupyter.data.asking import Heard, Limits, environment
from mlex_jupyter.data.frames import Frame
from mlex_jupyter.data.lanes import lane
from mlex_jupyter.data.places import Policy, is_url
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet, Quality

if TYPE_CHECKING:
    from mlex_jupyter.data.readers import VolumeInfo
    from mlex_jupyter.settings import Settings


class Reading:
    """What can be asked about files, for the policy of one home."""

    def __init__(self, settings: Settings) -> None:
        memory_bytes, silence_s = int(settings.reader_memory_gb * 2**30), settings.reader_timeout_s
        self._looks = Limits(Policy.of(settings), memory_bytes, silence_s, settings.readers)
        # Nobody who looks waits for these, nor who saves labels for a report.
        self._copies = self._looks._replace(processes=1, niceness=10, idle_s=5)
        self._measures = self._copies._replace(niceness=15)

    async def inspect(self, path: str, axes: str | None = None) -> VolumeInfo:
        """What a file says about its volume; Invalid where it is none."""
        from mlex_jupyter.data.readers import VolumeInfo

        asked = {"do": "inspect", "path": absolute(path), "axes": axes}
        return VolumeInfo.model_validate((await self._look(path, asked)).said["found"])

    async def picture(
        self,
        dataset: Dataset,
        *,
        axis: int,
        index: int | None,
        size: int,
        overlay: LabelSet | None = None,
        pyramid: Path | None = None,
    ) -> bytes:
        """A slice as a PNG, with labels over it."""
        asked = {"do": "picture", "dataset": _json(dataset), "axis": axis, "index": index, "size": size}
        asked["overlay"] = overlay and _json(overlay)
        asked["pyramid"] = str(pyramid) if pyramid else None
        return (await self._look(dataset.uri, asked)).data

    async def raster(
        self, dataset: Dataset, *, axis: int, index: int | None, size: int, pyramid: Path | None = None
    ) -> Frame:
        """A slice as numbers that a screen colours; what is said of them is in `said["found"]`."""
        asked = {"do": "raster", "dataset": _json(dataset), "axis": axis, "index": index, "size": size}
        asked["pyramid"] = str(pyramid) if pyramid else None
        return await self._look(dataset.uri, asked)

    async def plane(self, dataset: Dataset, *, axis: int, index: int | None) -> Plane:
        """The values of a slice, as they are."""
        asked = {"do": "plane", "dataset": _json(dataset), "axis": axis, "index": index}
        frame = await self._look(dataset.uri, asked)
        return Plane(tuple(frame.said["found"]["shape"]), frame.said["found"]["dtype"], frame.data)

    async def pyramid(self, dataset: Dataset, place: Path, heard: Heard) -> int:
        """Write the display pyramid of a volume to this place; how many levels it has."""
        asked = {"do": "pyramid", "dataset": _json(dataset), "to": str(place)}
        limits = self._measures._replace(writes=(str(place.parent),))
        return int((await asyncio.wrap_future(self._ask(limits, dataset.uri, asked, heard))).said["found"]["levels"])

    async def quality(self, dataset: Dataset, budget_bytes: int, *, painted: bool, heard: Heard) -> Quality:
        """What its values are like; of labels that are `painted` in this home, what is painted."""
        asked = {"do": "quality", "dataset": _json(dataset), "budget_bytes": budget_bytes, "painted": painted}
        found = await asyncio.wrap_future(self._ask(self._measures, dataset.uri, asked, heard))
        return Quality.model_validate(found.said["found"])

    async def listing(self, dataset: Dataset, heard: Heard) -> list[tuple[str, int, str]]:
        """Key, size and ETag of the objects in S3 that hold a volume."""
        asked = {"do": "listing", "path": dataset.uri}
        found = await asyncio.wrap_future(self._ask(self._measures, dataset.uri, asked, heard))
        return [(key, size, etag) for key, size, etag in found.said["found"]["objects"]]

    def take_labels(
        self, dataset: Dataset, path: str, to: Path
    ) -> tuple[Counter[tuple[int, int]], tuple[ClassInfo, ...]]:
        """Copy the labels in a file, count the pixels of each (z, value) above 0, and say which classes it names."""
        asked = {"do": "take_labels", "dataset": _json(dataset), "path": absolute(path), "to": str(to)}
        found = self._ask(self._copies._replace(writes=(str(to.parent),)), path, asked).result().said["found"]
        classes = tuple(ClassInfo.model_validate(one) for one in found["classes"])
        return Counter({(z, value): count for z, value, count in found["painted"]}), classes

    async def _look(self, path: str, asked: Mapping[str, Any]) -> Frame:
        return await lane(_for(self._looks, path)).look(path, asked)

    def _ask(self, limits: Limits, path: str, asked: Mapping[str, Any], heard: Heard | None = None) -> Future[Frame]:
        return lane(_for(limits, path)).ask(path, asked, heard)


def _for(limits: Limits, path: str) -> Limits:
    """The limits of who opens this, in an environment of these variables."""
    if not is_url(path):
        return limits
    return limits._replace(urls=True, variables=hash(frozenset(environment(os.environ, urls=True).items())))


class Plane(NamedTuple):
    """A slice's values in the machine's own byte order, row by row."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes


def absolute(path: str) -> str:
    """The same path from wherever one looks; what cannot be one is the reader's to refuse.

    What is no text is refused here: it could stand in no database, no JSON and no message to a reader.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Invalid(
            f"{ascii(path)[:200]} has a name that is not in UTF-8, and can stand in no list.",
            hint="Rename it, or make a link to it with a name of plain letters.",
        ) from None
    if is_url(path):
        return path
    with contextlib.suppress(RuntimeError, ValueError):
        return str(Path(path).expanduser().absolute())
    return path


def _json(record: Dataset | LabelSet) -> dict[str, Any]:
    return record.model_dump(mode="json")
