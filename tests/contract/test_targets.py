"""What every place where jobs run must keep: one suite, over each of them.

A target joins by a row in `PLACES`: how to make it for a home, and how to kill what it started. Its jobs see the
home's folder as their own; nothing else of this suite knows where they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.run import FAILED, STOPPED, TAKEN
from mlex_jupyter.settings import Settings
from mlex_jupyter.targets import Seen, Target, Targets
from mlex_jupyter.targets.local import LocalTarget
from mlex_jupyter.types import JobFile, JobState, new_id
from tests.engine import python, settings_of, spec

PATIENCE_S = 60


@dataclass(frozen=True)
class Place:
    """One target, and what a test needs besides its promise."""

    make: Callable[[Settings], Target]
    kill: Callable[[str], Awaitable[None]]
    """End a native id's processes as a broken machine would."""
    remembers: bool
    """Whether exit codes are known after the submitter died."""


async def kill_process(native_id: str) -> None:
    os.killpg(int(native_id.partition("@")[0]), signal.SIGKILL)


PLACES = {"local": Place(LocalTarget, kill_process, remembers=False)}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


@pytest.fixture
def settings(home: Path) -> Settings:
    return settings_of(home)


@pytest.fixture
def target(place: Place, settings: Settings) -> Target:
    return place.make(settings)


class Submitted:
    """A job that was given to a target."""

    def __init__(self, target: Target, settings: Settings, *argv: str, cpus: int = 1) -> None:
        self.target = target
        job_id = new_id("run")
        self.job = JobFile(id=job_id, name="run", owner="tester", spec=spec(*argv, cpus=cpus))
        self.folder = JobFolder.make(settings.home / "jobs" / job_id, self.job)
        self.native_id = ""

    def command(self, attempt: int) -> list[str]:
        return [sys.executable, "-m", "mlex_jupyter.learn.run", str(self.folder.path), str(attempt)]

    async def submit(self, attempt: int = 1) -> str:
        self.native_id = await self.target.submit(self.job, str(self.folder.path), self.command(attempt))
        return self.native_id

    async def seen(self) -> Seen:
        return (await self.target.states([self.native_id]))[self.native_id]

    async def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, await self.seen()
            await asyncio.sleep(0.02)

    async def until_begun(self) -> None:
        await self.until((self.folder.path / "begun").exists)

    async def until_ended(self) -> Seen:
        deadline = time.monotonic() + PATIENCE_S
        while not (seen := await self.seen()).state.final:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)
        return seen


STEADY = "touch begun; while :; do sleep 0.05; done"


