"""Help on one verb: what it takes, from the places in its line."""

from __future__ import annotations

from enum import Enum

from mlex_jupyter.faces.grammar import EVERYWHERE, Slot, Takes, dashed, slots
from mlex_jupyter.verbs import Verb


def verb_help(verb: Verb, program: str) -> str:
    """The page of one verb."""
    places = slots(dashed(verb.name))
    rows = [(_written(slot), _about(slot)) for slot in sorted(places, key=lambda slot: not slot.positional)]
    rows += EVERYWHERE.items()
    longest = max(len(word) for word, _ in rows)
    usage = " ".join([program, dashed(verb.name), *_usage(places)])
    return "\n".join([f"usage: {usage}", "", verb.help, "", *(f"  {word:<{longest}}  {about}" for word, about in rows)])


def _usage(places: tuple[Slot, ...]) -> list[str]:
    words = [slot for slot in places if slot.positional and slot.takes is not Takes.MANY]
    needed = [f"{slot.word} {_value(slot)}" for slot in places if slot.required and not slot.positional]
    more = ["[options]"] if any(not slot.required and not slot.positional for slot in places) else []
    rest = [f"-- {slot.word} …" for slot in places if slot.positional and slot.takes is Takes.MANY]
    return [*(slot.word if slot.required else f"[{slot.word}]" for slot in words), *needed, *more, *rest]


def _written(slot: Slot) -> str:
    if slot.positional:
        return slot.word
    letter = f"-{slot.letter}, " if slot.letter else ""
    return f"{letter}{slot.word}" + ("" if slot.takes is Takes.NOTHING else f" {_value(slot)}")


def _value(slot: Slot) -> str:
    if slot.takes is Takes.PAIRS:
        return "KEY=VALUE"
    if isinstance(slot.type, type) and issubclass(slot.type, Enum):
        return "|".join(str(member.value) for member in slot.type)
    names = {int: "N", float: "X"}
    return names.get(slot.type) or slot.name.removesuffix("_s").upper()


def _about(slot: Slot) -> str:
    if slot.required:
        several = " One or several." if slot.takes is Takes.MANY else ""
        return slot.about if slot.positional else f"{slot.about}{several} Needed."
    if slot.takes is Takes.ONE and slot.default not in (None, ""):
        return f"{slot.about} [{getattr(slot.default, 'value', slot.default)}]"
    return slot.about
