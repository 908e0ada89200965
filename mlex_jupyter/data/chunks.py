"""Chunks of a zarr array, read straight from its files into the array that is asked for.

A chunk is decoded only to the length that it must have; one that is cut off, empty, a link to elsewhere or a bomb is
Invalid. Where the codecs are none that are known here, there is no plan, and zarr reads them itself.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.data.codecs import DECODERS
from mlex_jupyter.data.inside import opened_inside
from mlex_jupyter.data.volume import Empty
from mlex_jupyter.errors import Invalid, MlexError

Cut = tuple[slice, ...]
Part = tuple[int, slice, slice]
MISSING = 2**64 - 1
AT_ONCE = 64
"""Chunks that are handed to the threads before one looks whether they are done."""
LARGEST_INDEX = 1 << 26


class Shards(NamedTuple):
    """How many chunks a file holds along each axis, and where in it their places are listed."""

    chunks: tuple[int, ...]
    at_end: bool
    checksum: bool


class Plan(NamedTuple):
    """How the chunks of an array are stored."""

    shape: tuple[int, ...]
    order: tuple[int, ...] | None
    """The array's axis at each place of the stored chunk, where it is not the array's own order."""
    dtype: np.dtype[Any]
    codec: str | None
    checksum: bool
    shards: Shards | None


def plan_of(array: Any) -> Plan | None:
    """How a zarr array is stored, or None where it needs what is not known here."""
    about = array.metadata.to_dict()
    dtype = np.dtype(array.dtype)
    if about["zarr_format"] == 2:
        codec = about["compressor"]["id"] if about["compressor"] else None
        order = tuple(reversed(range(array.ndim))) if about["order"] == "F" else None
        known = codec in DECODERS and not about["filters"]
        return Plan(array.chunks, order, dtype, codec, False, None) if known else None
    codecs = list(about["codecs"])
    shards = None
    if codecs[0]["name"] == "sharding_indexed":
        inside = codecs.pop(0)["configuration"]
        index = [codec["name"] for codec in inside["index_codecs"]]
        if codecs or index not in (["bytes"], ["bytes", "crc32c"]) or _endian(inside["index_codecs"][0]) != "<":
            return None
        codecs = list(inside["codecs"])
        counts = tuple(of // part for of, part in zip(array.shards, array.chunks, strict=True))
        shards = Shards(counts, inside["index_location"] == "end", len(index) == 2)
    order = tuple(codecs.pop(0)["configuration"]["order"]) if codecs[0]["name"] == "transpose" else None
    if codecs[0]["name"] != "bytes":
        return None
    stored = dtype.newbyteorder(_endian(codecs.pop(0)))
    checksum = bool(codecs) and codecs[-1]["name"] == "crc32c"
    names = [codec["name"] for codec in codecs[: len(codecs) - checksum]] or [None]
    known = len(names) == 1 and names[0] in DECODERS and (_crc32c() or not (checksum or index_checked(shards)))
    return Plan(array.chunks, order, stored, names[0], checksum, shards) if known else None


def index_checked(shards: Shards | None) -> bool:
    """Whether the list of a shard's chunks has a checksum."""
    return shards is not None and shards.checksum


def _endian(codec: dict[str, Any]) -> str:
    return ">" if codec.get("configuration", {}).get("endian") == "big" else "<"


