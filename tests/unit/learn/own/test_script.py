"""A person's own command as a job: it hears of a stop, dies with its worker, and costs no heavy import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.run import FAILED, STOPPED
from mlex_jupyter.types import JobFile, JobSpec, RunTask
from tests.learning import run, start

STUBBORN = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(0.3)
    pathlib.Path("said-goodbye").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path("ready").write_text(str(__import__("os").getpid()))
time.sleep(60)
"""


def script(place: Path, *argv: str) -> JobFolder:
    spec = JobSpec(name="run", task=RunTask(argv=argv))
    return JobFolder.make(place, JobFile(id=place.name, name="run", owner="tester", spec=spec))


def wait_for(place: Path) -> None:
    deadline = time.monotonic() + 30
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < deadline, place
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_command_that_is_asked_to_stop_may_put_its_things_in_order(tmp_path: Path) -> None:
    folder = script(tmp_path / "run-1", sys.executable, "-c", STUBBORN)
    process = start(folder)
    wait_for(folder.path / "work" / "ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == STOPPED
    assert (folder.path / "work" / "said-goodbye").exists(), "the worker waited for it"


def test_a_command_does_not_outlive_its_worker(tmp_path: Path) -> None:
    folder = script(tmp_path / "run-1", sys.executable, "-c", STUBBORN)
    process = start(folder)
    wait_for(folder.path / "work" / "ready")
    process.kill()
    process.wait(30)
    pid = int((folder.path / "work" / "ready").read_text())
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_knows_its_job(tmp_path: Path) -> None:
    folder = script(tmp_path / "run-1", "/bin/sh", "-c", 'echo "$MLEX_JOB:$MLEX_JOB_FOLDER:$MLEX_ATTEMPT:$PWD"')
    assert run(folder) == 0
    assert folder.log.read_text() == f"run-1:{folder.path}:1:{folder.path}/work\n"


def test_a_command_runs_where_it_was_asked_to(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    spec = JobSpec(name="run", task=RunTask(argv=("/bin/sh", "-c", "touch was"), folder=str(here)))
    folder = JobFolder.make(tmp_path / "run-1", JobFile(id="run-1", name="run", owner="tester", spec=spec))
    assert run(folder) == 0
    assert (here / "was").exists()


def test_what_cannot_be_started_is_said_plainly(tmp_path: Path) -> None:
    folder = script(tmp_path / "run-1", "no-such-command")
    assert run(folder) == FAILED
    ending = folder.ending(1)
    assert ending is not None and ending.message == "There is no command 'no-such-command' here."
    (tmp_path / "text").write_text("no program")
    folder = script(tmp_path / "run-2", str(tmp_path / "text"))
    assert run(folder) == FAILED
    ending = folder.ending(1)
    assert ending is not None and "cannot be started" in ending.message


def test_running_a_command_imports_nothing_heavy() -> None:
    code = (
        "import sys, mlex_jupyter.learn.run, mlex_jupyter.learn.own.script;"
        "print(sorted({'torch', 'numpy', 'zarr', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout.strip() == "[]"
