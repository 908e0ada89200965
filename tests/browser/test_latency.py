"""From the moment at which a worker writes an event to the one at which the page has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.bench.figures import quantile
from tests.bench.latency import EMIT, P99_MS
from tests.browser.conftest import SIZE
from tests.browser.lab import Lab
from tests.servers import Server

pytestmark = pytest.mark.needs("browser", "lab")

EVENTS = 300
EVERY_S = 0.03
LISTEN = """
    window.late = [];
    const Plain = window.WebSocket;
    window.WebSocket = class extends Plain {
        constructor(...given) {
            super(...given);
            if (String(given[0]).includes('/mlex/api/v1/stream')) {
                this.addEventListener('message', ({ data }) => {
                    const here = Date.now();
                    JSON.parse(data).filter(event => event.kind === 'metrics')
                        .forEach(event => window.late.push(here - 1000 * event.values.sent));
                });
            }
        }
    };
"""


@pytest.fixture
def listening(browser: Browser, lab_server: Server) -> Iterator[Lab]:
    """A page that notes when each event arrives at the panel's own connection."""
    context = browser.new_context(viewport=SIZE)
    context.add_init_script(LISTEN)
    lab = Lab(context.new_page(), lab_server)
    lab.open()
    yield lab
    context.close()


def test_an_event_of_a_run_is_in_the_page_within_a_quarter_of_a_second(listening: Lab) -> None:
    lab = listening
    lab.panel.get_by_text("No runs yet").wait_for()
    argv = [sys.executable, "-c", EMIT.format(count=EVENTS, every=EVERY_S)]
    with lab.server.client() as client:
        client.post("/jobs", json={"name": "emits", "task": {"kind": "run", "argv": argv}}).raise_for_status()
    lab.page.wait_for_function("count => window.late.length >= count", arg=EVENTS, timeout=90_000)
    late = lab.page.evaluate("window.late")
    p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
    print(f"worker to page: p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(late)} events")
    # p99 is judged on an idle machine, by `make bench`; here other work may go on.
    assert p50 < P99_MS
