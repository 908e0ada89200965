"""The verbs as plain functions: `import mlex_jupyter as mlex; mlex.train("tunet", data="sand-tomo", …)`.

The façade's methods run on one event loop in a background thread, so the same call works in a script, in a notebook
whose own loop is running, and in a thread. Nobody writes a method twice.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from mlex_jupyter.errors import Conflict, MlexError, of_system
from mlex_jupyter.faces.outline import functions

if TYPE_CHECKING:
    from mlex_jupyter.app import Mlex
    from mlex_jupyter.faces.watch import Teller
    from mlex_jupyter.types import Code
    from mlex_jupyter.verbs import Verb

T = TypeVar("T")

# What else `import mlex_jupyter as mlex` offers, and where it is.
ERRORS = ("MlexError", "NotFound", "Invalid", "Conflict", "Forbidden", "Unavailable", "TargetError")
TYPES = (
    "Architecture, Check, ClassInfo, DataOrder, Dataset, Event, Facets, Job, JobSpec, JobState, LabelSet, Lineage, "
    "Model, Output, PredictTask, PretrainTask, Problem, Progress, Resources, RunTask, TargetInfo, TrainTask, Why, "
    "ZooEntry"
)
OTHERS = {
    "use": "sync",
    "note": "inside",
    "progress": "inside",
    "metrics": "inside",
    "connect": "lab",
    "DLSIAModel": "learn.model",
    "Mlex": "app",
    "Remote": "remote",
    "Settings": "settings",
    "load_ipython_extension": "magics",
    "unload_ipython_extension": "magics",
    **dict.fromkeys(ERRORS, "errors"),
    **dict.fromkeys(TYPES.split(", "), "types"),
}


OWN = ("model", "run")
"""Verbs that take, besides names, what a person wrote."""


class Engine:
    """One façade on one background loop."""

    def __init__(self, mlex: Mlex) -> None:
        self.mlex = mlex
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mlex", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait here for what runs there; an interrupt ends it there as well."""
        try:
            self._check_caller()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except OSError as error:
            raise of_system(error) from error
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """A plain generator over an asynchronous one."""

        async def following() -> tuple[bool, Any]:
            async for item in items:
                return True, item
            return False, None

        try:
            while (step := self.run(following()))[0]:
                yield step[1]
        except GeneratorExit:
            # An interrupt or an error has gone through the source itself, and only this leaves it open.
            if close := getattr(items, "aclose", None):
                self.run(close())
            raise

    def close(self) -> None:
        """End the loop; who uses this home again gets another engine."""
        global _current
        with _lock:
            for key in [key for key, engine in _engines.items() if engine is self]:
                del _engines[key]
            _current = None if _current is self else _current
        if os.getpid() == self._pid and self._loop.is_running():
            if end := getattr(self.mlex, "aclose", None):
                self.run(end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=2)
            self.mlex.close()
            if not self._thread.is_alive():
                self._loop.close()  # by itself it would do so in the last moments of the process, and complain

    def _check_caller(self) -> None:
        if os.getpid() != self._pid:
            raise Conflict(
                "This process was forked from one that uses MLExchange, and cannot use it as well.",
                hint="Start processes with the 'spawn' method, or call mlex in the parent only.",
            )
        if threading.current_thread() is self._thread:
            raise Conflict("A plain function was called on MLExchange's own loop.", hint="Await the method of Mlex.")


_lock = threading.Lock()
_engines: dict[str, Engine] = {}
_current: Engine | None = None


def engine() -> Engine:
    """The engine of this process, made when first asked for."""
    return _current or use()


def use(*, server: str | None = None, token: str | None = None, **settings: Any) -> Engine:
    """Choose another home, as `mlex.use(home="/data/mlex")`, or another server, as `mlex.use(server=URL)`.

    Without arguments it is what the environment says: the server of MLEX_SERVER, else the home of MLEX_HOME.
    """
    global _current
    server = os.environ.get("MLEX_SERVER") if server is None and not settings else server
    if server:
        _current = remote(server, token or os.environ.get("MLEX_TOKEN"))
        return _current
    from mlex_jupyter.app import Mlex
    from mlex_jupyter.settings import Settings

    wanted = Settings.load(**settings)
    key = wanted.model_dump_json()
    with _lock:
        _current = _engines.get(key) or _engines.setdefault(key, Engine(Mlex(wanted)))
        return _current


def turn_to(chosen: Engine) -> None:
    """Make this the engine of the plain functions and of `%mlex`."""
    global _current
    _current = chosen


