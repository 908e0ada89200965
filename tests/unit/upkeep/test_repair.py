"""A database that is broken, whatever broke it, is made anew from what stands beside it; what was done stays done."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid, Unavailable
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.tables import labels
from mlex_jupyter.types import ClassInfo, Dataset, Job, JobState, LabelSet, now
from mlex_jupyter.upkeep.repair import repair
from tests.engine import Hand, python, settings_of, spec

SAY = (
    """echo ran >> ledger; for n in 1 2 3; do """
    """echo '{"kind": "metrics", "time": 1, "values": {"step": '$n'}}' >> events.jsonl; done"""
)


def flipped(database: Path) -> None:
    chance = random.Random(3)
    with database.open("r+b") as file:
        size = database.stat().st_size
        for page in range(1, size // 4096, 2):
            file.seek(page * 4096)
            file.write(chance.randbytes(64))


def truncated(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 3)


def empty(database: Path) -> None:
    os.truncate(database, 0)


def garbage(database: Path) -> None:
    database.write_bytes(random.Random(1).randbytes(100_000))


def gone(database: Path) -> None:
    database.unlink()


DAMAGES = (flipped, truncated, empty, garbage, gone)


def register(tx: Connection, mlex: Mlex) -> None:
    """A dataset and labels, as their modules keep them."""
    about = {
        "uri": "/data/sand.npy",
        "reader": "numpy",
        "shape": (2, 4, 4),
        "dtype": "uint8",
        "axes": "zyx",
        "nbytes": 32,
    }
    sand = Dataset(id="data-1", name="sand", tags=("beamline-8",), created=now(), **about)
    mlex.catalog.insert(tx, sand, unique_name=True)
    painted = {"id": "labels-1", "name": "scribbles", "dataset": "data-1", "version": 1}
    classes = [ClassInfo(value=1, name="sand", color="#56b4e9")]
    record = LabelSet(**painted, classes=classes, uri="/x", counts={"sand": 1}, slices=(0,), created=now())
    tx.execute(insert(labels), {**painted, "record": record.model_dump(mode="json"), "created": 1.0})


async def lived_in(home: Path) -> dict[str, Any]:
    """A home with one of everything, its engine closed; what its people know of it."""
    mlex = Mlex(settings_of(home))
    hand = Hand(mlex)
    mlex.store.write_now(lambda tx: register(tx, mlex))
    done = await hand.submit(spec("/bin/sh", "-c", SAY, name="done", key="the-key"))
    failed = await hand.submit(spec("/bin/sh", "-c", "echo ran >> ledger; exit 3", name="failed"))
    for job in (done, failed):
        await hand.until_ended(job)
    unwanted = await hand.submit(spec("/bin/true", name="unwanted", after=(done.id,)))
    await mlex.job_list.cancel(unwanted.id)
    await hand.until_ended(unwanted)
    running = await hand.submit(
        spec("/bin/sh", "-c", "echo ran >> ledger; until [ -e ../../go ]; do sleep 0.05; done", name="running")
    )
    await hand.until_state(running, JobState.RUNNING)
    await hand.submit(spec("/bin/sh", "-c", "echo ran >> ledger", name="waiting", cpus=4))
    known = await state_of(mlex)
    mlex.close()
    await asyncio.sleep(0.2)
    return known


async def state_of(mlex: Mlex) -> dict[str, Any]:
    def slim(job: Job) -> dict[str, Any]:
        return job.model_dump(mode="json", exclude={"seen", "submitted", "started", "ended"})

    return {
        "jobs": sorted((slim(job) for job in await mlex.jobs()), key=lambda job: str(job["id"])),
        "data": [dataset.model_dump(mode="json", exclude={"created"}) for dataset in await mlex.data()],
        "labels": [painted.model_dump(mode="json", exclude={"created"}) for painted in await mlex.labels("sand")],
        "said": [event.values["step"] for event in await mlex.events(kind="metrics")],
    }


async def the_rest(home: Path) -> dict[str, str]:
    """What each job's command left in its ledger, once everything that can end has ended."""
    (home / "go").touch()
    mlex = Mlex(settings_of(home))
    hand = Hand(mlex)
    for name in ("running", "waiting"):
        assert (await hand.until_ended(name)).state == JobState.DONE
    jobs = {job.name: job for job in await mlex.jobs()}
    assert jobs["done"].state == JobState.DONE and jobs["failed"].state == JobState.FAILED
    folders = {name: mlex.job_list.folder(job.id).path / "ledger" for name, job in jobs.items()}
    mlex.close()
    return {name: path.read_text() for name, path in folders.items() if path.exists()}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_whatever_broke_it_nothing_is_lost_and_nothing_runs_twice(
    home: Path, damage: Callable[[Path], None]
) -> None:
    known = await lived_in(home)
    damage(home / "mlex.db")
    mlex = Mlex(settings_of(home))
    with pytest.raises(Unavailable) as caught:
        await state_of(mlex)
    mlex.close()
    assert "mlex doctor --repair" in (caught.value.hint or "")
    done = repair(settings_of(home))
    assert done.kept["jobs"] == 5
    mlex = Mlex(settings_of(home))
    assert await state_of(mlex) == known
    again = await mlex.job_list.submit(spec("/bin/sh", "-c", SAY, name="done", key="the-key"), "tester")
    assert again.state == JobState.DONE, "asked again with the same key it is the same job"
    mlex.close()
    assert await the_rest(home) == dict.fromkeys(("done", "failed", "running", "waiting"), "ran\n")


