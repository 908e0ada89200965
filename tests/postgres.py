"""A PostgreSQL of the tests' own: one server for the session in a folder of its own, a new schema for each test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

NUMBERS = count(1)
QUICK = ("fsync=off", "full_page_writes=off", "autovacuum=off", "jit=off", "max_connections=300", "listen_addresses=")


def programs() -> Path | None:
    """The folder of the newest server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


class Cluster:
    """A running server, reached through a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def do(self, program: str, *words: str) -> None:
        """Run one of its programs, as a user that it accepts."""
        found = programs()
        assert found is not None
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        # It is of no test's home, whose end would be its end too.
        nobodys = {name: value for name, value in os.environ.items() if name != "MLEX_HOME"}
        command = [*user, str(found / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=nobodys)
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Make the files and start the server."""
        data = str(self.folder / "data")
        self.do("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start_again()

    def start_again(self) -> None:
        """Start the server over its files."""
        data = str(self.folder / "data")
        options = " ".join(f"-c {option}" for option in (*QUICK, f"unix_socket_directories={self.folder}"))
        self.do("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(self.folder / "log.txt"), "start")

    def stop(self, how: str = "immediate") -> None:
        """End the server."""
        self.do("pg_ctl", "-D", str(self.folder / "data"), "-m", how, "-w", "stop")

    def database(self) -> str:
        """The URL of a new, empty schema: what a database of its own would be, without the files of one."""
        import psycopg

        name = f"test{next(NUMBERS)}"
        everything = f"postgresql://postgres@/postgres?host={self.folder}"
        with psycopg.connect(everything, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{everything}&options=-csearch_path%3D{name}"


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="mlex-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        with contextlib.suppress(RuntimeError):
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
