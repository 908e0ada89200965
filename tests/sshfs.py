"""A real network file system: folders that FUSE mounts through sshfs, each as another host would have them.

The server is OpenSSH's, spoken to over a pipe instead of an encrypted line, so that nothing has to be set up. Every
mount has caches and locks of its own, and knows nothing of the others.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


def missing() -> str | None:
    """Why nothing can be mounted here, or None."""
    if not Path("/dev/fuse").exists():
        return "this kernel offers no FUSE"
    if shutil.which("sshfs") is None or shutil.which("fusermount3") is None or _server() is None:
        return "no sshfs: sudo apt-get install sshfs openssh-sftp-server"
    return None


def _server() -> str | None:
    return next((server for server in SERVERS if Path(server).exists()), None)


@contextlib.contextmanager
def mounted(folder: Path, at: Path, *options: str) -> Iterator[Path]:
    """The folder as a host sees it that mounts it there."""
    at.mkdir()
    line = at.with_name(f"{at.name}.sh")
    line.write_text(f"#!/bin/sh\nexec {_server()}\n")
    line.chmod(0o700)
    command = ["sshfs", f"server:{folder}", at, "-o", f"ssh_command={line}"]
    subprocess.run([*command, *(f"-o{option}" for option in options)], check=True, capture_output=True, timeout=60)
    try:
        yield at
    finally:
        subprocess.run(["fusermount3", "-u", "-z", at], check=True, capture_output=True, timeout=60)