async def test_without_backup_and_journal_the_folders_alone_tell_how_runs_ended(home: Path) -> None:
    known = await lived_in(home)
    for name in ("mlex.db", "mlex.db.backup", "records.jsonl"):
        (home / name).unlink(missing_ok=True)
    repair(settings_of(home))
    mlex = Mlex(settings_of(home))
    before = {job["name"]: job for job in known["jobs"]}
    for job in await mlex.jobs():
        assert (job.id, job.state.value, job.attempt) == tuple(
            before[job.name][name] for name in ("id", "state", "attempt")
        )
    assert {job.name for job in await mlex.jobs()} == {"done", "failed", "running"}, "the others never had a folder"
    assert [event.values["step"] for event in await mlex.events(kind="metrics")] == [1, 2, 3]
    mlex.close()


async def test_commits_that_were_lost_with_the_log_come_back(home: Path) -> None:
    settings = settings_of(home)
    mlex = Mlex(settings)
    await mlex.job_list.submit(spec("/bin/true", name="first"), "tester")
    mlex.close()
    shutil.copy(home / "mlex.db", home / "earlier")
    mlex = Mlex(settings)
    await mlex.job_list.submit(spec("/bin/true", name="second"), "tester")
    mlex.close()
    os.replace(home / "earlier", home / "mlex.db")  # as it is when mlex.db-wal is gone
    with pytest.raises(Unavailable, match="lost its last commits"):
        Mlex(settings).store  # noqa: B018
    repair(settings)
    mlex = Mlex(settings)
    assert {job.name for job in await mlex.jobs()} == {"first", "second"}
    mlex.close()


async def test_new_events_come_after_all_that_anybody_has_seen(home: Path) -> None:
    await lived_in(home)
    mlex = Mlex(settings_of(home))
    seen = await mlex.event_stream.last_id()
    mlex.close()
    garbage(home / "mlex.db")
    repair(settings_of(home))
    mlex = Mlex(settings_of(home))
    job = await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert job.id in {event.subject for event in await mlex.events(after=seen)}
    mlex.close()


async def test_the_old_database_is_kept(home: Path) -> None:
    Mlex(settings_of(home)).store.close()
    (home / "mlex.db").write_bytes(b"garbage" * 1000)
    done = repair(settings_of(home))
    assert (done.broken / "mlex.db").read_bytes() == b"garbage" * 1000


async def test_a_healthy_home_is_the_same_after_repair(home: Path) -> None:
    known = await lived_in(home)
    assert repair(settings_of(home)).unread == []
    mlex = Mlex(settings_of(home))
    assert await state_of(mlex) == known
    mlex.close()


async def test_nothing_is_touched_while_somebody_has_it_open(home: Path) -> None:
    mlex = Mlex(settings_of(home))
    await mlex.job_list.submit(spec("/bin/true"), "tester")
    with pytest.raises(Conflict, match=f"open in process {os.getpid()}"):
        repair(mlex.settings)
    with pytest.raises(Conflict):
        await mlex.doctor(repair=True)
    assert not (home / "broken").exists()
    mlex.close()


def test_a_postgresql_is_not_ours_to_repair(home: Path) -> None:
    with pytest.raises(Invalid, match="backups of its own"):
        repair(settings_of(home, database="postgresql://nowhere/x"))


async def test_what_cannot_be_read_is_said_and_keeps_nothing_else(home: Path) -> None:
    known = await lived_in(home)
    (spoilt,) = [job["id"] for job in known["jobs"] if job["name"] == "failed"]
    (home / "jobs" / spoilt / "job.json").write_text("{")
    gone(home / "mlex.db")
    done = repair(settings_of(home))
    assert [said.split(":")[0] for said in done.unread] == [spoilt]
    assert done.kept["jobs"] == 5, "the journal knows it"


REPAIR = """
import sys
from pathlib import Path
from mlex_jupyter.upkeep.repair import repair
from mlex_jupyter.settings import Settings
print("begun", flush=True)
repair(Settings.load(home=Path(sys.argv[1]), user="tester"))
"""


async def test_killed_in_the_middle_it_can_be_begun_again(home: Path) -> None:
    known = await lived_in(home)
    flipped(home / "mlex.db")
    for number in range(8):
        process = python(REPAIR, home)
        assert process.stdout is not None
        process.stdout.readline()
        await asyncio.sleep(0.01 + number * 0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    repair(settings_of(home))
    mlex = Mlex(settings_of(home))
    assert await state_of(mlex) == known
    mlex.close()


# ---------------------------------------------------------------- the journal and the backup


async def test_a_backup_is_made_beside_the_writers_and_empties_the_journal(settings: Settings) -> None:
    mlex = Mlex(settings)
    journal = mlex.store.database.journal
    for _ in range(5):
        await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert len(journal.lines()) >= 5
    journal.back_up()
    assert len(journal.lines()) <= 1
    last = journal.last()
    await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert journal.last() == last + 1
    mlex.close()
    gone(settings.home / "mlex.db")
    repair(settings)
    mlex = Mlex(settings)
    assert len(await mlex.jobs()) == 6
    mlex.close()


async def test_what_was_rolled_back_is_not_in_the_journal(settings: Settings) -> None:
    mlex = Mlex(settings)
    await mlex.job_list.submit(spec("/bin/true", key="k"), "tester")
    before = mlex.store.database.journal.lines()
    with pytest.raises(Conflict):
        await mlex.job_list.submit(spec("/bin/false", key="k"), "tester")
    assert mlex.store.database.journal.lines() == before
    mlex.close()


async def test_a_journal_that_cannot_be_written_keeps_nobody_from_working(settings: Settings) -> None:
    mlex = Mlex(settings)
    await mlex.job_list.submit(spec("/bin/true"), "tester")
    (settings.home / "records.jsonl").unlink()
    (settings.home / "records.jsonl").mkdir()
    job = await mlex.job_list.submit(spec("/bin/true"), "tester")
    assert (await mlex.job(job.id)).id == job.id
    mlex.close()