class Chunks:
    """A zarr array as the source of a volume."""

    def __init__(self, array: Any, plan: Plan, root: str) -> None:
        """`root` is the real path of the folder that holds all of the array's files."""
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = plan.dtype
        self._plan = plan
        self._root = root
        self._folder = os.path.join(root, array.path) if array.path else root
        self._key = array.metadata.encode_chunk_key
        self._fill = array.fill_value if array.fill_value is not None else 0
        self._bytes = math.prod(plan.shape) * plan.dtype.itemsize

    def __getitem__(self, index: Cut) -> NDArray[Any]:
        """Read and decode the chunks that the piece touches."""
        return self.filled(index, np.empty)

    def filled(self, index: Cut, empty: Empty) -> NDArray[Any]:
        """The same, in memory of the caller's."""
        places = [range(*item.indices(length)) for item, length in zip(index, self.shape, strict=True)]
        out: NDArray[Any] = empty([len(place) for place in places], self.dtype)
        parts = [list(_parts(place, length)) for place, length in zip(places, self._plan.shape, strict=True)]
        pieces = itertools.product(*parts)
        if math.prod(map(len, parts)) == 1:
            self._fill_in(next(pieces), out)
            return out
        while some := list(itertools.islice(pieces, AT_ONCE)):
            list(_threads().map(lambda piece: self._fill_in(piece, out), some))
        return out

    def _fill_in(self, piece: tuple[Part, ...], out: NDArray[Any]) -> None:
        """Put what is wanted of one chunk where it belongs."""
        chunk = tuple(part[0] for part in piece)
        target = out[tuple(part[2] for part in piece)]
        whole = target.shape == self._plan.shape and target.flags.c_contiguous and self._plan.order is None
        try:
            found = self._decoded(chunk, target if whole else None)
        except MlexError:
            raise
        except (ValueError, RuntimeError, OSError, OverflowError) as error:
            raise self._damaged(chunk, str(error)) from error
        if found is None:
            target[...] = self._fill
        elif not whole:
            target[...] = found[tuple(part[1] for part in piece)]

    def _decoded(self, chunk: tuple[int, ...], into: NDArray[Any] | None) -> NDArray[Any] | None:
        """A chunk's values, or None for one that was never written."""
        order = self._plan.order
        shape = self._plan.shape if order is None else tuple(self._plan.shape[axis] for axis in order)
        shards = self._plan.shards
        file = chunk if shards is None else tuple(at // count for at, count in zip(chunk, shards.chunks, strict=True))
        with opened_inside(os.path.join(self._folder, self._key(file)), self._root) as descriptor:
            if descriptor is None:
                return None
            begin, size = (0, os.fstat(descriptor).st_size) if shards is None else self._in_shard(descriptor, chunk)
            if begin == MISSING:
                return None
            values = np.empty(shape, self.dtype) if into is None else into
            self._decode(descriptor, begin, size, values.reshape(-1).view(np.uint8))
        return values if order is None else values.transpose(np.argsort(order))

    def _decode(self, descriptor: int, begin: int, size: int, out: NDArray[np.uint8]) -> None:
        """Read this piece of a file, and decode it so that it fills `out`."""
        if self._plan.codec is None and not self._plan.checksum:
            if size != len(out) or os.preadv(descriptor, [out.data], begin) != size:
                raise ValueError(f"it holds {size} bytes in place of {len(out)}")
            return
        if size > 2 * self._bytes + 4096:
            raise ValueError(f"it has {size} bytes for {self._bytes} of values")
        data = memoryview(os.pread(descriptor, size, begin))
        if len(data) < size:
            raise ValueError("it is cut off")
        if self._plan.checksum:
            data = _checked(data)
        DECODERS[self._plan.codec](data, out)

    def _in_shard(self, descriptor: int, chunk: tuple[int, ...]) -> tuple[int, int]:
        """Where in its shard a chunk begins, and its size; MISSING for one that was never written."""
        shards = self._plan.shards
        assert shards is not None
        length = os.fstat(descriptor).st_size
        size = 16 * math.prod(shards.chunks) + 4 * shards.checksum
        if length < size or size > LARGEST_INDEX:
            raise ValueError("its shard is cut off")
        listed = memoryview(os.pread(descriptor, size, length - size if shards.at_end else 0))
        places = np.frombuffer(_checked(listed) if shards.checksum else listed, "<u8").reshape(*shards.chunks, 2)
        begin, size = map(int, places[tuple(at % count for at, count in zip(chunk, shards.chunks, strict=True))])
        if (begin, size) == (MISSING, MISSING):
            return MISSING, 0
        if begin + size > length:
            raise ValueError("its shard is cut off")
        return begin, size

    def _damaged(self, chunk: tuple[int, ...], why: str) -> Invalid:
        where = ", ".join(map(str, chunk))
        return Invalid(f"The chunk {where} of {self._folder} is damaged: {why[:200]}.", hint="Copy the volume again.")


def _parts(place: range, length: int) -> Iterator[Part]:
    """For each chunk along an axis: its number, what is wanted of it, and where in the piece that goes."""
    first = 0
    while first < len(place):
        number = place[first] // length
        last = min(len(place), -(-((number + 1) * length - place.start) // place.step))
        begin = place[first] - number * length
        yield number, slice(begin, place[last - 1] - number * length + 1, place.step), slice(first, last)
        first = last


def _checked(data: memoryview) -> memoryview:
    """The data in front of its checksum, which holds."""
    crc32c = _crc32c()
    if len(data) < 4 or crc32c is None or crc32c(bytes(data[:-4])) != int.from_bytes(data[-4:], "little"):
        raise ValueError("its checksum does not hold")
    return data[:-4]


@cache
def _crc32c() -> Any:
    """The function of the package that zarr itself uses, or None where it uses another."""
    try:
        from google_crc32c import value
    except ImportError:
        return None
    return value


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="chunks")
