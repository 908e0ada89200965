"""Frames: how a reader process and its caller talk, over two pipes: a JSON object each, then bytes as they are.

Most answers' bytes lie in memory that both share, which is quicker. It is sealed: were it possible to make it shorter,
a process that a file has taken over could make its caller crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

HEAD = struct.Struct(">IQQ")
LARGEST_SAID = 1 << 24
PIPE_BYTES = 1 << 20
"""A slice of 1024² bytes in one go; the kernel's own default is a sixteenth."""

SHARED_BYTES = 1 << 25
"""What is longer goes through the pipe. Memory is taken only when it is first used."""


def shared_memory() -> int:
    """A descriptor of memory of a fixed size, to be given to another process."""
    descriptor = os.memfd_create("mlex-reading", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SHARED_BYTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor


class Frame(NamedTuple):
    """What was said, and the bytes that came with it."""

    said: dict[str, Any]
    data: bytes


class Pipes:
    """One end of the conversation."""

    def __init__(self, incoming: int, outgoing: int, shared: int, largest: int) -> None:
        """The descriptors to read from, to write to, and of the memory that both share, which are closed with this.

        Whoever sends more than `largest` bytes is not believed.
        """
        self._shared = mmap.mmap(shared, SHARED_BYTES)
        os.close(shared)
        self._incoming = incoming
        self._outgoing = outgoing
        self._largest = largest
        self._ready = select.poll()
        self._ready.register(incoming, select.POLLIN)
        for end in (incoming, outgoing):
            with contextlib.suppress(OSError):  # more than this user's share: then in smaller pieces
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def send(self, said: Mapping[str, Any], data: bytes | memoryview = b"") -> None:
        """Say this."""
        text = json.dumps(said).encode()
        through_memory = 0 < len(data) <= SHARED_BYTES
        if through_memory:
            self._shared[: len(data)] = data
        self._write(HEAD.pack(len(text), *((0, len(data)) if through_memory else (len(data), 0))) + text)
        if not through_memory:
            self._write(data)

    def receive(self, within_s: float | None = None) -> Frame:
        """What the other says next: EOFError where it is gone, TimeoutError, ValueError for what is no frame."""
        until = None if within_s is None else time.monotonic() + within_s
        said_bytes, data_bytes, shared_bytes = HEAD.unpack(self._read(HEAD.size, until))
        if said_bytes > LARGEST_SAID or data_bytes > self._largest or shared_bytes > SHARED_BYTES:
            raise ValueError("A frame is larger than any should be.")
        said = json.loads(self._read(said_bytes, until))
        if not isinstance(said, dict):
            raise ValueError("A frame is no object.")
        return Frame(said, self._shared[:shared_bytes] if shared_bytes else bytes(self._read(data_bytes, until)))

    def close(self) -> None:
        """Say nothing more."""
        os.close(self._outgoing)
        os.close(self._incoming)
        self._shared.close()

    def _write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._outgoing, left) :]

    def _read(self, size: int, until: float | None) -> bytearray:
        data = bytearray(size)
        left = memoryview(data)
        while left:
            if until is not None and not self._ready.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError
            count = os.readv(self._incoming, [left])
            if count == 0:
                raise EOFError
            left = left[count:]
        return data
