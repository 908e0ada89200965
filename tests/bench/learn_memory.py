"""Memory of a prediction over the size of the volume, as the process that a job is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlex_jupyter.jobfolder import JobFolder
from tests.bench import segmented
from tests.bench.figures import Figure
from tests.learning import start

SIZES = ((256, 256, None), (512, 512, "240:272"), (2048, 1024, "1000:1024"), (64, 2048, "30:34"), (16, 4096, "7:9"))
"""Slices, their side, and which are predicted, so that it does not take all day."""
MOST_GB = 1.5
UNET = "mlex_jupyter.learn.models.unet:unet"
LARGE = (16, 4096, "7:8")


def figures() -> list[Figure]:
    """The most that was resident, in GB, of a small network on all sizes, and of a large one on the largest."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _, small = segmented.network(folder / "small", UNET, depth=3, base_channels=8)
        _, large = segmented.network(folder / "large", depth=4, base_channels=16)
        asked = [*((*size, small, "U-Net") for size in SIZES), (*LARGE, large, "TUNet")]
        found = [_of_volume(folder / str(number), *one[:4]) for number, one in enumerate(asked)]
    against = f"{SIZES[0][0]} × {SIZES[0][1]}²"
    return [
        Figure(f"memory, {name}, {slices} × {size}²", gb, "GB", found[0], against, limit=MOST_GB)
        for (slices, size, _, _, name), gb in zip(asked, found, strict=True)
    ]


def _of_volume(folder: Path, slices: int, size: int, asked: str | None, trained: Path) -> float:
    data = segmented.volume(folder / "volume.zarr", slices, size, asked)
    return resident_gb(segmented.job(folder / "run", data, trained, slices=asked))


def resident_gb(job: JobFolder) -> float:
    """The most that was in memory, of a job as a process of its own on one core."""
    process = start(job, MLEX_CPUS="1")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, job.log.read_text()
    return usage.ru_maxrss * 1024 / 1e9
