"""A shelf of open volumes: who looks at one slice looks at the next. What has changed on disk is opened anew."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from mlex_jupyter.data.places import is_url, split
from mlex_jupyter.data.readers import ZARR_MARKS, open_path, open_volume
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.types import Dataset

ROOM = 8
URL_S = 60
"""A URL says nothing about what is there: it is opened anew after this time."""

Key = tuple[object, ...]


class Shelf:
    """The volumes that were looked at last; the one longest ago is closed first."""

    def __init__(self) -> None:
        self._volumes: OrderedDict[Key, tuple[Key | None, Volume]] = OrderedDict()

    def dataset(self, dataset: Dataset) -> Volume:
        """The volume of a dataset; its owner is the shelf, so leave it open."""
        registered = (dataset.uri, dataset.reader, dataset.axes, dataset.shape, dataset.dtype)
        return self._kept(registered, dataset.uri, lambda: open_volume(dataset))

    def path(self, path: str, axes: str) -> Volume:
        """The volume at a path of this home's own."""
        return self._kept((path, axes), path, lambda: open_path(Path(path), axes))

    def close(self) -> None:
        """Let go of all files."""
        while self._volumes:
            self._volumes.popitem()[1][1].close()

    def _kept(self, key: Key, uri: str, opened: Callable[[], Volume]) -> Volume:
        stamp = stamp_of(uri)
        known, volume = self._volumes.pop(key, (None, None))
        if volume is None or stamp is None or known != stamp:
            if volume is not None:
                volume.close()
            volume = opened()
        self._volumes[key] = (stamp, volume)
        if len(self._volumes) > ROOM:
            self._volumes.popitem(last=False)[1][1].close()
        return volume


def stamp_of(uri: str) -> Key | None:
    """What changes when a file, or a folder's own description of its array, is replaced; None where nothing says."""
    if is_url(uri):
        return (int(time.monotonic() / URL_S),)
    file, _ = split(uri)
    stamps: list[object] = []
    for place in (file, *(os.path.join(file, mark) for mark in (*ZARR_MARKS, ".zattrs"))):
        try:
            status = os.stat(place)
        except (OSError, ValueError):
            continue
        stamps.append((status.st_ino, status.st_dev, status.st_mtime_ns, status.st_size))
    return tuple(stamps) or None
