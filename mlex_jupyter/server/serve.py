"""`mlex serve`: the server without JupyterLab, for other machines, scripts and `mlex.connect`.

It is a Jupyter server with no other extension, and without kernels, terminals and files; what a Jupyter configuration
says of certificates, logins and `c.Mlex.…` holds here too.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import default
from traitlets.config import Config

from mlex_jupyter import __version__
from mlex_jupyter.server import BASE

PORT = 8890
HOW = "From elsewhere: mlex.connect(URL), or mlex --server URL. Ctrl-C ends this; runs go on."


class Headless(ServerApp):
    """A Jupyter server that is nothing but MLEx."""

    name = "mlex-serve"
    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]

    @default("default_url")
    def _default_url_default(self) -> str:
        return url_path_join(self.base_url, BASE, "docs")

    def init_signal(self) -> None:
        """Nobody is asked whether Ctrl-C is meant."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signal_stop)

    def _signal_stop(self, sig: Any, frame: Any) -> None:
        self.stop(from_signal=True)

    def write_browser_open_files(self) -> None:
        """No browser is to be opened, so no file need hold the token."""

    def say_where_when_ready(self) -> None:
        """Print the one line that holds the token: only if it was made here, and not by Jupyter as well."""
        provider = self.identity_provider
        generated = bool(provider.token) and provider.token_generated
        provider.token_generated = False
        at = f"{self.connection_url}?token={provider.token}" if generated else self.connection_url
        self.io_loop.add_callback(print, f"MLEx {__version__} is ready at {at}", flush=True)
        self.io_loop.add_callback(print, HOW, file=sys.stderr, flush=True)


def asked(argv: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        "mlex serve",
        description="Serve MLEx over HTTP, without JupyterLab. The address with its token is printed once.",
        epilog="A jupyter_server_config.py says the rest: certificates, logins, c.Mlex settings. "
        "With JUPYTER_TOKEN the token is yours.",
    )
    parser.add_argument("--port", type=_port, help=f"Where it listens, 0 for any [{PORT}, or the next that is free].")
    parser.add_argument("--ip", default="127.0.0.1", help="On which address [127.0.0.1: this machine only].")
    parser.add_argument("--base-url", default="/", help="Under which path, behind a proxy [/].")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text[:9]) <= 65535:
        raise argparse.ArgumentTypeError("a number from 0 to 65535")
    return int(text)


def config_of(options: argparse.Namespace) -> Config:
    """What a Jupyter server is told."""
    server = {
        "ip": options.ip,
        "port": PORT if options.port is None else options.port,
        "port_retries": 50 if options.port is None else 0,
        "base_url": options.base_url,
        "open_browser": False,
        "allow_root": True,  # as in most containers; there are no kernels and terminals to fear for
        "log_level": "WARN",
        "tornado_settings": {"ws_ping_timeout": 30_000},  # Jupyter's own default is one that it warns of
        "jpserver_extensions": {"mlex_jupyter.server": True},
    }
    return Config({"ServerApp": server})


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until somebody ends it."""
    options = asked(sys.argv[1:] if argv is None else argv)
    app = Headless(config=config_of(options))
    app.initialize(argv=[], find_extensions=False)
    app.say_where_when_ready()
    app.start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
