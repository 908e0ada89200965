"""A real Jupyter server with the extension: every route answers, every event is told, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from mlex_jupyter.app import Mlex
from mlex_jupyter.verbs import table
from tests.asking import ENDED, LIGHT, PATIENCE_S, acknowledged, ask, fetch, problem, run, until
from tests.kills.processes import find
from tests.servers import Server, end_processes_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, described: Path) -> Iterator[Path]:
    """One home for all of this: each test asks for jobs of its own."""
    path = tmp_path_factory.mktemp("served")
    shutil.copytree(described, path / "cache")
    yield path
    end_processes_of(path)


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Server]:
    server = Server(home, home / "work", app="server", **LIGHT)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(served: Server) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


@contextlib.asynccontextmanager
async def stream(served: Server, after: int | str, **headers: str) -> AsyncIterator[Any]:
    url = f"{served.api.replace('http', 'ws', 1)}/stream?after={after}"
    async with websockets.connect(url, additional_headers=served.headers | headers) as socket:
        yield socket


async def receive(socket: Any, *, until_job_ended: str) -> list[dict[str, Any]]:
    """The events that come, up to the end of a job."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        async for message in socket:
            events += json.loads(message)
            if any(e["subject"] == until_job_ended and e["values"].get("state") in ENDED for e in events):
                return events
    raise AssertionError("The stream ended.")


# ---------------------------------------------------------------- the routes


def test_every_route_that_reads_answers(http: httpx.Client) -> None:
    job = ask(http, run("/bin/sh", "-c", "echo hello"))
    until(http, job["id"], "done")
    names = {"run": job["id"], "name": "unet"}
    seen = set()
    for verb in table(Mlex).values():
        if verb.route is None or verb.route.method != "GET" or "datasets/" in verb.route.path:
            continue
        if not {parameter.name for parameter in verb.parameters if parameter.required} <= names.keys():
            continue  # other tests know what to ask about
        path = verb.route.path.format(**names)
        answer = http.get(path)
        if answer.status_code == 404 and "{" in verb.route.path:
            problem(answer, 404)
            continue
        # One wants runs or an experiment, and either may be left out; others a prediction, and this run is none.
        if verb.name == "compare" or "is not a prediction" in answer.text:
            problem(answer, 400)
            continue
        assert answer.status_code == verb.route.status, (path, answer.text)
        assert answer.headers["content-type"] == "application/json"
        answer.json()
        seen.add(verb.name)
    assert {"jobs", "job", "why", "log", "events", "targets", "hello", "doctor", "models", "architectures"} <= seen


def test_a_job_from_asking_to_its_log(http: httpx.Client) -> None:
    job = ask(http, run("/bin/sh", "-c", "echo out; echo err >&2", name="words"))
    assert (job["state"], job["name"], job["owner"]) == ("waiting", "words", "tester")
    done = until(http, job["id"], *ENDED)
    assert (done["state"], done["exit_code"], done["attempt"]) == ("done", 0, 1)
    assert http.get("/jobs/words").json()["id"] == job["id"]
    log = http.get("/jobs/words/log").json()
    assert log == {"text": "out\nerr\n", "offset": 8, "final": True}
    assert http.get("/jobs/words/log", params={"offset": -4}).json()["text"] == "err\n"
    assert http.get("/jobs/words/why").json()["log_tail"] == ["out", "err"]
    assert job["id"] in [found["id"] for found in http.get("/jobs", params={"state": "done"}).json()]


def test_a_failure_says_why(http: httpx.Client) -> None:
    job = until(http, ask(http, run("/bin/sh", "-c", "echo oh no; exit 3"))["id"], *ENDED)
    assert (job["state"], job["exit_code"]) == ("failed", 3)
    why = http.get(f"/jobs/{job['id']}/why").json()
    assert why["reason"] == "The command ended with exit code 3."
    assert "oh no" in why["log_tail"]
    problem(http.post(f"/jobs/{job['id']}/cancel"), 409)
    resumed = http.post(f"/jobs/{job['id']}/resume").json()
    assert resumed["state"] == "waiting"
    assert until(http, job["id"], "failed")["attempt"] == 2


def test_a_long_job_is_cancelled(http: httpx.Client) -> None:
    job = ask(http, run("/bin/sleep", "600"))
    until(http, job["id"], "running")
    http.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    assert until(http, job["id"], *ENDED)["state"] == "cancelled"


