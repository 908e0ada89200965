"""Runs that only their own host can see: no other host judges them; it says why nothing happens, and heeds cancel."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from mlex_jupyter.app import Mlex
from mlex_jupyter.jobs import hosts
from mlex_jupyter.jobs.lifecycle import Lifecycle
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.store import EPOCH, next_epoch
from mlex_jupyter.store.tables import jobs, meta
from mlex_jupyter.targets import Targets
from mlex_jupyter.types import Job, JobState
from tests.engine import Hand, settings_of, spec, until
from tests.postgres import Cluster
from tests.servers import end_processes_of

SLEEP = ("/bin/sleep", "600")
HERE, THERE = "beamline-1", "beamline-2"


@pytest.fixture
async def mlex(postgres: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mlex]:
    monkeypatch.setenv("MLEX_DATABASE", postgres.database())
    engine = Mlex(settings_of(home, stop_grace_s=0.5))
    engine.keep_moving = lambda: None  # type: ignore[method-assign]
    yield engine
    end_processes_of(home)
    engine.close()


def hand_on(mlex: Mlex, host: str, monkeypatch: pytest.MonkeyPatch) -> Hand:
    """What a supervisor on a host of that name does, which reigns from now on."""
    monkeypatch.setattr(hosts, "this_host", lambda: {"host": host, "boot": "b"})
    return Hand(mlex)


async def own_runs(mlex: Mlex, host: str, monkeypatch: pytest.MonkeyPatch) -> Lifecycle:
    """What a supervisor on that host does while another one reigns."""
    monkeypatch.setattr(hosts, "this_host", lambda: {"host": host, "boot": "b"})
    of = f"{EPOCH} {host}"
    epoch = await mlex.store.write(lambda tx: next_epoch(tx, of))
    return Lifecycle(Reign(mlex.store, epoch, of), mlex.settings, Targets(mlex.settings), mlex.catalog, only=host)


def heard(mlex: Mlex, host: str, ago_s: float) -> None:
    """As if that host's supervisor was last heard of so long ago."""
    mlex.store.write_now(lambda tx: hosts.beat(tx, host))
    said = update(meta).where(meta.c.key == hosts.BEAT + host).values(value=int(time.time() - ago_s))
    mlex.store.write_now(lambda tx: tx.execute(said))


def unseen(hand: Hand, job: Job) -> None:
    """As if the run's process was on a machine of its own: what is asked for it here finds nothing."""
    hand.store.write_now(lambda tx: tx.execute(update(jobs).where(jobs.c.id == job.id).values(native_id="999999@1")))


def seen_again(hand: Hand, job: Job) -> None:
    values = {"native_id": job.native_id}
    hand.store.write_now(lambda tx: tx.execute(update(jobs).where(jobs.c.id == job.id).values(**values)))


async def looks(life: Lifecycle, number: int = 30) -> None:
    for _ in range(number):
        await life.look()
        await asyncio.sleep(0.02)


