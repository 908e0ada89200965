"""Services that hold data: moto's S3 and a Tiled server, as processes of an environment of their own.

`tools/setup.sh services` makes that environment, since their requirements do not agree with ours.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.servers import free_port

PROGRAMS = Path(__file__).resolve().parent.parent / ".venv" / "services" / "bin"
PATIENCE_S = 120

TILED = """
import sys
import numpy as np
import uvicorn
from tiled.adapters.array import ArrayAdapter
from tiled.adapters.mapping import MapAdapter
from tiled.config import Authentication
from tiled.server.app import build_app

folder, port = sys.argv[1:]
stack = np.load(f"{folder}/stack.npy")
tree = MapAdapter({
    "scans": MapAdapter({
        "stack": ArrayAdapter.from_array(
            stack, chunks=((1,) * len(stack), *stack.shape[1:]), dims=("z", "y", "x"),
            metadata={"pixel_size": [2.0, 0.5, 0.5], "pixel_unit": "micrometer"},
        ),
        "channels": ArrayAdapter.from_array(np.stack([stack, stack]), dims=("c", "z", "y", "x")),
        "plain": ArrayAdapter.from_array(stack),
        "float": ArrayAdapter.from_array(stack.astype("float32")),
        "complex": ArrayAdapter.from_array(stack.astype("complex64")),
        "line": ArrayAdapter.from_array(stack[0, 0]),
    }),
    "empty": MapAdapter({}),
})
app = build_app(tree, Authentication(allow_anonymous_access=ANONYMOUS, single_user_api_key="akey1234"))
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="info")
"""


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """moto's S3; its log has a line for each request."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _running([PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], log, url):
        yield url


@contextlib.contextmanager
def tiled_server(folder: Path, log: Path, *, anonymous: bool = True) -> Iterator[str]:
    """A Tiled server over `stack.npy` of the folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    code = TILED.replace("ANONYMOUS", str(anonymous))
    with _running([PROGRAMS / "python", "-c", code, folder, str(port)], log, f"{url}/api/v1/"):
        yield url


@contextlib.contextmanager
def _running(command: list[str | Path], log: Path, answers: str) -> Iterator[None]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(answers)
                break
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{command[0]} does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
