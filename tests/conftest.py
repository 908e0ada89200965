"""Fixtures for all: a home of one's own, the engine in it, a small sample, a real Jupyter server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from tests import needs
from tests.postgres import Cluster, running_cluster
from tests.servers import Server, end_processes_of, running_server

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = {"size": 96, "slices": 12, "seed": 7}
"""Small, so that a test of function trains in seconds."""
LONGEST = (
    "tests/integration/test_kills.py",
    "tests/browser",
    "tests/integration",
    "tests/contract",
    "tests/notebooks",
    "tests/unit/learn",
    "tests/unit/jobs",
    "tests/unit/labels",
    "tests/unit/data",
)
"""What takes longest goes first, so that processes that share the files end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(place) for place in LONGEST])


@pytest.fixture
def require() -> Callable[..., None]:
    """`require("browser")`: go on only where that is there."""
    return needs.require


def pytest_configure() -> None:
    needs.required()  # here, where it is told, and not in one of the processes that share the tests


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        needs.require(*marker.args)


# What this user has set for the real thing must not reach the tests.
for name in [name for name in os.environ if name.startswith("MLEX_") and name not in ("MLEX_REQUIRE", "MLEX_CHROMIUM")]:
    del os.environ[name]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for one test; what runs in it is ended afterwards."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("MLEX_HOME", str(path))
    yield path
    end_processes_of(path)


@pytest.fixture
def settings(home: Path) -> Settings:
    """The settings of that home."""
    return Settings.load(home=home, user="tester")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL for the session."""
    needs.require("postgres")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs over SQLite, and once more over PostgreSQL: everything that reads the settings finds it there."""
    if request.param == "postgres":
        monkeypatch.setenv("MLEX_DATABASE", request.getfixturevalue("postgres").database())
    return str(request.param)


@pytest.fixture
async def mlex(settings: Settings) -> AsyncIterator[Mlex]:
    """The engine of that home."""
    engine = Mlex(settings)
    yield engine
    if "store" in vars(engine):
        engine.store.close()


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a home that has described the built-in architectures, to copy where that is not the question."""
    home = tmp_path_factory.mktemp("described")
    mlex_command("architectures", home=home)
    return home / "cache"


@pytest.fixture
def knowing(home: Path, described: Path) -> Path:
    """This test's home, which knows the built-in architectures already: describing them takes a torch of its own."""
    shutil.copytree(described, home / "cache")
    return home


def mlex_command(*words: str, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`mlex …` as a process, the way a shell runs it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("mlex"), *words],
        env=os.environ | {"MLEX_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    if check and done.returncode:
        raise AssertionError(f"mlex {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


@pytest.fixture
def mlex_run(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`mlex_run("jobs", "--json")`: the command, in this test's home."""
    return lambda *words, check=True: mlex_command(*words, home=home, check=check)


@pytest.fixture
def server(home: Path, tmp_path: Path) -> Iterator[Server]:
    """A Jupyter server with our extension, in this test's home."""
    needs.require("lab")
    with running_server(home, tmp_path / "work", app="server") as running:
        yield running