def test_the_same_key_twice_is_one_job(http: httpx.Client) -> None:
    spec = run("/bin/true", key="request-7")
    first = ask(http, spec)
    assert ask(http, spec)["id"] == first["id"]
    said = problem(http.post("/jobs", json=run("/bin/false", key="request-7")), 409)
    assert "request-7" in said.message


# ---------------------------------------------------------------- who may


def test_without_a_token_nothing_is_told_and_nothing_done(served: Server, http: httpx.Client) -> None:
    before = acknowledged(http)
    for method, path in [("GET", "/hello"), ("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/jobs/x/picture")]:
        for headers in ({}, {"Authorization": "token wrong"}):
            answer = httpx.request(method, served.api + path, headers=headers, json=None if method == "GET" else {})
            assert answer.status_code in (401, 403), (method, path)
    assert acknowledged(http) == before


async def test_without_a_token_there_is_no_stream(served: Server) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with stream(served, 0, Authorization="token wrong"):
            pass
    assert caught.value.response.status_code in (401, 403)


async def test_another_sites_page_gets_no_stream_with_the_browsers_cookie(served: Server) -> None:
    async with httpx.AsyncClient() as browser:
        await browser.get(f"{served.url}/login?token={served.token}")
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    async with stream(served, 0, Authorization="", Cookie=cookies, Origin=served.url) as socket:
        assert json.loads(await asyncio.wait_for(socket.recv(), 10))
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with stream(served, 0, Authorization="", Cookie=cookies, Origin="http://elsewhere.example"):
            pass
    assert caught.value.response.status_code == 403


def test_a_token_in_the_address_is_no_argument(served: Server) -> None:
    assert httpx.get(f"{served.api}/jobs?token={served.token}").status_code == 200


# ---------------------------------------------------------------- the stream


def talking(pause_s: float) -> dict[str, Any]:
    """A job that says eight things, a pause after each."""
    line = r'''echo "{\"kind\": \"note\", \"values\": {\"n\": $n}}" >> "$MLEX_JOB_FOLDER/events.jsonl"'''
    return run("/bin/sh", "-c", f"for n in 1 2 3 4 5 6 7 8; do {line}; sleep {pause_s}; done")


async def test_two_followers_see_the_same_live_as_afterwards(served: Server, http: httpx.Client) -> None:
    start = fetch(http, "/hello")["last_event"]
    async with stream(served, start) as first, stream(served, start) as second:
        job = await asyncio.to_thread(ask, http, talking(0.05))
        live, also = await asyncio.gather(
            receive(first, until_job_ended=job["id"]), receive(second, until_job_ended=job["id"])
        )
    mine = [event for event in live if event["subject"] == job["id"]]
    assert mine == [event for event in also if event["subject"] == job["id"]]
    assert mine == fetch(http, "/events", subject=job["id"])
    assert [event["values"]["n"] for event in mine if event["kind"] == "note"] == list(range(1, 9))
    states = [event["values"]["state"] for event in mine if event["kind"] == "state"]
    assert states[-1] == "done"
    assert [event["id"] for event in live] == sorted({event["id"] for event in live})
    from_here = fetch(http, "/events", after=start)
    assert live == from_here[: len(live)], "no gap"


async def test_the_stream_goes_on_from_any_id(served: Server, http: httpx.Client) -> None:
    everything = fetch(http, "/events")
    assert len(everything) > 10
    for after in (0, 1, len(everything) // 2, everything[-1]["id"] - 1):
        expected = [event for event in everything if event["id"] > after]
        got: list[dict[str, Any]] = []
        async with stream(served, after) as socket, asyncio.timeout(PATIENCE_S):
            while len(got) < len(expected):
                got += json.loads(await socket.recv())
        assert got[: len(expected)] == expected


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "²", "9" * 30, "9" * 5000, "%00", "1;2", "0x10"])
async def test_a_point_to_go_on_from_that_is_none_is_refused(served: Server, after: str) -> None:
    async with stream(served, after) as socket, asyncio.timeout(10):
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd.code == 4400


async def test_whatever_a_client_sends_is_heard_out(served: Server, http: httpx.Client) -> None:
    start = fetch(http, "/hello")["last_event"]
    async with stream(served, start) as socket:
        await socket.send("hello")
        await socket.send(b"\xff" * 1000)
        await socket.send("[" * 10_000)
        job = await asyncio.to_thread(ask, http, run("/bin/true"))
        assert await receive(socket, until_job_ended=job["id"])


# ---------------------------------------------------------------- kills