async def test_a_host_that_takes_over_leaves_the_firsts_runs_as_they_are_and_says_why(
    mlex: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_on(mlex, HERE, monkeypatch)
    job = await first.until_state(await first.submit(spec(*SLEEP)), JobState.RUNNING)
    unseen(first, job)
    heard(mlex, HERE, 1)
    second = hand_on(mlex, THERE, monkeypatch)
    await looks(second.life)
    now = await mlex.job(job.id)
    assert (now.state, now.attempt, now.reason) == (JobState.RUNNING, 1, None), "its own supervisor stands by"
    heard(mlex, HERE, 3600)
    second = hand_on(mlex, THERE, monkeypatch)
    await looks(second.life)
    now = await mlex.job(job.id)
    assert (now.state, now.attempt) == (JobState.RUNNING, 1)
    assert now.reason is not None
    assert now.reason.startswith(f"runs on {HERE}; its supervisor is silent since 20")
    assert (await mlex.why(job.id)).reason == now.reason
    beside = await second.submit(spec("/bin/true", cpus=4))
    assert (await second.until_ended(beside)).state == JobState.DONE, "what runs elsewhere takes no room here"


async def test_its_own_supervisor_goes_on_with_it_while_another_reigns(
    mlex: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_on(mlex, HERE, monkeypatch)
    job = await first.submit(spec("/bin/sh", "-c", "until test -e go; do sleep 0.05; done"))
    running = await first.until_state(job, JobState.RUNNING)
    heard(mlex, HERE, 3600)
    unseen(first, running)
    second = hand_on(mlex, THERE, monkeypatch)
    await looks(second.life)
    assert "silent" in str((await mlex.job(job.id)).reason)
    seen_again(first, running)
    back = await own_runs(mlex, HERE, monkeypatch)
    await looks(back)
    assert (await mlex.job(job.id)).reason is None, "it is looked after again"
    (first.jobs.folder(job.id).path / "go").touch()
    deadline = time.monotonic() + 60
    while not (await mlex.job(job.id)).state.final and time.monotonic() < deadline:
        await back.look()
        await second.life.look()
        await asyncio.sleep(0.02)
    ended = await mlex.job(job.id)
    assert (ended.state, ended.attempt) == (JobState.DONE, 1)


async def test_cancelled_while_its_host_is_silent_it_says_so_and_what_is_left_there_is_ended(
    mlex: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_on(mlex, HERE, monkeypatch)
    job = await first.submit(spec(*SLEEP))
    running = await first.until_state(job, JobState.RUNNING)
    heard(mlex, HERE, 3600)
    unseen(first, running)
    second = hand_on(mlex, THERE, monkeypatch)
    await second.jobs.cancel(job.id)
    ended = await second.until_ended(job)
    assert ended.state == JobState.CANCELLED
    assert str(ended.reason).startswith(f"cancelled while its host {HERE} was silent, since 20")
    assert psutil.pid_exists(int(str(running.native_id).partition("@")[0])), "nobody there has heard of it yet"
    back = await own_runs(mlex, HERE, monkeypatch)
    await looks(back, 3)
    process = int(str(running.native_id).partition("@")[0])
    await until(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    assert (await mlex.job(job.id)).state == JobState.CANCELLED


async def test_what_another_host_ended_is_not_ended_again_by_one_that_was_asleep(
    mlex: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_on(mlex, HERE, monkeypatch)
    job = await first.submit(spec("/bin/sh", "-c", "until test -e go; do sleep 0.05; done"))
    await first.until_state(job, JobState.RUNNING)
    asleep = await own_runs(mlex, HERE, monkeypatch)
    await looks(asleep, 3)
    heard(mlex, HERE, 3600)
    second = hand_on(mlex, THERE, monkeypatch)
    await second.jobs.cancel(job.id)
    await second.until_ended(job)
    (first.jobs.folder(job.id).path / "go").touch()
    await looks(asleep)
    assert (await mlex.job(job.id)).state == JobState.CANCELLED
    assert [said["state"] for said in await second.said(job)].count("done") == 0


def supervisor_on(host: str, mlex: Mlex) -> subprocess.Popen[bytes]:
    """A supervisor of its own on a host of that name."""
    program = (
        "from mlex_jupyter import lease, supervisor; from mlex_jupyter.settings import Settings; "
        "supervisor.main(lease.take(Settings.load()))"
    )
    line = ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", host]
    environment = {**os.environ, **mlex.settings.environment()}
    return subprocess.Popen([*line, sys.executable, "-c", program], env=environment, start_new_session=True)


@pytest.mark.needs("hosts")
async def test_two_hosts_supervisors_move_the_jobs_of_one_database_each_its_own(mlex: Mlex) -> None:
    one = supervisor_on(HERE, mlex)
    try:
        line = "hostname; until test -e go; do sleep 0.05; done"
        job = await mlex.submit(spec("/bin/sh", "-c", line))

        def folder() -> Path:
            return mlex.job_list.folder(job.id).path

        await until(lambda: (folder() / "attempts" / "1" / "claim").exists())
        two = supervisor_on(THERE, mlex)
        await until(lambda: (mlex.settings.home / f"{THERE}.supervisor.lock").exists())
        await until(lambda: THERE in mlex.store.read_now(hosts.beats))
        one.kill()
        one.wait()
        next_one = await mlex.submit(spec("/bin/sh", "-c", "hostname"))
        assert (await mlex.wait(next_one.id, timeout_s=60)).state == JobState.DONE
        assert THERE in (await mlex.job_list.log(next_one.id)).text
        assert (await mlex.job(job.id)).state == JobState.RUNNING
        one = supervisor_on(HERE, mlex)
        (folder() / "go").touch()
        done = await mlex.wait(job.id, timeout_s=60)
        assert (done.state, done.attempt) == (JobState.DONE, 1)
        assert HERE in (await mlex.job_list.log(job.id)).text
    finally:
        for process in (one, two):
            process.kill()
            process.wait()
