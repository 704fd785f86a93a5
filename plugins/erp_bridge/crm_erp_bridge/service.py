"""ErpBridge: what hosts and other plugins call in a session, ``session.use(ErpBridge)``."""

from __future__ import annotations

from crm_core import Account, Entity, Link, Ref, Refused, Session

from . import letters, queue
from .due import due_of
from .ledger import Outbound, Parked
from .plugin import plugin
from .purchase_history import PurchaseHistory, purchase_history
from .status import BridgeStatus, bridge_status


@plugin.service
class ErpBridge:
    """The bridge in one session; everything is done and seen as its actor may."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def purchase_history(self, account: Account | Ref[Account]) -> PurchaseHistory:
        """Return what a customer bought, from the ERP's orders, invoices and payments."""
        return purchase_history(self._session, account)

    def offer(self, record: Entity, *, source: str) -> int:
        """Queue a record for every ERP that is to have it by its mapping, once a *source*; return how many writes that are.

        What happens from now on queues itself; this is for a first load: what was won before there was a bridge.
        What is stored is sent, whatever the copy at hand says, and whole: what its actor may not read is not emptied over there.

        Raises:
            NotFound: the record is not there for this actor.
            Refused: ``erp_bridge.not_due``: the record is not to be in an ERP, as a deal that is still open.
        """
        entity = type(record)
        seen = self._session.get(entity, record.id)
        with self._session.elevated("queue for the ERP") as own:
            name = Link.to(record).entity
            if due_of(own, name, [record.id]) == {}:
                raise Refused("erp_bridge.not_due", record=name, id=record.id)
            reader = own if own.can("read", entity) else self._session
            return queue.offer(reader, own, [(reader.find(entity, record.id) or seen, source)])

    def dead_letters(self, bridge: str | None = None, *, limit: int = 100) -> list[Outbound | Parked]:
        """Return what did not get through, oldest first: writes that the ERP refused, and records of its own that do not fit here."""
        return letters.dead_letters(self._session, bridge, limit)

    def status(self, bridge: str) -> BridgeStatus:
        """Say how a bridge of this tenant is: its last runs, dead letters, queued writes, and whether a run holds it now.

        Raises:
            Invalid: ``erp_bridge.unknown_bridge``.
        """
        return bridge_status(self._session, letters.bridge_named(self._session, bridge).name)

    def replay(self, letter: Outbound | Parked) -> Outbound | Parked:
        """Try a dead letter once more; of a conflict, take the ERP's values.

        A write whose record changed since is discarded as superseded, and what the record says now is queued in its place.
        A record of the ERP is taken in as it was last seen; :meth:`Sync.replay` reads it once more.

        Raises:
            Denied: the actor lacks the permission ``erp_bridge.operate``.
            Refused: ``erp_bridge.not_dead``: it is on its way, done or discarded; ``erp_bridge.letter_outdated``: the record was written
                to the ERP since, so what is kept is not how it is now.
        """
        return letters.replay(self._session, letter)

    def bind(self, letter: Parked, *, record: str) -> Parked:
        """Decide that a parked record of the ERP is that record of ours (its id), and take it in as such.

        Raises:
            Denied: the actor lacks the permission ``erp_bridge.operate``.
            NotFound: there is no such record for the actor.
            Refused: ``erp_bridge.not_dead``; ``erp_bridge.bound_already``: one of the two is bound to another; or what else is wrong with
                the ERP's record, as ``erp_bridge.parent_missing``.
        """
        return letters.bind(self._session, letter, record)

    def discard(self, letter: Outbound | Parked, *, reason: str) -> Outbound | Parked:
        """Give a dead letter up, and say why; of a conflict, keep our values, which are then written to the ERP.

        Raises:
            Denied: the actor lacks the permission ``erp_bridge.operate``.
            Refused: ``erp_bridge.not_dead``.
            Invalid: ``erp_bridge.reason_missing``.
        """
        return letters.discard(self._session, letter, reason)
