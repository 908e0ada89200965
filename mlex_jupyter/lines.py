"""A line, in a shell or after `%mlex`: `train tunet --data sand-tomo -p epochs=4 --gpus 1 --wait`.

The table of verbs is the grammar. Positional parameters are words, keyword-only ones are options, the fields of a
`Record` are options of their own, a mapping is `-p key=value` as often as wanted, and a `tuple` takes several words.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any

from mlex_jupyter.arguments import Usage, check
from mlex_jupyter.errors import nearest
from mlex_jupyter.types import Record
from mlex_jupyter.verbs import Parameter, Verb, table
from mlex_jupyter.yamls import yaml_value

EVERYWHERE = {"--json": "Print JSON, one document.", "--help": "Say what this verb takes."}


class Takes(Enum):
    """What an option or a word stands for."""

    ONE = auto()
    MANY = auto()
    PAIRS = auto()
    NOTHING = auto()


@dataclass(frozen=True)
class Slot:
    """A place in a line for a value."""

    path: tuple[str, ...]
    """The parameter, and the field of it where it is a Record."""
    takes: Takes
    type: Any
    """Of one value."""
    default: Any
    required: bool
    positional: bool
    letter: str | None = None
    about: str = ""

    @property
    def name(self) -> str:
        """Its last name, which is the one that people see."""
        return self.path[-1]

    @property
    def word(self) -> str:
        """As it is written: `RUN`, `--pixel-size`."""
        return self.name.upper() if self.positional else "--" + dashed(self.name)


@dataclass(frozen=True)
class Line:
    """A line that was understood."""

    verb: Verb
    arguments: dict[str, Any]
    json: bool = False
    help: bool = False
    bind: str | None = None
    """The name that the result is to have in a notebook."""


@dataclass
class _Reading:
    given: dict[tuple[str, ...], Any] = field(default_factory=dict)
    json: bool = False
    help: bool = False
    bind: str | None = None


def dashed(name: str) -> str:
    """`import_labels` as it is typed: `import-labels`."""
    return name.replace("_", "-")


@cache
def verbs() -> dict[str, Verb]:
    """The verbs that a line may begin with."""
    from mlex_jupyter.app import Mlex

    return {dashed(name): verb for name, verb in table(Mlex).items() if verb.shell}


def find(word: str) -> Verb:
    """The verb that a word names."""
    found = verbs().get(dashed(word))
    if found is None:
        raise Usage(f"There is no verb {word!r}.", hint=nearest(dashed(word), verbs()) or "See `mlex --help`.")
    return found


# ---------------------------------------------------------------- the grammar


@cache
def slots(verb_name: str) -> tuple[Slot, ...]:
    """The places in a verb's line, in the order of its signature."""
    verb = verbs()[verb_name]
    return tuple(slot for parameter in verb.parameters for slot in _slots(verb, parameter))


def _slots(verb: Verb, parameter: Parameter) -> list[Slot]:
    kind = _without_none(parameter.type)
    if isinstance(kind, type) and issubclass(kind, Record):
        return [
            _slot(
                (parameter.name, name),
                info.annotation,
                info.get_default(call_default_factory=True),
                about=info.description,
            )
            for name, info in kind.model_fields.items()
        ]
    letter = verb.flags.get(parameter.name)
    return [_slot((parameter.name,), kind, parameter.default, parameter.required, parameter.positional, letter)]


def _slot(
    path: tuple[str, ...],
    annotation: Any,
    default: Any,
    required: bool = False,
    positional: bool = False,
    letter: str | None = None,
    about: str | None = None,
) -> Slot:
    kind = _without_none(annotation)
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        takes, item = Takes.NOTHING, bool
    elif origin is dict:
        takes, item = Takes.PAIRS, inside[1]
    elif origin in (tuple, list):
        takes, item = Takes.MANY, inside[0]
    else:
        takes, item = Takes.ONE, kind
    return Slot(path, takes, item, default, required, positional, letter, about or ABOUT.get(path[-1], ""))


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        left = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return left[0] if len(left) == 1 else annotation
    if typing.get_origin(annotation) is typing.Annotated:
        return _without_none(typing.get_args(annotation)[0])
    return annotation


