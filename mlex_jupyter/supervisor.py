"""The one process per home that keeps jobs moving: `python -m mlex_jupyter.supervisor LOCK`.

It is started by whoever needs it, holds the lock it was given, and goes when nothing has been left to do for a while.
It may be killed at any moment: the next one reads the database and the job folders, and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from functools import cache, partial

from mlex_jupyter import lease
from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Unavailable
from mlex_jupyter.jobs import Jobs, hosts
from mlex_jupyter.jobs.firing import Firing, pending
from mlex_jupyter.jobs.lifecycle import Lifecycle
from mlex_jupyter.jobs.reign import Reign, Superseded
from mlex_jupyter.jobs.tracking import unfinished
from mlex_jupyter.jobs.tuner import Tuner
from mlex_jupyter.jobs.tunings import under_way
from mlex_jupyter.labels import Labels
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import EPOCH, Store, next_epoch
from mlex_jupyter.store.base import Sole
from mlex_jupyter.store.hostlease import this_host
from mlex_jupyter.targets import Targets
from mlex_jupyter.upkeep.retention import Retention
from mlex_jupyter.zoo import Zoo
from mlex_jupyter.zoo.architectures import Architectures
from mlex_jupyter.zoo.sources import Sources

LOOK_EVERY_S = 0.02
STAND_BY_S = 1.0


async def supervise(settings: Settings) -> bool:
    """Keep the home's jobs moving; True when nothing has been left to do for `idle_s`, False when told to go."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = Store.open(settings)
    sole = store.database.sole()
    heart = asyncio.create_task(_beat(store))
    try:
        targets = Targets(settings)
        return await _its_turn(store, settings, targets, sole, stop) and await _reign(store, settings, targets, stop)
    finally:
        heart.cancel()
        sole.close()
        store.close()


async def _beat(store: Store) -> None:
    """Say now and then that this host's supervisor is there, where there may be others."""
    host = this_host()["host"]
    while store.database.several:
        with contextlib.suppress(Unavailable):  # nobody hears of it; the next one may be heard
            await store.write(partial(hosts.beat, host=host))
        await asyncio.sleep(hosts.BEAT_S)


async def _its_turn(store: Store, settings: Settings, targets: Targets, sole: Sole, stop: asyncio.Event) -> bool:
    """Stand by while another host's supervisor works on the same database; False when there is no need any more.

    Meanwhile nobody else can look after what runs on this host.
    """
    own: Lifecycle | None = None
    asked = last_busy = time.monotonic()
    while not await asyncio.to_thread(sole.take):
        own = own or await _own_runs(store, settings, targets)
        while time.monotonic() - asked < STAND_BY_S and not stop.is_set():
            try:
                await own.look()
            except Superseded:
                return False
            except Unavailable:  # nothing was lost, so look again
                pass
            await asyncio.sleep(LOOK_EVERY_S)
        asked = time.monotonic()
        with contextlib.suppress(Unavailable):
            if await store.read(unfinished):
                last_busy = asked
        if stop.is_set() or asked - last_busy > settings.idle_s:
            return False
    return True


async def _own_runs(store: Store, settings: Settings, targets: Targets) -> Lifecycle:
    """What runs on this host, in a reign of its own."""
    host = this_host()["host"]
    of = f"{EPOCH} {host}"
    reign = Reign(store, await store.write(partial(next_epoch, of=of)), of)
    return Lifecycle(reign, settings, targets, Catalog(store, settings), only=host)


async def _reign(store: Store, settings: Settings, targets: Targets, stop: asyncio.Event) -> bool:
    reign = Reign(store, await store.write(next_epoch))
    lifecycle = Lifecycle(reign, settings, targets, Catalog(store, settings))
    firing = Firing(reign, partial(_jobs_of, store, settings))
    tuner = Tuner(reign)
    retention = Retention(reign, settings)
    last_busy = time.monotonic()
    idle = False
    while not stop.is_set() and not idle:
        try:
            busy = await lifecycle.look()
            busy = await tuner.look() or busy
            if await firing.look() or busy:
                last_busy = time.monotonic()
            await retention.look()
        except Superseded:
            break
        except Unavailable as error:  # a full disk or a busy database: nothing was lost, so look again
            print(f"{time.strftime('%F %T')} {error.message}", file=sys.stderr, flush=True)
            last_busy = time.monotonic()
            await asyncio.sleep(1)
        await asyncio.sleep(LOOK_EVERY_S)
        idle = time.monotonic() - last_busy > settings.idle_s
    with contextlib.suppress(Superseded, Unavailable):  # it is looked at again, then
        await firing.rest()
    await tuner.rest()
    return idle


@cache
def _jobs_of(store: Store, settings: Settings, owner: str) -> Jobs:
    """What asks for jobs in somebody's name, as a rule of theirs does."""
    settings = settings.model_copy(update={"user": owner})
    catalog = Catalog(store, settings)
    zoo = Zoo(store, settings, Architectures(settings, Sources(store, settings)))
    return Jobs(store, settings, catalog, Labels(store, settings, catalog), zoo, Targets(settings))


def main(lock: int) -> None:
    """Supervise while holding the lock; look once more after letting go, in case somebody asked in between."""
    settings = Settings.load()
    os.set_inheritable(lock, False)
    while asyncio.run(supervise(settings)):
        os.close(lock)
        again = lease.take(settings) if has_work(settings) else None
        if again is None:
            return
        lock = again


def has_work(settings: Settings) -> bool:
    """Whether any job has not ended, a tuning is under way, or a rule has something to look at."""
    store = Store.open(settings)
    try:
        return any(store.read_now(look) for look in (unfinished, under_way, pending))
    finally:
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
