"""Code that a person brought: the text of a module, loaded under a name that its content gives.

    <job>/model_source.py      what a training or prediction was asked to build its network with

So `mlex_source_0123456789abcdef:Net` names one text for ever, and a builder that is found by that name is that text.
"""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mlex_jupyter.errors import Invalid, MlexError, NotFound
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.models import Contract, architecture
from mlex_jupyter.types import Code

SOURCE = "model_source.py"


def keep_and_load(code: Code, folder: Path) -> None:
    """Leave the text beside the weights that it belongs to, and load it."""
    write_whole(folder / SOURCE, code.text)
    load(code)


def load(code: Code) -> Any:
    """The class or function that is meant; what fails is said with the line of the text."""
    meant = getattr(_module(code), code.name, None)
    if not callable(meant):
        raise NotFound(f"There is no class or function {code.name!r} in this source.")
    return meant


def load_builder(code: Code) -> Any:
    """`load`, with a contract where the source does not say one."""
    meant = load(code)
    if not isinstance(vars(meant).get("__mlex__"), Contract):
        about = (vars(meant).get("__doc__") or "").strip().splitlines()
        architecture(title=code.name, description=about[0] if about else "")(meant)
    return meant


def _module(code: Code) -> ModuleType:
    if code.module in sys.modules:
        return sys.modules[code.module]
    module = ModuleType(code.module)
    place = f"<{SOURCE} {code.sha256[:8]}>"
    module.__file__ = place
    linecache.cache[place] = (len(code.text), None, code.text.splitlines(keepends=True), place)
    sys.modules[code.module] = module
    try:
        exec(compile(code.text, place, "exec"), vars(module))
    except BaseException as error:
        del sys.modules[code.module]
        if isinstance(error, Exception) and not isinstance(error, MlexError):
            raise Invalid(
                f"The source of {code.name} cannot be loaded: {in_words(error, place)}", hint=_mend(error)
            ) from error
        raise
    return module


def in_words(error: BaseException, place: str = "") -> str:
    """The error in one line, with the line of the source that it came from."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(place or f"<{SOURCE}"):
            line = trace.tb_lineno
        trace = trace.tb_next
    said = (str(error).strip().splitlines() or [""])[0][:300].rstrip(".")
    return f"{type(error).__name__}: {said}{f', in line {line} of the source' if line else ''}."


def _mend(error: Exception) -> str | None:
    if isinstance(error, ModuleNotFoundError):
        return f"Put the code of {error.name} into the cell or file, or install it where jobs run."
    return "Look at that line; the source is read from its first line in a process of its own."
