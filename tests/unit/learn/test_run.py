"""The command of every job, as a process: it claims, works, says how it ended, and a second copy does nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlex_jupyter.errors import Invalid
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.run import FAILED, FULL, STOPPED, TAKEN, in_plain_words
from mlex_jupyter.types import JobFile, JobState
from tests.engine import fill, small_disk, spec


def make(place: Path, *argv: str) -> JobFolder:
    return JobFolder.make(place, JobFile(id=place.name, name="run", owner="tester", spec=spec(*argv)))


def start(folder: JobFolder, number: int = 1, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlex_jupyter.learn.run", str(folder.path), str(number)]
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder.path, env=os.environ | environment, stdout=log, stderr=log, text=True
        )


def run(folder: JobFolder, number: int = 1, **environment: str) -> int:
    return start(folder, number, **environment).wait(60)


def wait_for(place: Path) -> None:
    deadline = time.monotonic() + 30
    while not place.exists():
        assert time.monotonic() < deadline, place
        time.sleep(0.01)


def test_a_command_that_ends_well_is_a_result(tmp_path: Path) -> None:
    line = 'echo "$MLEX_JOB $MLEX_ATTEMPT $PWD"; echo err >&2; printf "$1"'
    folder = make(tmp_path / "run-1", "/bin/sh", "-c", line, "sh", "$(id) 'a b'")
    assert run(folder) == 0
    result = folder.result()
    assert result is not None
    assert result.attempt == 1
    assert folder.ending(1) is None
    assert folder.log.read_text() == f"run-1 1 {folder.path}\nerr\n$(id) 'a b'", "no shell read the arguments"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("/bin/sh", "-c", "exit 7"), "The command ended with exit code 7."),
        (("/bin/sh", "-c", "kill -SEGV $$"), "The command was ended by SIGSEGV."),
        (("no-such-command",), "There is no command 'no-such-command' here."),
        (("/etc/passwd",), "The command '/etc/passwd' cannot be started"),
    ],
)
def test_a_command_that_fails_is_one_plain_sentence(tmp_path: Path, argv: tuple[str, ...], message: str) -> None:
    folder = make(tmp_path / "run-1", *argv)
    assert run(folder) == FAILED
    ending = folder.ending(1)
    assert ending is not None
    assert (ending.state, ending.exit_code) == (JobState.FAILED, FAILED)
    assert ending.message.startswith(message)
    assert ending.hint
    assert folder.result() is None
    assert "Traceback" not in folder.log.read_text()


def test_a_second_copy_ends_without_effect(tmp_path: Path) -> None:
    folder = make(tmp_path / "run-1", "/bin/sh", "-c", "echo begun >> ledger; sleep 0.5")
    copies = [start(folder) for _ in range(3)]
    assert sorted(copy.wait(60) for copy in copies) == [0, TAKEN, TAKEN]
    assert run(folder) == TAKEN, "and so does one that comes late"
    assert (folder.path / "ledger").read_text() == "begun\n"


def test_asked_to_stop_it_passes_it_on_and_says_so(tmp_path: Path) -> None:
    line = "trap 'echo saved > saved; exit 0' TERM; touch begun; while :; do sleep 0.05; done"
    folder = make(tmp_path / "run-1", "/bin/sh", "-c", line)
    process = start(folder)
    wait_for(folder.path / "begun")
    process.terminate()
    assert process.wait(30) == STOPPED
    assert (folder.path / "saved").exists()
    ending = folder.ending(1)
    assert ending is not None
    assert ending.state == JobState.CANCELLED
    assert folder.result() is None


def test_the_time_limit_is_said(tmp_path: Path) -> None:
    folder = make(tmp_path / "run-1", "/bin/sleep", "60")
    assert run(folder, MLEX_TIME_LIMIT_S="0.2") == STOPPED
    ending = folder.ending(1)
    assert ending is not None
    assert (ending.state, ending.hint is not None) == (JobState.FAILED, True)
    assert "time limit" in ending.message


def test_when_the_worker_is_killed_its_command_dies_too(tmp_path: Path) -> None:
    folder = make(tmp_path / "run-1", "/bin/sh", "-c", "echo $$ > pid; exec sleep 600")
    process = start(folder)
    wait_for(folder.path / "pid")
    while not (text := (folder.path / "pid").read_text()):
        time.sleep(0.01)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{text.strip()}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{text.strip()}").exists()
    assert folder.claimed(1)
    assert folder.ending(1) is None


def test_a_folder_that_is_a_link_is_not_worked_in(tmp_path: Path) -> None:
    folder = make(tmp_path / "run-1", "/bin/sh", "-c", "touch ran")
    link = tmp_path / "run-2"
    link.symlink_to(folder.path)
    command = [sys.executable, "-m", "mlex_jupyter.learn.run", str(link), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode
    assert "not a job folder of this user" in done.stderr
    assert not (folder.path / "ran").exists()
    assert not folder.claimed(1)


@pytest.mark.needs("mount")
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        folder = make(disk / "run-1", "/bin/true")
        (folder.checkpoint / "weights").write_text("precious")
        folder.log.touch()
        filler = fill(disk)
        assert run(folder) == FULL
        assert folder.result() is None
        assert (folder.checkpoint / "weights").read_text() == "precious"
        filler.unlink()
        assert run(folder, 2) == 0
        assert folder.result() is not None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (MemoryError(), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (ZeroDivisionError("division by zero\nmore"), "ZeroDivisionError: division by zero"),
        (ValueError(), "ValueError"),
        (Invalid("No.", hint="Do it."), "No."),
    ],
)
def test_whatever_is_raised_becomes_one_sentence(error: Exception, words: str) -> None:
    message, hint = in_plain_words(error)
    assert words in message
    assert "\n" not in message
    assert hint


def test_it_needs_neither_torch_nor_a_database() -> None:
    program = """
import sys
import mlex_jupyter.learn.run, mlex_jupyter.learn.own.script
print([name for name in ("torch", "sqlalchemy", "numpy", "zarr", "jupyter_server") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_killed_it_leaves_its_claim(tmp_path: Path) -> None:
    folder = make(tmp_path / "run-1", "/bin/true")
    assert run(folder, MLEX_FAILPOINTS="worker.claimed=1") == -signal.SIGKILL
    assert folder.claimed(1)
    assert folder.result() is None
    assert run(folder, 2) == 0
