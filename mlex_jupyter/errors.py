"""What can go wrong, in words: what happened, and what to do next.

Every face shows the same two sentences. They become a `Problem` in one place: `types.Problem.of`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""The disk, or somebody's share of it, is full."""


class MlexError(Exception):
    """Something a person can understand and mend."""

    status = 500
    code = "error"
    transient = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFound(MlexError):
    """A name or an id that nothing answers to."""

    status = 404
    code = "not_found"


class Invalid(MlexError):
    """An argument that cannot be meant."""

    status = 400
    code = "invalid"


class Conflict(MlexError):
    """It is no longer, or already, so."""

    status = 409
    code = "conflict"


class Stale(Conflict):
    """What was changed has been changed by somebody else since it was seen; `details` says how it is now."""

    def __init__(self, message: str, *, hint: str | None = None, details: dict[str, JsonValue] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.details = details


class Forbidden(MlexError):
    """Not allowed for this person."""

    status = 403
    code = "forbidden"


class Unavailable(MlexError):
    """A part of the system does not answer at the moment."""

    status = 503
    code = "unavailable"
    transient = True


class JobEnded(MlexError):
    """Somebody waited for a job, and it ended without a result."""

    status = 409
    code = "job_ended"


class TargetError(MlexError):
    """A scheduler, or the machine itself, refused or did not answer."""

    status = 502
    code = "target"

    def __init__(self, message: str, *, hint: str | None = None, transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


def of_system(error: OSError) -> MlexError:
    """What the system refused, in words: a full disk or quota first of all."""
    if error.errno in NO_ROOM:
        return Unavailable("The disk is full; what was saved before is whole.", hint="Free some space and do it again.")
    where = f" ({error.filename})" if error.filename else ""
    return Unavailable(f"The system refused: {error.strerror or error}{where}.", hint="Run `mlex doctor`.")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Say which of the known names is meant: "Did you mean …?"; None when nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"Did you mean {', '.join(near)}?" if near else None
