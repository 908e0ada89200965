"""Reading: foreign files are opened in a process of their own, and this asks it.

A few such processes stay warm, each with a thread that hands it one request at a time. One that crashes, takes too
much memory or says nothing for too long ends that read, in words; the next read gets another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlex_jupyter.data.frames import Frame, Pipes, shared_memory
from mlex_jupyter.data.places import Policy, is_url
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound, Unavailable
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet, Quality

if TYPE_CHECKING:
    from mlex_jupyter.data.readers import VolumeInfo
    from mlex_jupyter.settings import Settings

PROGRAM = "mlex_jupyter.data.readerprocess"
WAITING = 200
"""Requests in front of one reader before the next is refused."""
KEPT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
"""The variables that a reader needs; one for files gets no others, so that it knows no secrets."""
KEPT_FOR_URLS = ("AWS_", "TILED_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How those begin that a reader of URLs gets as well; it opens no files."""
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Each thread of theirs would take memory for nothing."""
ERRORS = {kind.code: kind for kind in (NotFound, Invalid, Conflict, Forbidden, Unavailable)}

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
    writes: tuple[str, ...] = ()
    """The folders that it may write to."""


class Request(NamedTuple):
    """One read that somebody waits for."""

    asked: Mapping[str, Any]
    what: str
    heard: Heard | None
    found: Future[Frame]


class Reading:
    """What can be asked about files, for the policy of one home."""

    def __init__(self, settings: Settings) -> None:
        memory_bytes, silence_s = int(settings.reader_memory_gb * 2**30), settings.reader_timeout_s
        self._looks = Limits(Policy.of(settings), memory_bytes, silence_s, settings.readers)
        # Nobody who looks waits for these, nor who saves labels for a report.
        self._copies = self._looks._replace(processes=1, niceness=10, idle_s=5)
        self._measures = self._copies._replace(niceness=15)

    async def inspect(self, path: str, axes: str | None = None) -> VolumeInfo:
        """What a file says about its volume; Invalid where it is none."""
        from mlex_jupyter.data.readers import VolumeInfo

        asked = {"do": "inspect", "path": absolute(path), "axes": axes}
        return VolumeInfo.model_validate((await self._look(path, asked)).said["found"])

    async def picture(
        self,
        dataset: Dataset,
        *,
        axis: int,
        index: int | None,
        size: int,
        overlay: LabelSet | None = None,
        pyramid: Path | None = None,
    ) -> bytes:
        """A slice as a PNG, with labels over it."""
        asked = {"do": "picture", "dataset": _json(dataset), "axis": axis, "index": index, "size": size}
        asked["overlay"] = overlay and _json(overlay)
        asked["pyramid"] = str(pyramid) if pyramid else None
        return (await self._look(dataset.uri, asked)).data

    async def plane(self, dataset: Dataset, *, axis: int, index: int | None) -> Plane:
        """The values of a slice, as they are."""
        asked = {"do": "plane", "dataset": _json(dataset), "axis": axis, "index": index}
        frame = await self._look(dataset.uri, asked)
        return Plane(tuple(frame.said["found"]["shape"]), frame.said["found"]["dtype"], frame.data)

    async def pyramid(self, dataset: Dataset, place: Path, heard: Heard) -> int:
        """Write the display pyramid of a volume to this place; how many levels it has."""
        asked = {"do": "pyramid", "dataset": _json(dataset), "to": str(place)}
        limits = self._measures._replace(writes=(str(place.parent),))
        return int((await asyncio.wrap_future(self._ask(limits, dataset.uri, asked, heard))).said["found"]["levels"])

    async def quality(self, dataset: Dataset, budget_bytes: int, *, painted: bool, heard: Heard) -> Quality:
        """What its values are like; of labels that are `painted` in this home, what is painted."""
        asked = {"do": "quality", "dataset": _json(dataset), "budget_bytes": budget_bytes, "painted": painted}
        found = await asyncio.wrap_future(self._ask(self._measures, dataset.uri, asked, heard))
        return Quality.model_validate(found.said["found"])

    def take_labels(
        self, dataset: Dataset, path: str, to: Path
    ) -> tuple[Counter[tuple[int, int]], tuple[ClassInfo, ...]]:
        """Copy the labels in a file, count the pixels of each (z, value) above 0, and say which classes it names."""
        asked = {"do": "take_labels", "dataset": _json(dataset), "path": absolute(path), "to": str(to)}
        found = self._ask(self._copies._replace(writes=(str(to.parent),)), path, asked).result().said["found"]
        classes = tuple(ClassInfo.model_validate(one) for one in found["classes"])
        return Counter({(z, value): count for z, value, count in found["painted"]}), classes

    async def _look(self, path: str, asked: Mapping[str, Any]) -> Frame:
        return await asyncio.wrap_future(self._ask(self._looks, path, asked))

    def _ask(self, limits: Limits, path: str, asked: Mapping[str, Any], heard: Heard | None = None) -> Future[Frame]:
        return _lane(limits._replace(urls=is_url(path))).ask(path, asked, heard)


class Plane(NamedTuple):
    """A slice's values in the machine's own byte order, row by row."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes


