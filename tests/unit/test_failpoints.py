"""A failpoint kills where a test asked for it, says so first, and does nothing otherwise."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.engine import python

PROGRAM = """
import sys
from mlex_jupyter.failpoints import failpoint
for name in sys.argv[1:]:
    failpoint(name)
print("still here")
"""


def run(*points: str, **environment: str) -> tuple[int, str]:
    process = python(PROGRAM, *points, env=os.environ | environment)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


def test_without_the_variable_nothing_happens() -> None:
    assert run("worker.claimed") == (0, "still here\n")


def test_a_certain_failpoint_kills_and_writes_its_name_first(tmp_path: Path) -> None:
    log = tmp_path / "hits.txt"
    armed = {"MLEX_FAILPOINTS": "worker.claimed=1,server.acknowledging=0", "MLEX_FAILPOINT_LOG": str(log)}
    assert run("server.acknowledging", "worker.claimed", **armed) == (-signal.SIGKILL, "")
    assert run("worker.before_result", **armed) == (0, "still here\n")
    assert log.read_text() == "worker.claimed\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_chance_of_a_tenth_spares_some_and_takes_some() -> None:
    code, _ = run(*["often"] * 400, MLEX_FAILPOINTS="often=0.1")
    assert code == -signal.SIGKILL, "400 times a tenth: spared with a chance of 5e-19"
    assert run("other", MLEX_FAILPOINTS="often=1") == (0, "still here\n")
