"""From a worker's event to a WebSocket client of the Jupyter server, beside a bare WebSocket at the same pace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import websockets

from tests.bench.figures import Figure, quantile
from tests.servers import Server, end_processes_of, free_port

EVENTS = 500
EVERY_S = 0.03
P99_MS = 250

EMIT = """
import os, time
from pathlib import Path
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
folder = JobFolder(Path(os.environ["MLEX_JOB_FOLDER"]))
attempt = Attempt(folder, folder.job(), int(os.environ["MLEX_ATTEMPT"]))
time.sleep(1)
for number in range({count}):
    attempt.emit("metrics", sent=time.time(), loss=1.0)
    time.sleep({every})
"""
BARE = """
import asyncio, time, websockets
async def send(socket):
    for number in range({count}):
        await socket.send(str(time.time()))
        await asyncio.sleep({every})
async def main():
    async with websockets.serve(send, "127.0.0.1", {port}):
        await asyncio.Future()
asyncio.run(main())
"""


def figures() -> list[Figure]:
    """p50 and p99."""
    ours, bare = asyncio.run(_measure())
    against = "a bare WebSocket"
    return [
        Figure("worker's event at the client, p50", quantile(ours, 0.5), "ms", quantile(bare, 0.5), against),
        Figure("worker's event at the client, p99", quantile(ours, 0.99), "ms", quantile(bare, 0.99), against, P99_MS),
    ]


async def _measure() -> tuple[list[float], list[float]]:
    return await _ours(), await _bare()


async def _ours() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        server = Server(home, home / "work")
        try:
            server.start()
            argv = [sys.executable, "-c", EMIT.format(count=EVENTS, every=EVERY_S)]
            address = f"{server.api.replace('http', 'ws')}/stream?after=0"
            async with websockets.connect(address, additional_headers=server.headers) as socket:
                with server.client() as client:
                    client.post("/jobs", json={"task": {"kind": "run", "argv": argv}}).raise_for_status()
                return [late async for late in _late(socket)]
        finally:
            server.stop()
            end_processes_of(home)


async def _late(socket: websockets.ClientConnection) -> AsyncIterator[float]:
    """Milliseconds that each metrics event is late, until all are here."""
    count = 0
    while count < EVENTS:
        batch = json.loads(await asyncio.wait_for(socket.recv(), 60))
        here = time.time()
        for event in batch:
            if event["kind"] == "metrics":
                count += 1
                yield 1000 * (here - event["values"]["sent"])


async def _bare() -> list[float]:
    port = free_port()
    program = BARE.format(count=EVENTS, every=EVERY_S, port=port)
    sender = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                async with websockets.connect(f"ws://127.0.0.1:{port}") as socket:
                    sent = [(float(await socket.recv()), time.time()) for _ in range(EVENTS)]
                    return [1000 * (here - there) for there, here in sent]
            await asyncio.sleep(0.05)
        raise RuntimeError("the bare WebSocket did not come up")
    finally:
        sender.terminate()
        await sender.wait()
