"""Painting: a stroke until it is acknowledged, along z and across 64 slices, taken back, and a slice read again.

Beside it stands a plain SQLite with one table of tiles, durable too, that replaces the same bytes in one commit; for
the first stroke across a version that nobody has looked at yet, zarr that reads its slices.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from sqlalchemy import select

from mlex_jupyter.app import Mlex
from mlex_jupyter.data.painted import create
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.tables import label_tiles
from mlex_jupyter.types import Painted, Patch, Stroke
from tests.bench.figures import Figure, median, quantile, seconds

SHAPE = (96, 4096, 4096)
DEEP = 64
BRUSH = 48
ROUNDS = 30
COLD_ROUNDS = 5
P99_MS = 50.0
"""What is drawn seems to follow the hand."""
ACROSS_MS = 100.0

Times = dict[str, list[float]]


def figures() -> list[Figure]:
    """Medians, and the slowest of a hundred along z."""
    with tempfile.TemporaryDirectory() as folder:
        return [*asyncio.run(_measured(Path(folder))), asyncio.run(_over_a_version(Path(folder)))]


async def _measured(folder: Path) -> list[Figure]:
    np.lib.format.open_memmap(folder / "volume.npy", "w+", np.uint8, SHAPE)  # sparse: nothing of it is read
    mlex = Mlex(Settings.load(home=folder / "home"))
    await mlex.register(str(folder / "volume.npy"))
    await mlex.create_labels("volume", "labels", class_names=("pore", "grain"))
    plain = Plain(folder / "plain.db")
    noise = np.random.default_rng(0)
    ours: Times = {"along z": [], "across y": [], "across x": [], "undo": [], "slice": []}
    theirs: Times = {name: [] for name in ours}
    for _ in range(8):  # tiles that hold something
        await _paint(mlex, _blob(noise, 0, int(noise.integers(0, 8)), 600, 600))
    for number in range(ROUNDS + 2):
        works = {
            "along z": _blob(noise, 0, int(noise.integers(0, DEEP)), BRUSH, BRUSH),
            "across y": _blob(noise, 1, int(noise.integers(0, SHAPE[1])), DEEP, BRUSH),
            "across x": _blob(noise, 2, int(noise.integers(0, SHAPE[2])), DEEP, BRUSH),
        }
        for name, patch in works.items():
            took, painted = await _ms(lambda patch=patch: _paint(mlex, patch))
            rows = await _rows(mlex, painted)
            beside = plain.replace(rows)
            if number > 1:
                ours[name].append(took)
                theirs[name].append(beside)
        took, painted = await _ms(lambda: mlex.undo("volume", "labels"))
        beside = plain.replace(await _rows(mlex, painted))
        looked, _ = await _ms(lambda: mlex.label_slice("volume", "labels", index=number % 8))
        if number > 1:
            ours["undo"].append(took)
            theirs["undo"].append(beside)
            ours["slice"].append(looked)
            theirs["slice"].append(plain.slice(number % 8))
    mlex.close()
    plain.close()
    return _told(ours, theirs)


async def _over_a_version(folder: Path) -> Figure:
    settings, noise = Settings.load(home=folder / "versions"), np.random.default_rng(2)
    shape = (DEEP, *SHAPE[1:])
    labels = create(folder / "labels.zarr", shape)
    slice_YX = np.zeros(shape[1:], np.uint8)
    for row, column, side, value in noise.integers((0, 0, 50, 1), (3500, 3500, 600, 3), (60, 4)):
        slice_YX[row : row + side, column : column + side] = value
    for z in range(DEEP):
        labels[z] = np.roll(slice_YX, z, 0)
    mlex = Mlex(settings)
    np.lib.format.open_memmap(folder / "deep.npy", "w+", np.uint8, shape)
    await mlex.register(str(folder / "deep.npy"))
    version = await mlex.import_labels("deep", str(folder / "labels.zarr"))
    mlex.close()
    ours, theirs = [], []
    for _ in range(COLD_ROUNDS):
        again = Mlex(settings)  # that has looked at nothing
        patch = _blob(noise, 1, int(noise.integers(0, SHAPE[1])), DEEP, BRUSH).model_copy(update={"row": 0})
        took, _ = await _ms(
            lambda again=again, patch=patch: again.paint("deep", "labels", Stroke(patches=(patch,), as_of=1 << 40))
        )
        again.close()
        ours.append(took)
        array = zarr.open_array(version.uri, mode="r")
        theirs.append(1000 * seconds(lambda array=array: [array[z] for z in range(DEEP)]))
    said = f"the first stroke across y of a version, {DEEP} slices, p50"
    return Figure(said, median(ours), "ms", median(theirs), "zarr that reads these slices")


def _told(ours: Times, theirs: Times) -> list[Figure]:
    against, read = "the same bytes into a plain SQLite", "the same rows out of a plain SQLite"
    names = {
        "along z": ("stroke along z, 4096² slices, p50", None),
        "across y": (f"stroke across y, {DEEP} slices, p50", ACROSS_MS),
        "across x": (f"stroke across x, {DEEP} slices, p50", ACROSS_MS),
        "undo": ("undo of a stroke across x, p50", ACROSS_MS),
        "slice": ("a slice of the draft, 4096², p50", None),
    }
    found = [
        Figure(said, median(ours[name]), "ms", median(theirs[name]), read if name == "slice" else against, limit)
        for name, (said, limit) in names.items()
    ]
    worst = quantile(ours["along z"], 0.99), quantile(theirs["along z"], 0.99)
    return [*found, Figure("stroke along z, p99", worst[0], "ms", worst[1], against, P99_MS)]


def _blob(noise: np.random.Generator, axis: int, index: int, height: int, width: int) -> Patch:
    """A ragged spot somewhere on a slice across this axis."""
    down, along = (length for place, length in enumerate(SHAPE) if place != axis)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    mask = (rows**2 + columns**2 < noise.uniform(0.8, 1.2, (height, 1))).reshape(-1)
    turns = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    runs = np.diff(np.concatenate([[0], turns, [mask.size]])).tolist()
    return Patch(
        axis=axis,
        index=index,
        row=int(noise.integers(0, down - height + 1)),
        column=int(noise.integers(0, along - width + 1)),
        height=height,
        width=width,
        value=int(noise.integers(1, 3)),
        runs=tuple(runs),
    )


async def _paint(mlex: Mlex, patch: Patch) -> Painted:
    return await mlex.paint("volume", "labels", Stroke(patches=(patch,), as_of=1 << 40))


async def _rows(mlex: Mlex, painted: Painted) -> list[tuple[Any, ...]]:
    """What the change wrote of tiles."""
    table = label_tiles.c
    query = select(table.z, table.row, table.col, table.version, table.packed).where(table.version == painted.number)
    return await mlex.store.read(lambda tx: [tuple(row) for row in tx.execute(query)])


async def _ms(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = await work()
    return 1000 * (time.perf_counter() - begun), found


class Plain:
    """One table of tiles, without history, versions, counts or undo."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE tiles (z INTEGER, row INTEGER, col INTEGER, version INTEGER, packed BLOB, "
            "PRIMARY KEY (z, row, col)) WITHOUT ROWID"
        )

    def replace(self, rows: list[tuple[Any, ...]]) -> float:
        """Milliseconds until these are durable."""
        begun = time.perf_counter()
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        return 1000 * (time.perf_counter() - begun)

    def slice(self, z: int) -> float:
        """Milliseconds until the tiles of a slice are here."""
        begun = time.perf_counter()
        self._database.execute("SELECT * FROM tiles WHERE z = ?", (z,)).fetchall()
        return 1000 * (time.perf_counter() - begun)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
