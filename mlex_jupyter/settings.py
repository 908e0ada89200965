"""Settings: `c.Mlex.…` of a Jupyter configuration, then MLEX_… variables, then <home>/config.yaml, then defaults.

The server's traits are generated from these fields, so a setting is described once, here.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from mlex_jupyter.errors import Invalid


def default_home() -> Path:
    """`MLEX_HOME`, or `~/.mlex`."""
    return absolute(Path(os.environ.get("MLEX_HOME") or "~/.mlex"))


def absolute(path: Path) -> Path:
    """The same place from wherever one looks: the supervisor and the runs have working folders of their own."""
    return Path(os.path.expanduser(path)).absolute()


def _several(separator: str) -> BeforeValidator:
    """A list, or a text in which this stands between them."""
    return BeforeValidator(lambda said: [part for part in said.split(separator) if part] if type(said) is str else said)


Folders = Annotated[tuple[Annotated[Path, AfterValidator(absolute)], ...], NoDecode, _several(os.pathsep)]
Words = Annotated[tuple[str, ...], NoDecode, _several(",")]


class Settings(BaseSettings):
    """What can be set, with its meaning."""

    model_config = SettingsConfigDict(env_prefix="MLEX_", extra="ignore", frozen=True)

    home: Annotated[Path, AfterValidator(absolute)] = Field(
        default_factory=default_home, description="The folder of database, jobs, labels and models."
    )
    database: str | None = Field(
        None, description="The URL of a PostgreSQL for what several hosts share; left out, SQLite in the home."
    )
    user: str = Field(default_factory=getpass.getuser, description="Who acts, where nobody has logged in.")
    local_cpus: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, description="Cores that local jobs may share."
    )
    local_gpus: int | None = Field(None, ge=0, description="GPUs that local jobs may share; left out, those found.")
    retries: int = Field(3, ge=0, le=10, description="How often a vanished training or prediction is resumed.")
    retry_pause_s: float = Field(10, gt=0, description="The first pause before a failed command is tried again.")
    stop_grace_s: float = Field(60, gt=0, description="Time for a cancelled job to save before it is ended.")
    idle_s: float = Field(60, gt=0, description="How long the supervisor stays when nothing is left to do.")
    history_days: int = Field(
        90, ge=0, description="How long strokes that cannot be taken back, and events of them, are kept; 0: always."
    )
    readers: int = Field(2, ge=1, le=32, description="Processes that open files at the same time.")
    reader_memory_gb: float = Field(4, gt=0, description="Memory that one of them may use.")
    reader_timeout_s: float = Field(60, gt=0, description="How long one may be silent before its read is given up.")
    roots: Folders = Field((), description="Folders with data that may be opened; none for all that the user may read.")
    allowed_hosts: Words = Field((), description="Hosts of this machine or its own network that URLs may name.")

    openvino: bool = Field(
        True, description="Whether predictions on processors use OpenVINO where it is installed, equal and faster."
    )
    trusted: Words = Field((), description="People whose source may run in your jobs: networks that they brought.")

    streams: int = Field(64, ge=1, description="How many streams of events one person may have open.")
    stream_check_s: float = Field(30, gt=0, description="How often the login behind an open stream is checked again.")
    stream_slow_s: float = Field(60, gt=0, description="How long a reader of the stream may take over one message.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order in which a setting is looked for."""
        given = init_settings().get("home")
        home = absolute(Path(given)) if isinstance(given, str | Path) else default_home()
        return init_settings, env_settings, InitSettingsSource(settings_cls, _said_in(home / "config.yaml"))

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """The settings, or an error that names the one that is wrong."""
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            raise Invalid(
                f"The setting {'.'.join(map(str, first['loc']))} is wrong: {first['msg']}.",
                hint="Look at the MLEX_ variables and at config.yaml in the home folder.",
            ) from error

    def environment(self) -> dict[str, str]:
        """These settings as variables, for a process of their own."""
        said = self.model_dump() | {
            "roots": os.pathsep.join(map(str, self.roots)) or None,
            "allowed_hosts": ",".join(self.allowed_hosts) or None,
            "trusted": ",".join(self.trusted) or None,
        }
        return {f"MLEX_{name.upper()}": str(value) for name, value in said.items() if value is not None}


def _said_in(file: Path) -> dict[str, Any]:
    """What config.yaml says."""
    try:
        text = file.read_text()
    except (FileNotFoundError, NotADirectoryError):  # a home that is none is the database's to say
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}.", hint="It is a text of lines `name: value`.") from error
    from mlex_jupyter.yamls import yaml_mapping

    try:
        return {str(name): value for name, value in yaml_mapping(text).items()}
    except Invalid as error:
        raise Invalid(f"{file} cannot be read: {error.message}", hint="It is a text of lines `name: value`.") from error
