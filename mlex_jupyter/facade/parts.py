"""The parts under the façade, each made when it is first asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlex_jupyter.catalog import Catalog
    from mlex_jupyter.catalog.checksums import Checksums
    from mlex_jupyter.catalog.displays import Displays
    from mlex_jupyter.catalog.inspections import Inspections
    from mlex_jupyter.catalog.lineage import Ancestry
    from mlex_jupyter.catalog.uploads import Uploads
    from mlex_jupyter.events import Events
    from mlex_jupyter.jobs import Jobs
    from mlex_jupyter.jobs.rules import Rules
    from mlex_jupyter.jobs.tunings import Tunings
    from mlex_jupyter.labels import Labels
    from mlex_jupyter.settings import Settings
    from mlex_jupyter.store import Store
    from mlex_jupyter.targets import Targets
    from mlex_jupyter.types import Event
    from mlex_jupyter.zoo import Zoo
    from mlex_jupyter.zoo.architectures import Architectures
    from mlex_jupyter.zoo.exchange.entries import Entries
    from mlex_jupyter.zoo.exchange.foreign import Foreigners
    from mlex_jupyter.zoo.exchange.packages import Packages
    from mlex_jupyter.zoo.sources import Sources

log = logging.getLogger(__name__)


class Parts:
    """One home's database, and what stands on it."""

    def __init__(self, settings: Settings | None = None) -> None:
        from mlex_jupyter.settings import Settings

        self.settings = settings or Settings.load()

    @cached_property
    def store(self) -> Store:
        """The database of this home."""
        from mlex_jupyter.store import Store

        return Store.open(self.settings)

    @cached_property
    def event_stream(self) -> Events:
        """What happened."""
        from mlex_jupyter.events import Events

        return Events(self.store)

    @cached_property
    def catalog(self) -> Catalog:
        """The datasets."""
        from mlex_jupyter.catalog import Catalog

        return Catalog(self.store, self.settings)

    @cached_property
    def all_uploads(self) -> Uploads:
        """The files on their way."""
        from mlex_jupyter.catalog.uploads import Uploads

        return Uploads(self.settings, self.catalog)

    @cached_property
    def displays(self) -> Displays:
        """The volumes that are quick to look at."""
        from mlex_jupyter.catalog.displays import Displays

        return Displays(self.settings)

    @cached_property
    def ancestry(self) -> Ancestry:
        """What was made from what."""
        from mlex_jupyter.catalog.lineage import Ancestry

        return Ancestry(self.store, self.settings.user)

    @cached_property
    def checksums(self) -> Checksums:
        """Whether files are what they were."""
        from mlex_jupyter.catalog.checksums import Checksums

        return Checksums(self.settings, self.catalog)

    @cached_property
    def inspections(self) -> Inspections:
        """What the values of volumes are like."""
        from mlex_jupyter.catalog.inspections import Inspections

        return Inspections(self.settings)

    @cached_property
    def label_sets(self) -> Labels:
        """The label sets."""
        from mlex_jupyter.labels import Labels

        return Labels(self.store, self.settings, self.catalog)

    @cached_property
    def zoo(self) -> Zoo:
        """The published models."""
        from mlex_jupyter.zoo import Zoo

        return Zoo(self.store, self.settings, self.architecture_list)

    @cached_property
    def packages(self) -> Packages:
        """Models in packages of bioimage.io."""
        from mlex_jupyter.zoo.exchange.packages import Packages

        return Packages(self.zoo, self.settings)

    @cached_property
    def foreigners(self) -> Foreigners:
        """Weights of other programs."""
        from mlex_jupyter.zoo.exchange.foreign import Foreigners

        return Foreigners(self.zoo, self.settings)

    @cached_property
    def exchange_entries(self) -> Entries:
        """Entries of MLExchange."""
        from mlex_jupyter.zoo.exchange.entries import Entries

        return Entries(self.store, self.settings)

    @cached_property
    def architecture_list(self) -> Architectures:
        """The kinds of network."""
        from mlex_jupyter.zoo.architectures import Architectures

        return Architectures(self.settings, self.sources)

    @cached_property
    def sources(self) -> Sources:
        """The architectures that people brought as source."""
        from mlex_jupyter.zoo.sources import Sources

        return Sources(self.store, self.settings)

    @cached_property
    def job_list(self) -> Jobs:
        """The jobs."""
        from mlex_jupyter.jobs import Jobs

        return Jobs(self.store, self.settings, self.catalog, self.label_sets, self.zoo, self.all_targets)

    @cached_property
    def tuning_list(self) -> Tunings:
        """Searches for the best parameters."""
        from mlex_jupyter.jobs.tunings import Tunings

        return Tunings(self.store, self.job_list)

    @cached_property
    def rule_list(self) -> Rules:
        """On what event, which job."""
        from mlex_jupyter.jobs.rules import Rules

        return Rules(self.store, self.settings)

    async def tell_rules(self) -> None:
        """Something has happened that is no job: see to it that somebody looks, where there are rules."""
        if await self.rule_list.any():
            self.keep_moving()

    @cached_property
    def all_targets(self) -> Targets:
        """The places where jobs run."""
        from mlex_jupyter.targets import Targets

        return Targets(self.settings)

    def keep_moving(self) -> None:
        """See to it that a supervisor is there. What was acknowledged stays so if none can be started just now."""
        from mlex_jupyter.lease import ensure_supervisor

        try:
            ensure_supervisor(self.settings)
        except OSError as error:
            log.warning("No supervisor could be started, and jobs wait until one can: %s", error)

    # ------------------------------------------------------------ what verbs without a route may use besides verbs

    def here(self) -> str | None:
        """The folder where the caller stands, if the engine can see it."""
        return os.getcwd()

    async def changed(self, within_s: float) -> None:
        """Wait until something has happened, but no longer than this."""
        self.keep_moving()
        await self.store.changed(within_s)

    def news(self, after: int, subject: str | None = None) -> AsyncIterator[list[Event]]:
        """Batches of events after an id, as they happen, for ever."""
        return self.event_stream.follow(after, subject=subject)

    def check_place(self, path: str) -> None:
        """Refuse a path outside of the folders that are allowed here."""
        from mlex_jupyter.data.places import Policy

        Policy.of(self.settings).check(path)

    def close(self) -> None:
        """Let go of files and threads."""
        if "store" in self.__dict__:
            self.store.close()
