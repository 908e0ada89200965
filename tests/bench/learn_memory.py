"""Memory of a prediction over the size of the volume, as the process that a job is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlex_jupyter.jobfolder import JobFolder
from tests.bench import segmented
from tests.bench.figures import Figure
from tests.learning import start

SIZES = ((256, 256), (32, 1024), (128, 1024), (2, 4096))
MOST_GB = 1.5
UNET = "mlex_jupyter.learn.models.unet:unet"


def figures() -> list[Figure]:
    """The most that was resident, in GB, with a small network so that it does not take all day."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _, trained = segmented.network(folder / "trained", UNET, depth=3, base_channels=8)
        found = []
        for slices, size in SIZES:
            data = segmented.volume(folder / f"{slices}-{size}.zarr", slices, size)
            found.append(resident_gb(segmented.job(folder / f"run-{slices}-{size}", data, trained)))
    return [
        Figure(f"memory for {slices} × {size}²", gb, "GB", found[0], f"{SIZES[0][0]} × {SIZES[0][1]}²", limit=MOST_GB)
        for (slices, size), gb in zip(SIZES, found, strict=True)
    ]


def resident_gb(job: JobFolder) -> float:
    """The most that was in memory, of a job as a process of its own on one core."""
    process = start(job, MLEX_CPUS="1")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, job.log.read_text()
    return usage.ru_maxrss * 1024 / 1e9
