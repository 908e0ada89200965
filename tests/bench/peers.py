"""Peers that are measured beside ours, in an environment of their own: they are large, and pin what we need newer."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

PLACE = Path(".venv-peers")
PACKAGES = ("mlflow==3.17.2", "tensorstore==0.1.86")


@cache
def python() -> Path:
    """The Python that has them; the environment is made when it is first asked for, which takes minutes."""
    made = PLACE / ".made"
    if not made.exists() or made.read_text() != repr(PACKAGES):
        print(f"· {', '.join(PACKAGES)} into {PLACE}, for comparison", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE], check=True)
        subprocess.run([PLACE / "bin" / "pip", "install", "-qq", *PACKAGES], check=True)
        made.write_text(repr(PACKAGES))
    return (PLACE / "bin" / "python").absolute()


def said(program: str, *arguments: str) -> Any:
    """What a program of the peers' prints on its last line, as JSON."""
    done = subprocess.run([python(), "-c", program, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
