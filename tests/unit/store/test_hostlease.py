"""On a network file system one host writes to a home; a second is refused in words, and takes over what was left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.store import Store, hostlease, next_epoch
from mlex_jupyter.store.hostlease import STALE_S, HostLease
from tests.engine import settings_of

OPEN = """
import sys, time
from pathlib import Path
from mlex_jupyter.store import sqlite
from mlex_jupyter.errors import MlexError
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, next_epoch
sqlite.on_network = lambda path: True
try:
    store = Store.open(Settings.load(home=Path(sys.argv[1])))
    wrote = store.write_now(next_epoch)
    store.database.close()  # its backup is made; a host that stops in the middle of one would hold the file
    print("wrote", wrote, flush=True)
    if len(sys.argv) > 2:
        sys.stdin.readline()
        print("wrote", store.write_now(next_epoch), flush=True)
    store.close()
except MlexError as error:
    print(f"{error.message} {error.hint}", flush=True)
"""


@pytest.fixture
def shared(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that says of itself that it is on a network file system."""
    monkeypatch.setattr("mlex_jupyter.store.sqlite.on_network", lambda path: True)
    return home


def on_host(name: str, home: Path, *words: str) -> subprocess.Popen[str]:
    """Open the home and write to it, on a host of that name."""
    line = 'hostname "$1"; shift; exec "$@"'
    command = ["unshare", "--uts", "sh", "-c", line, "sh", name, sys.executable, "-c", OPEN, str(home), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=60)[0].strip()


def let_pass(home: Path, seconds: float) -> None:
    """As if nobody had touched the lease for so long."""
    found = (home / hostlease.LEASE).stat().st_mtime - seconds
    os.utime(home / hostlease.LEASE, (found, found))


@pytest.mark.needs("hosts")
def test_a_second_host_is_refused_by_the_name_of_the_first_and_told_what_to_do(home: Path) -> None:
    first = on_host("beamline-1", home, "stay")
    assert first.stdout is not None
    assert first.stdout.readline() == "wrote 1\n"
    refusal = said(on_host("beamline-2", home))
    assert "the host beamline-1 writes to its database" in refusal
    assert "MLEX_DATABASE" in refusal and "MLEX_HOME" in refusal
    assert said(on_host("beamline-1", home)) == "wrote 2", "another process of the same host may"
    assert first.communicate("\n")[0] == "wrote 3\n"


@pytest.mark.needs("hosts")
def test_a_host_that_died_is_followed_after_a_while_and_refused_when_it_comes_back(home: Path) -> None:
    first = on_host("beamline-1", home, "stay")
    assert first.stdout is not None
    assert first.stdout.readline() == "wrote 1\n"
    first.send_signal(signal.SIGSTOP)  # as a laptop that was closed
    let_pass(home, STALE_S + 1)
    assert said(on_host("beamline-2", home)) == "wrote 2"
    first.send_signal(signal.SIGCONT)
    assert "is beamline-2's now" in first.communicate("\n")[0], "and has written nothing"


def test_a_write_in_which_the_lease_was_lost_is_not_committed(shared: Path) -> None:
    store = Store.open(settings_of(shared))
    assert store.write_now(next_epoch) == 1

    def lose(tx: object) -> int:
        (shared / hostlease.LEASE).write_text('{"host": "other", "boot": "x"}')
        return next_epoch(tx)

    with pytest.raises(Unavailable, match="is other's now"):
        store.write_now(lose)
    shutil.rmtree(shared / hostlease.LEASE, ignore_errors=True)
    (shared / hostlease.LEASE).unlink()
    store.close()
    again = Store.open(settings_of(shared))
    assert again.write_now(next_epoch) == 2
    again.close()


def test_of_many_who_find_it_stale_one_has_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HostLease(home)._make()
    (home / hostlease.LEASE).write_text('{"host": "gone", "boot": "x"}')
    let_pass(home, STALE_S + 1)
    names = threading.local()
    monkeypatch.setattr(hostlease, "this_host", lambda: {"host": names.mine, "boot": "b"})
    ended: list[str] = []

    def take(name: str) -> None:
        names.mine = name
        try:
            HostLease(home)._settle()
            ended.append(name)
        except Unavailable:
            pass

    threads = [threading.Thread(target=take, args=(f"host-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 1
    assert (HostLease(home).holder() or {})["host"] == ended[0]
    assert [path.name for path in home.iterdir()] == [hostlease.LEASE], "nothing is left beside it"


def test_on_a_local_disk_there_is_no_lease(home: Path) -> None:
    Store.open(settings_of(home)).close()
    assert not (home / hostlease.LEASE).exists()
