"""Functions and scripts of one's own as jobs: they travel as text and JSON, and say how far they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter import own
from mlex_jupyter.app import Mlex
from mlex_jupyter.capture import code_of
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.types import Code, JobSpec, JobState, RunTask, checked
from tests.engine import Hand, settings_of
from tests.engine import spec as command
from tests.kernels import running_kernel

WORK = """
import json, mlex_jupyter as mlex
from pathlib import Path
FACTOR = 3

def work(count, words=()):
    for step in range(count):
        mlex.metrics(step, loss=1 / (step + 1))
        mlex.progress(step + 1, count, "step")
    mlex.metrics(epoch=1, dice=0.5)
    mlex.note("all done")
    Path("left.txt").write_text("here")
    return {"sum": FACTOR * count, "words": list(words)}

def fail(count): raise ValueError("no luck")
def odd(count): return {1, 2}
async def later(count): return count
"""


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home, retry_pause_s=0.05))
    yield Hand(mlex)
    mlex.close()


def call(name: str, **arguments: Any) -> JobSpec:
    return JobSpec(task=RunTask(code=Code(name=name, text=WORK), arguments=arguments))


async def test_a_function_runs_as_a_job_tells_how_far_it_is_and_returns_json(hand: Hand) -> None:
    job = await hand.until_ended(await hand.submit(call("work", count=2, words=["a"])))
    assert job.state == JobState.DONE, job.message
    assert job.name == "work-01"
    assert await hand.mlex.returned(job.id) == {"sum": 6, "words": ["a"]}
    assert {(one.kind, one.name) for one in job.outputs} == {("value", "returned"), ("file", "left.txt")}
    assert (hand.jobs.folder(job.id).path / "work" / "left.txt").read_text() == "here"
    assert [one["loss"] for one in await hand.said(job, "metrics")] == [1.0, 0.5]
    assert job.metrics == {"dice": 0.5}
    assert job.progress is not None and (job.progress.done, job.progress.unit) == (2, "step")
    assert [one["text"] for one in await hand.said(job, "note")] == ["all done"]
    later = await hand.until_ended(await hand.submit(call("later", count=4)))
    assert await hand.mlex.returned(later.id) == 4


async def test_a_function_that_fails_or_returns_no_json_says_so(hand: Hand) -> None:
    job = await hand.until_ended(await hand.submit(call("fail", count=2)))
    assert job.state == JobState.FAILED
    assert job.message == "ValueError: no luck, in line 15 of the source."
    assert 'raise ValueError("no luck")' in hand.jobs.folder(job.id).log.read_text(), "the traceback shows the line"
    with pytest.raises(Conflict, match="has returned nothing"):
        await hand.mlex.returned(job.id)
    job = await hand.until_ended(await hand.submit(call("odd", count=2)))
    assert job.message and "odd returned a set, which is no JSON" in job.message
    job = await hand.until_ended(await hand.submit(command("true")))
    with pytest.raises(NotFound, match="called no function"):
        await hand.mlex.returned(job.id)


async def test_a_failed_command_is_tried_again_as_often_as_asked_after_growing_pauses(hand: Hand) -> None:
    count = "echo x >> tries; test $(wc -l < tries) -ge 3"
    asked = command("/bin/sh", "-c", count)
    often = asked.model_copy(update={"task": asked.task.model_copy(update={"retry_failed": 2})})
    job = await hand.until_ended(await hand.submit(often))
    assert job.state == JobState.DONE and job.attempt == 3
    reasons = [said["reason"] for said in await hand.said(job) if said["reason"] and "failed" in said["reason"]]
    assert "trying again after 0.05 s" in reasons[0] and "after 0.1 s" in reasons[-1]
    never = asked.model_copy(update={"task": RunTask(argv=("false",), retry_failed=1)})
    job = await hand.until_ended(await hand.submit(never))
    assert job.state == JobState.FAILED and job.attempt == 2


async def test_a_pause_can_be_cancelled(hand: Hand) -> None:
    hand.life.moves.settings = settings_of(hand.settings.home, retry_pause_s=600)
    job = await hand.submit(JobSpec(task=RunTask(argv=("false",), retry_failed=5)))

    async def paused() -> bool:
        return "trying again after 600 s" in str((await hand.jobs.get(job.id)).reason)

    await hand.until(paused)
    await hand.jobs.cancel(job.id)
    assert (await hand.until_ended(job)).state == JobState.CANCELLED


@pytest.mark.parametrize(
    "task",
    [{}, {"code": Code(name="f", text="x"), "argv": ("x",)}, {"argv": ("x",), "arguments": {"a": 1}}],
    ids=["nothing to do", "a function with words", "a command with arguments"],
)
def test_a_task_that_does_not_say_what_to_run_is_refused(task: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        checked(RunTask, **task)


def test_arguments_travel_as_json_or_are_refused_in_words() -> None:
    def work(data: str, sigma: float = 1.0, **more: Any) -> None: ...

    assert own._bound(work, ("sand",), {"sigma": np.float32(2), "paths": (Path("a"), None)}) == {
        "data": "sand",
        "sigma": 2.0,
        "paths": ["a", None],
    }
    with pytest.raises(Invalid, match="sigma is an array of 2 × 3, which cannot travel as JSON") as refused:
        own._bound(work, ("sand",), {"sigma": np.zeros((2, 3))})
    assert "Register the data" in str(refused.value.hint)
    with pytest.raises(Invalid, match="data is a object|data is an object"):
        own._bound(work, (object(),), {})
    with pytest.raises(Invalid, match="sigma is a float"):
        own._bound(work, ("sand",), {"sigma": float("nan")})
    with pytest.raises(Invalid, match="missing a required argument: 'data'"):
        own._bound(work, (), {})


def test_a_script_is_copied_and_its_files_are_listed(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    script = tmp_path / "smooth.py"
    script.write_text(
        "import sys, os, pathlib\npathlib.Path('out.txt').write_text(' '.join(sys.argv[1:]))\nprint('hello')\n"
    )
    job = json.loads(mlex_run("run", "--json", "--wait", str(script), "--flag", "x").stdout)
    assert job["name"] == "smooth-01" and job["state"] == "done"
    assert [(one["kind"], one["ref"]) for one in job["outputs"]] == [("file", "work/out.txt")]
    assert job["spec"]["task"]["argv"] == ["smooth.py", "--flag", "x"]
    assert job["spec"]["task"]["code"]["text"] == script.read_text()
    assert mlex_run("logs", "smooth-01").stdout == "hello\n"
    refused = mlex_run("run", str(tmp_path / "none.py"), check=False)
    assert refused.returncode == 1 and "cannot be read" in refused.stderr


def test_a_cell_s_function_runs_as_a_job(home: Path) -> None:
    with running_kernel(home) as kernel:
        kernel.do("import mlex_jupyter as mlex\nimport numpy as np\nSCALE = 2")
        kernel.do("def work(values, *, name='none'):\n    return [name, SCALE * sum(values)]")
        kernel.do("job = mlex.run(work, [1, 2, 3], arguments={'name': 'mine'}, name='first', wait=True)")
        assert kernel.do("print(mlex.returned(job))").text == "['mine', 12]\n"
        kernel.do("other = mlex.run(['echo', 'hello'], wait=True)")
        refused = kernel.do("mlex.run(work, np.zeros(3))", check=False)
        assert refused.error and "values is an array of 3, which cannot travel" in refused.error["evalue"]
        kernel.do("mlex.note('outside'); mlex.progress(1, 2); mlex.metrics(3, loss=0.5)")


def test_code_of_this_file_can_travel() -> None:
    assert "def call" in code_of(call).text