def test_a_killed_supervisor_is_replaced_while_a_job_is_running(served: Server, http: httpx.Client, home: Path) -> None:
    job = ask(http, run("/bin/sleep", "4"))
    until(http, job["id"], "running")
    (before,) = find(home, "supervisor")
    os.kill(before.pid, signal.SIGKILL)
    before.wait(10)
    done = until(http, job["id"], *ENDED)  # nobody asks for anything but the state
    assert (done["state"], done["attempt"]) == ("done", 1), "the run never noticed"
    (after,) = find(home, "supervisor")
    assert after.pid != before.pid


def test_a_killed_worker_is_started_again_where_that_is_wanted(http: httpx.Client, home: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    line = f'echo "$MLEX_ATTEMPT" >> "{ledger}"; test "$MLEX_ATTEMPT" = 2 || sleep 600'
    job = ask(http, run("/bin/sh", "-c", line, retries=2))
    until(http, job["id"], "running")
    deadline = time.monotonic() + PATIENCE_S
    while not ledger.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    (worker,) = [process for process in find(home, "worker") if job["id"] in " ".join(process.cmdline())]
    worker.kill()
    done = until(http, job["id"], *ENDED)
    assert (done["state"], done["attempt"]) == ("done", 2)
    assert ledger.read_text().split() == ["1", "2"]


async def test_a_server_that_is_killed_in_the_middle_of_a_job_loses_nothing(served: Server, http: httpx.Client) -> None:
    job = ask(http, talking(0.3))
    until(http, job["id"], "running")
    seen: list[dict[str, Any]] = []
    async with stream(served, 0) as socket, asyncio.timeout(PATIENCE_S):
        while not any(event["subject"] == job["id"] and event["kind"] == "note" for event in seen):
            seen += json.loads(await socket.recv())
    await asyncio.to_thread(served.kill)
    await asyncio.to_thread(served.start)
    async with stream(served, seen[-1]["id"]) as socket:
        seen += await receive(socket, until_job_ended=job["id"])
    mine = [event for event in seen if event["subject"] == job["id"]]
    assert [event["values"]["n"] for event in mine if event["kind"] == "note"] == list(range(1, 9))
    assert mine == fetch(http, "/events", subject=job["id"])
    done = fetch(http, f"/jobs/{job['id']}")
    assert (done["state"], done["attempt"]) == ("done", 1)


# ---------------------------------------------------------------- settings


def test_the_jupyter_configuration_is_heeded(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    (home / "jupyter").mkdir(parents=True)
    config = {"Mlex": {"home": str(other), "user": "Zoë", "local_cpus": 3, "local_gpus": 2}}
    (home / "jupyter" / "jupyter_server_config.json").write_text(json.dumps(config))
    server = Server(home, home / "work", app="server", MLEX_LOCAL_CPUS="1")
    try:
        server.start()
        with server.client() as http:
            hello = http.get("/hello").json()
            assert (hello["home"], hello["user"]) == (str(other), "Zoë")
            (local,) = [target for target in http.get("/targets").json() if target["name"] == "local"]
            assert (local["cpus"], local["gpus"]) == (3, 2)
            job = ask(http, run("/bin/sh", "-c", "echo $MLEX_CPUS of $MLEX_LOCAL_CPUS", resources={"cpus": 2}))
            assert until(http, job["id"], *ENDED)["state"] == "done"
            assert http.get(f"/jobs/{job['id']}/log").json()["text"] == "2 of 3\n"
        assert (other / "mlex.db").exists()
        assert not (home / "mlex.db").exists()
    finally:
        server.stop()
        end_processes_of(home)
        end_processes_of(other)


def test_a_wrong_setting_is_said_and_the_rest_of_jupyter_works(tmp_path: Path) -> None:
    server = Server(tmp_path / "home", tmp_path / "work", app="server", MLEX_LOCAL_CPUS="many")
    server.home.mkdir()
    try:
        server.start()
        with server.client() as http:
            said = problem(http.get("/jobs"), 503)
            assert "local_cpus" in said.message
            assert said.hint
            assert httpx.get(f"{server.url}/api/status", headers=server.headers).status_code == 200
    finally:
        server.stop()


def test_the_log_of_the_server_has_no_error_of_ours(served: Server, home: Path) -> None:
    said = served.log.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]
    supervisor = (home / "supervisor.log").read_text()
    assert "Traceback" not in supervisor, supervisor[-3000:]
    with sqlite3.connect(home / "mlex.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
