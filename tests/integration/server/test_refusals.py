"""What cannot be meant, is not there or is a trick: a real Jupyter server refuses it in words, and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking import LIGHT, acknowledged, problem
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


# ---------------------------------------------------------------- what cannot be meant

DEEP = "[" * 100_000
BODIES = {
    "not JSON": b"no JSON at all",
    "half of it": b'{"task": {"kind": "run", "argv": ["true"',
    "no text": b"\xff\xfe\x00\x01",
    "half a character": rb'{"task": {"kind": "run", "argv": ["\ud800"]}}',
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a word": b'"jobs"',
    "a number": b"1e999",
    "endless nesting": DEEP.encode(),
    "deep nesting": b'{"task": {"kind": "run", "argv": ["true"], "x": ' + b"[" * 150 + b"]" * 150 + b"}}",
    "three megabytes": json.dumps({"task": {"kind": "run", "argv": []}, "key": "x" * 3_000_000}).encode(),
    "no command": b'{"task": {"kind": "run", "argv": []}}',
    "a command that is a word": b'{"task": {"kind": "run", "argv": "rm -rf"}}',
    "an unknown kind": b'{"task": {"kind": "rum", "argv": ["true"]}}',
    "an unknown field": b'{"task": {"kind": "run", "argv": ["true"]}, "tusk": 1}',
    "no kind": b'{"task": {"argv": ["true"]}}',
    "a name with a newline": b'{"name": "a\\nb", "task": {"kind": "run", "argv": ["true"]}}',
    "a name with a quote": b'{"name": "a\'b", "task": {"kind": "run", "argv": ["true"]}}',
    "a name that is a command": b'{"name": "$(reboot)", "task": {"kind": "run", "argv": ["true"]}}',
    "a name that is a path": b'{"name": "../../x", "task": {"kind": "run", "argv": ["true"]}}',
    "an endless name": b'{"name": "' + b"x" * 101 + b'", "task": {"kind": "run", "argv": ["true"]}}',
    "no resources": b'{"task": {"kind": "run", "argv": ["true"]}, "resources": {"cpus": 0}}',
    "negative resources": b'{"task": {"kind": "run", "argv": ["true"]}, "resources": {"gpus": -1}}',
    "endless memory": b'{"task": {"kind": "run", "argv": ["true"]}, "resources": {"memory_gb": 1e999}}',
    "more cores than there are": b'{"task": {"kind": "run", "argv": ["true"]}, "resources": {"cpus": 4000}}',
    "a GPU where there is none": b'{"task": {"kind": "run", "argv": ["true"]}, "resources": {"gpus": 1}}',
    "negative retries": b'{"task": {"kind": "run", "argv": ["true"], "retries": -1}}',
    "a training without data": b'{"task": {"kind": "train", "model": "unet"}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_meant_is_refused_in_words(http: httpx.Client, body: bytes) -> None:
    before = acknowledged(http)
    problem(http.post("/jobs", content=body), 400)
    assert acknowledged(http) == before


@pytest.mark.parametrize(
    "spec",
    [
        {"task": {"kind": "run", "argv": ["true"]}, "target": "cluster"},
        {"task": {"kind": "run", "argv": ["true"]}, "after": ["nobody"]},
        {"task": {"kind": "run", "argv": ["true"]}, "after": ["'; DROP TABLE jobs; --"]},
        {"task": {"kind": "train", "model": "unet", "data": "nothing", "labels": "none"}},
        {"task": {"kind": "predict", "model": "nobody", "data": "nothing"}},
    ],
)
def test_what_is_named_must_be_there(http: httpx.Client, spec: dict[str, Any]) -> None:
    problem(http.post("/jobs", json=spec), 404)


TRICKS = (
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2fmlex.db",
    "%252e%252e",
    "%00",
    "a%00b",
    "%0a",
    "a%0d%0aSet-Cookie:x",
    "%22",
    "%27%3B%20DROP%20TABLE%20jobs%3B--",
    "%24%28reboot%29",
    "%60id%60",
    "%F0%9F%8C%B1",
    "%C3%BC",
    "~root",
    "%25",
    "x" * 3000,
    "*",
    "%7B%7B7*7%7D%7D",
    "%5C..%5C",
)


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_that_is_a_trick_is_nobodys(http: httpx.Client, name: str) -> None:
    for path in ("/jobs/{}", "/jobs/{}/log", "/jobs/{}/picture", "/datasets/{}", "/datasets/{}/picture", "/models/{}"):
        said = problem(http.get(path.format(name)), 404)
        assert "root:" not in said.message
    for path in ("/jobs/{}/cancel", "/jobs/{}/resume"):
        problem(http.post(path.format(name)), 404)
    problem(http.post("/models", json={"run": name, "name": "x"}), 404)


def test_bytes_that_are_no_text_are_refused_in_words(http: httpx.Client) -> None:
    for path in ("/jobs/%ff%fe", "/jobs?state=%ff", "/datasets/%c0%af/picture", "/jobs?%ff=1"):
        answer = http.get(path)
        assert answer.status_code in (400, 404), (path, answer.text)
        problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "query",
    [
        "jobs?limit=many",
        "jobs?limit=0",
        "jobs?limit=-1",
        "jobs?limit=" + "9" * 30,
        "jobs?limit=" + "9" * 5000,
        "jobs?state=finished",
        "jobs?colour=blue",
        "jobs?limit=1.5",
        "jobs?limit=",
        "events?after=x",
        "events?after=" + "9" * 30,
        "events?limit=0",
        "events?limit=-5",
        "events?subject=a&kinds=b",
        "models/unet?version=" + "9" * 30,
        "jobs/x/picture?epoch=-1",
        "jobs/x/picture?epoch=" + "9" * 30,
    ],
)
def test_an_argument_that_cannot_be_meant_is_refused_in_words(http: httpx.Client, query: str) -> None:
    answer = http.get("/" + query)
    if query.startswith("jobs?limit=9") and answer.status_code == 200:
        return  # more than there are is all there are
    problem(answer, 400)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/jobs/x/y/z", 404),
        ("POST", "/hello", 405),
        ("GET", "/jobs/x/cancel", 405),
        ("PUT", "/jobs", 405),
        ("DELETE", "/jobs/x", 405),
        ("PATCH", "/jobs/x", 405),
        ("POST", "/jobs/x/picture", 404),
    ],
)
def test_what_is_not_there_is_said_not_to_be(http: httpx.Client, method: str, path: str, status: int) -> None:
    problem(http.request(method, path), status)


def test_paths_that_are_no_volumes_are_refused_in_words(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "a b'c$(d).txt").write_text("words")
    paths = ["/etc/passwd", "", "a\0b", "/dev/zero", "/proc/self/mem", str(tmp_path), "x" * 5000, "~nobody/x", "."]
    for path in [*paths, *map(str, tmp_path.iterdir()), "http://127.0.0.1:1/x.zarr", "file:///etc/passwd"]:
        answer = http.post("/datasets", json={"path": path})
        assert 400 <= answer.status_code < 500, (path, answer.text)
        problem(answer, answer.status_code)


def test_nothing_of_it_is_a_job_nor_an_error_in_the_log(served: Server, http: httpx.Client, home: Path) -> None:
    assert acknowledged(http) == []
    assert not (home / "supervisor.log").exists()
    said = served.log.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]