async def test_a_command_that_ends_well_is_done(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", "echo out; echo err >&2; sleep 0.2")
    native_id = await job.submit()
    assert (await job.seen()).state in (JobState.QUEUED, JobState.RUNNING)
    seen = await job.until_ended()
    assert (seen.state, seen.exit_code) == (JobState.DONE, 0)
    assert job.folder.result() is not None
    assert job.folder.log.read_text() == "out\nerr\n"
    assert await target.find(job.job.id, 1) in (None, native_id)


async def test_an_exit_code_comes_through(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", "exit 42")
    await job.submit()
    seen = await job.until_ended()
    assert (seen.state, seen.exit_code) == (JobState.FAILED, FAILED)
    ending = job.folder.ending(1)
    assert ending is not None
    assert "42" in ending.message


async def test_all_are_asked_for_at_once_and_each_has_its_own_answer(target: Target, settings: Settings) -> None:
    good, bad = Submitted(target, settings, "/bin/true"), Submitted(target, settings, "/bin/false")
    going = Submitted(target, settings, "/bin/sh", "-c", STEADY)
    for job in (good, bad, going):
        await job.submit()
    assert len({good.native_id, bad.native_id, going.native_id}) == 3
    await asyncio.gather(good.until_ended(), bad.until_ended(), going.until_begun())
    seen = await target.states([good.native_id, bad.native_id, going.native_id])
    assert [seen[job.native_id].state for job in (good, bad, going)] == [
        JobState.DONE,
        JobState.FAILED,
        JobState.RUNNING,
    ]
    assert await target.states([]) == {}
    await target.cancel(going.native_id, force=True)
    await going.until_ended()


async def test_no_shell_reads_the_arguments(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", 'printf "%s|" "$@"', "sh", "$(id)", "a b", "'", '"', "\n", "*")
    await job.submit()
    assert (await job.until_ended()).state == JobState.DONE
    assert job.folder.log.read_text() == "$(id)|a b|'|\"|\n|*|"


# ---------------------------------------------------------------- cancel, in every state


async def test_cancelled_at_once_it_ends(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", STEADY)
    await job.submit()
    await target.cancel(job.native_id)
    assert (await job.until_ended()).state != JobState.DONE
    assert job.folder.result() is None


async def test_cancelled_while_running_it_may_save_first(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", "trap 'sleep 0.3; touch saved; exit' TERM; " + STEADY)
    await job.submit()
    await job.until_begun()
    await target.cancel(job.native_id)
    seen = await job.until_ended()
    assert seen.exit_code == STOPPED
    assert (job.folder.path / "saved").exists()
    ending = job.folder.ending(1)
    assert ending is not None
    assert ending.state == JobState.CANCELLED


async def test_forced_it_ends_whatever_it_does(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", "trap '' TERM; " + STEADY)
    await job.submit()
    await job.until_begun()
    await target.cancel(job.native_id)
    await asyncio.sleep(0.3)
    assert (await job.seen()).state == JobState.RUNNING
    await target.cancel(job.native_id, force=True)
    seen = await job.until_ended()
    assert seen.state in (JobState.FAILED, JobState.CANCELLED)
    assert seen.reason


@pytest.mark.parametrize("force", [False, True])
async def test_cancelled_after_its_end_nothing_happens(target: Target, settings: Settings, force: bool) -> None:
    job = Submitted(target, settings, "/bin/true")
    await job.submit()
    await job.until_ended()
    await target.cancel(job.native_id, force=force)
    await target.cancel(job.native_id, force=force)
    assert (await job.seen()).state == JobState.DONE
    target.forget(job.native_id)
    await target.cancel(job.native_id, force=force)


# ---------------------------------------------------------------- kills


async def test_a_killed_job_is_not_done_and_the_reason_is_said(
    place: Place, target: Target, settings: Settings
) -> None:
    job = Submitted(target, settings, "/bin/sh", "-c", STEADY)
    await job.submit()
    await job.until_begun()
    await place.kill(job.native_id)
    seen = await job.until_ended()
    assert seen.state in (JobState.FAILED, JobState.LOST)
    assert seen.reason
    assert job.folder.result() is None
    assert await target.find(job.job.id, 1) is None


async def test_a_second_copy_of_an_attempt_ends_without_effect(target: Target, settings: Settings) -> None:
    line = "echo begun >> ledger; touch begun; sleep 0.5"
    job = Submitted(target, settings, "/bin/sh", "-c", line)
    first = await job.submit()
    await job.until_begun()
    second = await job.submit()
    assert second != first
    assert (await job.until_ended()).exit_code == TAKEN
    job.native_id = first
    assert (await job.until_ended()).state == JobState.DONE
    assert (job.folder.path / "ledger").read_text() == "begun\n"


async def test_a_submission_is_found_again_by_job_and_attempt(target: Target, settings: Settings) -> None:
    job, other = (Submitted(target, settings, "/bin/sh", "-c", STEADY) for _ in range(2))
    await job.submit(attempt=2)
    await other.submit()
    await job.until_begun()
    assert await target.find(job.job.id, 2) == job.native_id
    assert await target.find(job.job.id, 1) is None
    assert await target.find(other.job.id, 1) == other.native_id
    assert await target.find("run-of-nobody", 1) is None
    for one in (job, other):
        await target.cancel(one.native_id, force=True)
        await one.until_ended()


SUBMIT_AND_WAIT = """
import asyncio, sys, time
from pathlib import Path
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.settings import Settings
from mlex_jupyter.targets import Targets
folder = JobFolder(Path(sys.argv[2]))
command = [sys.executable, "-m", "mlex_jupyter.learn.run", sys.argv[2], "1"]
target = Targets(Settings.load(home=Path(sys.argv[1]))).get(sys.argv[3])
print(asyncio.run(target.submit(folder.job(), sys.argv[2], command)), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["well", "badly", "cancelled", "killed"])
async def test_after_the_death_of_who_submitted_it_another_goes_on(
    place: Place, target: Target, settings: Settings, end: str
) -> None:
    line = "touch begun; while ! test -e go; do sleep 0.02; done; exit $(cat go)"
    job = Submitted(target, settings, "/bin/sh", "-c", line)
    submitter = python(SUBMIT_AND_WAIT, settings.home, job.folder.path, target.name)
    assert submitter.stdout is not None
    said = await asyncio.to_thread(submitter.stdout.readline)
    await job.until_begun()
    submitter.kill()
    await asyncio.to_thread(submitter.communicate)
    job.native_id = await target.find(job.job.id, 1) or "not found"
    assert job.native_id == said.strip()
    assert (await job.seen()).state == JobState.RUNNING
    if end in ("well", "badly"):
        (job.folder.path / "go.part").write_text("0" if end == "well" else "5")
        (job.folder.path / "go.part").rename(job.folder.path / "go")
    elif end == "cancelled":
        await target.cancel(job.native_id)
    else:
        await place.kill(job.native_id)
    seen = await job.until_ended()
    if place.remembers:
        assert seen.exit_code == {"well": 0, "badly": FAILED, "cancelled": STOPPED}.get(end, seen.exit_code)
    else:
        assert (seen.state, seen.exit_code) == (JobState.LOST, None), "the folder knows the rest"
    ending = job.folder.ending(1)
    assert (job.folder.result() is not None) == (end == "well")
    expected = {"badly": JobState.FAILED, "cancelled": JobState.CANCELLED}.get(end)
    assert (ending.state if ending else None) == expected


async def test_a_number_used_again_is_not_taken_for_the_job(target: Target, settings: Settings) -> None:
    job = Submitted(target, settings, "/bin/true")
    await job.submit()
    await job.until_ended()
    if target.name != "local":
        return  # elsewhere ids are not used again
    own = psutil.Process()
    stranger = f"{own.pid}@1"
    assert (await target.states([stranger]))[stranger].state == JobState.LOST
    await target.cancel(stranger)
    await target.cancel(stranger, force=True)
    assert own.is_running()


# ---------------------------------------------------------------- room


async def test_the_target_says_what_there_is_and_what_is_free(target: Target, settings: Settings) -> None:
    info = await target.info()
    assert (info.name, info.ready) == (target.name, True)
    assert info.cpus_free <= info.cpus
    assert info.memory_gb > 0
    job = Submitted(target, settings, "/bin/sh", "-c", STEADY, cpus=3)
    await job.submit()
    await job.until_begun()
    assert (await target.info()).cpus_free == info.cpus_free - 3
    await target.cancel(job.native_id, force=True)
    await job.until_ended()
    assert (await target.info()).cpus_free == info.cpus_free


async def test_there_is_room_as_long_as_cores_are_left(target: Target) -> None:
    def asks(cpus: int, gpus: int = 0) -> JobFile:
        return JobFile(id="run-1", name="run", owner="tester", spec=spec(cpus=cpus, gpus=gpus))

    assert target.room(asks(4), ()) is None
    assert target.room(asks(1), [asks(3)]) is None
    assert target.room(asks(2), [asks(3)])
    assert target.room(asks(5), ())
    assert target.room(asks(1, gpus=1), ())


async def test_each_job_gets_gpus_of_its_own(home: Path) -> None:
    settings = settings_of(home, local_gpus=2)
    target = Targets(settings).get("local")
    line = 'echo "$CUDA_VISIBLE_DEVICES" > gpus; ' + STEADY
    jobs = [Submitted(target, settings, "/bin/sh", "-c", line) for _ in range(3)]
    for job, wanted in zip(jobs, (1, 1, 0), strict=True):
        job.job = job.job.model_copy(update={"spec": spec("/bin/sh", "-c", line, gpus=wanted)})
        await job.submit()
        await job.until_begun()
    assert [(job.folder.path / "gpus").read_text().strip() for job in jobs] == ["0", "1", ""]
    assert (await target.info()).gpus_free == 0
    for job in jobs:
        with contextlib.suppress(ProcessLookupError):
            await target.cancel(job.native_id, force=True)
        await job.until_ended()


async def test_what_a_killed_run_left_behind_does_not_meet_the_next_attempt(target: Target, settings: Settings) -> None:
    line = "(while :; do sleep 0.05; touch alive; done) & touch begun; wait"
    job = Submitted(target, settings, "/bin/sh", "-c", line)
    await job.submit()
    await job.until(lambda: (job.folder.path / "alive").exists())
    os.kill(int(job.native_id.partition("@")[0]), signal.SIGKILL)
    await target.cancel(job.native_id, force=True)
    await asyncio.sleep(0.3)
    (job.folder.path / "alive").unlink(missing_ok=True)
    await asyncio.sleep(0.3)
    assert not (job.folder.path / "alive").exists()
