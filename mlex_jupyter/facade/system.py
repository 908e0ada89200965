"""The system: events, targets, and what works here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mlex_jupyter import __version__
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Check, Event, Hello, TargetInfo
from mlex_jupyter.verbs import verb

if TYPE_CHECKING:
    from mlex_jupyter.types import Job


class SystemVerbs(Parts):
    """What can be asked of the system."""

    if TYPE_CHECKING:

        async def job(self, run: str) -> Job:
            """One of the verbs about jobs."""

    @verb("GET", "/events", shell=False)
    async def events(
        self, *, after: int = 0, subject: str | None = None, kind: str | None = None, limit: int = 10_000
    ) -> list[Event]:
        """What happened after an id, oldest first."""
        return await self.event_stream.after(after, subject=subject, kind=kind, limit=limit)

    @verb()
    async def follow(self, run: str | None = None, *, since: int | None = None) -> AsyncIterator[Event]:
        """Tell what happens (to a run), as it happens, until you interrupt it."""
        subject = None if run is None else (await self.job(run)).id
        async for events in self.news((await self.hello()).last_event if since is None else since, subject):
            for event in events:
                yield event

    @verb("GET", "/targets")
    async def targets(self) -> list[TargetInfo]:
        """List the places where jobs run, and what is free there."""
        return [await self.all_targets.get(name).info() for name in self.all_targets.names()]

    @verb("GET", "/hello", shell=False)
    async def hello(self) -> Hello:
        """Who answers here, and the newest event's id."""
        return Hello(
            version=__version__,
            home=str(self.settings.home),
            user=self.settings.user,
            last_event=await self.event_stream.last_id(),
        )

    @verb("GET", "/doctor")
    async def doctor(self, *, repair: bool = False) -> list[Check]:
        """Say what works on this machine, and how to mend what does not."""
        from mlex_jupyter.upkeep.doctor import checks, repaired

        done = [await repaired(self.settings)] if repair else []
        return done + await checks(self.settings)