# What an argument means, wherever it appears. The fields of Records bring their own descriptions.
ABOUT = {
    "after": "Begin when these runs are done.",
    "architecture": "An architecture of the zoo.",
    "argv": "The command; no shell reads it. Put -- before it.",
    "axes": "One letter an axis, in order, as `zyx`.",
    "citation": "How to cite the model.",
    "classes": "What the values mean: '{value: 1, name: pore, color: \"#e69f00\"}', as often as wanted.",
    "data": "A dataset; `mlex data` lists them.",
    "extra": "Anything else that the target takes.",
    "follow": "Go on until the job has ended.",
    "key": "Your own id of this request: asked twice with one key, it is one job.",
    "labels": "A label set of the dataset; `mlex labels DATA` lists them.",
    "license": "The model's licence.",
    "limit": "At most so many.",
    "model": "A model or architecture; `mlex models` lists them.",
    "name": "Its name.",
    "offset": "Where to begin; negative counts from the end.",
    "params": "A parameter, as `epochs=4`; `mlex architecture NAME` lists them.",
    "path": "A file or folder.",
    "pixel_size": "The size of a pixel.",
    "pixel_unit": "The unit of the pixel size, as `um`.",
    "query": "A name with * and ?, or a tag.",
    "retries": "How often to start it again after it vanished.",
    "run": "A run, by id or name; `mlex jobs` lists them.",
    "seed": "Another seed is another volume.",
    "size": "Height and width in pixels.",
    "slices": "How many slices.",
    "state": "Only those that stand so.",
    "tags": "A tag, as often as wanted.",
    "target": "Where it runs; `mlex targets` lists them.",
    "task": "Only those for this task.",
    "texture": "What it looks like: `sand` or `foam`.",
    "timeout_s": "Give up waiting after so many seconds.",
    "title": "A title for people.",
    "version": "A version; left out, the newest.",
    "wait": "Wait until it has ended, and show how it goes.",
}


# ---------------------------------------------------------------- reading


def read(
    words: Sequence[str],
    *,
    body: Mapping[str, Any] | None = None,
    binds: bool = False,
    meant: Callable[[Verb, dict[str, Any]], dict[str, Any]] | None = None,
) -> Line:
    """Understand a line. In a notebook it may have a body, `-o` on every verb, and variables that are `meant`."""
    verb = find(words[0])
    reading = _Reading(given=_body(verb, body or {}))
    _words(verb, words[1:], reading, binds)
    if reading.help:
        return Line(verb, {}, help=True)
    arguments: dict[str, Any] = {}
    for path, value in reading.given.items():
        if len(path) == 2:
            arguments.setdefault(path[0], {})[path[1]] = value
        else:
            arguments[path[0]] = value
    if meant:
        arguments = meant(verb, arguments)
    return Line(verb, check(verb, arguments), json=reading.json, bind=reading.bind)


def _words(verb: Verb, words: Sequence[str], reading: _Reading, binds: bool) -> None:
    options = {name: slot for slot in slots(dashed(verb.name)) if not slot.positional for name in _spellings(slot)}
    places = [slot for slot in slots(dashed(verb.name)) if slot.positional]
    rest = list(words)
    seen: set[tuple[str, ...]] = set()
    while rest:
        word = rest.pop(0)
        if word == "--":
            _place(verb, rest, places, reading, seen)
            return
        if not word.startswith("-") or word == "-":
            if places and places[0].takes is Takes.MANY:
                _place(verb, [word, *rest], places, reading, seen)
                return
            _place(verb, [word], places, reading, seen)
            continue
        option, attached = _split(word, options)
        if option in ("--json", "--help", "-h"):
            reading.json = reading.json or option == "--json"
            reading.help = reading.help or option != "--json"
            continue
        slot = options.get(option)
        if slot is None and not (binds and option == "-o"):
            raise _unknown(verb, option, options, places)
        if slot is not None and slot.takes is Takes.NOTHING:
            if attached is not None:
                raise Usage(f"{option} takes no value.")
            reading.given[slot.path] = True
            continue
        value = _value(option, attached, rest, options)
        if binds and option == "-o":
            reading.bind = value
        if slot is not None:
            _add(slot, option, value, reading, seen)


