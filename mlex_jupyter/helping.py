"""Help: all verbs in a page, or one verb with what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlex_jupyter.outline import outline

if TYPE_CHECKING:
    from mlex_jupyter.lines import Slot
    from mlex_jupyter.verbs import Verb

TOUR = """
  {0} sample
  {0} train tunet --data sand-tomo --labels scribbles -p epochs=4 -o run --wait
  {0} predict run --data sand-tomo -o seg --wait
  {0} publish run pores-tunet
""".strip("\n")


def overview(program: str) -> str:
    """The page of all verbs."""
    known = {name.replace("_", "-"): text for name, text in outline().items()}
    longest = max(map(len, known))
    verbs = "\n".join(f"  {name:<{longest}}  {text}" for name, text in known.items())
    more = "" if program.startswith("%") else '\nFor Tab in bash or zsh: eval "$(mlex completion bash)"'
    return (
        f"usage: {program} VERB …\n\n{verbs}\n\nBegin with:\n{TOUR.format(program)}\n\n"
        f"{program} VERB --help says what a verb takes. Everywhere: --json.{more}"
    )


def verb_help(verb: Verb, program: str) -> str:
    """The page of one verb."""
    from mlex_jupyter.lines import EVERYWHERE, dashed, slots

    places = slots(dashed(verb.name))
    rows = [(_written(slot), _about(slot)) for slot in sorted(places, key=lambda slot: not slot.positional)]
    rows += EVERYWHERE.items()
    longest = max(len(word) for word, _ in rows)
    usage = " ".join([program, dashed(verb.name), *_usage(places)])
    return "\n".join([f"usage: {usage}", "", verb.help, "", *(f"  {word:<{longest}}  {about}" for word, about in rows)])


def _usage(places: tuple[Slot, ...]) -> list[str]:
    from mlex_jupyter.lines import Takes

    words = []
    for slot in sorted(places, key=lambda slot: not slot.positional):
        if slot.positional:
            word = f"-- {slot.word} …" if slot.takes is Takes.MANY else slot.word
            words.append(word if slot.required else f"[{word}]")
    required = [f"{slot.word} {_value(slot)}" for slot in places if slot.required and not slot.positional]
    optional = ["[options]"] if any(not slot.required and not slot.positional for slot in places) else []
    rest = [word for word in words if word.startswith("-- ")]
    return [*(word for word in words if word not in rest), *required, *optional, *rest]


def _written(slot: Slot) -> str:
    from mlex_jupyter.lines import Takes

    if slot.positional:
        return slot.word
    letter = f"-{slot.letter}, " if slot.letter else ""
    return f"{letter}{slot.word}" + ("" if slot.takes is Takes.NOTHING else f" {_value(slot)}")


def _value(slot: Slot) -> str:
    from enum import Enum

    from mlex_jupyter.lines import Takes

    if slot.takes is Takes.PAIRS:
        return "KEY=VALUE"
    if isinstance(slot.type, type) and issubclass(slot.type, Enum):
        return "|".join(str(member.value) for member in slot.type)
    names = {int: "N", float: "X"}
    return names.get(slot.type) or slot.name.removesuffix("_s").upper()


def _about(slot: Slot) -> str:
    from mlex_jupyter.lines import Takes

    if slot.required:
        return slot.about if slot.positional else f"{slot.about} Needed."
    if slot.takes is Takes.ONE and slot.default not in (None, ""):
        return f"{slot.about} [{getattr(slot.default, 'value', slot.default)}]"
    return slot.about
