"""What a test may need of the machine. Missing, it is skipped and says why; named in MLEX_REQUIRE, it is a failure.

MLEX_REQUIRE=browser,torch,dlsia make test
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def chromium() -> str | None:
    """The browser that tests drive, or None."""
    return os.environ.get("MLEX_CHROMIUM") or shutil.which("chromium")


def _module(*names: str) -> str | None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed" if missing else None


def _browser() -> str | None:
    return _module("playwright") or (None if chromium() else "no Chromium: sudo apt-get install chromium")


def _mount() -> str | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return "no /proc to see what this process may do"
    capabilities = next(line for line in status.read_text().splitlines() if line.startswith("CapEff"))
    may = int(capabilities.split()[1], 16) >> 21 & 1  # CAP_SYS_ADMIN
    return None if may and shutil.which("mount") else "only root may mount a small disk"


def _postgres() -> str | None:
    from tests.postgres import programs

    if programs() is None:
        return "no PostgreSQL server: sudo apt-get install postgresql"
    return _module("psycopg")


def _service(program: str) -> str | None:
    from tests.services import PROGRAMS

    return None if (PROGRAMS / program).exists() else f"no {program} here: tools/setup.sh services"


def _hosts() -> str | None:
    return (_mount() and "only root may play another host") or (None if shutil.which("unshare") else "no unshare")


def _sshfs() -> str | None:
    from tests.sshfs import missing

    return missing()


MISSING: dict[str, Callable[[], str | None]] = {
    "browser": _browser,
    "dlsia": lambda: _module("torch", "dlsia", "qlty"),
    "openvino": lambda: _module("openvino"),
    "hosts": _hosts,
    "lab": lambda: _module("jupyterlab", "ipykernel", "nbclient"),
    "mount": _mount,
    "node": lambda: None if shutil.which("node") else "no node on the PATH",
    "optuna": lambda: _module("optuna"),
    "postgres": _postgres,
    "s3": lambda: _module("obstore") or _service("moto_server"),
    "sshfs": _sshfs,
    "tiled": lambda: _module("tiled") or _service("tiled"),
    "torch": lambda: _module("torch", "safetensors"),
}
"""Why something is not there, by what a test calls it."""


def required() -> set[str]:
    """What MLEX_REQUIRE names; a name that nobody knows ends the run."""
    named = {name for name in os.environ.get("MLEX_REQUIRE", "").split(",") if name}
    if unknown := named - MISSING.keys():
        pytest.exit(f"MLEX_REQUIRE names {', '.join(sorted(unknown))}; known are {', '.join(MISSING)}.", 2)
    return named


def require(*what: str) -> None:
    """Go on only where all of this is there."""
    must = required()
    for name in what:
        if reason := MISSING[name]():
            message = f"needs {name}: {reason}"
            pytest.fail(message, pytrace=False) if name in must else pytest.skip(message)
