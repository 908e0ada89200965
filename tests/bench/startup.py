"""How long a Jupyter server takes to answer, with our extension and without it; and `mlex --help`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.bench.figures import Figure, interleaved, median, seconds
from tests.servers import Server, end_processes_of

ROUNDS = 9
LONGER_AT_MOST = 1.10
HELP_MS = 300


def figures() -> list[Figure]:
    """Start-up of a server, and of the command."""
    return [*_server(), _help()]


def _server() -> list[Figure]:
    works = [lambda used=used: _start(used) for used in (True, False)]
    found = interleaved(ROUNDS + 1, *(lambda work=work: work()[0] for work in works))
    ours, bare = (median(times[1:]) for times in found)  # the first of each fills the caches
    own, theirs = (median(times) for times in interleaved(3, *(lambda work=work: work()[1] for work in works)))
    without = "the same server, extension disabled"
    return [
        Figure("jupyter lab answers", ours, "s", bare, without),
        Figure("… as a ratio of medians", ours / bare, "×", 1.0, without, LONGER_AT_MOST),
        Figure("… processor time", own, "s", theirs, without),
    ]


def _start(used: bool) -> tuple[float, float]:
    """Seconds until it answers, and the processor's seconds until then."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        # What `jupyter server extension disable` writes; enabled, the same file says so.
        config = home / "first" / "jupyter_server_config.d" / "mlex_jupyter.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"mlex_jupyter.server": used}}}))
        server = Server(home, home / "work", JUPYTER_CONFIG_PATH=str(home / "first"))
        try:
            begun = time.perf_counter()
            server.start(look_every_s=0.01)
            took = time.perf_counter() - begun
            assert server.process is not None
            times = psutil.Process(server.process.pid).cpu_times()
            assert ("MLEx" in server.log.read_text()) == used, "the extension was not as this round wants it"
            return took, times.user + times.system
        finally:
            server.stop()
            end_processes_of(home)


def _help() -> Figure:
    mlex = Path(sys.executable).with_name("mlex")

    def run(*command: str | Path) -> float:
        return 1000 * seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    ours, bare = interleaved(15, lambda: run(mlex, "--help"), lambda: run(sys.executable, "-c", "pass"))
    return Figure("mlex --help, whole process", median(ours), "ms", median(bare), "python -c pass", HELP_MS)
