"""A slice out of a zarr volume of whole slices: our reader, the reader process, and plain tensorstore."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from mlex_jupyter.app import Mlex
from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset
from tests.bench import peers
from tests.bench.figures import Figure, median

SHAPE = (96, 1024, 1024)
ROUNDS = 7
AT_MOST = 1.3

TENSORSTORE = """
import json, sys, time, tensorstore as ts
array = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": sys.argv[1]}}, read=True).result()
for line in sys.stdin:
    times = []
    for z in json.loads(line):
        begun = time.perf_counter()
        array[z].read().result()
        times.append(1000 * (time.perf_counter() - begun))
    print(json.dumps(times), flush=True)
"""


def figures() -> list[Figure]:
    """p50 of a slice that nobody has decoded yet; the file system has its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            found for name, level in (("zstd", 1), ("no compression", None)) for found in _of(Path(folder), name, level)
        ]


def _of(folder: Path, name: str, level: int | None) -> list[Figure]:
    path = folder / f"{level}.zarr"
    compressors: Any = [ZstdCodec(level=level)] if level else None
    array = zarr.create_array(
        path,
        shape=SHAPE,
        chunks=(1, *SHAPE[1:]),
        dtype="uint8",
        compressors=compressors,
        dimension_names=("z", "y", "x"),
    )
    noise = np.random.default_rng(0)
    for z in range(SHAPE[0]):
        array[z] = np.clip(noise.normal(128, 9, SHAPE[1:]), 0, 255).astype("uint8")
    plain, reader, process = asyncio.run(_measured(folder, path))
    against = "tensorstore on the same store"
    about = f"slice of 1024², {name}"
    return [
        Figure(f"{about}: our reader, p50", median(reader), "ms", median(plain), against, AT_MOST * median(plain)),
        Figure(f"{about}: through the reader process, p50", median(process), "ms", median(plain), against),
    ]


async def _measured(folder: Path, path: Path) -> tuple[list[float], list[float], list[float]]:
    mlex = Mlex(Settings.load(home=folder / f"home-{path.stem}"))
    dataset = await mlex.register(str(path))
    other = subprocess.Popen(
        [peers.python(), "-c", TENSORSTORE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    order = list(map(int, np.random.default_rng(1).permutation(SHAPE[0])))
    plain: list[float] = []
    reader: list[float] = []
    process: list[float] = []
    try:
        for number in range(ROUNDS + 1):
            assert other.stdin is not None and other.stdout is not None
            other.stdin.write(f"{order}\n")
            other.stdin.flush()
            found = [await asyncio.to_thread(_answer, other), _read(dataset, order), await _asked(mlex, dataset, order)]
            if number:  # the first warms up
                for times, new in zip((plain, reader, process), found, strict=True):
                    times += new
    finally:
        other.terminate()
        other.wait()
        mlex.close()
    return plain, reader, process


def _answer(other: subprocess.Popen[str]) -> list[float]:
    import json

    assert other.stdout is not None
    return list(json.loads(other.stdout.readline()))


def _read(dataset: Dataset, order: list[int]) -> list[float]:
    times = []
    with open_volume(dataset) as volume:
        for z in order:
            begun = time.perf_counter()
            volume[z]
            times.append(1000 * (time.perf_counter() - begun))
    return times


async def _asked(mlex: Mlex, dataset: Dataset, order: list[int]) -> list[float]:
    times = []
    for z in order:
        begun = time.perf_counter()
        await mlex.catalog.reading.plane(dataset, axis=0, index=z)
        times.append(1000 * (time.perf_counter() - begun))
    return times
