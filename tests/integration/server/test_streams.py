"""Streams of events that live long: who holds them is asked anew, slow and strange readers, losses at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Forbidden, Invalid
from mlex_jupyter.events import append_many
from mlex_jupyter.remote import Remote
from mlex_jupyter.settings import Settings
from tests.servers import Server, end_processes_of

PATIENCE_S = 60

# A login that can be taken back, and a right that can.
CONFIG = """
from pathlib import Path
from jupyter_server.auth import Authorizer, IdentityProvider

class Revocable(IdentityProvider):
    def get_user(self, handler):
        return None if Path({home!r}, "revoked").exists() else super().get_user(handler)

class Rights(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return not Path({home!r}, "withdrawn").exists()

c.ServerApp.identity_provider_class = Revocable
c.ServerApp.authorizer_class = Rights
c.Mlex.streams = 3
c.Mlex.stream_check_s = 0.3
c.Mlex.stream_slow_s = 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("streams")
    (path / "jupyter").mkdir()
    (path / "jupyter" / "jupyter_server_config.py").write_text(CONFIG.format(home=str(path)))
    yield path
    end_processes_of(path)


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Server]:
    server = Server(home, home / "work", app="server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mark(home: Path) -> Iterator[Any]:
    """A file that says that something was taken back."""
    made: list[Path] = []

    def make(name: str) -> None:
        made.append(home / name)
        made[-1].touch()

    yield make
    for path in made:
        path.unlink()


@contextlib.asynccontextmanager
async def stream(served: Server, after: int, headers: dict[str, str] | None = None) -> AsyncIterator[Any]:
    url = f"{served.api.replace('http', 'ws', 1)}/stream?after={after}"
    async with websockets.connect(url, additional_headers=headers or served.headers, max_size=None) as found:
        yield found


async def closed(found: Any) -> tuple[int, str]:
    """How the server ends it."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(websockets.ConnectionClosed) as caught:
            while True:
                await found.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def told(home: Path, count: int, size: int = 1) -> None:
    """Have something happen."""
    mlex = Mlex(Settings.load(home=home))
    happened = [(time.time(), "run-x", "note", {"n": number, "text": "x" * size}) for number in range(count)]
    await mlex.store.write(lambda tx: append_many(tx, happened))
    mlex.close()


# ---------------------------------------------------------------- who holds it


async def test_a_token_that_is_revoked_ends_its_streams(served: Server, mark: Any) -> None:
    async with stream(served, 0) as found:
        mark("revoked")
        assert await closed(found) == (4403, "log in again")
    with pytest.raises(websockets.InvalidStatus):
        async with stream(served, 0):
            pass
    async with Remote(served.url, served.token) as lab:
        with pytest.raises(Forbidden):
            async with asyncio.timeout(PATIENCE_S):
                async for _ in lab.follow(since=0):
                    pass


async def test_a_right_that_is_withdrawn_ends_its_streams(served: Server, mark: Any) -> None:
    async with stream(served, 0) as found:
        mark("withdrawn")
        assert (await closed(found))[0] == 4403


async def test_a_browser_connects_again_now_and_then_with_the_cookies_that_it_has(served: Server, home: Path) -> None:
    async with httpx.AsyncClient() as browser:
        await browser.get(f"{served.url}/login?token={served.token}")
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    await told(home, 5)
    async with stream(served, 0, cookie) as found:
        seen = json.loads(await found.recv())
        assert await closed(found) == (4408, "connect again")
    await told(home, 5)
    async with stream(served, seen[-1]["id"], cookie) as found:
        more = json.loads(await found.recv())
    assert [event["id"] for event in more] == list(range(seen[-1]["id"] + 1, seen[-1]["id"] + 6))
    async with stream(served, 0) as found:  # a token is checked itself, so it may stay
        await asyncio.sleep(4)
        await found.ping()
        assert found.state.name == "OPEN"


# ---------------------------------------------------------------- how many, how slow, from where


async def test_one_person_has_so_many_streams_and_a_closed_one_makes_room(served: Server) -> None:
    async with contextlib.AsyncExitStack() as several:
        for _ in range(3):
            await (await several.enter_async_context(stream(served, 0))).ping()
        await asyncio.sleep(0.5)
        async with stream(served, 0) as fourth:
            assert (await closed(fourth))[0] == 4429
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        async with stream(served, 0) as found:
            with contextlib.suppress(TimeoutError, websockets.ConnectionClosed):
                await asyncio.wait_for(found.wait_closed(), 0.7)
            if found.close_code is None:
                return
    raise AssertionError("there is never room again")


async def test_an_id_that_is_not_there_yet_is_refused(served: Server, home: Path) -> None:
    await told(home, 1)
    with served.client() as http:
        newest = http.get("/hello").json()["last_event"]
        assert http.get("/events", params={"after": newest + 1}).json() == []
    async with stream(served, newest + 1) as found:
        code, reason = await closed(found)
    assert code == 4409
    assert str(newest) in reason
    async with Remote(served.url, served.token) as lab:
        with pytest.raises(Invalid, match="there is no event"):
            async with asyncio.timeout(PATIENCE_S):
                async for _ in lab.follow(since=newest + 1):
                    pass


async def test_a_reader_that_takes_nothing_is_let_go_and_others_do_not_notice(served: Server, home: Path) -> None:
    with served.client() as http:
        start = http.get("/hello").json()["last_event"]
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", served.port))
    lines = [f"GET /mlex/api/v1/stream?after={start} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
    stuck.sendall("\r\n".join([*lines, f"Authorization: token {served.token}", "", ""]).encode())
    try:
        async with stream(served, start) as quick:
            await told(home, 3000, size=5000)
            got: list[int] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(got) < 3000:
                    got += [event["id"] for event in json.loads(await quick.recv())]
        assert got == list(range(start + 1, start + 3001))
        await asyncio.to_thread(_drained, stuck)
    finally:
        stuck.close()


def _drained(stuck: socket.socket) -> None:
    """The server has hung up; what it had sent before is less than there was."""
    deadline, taken = time.monotonic() + PATIENCE_S, 0
    time.sleep(8)  # its second of patience, and the time in which the other side may say goodbye
    stuck.settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionResetError):
        while piece := stuck.recv(1 << 20):
            taken += len(piece)
            assert time.monotonic() < deadline, "it goes on and on"
    assert taken < 3000 * 5000


# ---------------------------------------------------------------- losses

WRITER = """
import asyncio, sys, time
from mlex_jupyter.app import Mlex
from mlex_jupyter.events import append_many
from mlex_jupyter.settings import Settings
async def main(home, who):
    mlex = Mlex(Settings.load(home=home))
    for number in range(150):
        happened = [(time.time(), who, "note", {"n": number * 3 + part}) for part in range(3)]
        await mlex.store.write(lambda tx: append_many(tx, happened))
        await asyncio.sleep(0.004)
    mlex.close()
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_many_writers_and_losses_at_random_moments_leave_no_gap_and_nothing_twice(
    served: Server, home: Path
) -> None:
    with served.client() as http:
        start = http.get("/hello").json()["last_event"]
    dice = random.Random(7)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(home), f"run-{who}"]) for who in range(4)]
    seen: list[dict[str, Any]] = []
    losses = 0
    async with asyncio.timeout(PATIENCE_S * 2):
        while len(seen) < 4 * 450:
            after = seen[-1]["id"] if seen else start
            async with stream(served, after) as found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(dice.uniform(0.001, 0.25)):
                        while True:
                            seen += json.loads(await found.recv())
                found.transport.abort()
                losses += 1
    assert [writer.wait(20) for writer in writers] == [0, 0, 0, 0]
    assert losses > 5
    ids = [event["id"] for event in seen]
    assert ids == sorted(set(ids))
    for who in range(4):
        assert [event["values"]["n"] for event in seen if event["subject"] == f"run-{who}"] == list(range(450))
