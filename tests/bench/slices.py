"""A slice out of a zarr volume of whole slices: our reader, the reader process, and plain tensorstore.

Slices are asked for in no order; and one after another, each looked at for a moment, which lets a reader process read
the next one meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset, now
from tests.bench import peers
from tests.bench.figures import Figure, median

SHAPE = (96, 1024, 1024)
ROUNDS = 7
AT_MOST = 1.3
LOOKED_AT_S = 0.016
"""How long somebody who walks through slices sees each: a frame of a screen."""

TENSORSTORE = """
import json, sys, time, tensorstore as ts
array = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": sys.argv[1]}}, read=True).result()
for line in sys.stdin:
    times = []
    order, pause_s = json.loads(line)
    for z in order:
        time.sleep(pause_s)
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
    plain, reader, process, plain_walk, walk = (median(found) for found in asyncio.run(_measured(folder, path)))
    against = "tensorstore on the same store"
    about = f"slice of 1024², {name}"
    return [
        Figure(f"{about}: our reader, p50", reader, "ms", plain, against, AT_MOST * plain),
        Figure(f"{about}: through the reader process, p50", process, "ms", plain, against, AT_MOST * plain),
        Figure(f"{about}: the next of a walk, p50", walk, "ms", plain_walk, against, AT_MOST * plain_walk),
    ]


async def _measured(folder: Path, path: Path) -> tuple[list[float], ...]:
    reading = Reading(Settings.load(home=folder / f"home-{path.stem}"))
    dataset = Dataset(id="data-1", name="noise", created=now(), **(await reading.inspect(str(path))).model_dump())
    other = subprocess.Popen(
        [peers.python(), "-c", TENSORSTORE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    order = list(map(int, np.random.default_rng(1).permutation(SHAPE[0])))
    walk = sorted(order)
    times: tuple[list[float], ...] = ([], [], [], [], [])
    try:
        for number in range(ROUNDS + 1):
            found = [
                await asyncio.to_thread(_answer, other, order, 0.0),
                _read(dataset, order),
                await _asked(reading, dataset, order, 0.0),
                await asyncio.to_thread(_answer, other, walk, LOOKED_AT_S),
                await _asked(reading, dataset, walk, LOOKED_AT_S),
            ]
            if number:  # the first warms up
                for all_times, new in zip(times, found, strict=True):
                    all_times += new
    finally:
        other.terminate()
        other.wait()
    return times


def _answer(other: subprocess.Popen[str], order: list[int], pause_s: float) -> list[float]:
    assert other.stdin is not None and other.stdout is not None
    other.stdin.write(f"{json.dumps([order, pause_s])}\n")
    other.stdin.flush()
    return list(json.loads(other.stdout.readline()))


def _read(dataset: Dataset, order: list[int]) -> list[float]:
    times = []
    with open_volume(dataset) as volume:
        for z in order:
            begun = time.perf_counter()
            volume[z]
            times.append(1000 * (time.perf_counter() - begun))
    return times


async def _asked(reading: Reading, dataset: Dataset, order: list[int], pause_s: float) -> list[float]:
    times = []
    for z in order:
        await asyncio.sleep(pause_s)
        begun = time.perf_counter()
        await reading.plane(dataset, axis=0, index=z)
        times.append(1000 * (time.perf_counter() - begun))
    return times
