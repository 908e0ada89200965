"""A zarr folder that is read with care: nothing outside of it, no endless metadata, no chunk of blosc that is cut off.

Blosc's decoder trusts the length that a chunk says, and reads past the end of one that was cut off; that gives wrong
values, from memory that is not the file's. The length stands in the chunk's first 16 bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from typing import Any

from zarr import Array, open_array
from zarr.storage import LocalStore

from mlex_jupyter.data.chunks import Chunks, plan_of
from mlex_jupyter.data.codecs import check_codecs, check_number
from mlex_jupyter.data.inside import check_inside
from mlex_jupyter.errors import Invalid

HEADER = struct.Struct("<12xI")
METADATA = (".json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
LARGEST_METADATA = 1 << 24


class GuardedStore(LocalStore):
    """A folder of which nothing is read that lies elsewhere."""

    blosc = False

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """The content of one file; an error for one that is not the folder's own, or cannot be meant."""
        path = os.path.join(self.root, key)
        await asyncio.to_thread(check_inside, path, os.path.realpath(self.root))
        if key.endswith(METADATA):
            if os.path.isfile(path) and os.path.getsize(path) > LARGEST_METADATA:
                raise Invalid(f"{path} is larger than any metadata should be.")
            found = await super().get(key, prototype, byte_range)
            if found is not None:
                with contextlib.suppress(ValueError, RecursionError):  # which zarr says in its own words
                    check_number(json.loads(found.to_bytes()), str(self.root))
            return found
        found = await super().get(key, prototype, byte_range)
        if found is None or not self.blosc:
            return found
        check_whole(found, f"{key} of {self.root}")
        return found


def check_whole(chunk: Any, name: str) -> None:
    """Invalid where a chunk of blosc is shorter than it says."""
    head = bytes(chunk.as_numpy_array()[: HEADER.size])
    if len(head) < HEADER.size or len(chunk) < HEADER.unpack(head)[0]:
        raise Invalid(f"The chunk {name} is cut off.", hint="Copy the volume again.")


def guarded(array: Any, uri: str) -> Any:
    """What reads an array: its chunks straight from their files, or zarr where it has rare codecs."""
    check_codecs(array.metadata.to_dict(), uri)
    if (plan := plan_of(array)) is not None:
        return Chunks(array, plan, os.path.realpath(array.store.root))
    if array.shards is not None or not any("blosc" in type(codec).__name__.lower() for codec in array.compressors[-1:]):
        return array
    store = GuardedStore(array.store.root, read_only=True)
    store.blosc = True
    guarded: Array[Any] = open_array(store, path=array.path, mode="r")
    return guarded
