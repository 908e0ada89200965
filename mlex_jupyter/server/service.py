"""What stands behind the routes: one engine, the table of verbs, the stream, the pictures."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, MlexError, Unavailable, of_system
from mlex_jupyter.pieces import Piece
from mlex_jupyter.server.config import settings_from
from mlex_jupyter.server.http import Answer, Router, as_answer
from mlex_jupyter.server.pictures import picture_of
from mlex_jupyter.types import Event

log = logging.getLogger(__name__)
BEAT_S = 15
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])


class Service:
    """One engine behind HTTP."""

    def __init__(self, mlex: Mlex) -> None:
        self.mlex = mlex
        self.router = Router(mlex)

    @classmethod
    def from_config(cls, config: Any) -> Service:
        """The service that a Jupyter configuration asks for; its database is opened here, in this thread."""
        try:
            mlex = Mlex(settings_from(config))
        except Invalid as error:  # not what somebody asked is wrong, but how the server was set up
            raise Unavailable(error.message, hint=error.hint) from error
        mlex.store.version()
        return cls(mlex)

    async def answer(self, method: str, path: str, query: Mapping[str, Sequence[str]], body: bytes | Piece) -> Answer:
        """Whatever is asked, there is an answer: the result, or a Problem in words."""
        try:
            if method == "GET" and (picture := await picture_of(self.mlex, path, query)):
                return picture
            return await self.router.answer(method, path, query, body)
        except MlexError as error:
            return as_answer(error)
        except OSError as error:
            log.warning("%s %s: %s", method, path, error)
            return as_answer(of_system(error))
        except Exception:
            log.exception("%s %s failed", method, path)
            return as_answer(MlexError("The server failed at this; its log says why.", hint="Run `mlex doctor`."))

    async def stream(self, after: int) -> AsyncIterator[bytes]:
        """The events after an id as JSON arrays, for ever; an empty one where a while brought nothing."""
        async for batch in self.mlex.event_stream.follow(after, beat_s=BEAT_S):
            yield EVENTS.dump_json(batch)

    async def warm_up(self) -> None:
        """Have the architectures described before somebody opens the panel."""
        try:
            await self.mlex.architectures()
        except (MlexError, OSError) as error:
            log.warning("Could not describe the architectures: %s", error)

    async def look_after_jobs(self) -> None:
        """Replace a supervisor that is gone while jobs need one."""
        try:
            if await self.mlex.job_list.unfinished() or await self.mlex.tuning_list.any():
                self.mlex.keep_moving()
        except (MlexError, OSError) as error:
            log.warning("Could not look after the jobs: %s", error)
