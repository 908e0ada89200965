"""Who keeps the jobs moving: one supervisor per home, held to that by a lock on a file.

The lock belongs to an open file that the new supervisor inherits, so that of many who want to start one, one does,
and the kernel lets go of it however the supervisor ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mlex_jupyter.settings import Settings

LOCK = "supervisor.lock"
OF_A_RUN = (
    "MLEX_JOB",
    "MLEX_JOB_FOLDER",
    "MLEX_ATTEMPT",
    "MLEX_CPUS",
    "MLEX_TIME_LIMIT_S",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)


def outside_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables without those that a run has for itself: what a run starts must not take them for its own."""
    if "MLEX_JOB" not in environment:
        return dict(environment)
    return {name: value for name, value in environment.items() if name not in OF_A_RUN}


def lock_of(settings: Settings) -> Path:
    """The file that is locked: where hosts share a database, each has a supervisor that stands by, and one works."""
    return settings.home / (LOCK if settings.database is None else f"{socket.gethostname()}.{LOCK}")


def take(settings: Settings) -> int | None:
    """The lock's descriptor, or None while somebody else holds it."""
    descriptor = os.open(lock_of(settings), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def held(settings: Settings) -> bool:
    """Whether a supervisor is at work; asked of the kernel, so that nobody who wants the lock meets us holding it."""
    try:
        inode = lock_of(settings).stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except FileNotFoundError:
        return False
    return any("FLOCK" in line and f":{inode} " in line for line in locks)


def ensure_supervisor(settings: Settings) -> None:
    """Start the home's supervisor unless it is there; it outlives whoever started it."""
    descriptor = take(settings)
    if descriptor is None:
        return
    try:
        with open(settings.home / "supervisor.log", "ab") as log:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "mlex_jupyter.supervisor", str(descriptor)],
                cwd=settings.home,
                env={**outside_of_jobs(os.environ), **settings.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[descriptor],
            )
    finally:
        os.close(descriptor)
