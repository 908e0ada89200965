"""What every type is made of: frozen records, names, and how what people give is checked."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlex_jupyter.errors import Invalid, MlexError


class Record(BaseModel):
    """A value: frozen, strict about unknown fields, and shown as a small table in a notebook."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        defer_build=True,
        json_schema_serialization_defaults_required=True,
    )

    def _repr_html_(self) -> str:
        from mlex_jupyter.faces.present import record_html

        return record_html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from mlex_jupyter.faces.present import text

        printer.text(text(self))

    def to_pandas(self) -> Any:
        """This value as a pandas Series."""
        from mlex_jupyter.faces.present import to_pandas

        return to_pandas(self)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _a_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("use letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(_a_name), Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]
REFERENCE = re.compile(rf"{NAME.pattern}(@{NAME.pattern})?")


def _a_reference(text: str) -> str:
    if not REFERENCE.fullmatch(text):
        return _a_name(text)
    return text


Reference = Annotated[str, AfterValidator(_a_reference), Field(json_schema_extra={"pattern": f"^{REFERENCE.pattern}$"})]
"""A name, or one version of what has it: `pores@3`, `pores@champion`."""
Time = AwareDatetime
Params = dict[str, JsonValue]


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(timezone.utc)


def new_id(prefix: str) -> str:
    """An id that sorts by time, is safe as a file's, a Slurm job's and a Kubernetes name: `run-067f2k…`."""
    import secrets

    return f"{prefix}-{int(time.time() * 1000):012x}{secrets.token_hex(4)}"


class Problem(Record):
    """What went wrong, as every face shows it."""

    code: str
    message: str
    hint: str | None = None
    transient: bool = False
    details: Params | None = None
    """What a program needs to go on from here: the tiles that somebody else painted, and how they look now."""

    @classmethod
    def of(cls, error: MlexError) -> Problem:
        """The one place where an error becomes what people see."""
        return cls(
            code=error.code,
            message=error.message,
            hint=error.hint,
            transient=error.transient,
            details=getattr(error, "details", None),
        )


def invalid(error: ValidationError, whose: str) -> Invalid:
    """What is wrong with what a person gave, in the one sentence that every face shows."""
    found = error.errors(include_url=False)
    first = found[0]
    *above, name = [part for part in first["loc"] if isinstance(part, str)] or [whose]
    owner = above[-1] if above else whose
    if first["type"] == "missing":
        missing = [
            str(one["loc"][-1]) for one in found if one["type"] == "missing" and one["loc"][:-1] == first["loc"][:-1]
        ]
        return Invalid(f"{owner} needs {' and '.join(missing)}.")
    if first["type"] == "extra_forbidden":
        return Invalid(f"{owner} has no argument {name!r}.")
    said = first["msg"].removeprefix("Value error, ")
    return Invalid(f"{name} = {repr(first['input'])[:80]} will not do: {said[0].lower()}{said[1:]}.")


R = TypeVar("R", bound=Record)


def checked(kind: type[R], /, **given: Any) -> R:
    """A value made of what a person gave, or an Invalid that names what will not do."""
    try:
        return kind(**given)
    except ValidationError as error:
        fields = kind.model_fields
        raise invalid(error, str(fields["kind"].default) if "kind" in fields else kind.__name__) from error
