"""What is tried of a network before anybody trains it: shapes, halo, saving, training, a sample.

Each function does one thing with it that a training or a prediction does, on a few synthetic slices, and says in
words what it found, or raises what will not do and how to mend it.

Axes: B batch, C channel or class, H row, W column.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import Contract, build, measure
from mlex_jupyter.learn.own import brought

CLASSES = 3
PICTURE_S, PICTURE_STEPS = 4.0, 60
DIVISORS = (2, 4, 8, 16, 32, 64)


@dataclass
class Trial:
    """One architecture at its defaults, and what has been learnt of it so far."""

    where: str
    promise: Contract
    params: Mapping[str, Any]
    picture: bytes | None = field(default=None)

    @property
    def channels(self) -> int:
        """How many it is given."""
        return self.promise.channels or 1

    @property
    def planes(self) -> int:
        """How many channels it sees at once, with those of neighbouring slices."""
        return self.channels * (2 * (measure(self.where, self.promise.neighbours, self.params) or 0) + 1)

    @property
    def multiple(self) -> int:
        """How sides must divide, as it says."""
        return max(1, measure(self.where, self.promise.divisible_by, self.params) or 1)

    def network(self, seed: int = 0) -> Any:
        """One with fresh weights."""
        import torch

        torch.manual_seed(seed)
        return build(self.where, self.params, channels=self.channels, classes=CLASSES)

    def side(self, least: int = 32) -> int:
        """A side that divides."""
        return -(-least // self.multiple) * self.multiple

    @property
    def ahead(self) -> tuple[int, ...]:
        """How many slices a block has, where it sees blocks and not slices."""
        return (self.side(16),) if self.promise.dims == 3 else ()


# ---------------------------------------------------------------- the checks: each says what it found, or raises


def builds(trial: Trial) -> str:
    """A torch module, with weights."""
    from torch import nn

    network = trial.network()
    if not isinstance(network, nn.Module):
        raise Invalid(f"It returns a {type(network).__name__}.", hint="Return a torch module.")
    learned = network.parameters() if trial.promise.trains == "steps" else network.buffers()
    count = sum(one.numel() for one in learned)
    if not count:
        raise Invalid("It has no weights that could be trained.", hint="Give it at least one layer.")
    return f"{count / 1e6:.2f} M weights" if count >= 10_000 else f"{count} weights"


def shapes(trial: Trial) -> str:
    """Logits of the same rows and columns, for sides that divide as it says."""
    side, step = trial.side(), trial.multiple
    network = trial.network().eval()
    sizes = [(1, side, side), (2, side + step, side), (1, side, side + 3 * step)]
    try:
        for size in sizes:
            _forward(network, trial, *size)
    except Exception as error:
        found = next((one for one in DIVISORS if one != step and _takes(network, trial, one)), None)
        if found is None:
            if isinstance(error, Invalid):
                raise
            raise Invalid(f"{brought.in_words(error)}", hint="It must take any size whose sides divide.") from error
        raise Invalid(
            f"Sides that divide by {step} will not do, as it says; {found} will.",
            hint=f'Say divisible_by="{_rule(found, trial.params)}"',
        ) from error
    less = step // 2
    spare = f"; {less} would do" if step > 1 and _takes(network, trial, less) else ""
    shown = ", ".join(f"{rows} × {columns}" for _, rows, columns in sizes)
    return f"{shown}: sides that divide by {step} work, as it says{spare}"


def _forward(network: Any, trial: Trial, batch: int, rows: int, columns: int) -> Any:
    import torch

    with torch.no_grad():
        logits = network(torch.randn(batch, trial.planes, *trial.ahead, rows, columns))
    wanted = (batch, CLASSES, *trial.ahead, rows, columns)
    if not isinstance(logits, torch.Tensor):
        raise Invalid(f"It gives a {type(logits).__name__}.", hint="Give one tensor of logits.")
    if tuple(logits.shape) != wanted:
        was = " × ".join(map(str, logits.shape))
        raise Invalid(
            f"For {rows} × {columns} pixels and {CLASSES} classes it gives {was}, not {' × '.join(map(str, wanted))}.",
            hint="Pad its convolutions, so that batch, class, row and column come out as they went in.",
        )
    return logits


def _takes(network: Any, trial: Trial, divisor: int) -> bool:
    try:
        least = -(-32 // divisor) | 1  # an odd number of times, so that no larger divisor does it
        _forward(network, trial, 1, least * divisor, (least + 2) * divisor)
    except Exception:
        return False
    return True


def _rule(found: int, params: Mapping[str, Any]) -> str:
    """The divisor by a parameter, where one explains it."""
    levels = int(math.log2(found))
    for name, value in params.items():
        for more in (0, 1):
            if isinstance(value, int) and not isinstance(value, bool) and value == levels + more and value > 1:
                return f"2**({name}-1)" if more else f"2**{name}"
    return str(found)


def halo(trial: Trial) -> str:
    """How far a pixel looks, said and found."""
    from mlex_jupyter.learn.models.reach import reach

    said = measure(trial.where, trial.promise.halo, trial.params)
    found = reach(trial.network(), trial.multiple, trial.planes, trial.promise.dims)
    if found is None:
        if said is not None:
            raise Invalid(f"A pixel looks over the whole slice, not {said} pixels far as it says.", hint="Say no halo.")
        return "A pixel looks over the whole slice: large slices are predicted in blended tiles, not quite exactly"
    if said is None:
        return f"A pixel looks {found} pixels far"
    if found > said:
        raise Invalid(
            f"A pixel looks {found} pixels far, not {said} as it says: tiles would not come out exactly.",
            hint=f'Say halo="{found}", or nothing, and it is found out.',
        )
    return f"A pixel looks {found} pixels far; {said} is said"


def keeps(trial: Trial) -> str:
    """Saved as safetensors and loaded again, it gives the same; and prediction's folding changes nothing."""
    import torch
    from safetensors.torch import load, save

    from mlex_jupyter.learn.models.fold import folded
    from mlex_jupyter.learn.training.state import packed

    first, second = trial.network(seed=1).eval(), trial.network(seed=2)
    content = save(packed(first.state_dict()))
    second.load_state_dict(load(content))
    second.eval()
    image = torch.randn(1, trial.planes, *trial.ahead, trial.side(), trial.side())
    with torch.no_grad():
        before, again, after = first(image), first(image), second(image)
        fast = folded(first)(image)
    if not torch.equal(before, again):
        raise Invalid(
            "Asked twice, it gives two results.",
            hint="Let chance stop where training does: use nn.Dropout, or pass self.training to functional.dropout.",
        )
    if not torch.equal(before, after):
        raise Invalid(
            "Loaded again, it gives other results.",
            hint="Keep all that matters in parameters and buffers (self.register_buffer), not in plain tensors.",
        )
    if not torch.allclose(before, fast, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
        raise Invalid(
            "With batch normalisation folded it gives other results.", hint="Do not share layers in nn.Sequential."
        )
    return f"{len(content) / 1e3:,.0f} kB of safetensors; loaded again, it gives the same to the last bit"


def learns(trial: Trial) -> str:
    """Two training steps give finite losses and move its weights."""
    import torch

    network = trial.network()
    if trial.promise.trains == "once":
        return _at_once(network, trial).rstrip(",")
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    image, target = _synthetic(trial)
    losses = [_step(network, _optimizer(network), image, target) for _ in range(2)]
    if not all(map(math.isfinite, losses)):
        raise Invalid(
            f"Its loss is {losses[0]:g}, then {losses[1]:g}.", hint="Look for a division or a logarithm of zero."
        )
    still = [name for name, one in network.named_parameters() if torch.equal(before[name], one)]
    if len(still) == len(before):
        raise Invalid("Two training steps changed no weight.", hint="Does forward use its layers, without detach()?")
    idle = f"; {len(still)} of {len(before)} never move, {still[0]} among them" if still else ""
    return f"Loss {losses[0]:.3f}, then {losses[1]:.3f}; its weights move{idle}"


def pictures(trial: Trial) -> str:
    """A sample: what it makes of bands and a disc after a few seconds."""
    import torch

    from mlex_jupyter.learn.picture import picture
    from mlex_jupyter.types import ClassInfo

    network = trial.network()
    image, target = _synthetic(trial)
    how = _for_a_moment(network, image, target) if trial.promise.trains == "steps" else _at_once(network, trial)
    network.eval()
    with torch.no_grad():
        found = network(image)[0].argmax(dim=0)
    right = float((found == target[0]).float().mean())
    seen = tuple(slices // 2 for slices in trial.ahead)  # the slice in the middle of a block
    colours = ("#0072b2", "#e69f00", "#009e73")
    classes = [ClassInfo(value=number + 1, name=str(number), color=one) for number, one in enumerate(colours)]
    values = [(one[seen] + 1).to(torch.uint8).numpy() for one in (target[0], found)]
    trial.picture = picture(image[0, 0][seen].numpy(), values[0], values[1], classes)
    return f"{how} on bands and a disc, {right:.0%} of the pixels are right"


def _for_a_moment(network: Any, image: Any, target: Any) -> str:
    begun, steps, optimizer = time.monotonic(), 0, _optimizer(network)
    while steps < PICTURE_STEPS and (steps < 2 or time.monotonic() - begun < PICTURE_S):
        _step(network, optimizer, image, target)
        steps += 1
    return f"After {steps} steps"


def _at_once(network: Any, trial: Trial) -> str:
    """Fit what is trained at once, and say how well it does on what it has not seen."""
    import torch

    image, target = _synthetic(trial)
    loss = network.fit([(image[0].numpy(), target[0].to(torch.uint8).numpy())])
    if not math.isfinite(loss):
        raise Invalid(f"Its loss is {loss:g}.", hint="Its `fit` must return a number.")
    return f"Trained at once, with a loss of {loss:.3f},"


def _synthetic(trial: Trial) -> tuple[Any, Any]:
    """Two noisy slices of bands and a disc, and the class of each pixel."""
    import torch

    side = trial.side(64)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    target_HW = ((rows + columns) // 12 % 2).long()
    target_HW[(rows - side // 2) ** 2 + (columns - side // 3) ** 2 < (side // 5) ** 2] = 2
    generator = torch.Generator().manual_seed(0)
    grey_HW = torch.tensor([-1.0, 0.0, 1.0])[target_HW]
    noise = torch.randn(2, trial.planes, *trial.ahead, side, side, generator=generator)
    return grey_HW + 0.3 * noise, target_HW.expand(2, *trial.ahead, side, side).clone()


def _optimizer(network: Any) -> Any:
    import torch

    return torch.optim.AdamW(network.parameters(), lr=0.01)


def _step(network: Any, optimizer: Any, image: Any, target: Any) -> float:
    from torch.nn import functional

    network.train()
    optimizer.zero_grad()
    loss = functional.cross_entropy(network(image), target)
    if not loss.requires_grad:
        raise Invalid(
            "Its result does not depend on its weights.", hint="Does forward use its layers, without detach()?"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


CHECKS: tuple[tuple[str, Callable[[Trial], str]], ...] = (
    ("Shapes", shapes),
    ("Halo", halo),
    ("Save and load", keeps),
    ("Training", learns),
    ("Sample", pictures),
)
