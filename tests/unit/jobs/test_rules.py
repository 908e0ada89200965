"""Rules: on what event, which job; once for each event, whatever is killed, and never round and round."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from mlex_jupyter.jobs.firing import Firing, pending
from mlex_jupyter.jobs.reign import Reign, Superseded
from mlex_jupyter.store import current_epoch, next_epoch
from mlex_jupyter.types import Job, JobState, On, Resources
from tests.conftest import mlex_command
from tests.engine import PATIENCE_S, Hand, python, settings_of, spec, until

ECHO = {"argv": "echo {name} {state}"}


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home))
    mlex.keep_moving = lambda: None  # type: ignore[method-assign]
    yield Hand(mlex)
    mlex.close()


def firing(hand: Hand) -> Firing:
    """What the supervisor that reigns does about rules."""
    return Firing(Reign(hand.store, hand.store.read_now(current_epoch)), lambda owner: hand.jobs)


async def made(hand: Hand) -> list[Job]:
    """The jobs that rules made, the first first."""
    return [job for job in reversed(await hand.jobs.list()) if (job.spec.key or "").startswith("rule ")]


async def test_a_rule_fires_once_for_each_event_that_it_is_about(hand: Hand) -> None:
    await hand.until_ended(await hand.submit(spec("true", name="before")))
    await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO, match="good*")
    for name, command in (("good-1", "true"), ("bad-1", "true"), ("good-2", "false"), ("good-3", "true")):
        await hand.until_ended(await hand.submit(spec(command, name=name)))
    rules = firing(hand)
    assert await rules.look()
    await rules.look()
    await firing(hand).look()
    assert [job.spec.task.argv for job in await made(hand)] == [  # type: ignore[union-attr]
        ("echo", "good-1", "done"),
        ("echo", "good-3", "done"),
    ]
    rule = (await hand.mlex.rules())[0]
    assert rule.fired == 2 and rule.last_fired is not None and rule.message is None
    for job in await made(hand):
        assert (await hand.until_ended(job)).state == JobState.DONE


async def test_what_a_rule_made_does_not_set_it_off_again_unless_allowed_and_never_for_ever(hand: Hand) -> None:
    await hand.mlex.rule_add("once", on=On.RUN_DONE, do="run", fields={"argv": "true"})
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    rules = firing(hand)
    for _ in range(3):
        await rules.look()
        for job in await made(hand):
            await hand.until_ended(job)
    assert len(await made(hand)) == 1
    await hand.mlex.rule_off("once")
    await hand.mlex.rule_add("ever", on=On.RUN_DONE, do="run", fields={"argv": "true"}, again=True)
    await hand.until_ended(await hand.submit(spec("true", name="second")))
    for _ in range(12):
        await rules.look()
        for job in await made(hand):
            await hand.until_ended(job)
    assert len(await made(hand)) == 1 + 8


async def test_two_rules_do_not_set_each_other_off_in_a_circle(hand: Hand) -> None:
    for name in ("ping", "pong"):
        await hand.mlex.rule_add(name, on=On.RUN_DONE, do="run", fields={"argv": f"echo {name}"})
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    rules = firing(hand)
    for _ in range(5):
        await rules.look()
        for job in await made(hand):
            await hand.until_ended(job)
    said = sorted(job.spec.task.argv[1] for job in await made(hand))  # type: ignore[union-attr]
    assert said == ["ping", "ping", "pong", "pong"], "each of the first, and of the other's"


async def test_a_registered_dataset_with_a_tag_sets_a_rule_off(hand: Hand, tmp_path: Path) -> None:
    await hand.mlex.rule_add(
        "greet", on=On.DATASET, do="run", fields={"argv": "echo '{dataset} is here'"}, tags=("new",)
    )
    for name, tags in (("scan-a", ()), ("scan-b", ("new", "sand"))):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 8, 8), np.uint8))
        await hand.mlex.register(str(tmp_path / f"{name}.npy"), name=name, tags=tags)
    assert hand.store.read_now(pending)
    rules = firing(hand)
    await rules.look()
    assert [job.spec.task.argv for job in await made(hand)] == [("echo", "scan-b is here")]  # type: ignore[union-attr]
    await rules.rest()
    assert not hand.store.read_now(pending)


async def test_what_cannot_be_asked_for_is_said_and_the_rule_goes_on(hand: Hand) -> None:
    await hand.mlex.rule_add("see", on=On.JOB_ENDED, do="predict", fields={"model": "{run}", "data": "{data}"})
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    await firing(hand).look()
    rule = (await hand.mlex.rules())[0]
    assert rule.fired == 0 and rule.message and rule.message.startswith("first: There is no {data} here")


async def test_a_rule_is_tried_without_making_anything(hand: Hand) -> None:
    for name in ("good-1", "bad-1"):
        await hand.until_ended(await hand.submit(spec("true", name=name)))
    await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO, match="good*", off=True)
    tried = await hand.mlex.rule_try("echo")
    assert [(one.about, one.fires) for one in tried] == [("bad-1", False), ("good-1", True)]
    assert "does not match good*" in tried[0].says
    assert tried[1].task is not None and tried[1].task.argv == ("echo", "good-1", "done")  # type: ignore[union-attr]
    await firing(hand).look()
    assert await made(hand) == []


async def test_a_rule_that_was_off_sleeps_through_what_happened(hand: Hand) -> None:
    await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO)
    await hand.mlex.rule_off("echo")
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    await hand.mlex.rule_on("echo")
    rules = firing(hand)
    await rules.look()
    assert await made(hand) == []
    await hand.until_ended(await hand.submit(spec("true", name="second")))
    await rules.look()
    assert len(await made(hand)) == 1
    await hand.mlex.rule_remove("echo")
    assert await hand.mlex.rules() == []


async def test_an_old_supervisor_fires_nothing(hand: Hand) -> None:
    await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO)
    old = firing(hand)
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    hand.store.write_now(next_epoch)
    with pytest.raises(Superseded):
        await old.look()
    assert await made(hand) == []


async def test_what_cannot_be_meant_is_refused(hand: Hand, home: Path) -> None:
    add = hand.mlex.rule_add
    with pytest.raises(Invalid, match=r"On 'dataset registered' there is no \{run\}"):
        await add("a", on=On.DATASET, do="predict", fields={"model": "{run}", "data": "{dataset}"})
    with pytest.raises(Invalid, match="predict needs data"):
        await add("a", on=On.TRAINING_DONE, do="predict", fields={"model": "{run}"})
    with pytest.raises(Invalid):
        await add("a b", on=On.JOB_DONE, do="run", fields=ECHO)
    with pytest.raises(NotFound):
        await add("a", on=On.JOB_DONE, do="run", fields=ECHO, target="nowhere")
    await add("a", on=On.JOB_DONE, do="run", fields=ECHO)
    with pytest.raises(Conflict, match="a rule a already"):
        await add("a", on=On.JOB_DONE, do="run", fields=ECHO)
    with pytest.raises(NotFound, match="no rule 'b'"):
        await hand.mlex.rule_off("b")
    other = Mlex(settings_of(home, user="other"))
    with pytest.raises(Forbidden, match="tester's"):
        await other.rule_remove("a")
    await asyncio.to_thread(other.close)


async def test_a_rule_that_is_changed_holds_for_what_happens_from_then_on(hand: Hand) -> None:
    edit = hand.mlex.rule_edit
    rule = await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO, match="bad*", tags=("x",))
    assert rule.version == 1
    await hand.until_ended(await hand.submit(spec("true", name="good-1")))
    await edit("echo", rename="greet", match="good*", remove_tags=("x",), fields={"argv": "echo hello {name}"}, seen=1)
    assert not await firing(hand).look(), "what happened before is not looked at anew"
    await hand.until_ended(await hand.submit(spec("true", name="good-2")))
    assert await firing(hand).look()
    assert [job.spec.task.argv for job in await made(hand)] == [("echo", "hello", "good-2")]  # type: ignore[union-attr]
    (rule,) = await hand.mlex.rules()
    assert (rule.name, rule.version, rule.match, rule.tags, rule.fired) == ("greet", 2, "good*", (), 1)
    changed = await edit("greet", on=On.JOB_FAILED, resources=Resources(cpus=1), enabled=False, again=True)
    assert (changed.on, changed.resources.cpus, changed.enabled, changed.again) == (On.JOB_FAILED, 1, False, True)
    assert (await edit("greet", resources=Resources(gpus=0), again=False)).resources == Resources(cpus=1, gpus=0)
    trained = {"model": "m", "data": "d", "labels": "l", "retries": "1"}
    changed = await edit("greet", do="train", fields=trained, remove_fields=("retries",))
    assert changed.task == {"model": "m", "data": "d", "labels": "l"}, "another kind of job has fields of its own"


async def test_a_change_that_could_never_make_a_job_or_meets_somebody_elses_is_refused(hand: Hand, home: Path) -> None:
    edit = hand.mlex.rule_edit
    await hand.mlex.rule_add("a", on=On.JOB_DONE, do="run", fields=ECHO)
    await hand.mlex.rule_add("b", on=On.JOB_DONE, do="run", fields=ECHO)
    before = await hand.mlex.rules()
    with pytest.raises(Stale, match="changed since: version 1, not 7") as caught:
        await edit("a", match="x", seen=7)
    assert caught.value.details == {"version": 1}
    with pytest.raises(Conflict, match="a rule b already"):
        await edit("a", rename="b")
    with pytest.raises(Invalid, match="no {state}"):
        await edit("a", on=On.DATASET)
    with pytest.raises(Invalid, match="at least one word"):
        await edit("a", remove_fields=("argv",))
    with pytest.raises(NotFound, match="no target"):
        await edit("a", target="nowhere")
    with pytest.raises(NotFound, match="no rule 'c'"):
        await edit("c", match="x")
    other = Mlex(settings_of(home, user="other"))
    with pytest.raises(Forbidden, match="tester's"):
        await other.rule_edit("a", match="x")
    await asyncio.to_thread(other.close)
    assert await hand.mlex.rules() == before, "nothing of it was kept"


def test_the_shell_changes_a_rule_and_says_what_is_different(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    mlex_run("rule-add", "greet", "--on", "run done", "--do", "run", "-p", "argv=echo {name}", "--off")
    mlex_run("rule-edit", "greet", "--match", "good*", "--enabled", "yes", "--again", "no", "--cpus", "2")
    (rule,) = json.loads(mlex_run("rules", "--json").stdout)
    assert (rule["match"], rule["enabled"], rule["again"], rule["resources"]["cpus"]) == ("good*", True, False, 2)
    assert rule["version"] == 2


DIE = """
import asyncio, os, sys
from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.jobs.firing import Firing
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.store import next_epoch
mlex = Mlex(Settings.load())
epoch = mlex.store.write_now(next_epoch)
asyncio.run(Firing(Reign(mlex.store, epoch), lambda owner: mlex.job_list).look())
"""


@pytest.mark.parametrize("place", ["rules.before_fire", "rules.after_fire"])
async def test_a_supervisor_that_is_killed_while_it_fires_neither_fires_twice_nor_never(hand: Hand, place: str) -> None:
    await hand.mlex.rule_add("echo", on=On.RUN_DONE, do="run", fields=ECHO)
    await hand.until_ended(await hand.submit(spec("true", name="first")))
    settings = hand.settings.environment()
    killed = python(DIE, env={**os.environ, **settings, "MLEX_FAILPOINTS": f"{place}=1"})
    assert await asyncio.to_thread(killed.wait, PATIENCE_S) == -9
    assert len(await made(hand)) == (1 if place == "rules.after_fire" else 0)
    hand.reign()
    await firing(hand).look()
    await firing(hand).look()
    assert len(await made(hand)) == 1
    assert (await hand.mlex.rules())[0].fired == 1


async def test_a_registered_dataset_wakes_a_supervisor_where_only_rules_are(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]], home: Path, tmp_path: Path
) -> None:
    mlex_run("rule-add", "greet", "--on", "dataset registered", "--do", "run", "-p", "argv=touch here-{dataset}")
    np.save(tmp_path / "scan.npy", np.zeros((2, 8, 8), np.uint8))
    mlex_run("register", str(tmp_path / "scan.npy"), "--name", "scan")

    def there() -> bool:
        return bool(list(home.glob("jobs/*/*/here-scan")))

    await until(there)
    rule = json.loads(mlex_command("rules", "--json", home=home).stdout)[0]
    assert rule["fired"] == 1
    assert "greet" in mlex_run("rules").stdout
    assert "✔ yes" in mlex_run("rule-try", "greet").stdout
