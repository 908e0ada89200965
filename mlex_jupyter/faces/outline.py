"""The verbs and their lines of help, read from the façade's source without running it.

Importing the façade makes every type, which takes half of the time that `mlex --help` has. A test holds that this is
what `verbs.table` says.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FACADE = "mlex_jupyter.app"

TOUR = """
  {0} sample
  {0} train tunet --data sand-tomo --labels scribbles -p epochs=4 -o run --wait
  {0} predict run --data sand-tomo -o seg --wait
  {0} publish run pores-tunet
""".strip("\n")


@cache
def outline() -> dict[str, str]:
    """The help of each verb that a shell or a notebook line may say, in the order of the table."""
    return {name: text for name, text, shell in _verbs() if shell}


@cache
def functions() -> frozenset[str]:
    """The names of all verbs, those that only programs use among them."""
    return frozenset(name for name, _, _ in _verbs())


@cache
def _verbs() -> tuple[tuple[str, str, bool], ...]:
    spec = find_spec(FACADE)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_bytes())
    return tuple(
        (member.name, (ast.get_docstring(member) or "").split("\n", 1)[0], not _hidden(mark))
        for part in tree.body
        if isinstance(part, ast.ClassDef)
        for member in part.body
        if isinstance(member, ast.AsyncFunctionDef) and (mark := _mark(member)) is not None
    )


def _mark(function: ast.AsyncFunctionDef) -> ast.Call | None:
    calls = (call for call in function.decorator_list if isinstance(call, ast.Call))
    return next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "verb"), None)


def _hidden(mark: ast.Call) -> bool:
    return any(word.arg == "shell" and ast.unparse(word.value) == "False" for word in mark.keywords)


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
