"""Networks of one's own: checked in a process of their own, listed, versioned by content, trained, published."""

from __future__ import annotations

import asyncio
import json
import subprocess
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, NotFound
from mlex_jupyter.types import Code, JobSpec, JobState, ModelReport, PredictTask, TrainTask
from tests.conftest import SAMPLE
from tests.engine import Hand, settings_of
from tests.kernels import running_kernel

pytestmark = [pytest.mark.needs("torch"), pytest.mark.timeout(400)]

TINY = textwrap.dedent('''\
    import torch
    from torch import nn
    import mlex_jupyter as mlex

    @mlex.model(title="Two layers", halo="1")
    class Tiny(nn.Module):
        """Quick, for a test."""
        def __init__(self, channels, classes, width: int = 4):
            super().__init__()
            self.one = nn.Conv2d(channels, width, 3, padding=1)
            self.two = nn.Conv2d(width, classes, 1)
        def forward(self, x):
            return self.two(torch.relu(self.one(x)))
    ''')
QUICK = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "patch": 32}


def changed(old: str, new: str) -> Code:
    """The tiny network, but for one thing."""
    assert old in TINY
    return Code(name="Tiny", text=TINY.replace(old, new))


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home))
    yield Hand(mlex)
    mlex.close()


def failed(report: ModelReport) -> dict[str, str]:
    return {check.name: check.says for check in report.checks if not check.ok}


async def test_a_network_that_works_passes_with_a_picture_and_its_form(hand: Hand) -> None:
    report = await hand.mlex.check(Code(name="Tiny", text=TINY))
    assert report.ok, failed(report)
    assert [check.name for check in report.checks][:2] == ["Source", "Builds"]
    assert report.picture and not report.listed
    assert report.architecture is not None
    properties = report.architecture.params_schema["properties"]
    assert properties["width"] == {"default": 4, "title": "Width", "type": "integer", "x-group": "network"}  # type: ignore
    assert report.architecture.title == "Two layers" and report.architecture.description == "Quick, for a test."
    assert "Tiny" not in [found.name for found in await hand.mlex.architectures()], "a check lists nothing"


