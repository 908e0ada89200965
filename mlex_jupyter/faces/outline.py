"""The verbs and their lines of help, read from the façade's source without running it.

Importing the façade makes every type, which takes half of the time that `mlex --help` has. A test holds that this is
what `verbs.table` says.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

NOUNS = {
    "data": "Data",
    "uploads": "Uploads",
    "labels": "Labels",
    "predictions": "Predictions",
    "estimates": "Estimates",
    "zoo": "Models",
    "ingest": "Your own networks",
    "jobs": "Jobs",
    "rules": "Rules",
    "experiments": "Experiments",
    "tunings": "Tunings",
    "system": "The system",
}
"""The façade's modules, in the order in which `app.Mlex` takes them together, and how a person calls them."""

TOUR = """
  {0} sample
  {0} train tunet --data sand-tomo --labels scribbles -p epochs=4 -o run --wait
  {0} predict run --data sand-tomo -o seg --wait
  {0} publish run pores-tunet
""".strip("\n")

ELSEWHERE = {
    "mlex": """
mlex serve makes this machine reachable; mlex --server URL VERB … asks another one, with the token of MLEX_TOKEN.
For Tab in bash or zsh: eval "$(mlex completion bash)\"""",
    "%mlex": "\n%mlex connect URL turns to another server, %mlex connect back to this machine.",
}


@dataclass(frozen=True)
class Line:
    """What the source says of one verb."""

    noun: str
    name: str
    help: str
    shell: bool


@cache
def outline() -> dict[str, str]:
    """The help of each verb that a shell or a notebook line may say, in the order of the table."""
    return {line.name: line.help for line in _lines() if line.shell}


@cache
def functions() -> frozenset[str]:
    """The names of all verbs, those that only programs use among them."""
    return frozenset(line.name for line in _lines())


@cache
def _lines() -> tuple[Line, ...]:
    spec = find_spec("mlex_jupyter.facade")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    return tuple(
        Line(noun, member.name, (ast.get_docstring(member) or "").split("\n", 1)[0], not _hidden(mark))
        for noun in NOUNS
        for part in ast.parse((folder / f"{noun}.py").read_bytes()).body
        if isinstance(part, ast.ClassDef)
        for member in part.body
        if isinstance(member, ast.AsyncFunctionDef) and (mark := _mark(member)) is not None
    )


def _mark(function: ast.AsyncFunctionDef) -> ast.Call | None:
    calls = (call for call in function.decorator_list if isinstance(call, ast.Call))
    return next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "verb"), None)


def _hidden(mark: ast.Call) -> bool:
    return any(word.arg == "shell" and ast.unparse(word.value) == "False" for word in mark.keywords)


def _typed(name: str) -> str:
    return name.rstrip("_").replace("_", "-")  # `try_`, since `try` is a word of Python's


def overview(program: str) -> str:
    """The page of all verbs, by what they are about."""
    lines = [line for line in _lines() if line.shell]
    longest = max(len(_typed(line.name)) for line in lines)
    verbs = "\n\n".join(
        "\n".join(
            [
                title,
                *(f"  {_typed(line.name):<{longest}}  {line.help}" for line in lines if line.noun == noun),
            ]
        )
        for noun, title in NOUNS.items()
    )
    more = ELSEWHERE["%mlex" if program.startswith("%") else "mlex"]
    return (
        f"usage: {program} VERB …\n\n{verbs}\n\nBegin with:\n{TOUR.format(program)}\n\n"
        f"{program} VERB --help says what a verb takes. Everywhere: --json.{more}"
    )
