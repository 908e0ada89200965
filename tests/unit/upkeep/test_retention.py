"""What is not kept for ever: old strokes and what was told of them; and whoever missed some of it is told so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from mlex_jupyter.app import Mlex
from mlex_jupyter.events import append
from mlex_jupyter.jobs.reign import Reign, Superseded
from mlex_jupyter.store import next_epoch
from mlex_jupyter.store.tables import label_strokes, meta
from mlex_jupyter.types import Event, JobState, On
from mlex_jupyter.upkeep import retention
from mlex_jupyter.upkeep.retention import DAY_S, Retention
from tests.engine import Hand, settings_of, spec

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def mlex(home: Path) -> AsyncIterator[Mlex]:
    engine = Mlex(settings_of(home, history_days=30))
    engine.keep_moving = lambda: None  # type: ignore[method-assign]
    yield engine
    engine.close()


def keeping(mlex: Mlex) -> Retention:
    """What a supervisor does that reigns from now on."""
    return Retention(Reign(mlex.store, mlex.store.write_now(next_epoch)), mlex.settings)


def tell(mlex: Mlex, kind: str, ago_days: float, number: int = 1, subject: str = "lb-1") -> None:
    at = time.time() - ago_days * DAY_S
    for _ in range(number):
        mlex.store.write_now(lambda tx: append(tx, subject, kind, {"number": 1}, at=at))


async def kinds(mlex: Mlex, after: int = 0) -> list[str]:
    return [event.kind for event in await mlex.events(after=after)]


async def test_old_events_of_painting_go_and_all_others_stay(mlex: Mlex) -> None:
    hand = Hand(mlex)
    tell(mlex, "painted", 40, 3)
    tell(mlex, "metrics", 400, subject="run-1")
    tell(mlex, "dataset", 400)
    job = await hand.until_ended(await hand.submit(spec("/bin/true")))
    tell(mlex, "painted", 31)
    tell(mlex, "painted", 29)
    before = [event for event in await mlex.events() if event.kind != "painted"]
    young = (await mlex.events())[-1]
    await keeping(mlex).look()
    now = await mlex.events()
    assert [event for event in now if event.kind not in ("painted", "pruned")] == before
    assert [event for event in now if event.kind == "painted"] == [young]
    assert now[-1].kind == "pruned"
    assert now[-1].id > young.id, "ids only grow"
    assert job.state == JobState.DONE


async def test_whoever_asks_for_an_id_that_is_older_than_what_is_kept_is_told_so_in_the_stream(mlex: Mlex) -> None:
    tell(mlex, "dataset", 50)
    tell(mlex, "painted", 40, 5)
    last = await mlex.event_stream.last_id()
    tell(mlex, "labels", 35)
    await keeping(mlex).look()

    async def first(after: int) -> list[Event]:
        async for batch in mlex.event_stream.follow(after):
            return batch
        raise AssertionError

    behind = await first(2)
    assert [event.kind for event in behind] == ["labels", "pruned"]
    assert behind[-1].values["upto"] == last, "so who asked for what came after 2 has missed some"
    assert await mlex.event_stream.after(behind[-1].id) == []
    tell(mlex, "dataset", 0)
    assert await kinds(mlex, behind[-1].id) == ["dataset"], "what comes then has a higher id"


async def test_it_goes_on_where_it_was_a_little_at_a_time_and_says_it_once(
    mlex: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 4)
    tell(mlex, "painted", 40, 10)
    tell(mlex, "state", 40, 3)
    keeper = keeping(mlex)
    await keeper.look()
    assert (await kinds(mlex)).count("painted") == 6
    for _ in range(6):
        await keeper.look()
    assert await kinds(mlex) == ["state", "state", "state", "pruned"]
    tell(mlex, "painted", 35, 2)
    await keeper.look()
    assert "painted" in await kinds(mlex), "once an hour"
    await keeping(mlex).look()
    await keeping(mlex).look()
    assert await kinds(mlex) == ["state", "state", "state", "pruned"]


async def test_a_rule_that_was_behind_still_fires_for_each_of_its_events(mlex: Mlex) -> None:
    from mlex_jupyter.jobs.firing import Firing

    hand = Hand(mlex)
    await mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields={"argv": "true"}, match="first")
    tell(mlex, "painted", 40, 3)
    await hand.until_ended(await hand.submit(spec("/bin/true", name="first")))
    keeper = keeping(mlex)
    await keeper.look()
    assert await Firing(keeper.reign, lambda owner: hand.jobs).look()
    assert (await mlex.rules())[0].fired == 1


@pytest.fixture
def strokes(mlex: Mlex) -> None:
    """Entries of a draft's history, old and young, of every kind of standing."""
    rows: list[dict[str, Any]] = [
        {"labels": labels, "number": number, "kind": "stroke", "state": state, "author": "tester", "time": at}
        for labels in ("lb-1", "lb-2")
        for number, (state, at) in enumerate(
            (state, time.time() - days * DAY_S)
            for state in ("settled", "dropped", "done", "undone", "refused")
            for days in (40, 1)
        )
    ]
    mlex.store.write_now(
        lambda tx: tx.execute(insert(label_strokes), [{"tiles": [], "pixels": 0} | row for row in rows])
    )


@pytest.mark.usefixtures("strokes")
async def test_of_a_drafts_history_only_old_strokes_go_that_nobody_can_take_back(mlex: Mlex) -> None:
    await keeping(mlex).look()
    query = select(label_strokes.c.labels, label_strokes.c.number).order_by(label_strokes.c.number)
    left = mlex.store.read_now(lambda tx: [tuple(row) for row in tx.execute(query)])
    kept = {1, 3, 4, 5, 6, 7, 8, 9}
    assert set(left) == {(labels, number) for labels in ("lb-1", "lb-2") for number in kept}


@pytest.mark.usefixtures("strokes")
async def test_with_0_days_all_is_kept_and_a_supervisor_that_is_superseded_takes_nothing(
    mlex: Mlex, home: Path
) -> None:
    tell(mlex, "painted", 4000)
    old = keeping(mlex)
    mlex.store.write_now(next_epoch)
    with pytest.raises(Superseded):
        await old.look()
    reign = Reign(mlex.store, mlex.store.write_now(next_epoch))
    await Retention(reign, settings_of(home, history_days=0)).look()
    assert await kinds(mlex) == ["painted"]
    cursor = mlex.store.read_now(lambda tx: tx.execute(select(meta).where(meta.c.key == retention.CURSOR)).first())
    assert cursor is None