@pytest.mark.parametrize(
    ("old", "new", "name", "says", "mend"),
    [
        ("import torch\n", "import torch, no_such\n", "Source", "No module named 'no_such'", "cell or file"),
        ("width: int = 4", "width: int", "Source", "width has no type or no default", "width: int = 4"),
        ("(self, channels, classes", "(self, classes", "Source", "takes no channels", "Take"),
        ("super().__init__()", "raise ValueError('no luck')", "Builds", "no luck, in line 9 of the source", "line"),
        ("3, padding=1", "3", "Shapes", "it gives 1 × 3 × 30 × 30", "Pad"),
        ('halo="1"', 'halo="0"', "Halo", "looks 1 pixels far, not 0", 'halo="1"'),
        ("torch.relu(self.one(x)))", "torch.relu(self.one(x))).detach()", "Training", "depend", ""),
        ("torch.relu(self.one(x))", "nn.functional.dropout(self.one(x))", "Save and load", "two results", "nn.Dropout"),
        ("torch.relu(self.one(x))", "torch.log(self.one(x) * 0)", "Training", "loss is nan", "logarithm"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_do(old: str, new: str, name: str, says: str, mend: str) -> None:
    from mlex_jupyter.learn.own.check import report  # many in one process, since each would load torch

    found = {check.name: check for check in report("Tiny", changed(old, new)).checks if not check.ok}
    assert says in found[name].says, found
    assert mend.lower() in (found[name].mend or "").lower()


async def test_code_that_ends_its_process_is_a_report_and_no_crash(hand: Hand) -> None:
    report = await hand.mlex.check(changed("super().__init__()", "import os; os._exit(3)"))
    assert "ended the process" in failed(report)["Process"]
    report = await hand.mlex.check(changed("import torch\n", "import torch, sys; sys.exit('enough')\n"))
    assert "SystemExit" in failed(report)["Source"]


async def test_code_that_takes_for_ever_is_ended(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.zoo.sources.CHECK_S", 3)
    report = await hand.mlex.check(changed("import torch\n", "import time; time.sleep(600)\n"))
    assert "took more than 3 s" in failed(report)["Process"]


async def test_it_is_listed_by_content_and_withdrawn(hand: Hand) -> None:
    first = (await hand.mlex.ingest(Code(name="Tiny", text=TINY))).architecture
    same = (await hand.mlex.ingest(Code(name="Tiny", text=TINY))).architecture
    assert first and first == same
    assert first.owner == "tester" and first.version == Code(name="Tiny", text=TINY).sha256[:12]
    second = (await hand.mlex.ingest(changed("width: int = 4", "width: int = 5"))).architecture
    assert second and second.version != first.version
    assert [found.version for found in await hand.mlex.architectures() if found.name == "Tiny"] == [second.version]
    assert (await hand.mlex.source("Tiny")).text.count("width: int = 5") == 1
    with pytest.raises(Invalid, match="Tiny is not listed, for it fails a check. Shapes"):
        await hand.mlex.ingest(changed("3, padding=1", "3"))
    assert (await hand.mlex.architecture("Tiny")).version == second.version, "what fails replaces nothing"
    with pytest.raises(Conflict, match="installed architecture"):
        await hand.mlex.ingest(Code(name="Tiny", text=TINY), name="unet")
    await hand.mlex.withdraw("Tiny")
    with pytest.raises(NotFound, match="no architecture 'Tiny'"):
        await hand.mlex.architecture("Tiny")
    with pytest.raises(NotFound, match="that somebody brought"):
        await hand.mlex.withdraw("unet")


async def test_a_withdrawn_network_still_predicts_and_is_published_with_its_source(hand: Hand) -> None:
    mlex = hand.mlex
    await mlex.sample(**SAMPLE)
    await mlex.ingest(Code(name="Tiny", text=TINY))
    train = TrainTask(model="Tiny", data="sand-tomo", labels="scribbles", params={**QUICK, "width": 6})
    run = await hand.until_ended(await hand.submit(JobSpec(task=train, name="run")))
    assert run.state == JobState.DONE, run.message
    folder = hand.jobs.folder(run.id).path
    assert (folder / "model_source.py").read_text() == TINY
    model = await mlex.publish(run.id, "pores")
    assert model.code and model.builder
    await mlex.withdraw("Tiny")
    for name in ("run", "pores"):
        task = PredictTask(model=name, data="sand-tomo")
        seg = await hand.until_ended(await hand.submit(JobSpec(task=task, name=f"seg-{name}")))
        assert seg.state == JobState.DONE, seg.message
    assert (await mlex.source("pores")).text == TINY
    with pytest.raises(NotFound, match="no architecture 'Tiny'"):
        await hand.submit(JobSpec(task=train))


async def test_the_source_of_somebody_else_runs_only_for_who_trusts_them(hand: Hand, home: Path) -> None:
    await hand.mlex.sample(**SAMPLE)
    await hand.mlex.ingest(Code(name="Tiny", text=TINY))
    train = TrainTask(model="Tiny", data="sand-tomo", labels="scribbles", params=QUICK)
    run = await hand.until_ended(await hand.submit(JobSpec(task=train, name="run")))
    await hand.mlex.publish(run.id, "pores", visibility="shared")
    other = Mlex(settings_of(home, user="other"))
    predict = JobSpec(task=PredictTask(model="pores", data="sand-tomo"))
    for spec in (JobSpec(task=train), predict):
        with pytest.raises(Forbidden, match="brings source of tester, which would run with your rights") as refused:
            await other.job_list.submit(spec, "other")
        assert "mlex source" in str(refused.value.hint)
    with pytest.raises(Conflict, match="an architecture of tester"):
        await other.ingest(Code(name="Tiny", text=TINY + "\n"))
    with pytest.raises(Forbidden):
        await other.withdraw("Tiny")
    assert (await other.source("pores")).text == TINY, "it may be read"
    trusting = Mlex(settings_of(home, user="other", trusted=("tester",)))
    assert (await trusting.job_list.submit(predict, "other")).owner == "other"
    for engine in (other, trusting):
        await asyncio.to_thread(engine.close)


def test_a_file_is_checked_and_listed_from_the_shell(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(TINY)
    said = mlex_run("check", str(file)).stdout
    assert "Halo" in said and "✔ ok" in said
    assert json.loads(mlex_run("ingest", f"{file}:Tiny", "--name", "tiny", "--json").stdout)["listed"]
    assert "Two layers" in mlex_run("models", "tiny").stdout
    assert json.loads(mlex_run("architecture", "tiny", "--json").stdout)["owner"]
    assert mlex_run("source", "tiny").stdout.rstrip("\n") == TINY.rstrip("\n")
    assert mlex_run("check", "unet").stdout.count("✖") == 0
    mlex_run("withdraw", "tiny")
    refused = mlex_run("check", "tiny", check=False)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr


def test_a_cell_s_network_is_checked_trained_and_used_without_a_file(home: Path) -> None:
    with running_kernel(home) as kernel:
        kernel.do("%load_ext mlex_jupyter\nimport mlex_jupyter as mlex\nimport torch\nfrom torch import nn\nWIDTH = 4")
        kernel.do("def layer(a, b):\n    return nn.Conv2d(a, b, 3, padding=1)")
        cell = TINY.partition("import mlex_jupyter as mlex\n\n")[2]
        cell = cell.replace("nn.Conv2d(channels, width, 3, padding=1)", "layer(channels, width)")
        kernel.do(cell.replace("width: int = 4", "width: int = WIDTH"))
        report = kernel.do("mlex.check(Tiny)").shown[0]
        assert "data:image/png;base64" in report["text/html"] and "passes" in report["text/plain"]
        kernel.do(f"mlex.sample(**{SAMPLE!r})")
        trained = f"mlex.train(Tiny, data='sand-tomo', labels='scribbles', params={QUICK!r}, name='first', wait=True)"
        assert "done" in kernel.do(f"print({trained}.state.value)").text
        words = " ".join(f"-p {name}={value}" for name, value in QUICK.items())
        kernel.do(f"%mlex train Tiny --data sand-tomo --labels scribbles {words} -o second --wait")
        assert "done" in kernel.do("print(second.state.value)").text
        missing = kernel.do(
            "@mlex.model\ndef net(*, channels, classes):\n    return unknown(channels)\nmlex.check(net)", check=False
        )
        assert missing.error and "net uses unknown, which is not defined" in missing.error["evalue"]
    folder = next(path for path in (home / "jobs").iterdir())
    source = (folder / "model_source.py").read_text()
    assert "WIDTH = 4" in source and "def layer" in source and "import torch.nn as nn" in source
