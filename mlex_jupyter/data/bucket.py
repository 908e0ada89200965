"""A bucket as zarr sees it: metadata of a sane size, and no chunk of blosc that is cut off."""

from __future__ import annotations

from typing import Any

from zarr import Array, open_array
from zarr.storage import ObjectStore

from mlex_jupyter.data.bloscguard import LARGEST_METADATA, METADATA, check_whole
from mlex_jupyter.data.codecs import check_codecs
from mlex_jupyter.errors import Invalid


class Bucket(ObjectStore[Any]):
    """The objects below a key."""

    blosc = False

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The content of one object; an error for one that cannot be meant."""
        found = await super().get(key, prototype, byte_range)
        if found is not None and key.endswith(METADATA):
            if len(found) > LARGEST_METADATA:
                raise Invalid(f"{key} is larger than any metadata should be.")
        elif found is not None and self.blosc:
            check_whole(found, key)
        return found


def careful(array: Any, uri: str) -> Any:
    """What reads an array: itself, where its codecs are harmless."""
    check_codecs(array.metadata.to_dict(), uri)
    if array.shards is not None or not any("blosc" in type(codec).__name__.lower() for codec in array.compressors[-1:]):
        return array
    store = Bucket(array.store.store, read_only=True)
    store.blosc = True
    again: Array[Any] = open_array(store, path=array.path, mode="r")
    return again
