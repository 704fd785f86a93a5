"""Sync: the runs of one bridge, as a host's job or the command line calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs

from crm_core import CRM, Actor, CRMError

from .breaker import Breaker
from .bridge import Bridge
from .channel import Channel
from .connector import NotOffered, Remote
from .fitting import check_fit
from .keeping import from_plain
from .ledger import Outbound, Parked, Run, RunKind
from .letters import bridge_named, letter_of, replay
from .plan import Plan, plan
from .plugin import plugin
from .pull import pull
from .push import push
from .reconcile import Reconciliation, reconcile


def bridge_of(crm: CRM, name: str, tenant: str | None) -> tuple[Bridge, str]:
    """Return a bridge, and for whom it works: a tenant, that of its first scope where none is given.

    Raises:
        Invalid: ``erp_bridge.unknown_bridge``.
    """
    with crm.session(Actor.service(plugin.name, tenant=tenant or "main"), write=False) as session:
        found = bridge_named(session, name)
    return found, tenant or next(iter(found.scopes.values()))


class Sync:
    """One bridge for one tenant, at work in transactions of its own, as the bridge's service actor.

    Keep the object between runs: its breaker leaves an ERP alone that keeps failing. Close it, or use it in a ``with``.

    Args:
        bridge: its name in the settings.
        tenant: whose; the tenant of its first scope where none is given.

    Attributes:
        counts: what the last pull or push did, also where it stopped half-way.

    Raises:
        Invalid: ``erp_bridge.unknown_bridge``.
        LoadError: ``erp_bridge.bad_mapping``: the mapping does not fit the CRM or the connector.
    """

    def __init__(self, crm: CRM, bridge: str, *, tenant: str | None = None) -> None:
        found, owner = bridge_of(crm, bridge, tenant)
        connector = found.connect()
        check_fit(crm, found.mapping, connector)
        self._channel = Channel(crm, found, connector, owner, Breaker())
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Sync:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connector."""
        self._channel.connector.close()

    def pull(self) -> Counter[str]:
        """Take in what changed in the ERP; return how many records of each verdict, by ``stream.verdict``.

        Raises:
            AuthFailed, Throttled, Unavailable, SchemaChanged: the run stopped; the next one goes on from the last page kept.
            Refused: ``erp_bridge.busy``: another run of this bridge is at work.
        """
        return self._recorded(RunKind.PULL, pull)

    def push(self) -> Counter[str]:
        """Write to the ERP what is queued and due; return how many ops ended how, by ``stream.state``.

        Raises:
            AuthFailed, Throttled, Unavailable: the run stopped; what was not written is still queued.
            Refused: ``erp_bridge.busy``.
        """
        return self._recorded(RunKind.PUSH, push)

    def plan(self) -> Plan:
        """Say what a pull and a push would do now, and do nothing."""
        return plan(self._channel)

    def reconcile(self) -> Reconciliation:
        """Compare both sides in full; ``.exit_code`` is 1 where something is left to explain. The result is kept as a run."""
        result = reconcile(self._channel)
        counts = {
            s.stream: {"there": s.there, "here": s.here, "dead": s.dead, "queued": s.queued, "clean": s.clean} for s in result.streams
        }
        self._keep(RunKind.RECONCILE, result.clean, counts, "")
        return result

    def replay(self, letter: str) -> Outbound | Parked:
        """Try a dead letter once more, by its id: a record of the ERP as the ERP has it now, where the connector offers ``get``.

        Raises:
            Invalid: ``erp_bridge.unknown_letter``.
            Refused: as :meth:`ErpBridge.replay`.
            AuthFailed, Throttled, Unavailable: the ERP could not be asked.
        """
        with self._channel.session("replay", fenced=False) as session:
            found = letter_of(session, self._channel.name, letter)
        now = self._read_again(found) if isinstance(found, Parked) else None
        with self._channel.session("replay", fenced=False) as session:
            return replay(session, found, now)

    def _read_again(self, letter: Parked) -> Remote | None:
        kept, stream = from_plain(letter.remote), self._channel.bridge.mapping.streams[letter.stream]
        try:
            there = self._channel.call(self._channel.connector.get, stream.entity, [kept.id], kept.scope)
        except NotOffered:
            return None
        return there[0] if there else attrs.evolve(kept, deleted=True)

    def ask(self, question: str, args: dict[str, Any] | None = None, *, timeout: timedelta = timedelta(seconds=5)) -> dict[str, Any]:
        """Ask the ERP a live question: stock, a price, credit.

        Raises:
            NotOffered: this ERP does not answer it.
            Unavailable: it did not answer.
        """
        return self._channel.call(self._channel.connector.ask, question, args or {}, timeout=timeout)

    def _recorded(self, kind: RunKind, work: Callable[[Channel, Counter[str]], None]) -> Counter[str]:
        self.counts = Counter()
        with self._failing(kind):
            work(self._channel, self.counts)
        self._keep(kind, True, dict(self.counts), "")
        return self.counts

    @contextmanager
    def _failing(self, kind: RunKind) -> Iterator[None]:
        try:
            yield
        except Exception as e:
            code = e.code if isinstance(e, CRMError) else type(e).__name__
            if code != "erp_bridge.busy":
                self._keep(kind, False, dict(self.counts), code)
            raise

    def _keep(self, kind: RunKind, ok: bool, counts: dict[str, Any], error: str) -> None:
        with self._channel.session("run", fenced=False) as session:
            run = Run(bridge=self._channel.name, kind=kind, ended_at=self._channel.now(), ok=ok, counts=counts, error=error)
            session.create(run)
