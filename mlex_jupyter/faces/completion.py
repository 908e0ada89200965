"""What may come next in a line: verbs, options, and the names of what there is.

A shell asks `mlex completion words LINE…` at each Tab; a notebook asks `complete` directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlex_jupyter.errors import MlexError
from mlex_jupyter.faces.arguments import Usage
from mlex_jupyter.faces.outline import outline
from mlex_jupyter.verbs import Verb

if TYPE_CHECKING:
    from mlex_jupyter.faces.grammar import Slot

BASH = """\
_mlex() {
  local IFS=$'\\n'
  COMPREPLY=($(mlex completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _mlex mlex
"""
ZSH = """\
#compdef mlex
_mlex() {
  local -a found
  found=("${(@f)$(mlex completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- $found
}
compdef _mlex mlex
"""

# Which verb lists the names that an argument may have.
LISTED_BY = {
    "data": "data",
    "dataset": "data",
    "model": "models",
    "architecture": "architectures",
    "run": "jobs",
    "after": "jobs",
    "runs": "jobs",
    "experiment": "experiments",
    "parent": "models",
    **dict.fromkeys(
        ("model_versions", "edit_model", "alias", "withdraw_model", "restore_model", "export_model"), "models"
    ),
    "target": "targets",
    "labels": "labels",
}

Listing = Callable[..., Iterable[Any]]
Held = Callable[[Verb, str], Iterable[str]]


def script(words: Sequence[str]) -> str:
    """The answer to `mlex completion …`."""
    if words and words[0] == "words":
        return "\n".join(complete(words[1:], _list))
    scripts = {"bash": BASH, "zsh": ZSH}
    if len(words) != 1 or words[0] not in scripts:
        raise Usage("completion wants `bash` or `zsh`.", hint='In ~/.bashrc: eval "$(mlex completion bash)"')
    return scripts[words[0]]


def nothing(verb: Verb, parameter: str) -> Iterable[str]:
    """A shell holds no objects."""
    return ()


def complete(words: Sequence[str], listing: Listing, held: Held = nothing) -> list[str]:
    """The words that may stand in place of the last one; `held` says which variables an argument may name."""
    *before, last = words or [""]
    return sorted({found for found in _possible(before, last, listing, held) if found.startswith(last)})


def _possible(before: Sequence[str], last: str, listing: Listing, held: Held) -> Iterable[str]:
    from mlex_jupyter.faces.grammar import EVERYWHERE, Takes, dashed, find, slots

    if not before:
        return [*map(dashed, outline()), "help", *(["connect"] if held is not nothing else ["completion", "serve"])]
    if before == ["help"]:
        return map(dashed, outline())
    if before == ["completion"]:
        return ["bash", "zsh"]
    try:
        verb = find(before[0])
    except Usage:
        return []
    places = slots(dashed(verb.name))
    options = {word: slot for slot in places if not slot.positional for word in (slot.word, f"-{slot.letter}")}
    asked = options.get(before[-1])
    if asked is not None and asked.takes is not Takes.NOTHING:
        return [*_values(verb.name, asked, before, listing), *held(verb, asked.name)]
    if last.startswith("-"):
        return [word for word in [*options, *EVERYWHERE] if word.startswith("--")]
    # A word before which no option stands that wants a value.
    wants = [False, *(word in options and options[word].takes is not Takes.NOTHING for word in before[1:])]
    said = sum(not word.startswith("-") and not wanted for word, wanted in zip(before[1:], wants, strict=False))
    places = tuple(slot for slot in places if slot.positional)[said:]
    several = [options[word] for word in before[1:] if word in options][-1:]
    if not places and several and several[0].takes is Takes.MANY:
        return [*_values(verb.name, several[0], before, listing), *held(verb, several[0].name)]
    return [*_values(verb.name, places[0], before, listing), *held(verb, places[0].name)] if places else []


def _values(verb: str, slot: Slot, before: Sequence[str], listing: Listing) -> Iterable[str]:
    if isinstance(slot.type, type) and issubclass(slot.type, Enum):
        return [str(member.value) for member in slot.type]
    lister = LISTED_BY.get(verb if slot.name == "name" else slot.name)
    if slot.name == "model" and verb == "predict":
        return [*_names(listing, "models"), *_names(listing, "jobs")]
    if slot.name == "thing":
        return [name for verb in ("data", "models", "jobs") for name in _names(listing, verb)]
    if lister is None:
        return []
    if lister == "labels":
        data = [value for option, value in pairwise(before) if option == "--data"]
        return _names(listing, "labels", data[-1]) if data else []
    return _names(listing, lister)


def _names(listing: Listing, *call: str) -> list[str]:
    """The names that a verb lists; where it cannot, a Tab shows nothing rather than a complaint."""
    try:
        return [item.name for item in listing(*call)]
    except MlexError:
        return []


def _list(verb: str, *arguments: str) -> Iterable[Any]:
    from mlex_jupyter.sync import public

    found: Iterable[Any] = public(verb)(*arguments)
    return found
