"""The supervisor as a process: alone, killed at any moment, gone when idle, and never in anybody's way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from mlex_jupyter import lease
from mlex_jupyter.app import Mlex
from mlex_jupyter.supervisor import has_work
from mlex_jupyter.types import JobState
from tests.engine import settings_of, spec, until
from tests.kills.processes import find


@pytest.fixture
async def mlex(home: Path) -> AsyncIterator[Mlex]:
    engine = Mlex(settings_of(home, idle_s=1))
    yield engine
    engine.close()


def supervisor(mlex: Mlex) -> psutil.Process:
    (only,) = find(mlex.settings.home, "supervisor")
    return only


async def there(mlex: Mlex) -> psutil.Process:
    """The supervisor, once it has begun its reign."""
    await until(lambda: bool(find(mlex.settings.home, "supervisor")))
    return supervisor(mlex)


async def test_a_job_is_done_and_the_supervisor_goes_when_nothing_is_left(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/true"))
    assert (await mlex.wait(job.id)).state == JobState.DONE
    await until(lambda: not lease.held(mlex.settings))
    again = await mlex.submit(spec("/bin/true"))
    assert (await mlex.wait(again.id)).state == JobState.DONE, "and comes back when asked for"


async def test_killed_while_a_job_is_running_it_is_replaced_and_the_run_never_notices(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/sh", "-c", "echo $MLEX_ATTEMPT >> ledger; sleep 1.5"))
    while (await mlex.job(job.id)).state != JobState.RUNNING:
        await asyncio.sleep(0.05)
    supervisor(mlex).kill()
    done = await mlex.wait(job.id)
    assert (done.state, done.attempt) == (JobState.DONE, 1)
    assert (mlex.job_list.folder(job.id).path / "ledger").read_text() == "1\n"


async def test_told_to_go_it_goes_in_good_order_and_the_run_goes_on(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/sleep", "1.5"))
    while (await mlex.job(job.id)).state != JobState.RUNNING:
        await asyncio.sleep(0.05)
    process = supervisor(mlex)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 10) in (0, None)
    assert find(mlex.settings.home, "worker")
    assert (await mlex.wait(job.id)).state == JobState.DONE
    assert "Traceback" not in (mlex.settings.home / "supervisor.log").read_text()


async def test_of_two_supervisors_the_earlier_goes(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/sh", "-c", "echo $MLEX_ATTEMPT >> ledger; sleep 1"))
    earlier = await there(mlex)
    while (await mlex.job(job.id)).state != JobState.RUNNING:
        await asyncio.sleep(0.05)
    (mlex.settings.home / lease.LOCK).unlink()  # as if a file system had forgotten the lock
    lease.ensure_supervisor(mlex.settings)
    await until(lambda: not earlier.is_running() or earlier.status() == psutil.STATUS_ZOMBIE)
    assert (await mlex.wait(job.id)).state == JobState.DONE
    assert (mlex.job_list.folder(job.id).path / "ledger").read_text() == "1\n"
    states = [event.values["state"] for event in await mlex.events(subject=job.id, kind="state")]
    assert states.count("done") == 1


async def test_what_was_asked_for_while_nobody_was_there_is_work(mlex: Mlex) -> None:
    assert not has_work(mlex.settings)
    await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert has_work(mlex.settings)


async def test_it_holds_no_lock_in_the_hands_of_its_runs(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/sleep", "600"))
    while (await mlex.job(job.id)).state != JobState.RUNNING:
        await asyncio.sleep(0.05)
    supervisor(mlex).kill()
    await until(lambda: not lease.held(mlex.settings), within_s=5)
    (worker,) = find(mlex.settings.home, "worker")
    assert not [file for file in worker.open_files() if file.path.endswith(lease.LOCK)]
    os.kill(worker.pid, signal.SIGKILL)


async def test_a_home_that_cannot_be_opened_is_said_in_its_log(mlex: Mlex) -> None:
    (mlex.settings.home / "mlex.db").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    lease.ensure_supervisor(mlex.settings)
    await until(lambda: not find(mlex.settings.home, "supervisor"))
    assert "is damaged" in (mlex.settings.home / "supervisor.log").read_text()


def test_it_loads_nothing_heavy() -> None:
    program = """
import sys
import mlex_jupyter.supervisor
print([name for name in ("torch", "zarr", "pandas", "jupyter_server", "IPython") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
