"""Where jobs run. A target only starts commands and can say how it went; the job folder is the truth."""

from __future__ import annotations

from mlex_jupyter.errors import NotFound, nearest
from mlex_jupyter.plugins import entry_points, load
from mlex_jupyter.settings import Settings
from mlex_jupyter.targets.base import Seen, Target

__all__ = ["Seen", "Target", "Targets"]


class Targets:
    """The targets of this home by name, each made when first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._made: dict[str, Target] = {}

    def names(self) -> list[str]:
        """All that there are."""
        return sorted(entry_points("mlex.targets"))

    def get(self, name: str) -> Target:
        """The target of that name."""
        if name not in self._made:
            if name not in self.names():
                hint = nearest(name, self.names()) or "List them with `mlex targets`."
                raise NotFound(f"There is no target {name!r}.", hint=hint)
            self._made[name] = load("mlex.targets", name)(self.settings)
        return self._made[name]