def absolute(path: str) -> str:
    """The same path from wherever one looks; what cannot be one is the reader's to refuse."""
    if is_url(path):
        return path
    with contextlib.suppress(RuntimeError, ValueError):
        return str(Path(path).expanduser().absolute())
    return path


def _json(record: Dataset | LabelSet) -> dict[str, Any]:
    return record.model_dump(mode="json")


@cache
def _lane(limits: Limits) -> Lane:
    """One for all homes of this process that have the same limits."""
    return Lane(limits)


class Lane:
    """A queue of requests, and as many processes as they need, up to a number."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: deque[Request] = deque()
        self._asked = threading.Condition()
        self._threads = 0
        self._free = 0

    def ask(self, what: str, asked: Mapping[str, Any], heard: Heard | None = None) -> Future[Frame]:
        """Have this done by the next process that is free; `what` is the file's name, for errors."""
        request = Request(asked, what, heard, Future())
        with self._asked:
            if len(self._requests) >= WAITING:
                raise Unavailable("Too many files are being read.", hint="Try again in a while.")
            self._requests.append(request)
            self._asked.notify()
            if self._free < len(self._requests) and self._threads < self._limits.processes:
                self._threads += 1
                threading.Thread(target=self._serve, name="mlex-reading", daemon=True).start()
        return request.found

    def _serve(self) -> None:
        """Be one process's thread, until nobody has asked for a while."""
        process: Process | None = None
        while request := self._next():
            if not request.found.set_running_or_notify_cancel():
                continue
            try:
                process = process or Process(self._limits)
                found = process.ask(request)
            except BaseException as error:
                if process and (process.gone or not isinstance(error, MlexError)):
                    process.end()
                    process = None
                request.found.set_exception(error)
            else:
                request.found.set_result(found)
        if process:
            process.end()

    def _next(self) -> Request | None:
        with self._asked:
            self._free += 1
            self._asked.wait_for(lambda: self._requests, self._limits.idle_s)
            self._free -= 1
            if self._requests:
                return self._requests.popleft()
            self._threads -= 1
            return None


class Process:
    """One reader process."""

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
        self.gone = False

    def ask(self, request: Request) -> Frame:
        """Have one request answered, or an error in words."""
        try:
            self._pipes.send(request.asked)
            while True:
                frame = self._pipes.receive(self._limits.silence_s)
                if "so_far" not in frame.said:
                    break
                if request.heard:
                    request.heard(frame.said["so_far"])
        except TimeoutError:
            self.gone = True
            raise Invalid(
                f"{request.what[:200]!r} was given up: nothing came of it for {self._limits.silence_s:g} s.",
                hint="It may be damaged, or its disk slow; the setting reader_timeout_s says how long to wait.",
            ) from None
        except (EOFError, BrokenPipeError):
            self.gone = True
            raise self._crashed(request.what) from None
        if error := frame.said.get("error"):
            raise ERRORS.get(error["code"], Invalid)(error["message"], hint=error["hint"])
        return frame

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._pipes.close()
        self._popen.kill()
        self._popen.wait()

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


def environment(given: Mapping[str, str], *, urls: bool) -> dict[str, str]:
    """What a reader gets of these variables."""
    begins = ("LC_", *KEPT_FOR_URLS) if urls else ("LC_",)
    kept = {name: value for name, value in given.items() if name in KEPT or name.upper().startswith(begins)}
    return kept | dict.fromkeys((*SINGLE, "PYTHONDONTWRITEBYTECODE"), "1")
