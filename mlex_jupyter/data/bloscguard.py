"""A guard for blosc: its decoder trusts the length that a chunk says, and reads past the end of one that was cut off.

That gives wrong values, from memory that is not the file's. The length stands in the chunk's first 16 bytes.
"""

from __future__ import annotations

import struct
from typing import Any

from zarr import Array, open_array
from zarr.storage import LocalStore

from mlex_jupyter.errors import Invalid

HEADER = struct.Struct("<12xI")
METADATA = (".json", ".zarray", ".zattrs", ".zgroup")


class GuardedStore(LocalStore):
    """A folder whose chunks are given out only when they are as long as they say."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """The content of one file, or an error for a chunk that is cut off."""
        found = await super().get(key, prototype, byte_range)
        if found is None or key.endswith(METADATA):
            return found
        head = bytes(found.as_numpy_array()[: HEADER.size])
        if len(head) < HEADER.size or len(found) < HEADER.unpack(head)[0]:
            raise Invalid(f"The chunk {key} of {self.root} is cut off.", hint="Copy the volume again.")
        return found


def checked(array: Any) -> Any:
    """The same array behind the guard, where its chunks are blosc's."""
    blosc = any("blosc" in type(codec).__name__.lower() for codec in array.compressors[-1:])
    if not blosc or array.shards is not None or not isinstance(array.store, LocalStore):
        return array
    guarded: Array[Any] = open_array(GuardedStore(array.store.root, read_only=True), path=array.path, mode="r")
    return guarded
