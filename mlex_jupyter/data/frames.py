"""Frames: how a reader process and its caller talk, over two pipes: a JSON object each, then bytes as they are."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

HEAD = struct.Struct(">IQ")
LARGEST_SAID = 1 << 24
PIPE_BYTES = 1 << 20
"""A slice of 1024² bytes in one go; the kernel's own default is a sixteenth."""


class Frame(NamedTuple):
    """What was said, and the bytes that came with it."""

    said: dict[str, Any]
    data: bytearray


class Pipes:
    """One end of the conversation."""

    def __init__(self, incoming: int, outgoing: int, largest: int) -> None:
        """The descriptors to read from and to write to; whoever sends more than `largest` bytes is not believed."""
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
        self._write(HEAD.pack(len(text), len(data)) + text)
        self._write(data)

    def receive(self, within_s: float | None = None) -> Frame:
        """What the other says next: EOFError where it is gone, TimeoutError, ValueError for what is no frame."""
        until = None if within_s is None else time.monotonic() + within_s
        said_bytes, data_bytes = HEAD.unpack(self._read(HEAD.size, until))
        if said_bytes > LARGEST_SAID or data_bytes > self._largest:
            raise ValueError("A frame is larger than any should be.")
        said = json.loads(self._read(said_bytes, until))
        if not isinstance(said, dict):
            raise ValueError("A frame is no object.")
        return Frame(said, self._read(data_bytes, until))

    def close(self) -> None:
        """Say nothing more."""
        os.close(self._outgoing)
        os.close(self._incoming)

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
