"""Frames: how a reader process and its caller talk, over two pipes: a JSON object each, then bytes as they are.

Most answers' bytes lie in memory that both share, which is quicker. It is sealed: were it possible to make it shorter,
a process that a file has taken over could make its caller crash. Whoever receives takes a copy, so that nothing
changes under it; there are two halves, so that the next answer can be put into one while the other is copied.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import struct
import time
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

HEAD = struct.Struct(">IQQQ")
"""The lengths of what is said, of the bytes behind it, and where and how many there are in the shared memory."""
LARGEST_SAID = 1 << 24
PIPE_BYTES = 1 << 20
"""A slice of 1024² bytes in one go; the kernel's own default is a sixteenth."""
SAID_AT_ONCE = 1 << 15
"""So much fits into an empty pipe, however small."""

HALF = 1 << 25
"""What is longer goes through the pipe. Memory is taken only when it is first used."""
SHARED_BYTES = 2 * HALF


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


Coming = Generator[None, None, Frame]
"""A frame that comes piece by piece: it stops where the next piece is not there yet, and returns the whole."""


class Pipes:
    """One end of the conversation."""

    def __init__(self, incoming: int, outgoing: int, shared: int, largest: int) -> None:
        """The descriptors to read from, to write to, and of the memory that both share, which are closed with this.

        Whoever sends more than `largest` bytes is not believed.
        """
        self._shared = mmap.mmap(shared, SHARED_BYTES)
        os.close(shared)
        self._halves = [memoryview(self._shared)[begin : begin + HALF] for begin in (0, HALF)]
        self._starts = [ctypes.addressof(ctypes.c_char.from_buffer(half)) for half in self._halves]
        self._half = 0
        self.incoming = incoming
        self._outgoing = outgoing
        self._largest = largest
        self._ready = select.poll()
        self._ready.register(incoming, select.POLLIN)
        self._free = select.poll()
        self._free.register(outgoing, select.POLLOUT)
        self._coming = self._next()
        for end in (incoming, outgoing):
            os.set_blocking(end, False)
            with contextlib.suppress(OSError):  # more than this user's share: then in smaller pieces
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def room(self) -> memoryview:
        """Shared memory for the next bytes to be sent; what is put at its beginning need not be copied there."""
        return self._halves[self._half]

    def send(self, said: Mapping[str, Any], data: bytes | memoryview = b"") -> None:
        """Say this."""
        text = to_json(said)
        size = len(data)
        if not 0 < size <= HALF:
            self._write(HEAD.pack(len(text), size, 0, 0) + text)
            self._write(data)
            return
        if not self._is_there(data):
            self.room()[:size] = data
        self._write(HEAD.pack(len(text), 0, self._half * HALF, size) + text)
        self._half = 1 - self._half

    def send_at_once(self, text: bytes) -> None:
        """Say this JSON without waiting: the pipe is empty, or its other end is not what it should be."""
        with contextlib.suppress(BlockingIOError):
            if os.write(self._outgoing, HEAD.pack(len(text), 0, 0, 0) + text) == HEAD.size + len(text):
                return
        raise BrokenPipeError

    def receive(self, within_s: float | None = None) -> Frame:
        """What the other says next: EOFError where it is gone, TimeoutError, ValueError for what is no frame."""
        until = None if within_s is None else time.monotonic() + within_s
        while (frame := self.take()) is None:
            if not self._ready.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError
        return frame

    def take(self) -> Frame | None:
        """What the other says next, once all of it is there; it never waits."""
        try:
            next(self._coming)
        except StopIteration as came:
            self._coming = self._next()
            frame: Frame = came.value
            return frame
        return None

    def _next(self) -> Coming:
        said_bytes, data_bytes, begin, shared_bytes = HEAD.unpack((yield from self._read(HEAD.size)))
        if said_bytes > LARGEST_SAID or data_bytes > self._largest or begin + shared_bytes > SHARED_BYTES:
            raise ValueError("A frame is larger than any should be.")
        said = from_json((yield from self._read(said_bytes)))
        if not isinstance(said, dict):
            raise ValueError("A frame is no object.")
        if shared_bytes:
            return Frame(said, self._shared[begin : begin + shared_bytes])
        return Frame(said, bytes((yield from self._read(data_bytes))))

    def waiting(self) -> bool:
        """Whether the other has begun to say something."""
        return bool(self._ready.poll(0))

    def close(self) -> None:
        """Say nothing more."""
        os.close(self._outgoing)
        os.close(self.incoming)
        for half in self._halves:
            half.release()
        self._shared.close()

    def _is_there(self, data: bytes | memoryview) -> bool:
        writable = isinstance(data, memoryview) and not data.readonly
        return writable and ctypes.addressof(ctypes.c_char.from_buffer(data)) == self._starts[self._half]

    def _write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._outgoing, left) :]
            except BlockingIOError:
                self._free.poll()

    def _read(self, size: int) -> Generator[None, None, bytearray]:
        data = bytearray(size)
        left = memoryview(data)
        while left:
            try:
                count = os.readv(self.incoming, [left])
            except BlockingIOError:
                yield
                continue
            if count == 0:
                raise EOFError
            left = left[count:]
        return data
