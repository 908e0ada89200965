"""Hostile files through a real server: every answer is a Problem in words or a dataset, and the server lives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hostile import MARK, Ground, arrays, ground, hdf5s, names, tiffs, zarrs
from tests.servers import Server, end_processes_of

FAMILIES = (arrays, zarrs, tiffs, hdf5s, names)
EVERY = 11
"""Of the whole corpus, which the engine's own tests go through."""


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return ground(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, at: Ground) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("served")
    work = tmp_path_factory.mktemp("work")
    limits = {"MLEX_ROOTS": str(at.folder), "MLEX_READER_MEMORY_GB": "0.5", "MLEX_IDLE_S": "5"}
    running = Server(home, work, app="server", **limits)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        end_processes_of(home)


async def test_every_answer_is_in_words_and_the_server_lives(server: Server, at: Ground) -> None:
    cases = [case for family in FAMILIES for case in family.cases(at)][::EVERY]
    assert server.process is not None
    number = server.process.pid
    async with httpx.AsyncClient(base_url=server.api, headers=server.headers, timeout=100) as client:
        for place, case in enumerate(cases):
            said = case.uri.encode(errors="replace").decode()
            answer = await client.post("/datasets", json={"path": said, "name": f"case-{place}"})
            assert answer.status_code in (201, 400, 403, 404), f"{case.name}: {answer.text}"
            if answer.status_code == 201:
                picture = await client.get(f"/datasets/case-{place}/picture", params={"size": 64})
                assert picture.status_code in (200, 400), f"{case.name}: {picture.text}"
            else:
                assert {"code", "message", "hint"} <= answer.json().keys(), case.name
                assert "Traceback" not in answer.text
            assert MARK not in answer.content
        assert (await client.get("/datasets")).status_code == 200
    assert server.process.poll() is None
    assert server.process.pid == number
    assert not at.canary.exists()
    assert "Traceback" not in Path(server.log).read_text()
