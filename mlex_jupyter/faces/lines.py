"""A line, in a shell or after `%mlex`: `train tunet --data sand-tomo -p epochs=4 --gpus 1 --wait`, understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlex_jupyter.errors import nearest
from mlex_jupyter.faces.arguments import Usage, check
from mlex_jupyter.faces.grammar import EVERYWHERE, Slot, Takes, dashed, find, slots
from mlex_jupyter.types import Record
from mlex_jupyter.verbs import Verb
from mlex_jupyter.yamls import yaml_value


@dataclass(frozen=True)
class Line:
    """A line that was understood."""

    verb: Verb
    arguments: dict[str, Any]
    json: bool = False
    help: bool = False
    bind: str | None = None
    """The name that the result is to have in a notebook."""


def read(
    words: Sequence[str],
    *,
    body: Mapping[str, Any] | None = None,
    binds: bool = False,
    meant: Callable[[Verb, dict[str, Any]], dict[str, Any]] | None = None,
) -> Line:
    """Understand a line. In a notebook it may have a body, `-o` on every verb, and variables that are `meant`."""
    if words[0] == "--json" and len(words) > 1:
        words = [words[1], words[0], *words[2:]]
    reader = _Reader(find(words[0]), binds)
    reader.given.update(reader.body(body or {}))
    reader.line(words[1:])
    if reader.help:
        return Line(reader.verb, {}, help=True)
    arguments = reader.arguments()
    checked = check(reader.verb, meant(reader.verb, arguments) if meant else arguments)
    return Line(reader.verb, checked, json=reader.json, bind=reader.bind)


class _Reader:
    """What has been read so far of one line."""

    def __init__(self, verb: Verb, binds: bool) -> None:
        self.verb = verb
        self.word = dashed(verb.name)
        self.binds = binds
        self.slots = slots(self.word)
        self.options = {name: slot for slot in self.slots if not slot.positional for name in _spellings(slot)}
        self.places = [slot for slot in self.slots if slot.positional]
        self.given: dict[tuple[str, ...], Any] = {}
        self.seen: set[tuple[str, ...]] = set()
        self.json = False
        self.help = False
        self.bind: str | None = None
        self.last: Slot | None = None
        """The option before, where it takes several words."""

    def arguments(self) -> dict[str, Any]:
        """What was given, by parameter; the fields of a Record are gathered again."""
        arguments: dict[str, Any] = {}
        for (name, *inner), value in self.given.items():
            if inner:
                arguments.setdefault(name, {})[inner[0]] = value
            else:
                arguments[name] = value
        return arguments

    # ------------------------------------------------------------ a line

    def line(self, words: Sequence[str]) -> None:
        """Take the words in, one after the other."""
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return self._take(rest)
            if word.startswith("-") and word != "-":
                self._option(word, rest)
            elif self.places and self.places[0].takes is Takes.MANY:
                return self._take([word, *rest])
            elif not self.places and self.last is not None:
                self._add(self.last, "", word)
            else:
                self._take([word])

    def _take(self, words: Sequence[str]) -> None:
        """Put words where words belong; the last place may be for all that follow."""
        for number, word in enumerate(words):
            if not self.places:
                takes = " ".join(slot.word for slot in self.slots if slot.positional) or "no words"
                raise Usage(f"{self.word} has no use for {word!r}: it takes {takes}.")
            place = self.places.pop(0)
            if place.takes is Takes.MANY:
                self.given[place.path] = tuple(words[number:])
                return
            self.given[place.path] = word

    def _option(self, word: str, rest: list[str]) -> None:
        option, attached = _split(word)
        slot = self.options.get(option)
        self.last = slot if slot is not None and slot.takes is Takes.MANY else None
        if option in ("--json", "--help", "-h"):
            self.json = self.json or option == "--json"
            self.help = self.help or option != "--json"
        elif slot is not None and slot.takes is Takes.NOTHING:
            if attached is not None:
                raise Usage(f"{option} takes no value.")
            self.given[slot.path] = True
        elif slot is not None or (self.binds and option == "-o"):
            value = self._value(option, attached, rest)
            if self.binds and option == "-o":
                self.bind = value
            if slot is not None:
                self._add(slot, option, value)
        else:
            raise self._unknown(option)

    def _value(self, option: str, attached: str | None, rest: list[str]) -> str:
        if attached is not None:
            return attached
        if not rest or rest[0] in self.options or rest[0] in EVERYWHERE:
            raise Usage(f"{option} needs a value.")
        return rest.pop(0)

    def _add(self, slot: Slot, option: str, text: str) -> None:
        before = self.given.get(slot.path)
        if slot.takes is Takes.PAIRS:
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise Usage(f"{option} wants key=value, not {text!r}.")
            pair = {key: value if slot.type is str else yaml_value(value)}
            self.given[slot.path] = {**before, **pair} if isinstance(before, dict) else pair
        elif slot.takes is Takes.MANY:
            self.given[slot.path] = (*(before if before and slot.path in self.seen else ()), _item(slot, text))
        elif slot.path in self.seen:
            raise Usage(f"{option} is given twice.")
        else:
            self.given[slot.path] = _item(slot, text)
        self.seen.add(slot.path)

    def _unknown(self, option: str) -> Usage:
        hint = nearest(option, [*self.options, *EVERYWHERE])
        if hint is None and any(place.takes is Takes.MANY for place in self.places):
            hint = "Put -- before a command that has options of its own."
        return Usage(f"{self.word} has no option {option}.", hint=hint or f"See `mlex help {self.word}`.")

    # ------------------------------------------------------------ a body

    def body(self, body: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
        """The arguments of a cell's body, by parameter or, for a Record's fields, by either name."""
        by_name = {slot.name: slot for slot in self.slots}
        groups = {slot.path[0] for slot in self.slots if len(slot.path) == 2}
        given: dict[tuple[str, ...], Any] = {}
        for key, value in body.items():
            name = str(key).replace("-", "_")
            if name in groups and isinstance(value, Mapping):
                given.update(self.body(value))
            elif name in by_name:
                given[by_name[name].path] = tuple(value) if isinstance(value, list) else value
            else:
                hint = nearest(name, [*by_name, *groups]) or f"It takes {', '.join(by_name)}."
                raise Usage(f"{self.word} has no argument {key!r}.", hint=hint)
        return given


def _spellings(slot: Slot) -> list[str]:
    return [slot.word, *([f"-{slot.letter}"] if slot.letter else [])]


def _split(word: str) -> tuple[str, str | None]:
    """`--gpus=1` and `-pepochs=4` as option and value."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return "--" + dashed(option[2:]), value if equals else None
    return word[:2], word[2:].removeprefix("=") or None


def _item(slot: Slot, text: str) -> Any:
    """A number or a Record is read as YAML; a name stays as it is written."""
    plain = isinstance(slot.type, type) and issubclass(slot.type, int | float | Record)
    return yaml_value(text) if plain else text
