"""Codecs: which ones a zarr array may have, and those that are decoded here, to the length that a chunk must have.

What is not in the list is refused before anything is decoded: the numcodecs package knows some that run code
(pickle), and other packages may add what they like.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numcodecs import blosc, lz4, zstd
from numpy.typing import NDArray

from mlex_jupyter.errors import Invalid

Bytes = NDArray[np.uint8]
Decode = Callable[[memoryview, Bytes], None]

NUMBERS = ("astype", "bitround", "delta", "fixedscaleoffset", "quantize", "shuffle")
PACKED = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
CHECKED = ("adler32", "crc32", "crc32c", "fletcher32")
ALLOWED = frozenset(
    {
        *("bytes", "endian", "transpose", "sharding_indexed"),
        *(prefix + name for prefix in ("", "numcodecs.") for name in (*NUMBERS, *PACKED, *CHECKED)),
    }
)
MOST = 32
"""Codecs of one array; zarr takes minutes over thousands."""
BLOSC_HEAD = struct.Struct("<4xI4xI")


def check_number(said: Any, uri: str) -> None:
    """Invalid where metadata, of an array or of all arrays of a group, have endlessly many codecs."""
    if not isinstance(said, dict):
        return
    for name in ("codecs", "filters"):
        if isinstance(said.get(name), list) and len(said[name]) > MOST:
            raise Invalid(f"{uri} is stored with {len(said[name])} codecs, one after another.")
    for name in ("consolidated_metadata", "metadata"):
        if isinstance(said.get(name), dict):
            for inner in (said[name], *said[name].values()):
                check_number(inner, uri)


def check_codecs(metadata: Mapping[str, Any], uri: str) -> None:
    """Invalid where an array, of which these are the metadata, has codecs that are not in the list."""
    if metadata.get("storage_transformers"):
        raise Invalid(f"{uri} has storage transformers, which say that its values are elsewhere.")
    if metadata["zarr_format"] == 2:
        named = [metadata["compressor"], *(metadata["filters"] or [])]
        used = [codec["id"] for codec in named if codec]
    else:
        used = list(_names(metadata["codecs"], uri))
    for name in used:
        if name not in ALLOWED:
            raise Invalid(
                f"{uri} is stored with the codec {str(name)[:80]!r}, which is not opened here.",
                hint=f"Store it with one of {', '.join(PACKED)}.",
            )


def _names(codecs: Iterable[Mapping[str, Any]], uri: str, depth: int = 0) -> Iterable[str]:
    for codec in codecs:
        yield codec["name"]
        if codec["name"] == "sharding_indexed":
            if depth:
                raise Invalid(f"{uri} has shards inside of shards.", hint="Store it with one level of shards.")
            inside = codec["configuration"]
            yield from _names(inside["codecs"], uri, 1)
            yield from _names(inside["index_codecs"], uri, 1)


def _plain(data: memoryview, out: Bytes) -> None:
    _same(len(data), len(out))
    out[:] = np.frombuffer(data, np.uint8)


def _zstd(data: memoryview, out: Bytes) -> None:
    said = _zstd_size(bytes(data[:18]))
    if said is not None:
        _same(said, len(out))
    zstd.decompress(data, out)  # without a size of its own in front it must fill `out`, or is an error


def _zstd_size(head: bytes) -> int | None:
    """The size that the first frame says it has; None where it says none."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("it is no zstd frame")
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    size = (single, 2, 4, 8)[flag]
    begin = 5 + (not single) + (0, 1, 2, 4)[head[4] & 3]
    return int.from_bytes(head[begin : begin + size], "little") + 256 * (size == 2) if size else None


def _blosc(data: memoryview, out: Bytes) -> None:
    if len(data) < 16:
        raise ValueError("it is cut off")
    said, stored = BLOSC_HEAD.unpack_from(data)
    _same(said, len(out))
    if stored > len(data):  # blosc would believe it, and read past the end
        raise ValueError("it is cut off")
    blosc.decompress(data, out)


def _deflate(data: memoryview, out: Bytes) -> None:
    inflating = zlib.decompressobj(wbits=47)  # gzip's head or zlib's
    values = inflating.decompress(data, len(out) + 1)
    _same(len(values), len(out))
    if not inflating.eof:
        inflating.decompress(inflating.unconsumed_tail, 1)
        if not inflating.eof:
            raise ValueError("it is cut off")
    out[:] = np.frombuffer(values, np.uint8)


def _lz4(data: memoryview, out: Bytes) -> None:
    _same(int.from_bytes(data[:4], "little"), len(out))
    lz4.decompress(data, out)


DECODERS: Mapping[str | None, Decode] = {
    None: _plain,
    "zstd": _zstd,
    "blosc": _blosc,
    "gzip": _deflate,
    "zlib": _deflate,
    "lz4": _lz4,
    "numcodecs.zstd": _zstd,
    "numcodecs.blosc": _blosc,
    "numcodecs.gzip": _deflate,
    "numcodecs.zlib": _deflate,
    "numcodecs.lz4": _lz4,
}


def _same(found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"it holds {found} bytes in place of {wanted}")
