"""Lanes: a few reader processes that stay warm, and the queue in front of them.

Who waits in an event loop asks an idle process straight from there. Where none is idle, the request waits for a
thread: these start processes, take requests to them, and end those that nobody needs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from mlex_jupyter.data.asking import Heard, Limits, Lost, Process
from mlex_jupyter.data.frames import SAID_AT_ONCE, Frame
from mlex_jupyter.errors import MlexError, Unavailable

WAITING = 200
"""Requests in front of one reader before the next is refused."""


class Request(NamedTuple):
    """One read that somebody waits for."""

    what: str
    asked: Mapping[str, Any]
    heard: Heard | None
    found: Future[Frame]


@cache
def lane(limits: Limits) -> Lane:
    """One for all homes of this process that have the same limits."""
    return Lane(limits)


class Lane:
    """A queue of requests, and as many processes as they need, up to a number."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: deque[Request] = deque()
        self._idle: list[Process] = []
        """Who was asked last is asked next: it has at hand what lies beside what it read."""
        self._busy = 0
        self._threads = 0
        self._free = 0
        self._changed = threading.Condition()

    def ask(self, what: str, asked: Mapping[str, Any], heard: Heard | None = None) -> Future[Frame]:
        """Have this done by the next process that is free; `what` is the file's name, for errors."""
        request = Request(what, asked, heard, Future())
        with self._changed:
            if len(self._requests) >= WAITING:
                raise Unavailable("Too many files are being read.", hint="Try again in a while.")
            self._requests.append(request)
            self._changed.notify()
            if self._free < len(self._requests) and self._threads < self._limits.processes:
                self._threads += 1
                threading.Thread(target=self._serve, name="mlex-reading", daemon=True).start()
        return request.found

    async def look(self, what: str, asked: Mapping[str, Any]) -> Frame:
        """`ask`, for who waits in an event loop."""
        text = to_json(asked)
        process = self._take_idle() if len(text) <= SAID_AT_ONCE else None
        if process is None:
            return await asyncio.wrap_future(self.ask(what, asked))
        try:
            found = await process.look(what, text)
        except (asyncio.CancelledError, GeneratorExit):  # the answer still comes, and is none to another request
            threading.Thread(target=self._let_finish, args=(process, what), daemon=True).start()
            raise
        except Lost:
            await asyncio.to_thread(self._end_and_give_back, process)
            return await asyncio.wrap_future(self.ask(what, asked))
        except MlexError:
            if process.gone:
                await asyncio.to_thread(process.end)
            self._give_back(process)
            raise
        except BaseException:
            await asyncio.to_thread(self._end_and_give_back, process)
            raise
        self._give_back(process)
        return found

    # ------------------------------------------------------------ processes

    def _take_idle(self) -> Process | None:
        """An idle process, unless others wait for one."""
        with self._changed:
            if self._requests or not self._idle:
                return None
            self._busy += 1
            return self._idle.pop()

    def _give_back(self, process: Process | None) -> None:
        with self._changed:
            self._busy -= 1
            if process is not None and not process.gone:
                process.used = time.monotonic()
                self._idle.append(process)
            self._changed.notify()

    def _end_and_give_back(self, process: Process) -> None:
        process.end()
        self._give_back(process)

    def _let_finish(self, process: Process, what: str) -> None:
        try:
            process.answer(what)
        except Exception as error:  # nobody waits for it
            if process.gone or not isinstance(error, MlexError):
                process.end()
        self._give_back(process)

    # ------------------------------------------------------------ threads

    def _serve(self) -> None:
        """Take requests to processes, until nobody has asked for a while."""
        while (request := self._next()) is not None:
            if not request.found.set_running_or_notify_cancel():
                self._give_back(None)
                continue
            process, found = self._answered(request)
            self._give_back(process)
            if isinstance(found, Frame):
                request.found.set_result(found)
            else:
                request.found.set_exception(found)

    def _next(self) -> Request | None:
        """The next request, once a process may be asked; None where this thread is not needed any more."""
        while True:
            with self._changed:
                self._free += 1
                found = self._changed.wait_for(self._may_ask, self._limits.idle_s)
                self._free -= 1
                if found:
                    self._busy += 1
                    return self._requests.popleft()
                unneeded = self._unneeded()
                leave = self._threads > 1 or not (self._idle or self._busy)
                self._threads -= leave
            for process in unneeded:
                process.end()
            if leave:
                return None

    def _may_ask(self) -> bool:
        return bool(self._requests) and self._busy < self._limits.processes

    def _unneeded(self) -> list[Process]:
        """The processes that nobody has asked for a while, idle no longer."""
        since = time.monotonic() - self._limits.idle_s
        old = [process for process in self._idle if process.used < since]
        self._idle = [process for process in self._idle if process not in old]
        return old

    def _answered(self, request: Request) -> tuple[Process | None, Frame | BaseException]:
        process: Process | None = None
        try:
            while True:
                with self._changed:
                    process = self._idle.pop() if self._idle else None
                process = process or Process(self._limits)
                try:
                    return process, process.ask(request.what, request.asked, request.heard)
                except Lost:
                    process.end()
        except BaseException as error:
            if process is not None and (process.gone or not isinstance(error, MlexError)):
                process.end()
            return process, error
