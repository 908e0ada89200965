"""The processes that may be killed: found from outside, by their command lines and the home they work on."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import psutil

MODULES = {
    "server": "jupyter_server",
    "supervisor": "mlex_jupyter.supervisor",
    "worker": "mlex_jupyter.learn.run",
}


def find(home: Path, kind: str) -> list[psutil.Process]:
    """The living processes of one kind that work on a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if MODULES[kind] in process.cmdline() and process.environ().get("MLEX_HOME") == str(home):
                found.append(process)
    return found


def kill_one(home: Path, kind: str, chance: random.Random) -> bool:
    """Kill one of that kind, if there is one; True when it was there to be killed."""
    there = find(home, kind)
    if not there:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        chance.choice(there).kill()
        return True
    return False
