"""Try an architecture before anybody trains it: `python -m mlex_jupyter.learn.own.check < request > report`.

    {"name": "unet"}                                  an entry point
    {"name": "net", "code": {"name": …, "text": …}}   source that a person brought

It is built with its default parameters, and `learn.trial` does with it what trainings and predictions do. That
happens in a process of its own, with limits: whatever the code does, there is a report.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from mlex_jupyter.errors import MlexError
from mlex_jupyter.learn.describe import find, of_builder, of_entry_point
from mlex_jupyter.learn.models import GIVEN, contract, find_builder
from mlex_jupyter.learn.own import brought
from mlex_jupyter.learn.own.trial import CHECKS, Trial, builds
from mlex_jupyter.types import Architecture, Check, Code, ModelReport

MEMORY_GB = 8


def report(name: str, code: Code | None) -> ModelReport:
    """All checks, one after the other; where it cannot be built, none of the others."""
    done: list[Check] = []
    described = _checked(done, "Source", lambda: _described(name, code))
    trial = described and _checked(done, "Builds", lambda: _trial(described))
    if trial:
        for title, check in CHECKS:
            _checked(done, title, lambda check=check: check(trial))  # type: ignore[misc]
    return ModelReport(
        name=name,
        ok=bool(trial) and all(check.ok for check in done),
        checks=tuple(done),
        architecture=described or None,
        picture=base64.b64encode(trial.picture).decode() if trial and trial.picture else None,
    )


def _checked(done: list[Check], title: str, work: Callable[[], Any]) -> Any:
    """Do one check, and note in words how it went."""
    try:
        found = work()
        says = found if isinstance(found, str) else _found(found)
        done.append(Check(name=title, ok=True, says=says))
        return found
    except MlexError as error:
        done.append(Check(name=title, ok=False, says=error.message, mend=error.hint))
    except MemoryError:
        says = f"It needs more than {MEMORY_GB} GB for a small slice."
        done.append(Check(name=title, ok=False, says=says, mend="Make it smaller by default."))
    except (Exception, SystemExit) as error:
        done.append(Check(name=title, ok=False, says=brought.in_words(error), mend="Look at that line."))
    return None


def _found(found: Architecture | Trial) -> str:
    if isinstance(found, Trial):
        return builds(found)
    properties: Any = found.params_schema["properties"]
    own = [name for name, about in properties.items() if about["x-group"] == "network"]
    return f"It loads, and can be set by {', '.join(own)}" if own else "It loads, and has no parameters of its own"


def _described(name: str, code: Code | None) -> Architecture:
    if code is None:
        return of_entry_point(find(name))
    return of_builder(
        brought.load_builder(code), name=name, builder=code.builder, distribution="", version=code.sha256[:12]
    )


def _trial(architecture: Architecture) -> Trial:
    builder = find_builder(architecture.builder)
    signature = inspect.signature(builder).parameters
    return Trial(
        architecture.builder,
        contract(builder),
        {name: one.default for name, one in signature.items() if name not in GIVEN},
    )


def main() -> int:
    """Answer one request; whatever the code prints goes to standard error."""
    import resource

    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_GB << 30, MEMORY_GB << 30))
    code = None if asked.get("code") is None else Code.model_validate(asked["code"])
    out.write(report(asked["name"], code).model_dump_json())
    out.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
