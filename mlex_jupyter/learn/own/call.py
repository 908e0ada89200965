"""Call the function that a job brought: `python -m mlex_jupyter.learn.own.call FOLDER ATTEMPT`.

<job>/returned.json             what it returned
<job>/attempts/<n>/failure.json what went wrong, in one sentence; the traceback is in the log
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from pathlib import Path

from mlex_jupyter.errors import Invalid
from mlex_jupyter.files import write_whole
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.own import brought
from mlex_jupyter.types import Problem, RunTask

RETURNED = "returned.json"
FAILURE = "failure.json"


def main(place: str, number: int) -> int:
    """Call it, and keep what it returned."""
    folder = JobFolder(Path(place))
    task = folder.job().spec.task
    if not isinstance(task, RunTask) or task.code is None:
        raise Invalid("This job has no function to call.")
    try:
        found = brought.load(task.code)(**task.arguments)
        if inspect.iscoroutine(found):
            found = asyncio.run(found)
        write_whole(folder.path / RETURNED, _as_json(task.code.name, found))
    except Exception as error:
        traceback.print_exc()
        said = error if isinstance(error, Invalid) else Invalid(brought.in_words(error), hint="Look at the log.")
        write_whole(folder.attempt(number) / FAILURE, Problem.of(said).model_dump_json())
        return 1
    return 0


def _as_json(name: str, found: object) -> str:
    try:
        return json.dumps(found, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Invalid(
            f"{name} returned a {type(found).__name__}, which is no JSON: {error}.",
            hint="Return numbers, texts, lists and mappings; write anything else to a file in the current folder.",
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
