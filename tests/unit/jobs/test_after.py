"""Jobs that come after others: chains, diamonds, a parent that fails; and no circle can be asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import NotFound
from mlex_jupyter.types import JobState
from tests.engine import Hand, settings_of, spec


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home))
    yield Hand(mlex)
    mlex.close()


def note(home: Path, name: str) -> tuple[str, str, str]:
    return "/bin/sh", "-c", f"echo {name} >> {home}/order"


async def test_a_diamond_runs_from_its_tip_to_its_end(hand: Hand, home: Path) -> None:
    after: dict[str, tuple[str, ...]] = {"tip": (), "left": ("tip",), "right": ("tip",), "end": ("left", "right")}
    asked = {name: await hand.submit(spec(*note(home, name), name=name, after=of)) for name, of in after.items()}
    assert asked["end"].spec.after == (asked["left"].id, asked["right"].id), "names mean the jobs of that moment"
    for job in asked.values():
        assert (await hand.until_ended(job)).state == JobState.DONE
    order = (home / "order").read_text().split()
    assert order[0] == "tip" and order[-1] == "end" and sorted(order[1:3]) == ["left", "right"]


async def test_what_follows_a_failure_is_cancelled_down_the_chain_and_says_why(hand: Hand, home: Path) -> None:
    first = await hand.submit(spec("false", name="first"))
    second = await hand.submit(spec(*note(home, "second"), name="second", after=("first",)))
    third = await hand.submit(spec(*note(home, "third"), name="third", after=("second",)))
    beside = await hand.submit(spec(*note(home, "beside"), name="beside"))
    assert (await hand.until_ended(first)).state == JobState.FAILED
    for job, parent, how in ((second, "first", "failed"), (third, "second", "cancelled")):
        ended = await hand.until_ended(job)
        assert ended.state == JobState.CANCELLED
        assert ended.reason == f"{parent}, which it was to follow, is {how} (Dependency)"
        assert ended.attempt == 0, "it never began"
    assert (await hand.until_ended(beside)).state == JobState.DONE
    assert (home / "order").read_text().split() == ["beside"]


async def test_a_resumed_parent_lets_a_resumed_child_run(hand: Hand, home: Path) -> None:
    first = await hand.submit(spec("/bin/sh", "-c", f"test -e {home}/ready", name="first"))
    second = await hand.submit(spec(*note(home, "second"), name="second", after=("first",)))
    assert (await hand.until_ended(second)).state == JobState.CANCELLED
    (home / "ready").touch()
    await hand.jobs.resume(first.id)
    await hand.jobs.resume(second.id)
    assert (await hand.until_ended(second)).state == JobState.DONE


async def test_a_circle_cannot_be_asked_for(hand: Hand) -> None:
    with pytest.raises(NotFound, match="no run second"):
        await hand.submit(spec("true", name="first", after=("second",)))
    old = await hand.until_ended(await hand.submit(spec("true", name="same")))
    new = await hand.submit(spec("true", name="same", after=("same",)))
    assert new.spec.after == (old.id,), "its own name means the one before"
    assert (await hand.until_ended(new)).state == JobState.DONE
