"""The command of every job: `python -m mlex_jupyter.learn.run FOLDER ATTEMPT`.

It claims the attempt, does the task, and says how it ended. A second copy of the same submission finds the
attempt claimed and ends without effect.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mlex_jupyter.data.places import Policy, hold_to
from mlex_jupyter.errors import NO_ROOM, Conflict, Invalid, MlexError
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt, Helper, Stopped
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Ending, EstimateTask, JobState, Result, now

DONE, FAILED, FULL, STOPPED, TAKEN = 0, 3, 74, 75, 79


def main(folder_path: str, number: int) -> int:
    """Run one attempt, and return the exit code that says how it ended."""
    folder = JobFolder(Path(folder_path))
    folder.check_owner()
    if int(os.environ.get("RANK", "0")):  # `torchrun` started several, of which the first is the attempt
        return help_along(Helper(folder, folder.job(), number))
    try:
        folder.claim(number)
    except Conflict as error:
        print(error.message, file=sys.stderr)
        return TAKEN
    failpoint("worker.claimed")
    attempt = Attempt(folder, folder.job(), number)
    attempt.listen()
    try:
        hold_to(Policy.of(Settings.load()))
        bring_code(attempt)
        result = work(attempt)(attempt)
        failpoint("worker.before_result")
        folder.finish(result)
        failpoint("worker.after_result")
        return DONE
    except Stopped as stopped:
        message = str(stopped) or "Stopped; its checkpoint is kept."
        if attempt.out_of_time:
            message = f"The time limit came first. {message}"
            return _end(attempt, JobState.FAILED, STOPPED, message, "Resume it: it goes on from its checkpoint.")
        return _end(attempt, JobState.CANCELLED, STOPPED, message, None)
    except MlexError as error:
        print(error.message, file=sys.stderr)
        return _end(attempt, JobState.FAILED, FAILED, error.message, error.hint)
    except Exception as error:
        traceback.print_exc()
        message, hint = in_plain_words(error)
        return _end(attempt, JobState.FAILED, FAILED, message, hint)


def help_along(attempt: Helper) -> int:
    """Do a share of the work. How it ended is for the first process to say."""
    attempt.listen()
    try:
        hold_to(Policy.of(Settings.load()))
        bring_code(attempt)
        work(attempt)(attempt)
        return DONE
    except Stopped:
        return STOPPED


def bring_code(attempt: Attempt) -> None:
    """Load the source that came with the job, for its network's builder to be found."""
    if attempt.job.code is not None:
        from mlex_jupyter.learn.own import brought

        brought.keep_and_load(attempt.job.code, attempt.path)
        brought.load_builder(attempt.job.code)


def work(attempt: Attempt) -> Callable[[Attempt], Result]:
    """The function for this kind of task; each imports only what it needs."""
    if isinstance(attempt.job.spec.task, EstimateTask):
        from mlex_jupyter.learn.training.estimating import estimate

        return estimate
    match attempt.job.spec.task.kind:
        case "train":
            from mlex_jupyter.learn.training.task import train

            return train
        case "pretrain":
            from mlex_jupyter.learn.training.pretrain import pretrain

            return pretrain
        case "predict":
            from mlex_jupyter.learn.prediction.task import predict

            return predict
        case "run":
            from mlex_jupyter.learn.own.script import run_script

            return run_script


def in_plain_words(error: Exception) -> tuple[str, str | None]:
    """One sentence for people and what to do; the traceback is in the log."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return "The disk is full; what was saved before is whole.", "Free some space, then resume the run."
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "It ran out of memory.", "Use a smaller batch or patch, or a target with more memory, and resume."
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0][:300]}" if first else type(error).__name__, "Look at the log."


def _end(attempt: Attempt, state: JobState, code: int, message: str, hint: str | None) -> int:
    attempt.folder.end(attempt.number, Ending(state=state, exit_code=code, message=message, hint=hint, time=now()))
    return code


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise Invalid("usage: python -m mlex_jupyter.learn.run FOLDER ATTEMPT")
    try:
        sys.exit(main(sys.argv[1], int(sys.argv[2])))
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        with contextlib.suppress(OSError):  # the log may be on that disk too
            traceback.print_exc()
        sys.exit(FULL)  # there was no room even to write how it ended