def _spellings(slot: Slot) -> list[str]:
    return [slot.word, *([f"-{slot.letter}"] if slot.letter else [])]


def _split(word: str, options: Mapping[str, Slot]) -> tuple[str, str | None]:
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return "--" + dashed(option[2:]), value if equals else None
    return word[:2], word[2:].removeprefix("=") or None


def _value(option: str, attached: str | None, rest: list[str], options: Mapping[str, Slot]) -> str:
    if attached is not None:
        return attached
    if not rest or rest[0] in options or rest[0] in EVERYWHERE:
        raise Usage(f"{option} needs a value.")
    return rest.pop(0)


def _add(slot: Slot, option: str, text: str, reading: _Reading, seen: set[tuple[str, ...]]) -> None:
    given = reading.given
    if slot.takes is Takes.PAIRS:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Usage(f"{option} wants key=value, not {text!r}.")
        so_far = given.get(slot.path, {})
        pair = {key: value if slot.type is str else yaml_value(value)}
        given[slot.path] = {**so_far, **pair} if isinstance(so_far, dict) else pair
    elif slot.takes is Takes.MANY:
        given[slot.path] = (*(given.get(slot.path, ()) if slot.path in seen else ()), _item(slot, text))
    elif slot.path in seen:
        raise Usage(f"{option} is given twice.")
    else:
        given[slot.path] = _item(slot, text)
    seen.add(slot.path)


def _item(slot: Slot, text: str) -> Any:
    """A number or a Record is read as YAML; a name stays as it is written."""
    plain = isinstance(slot.type, type) and issubclass(slot.type, int | float | Record)
    return yaml_value(text) if plain else text


def _place(verb: Verb, words: Sequence[str], places: list[Slot], reading: _Reading, seen: set[tuple[str, ...]]) -> None:
    for number, word in enumerate(words):
        if not places:
            takes = " ".join(slot.word for slot in slots(dashed(verb.name)) if slot.positional) or "no words"
            raise Usage(f"{dashed(verb.name)} has no use for {word!r}: it takes {takes}.")
        if places[0].takes is Takes.MANY:
            reading.given[places[0].path] = tuple(words[number:])
            places.pop(0)
            return
        reading.given[places[0].path] = word
        seen.add(places.pop(0).path)


def _unknown(verb: Verb, option: str, options: Mapping[str, Slot], places: Sequence[Slot]) -> Usage:
    hint = nearest(option, [*options, *EVERYWHERE])
    if hint is None and any(slot.takes is Takes.MANY for slot in places):
        hint = "Put -- before a command that has options of its own."
    return Usage(f"{dashed(verb.name)} has no option {option}.", hint=hint or f"See `mlex help {dashed(verb.name)}`.")


def _body(verb: Verb, body: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The arguments of a cell's body, by parameter or, for a Record's fields, by either name."""
    by_name = {slot.name: slot for slot in slots(dashed(verb.name))}
    groups = {slot.path[0] for slot in by_name.values() if len(slot.path) == 2}
    given: dict[tuple[str, ...], Any] = {}
    for key, value in body.items():
        name = str(key).replace("-", "_")
        if name in groups and isinstance(value, Mapping):
            given.update(_body(verb, value))
        elif name in by_name:
            given[by_name[name].path] = tuple(value) if isinstance(value, list) else value
        else:
            hint = nearest(name, [*by_name, *groups]) or f"It takes {', '.join(by_name)}."
            raise Usage(f"{dashed(verb.name)} has no argument {key!r}.", hint=hint)
    return given
