"""Print docs/reference.md: every verb with its words, options and route, and every setting, from the code itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mlex_jupyter.app import Mlex
from mlex_jupyter.faces.grammar import Slot, Takes, dashed, slots
from mlex_jupyter.settings import Settings
from mlex_jupyter.verbs import Verb, table

HEAD = """\
# Reference

Written by `make docs` from the table of verbs and the settings; a test fails when it is out of date.

A verb is the same in the shell (`mlex train …`), in a notebook (`%mlex train …`) and in Python (`mlex.train(…)`),
where dashes become underscores. Every verb takes `--json`, and can be asked [from elsewhere](remote.md). The routes
stand under `/mlex/api/v1`; the whole contract is in [openapi.json](../server_extension/openapi.json).
"""


def verbs() -> Iterator[str]:
    """A section a verb."""
    yield "\n## Verbs\n"
    for name, verb in table(Mlex).items():
        yield f"\n### {dashed(name)}\n\n{verb.help}\n\n"
        if verb.shell:
            yield f"    {_usage(verb)}\n\n"
        if verb.route:
            yield f"`{verb.route.method} {verb.route.path}`\n"
        if verb.shell and (options := [slot for slot in slots(dashed(name)) if slot.about]):
            yield "\n| | |\n|---|---|\n"
            for slot in options:
                yield f"| `{_spelled(slot)}` | {slot.about}{_default(slot)} |\n"


def _usage(verb: Verb) -> str:
    words = [slot for slot in slots(dashed(verb.name)) if slot.positional]
    options = [slot for slot in slots(dashed(verb.name)) if not slot.positional]
    parts = [slot.word if slot.required else f"[{slot.word}]" for slot in words]
    parts += [f"{slot.word} {slot.name.upper()}" for slot in options if slot.required]
    if any(not slot.required for slot in options):
        parts.append("[OPTIONS]")
    return " ".join(["mlex", dashed(verb.name), *parts])


def _spelled(slot: Slot) -> str:
    letter = f"-{slot.letter}, " if slot.letter else ""
    value = {Takes.NOTHING: "", Takes.PAIRS: " key=value"}.get(
        slot.takes, "" if slot.positional else f" {slot.name.upper()}"
    )
    return f"{letter}{slot.word}{value}"


def _default(slot: Slot) -> str:
    if slot.required or slot.default in (None, "", (), {}, False):
        return ""
    return f" Default: `{slot.default}`."


def settings() -> Iterator[str]:
    """One table."""
    yield "\n## Settings\n\n"
    yield "Looked for in a Jupyter configuration (`c.Mlex.idle_s`), in a variable, then in `<home>/config.yaml`.\n\n"
    yield "| setting | variable | meaning |\n|---|---|---|\n"
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default is None else f" Default: `{field.default}`."
        yield f"| `{name}` | `MLEX_{name.upper()}` | {field.description}{default} |\n"


if __name__ == "__main__":
    sys.stdout.writelines([HEAD, *verbs(), *settings()])
