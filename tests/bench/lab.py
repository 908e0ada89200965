"""`make lab` with everything built, to a server whose MLEx answers, beside JupyterLab alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.bench.figures import Figure, interleaved, median
from tests.servers import end_processes_of, free_port

ROUNDS = 3
TOKEN = "bench"


def figures() -> list[Figure]:
    """Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        ours, bare = interleaved(ROUNDS + 1, lambda: _answers(home, ours=True), lambda: _answers(home, ours=False))
    return [
        Figure("make lab, warm, to an answering server", median(ours[1:]), "s", median(bare[1:]), "jupyter lab alone")
    ]


def _answers(home: Path, *, ours: bool) -> float:
    port = free_port()
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    if ours:
        command, page = ["make", "lab", f"ARGS={' '.join(options)}"], "mlex/api/v1/hello"
    else:
        command, page = [sys.executable, "-m", "jupyterlab", "--allow-root", f"--notebook-dir={home}", *options], "api"
    environment = os.environ | {"MLEX_HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "jupyter")}
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while True:
            try:
                url = f"http://127.0.0.1:{port}/{page}"
                if httpx.get(url, headers={"Authorization": f"token {TOKEN}"}).is_success:
                    return time.perf_counter() - begun
            except httpx.TransportError:
                pass
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        end_processes_of(home)
