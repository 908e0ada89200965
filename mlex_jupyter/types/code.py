"""Code that people bring, and what a check of it found."""

from __future__ import annotations

import hashlib

from pydantic import Field

from mlex_jupyter.types.base import Record
from mlex_jupyter.types.system import Check
from mlex_jupyter.types.zoo import Architecture

MODULE = "mlex_source_"
LONGEST = 200_000


class Code(Record):
    """The text of a module, and the name in it that is meant: what travels where others would pickle."""

    name: str = Field("", pattern=r"^([A-Za-z]\w{0,99})?$")
    """A class or function of the text; empty for a script, which is meant as a whole."""
    text: str = Field(min_length=1, max_length=LONGEST)

    @property
    def sha256(self) -> str:
        """What is in it, as a version."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def module(self) -> str:
        """The module that it is where it is loaded; another text is another module."""
        return MODULE + self.sha256[:16]

    @property
    def builder(self) -> str:
        """Where the object stands: `module:name`."""
        return f"{self.module}:{self.name}"


class ModelReport(Record):
    """What a check of an architecture found, in a process of its own."""

    name: str
    ok: bool
    """Whether it can be trained, kept and used."""
    listed: bool = False
    """Whether it stands among the architectures."""
    checks: tuple[Check, ...]
    architecture: Architecture | None = None
    picture: str | None = None
    """A PNG in base64: synthetic labels at the left, what it learned of them in seconds at the right."""
