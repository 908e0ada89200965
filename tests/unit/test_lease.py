"""One supervisor per home: a lock that the kernel lets go of however its holder ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mlex_jupyter import lease
from mlex_jupyter.settings import Settings
from tests.engine import python, settings_of, until
from tests.kills.processes import find

HOLD = """
import sys, time
from pathlib import Path
from mlex_jupyter import lease
from mlex_jupyter.settings import Settings
print(lease.take(Settings.load(home=Path(sys.argv[1]))) is not None, flush=True)
time.sleep(600)
"""


@pytest.fixture
def quick(home: Path) -> Settings:
    """Settings with which a supervisor goes soon."""
    return settings_of(home, idle_s=0.3)


def test_one_has_it_and_the_next_gets_it_after(settings: Settings) -> None:
    first = lease.take(settings)
    assert first is not None
    assert lease.take(settings) is None
    assert lease.held(settings)
    os.close(first)
    assert not lease.held(settings)
    second = lease.take(settings)
    assert second is not None
    os.close(second)


def test_asking_whether_it_is_held_takes_it_from_nobody(settings: Settings) -> None:
    assert [lease.held(settings) for _ in range(3)] == [False] * 3
    descriptor = lease.take(settings)
    assert descriptor is not None
    os.close(descriptor)


def test_a_killed_holder_holds_it_no_more(settings: Settings) -> None:
    holder = python(HOLD, settings.home)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert lease.held(settings)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert not lease.held(settings)


def test_the_lock_is_private(settings: Settings) -> None:
    descriptor = lease.take(settings)
    assert descriptor is not None
    assert (settings.home / lease.LOCK).stat().st_mode & 0o777 == 0o600
    os.close(descriptor)


async def test_of_many_who_want_a_supervisor_one_starts_it(quick: Settings) -> None:
    for _ in range(5):
        lease.ensure_supervisor(quick)
    assert lease.held(quick), "from the first moment on"
    (only,) = find(quick.home, "supervisor")
    assert os.getsid(only.pid) == only.pid, "a session of its own: it outlives who started it"
    assert only.cwd() == str(quick.home)
    await until(lambda: find(quick.home, "supervisor") == [])
    assert not lease.held(quick)
    assert (quick.home / "supervisor.log").read_text() == ""
