"""`mlex serve`, and all that reaches it from elsewhere: a script, the shell, a notebook, a loop of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

import mlex_jupyter as mlex
from mlex_jupyter import sync
from mlex_jupyter.errors import Forbidden, JobEnded, NotFound, Unavailable
from mlex_jupyter.lab import connect
from mlex_jupyter.remote import Remote
from mlex_jupyter.types import Event, Job, JobState
from tests.kernels import running_kernel
from tests.servers import end_processes_of, free_port

MLEX = str(Path(sys.executable).with_name("mlex"))
PATIENCE_S = 60


@contextlib.contextmanager
def serving(home: Path, *words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`mlex serve`, and what it printed: the address with its token."""
    private = {"MLEX_HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "jupyter"), "MLEX_IDLE_S": "5"}
    said = (home / "serve.txt").open("w")
    process = subprocess.Popen(
        [MLEX, "serve", *words],
        env=os.environ | private | environment,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        cwd=home,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"MLEx \S+ is ready at (http://\S+)\n", line)
        assert found, line + (home / "serve.txt").read_text()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        said.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("serving")
    yield path
    end_processes_of(path)


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with serving(home, "--port", "0") as (_, address):
        yield address


# ---------------------------------------------------------------- from elsewhere


def test_a_script_asks_and_waits_and_reads_the_log(url: str, home: Path) -> None:
    with connect(url) as lab:
        assert str(home) == lab.hello().home
        assert {"train", "jobs", "logs", "follow"} <= set(dir(lab))
        job = lab.run(["sh", "-c", "echo over there; pwd"], wait=True)
        assert type(job) is Job
        assert job.state is JobState.DONE
        assert job.spec.task.folder is None, "where the caller stands is nowhere over there"
        assert "".join(lab.logs(job, follow=True)).splitlines()[0] == "over there"
        with pytest.raises(JobEnded, match="exit code 3"):
            lab.run(["sh", "-c", "exit 3"], name="fails", wait=True)
        with pytest.raises(NotFound, match="There is no run nothing"):
            lab.job("nothing")
        with pytest.raises(AttributeError, match="no verb 'trian'"):
            lab.trian  # noqa: B018
        token = url.partition("token=")[2]
        assert token not in repr(lab)


async def test_on_a_loop_of_ones_own_everything_is_awaited(url: str) -> None:
    async with Remote(url) as lab:
        jobs = await asyncio.gather(*(lab.run(("true",), key=f"asked-{number}") for number in (1, 1, 2)))
        assert jobs[0].id == jobs[1].id != jobs[2].id
        assert (await lab.wait(jobs[0].id)).state is JobState.DONE


async def test_what_happens_is_told_from_any_id_without_a_gap(url: str) -> None:
    async with Remote(url) as lab:
        job = await lab.run(("sh", "-c", "sleep 0.3"))
        begun = (await lab.hello()).last_event
        heard: list[Event] = []
        async with asyncio.timeout(PATIENCE_S):
            async for event in lab.follow(job.id, since=0):
                heard.append(event)
                if event.values.get("state") == "done":
                    break
        assert heard == await lab.events(subject=job.id)
        assert all(isinstance(event, Event) for event in heard)
        since = [event async for event in _until_last(lab, begun)]
        assert since == await lab.events(after=begun)


async def _until_last(lab: Remote, begun: int) -> AsyncIterator[Event]:
    last = (await lab.hello()).last_event
    async for event in lab.follow(since=begun):
        yield event
        if event.id >= last:
            return


def test_without_its_token_nobody_gets_in(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLEX_TOKEN", raising=False)
    bare = url.partition("?")[0]
    with pytest.raises(Forbidden, match="accepts no one without a token"):
        connect(bare)
    with pytest.raises(Forbidden, match="does not accept this token"):
        connect(bare, "wrong")
    with connect(bare, url.partition("token=")[2]) as lab:
        assert isinstance(lab.jobs(), list)


def shell(*words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MLEX, *words],
        env=os.environ | {"MLEX_HOME": str(home / "untouched")} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_the_shell_asks_another_server(url: str, tmp_path: Path) -> None:
    bare, _, token = url.partition("?token=")
    job = json.loads(shell("--server", bare, "run", "--json", "--", "true", home=tmp_path, MLEX_TOKEN=token).stdout)
    listed = shell("jobs", "--json", home=tmp_path, MLEX_TOKEN=token, MLEX_SERVER=bare)
    assert job["id"] in [found["id"] for found in json.loads(listed.stdout)]
    refused = shell(f"--server={bare}", "jobs", home=tmp_path)
    assert refused.returncode == 1
    assert "MLEX_TOKEN" in refused.stderr
    for words in (("--server",), ("--server", bare), ("--server", "nonsense", "jobs"), ("--server=", "jobs")):
        done = shell(*words, home=tmp_path)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "untouched").exists(), "nothing is done on this side"


def test_a_notebook_turns_to_another_server_and_back(url: str, tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        kernel.do("%load_ext mlex_jupyter")
        assert "lines are for" in kernel.do(f"%mlex connect {url}").text
        kernel.do("%mlex run -o job --wait -- true")
        assert kernel.do("print(job.state.value)").text == "done\n"
        assert not (tmp_path / "mlex.db").exists()
        assert f"this machine: {tmp_path}" in kernel.do("%mlex connect").text
        kernel.do("%mlex jobs -o here")
        assert kernel.do("print(len(here))").text == "0\n"
        refused = kernel.do("%mlex connect http://127.0.0.1:1 more", check=False)
        assert refused.error is not None
        assert "Traceback" not in "\n".join(refused.error["traceback"])
    end_processes_of(tmp_path)


def test_plain_functions_turn_to_the_server_of_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "_current", None)
    monkeypatch.setenv("MLEX_SERVER", url.partition("?")[0])
    monkeypatch.setenv("MLEX_TOKEN", url.partition("token=")[2])
    try:
        assert isinstance(mlex.jobs(), list)
        assert isinstance(sync.engine().mlex, Remote)
    finally:
        sync.engine().close()


# ---------------------------------------------------------------- the server itself


def test_there_is_nothing_but_mlex(url: str) -> None:
    bare, _, token = url.partition("?token=")
    with httpx.Client(base_url=bare, headers={"Authorization": f"token {token}"}) as http:
        for path in ("api/kernels", "api/contents", "api/terminals", "api/sessions", "lab", "tree"):
            assert http.get(path).status_code == 404, path
        assert http.get("mlex/api/v1/hello").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_says_its_token_once(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path, "--port=0") as (process, address):
        process.send_signal(number)
        assert process.wait(20) == 0
        said = (tmp_path / "serve.txt").read_text()
        assert address.partition("token=")[2] not in said
        assert "Traceback" not in said
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_a_token_of_ones_own_is_not_printed(tmp_path: Path) -> None:
    with serving(tmp_path, "--port=0", "--base-url=/a/b", JUPYTER_TOKEN="mine") as (_, address):
        assert address.endswith("/a/b/")
        with connect(address, "mine") as lab:
            assert lab.hello().home == str(tmp_path)
    assert "mine" not in (tmp_path / "serve.txt").read_text()


def test_a_port_that_is_taken_or_none_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = shell("serve", "--port", str(taken.getsockname()[1]), home=tmp_path)
    assert done.returncode == 1
    assert "is not available" in done.stderr
    assert "Traceback" not in done.stderr
    for words in (["--port", "-1"], ["--port", "x"], ["--port", "70000"], ["--colour"]):
        assert shell("serve", *words, home=tmp_path).returncode == 2
    assert "--port" in shell("serve", "--help", home=tmp_path).stdout


def test_what_does_not_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        connect(f"http://127.0.0.1:{free_port()}")
