"""Pieces of uploads over HTTP: written while they come, after login, XSRF and permission have been looked at.

Tornado would put each piece together out of many small ones. So for a large one its connection is taken over: what
comes goes from the socket into the file, and then the connection is given back. Small pieces, and those that come
encrypted, are read as every request is.
"""

from __future__ import annotations

import asyncio
from http.client import responses
from typing import TYPE_CHECKING

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import ensure_async
from tornado import web
from tornado.iostream import IOStream, StreamClosedError

from mlex_jupyter.pieces import LARGEST
from mlex_jupyter.server.arriving import POSSIBLE, Arriving
from mlex_jupyter.server.rest import RestHandler

if TYPE_CHECKING:
    from mlex_jupyter.server.extension import Later
    from mlex_jupyter.server.http import Answer
    from mlex_jupyter.server.rest import Question

WORTH_IT = 1 << 20


@web.stream_request_body
class PieceHandler(RestHandler):
    """The one route that large bodies come to."""

    def initialize(self, later: Later) -> None:
        """Nothing has come yet."""
        super().initialize(later)
        self._body = bytearray()
        self._refusal: web.HTTPError | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        """Look who sends it before a byte is kept. A refusal is said when all has come: nobody would read it before."""
        try:
            await super().prepare()
            if self.request.method == "POST":
                await ensure_async(self._allowed())
        except web.HTTPError as error:
            self._refusal = error
            return
        if self.request.method == "POST" and self._is_large():
            await self._take_over()

    async def question(self) -> Question:
        """What is asked, unless that was refused."""
        if self._refusal:
            raise self._refusal
        return await super().question()

    @web.authenticated
    @authorized("write")  # type: ignore[untyped-decorator]
    async def _allowed(self) -> None:
        """Whoever comes here may send it."""

    def data_received(self, chunk: bytes) -> None:
        """Keep it; of what is too large as much as shows that it is."""
        if not self._refusal:
            self._body += chunk[: LARGEST + 1 - len(self._body)]

    def body(self) -> bytes:
        """What came."""
        return bytes(self._body)

    # ------------------------------------------------------------ the connection of one's own

    def _is_large(self) -> bool:
        length = self.request.headers.get("Content-Length", "")
        stream = getattr(self.request.connection, "stream", None)
        plain = type(stream) is IOStream and "Transfer-Encoding" not in self.request.headers
        return POSSIBLE and plain and length.isdecimal() and WORTH_IT <= int(length[:12]) <= LARGEST

    async def _take_over(self) -> None:
        size = int(self.request.headers["Content-Length"])
        ask = await self.question()  # what is wrong with it is said before the connection is ours
        self.update_api_activity()
        stream = self.detach()
        try:
            if self.request.headers.get("Expect", "").lower() == "100-continue":
                await stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            first = await stream.read_bytes(size, partial=True)
        except StreamClosedError:
            return
        connection = stream.socket.dup()
        stream.close()
        connection.setblocking(False)
        piece = Arriving(connection, first, size)
        try:
            answer = await ask(piece)
            while piece.left:  # it was refused; who still sends would not read why
                await piece.ready()
                await asyncio.to_thread(piece.move, None, 0, piece.left)
        except OSError:  # the connection was lost, or nothing comes any more
            connection.close()
            return
        finally:
            piece.close()
        same = {"max_buffer_size": stream.max_buffer_size, "read_chunk_size": stream.read_chunk_size}
        await self._give_back(IOStream(connection, **same), answer)

    async def _give_back(self, stream: IOStream, answer: Answer) -> None:
        """Answer, and let the server read the next request of this connection."""
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        self.set_header("Content-Length", len(answer.body))
        server = self.serverapp
        closing = self.request.headers.get("Connection", "").lower() == "close" or self.request.version == "HTTP/1.0"
        last = server is None or closing
        self.set_header("Connection", "close" if last else "keep-alive")
        head = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
        head += [f"{name}: {value}" for name, value in self._headers.get_all()]
        try:
            address = stream.socket.getpeername()
            await stream.write("\r\n".join(head).encode("latin1") + b"\r\n\r\n" + answer.body)
        except OSError:  # nobody is there any more
            stream.close()
            return
        self.application.log_request(self)
        if server is None or last:
            stream.close()
        else:
            server.http_server.handle_stream(stream, address)
