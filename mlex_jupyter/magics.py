"""`%mlex` and `%%mlex`: the verbs in a notebook, with the words of the shell.

    %load_ext mlex_jupyter
    %mlex train tunet --data sand-tomo --labels scribbles -p epochs=4 -o run --wait
    %mlex predict run --data sand-tomo -o seg

`-o NAME` binds the result and shows it, and a word that names a variable with a job, a dataset or a model means it.
`%mlex connect URL` makes the lines after it another server's, `%mlex connect` without one this machine's again.
In a cell the line may go on as YAML: `%%mlex train`, then `data: sand-tomo`, `params: {epochs: 4}`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlex_jupyter import sync
from mlex_jupyter.errors import MlexError
from mlex_jupyter.faces import grammar, lines
from mlex_jupyter.faces.arguments import Usage, kinds, reference
from mlex_jupyter.faces.completion import complete
from mlex_jupyter.faces.helping import verb_help
from mlex_jupyter.faces.outline import overview
from mlex_jupyter.faces.present import as_json
from mlex_jupyter.faces.watch import StopWaiting, teller
from mlex_jupyter.faces.words import plain_lines, words
from mlex_jupyter.lab import connect
from mlex_jupyter.own import NETWORK, brought, is_own
from mlex_jupyter.verbs import Verb
from mlex_jupyter.yamls import yaml_mapping

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


MATCHER = "mlex_jupyter"


class Stop(Exception):
    """What a cell that could not be done ends with: message and hint, so that Run All stops, and no traceback."""

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(plain_lines(message if hint is None else f"{message}\n{hint}"))
        self.message = message
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Magic:
    """The magic of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def __call__(self, line: str, cell: str | None = None) -> Any:
        """Do a line, with the cell's body if there is one."""
        try:
            return self._do(self._words(line), cell)
        except (MlexError, StopWaiting) as stopped:
            raise Stop(stopped.message, stopped.hint) from None
        except KeyboardInterrupt:
            raise Stop("Interrupted.", None) from None

    def _words(self, line: str) -> list[str]:
        try:
            return shlex.split(line)
        except ValueError as error:
            raise Usage(
                f"The line cannot be read: {error}.", hint="Put what has spaces or quotes into quotes."
            ) from error

    def _do(self, words: list[str], cell: str | None) -> Any:
        if not words or words[0] in ("--help", "-h") or words == ["help"]:
            return print(overview("%mlex"))
        if words[0] == "help":
            return print(verb_help(grammar.find(words[1]), "%mlex"))
        if words[0] == "connect":
            return self._connect(words[1:])
        line = lines.read(words, body=yaml_mapping(cell) if cell else None, binds=True, meant=self._meant)
        if line.help:
            return print(verb_help(line.verb, "%mlex"))
        if line.bind is not None and not line.bind.isidentifier():
            raise Usage(f"{line.bind!r} cannot be a variable.", hint=f"As {_identifier(line.bind)!r} it can.")

        def bind(result: Any) -> None:
            if line.bind is not None:
                self.shell.user_ns[line.bind] = result

        # Bound before the waiting: after a failure the name means this run, and not one of before.
        result = sync.call(line.verb, line.arguments, teller, begun=bind)
        if isinstance(result, Iterator):
            return _pour(result, line.json)
        bind(result)
        return print(as_json(result)) if line.json else result

    def _connect(self, words: list[str]) -> None:
        if len(words) > 1:
            raise Usage("connect takes one address.", hint="The token stands in MLEX_TOKEN, or is asked for.")
        if words:
            lab = connect(words[0])
            sync.turn_to(lab.engine)
            print(f"From here on the lines are for {lab!r}.")
        else:
            here = sync.use(server="")
            print(f"From here on the lines are for this machine: {here.mlex.settings.home}.")

    def _meant(self, verb: Verb, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, with the object in place of a word that names a variable holding one."""
        return {name: self._object(verb, name, value) for name, value in arguments.items()}

    def _object(self, verb: Verb, parameter: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._object(verb, parameter, item) for item in value)
        found = self.shell.user_ns.get(value) if isinstance(value, str) else None
        if parameter in NETWORK and is_own(found) and "__mlex__" in vars(found):
            return brought(verb, {parameter: found}, sync.listed)[parameter]
        if not isinstance(found, kinds(verb, parameter)) or reference(found, parameter) is None:
            return value
        return found

    # ------------------------------------------------------------ Tab

    def matches(self, context: Any) -> dict[str, Any]:
        """What may come next on a `%mlex` line, for IPython's completer."""
        from IPython.core.completer import SimpleCompletion

        line = context.full_text.split("\n")[context.cursor_line][: context.cursor_position]
        words = line.split()
        if not words or words[0] not in ("%mlex", "%%mlex") or (len(words) == 1 and line[-1:].strip()):
            return {"completions": []}
        before, last = (words[1:], "") if not line[-1:].strip() else (words[1:-1], words[-1])
        found = complete([*before, last], lambda verb, *arguments: sync.public(verb)(*arguments), self._held)
        return {"completions": list(map(SimpleCompletion, found)), "matched_fragment": last, "suppress": True}

    def _held(self, verb: Verb, parameter: str) -> list[str]:
        """The variables that an argument may name."""
        held = self.shell.user_ns.items()
        return [name for name, value in held if isinstance(value, kinds(verb, parameter)) and not name.startswith("_")]


def _identifier(name: str) -> str:
    word = "".join(letter if letter.isalnum() else "_" for letter in name)
    return word if word.isidentifier() else f"_{word}"


def _pour(pieces: Iterator[Any], json: bool) -> None:
    for piece in pieces:
        said = piece if isinstance(piece, str) else words(piece)
        if json:
            said = as_json({"text": piece} if isinstance(piece, str) else piece, indent=None)
        print(said, end="" if said.endswith("\n") else "\n")
        sys.stdout.flush()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext mlex_jupyter`."""
    from IPython.core.completer import context_matcher

    magic = Magic(shell)

    def mlex(line: str, cell: str | None = None) -> Any:
        return magic(line, cell)

    @context_matcher(identifier=MATCHER)  # type: ignore[untyped-decorator]
    def matcher(context: Any) -> Any:
        return magic.matches(context)

    mlex.__doc__ = overview("%mlex")
    shell.register_magic_function(mlex, magic_kind="line_cell", magic_name="mlex")  # type: ignore[call-arg, arg-type]
    _forget_matcher(shell)
    shell.Completer.custom_matchers.append(matcher)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext mlex_jupyter`."""
    _forget_matcher(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("mlex", None)


def _forget_matcher(shell: InteractiveShell) -> None:
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", None) != MATCHER]
