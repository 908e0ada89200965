"""YAML as people mean it: plain values only, where `1e-3` is a number, `on` a word and a date stays text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from mlex_jupyter.errors import Invalid

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
WHOLE = re.compile(r"[-+]?\d+")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core, which are JSON's."""

    yaml_implicit_resolvers = {}  # its own, so that SafeLoader keeps the old ones

    def compose_node(self, parent: Any, index: Any) -> Any:
        """No references: a few lines of them can stand for more than any memory holds."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "references (*name) are not read", mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", WHOLE.pattern, "-+0123456789"),
    ("float", NUMBER.pattern, "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
# SafeLoader reads 010 as octal; people and JSON do not.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))  # type: ignore[arg-type]
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))  # type: ignore[arg-type]


NO_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What the parser raises: its own errors, and Python's for numbers and nestings without end."""


def yaml_value(text: str) -> Any:
    """What a text says: `4` a number, `[1, 2]` a list, anything else itself."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except NO_YAML:
        return text


def yaml_mapping(text: str) -> dict[str, Any]:
    """The keys and values of a cell's body."""
    try:
        found = yaml.load(text, Loader=_Loader) or {}
    except NO_YAML as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        said = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise Invalid(f"The body is no YAML: {where}{getattr(error, 'problem', None) or said}.") from error
    if not isinstance(found, dict):
        raise Invalid("The body wants lines of `key: value`.")
    return found
