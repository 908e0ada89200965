"""A home that turns read-only, and a clock that jumps: said, survived, and nothing out of order."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Unavailable
from mlex_jupyter.types import JobState
from mlex_jupyter.upkeep.doctor import checks
from tests.engine import Hand, settings_of, small_disk, spec


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as place:
        yield place


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.mark.needs("mount")
async def test_a_home_that_turns_read_only_is_said_to_be_and_goes_on_once_it_is_not(disk: Path) -> None:
    settings = settings_of(disk / "home")
    mlex = Mlex(settings)
    first = await mlex.job_list.submit(spec("/bin/true"), "tester")
    mlex.close()
    remount(disk, "ro")
    mlex = Mlex(settings)
    with pytest.raises(Unavailable, match="cannot be opened") as caught:
        await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert "MLEX_HOME" in (caught.value.hint or "")
    said = {check.name: check for check in await checks(settings)}
    assert not said["Home"].ok and "Read-only file system" in said["Home"].says
    remount(disk, "rw")
    assert (await mlex.job_list.submit(spec("/bin/true"), "tester")).state == JobState.WAITING
    assert first.id in {job.id for job in await mlex.jobs()}
    mlex.close()


async def test_a_clock_that_jumps_puts_nothing_out_of_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, chance = time.time, random.Random(5)
    monkeypatch.setattr(time, "time", lambda: real() + chance.choice((-1, 1)) * chance.random() * 86_400)
    mlex = Mlex(settings_of(home))
    hand = Hand(mlex)
    line = (
        """for n in 1 2 3; do echo '{"kind": "metrics", "values": {"step": '$n'}}' >> events.jsonl; sleep 0.1; done"""
    )
    asked = [await hand.submit(spec("/bin/sh", "-c", line, name=f"job-{number}")) for number in range(3)]
    for job in asked:
        assert (await hand.until_ended(job)).state == JobState.DONE
    assert [job.name for job in await mlex.jobs()] == ["job-2", "job-1", "job-0"], "in the order they were asked for"
    for job in asked:
        said = await mlex.events(subject=job.id)
        assert [event.values["step"] for event in said if event.kind == "metrics"] == [1, 2, 3]
        assert said[0].kind == "submitted" and said[-1].values["state"] == "done"
        assert [event.id for event in said] == sorted(event.id for event in said)
    await mlex.store.changed(within_s=0.05)
    mlex.close()
