"""Networks that can be trained: each is a builder, a function that returns a torch module, with a contract.

    @architecture(title="Plain U-Net", description="…", divisible_by="2**(depth-1)", halo="6*2**(depth-1)")
    def unet(*, channels: int, classes: int, depth: Annotated[int, Field(ge=2, le=6)] = 4) -> nn.Module: ...

The module takes float32 slices as batch, channel, row, column and returns logits of the same rows and columns; with
`dims=3` blocks of slices, as batch, channel, slice, row, column.
A package brings its own by an entry point of the group `mlex.models`; what a person can set in the form is what
stands in the builder's signature. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mlex_jupyter.errors import Invalid, NotFound

if TYPE_CHECKING:
    from torch import nn

Builder = TypeVar("Builder", bound=Callable[..., Any])
GIVEN = ("channels", "classes")
"""What the data decides, and no form asks for."""
LAST = 50
"""Where an architecture stands in lists that says nothing of it."""


@dataclass(frozen=True)
class Contract:
    """What a builder's networks promise."""

    title: str
    description: str
    divisible_by: str
    """How a slice's sides must divide, by the parameters: `2**(depth-1)`. Padding is automatic."""
    halo: str | None
    """How far a pixel looks, by the parameters. Where it is not said it is found out, which takes a second."""
    channels: int | None
    """How many channels it takes, or None for any number."""
    finite_halo: bool = True
    """False where a pixel sees the whole slice, as through instance normalisation. Without a rule it is found out."""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters that go together, by name: `{"fast": {"depth": 3}}`."""
    dims: int = 2
    """2 for slices; 3 for blocks of slices, as batch, channel, slice, row, column."""
    neighbours: str = "0"
    """How many slices above and below it takes as further channels, by the parameters."""
    place: int = LAST
    """Where it stands in lists: those with low numbers come first, since they are what to try first."""
    encodes: bool = False
    """Whether its networks have `encode`, each level's features on the way down, and so can learn without labels."""
    trains: Literal["steps", "once"] = "steps"
    """By steps along a gradient, or at once, by its own `fit(slices, seed=…, jobs=…)`, which returns a loss."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What its training has for defaults, where those of others do not suit it: `{"patch": 48}`."""


def architecture(
    *,
    title: str,
    description: str = "",
    divisible_by: str = "1",
    halo: str | None = None,
    channels: int | None = None,
    finite_halo: bool = True,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    dims: int = 2,
    neighbours: str = "0",
    place: int = LAST,
    encodes: bool = False,
    trains: Literal["steps", "once"] = "steps",
    training: Mapping[str, Any] | None = None,
) -> Callable[[Builder], Builder]:
    """Mark a function as a builder of networks."""

    def mark(builder: Builder) -> Builder:
        builder.__mlex__ = Contract(  # type: ignore[attr-defined]
            title,
            description,
            divisible_by,
            halo,
            channels,
            finite_halo,
            presets or {},
            dims,
            neighbours,
            place,
            encodes,
            trains,
            training or {},
        )
        return builder

    return mark


def contract(builder: Callable[..., Any]) -> Contract:
    """The contract of a builder."""
    found = getattr(builder, "__mlex__", None)
    if not isinstance(found, Contract):
        raise Invalid(
            f"{builder.__qualname__} has no contract.",
            hint="Decorate it with `@architecture(title=…)` from mlex_jupyter.learn.models.",
        )
    return found


def find_builder(where: str) -> Callable[..., Any]:
    """The builder behind `module:function`."""
    module, _, name = where.partition(":")
    try:
        found: Any = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise NotFound(
            f"The architecture {where} cannot be loaded here: {error}.",
            hint="Install the package that it comes from where the job runs.",
        ) from error
    if not callable(found):
        raise Invalid(f"The architecture {where} is not a function.")
    return found  # type: ignore[no-any-return]


def build(where: str, params: Mapping[str, Any], *, channels: int, classes: int) -> nn.Module:
    """A network with fresh weights; parameters that are not the builder's own are left aside."""
    builder = find_builder(where)
    network: nn.Module = builder(**_own(builder, params), channels=channels, classes=classes)
    return network


@dataclass(frozen=True)
class Wants:
    """What a network wants of what it is given."""

    multiple: int = 1
    """Sides divide by this."""
    neighbours: int = 0
    """So many slices above and below are further channels."""
    dims: int = 2
    """2 for slices, 3 for blocks of slices."""


def wants(where: str, params: Mapping[str, Any]) -> Wants:
    """What the network of this builder and these parameters wants."""
    promise = contract(find_builder(where))
    multiple, neighbours = (measure(where, rule, params) for rule in (promise.divisible_by, promise.neighbours))
    return Wants(multiple or 1, neighbours or 0, promise.dims)


def channels_of(network: nn.Module) -> int:
    """How many channels a network takes, those of neighbouring slices among them."""
    said = getattr(network, "channels", None)
    return said if isinstance(said, int) else int(next(iter(network.parameters())).shape[1])


def measure(where: str, rule: str | None, params: Mapping[str, Any]) -> int | None:
    """What a contract's expression (`6*2**(depth-1)`) comes to with these parameters."""
    if rule is None:
        return None
    builder = find_builder(where)
    defaults = {name: one.default for name, one in inspect.signature(builder).parameters.items()}
    return evaluate(rule, {**defaults, **_own(builder, params)})


def _own(builder: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    known = set(inspect.signature(builder).parameters) - set(GIVEN)
    return {name: value for name, value in params.items() if name in known}


OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
}


def evaluate(rule: str, values: Mapping[str, Any]) -> int:
    """Work out a small expression of whole numbers and parameters; nothing else is understood."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if isinstance(values.get(name), int):
                return int(values[name])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return int(OPERATORS[type(op)](value(left), value(right)))
        raise Invalid(f"The rule {rule!r} of an architecture cannot be worked out.")

    return value(ast.parse(rule, mode="eval").body)
