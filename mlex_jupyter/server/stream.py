"""The events over a WebSocket: `stream?after=ID` sends what came after an event, then what happens, as JSON arrays.

A stream may live for days, so who holds it is asked anew all the while: a token that was revoked, or a Hub's login that
ended, ends it soon. One that came by cookie is ended now and then in any case, since a browser that has logged out
still has it open; whoever may connect again goes on after the last id that it saw, and misses nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import ensure_async
from tornado import websocket

if TYPE_CHECKING:
    from mlex_jupyter.server.extension import Later
    from mlex_jupyter.server.service import Service
    from mlex_jupyter.settings import Settings

EVENT_ID = re.compile("[0-9]{1,18}")
RENEW = 10
"""After so many checks a browser connects again, with the cookies that it has then."""

# Why a stream was closed, for programs; the words beside it are for people.
NO_ID, NOT_ALLOWED, AGAIN, UNKNOWN_ID, TOO_MANY, BROKEN = 4400, 4403, 4408, 4409, 4429, 1011

_open: Counter[str] = Counter()
"""How many streams each person has here."""


class Asker(JupyterHandler):
    """A request once more, to ask who sent it: a handler remembers its own user and would not ask."""


class StreamHandler(WebSocketMixin, websocket.WebSocketHandler, JupyterHandler):
    """One stream."""

    auth_resource = "mlex"

    def initialize(self, later: Later) -> None:
        """Know where the service is."""
        self.later = later
        self._work: list[asyncio.Task[None]] = []
        self._whose: str | None = None

    @ws_authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Upgrade to a WebSocket."""
        await super().get(*args, **kwargs)

    async def open(self, *args: str, **kwargs: str) -> None:
        """Send what happened since, then what happens."""
        super().open(*args, **kwargs)
        self.set_nodelay(True)
        after = self.get_query_argument("after", "")
        if not EVENT_ID.fullmatch(after):
            self.close(NO_ID, "after: the id of an event")
            return
        self._begin(self._stream(int(after)))

    def _begin(self, work: Any) -> None:
        self._work.append(asyncio.create_task(work))

    async def _stream(self, after: int) -> None:
        try:
            service = await self.later.get()
            if self._may_begin(service.mlex.settings) and await self._is_known(service, after):
                self._begin(self._ask_again(service.mlex.settings.stream_check_s))
                await self._send(service, after)
        except websocket.WebSocketClosedError:
            return
        except Exception:
            self.log.exception("The stream of events broke off")
            self.close(BROKEN, "the stream broke off; connect again")

    def _may_begin(self, settings: Settings) -> bool:
        """Count it, unless this person has too many. Who comes with a token has a new name each time."""
        whose = "" if self.token_authenticated else str(self.current_user.username)
        if _open[whose] >= settings.streams:
            self.close(TOO_MANY, f"there are {settings.streams} streams already")
            return False
        self._whose = whose
        _open[whose] += 1
        return True

    async def _is_known(self, service: Service, after: int) -> bool:
        """An id that is not there yet is of another home, and what happens here would be passed over."""
        if after <= (newest := await service.mlex.event_stream.last_id()):
            return True
        self.close(UNKNOWN_ID, f"there is no event {after}; the newest is {newest}")
        return False

    async def _send(self, service: Service, after: int) -> None:
        """One batch at a time: what a slow reader has not taken yet is not read from the database either."""
        async for batch in service.stream(after):
            try:
                await asyncio.wait_for(self.write_message(batch), service.mlex.settings.stream_slow_s)
            except TimeoutError:
                self.close(AGAIN, "too slow; connect again")
                return

    # ------------------------------------------------------------ who holds it

    async def _ask_again(self, every_s: float) -> None:
        begun = time.monotonic()
        while True:
            await asyncio.sleep(every_s)
            if not await self._still_may():
                self.close(NOT_ALLOWED, "log in again")
                return
            if not self.token_authenticated and time.monotonic() - begun > RENEW * every_s:
                self.close(AGAIN, "connect again")
                return

    async def _still_may(self) -> bool:
        """Ask for the user, and what it may, as for a new request; where nobody can say, the answer of before holds."""
        asker = Asker(self.application, self.request)
        try:
            user = await ensure_async(self.identity_provider.get_user(asker))
            if user is None:
                return False
            asker.current_user = user
            return bool(await ensure_async(self.authorizer.is_authorized(asker, user, "read", self.auth_resource)))
        except Exception as error:
            self.log.warning("Who holds a stream of events could not be asked: %s", error)
            return True

    def on_message(self, message: str | bytes) -> None:
        """The stream goes one way: whatever is sent is passed over."""

    def on_close(self) -> None:
        """Stop all that is done for it."""
        super().on_close()
        for task in self._work:
            task.cancel()
        if self._whose is not None:
            _open[self._whose] -= 1
            self._whose = None
