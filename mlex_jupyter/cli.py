"""`mlex VERB …`: the verbs in a shell.

Results go to stdout, what is said about them to stderr; 0 is well, 1 a problem, 2 a line that was not understood.
`mlex --server URL VERB …` asks another server, with the token of MLEX_TOKEN, and `mlex serve` is one.
`mlex --help` reads the source's outline only, since everything else takes longer than a person waits for help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from mlex_jupyter import __version__

if TYPE_CHECKING:
    from mlex_jupyter.errors import MlexError

WELL, PROBLEM, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Do one line, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without ✔ is no reason to fail
    if not words or words[0] in ("-h", "--help") or words == ["help"]:
        from mlex_jupyter.faces.outline import overview

        print(overview("mlex"))
        return WELL
    if words[0] in ("-V", "--version"):
        print(__version__)
        return WELL
    return _said(words)


def _said(words: list[str]) -> int:
    from mlex_jupyter.errors import MlexError
    from mlex_jupyter.faces.arguments import Usage
    from mlex_jupyter.faces.watch import StopWaiting

    json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    try:
        _do(words)
    except StopWaiting as stopped:
        print(f"mlex: {stopped.message}\n{stopped.hint}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("mlex: interrupted", file=sys.stderr)
        return INTERRUPTED
    except MlexError as error:
        _complain(error, json)
        return USAGE if isinstance(error, Usage) else PROBLEM
    except BrokenPipeError:
        # `mlex logs x | head`: the reader has seen enough, and Python must not flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return WELL


def _check_text(words: list[str]) -> None:
    from mlex_jupyter.errors import Invalid

    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            hint = "Rename what it names, or make a link to it with a name of plain letters."
            raise Invalid(f"{ascii(word)[:200]} is not in UTF-8, and can stand in no list.", hint=hint) from None


def _do(words: list[str]) -> None:
    from mlex_jupyter import sync
    from mlex_jupyter.faces import grammar, lines
    from mlex_jupyter.faces.helping import verb_help
    from mlex_jupyter.faces.watch import PlainLines, TerminalLine

    _check_text(words)
    words = _chosen(words)
    if words[0] == "serve":
        # In the place of this process, so that signals reach it: a module of the server is not the shell's to import.
        os.execv(sys.executable, [sys.executable, "-m", "mlex_jupyter.server.serve", *words[1:]])
    if words[0] == "completion":
        from mlex_jupyter.faces.completion import script

        print(script(words[1:]))
        return
    if words[0] == "help":
        print("\n\n".join(verb_help(grammar.find(word), "mlex") for word in words[1:]))
        return
    line = lines.read(words)
    if line.help:
        print(verb_help(line.verb, "mlex"))
        return
    result = sync.call(
        line.verb, line.arguments, lambda: TerminalLine(sys.stderr) if sys.stderr.isatty() else PlainLines(sys.stderr)
    )
    _print(result, line.json)


def _chosen(words: list[str]) -> list[str]:
    """The line without the server that it is for."""
    from mlex_jupyter import sync
    from mlex_jupyter.faces.arguments import Usage

    option, equals, server = words[0].partition("=")
    if option != "--server":
        return words
    rest = words[1:] if equals else words[2:]
    server = server if equals else "".join(words[1:2])
    if not server or not rest:
        raise Usage("--server wants an address, then a verb.", hint="As in: mlex --server URL jobs")
    sync.use(server=server)
    return rest


def _print(result: Any, json: bool) -> None:
    if isinstance(result, Iterator):
        for piece in result:
            _print_piece(piece, json)
    elif json:
        from mlex_jupyter.faces.present import as_json

        print(as_json(result))
    else:
        from mlex_jupyter.faces.present import text

        print(text(result))


def _print_piece(piece: Any, json: bool) -> None:
    if json:
        from mlex_jupyter.faces.present import as_json

        print(as_json({"text": piece} if isinstance(piece, str) else piece, indent=None), flush=True)
        return
    if not isinstance(piece, str):
        from mlex_jupyter.faces.words import words

        piece = words(piece)
    print(piece, end="" if piece.endswith("\n") else "\n", flush=True)


def _complain(error: MlexError, json: bool) -> None:
    from mlex_jupyter.faces.words import plain_lines

    if json:
        from mlex_jupyter.faces.present import as_json
        from mlex_jupyter.types import Problem

        print(as_json(Problem.of(error), indent=None), file=sys.stderr)
        return
    print(f"mlex: {plain_lines(error.message)}", file=sys.stderr)
    if error.hint:
        print(plain_lines(error.hint), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
