"""Two hundred requests a second to the REST API, beside a route that does nothing, in the same server.

Requests are sent when they are due, whether or not the ones before were answered, and late ones count from then.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import JobSpec, RunTask
from tests.bench.figures import Figure, quantile
from tests.bench.null import environment
from tests.servers import Server, end_processes_of

A_SECOND = 200
SECONDS = 5
ROUNDS = 4
CONNECTIONS = 16
AT_MOST = 2.0
JOBS = 200


def figures() -> list[Figure]:
    """p50 and p99 of both, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        asyncio.run(_fill(home))
        server = Server(home, home / "work", app="server", **environment(home))
        try:
            server.start()
            ours, null = asyncio.run(_measured(server))
        finally:
            server.stop()
            end_processes_of(home)
    against = "a route that does nothing"
    p50, p99 = (quantile(ours, share) for share in (0.5, 0.99))
    bare50, bare99 = (quantile(null, share) for share in (0.5, 0.99))
    name = f"REST at {A_SECOND} requests a second"
    return [
        Figure(f"{name}, p50", p50, "ms", bare50, against),
        Figure(f"{name}, p99", p99, "ms", bare99, against, AT_MOST * bare99),
    ]


async def _fill(home: Path) -> None:
    mlex = Mlex(Settings.load(home=home))
    await mlex.sample(size=64, slices=4)
    for number in range(JOBS):
        await mlex.job_list.submit(JobSpec(name=f"job-{number}", task=RunTask(argv=("true",))), "bench")
    for number in range(JOBS):
        await mlex.job_list.cancel(f"job-{number}")
    mlex.close()


async def _measured(server: Server) -> tuple[list[float], list[float]]:
    api = "/mlex/api/v1"
    routes = ["hello", "datasets/sand-tomo", "jobs/job-7", "jobs?limit=10", "datasets?limit=10", "models?limit=10"]
    ours: list[float] = []
    null: list[float] = []
    for number in range(ROUNDS + 1):
        found = await _load(server, [f"{api}/{route}" for route in routes]), await _load(server, ["/null"])
        if number:  # the first warms up
            ours += found[0]
            null += found[1]
    return ours, null


async def _load(server: Server, paths: Sequence[str]) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    due: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
    found: list[float] = []
    senders = [asyncio.create_task(_send(server, due, found)) for _ in range(CONNECTIONS)]
    begun = time.perf_counter() + 0.2
    for number in range(A_SECOND * SECONDS):
        at = begun + number / A_SECOND
        await asyncio.sleep(max(0, at - time.perf_counter()))
        due.put_nowait((at, paths[number % len(paths)]))
    for _ in senders:
        due.put_nowait(None)
    await asyncio.gather(*senders)
    return found


async def _send(server: Server, due: asyncio.Queue[tuple[float, str] | None], found: list[float]) -> None:
    """One connection: plain HTTP, so that the client costs next to nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"Host: 127.0.0.1:{server.port}\r\nAuthorization: token {server.token}\r\n\r\n"
    while (request := await due.get()) is not None:
        at, path = request
        writer.write(f"GET {path} HTTP/1.1\r\n{head}".encode())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        assert b" 200 " in status, (path, status)
        found.append(1000 * (time.perf_counter() - at))
    writer.close()