def remote(server: str, token: str | None) -> Engine:
    """The engine that is another server's."""
    from mlex_jupyter.remote import Remote

    key = f"{server} {token}"
    with _lock:
        return _engines.get(key) or _engines.setdefault(key, Engine(Remote(server, token)))


# ---------------------------------------------------------------- calling a verb


def call(
    verb: Verb,
    arguments: Mapping[str, Any],
    tell: Callable[[], Teller],
    begun: Callable[[Any], None] | None = None,
    here: Engine | None = None,
) -> Any:
    """Do what a verb says. Where it waits, `begun` hears of the jobs first, and an interrupt leaves the job alone."""
    from mlex_jupyter.faces.watch import following, waiting
    from mlex_jupyter.types import Leaderboard

    here = here or engine()
    arguments = dict(arguments)
    if verb.name == "wait":
        job = here.run(here.mlex.job(arguments["run"]))
        return waiting(here, job, tell, arguments.get("timeout_s"))
    wait = arguments.pop("wait", False)
    found = getattr(here.mlex, verb.name)(**arguments)
    if inspect.isasyncgen(found):
        return here.iterate(found)
    if not wait:
        return shown(_heard(here, found, tell))
    result = here.run(found)
    if begun:
        begun(shown(result))
    if isinstance(result, list):
        return shown([waiting(here, job, tell) for job in result])
    if isinstance(result, Leaderboard):
        return following(here, result, tell)
    return waiting(here, result, tell)


def _heard(here: Engine, work: Coroutine[Any, Any, Any], tell: Callable[[], Teller]) -> Any:
    """What the work gives; what it tells meanwhile is shown."""
    from mlex_jupyter.telling import heard_by

    teller: Teller | None = None

    def say(line: str) -> None:
        nonlocal teller
        teller = teller or tell()
        teller.say(line, step=False)

    try:
        with heard_by(say):
            return here.run(work)
    finally:
        if teller is not None:
            teller.end()


def shown(result: Any) -> Any:
    """A result as people get it: a list is a table."""
    if isinstance(result, list):
        from mlex_jupyter.faces.present import Table

        return Table(result)
    return result


@cache
def _function(name: str) -> Callable[..., Any]:
    return plainly(name, engine)


def plainly(name: str, where: Callable[[], Engine]) -> Callable[..., Any]:
    """A verb as a plain function, over the engine that there is when it is called."""
    from mlex_jupyter.app import Mlex
    from mlex_jupyter.faces.arguments import check
    from mlex_jupyter.faces.watch import teller
    from mlex_jupyter.own import brought
    from mlex_jupyter.verbs import table

    verb = table(Mlex)[name]
    signature = inspect.signature(verb.function)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])

    def plain(*args: Any, **given: Any) -> Any:
        try:
            bound = signature.bind_partial(*args).arguments
        except TypeError as error:
            raise TypeError(f"{name}: {error}; it is called as {name}{signature}") from None
        if twice := bound.keys() & given.keys():
            raise TypeError(f"{name} is given {' and '.join(sorted(twice))} twice")
        try:
            meant = brought(verb, {**bound, **given}, lambda code: listed(code, where()))
            return call(verb, check(verb, meant), teller, here=where())
        except MlexError as error:
            if error.hint:
                error.add_note(error.hint)
            raise

    plain.__name__ = plain.__qualname__ = name
    plain.__module__ = "mlex_jupyter"
    plain.__doc__ = verb.function.__doc__
    plain.__annotations__ = {key: hint for key, hint in verb.function.__annotations__.items() if key != "self"}
    plain.__signature__ = signature  # type: ignore[attr-defined]
    return plain


def listed(code: Code, here: Engine | None = None) -> str:
    """The name under which a network of one's own is listed, once it has passed its checks."""
    here = here or engine()
    return here.run(here.mlex.ingest(code)).name


def verb_function(name: str) -> Callable[..., Any]:
    """The plain function of a verb whose name means more than the verb."""
    return _function(name)


def public(name: str) -> Any:
    """What `mlex.NAME` is: a verb, a type, an error, or a module that was imported."""
    if name in OWN:
        return getattr(import_module("mlex_jupyter.own"), name)
    if name in functions():
        return _function(name)
    if name in OTHERS:
        return getattr(import_module(f"mlex_jupyter.{OTHERS[name]}"), name)
    if (module := sys.modules.get(f"mlex_jupyter.{name}")) is not None:
        return module
    raise AttributeError(f"module 'mlex_jupyter' has no attribute {name!r}")


def names() -> list[str]:
    """All that `public` knows by itself."""
    return [*functions(), *OTHERS]
