"""A volume over HTTP into the home, beside a plain copy that is made durable as well."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from mlex_jupyter.remote import Remote
from tests.bench.figures import Figure, median
from tests.servers import end_processes_of, running_server

MEGABYTES = 512
ROUNDS = 5
AT_MOST = 1.5


def figures() -> list[Figure]:
    """Seconds for half a gigabyte."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        volume = Path(folder) / "scan.npy"
        np.save(volume, np.random.default_rng(0).integers(0, 2**16, (MEGABYTES // 2, 1024, 1024), dtype="uint16"))
        try:
            with running_server(home, app="server") as server:
                ours, copy = asyncio.run(_measured(server.url, server.token, volume))
        finally:
            end_processes_of(home)
    against = "cp and fsync of the same file"
    name = f"upload of {MEGABYTES} MB over HTTP, registered"
    return [Figure(name, median(ours), "s", median(copy), against, AT_MOST * median(copy))]


async def _measured(url: str, token: str, volume: Path) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    copies: list[float] = []
    async with Remote(url, token) as lab:
        for number in range(ROUNDS + 1):
            begun = time.perf_counter()
            dataset = await lab.upload(str(volume), name=f"scan-{number}")
            took = time.perf_counter() - begun
            await lab.forget(dataset.name)
            shutil.rmtree(Path(dataset.uri).parents[1])
            copied = await asyncio.to_thread(_copied, volume)
            if number:  # the first warms up
                ours.append(took)
                copies.append(copied)
    return ours, copies


def _copied(volume: Path) -> float:
    copy = volume.with_suffix(".copy")
    begun = time.perf_counter()
    with volume.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 24)
        target.flush()
        os.fsync(target.fileno())
    took = time.perf_counter() - begun
    copy.unlink()
    return took
