"""Real Jupyter servers for tests: on a free port of 127.0.0.1, with a token, ended by their own process id."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

PATIENCE_S = 120
PROC = Path("/proc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_of(home: Path) -> list[psutil.Process]:
    """The supervisor, workers, servers and kernels that work on this home."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if pid != os.getpid() and _home_of(pid) == str(home):
                found.append(psutil.Process(pid))
    return found


def _home_of(pid: int) -> str | None:
    """Asked after every test for every process there is, so without psutil where that is quicker."""
    if not PROC.exists():
        return psutil.Process(pid).environ().get("MLEX_HOME")
    _, _, more = (b"\0" + (PROC / str(pid) / "environ").read_bytes()).partition(b"\0MLEX_HOME=")
    return os.fsdecode(more.partition(b"\0")[0]) or None


def end_processes_of(home: Path) -> None:
    """End what a test left running, each by its id."""
    for end in (psutil.Process.terminate, psutil.Process.kill):
        if not (processes := processes_of(home)):
            return
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(processes, timeout=5)


class Server:
    """A Jupyter server with our extension, over one home. `stop`, `kill` and `start` keep port and token."""

    def __init__(self, home: Path, root: Path, *, app: str = "lab", **environment: str) -> None:
        self.home = home
        self.root = root
        self.app = app
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/mlex/api/v1"
        self.headers = {"Authorization": f"token {self.token}"}
        self.environment = environment
        self.log = home / f"jupyter-{self.port}.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.open_browser": False,
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": self.token,
        }
        if self.app != "server":
            name = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[self.app]
            options[f"{name}.expose_app_in_browser"] = True
        module = {"lab": "jupyterlab", "notebook": "notebook", "server": "jupyter_server"}[self.app]
        return [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())]

    def start(self, *, look_every_s: float = 0.05) -> None:
        """Start, and return once it answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        private = {
            "MLEX_HOME": self.home,
            "JUPYTER_CONFIG_DIR": self.home / "jupyter",
            "IPYTHONDIR": self.home / "ipython",
        }
        environment = os.environ | {name: str(value) for name, value in private.items()} | self.environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environment, cwd=self.root)
        self.wait(look_every_s)

    def wait(self, look_every_s: float = 0.05) -> None:
        """Return once the server answers."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/api", headers=self.headers).is_success:
                    return
            time.sleep(look_every_s)
        raise RuntimeError(f"The Jupyter server did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        """End it in good order."""
        self._end("terminate")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end("kill")

    def _end(self, how: str) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        getattr(process, how)()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Another server at the same address."""
        self.stop()
        self.start()

    def client(self) -> httpx.Client:
        """HTTP with the token, at the API's address."""
        return httpx.Client(base_url=self.api, headers=self.headers, timeout=30)


@contextlib.contextmanager
def running_server(home: Path, root: Path | None = None, *, app: str = "lab", **environment: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(home, root or home / "work", app=app, **environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()
