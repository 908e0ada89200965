"""Places where a test may have a process killed: `MLEX_FAILPOINTS="worker.claimed=0.2,…"`, a probability each.

Without the variable a failpoint costs one look at an empty dict. A hit is written to `MLEX_FAILPOINT_LOG` before
the process kills itself, so that a harness can say how often each was reached.
"""

from __future__ import annotations

import os
import random
import signal


def _armed() -> dict[str, float]:
    pairs = (item.split("=") for item in os.environ.get("MLEX_FAILPOINTS", "").split(",") if item)
    return {name: float(chance) for name, chance in pairs}


ARMED = _armed()


def failpoint(name: str) -> None:
    """Die here, if a test asked for it."""
    if ARMED and random.random() < ARMED.get(name, 0.0):
        if log := os.environ.get("MLEX_FAILPOINT_LOG"):
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, f"{name}\n".encode())
            os.close(descriptor)
        os.kill(os.getpid(), signal.SIGKILL)
