"""Real IPython kernels for tests: code goes in, and what a notebook would show comes out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager


@dataclass
class Seen:
    """What one cell showed."""

    text: str = ""
    """What it printed."""
    shown: list[dict[str, Any]] = field(default_factory=list)
    """The data of each output, by MIME type."""
    updated: list[str] = field(default_factory=list)
    """The lines that an output went through."""
    error: dict[str, Any] | None = None
    payload: list[dict[str, Any]] = field(default_factory=list)


class Kernel:
    """One kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def do(self, code: str, *, check: bool = True, timeout: float = 300) -> Seen:
        """Run a cell; with check, an error in it is the test's."""
        seen = Seen()

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    seen.text += content["text"]
                case "execute_result" | "display_data":
                    seen.shown.append(content["data"])
                case "update_display_data":
                    seen.updated.append(content["data"]["text/plain"])
                case "error":
                    seen.error = content

        reply = self.client.execute_interactive(code, output_hook=hook, timeout=timeout)
        seen.payload = reply["content"].get("payload", [])
        if check and seen.error:
            raise AssertionError(f"{code}\n" + "\n".join(seen.error["traceback"]))
        return seen

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of this code."""
        reply = self.client.complete(code, len(code), reply=True, timeout=60)
        return list(reply["content"]["matches"])


@contextlib.contextmanager
def running_kernel(home: Path) -> Iterator[Kernel]:
    """A kernel for the length of a block, in a home and with a profile of its own."""
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(home / "kernel"))
    private = {"MLEX_HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "JUPYTER_CONFIG_DIR": str(home / "jupyter")}
    manager.start_kernel(env=os.environ | private, cwd=str(home))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
