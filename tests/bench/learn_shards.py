"""A volume shared by a hundred jobs: how much of their time is of use, simulated from what one job costs.

Start-up and a slice's share are measured, on jobs of few slices, in seconds of a processor; which slices each job gets,
and in which bands, is what the jobs themselves work out. All wait for the slowest. A network on slices computes no
pixel twice, however the volume is shared.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlex_jupyter.learn.prediction import bands
from mlex_jupyter.types import part_of
from tests.bench import segmented
from tests.bench.figures import Figure, median
from tests.learning import start

SHARDS = 100
SLICES, SIDES = 2048, (1024, 2048)
MEASURED, SIDE = (1, 3), 1024
ROUNDS = 3
LEAST = 0.9


def figures() -> Iterator[Figure]:
    """Of the jobs' time, the share that one job alone would have taken."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _, trained = segmented.network(folder / "trained", steps=20, depth=4, base_channels=16)
        few, more = zip(*(_measured(folder / str(number), trained) for number in range(ROUNDS)), strict=True)
    slice_s = (median(more) - median(few)) / (MEASURED[1] - MEASURED[0])
    startup_s = median(few) - MEASURED[0] * slice_s
    yield Figure("start-up of a job that predicts", startup_s, "s", slice_s, "a slice of 1024², processor's time")
    for side in SIDES:
        each_s = slice_s * (side / SIDE) ** 2
        alone_s = startup_s + SLICES * each_s
        busy_s = SHARDS * max(startup_s + _slices(number, side) * each_s for number in range(1, SHARDS + 1))
        name = f"efficiency of {SHARDS} jobs on {SLICES} × {side}²"
        yield Figure(name, alone_s / busy_s, "", 1.0, "one job", least=LEAST)


def _slices(number: int, side: int) -> int:
    """How many a job computes, of all in bands as it cuts them."""
    mine = part_of(f"{number}/{SHARDS}", range(SLICES))
    found = bands.missing(mine, bands.slices_of_band((side, side)), ())
    assert [z for band in found for z in band] == list(mine), "each slice once"
    return sum(map(len, found))


def _measured(folder: Path, trained: Path) -> list[float]:
    """Seconds of a processor that jobs of so many slices take, from their start to their end."""
    folder.mkdir()
    data = segmented.volume(folder / "volume.zarr", max(MEASURED), SIDE)
    found = []
    for slices in MEASURED:
        process = start(segmented.job(folder / str(slices), data, trained, slices=f":{slices}"), MLEX_CPUS="1")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        found.append(usage.ru_utime + usage.ru_stime)
    return found
