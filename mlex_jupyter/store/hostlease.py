"""One host at a time writes to a home that lies on a network file system: SQLite's locks cannot be trusted there.

    <home>/host.json      which host it is; written anew while any of its processes has the database open

The file is made by `link`, which one of many does, and its age is told by the clock of the file server alone: it is
written anew rather than touched, since some clients put their own time where they touch. Whoever finds it not written
for long enough takes it over; the host that had it sees so before its next write, and refuses it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import threading
import time
from hashlib import blake2b
from pathlib import Path

from pydantic_core import from_json, to_json

from mlex_jupyter.errors import Unavailable

LEASE = "host.json"
BEAT_S = 20.0
LOOK_AGAIN_S = 0.05
STALE_S = 180.0
"""Longer than a few beats and than a client's cache of attributes; a host that died is missed for so long."""
HINT = (
    "End MLEx there and try again {in_s:.0f} s later; or share a PostgreSQL (MLEX_DATABASE), or use a home on a local "
    "disk (MLEX_HOME)."
)


def this_host() -> dict[str, str]:
    """What tells this host, since it was started, from all others."""
    with contextlib.suppress(OSError):
        return {"host": socket.gethostname(), "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
    return {"host": socket.gethostname(), "boot": ""}


class HostLease:
    """This host's hold on one home."""

    def __init__(self, home: Path) -> None:
        self.path = home / LEASE
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        """Hold it from now on, or Unavailable with the name of the host that does."""
        self._settle()
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="mlex-host", daemon=True)
            self._beating.start()

    def _settle(self) -> None:
        while (holder := self.holder()) != this_host():
            if holder is None:
                self._make()
            elif (age := self._age()) < STALE_S:
                raise Unavailable(
                    f"This home is on a network file system, and the host {holder.get('host')} writes to its database.",
                    hint=HINT.format(in_s=STALE_S - age),
                )
            else:
                self._take_over()

    def check(self) -> None:
        """Unavailable where another host has taken over: then nothing may be written any more."""
        if (holder := self.holder()) != this_host():
            named = holder.get("host") if holder else "nobody"
            raise Unavailable(
                f"The database of this home is {named}'s now: this host was not heard of for too long.",
                hint=HINT.format(in_s=STALE_S),
            )

    def holder(self) -> dict[str, str] | None:
        """The host that the file names; opened anew, which asks the file server."""
        try:
            found = from_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return {"host": "of an unreadable name", "boot": ""}
        return {str(name): str(value) for name, value in found.items()}

    def close(self) -> None:
        """Beat no more; another process of this host may."""
        self._stop.set()

    def _beside(self) -> Path:
        return self.path.with_name(f".{LEASE}.{secrets.token_hex(6)}")

    def _make(self) -> None:
        mine = self._beside()
        mine.write_bytes(to_json(this_host()))
        try:
            os.link(mine, self.path)
        except FileExistsError:  # somebody was faster; who it is may be seen a moment later only
            time.sleep(LOOK_AGAIN_S)
        except OSError as error:
            raise Unavailable(
                f"This home is on a network file system that knows no hard links ({error.strerror}), by which one of"
                " several hosts is told from the others.",
                hint="Share a PostgreSQL (MLEX_DATABASE), or use a home on a local disk (MLEX_HOME).",
            ) from error
        finally:
            mine.unlink()

    def _age(self) -> float:
        """Seconds since the last beat, by the file server's clock."""
        mine = self._beside()
        mine.touch()
        try:
            with self.path.open("rb") as held:
                return mine.stat().st_mtime - os.fstat(held.fileno()).st_mtime
        except FileNotFoundError:
            return STALE_S
        finally:
            mine.unlink()

    def _take_over(self) -> None:
        """Of many who find it stale one replaces it: the one that claims this very state of it."""
        state = self._state()
        if state is None or self._age() < STALE_S:  # told of this state: what is claimed is stale
            return
        mine = self._beside()
        mine.write_bytes(to_json(this_host()))
        try:
            claim = self._claim(mine, state)
            if claim is None:
                time.sleep(LOOK_AGAIN_S)
            elif self._state() == state:
                os.replace(mine, self.path)
                for left in self.path.parent.glob(f".{LEASE}.after-*"):
                    left.unlink(missing_ok=True)
            else:  # replaced, or heard of, since
                claim.unlink(missing_ok=True)
        finally:
            mine.unlink(missing_ok=True)

    def _claim(self, mine: Path, state: str) -> Path | None:
        """Be the one who takes over from this state; None while another is about to. One that died is passed by."""
        for number in itertools.count():
            claim = self.path.with_name(f".{LEASE}.after-{state}-{number}")
            try:
                os.link(mine, claim)
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):
                    if mine.stat().st_mtime - claim.stat().st_mtime < STALE_S:
                        return None
            else:
                return claim
        raise AssertionError("counting does not end")

    def _state(self) -> str | None:
        """What is different once the file was replaced, or its host was heard of."""
        try:
            with self.path.open("rb") as held:
                said = f"{os.fstat(held.fileno()).st_mtime_ns} {held.read()!r}"
        except FileNotFoundError:
            return None
        return blake2b(said.encode(), digest_size=8).hexdigest()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with contextlib.suppress(OSError, ValueError):  # a file server that is away is asked again
                self._touch()

    def _touch(self) -> None:
        """Write the same once more, into the very file that was read: one that took its place stays as it is."""
        with self.path.open("r+b", buffering=0) as held:
            said = held.read()
            if from_json(said) == this_host():
                os.pwrite(held.fileno(), said, 0)
