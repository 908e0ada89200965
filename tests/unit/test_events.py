"""Events: ids ascend in the order of the commits, and whoever follows from any id misses none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlex_jupyter.events import BATCH, Events, append, append_many
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.types import Event
from tests.engine import answer, python

WRITERS, EACH = 3, 60
WRITER = """
import json, random, sys, time
from pathlib import Path
from mlex_jupyter.events import append
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
store = Store.open(Settings.load(home=Path(sys.argv[1])))
def tell(tx):
    append(tx, sys.argv[2], "note", {"number": number})
    time.sleep(random.random() / 500)
    append(tx, sys.argv[2], "note", {"number": number, "second": True})
for number in range(int(sys.argv[3])):
    store.write_now(tell)
print(json.dumps("done"))
"""


pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def stream(settings: Settings) -> AsyncIterator[Events]:
    store = Store.open(settings)
    yield Events(store)
    store.close()


async def take(stream: Events, after: int, number: int) -> list[Event]:
    """So many events after an id, from following it."""
    taken: list[Event] = []
    async for batch in stream.follow(after):
        assert len(batch) <= BATCH
        taken += batch
        if len(taken) >= number:
            break
    return taken


async def test_an_empty_stream_has_no_newest_event(stream: Events) -> None:
    assert await stream.last_id() == 0
    assert await stream.after(0) == []


async def test_an_event_comes_back_as_it_was_told(stream: Events) -> None:
    values = {"text": "Grüße 🌱\n", "list": [1, 2.5, None, {"deep": True}], "number": 2**53}
    await stream.store.write(lambda tx: append(tx, "run-1", "note", values, at=1_700_000_000.25))
    (event,) = await stream.after(0)
    assert (event.id, event.subject, event.kind, event.values) == (1, "run-1", "note", values)
    assert event.time.timestamp() == 1_700_000_000.25
    assert Event.model_validate_json(event.model_dump_json()) == event


async def test_telling_of_nothing_is_no_event(stream: Events) -> None:
    await stream.store.write(lambda tx: append_many(tx, []))
    assert await stream.last_id() == 0


async def test_what_is_rolled_back_was_never_told(stream: Events) -> None:
    def fails(tx) -> None:
        append(tx, "run-1", "note", {})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stream.store.write(fails)
    assert await stream.after(0) == []


async def test_a_piece_of_the_stream_is_found_by_id_subject_and_kind(stream: Events) -> None:
    def tell(tx) -> None:
        for number in range(6):
            append(tx, f"run-{number % 2}", "note" if number < 4 else "state", {"number": number})

    await stream.store.write(tell)
    numbers = [event.values["number"] for event in await stream.after(2, subject="run-0")]
    assert numbers == [2, 4]
    assert [event.values["number"] for event in await stream.after(0, kind="state")] == [4, 5]
    assert [event.id for event in await stream.after(0, limit=2)] == [1, 2]
    assert await stream.after(6) == []
    assert await stream.last_id() == 6


async def test_ids_ascend_under_many_writers_and_a_follower_misses_none(stream: Events, home: Path) -> None:
    total = 2 * WRITERS * EACH
    followers = [asyncio.create_task(take(stream, 0, total)) for _ in range(2)]
    writers = [python(WRITER, home, f"writer-{name}", EACH) for name in range(WRITERS)]
    for writer in writers:
        assert await asyncio.to_thread(answer, writer) == "done"
    live = await asyncio.wait_for(followers[0], 30)
    assert [event.id for event in live] == list(range(1, total + 1))
    assert live == await asyncio.wait_for(followers[1], 30)
    assert live == await stream.after(0)
    for name in range(WRITERS):
        mine = [event.values for event in live if event.subject == f"writer-{name}"]
        assert [values["number"] for values in mine] == [number for number in range(EACH) for _ in range(2)]
    pairs = list(zip(live[::2], live[1::2], strict=True))
    assert all(first.subject == second.subject and second.values["second"] for first, second in pairs)


async def test_following_can_begin_anywhere_and_goes_on_where_it_stopped(stream: Events) -> None:
    await stream.store.write(lambda tx: append_many(tx, [(1.0, "x", "note", {"n": n}) for n in range(BATCH * 2 + 5)]))
    assert [event.id for event in await take(stream, BATCH - 1, 3)][:3] == [BATCH, BATCH + 1, BATCH + 2]
    first = await take(stream, 0, BATCH)
    rest = await take(stream, first[-1].id, BATCH + 5)
    assert [event.id for event in first + rest] == list(range(1, BATCH * 2 + 6))


async def test_following_from_beyond_the_end_waits_for_what_comes_after(stream: Events) -> None:
    await stream.store.write(lambda tx: append(tx, "x", "note", {}))
    following = asyncio.create_task(take(stream, 1, 1))
    await asyncio.sleep(0.15)
    assert not following.done()
    await stream.store.write(lambda tx: append(tx, "x", "note", {"new": True}))
    assert [event.id for event in await asyncio.wait_for(following, 5)] == [2]


async def test_following_one_subject_passes_over_the_others(stream: Events) -> None:
    await stream.store.write(lambda tx: append_many(tx, [(1.0, f"run-{n % 3}", "note", {"n": n}) for n in range(9)]))
    async for batch in stream.follow(0, subject="run-1"):
        assert [event.values["n"] for event in batch] == [1, 4, 7]
        break
