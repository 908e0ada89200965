"""Chunks read straight from their files are what zarr itself reads, piece by piece, in every way they can be stored."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Delta
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from mlex_jupyter.data.bloscguard import guarded
from mlex_jupyter.data.chunks import Chunks
from mlex_jupyter.errors import Invalid

SHAPE = (7, 11, 13)
VALUES = np.random.default_rng(1).integers(0, 2**16, SHAPE).astype(np.uint16)
V3: dict[str, dict[str, Any]] = {
    "plain": {"compressors": None},
    "zstd": {"compressors": ZstdCodec(level=1)},
    "zstd with a checksum of its own": {"compressors": ZstdCodec(level=1, checksum=True)},
    "gzip": {"compressors": GzipCodec()},
    "blosc": {"compressors": BloscCodec()},
    "blosc shuffled": {"compressors": BloscCodec(cname="zstd", shuffle="bitshuffle")},
    "with checksums": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "only checksums": {"compressors": Crc32cCodec()},
    "big-endian": {"serializer": BytesCodec(endian="big")},
    "in another order": {"filters": TransposeCodec(order=(2, 0, 1))},
    "with fills": {"fill_value": 42},
    "shards": {"shards": (4, 8, 10)},
    "shards of blosc": {"shards": (4, 8, 10), "compressors": BloscCodec()},
    "shards in another order": {"shards": (4, 8, 10), "filters": TransposeCodec(order=(1, 2, 0))},
}
V2: dict[str, dict[str, Any]] = {
    "blosc": {"compressors": {"id": "blosc"}},
    "zlib": {"compressors": {"id": "zlib"}},
    "lz4": {"compressors": {"id": "lz4"}},
    "gzip": {"compressors": {"id": "gzip"}},
    "plain": {"compressors": None},
    "columns first": {"order": "F"},
    "big-endian": {"dtype": ">u2"},
    "dots and slashes": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
}
PIECES = [
    np.s_[:, :, :],
    np.s_[3:4, :, :],
    np.s_[:, 5:6, :],
    np.s_[:, :, 12:13],
    np.s_[1:7:3, 2:11:4, 0:13:5],
    np.s_[6:7, 10:11, 12:13],
    np.s_[2:2, :, :],
    np.s_[0:7:6, 3:4, ::12],
]


def stored(path: Path, **how: Any) -> Any:
    """An array of which the last chunk along z was never written."""
    array = zarr.create_array(path, shape=SHAPE, chunks=(2, 4, 5), **({"dtype": "uint16"} | how))
    array[:6] = VALUES[:6]
    return array


@pytest.mark.parametrize("name", [*(f"3 {name}" for name in V3), *(f"2 {name}" for name in V2)])
def test_what_is_read_is_what_zarr_reads(tmp_path: Path, name: str) -> None:
    version, _, how = name.partition(" ")
    array = stored(tmp_path / "a.zarr", zarr_format=int(version), **(V3 if version == "3" else V2)[how])
    found = guarded(zarr.open_array(tmp_path / "a.zarr", mode="r"), "a.zarr")
    assert isinstance(found, Chunks)
    for piece in PIECES:
        np.testing.assert_array_equal(found[piece], array[piece])


@pytest.mark.parametrize("shards", [None, (4, 8, 10)])
def test_every_slice_of_every_step_is_that_of_zarr(tmp_path: Path, shards: tuple[int, ...] | None) -> None:
    array = stored(tmp_path / "a.zarr", shards=shards)
    found = guarded(zarr.open_array(tmp_path / "a.zarr", mode="r"), "a.zarr")
    whole = array[...]
    for begin, end, step in itertools.product((0, 1, 4, 5, 9), (5, 6, 10, 13), (1, 2, 3, 5, 7)):
        piece = np.s_[0:3, 1:9:2, begin:end:step]
        np.testing.assert_array_equal(found[piece], whole[piece])


def test_rare_codecs_are_left_to_zarr(tmp_path: Path) -> None:
    array = stored(tmp_path / "a.zarr", zarr_format=2, filters=[Delta("<u2")], compressors={"id": "blosc"})
    found = guarded(zarr.open_array(tmp_path / "a.zarr", mode="r"), "a.zarr")
    assert not isinstance(found, Chunks)
    np.testing.assert_array_equal(found[1:3], array[1:3])


@pytest.mark.parametrize("how", ["plain", "zstd", "gzip", "blosc", "with checksums", "shards", "shards of blosc"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999, 2.0])
def test_a_chunk_of_another_length_is_damaged_and_never_wrong(tmp_path: Path, how: str, part: float) -> None:
    array = stored(tmp_path / "a.zarr", **V3[how])
    found = guarded(zarr.open_array(tmp_path / "a.zarr", mode="r"), "a.zarr")
    whole = array[...]
    file = next(path for path in sorted((tmp_path / "a.zarr" / "c").rglob("*")) if path.is_file())
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)] + os.urandom(max(0, int(len(content) * (part - 1)))))
    try:
        read = found[:2, :4, :5]
    except Invalid as error:
        assert "damaged" in error.message
    else:
        np.testing.assert_array_equal(read, whole[:2, :4, :5])
        assert part > 1, "what was cut off must not go unseen"


def test_a_changed_byte_is_seen_where_there_are_checksums(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr", **V3["with checksums"])
    found = guarded(zarr.open_array(tmp_path / "a.zarr", mode="r"), "a.zarr")
    file = tmp_path / "a.zarr" / "c/0/0/0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(Invalid, match="checksum"):
        found[:1, :1, :1]
