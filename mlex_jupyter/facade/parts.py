"""The parts under the façade, each made when it is first asked for."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlex_jupyter.catalog import Catalog
    from mlex_jupyter.events import Events
    from mlex_jupyter.jobs import Jobs
    from mlex_jupyter.labels import Labels
    from mlex_jupyter.settings import Settings
    from mlex_jupyter.store import Store
    from mlex_jupyter.targets import Targets
    from mlex_jupyter.zoo import Zoo

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
    def label_sets(self) -> Labels:
        """The label sets."""
        from mlex_jupyter.labels import Labels

        return Labels(self.store, self.settings, self.catalog)

    @cached_property
    def zoo(self) -> Zoo:
        """Architectures and published models."""
        from mlex_jupyter.zoo import Zoo

        return Zoo(self.store, self.settings)

    @cached_property
    def job_list(self) -> Jobs:
        """The jobs."""
        from mlex_jupyter.jobs import Jobs

        return Jobs(self.store, self.settings, self.catalog, self.label_sets, self.zoo, self.all_targets)

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

    def close(self) -> None:
        """Let go of files and threads."""
        if "store" in self.__dict__:
            self.store.close()
