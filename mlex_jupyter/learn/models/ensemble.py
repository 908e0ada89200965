"""Several networks of one kind as one: what they agree on is the answer, where they do not is uncertain.

While it trains each crop is one member's, in turn, so that members see different crops and stay different, and a step
costs what a single network's does. Afterwards the logits are those of the members' mean probability, and
`members_logits` gives each one's. Axes: K member, B batch, C channel or class, H row, W column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.learn.models import architecture, build, contract, find_builder, measure
from mlex_jupyter.learn.models.reach import halo
from mlex_jupyter.plugins import entry_points

DIVIDES = 32
"""Sides divide by this for any member, since it is chosen after the contract is made."""


class Ensemble(nn.Module):
    """Members, and whose turn it is."""

    def __init__(self, members: Sequence[nn.Module], halo: int | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.halo = halo
        """How far a pixel looks in the member that looks farthest; None where it is not known."""
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))
        self.turn: Tensor

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The logits of the mean probability; while training, of each picture by the member whose turn it is."""
        if self.training:
            return self._in_turn(x_BCHW)
        return mean_logits(self.members_logits(x_BCHW))

    def members_logits(self, x_BCHW: Tensor) -> Tensor:
        """What each member says."""
        return torch.stack([member(x_BCHW) for member in self.members])

    def _in_turn(self, x_BCHW: Tensor) -> Tensor:
        first, count = int(self.turn), len(self.members)
        whose = [(first + index) % count for index in range(len(x_BCHW))]
        made: list[Tensor | None] = [None] * len(x_BCHW)
        for number, member in enumerate(self.members):
            own = [index for index, of in enumerate(whose) if of == number]
            if own:
                for index, logits_CHW in zip(own, member(x_BCHW[own]), strict=True):
                    made[index] = logits_CHW
        self.turn.fill_((first + len(x_BCHW)) % count)
        return torch.stack([one for one in made if one is not None])


class Apart(nn.Module):
    """An ensemble whose members are told apart: all of their logits as channels, one member's after the other's."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.count = len(ensemble.members)
        self.halo = ensemble.halo

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The logits of every class by every member."""
        return torch.cat([member(x_BCHW) for member in self.ensemble.members], dim=1)


def mean_logits(logits_KBCHW: Tensor) -> Tensor:
    """Logits whose softmax is the mean of the members' softmaxes."""
    return logits_KBCHW.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits_KBCHW))


@architecture(
    title="Ensemble",
    description="Several networks of one kind: better than one, unsure where they differ, as slow as all of them.",
    divisible_by=str(DIVIDES),
    presets={
        "fast": {"members": 3, "size": "fast"},
        "balanced": {"members": 4, "size": "balanced"},
        "best": {"members": 8, "size": "balanced"},
    },
)
def ensemble(
    *,
    channels: int,
    classes: int,
    of: Annotated[
        str, Field(max_length=100, description="The architecture of its members, as unet or smsnet.")
    ] = "unet",
    members: Annotated[int, Field(ge=2, le=32, description="How many. Each sees a share of the crops.")] = 4,
    size: Annotated[
        Literal["fast", "balanced", "best"], Field(description="The members' preset, where they have presets.")
    ] = "balanced",
) -> nn.Module:
    """Build one, each member with fresh weights of its own."""
    where = _where(of)
    promise = contract(find_builder(where))
    params = dict(promise.presets.get(size, {}))
    if promise.dims != 2 or DIVIDES % (measure(where, promise.divisible_by, params) or 1):
        raise Invalid(f"{promise.title} cannot be a member of an ensemble: it does not take slices of any size.")
    built = [build(where, {**params, "graph": number}, channels=channels, classes=classes) for number in range(members)]
    found = [halo(where, params, one, channels) for one in built]
    known = [one for one in found if one is not None]
    return Ensemble(built, max(known) if len(known) == len(found) else None)


def _where(of: str) -> str:
    known = {name: entry.value for name, entry in entry_points("mlex.models").items() if name != "ensemble"}
    if of not in known:
        hint = nearest(of, known) or f"There are {', '.join(known)}."
        raise NotFound(f"No architecture {of!r} is installed that an ensemble could be made of.", hint=hint)
    return known[of]
