"""A volume over HTTP into the home, beside a plain copy that is made durable as well.

And beside what Tornado alone takes to receive as much and forget it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from mlex_jupyter.pieces import InFiles, divided
from mlex_jupyter.remote import Remote
from tests.bench.figures import Figure, median
from tests.bench.null import environment
from tests.servers import Server, end_processes_of, running_server

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
            with running_server(home, None, app="server", **environment(home)) as server:
                ours, copy, received = asyncio.run(_measured(server, volume))
        finally:
            end_processes_of(home)
    against = "cp and fsync of the same file"
    name = f"upload of {MEGABYTES} MB over HTTP, registered"
    return [
        Figure(name, median(ours), "s", median(copy), against, AT_MOST * median(copy)),
        Figure("… beside receiving it", median(ours), "s", median(received), "Tornado receives and forgets it"),
    ]


async def _measured(server: Server, volume: Path) -> tuple[list[float], list[float], list[float]]:
    ours: list[float] = []
    copies: list[float] = []
    forgotten: list[float] = []
    async with Remote(server.url, server.token) as lab:
        for number in range(ROUNDS + 1):
            begun = time.perf_counter()
            dataset = await lab.upload(str(volume), name=f"scan-{number}")
            took = time.perf_counter() - begun
            await lab.forget(dataset.name)
            shutil.rmtree(Path(dataset.uri).parents[1])
            copied = await asyncio.to_thread(_copied, volume)
            received = await asyncio.to_thread(_received, server, volume)
            if number:  # the first warms up
                ours.append(took)
                copies.append(copied)
                forgotten.append(received)
    return ours, copies, forgotten


def _received(server: Server, volume: Path) -> float:
    size = volume.stat().st_size
    begun = time.perf_counter()
    with httpx.Client(headers=server.headers, timeout=60) as client:
        for stretches in divided([(size, 0)]):
            piece = InFiles([(volume, at, length) for _, at, length in stretches])
            length = {"Content-Length": str(piece.size)}
            client.post(f"{server.url}/null", content=piece, headers=length).raise_for_status()
    return time.perf_counter() - begun


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
