"""A home on a real network file system: never a write-ahead log, one host at a time, and a second one told so."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Unavailable
from mlex_jupyter.files import file_system, on_network
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, hostlease, next_epoch
from mlex_jupyter.store.hostlease import STALE_S, HostLease
from tests import needs
from tests.servers import end_processes_of
from tests.sshfs import mounted

HOST = """
import sys
from pathlib import Path
from mlex_jupyter.errors import MlexError
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, next_epoch
try:
    store = Store.open(Settings.load(home=Path(sys.argv[1])))
    print("wrote", store.write_now(next_epoch), flush=True)
    for _ in sys.stdin:
        print("wrote", store.write_now(next_epoch), flush=True)
    store.close()
except MlexError as error:
    print(f"{error.message} {error.hint}", flush=True)
"""


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The home as it lies on the file server."""
    needs.require("sshfs", "hosts")
    made = tmp_path / "served"
    made.mkdir()
    return made


@pytest.fixture
def first(served: Path, tmp_path: Path) -> Iterator[Path]:
    """The home as one host has it."""
    with mounted(served, tmp_path / "first") as place:
        yield place


@pytest.fixture
def second(served: Path, tmp_path: Path) -> Iterator[Path]:
    """The home as another host has it."""
    with mounted(served, tmp_path / "second") as place:
        yield place


class Host:
    """A process on a host of this name, which has the home open and writes to it when told."""

    def __init__(self, name: str, home: Path) -> None:
        line = 'hostname "$1"; shift; exec "$@"'
        command = ["unshare", "--uts", "sh", "-c", line, "sh", name, sys.executable, "-c", HOST, str(home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def writes_again(self) -> str:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self.says()

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.mark.needs("sshfs", "hosts")
def test_it_is_known_by_what_the_kernel_says(first: Path, served: Path) -> None:
    assert file_system(first / "mlex.db") == "fuse.sshfs"
    assert on_network(first)
    assert not on_network(served)


@pytest.mark.needs("sshfs", "hosts")
def test_there_is_no_write_ahead_log_also_not_of_a_home_that_was_on_a_disk_before(first: Path, served: Path) -> None:
    Store.open(Settings.load(home=served)).close()
    assert sqlite3.connect(served / "mlex.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store = Store.open(Settings.load(home=first))
    assert store.write_now(next_epoch) == 1
    assert sorted(path.name for path in served.glob("mlex.db*") if not path.name.endswith("backup")) == ["mlex.db"]
    assert sqlite3.connect(served / "mlex.db").execute("PRAGMA journal_mode").fetchone() == ("delete",)
    store.close()


@pytest.mark.needs("sshfs", "hosts")
def test_a_second_host_is_refused_and_has_it_once_the_first_was_not_heard_of(
    first: Path, second: Path, served: Path
) -> None:
    one = Host("beamline-1", first)
    assert one.says() == "wrote 1"
    other = Host("beamline-2", second)
    refused = other.says()
    assert "the host beamline-1 writes to its database" in refused
    assert "MLEX_DATABASE" in refused and "MLEX_HOME" in refused
    other.end()
    assert one.writes_again() == "wrote 2"
    long_ago = (served / hostlease.LEASE).stat().st_mtime - STALE_S - 1
    os.utime(served / hostlease.LEASE, (long_ago, long_ago))
    other = Host("beamline-2", second)
    assert other.says() == "wrote 3", "it sees what the first one wrote"
    assert "is beamline-2's now" in one.writes_again(), "and the first one writes no more"
    assert other.writes_again() == "wrote 4"
    one.end()
    other.end()


@pytest.mark.needs("sshfs", "hosts")
def test_a_beat_is_told_by_the_servers_clock_and_goes_into_no_others_file(first: Path, served: Path) -> None:
    lease = HostLease(first)
    lease._settle()
    os.utime(served / hostlease.LEASE, (5, 5))
    lease._touch()
    assert abs(lease._age()) < STALE_S / 2
    (served / hostlease.LEASE).unlink()
    (served / hostlease.LEASE).write_text('{"host": "other", "boot": "x"}')
    os.utime(served / hostlease.LEASE, (5, 5))
    lease._touch()
    assert (served / hostlease.LEASE).stat().st_mtime == 5


@pytest.mark.needs("sshfs", "hosts")
def test_where_there_are_no_hard_links_it_is_refused_with_what_to_do(served: Path, tmp_path: Path) -> None:
    with mounted(served, tmp_path / "poor", "disable_hardlink") as poor:
        with pytest.raises(Unavailable, match="knows no hard links") as refused:
            Store.open(Settings.load(home=poor))
        assert "MLEX_DATABASE" in str(refused.value.hint)
    assert not list(served.glob(".host.json*")), "nothing is left beside it"


@pytest.mark.needs("sshfs", "hosts")
def test_of_two_hosts_that_find_it_left_one_has_it(first: Path, second: Path, served: Path) -> None:
    (served / hostlease.LEASE).write_text('{"host": "gone", "boot": "x"}')
    os.utime(served / hostlease.LEASE, (5, 5))
    both = [Host("beamline-1", first), Host("beamline-2", second)]
    said = sorted(host.says() for host in both)
    for host in both:
        host.end()
    assert said[1] == "wrote 1"
    assert "writes to its database" in said[0] or "'s now" in said[0]
    assert not list(served.glob(".host.json*")), "nothing is left beside it"


@pytest.mark.needs("sshfs", "hosts")
async def test_the_whole_engine_works_there(first: Path, served: Path) -> None:
    mlex = Mlex(Settings.load(home=first, user="tester"))
    data = await mlex.sample(size=64, slices=4)
    assert data.name in [found.name for found in await mlex.data()]
    job = await mlex.run(("/bin/sh", "-c", "echo hello"), name="hello")
    try:
        assert (await mlex.wait(job.id)).state == "done"
    finally:
        end_processes_of(first)
    assert [check.says for check in await mlex.doctor() if "fuse.sshfs" in check.says and "one host" in check.says]
    assert not list(served.glob("mlex.db-wal"))
    await asyncio.to_thread(mlex.close)
