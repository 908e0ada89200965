"""A piece out of a connection: from the socket into the file, inside the kernel, while the rest of it is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket

from mlex_jupyter.pieces import Piece

POSSIBLE = hasattr(os, "splice")
AT_ONCE = 1 << 20
"""Worth a thread's waking up, and what the pipe between socket and file holds."""
SILENT_S = 120
"""Who sends nothing for so long is gone."""


class Arriving(Piece):
    """So many bytes of a connection, after the first ones that were read with the request's head."""

    def __init__(self, connection: socket.socket, first: bytes, size: int) -> None:
        self.size = size
        self.left = size
        self._connection = connection
        self._first = memoryview(first)
        self._out, self._in = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a person may have so many large pipes
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, AT_ONCE)

    def close(self) -> None:
        """Done with the pipe; the connection is somebody else's."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        os.close(self._out)
        os.close(self._in)

    async def ready(self) -> None:
        """Return when much, or all of the rest, has come."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(self.left, AT_ONCE))
        loop = asyncio.get_running_loop()
        come = asyncio.Event()
        loop.add_reader(self._connection, come.set)
        try:
            async with asyncio.timeout(SILENT_S):
                await come.wait()
        finally:
            loop.remove_reader(self._connection)

    def move(self, target: int | None, at: int, most: int) -> int:
        """Write what has come so far."""
        moved = 0
        while moved < most and (come := self._come(min(most - moved, AT_ONCE))):
            self.left -= come
            self._pour(target, at + moved, come)
            moved += come
        return moved

    def _come(self, most: int) -> int:
        """Have that many bytes at most in the pipe."""
        if self._first:
            come = os.write(self._in, self._first[: min(most, 1 << 12)])
            self._first = self._first[come:]
            return come
        try:
            come = os.splice(self._connection.fileno(), self._in, most, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0
        if come:
            return come
        raise ConnectionResetError(f"the connection ended {self.left} bytes early")

    def _pour(self, target: int | None, at: int, size: int) -> None:
        """Empty the pipe; a file system that cannot take its pages is given copies."""
        while size:
            if target is None:
                poured = len(os.read(self._out, size))
            else:
                try:
                    poured = os.splice(self._out, target, size, offset_dst=at)
                except OSError as error:
                    if error.errno not in (errno.EINVAL, errno.ENOSYS):
                        os.read(self._out, size)  # what comes after it still has to go through
                        raise
                    poured = os.pwrite(target, os.read(self._out, size), at)
            at, size = at + poured, size - poured
