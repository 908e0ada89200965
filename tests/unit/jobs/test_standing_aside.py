"""Jobs that cannot begin whatever room there is stand aside: nobody waits behind them, however many they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import TargetError
from mlex_jupyter.jobs import lifecycle
from mlex_jupyter.jobs.tracking import IN_FRONT, front
from mlex_jupyter.store.tables import awaited, jobs
from mlex_jupyter.types import Job, JobState
from tests.engine import Hand, settings_of, spec
from tests.servers import end_processes_of

pytestmark = pytest.mark.usefixtures("each_database")
MANY = 150
SLEEP = ("/bin/sleep", "600")


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home, stop_grace_s=0.5, retry_pause_s=0.1))
    yield Hand(mlex)
    end_processes_of(home)
    mlex.close()


async def many(hand: Hand, **more: Any) -> list[Job]:
    return [await hand.submit(spec("/bin/true", name=f"many-{number}", **more)) for number in range(MANY)]


def waits(hand: Hand) -> list[str]:
    """The jobs that are read to see whether they may begin."""
    return [row.id for row in hand.store.read_now(front)]


def left(hand: Hand) -> int:
    return hand.store.read_now(lambda tx: tx.execute(select(func.count()).select_from(awaited)).scalar_one())


async def test_a_free_job_begins_behind_more_that_follow_another_than_are_looked_at(hand: Hand) -> None:
    assert MANY > IN_FRONT
    first = await hand.submit(spec(*SLEEP, name="first"))
    following = await many(hand, after=("first",))
    free = await hand.submit(spec("/bin/true", name="free"))
    assert (await hand.until_ended(free)).state == JobState.DONE
    assert (await hand.jobs.get(first.id)).state == JobState.RUNNING
    stuck = [await hand.jobs.get(job.id) for job in following]
    assert {(job.state, job.reason) for job in stuck} == {(JobState.WAITING, "after first (Dependency)")}
    assert waits(hand) == [], "those that stand aside are not read at each look"
    await hand.jobs.cancel(first.id)
    for job in following:
        ended = await hand.until_ended(job)
        assert ended.reason == "first, which it was to follow, is cancelled (Dependency)"
    assert left(hand) == 0


async def test_of_two_that_are_followed_the_first_that_fails_is_enough(hand: Hand) -> None:
    slow = await hand.submit(spec(*SLEEP, name="slow"))
    await hand.until_state(slow, JobState.RUNNING)
    quick = await hand.submit(spec("/bin/sh", "-c", "until test -e go; do sleep 0.05; done; exit 1", name="quick"))
    both = await hand.submit(spec("/bin/true", after=("slow", "quick")))

    async def stands_aside() -> bool:
        return left(hand) == 2

    await hand.until(stands_aside)
    (hand.jobs.folder(quick.id).path / "go").touch()
    ended = await hand.until_ended(both)
    assert ended.reason == "quick, which it was to follow, is failed (Dependency)"
    assert (await hand.jobs.get(slow.id)).state == JobState.RUNNING


async def test_cancelled_while_it_stood_aside_it_can_be_resumed(hand: Hand) -> None:
    first = await hand.submit(spec("/bin/sh", "-c", "until test -e go; do sleep 0.05; done", name="first"))
    second = await hand.submit(spec("/bin/true", after=("first",)))
    await hand.until_state(first, JobState.RUNNING)
    await hand.jobs.cancel(second.id)
    assert (await hand.until_ended(second)).state == JobState.CANCELLED
    (hand.jobs.folder(first.id).path / "go").touch()
    await hand.until_ended(first)
    await hand.jobs.resume(second.id)
    assert (await hand.until_ended(second)).state == JobState.DONE


async def test_a_target_that_cannot_say_for_some_whether_there_is_room_holds_back_no_other(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = hand.targets.get("local")
    room, away = local.room, True

    def asked(job: Any, others: Any) -> str | None:
        if away and job.name.startswith("many"):
            raise TargetError("The licence server does not answer.", transient=True)
        return room(job, others)

    monkeypatch.setattr(local, "room", asked)
    monkeypatch.setattr(lifecycle, "ASK_AGAIN_S", 3600)
    held = await many(hand)
    free = await hand.submit(spec("/bin/true", name="free"))
    assert (await hand.until_ended(free)).state == JobState.DONE
    assert (await hand.jobs.get(held[0].id)).reason == "The licence server does not answer; trying again"
    for job in held[1:]:
        await hand.jobs.cancel(job.id)
        assert (await hand.until_ended(job)).state == JobState.CANCELLED, "whoever stands aside can be cancelled"
    away = False
    hand.store.write_now(lambda tx: tx.execute(update(jobs).where(jobs.c.id == held[0].id).values(not_before=1)))
    assert (await hand.until_ended(held[0])).state == JobState.DONE, "its pause is over"


async def test_a_pause_before_the_next_attempt_holds_back_no_other(hand: Hand) -> None:
    paused = await hand.submit(spec("/bin/true", name="paused"))
    later = {"not_before": 4e9, "reason": "attempt 1 failed; trying again after 9 s"}
    hand.store.write_now(lambda tx: tx.execute(update(jobs).where(jobs.c.id == paused.id).values(**later)))
    free = await hand.submit(spec("/bin/true", name="free"))
    assert (await hand.until_ended(free)).state == JobState.DONE
    assert await hand.life.look(), "there is a job that has not ended, though nothing is to be done now"
    assert waits(hand) == []


async def test_whoever_stands_aside_for_nothing_is_let_go_of_by_the_next_supervisor(hand: Hand) -> None:
    gone = await hand.until_ended(await hand.submit(spec("/bin/true", name="gone")))
    stranded = await hand.submit(spec("/bin/true", after=("gone",)))

    def strand(tx: Any) -> None:
        tx.execute(update(jobs).where(jobs.c.id == stranded.id).values(blocked=1))
        tx.execute(awaited.insert(), {"job": stranded.id, "parent": gone.id})

    hand.store.write_now(strand)
    hand.reign()
    assert (await hand.until_ended(stranded)).state == JobState.DONE
