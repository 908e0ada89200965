"""Zarr: metadata that lie, codecs that run or explode, chunks that are elsewhere, images that point elsewhere."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import blosc, lz4, zstd
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from tests.hostile import Case, Cases, Ground

VALUES = np.zeros((4, 32, 32), np.uint8)
BOMB = 1 << 27

V3: dict[str, dict[str, Any]] = {
    "a petabyte": {"shape": [10**6, 10**6, 10**6]},
    "more than an int64": {"shape": [2**40, 2**40, 2**40]},
    "a length beyond all": {"shape": [10**400, 32, 32]},
    "a negative length": {"shape": [-4, 32, 32]},
    "no axes": {"shape": []},
    "a text as shape": {"shape": "many"},
    "null as shape": {"shape": None},
    "floats as shape": {"shape": [4.5, 32, 32]},
    "chunks of nothing": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 32, 32]}}},
    "negative chunks": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [-1, 32, 32]}}},
    "chunks beyond memory": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**20] * 3}}},
    "chunks beyond all": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**62] * 3}}},
    "two axes of chunks": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32, 32]}}},
    "a grid of no kind": {"chunk_grid": {"name": "os.system", "configuration": {"chunk_shape": [1, 32, 32]}}},
    "objects": {"data_type": "object"},
    "text": {"data_type": "string"},
    "bytes": {"data_type": "bytes"},
    "a type of gigabytes": {"data_type": "r34359738368"},
    "a type with fields": {"data_type": {"name": "structured", "configuration": {"fields": [["a", "int8"]]}}},
    "complex": {"data_type": "complex64", "fill_value": [0, 0]},
    "no codecs": {"codecs": []},
    "null as codecs": {"codecs": None},
    "an unknown codec": {"codecs": [{"name": "bytes"}, {"name": "os.system"}]},
    "the codec pickle": {"codecs": [{"name": "numcodecs.pickle"}]},
    "the codec pickle plainly": {"codecs": [{"name": "pickle"}]},
    "the codec msgpack": {"codecs": [{"name": "numcodecs.msgpack2"}]},
    "the codec json": {"codecs": [{"name": "numcodecs.json2"}]},
    "a codec of text": {"codecs": [{"name": "vlen-utf8"}]},
    "a codec from elsewhere": {"codecs": [{"name": "https://example.org/codec"}, {"name": "bytes"}]},
    "a hundred thousand codecs": {"codecs": [{"name": "bytes"}] + [{"name": "crc32c"}] * 100_000},
    "shards in shards": {"codecs": [{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [1, 32, 32],
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 32, 32], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}}]},
    "a shard of 0": {"codecs": [{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [0, 0, 0], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}}]},
    "an order of no axes": {"codecs": [
        {"name": "transpose", "configuration": {"order": [7, 8, 9]}}, {"name": "bytes"}]},
    "an order of text": {"codecs": [{"name": "transpose", "configuration": {"order": "F"}}, {"name": "bytes"}]},
    "storage elsewhere": {"storage_transformers": [{"name": "reference", "configuration": {"path": "/etc/passwd"}}]},
    "keys that climb": {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../../"}}},
    "keys of no kind": {"chunk_key_encoding": {"name": "os.system", "configuration": {"separator": "/"}}},
    "a fill of text": {"fill_value": "__import__('os')"},
    "a fill beyond the type": {"fill_value": 10**30},
    "a fill of gigabytes": {"fill_value": [0] * 100_000},
    "an unknown word that must be understood": {"elsewhere": {"must_understand": True}},
    "a format of the future": {"zarr_format": 4},
    "a format of text": {"zarr_format": "__import__"},
    "neither array nor group": {"node_type": "symlink"},
    "names for other axes": {"dimension_names": ["../../outside", "\x00", "x" * 100_000]},
    "attributes without end": {"attributes": {str(number): "x" * 100 for number in range(20_000)}},
}  # fmt: skip
V2: dict[str, dict[str, Any]] = {
    "a petabyte": {"shape": [10**6, 10**6, 10**6]},
    "a negative length": {"shape": [-4, 32, 32]},
    "chunks of nothing": {"chunks": [0, 32, 32]},
    "chunks beyond memory": {"chunks": [2**20, 2**20, 2**20]},
    "objects through pickle": {"dtype": "|O", "filters": [{"id": "pickle"}]},
    "the filter pickle": {"filters": [{"id": "pickle", "protocol": 5}]},
    "the compressor pickle": {"compressor": {"id": "pickle"}},
    "the filter json": {"filters": [{"id": "json2"}], "dtype": "|O"},
    "the filter msgpack": {"filters": [{"id": "msgpack2"}], "dtype": "|O"},
    "the filter categorize": {"filters": [{"id": "categorize", "labels": ["a"], "dtype": "|O"}]},
    "an unknown compressor": {"compressor": {"id": "os.system"}},
    "a compressor without a name": {"compressor": {}},
    "a compressor that is text": {"compressor": "zlib"},
    "fields": {"dtype": [["a", "|O"]]},
    "text": {"dtype": "<U100000000"},
    "dates": {"dtype": "<M8[ns]"},
    "no type": {"dtype": "nothing"},
    "no order": {"order": "X"},
    "keys that climb": {"dimension_separator": "/../../"},
    "a fill of base64": {"fill_value": "gASVIAAAAA=="},
}
PATHS = (
    "../../outside/secret.zarr", "/etc", "..", ".", "", "a/../../b", "fine\0", "C:\\", "//outside",
    "file:///etc/passwd", "s3://bucket/key", "fine::zip",
)  # fmt: skip
TEXTS = {
    "no text": b"\xff\xfe\x00",
    "half a brace": b"{",
    "a list": b"[]",
    "null": b"null",
    "deep": b'{"a":' * 50_000,
    "a number": b"1e999",
    "twice the same": b'{"zarr_format": 3, "zarr_format": 2, "node_type": "array"}',
    "not a number": b'{"zarr_format": NaN}',
    "17 megabytes": b'{"zarr_format": 3, "x": "' + b"x" * (17 << 20) + b'"}',
}


def cases(at: Ground) -> Cases:
    """All of them."""
    for name, change in V3.items():
        yield Case(f"zarr 3 with {name}", _changed(at, "zarr.json", change, zarr_format=3))
    for name, change in V2.items():
        yield Case(f"zarr 2 with {name}", _changed(at, ".zarray", change, zarr_format=2))
    for name, text in TEXTS.items():
        for mark in ("zarr.json", ".zarray", ".zgroup"):
            folder = at.place("a.zarr")
            folder.mkdir()
            (folder / mark).write_bytes(text)
            yield Case(f"{mark} that is {name}", str(folder))
    for path in PATHS:
        yield Case(f"an image whose finest level is {path!r}", _image(at, path))
    yield from _consolidated(at)
    yield from _elsewhere(at)
    yield from _bombs(at)
    yield from _shards(at)


def _stored(at: Ground, **how: Any) -> Path:
    folder = at.place("a.zarr")
    zarr.create_array(folder, data=VALUES + 1, chunks=(1, 32, 32), **how)
    return folder


def _changed(at: Ground, mark: str, change: dict[str, Any], zarr_format: int) -> str:
    folder = _stored(at, zarr_format=zarr_format)
    said = json.loads((folder / mark).read_text())
    (folder / mark).write_text(json.dumps(said | change))
    return str(folder)


def _image(at: Ground, path: str) -> str:
    folder = at.place("a.ome.zarr")
    group = zarr.open_group(folder, mode="w")
    group.create_array("fine", data=VALUES)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": path}]}]}
    return str(folder)


def _consolidated(at: Ground) -> Cases:
    """What is said in one place of all arrays may be another thing than what the arrays say."""
    folder = at.place("a.zarr")
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("fine", data=VALUES)
    group.attrs["multiscales"] = [{"datasets": [{"path": "fine"}]}]
    zarr.consolidate_metadata(folder)
    said = json.loads((folder / ".zmetadata").read_text())
    said["metadata"]["fine/.zarray"] |= {"dtype": "|O", "filters": [{"id": "pickle"}]}
    (folder / ".zmetadata").write_text(json.dumps(said))
    yield Case("consolidated metadata with pickle", str(folder))


def _elsewhere(at: Ground) -> Cases:
    secret = at.outside / "secret.zarr"
    for part in ("c/2/0/0", "c/2/0", "c", "zarr.json"):
        folder = _stored(at, compressors=None)
        place = folder / part
        if place.is_dir():
            os.rename(place, folder / "left")
        else:
            place.unlink()
        place.symlink_to(secret / part)
        yield Case(f"zarr whose {part} is a link to a secret", str(folder))
    for target in ("/etc/passwd", "/proc/self/environ", "/dev/zero", "../../../../../outside/secret.raw", "/nowhere"):
        folder = _stored(at, compressors=None)
        chunk = folder / "c/2/0/0"
        chunk.unlink()
        chunk.symlink_to(target)
        yield Case(f"zarr with a chunk that is a link to {target}", str(folder))
    pipe = _stored(at, compressors=None)
    (pipe / "c/2/0/0").unlink()
    os.mkfifo(pipe / "c/2/0/0")
    yield Case("zarr with a chunk that is a pipe", str(pipe))
    inner = _stored(at, compressors=None)
    (inner / "c/2/0/0").unlink()
    (inner / "c/2/0/0").mkdir()
    yield Case("zarr with a chunk that is a folder", str(inner))
    linked = at.place("a.zarr")
    linked.symlink_to(secret)
    yield Case("a link to a zarr that is secret", str(linked))
    image = Path(_image(at, "fine"))
    os.rename(image / "fine", image / "left")
    (image / "fine").symlink_to(secret)
    yield Case("an image whose level is a link to a secret", str(image))


def _bombs(at: Ground) -> Cases:
    """Chunks that would be a quarter of a gigabyte, or say so, where a thousand bytes are meant."""
    zeros = bytes(BOMB)
    packed = {
        "zstd": (ZstdCodec(), zstd.compress(zeros, 1)),
        "gzip": (GzipCodec(), gzip.compress(zeros, 1)),
        "blosc": (BloscCodec(cname="zstd"), blosc.compress(zeros, b"zstd", 1)),
    }
    for name, (codec, bomb) in packed.items():
        contents = {
            "a bomb": bomb,
            "noise": os.urandom(500),
            "nothing": b"",
            "one byte": b"\x28",
            "half of it": bomb[: len(bomb) // 2],
        }
        for what, content in contents.items():
            folder = _stored(at, compressors=codec)
            (folder / "c/2/0/0").write_bytes(content)
            yield Case(f"a chunk of {name} that is {what}", str(folder))
    lies = {
        "zstd that says an exabyte": (ZstdCodec(), b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**60) + b"\0" * 40),
        "zstd that says no size": (ZstdCodec(), b"\x28\xb5\x2f\xfd\x00\x58" + b"\x02\x00\x00\x01" * 3000),
        "blosc that says gigabytes": (BloscCodec(), struct.pack("<BBBBIII", 2, 1, 1, 1, 2**31 - 17, 2**20, 2**31 - 17)),
        "blosc that says more than there is": (BloscCodec(), struct.pack("<BBBBIII", 2, 1, 1, 1, 1024, 1024, 2**31)),
        "blosc of blocks of nothing": (BloscCodec(), struct.pack("<BBBBIII", 2, 1, 1, 1, 1024, 0, 16)),
        "blosc of blocks at random": (BloscCodec(), struct.pack("<BBBBIII", 2, 1, 0, 1, 1024, 64, 400) + b"\xff" * 384),
        "blosc that is plain": (BloscCodec(), struct.pack("<BBBBIII", 2, 1, 2, 1, 1024, 1024, 16)),
    }
    for name, (codec, content) in lies.items():
        folder = _stored(at, compressors=codec)
        (folder / "c/2/0/0").write_bytes(content)
        yield Case(f"a chunk of {name}", str(folder))
    old = {"zlib": zlib.compress(zeros, 1), "lz4": lz4.compress(zeros), "lz4 noise": os.urandom(300)}
    for name, content in old.items():
        folder = at.place("a.zarr")
        zarr.create_array(folder, shape=(4, 32, 32), chunks=(1, 32, 32), dtype="u1", zarr_format=2, compressors=None)
        said = json.loads((folder / ".zarray").read_text())
        (folder / ".zarray").write_text(json.dumps(said | {"compressor": {"id": name.split()[0]}}))
        (folder / "2.0.0").write_bytes(content)
        yield Case(f"a chunk of {name} that explodes", str(folder))
    long = _stored(at, compressors=None)
    with open(long / "c/2/0/0", "wb") as file:
        file.truncate(1 << 40)
    yield Case("a chunk of a terabyte of holes", str(long))


def _shards(at: Ground) -> Cases:
    def shard(name: str, codec: Any, places: list[tuple[int, int]], before: bytes = b"\1" * 4096) -> Case:
        folder = at.place("a.zarr")
        zarr.create_array(folder, data=VALUES + 1, chunks=(1, 32, 32), shards=(4, 32, 32), compressors=codec)
        said = json.loads((folder / "zarr.json").read_text())
        said["codecs"][0]["configuration"]["index_codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        (folder / "zarr.json").write_text(json.dumps(said))
        (folder / "c/0/0/0").write_bytes(before + b"".join(struct.pack("<QQ", *place) for place in places))
        return Case(f"a shard {name}", str(folder))

    yield shard("whose chunks lie behind its end", None, [(2**40, 1024)] * 4)
    yield shard("whose chunks are exabytes", None, [(0, 2**62)] * 4)
    yield shard("whose places overflow", None, [(2**64 - 10, 1024)] * 4)
    yield shard("whose sizes overflow", None, [(10, 2**64 - 2)] * 4)
    yield shard("whose index is a chunk too", None, [(4096 - 64, 1024)] * 4)
    yield shard("whose chunks are all the same", None, [(0, 1024)] * 4)
    yield shard("without places", None, [])
    yield shard("without anything", None, [], b"")
    packed = blosc.compress(bytes(range(256)) * 4, b"lz4", 5)
    yield shard("of blosc that is cut off", BloscCodec(), [(0, 20)] * 4, packed)
    packed = struct.pack("<BBBBIII", 2, 1, 1, 1, 1024, 1024, 2**31)
    yield shard("of blosc that lies", BloscCodec(), [(0, 100)] * 4, packed)
    yield shard("of a bomb", GzipCodec(), [(0, 4096)] * 4, gzip.compress(bytes(1 << 22)))
    checked = at.place("a.zarr")
    zarr.create_array(checked, data=VALUES + 1, chunks=(1, 32, 32), shards=(4, 32, 32))
    whole = (checked / "c/0/0/0").read_bytes()
    (checked / "c/0/0/0").write_bytes(whole[:-20] + b"\0" * 20)
    yield Case("a shard whose checksum does not hold", str(checked))
