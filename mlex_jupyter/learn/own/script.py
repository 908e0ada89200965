"""Run a person's own command as a job. What it prints is the log; when the worker dies, it dies too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mlex_jupyter.errors import Invalid, MlexError, NotFound
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.own.brought import SOURCE
from mlex_jupyter.learn.own.call import FAILURE, RETURNED
from mlex_jupyter.types import Output, Problem, Result, RunTask

PR_SET_PDEATHSIG = 1
MOST_FILES = 100


def run_script(attempt: Attempt) -> Result:
    """Run the command where it was asked to run, and take its exit code as its word."""
    task = attempt.job.spec.task
    if not isinstance(task, RunTask):
        raise Invalid("This job has no command to run.")
    folder = Path(task.folder) if task.folder else attempt.path / "work"
    folder.mkdir(exist_ok=True)
    with woken_by_signals() as wait:
        code = _wait(_start(_command(task, attempt), folder, attempt), attempt, wait)
    if attempt.stopping:
        raise Stopped("Stopped; the command was asked to end, and has ended.")
    if code < 0:
        raise MlexError(f"The command was ended by {signal.Signals(-code).name}.", hint="Look at the log.")
    if code:
        _tell_failure(attempt)
        raise MlexError(f"The command ended with exit code {code}.", hint="Look at the log.")
    return Result(attempt=attempt.number, outputs=tuple(_outputs(attempt, None if task.folder else folder)))


def _command(task: RunTask, attempt: Attempt) -> tuple[str, ...]:
    """What is started: a script's text lies in the job folder by now, a function is called by a process of ours."""
    if task.code is None:
        return task.argv
    if task.code.name:
        write_whole(attempt.path / SOURCE, task.code.text)
        return sys.executable, "-P", "-u", "-m", "mlex_jupyter.learn.own.call", str(attempt.path), str(attempt.number)
    script = attempt.path / "script" / Path(task.argv[0]).name
    script.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(script, task.code.text)
    return sys.executable, "-u", str(script), *task.argv[1:]


def _tell_failure(attempt: Attempt) -> None:
    """Raise what a function's failure was in one sentence, where it said so."""
    try:
        said = Problem.model_validate_json((attempt.folder.attempt(attempt.number) / FAILURE).read_bytes())
    except FileNotFoundError:
        return
    raise MlexError(said.message, hint=said.hint)


def _outputs(attempt: Attempt, work: Path | None) -> Iterator[Output]:
    """What a function returned, and the files that were left in the job's own folder."""
    if (attempt.path / RETURNED).is_file():
        yield Output(kind="value", name="returned", ref=RETURNED, derived_from=(attempt.job.id,))
    left = sorted(path for path in work.rglob("*") if path.is_file() and not path.is_symlink()) if work else []
    for path in left[:MOST_FILES]:
        name, ref = str(path.relative_to(work or path)), str(path.relative_to(attempt.path))
        yield Output(kind="file", name=name, ref=ref, derived_from=(attempt.job.id,))


def _start(argv: tuple[str, ...], folder: Path, attempt: Attempt) -> subprocess.Popen[bytes]:
    names = {"JOB": attempt.job.id, "JOB_FOLDER": str(attempt.path), "ATTEMPT": str(attempt.number)}
    environment = {**os.environ, **{f"MLEX_{name}": value for name, value in names.items()}}
    sys.stdout.flush()
    tie = _die_with(os.getpid())
    try:
        return subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, preexec_fn=tie)
    except FileNotFoundError:
        raise NotFound(f"There is no command {argv[0]!r} here.", hint="Say its full path, or check the name.") from None
    except (OSError, ValueError) as error:
        raise Invalid(f"The command {argv[0]!r} cannot be started: {error}.", hint="May it be executed?") from error


def _die_with(parent: int) -> Callable[[], None] | None:
    """For the child, before its command: die when the parent does, also if it just did."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return tie


def _wait(child: subprocess.Popen[bytes], attempt: Attempt, wait: Callable[[], None]) -> int:
    """Wait for the end of the child; asked to stop, pass it on once."""
    told = False
    while (code := child.poll()) is None:
        if attempt.stopping and not told:
            child.terminate()
            told = True
        wait()
    return code


@contextlib.contextmanager
def woken_by_signals() -> Iterator[Callable[[], None]]:
    """A wait that ends with any signal, the end of a child among them, and misses none that came before it."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before_child = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    before_wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait() -> None:
        select.select([read], [], [])
        os.read(read, 4096)

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(before_wakeup)
        signal.signal(signal.SIGCHLD, before_child)
        os.close(read)
        os.close(write)
