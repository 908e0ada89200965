"""Asking: one reader process from its caller's side, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlex_jupyter.data.frames import Frame, Pipes, shared_memory
from mlex_jupyter.data.places import Policy
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound, Unavailable

PROGRAM = "mlex_jupyter.data.readerprocess"
KEPT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
"""The variables that a reader needs; one for files gets no others, so that it knows no secrets."""
KEPT_FOR_URLS = ("AWS_", "TILED_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How those begin that a reader of URLs gets as well; it opens no files."""
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Each thread of theirs would take memory for nothing."""
ERRORS = {kind.code: kind for kind in (NotFound, Invalid, Conflict, Forbidden, Unavailable)}
ENDING_S = 5.0

Heard = Callable[[dict[str, Any]], None]


class Limits(NamedTuple):
    """How many processes there may be of a sort, and what each of them may take."""

    policy: Policy
    memory_bytes: int
    silence_s: float
    processes: int
    niceness: int = 0
    idle_s: float = 60
    """How long a process stays when nobody asks."""
    urls: bool = False
    variables: int = 0
    """Another number where the variables of readers of URLs are others: who sets a key is not told of the old one."""
    writes: tuple[str, ...] = ()
    """The folders that it may write to."""


class Lost(Exception):
    """The process is gone, and what was asked last is not why: another one may be asked."""


class Process:
    """One reader process; it is asked one thing at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        shared = shared_memory()
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", PROGRAM, json.dumps({"shared": shared, **limits._asdict()})],
            pass_fds=(shared,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(os.environ, urls=limits.urls),
            start_new_session=True,  # an interrupt is meant for its caller
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        incoming, outgoing = os.dup(self._popen.stdout.fileno()), os.dup(self._popen.stdin.fileno())
        self._popen.stdout.close()
        self._popen.stdin.close()
        self._pipes = Pipes(incoming, outgoing, shared, largest=limits.memory_bytes)
        self._ahead = False
        """Whether it went on by itself after its last answer."""
        self.gone = False
        self._ended = False
        self.used = time.monotonic()

    def ask(self, what: str, asked: Mapping[str, Any], heard: Heard | None = None) -> Frame:
        """Have one request answered, or an error in words; `what` is the file's name."""
        try:
            self._pipes.send(asked)
            return self.answer(what, heard)
        except BrokenPipeError:
            self.gone = True
            raise Lost from None

    def answer(self, what: str, heard: Heard | None = None) -> Frame:
        """Wait for the answer to what was asked."""
        try:
            while True:
                frame = self._pipes.receive(self._limits.silence_s)
                if "so_far" not in frame.said:
                    return self._sound(frame)
                if heard:
                    heard(frame.said["so_far"])
        except (TimeoutError, EOFError) as error:
            raise self._given_up(what, error) from None

    async def look(self, what: str, text: bytes) -> Frame:
        """`ask`, in an event loop, for JSON that is said at once."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Frame] = loop.create_future()

        def come() -> None:
            try:
                frame = self._pipes.take()
            except Exception as error:
                _settle(answered, error)
            else:
                if frame is not None and "so_far" not in frame.said:
                    _settle(answered, frame)

        try:
            self._pipes.send_at_once(text)
        except BrokenPipeError:
            self.gone = True
            raise Lost from None
        late = loop.call_later(self._limits.silence_s, _settle, answered, TimeoutError())
        loop.add_reader(self._pipes.incoming, come)
        try:
            return self._sound(await answered)
        except (TimeoutError, EOFError) as error:
            raise await asyncio.to_thread(self._given_up, what, error) from None
        finally:
            late.cancel()
            if not loop.is_closed():
                loop.remove_reader(self._pipes.incoming)

    def end(self) -> None:
        """End it, whatever it is doing."""
        if not self._ended:
            self._ended = self.gone = True
            self._pipes.close()
        self._popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, on a disk that says nothing
            self._popen.wait(ENDING_S)

    def _sound(self, frame: Frame) -> Frame:
        self._ahead = bool(frame.said.get("ahead"))
        if error := frame.said.get("error"):
            raise ERRORS.get(error["code"], Invalid)(error["message"], hint=error["hint"])
        return frame

    def _given_up(self, what: str, error: TimeoutError | EOFError) -> MlexError | Lost:
        self.gone = True
        if self._ahead:
            return Lost()
        if isinstance(error, EOFError):
            return self._crashed(what)
        return Invalid(
            f"{what[:200]!r} was given up: nothing came of it for {self._limits.silence_s:g} s.",
            hint="It may be damaged, or its disk slow; the setting reader_timeout_s says how long to wait.",
        )

    def _crashed(self, what: str) -> MlexError:
        code = self._popen.wait()
        if code == -signal.SIGKILL:
            return Invalid(
                f"{what[:200]!r} cannot be read: the process that read it was ended, probably for lack of memory.",
                hint="Free some memory, or see the setting reader_memory_gb.",
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Invalid(
            f"{what[:200]!r} cannot be read: the library that decodes it crashed ({how}).",
            hint="The file is damaged, or made to do this. Nothing else was harmed.",
        )


def _settle(answered: asyncio.Future[Frame], found: Frame | Exception) -> None:
    if answered.done():
        return
    if isinstance(found, Exception):
        answered.set_exception(found)
    else:
        answered.set_result(found)


def environment(given: Mapping[str, str], *, urls: bool) -> dict[str, str]:
    """What a reader gets of these variables."""
    begins = ("LC_", *KEPT_FOR_URLS) if urls else ("LC_",)
    kept = {name: value for name, value in given.items() if name in KEPT or name.upper().startswith(begins)}
    return kept | dict.fromkeys((*SINGLE, "PYTHONDONTWRITEBYTECODE"), "1")
