"""ErpBridge: what hosts and other plugins call in a session, ``session.use(ErpBridge)``."""

from __future__ import annotations

from crm_core import Account, Denied, Entity, Ref, Session

from . import letters, queue
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

        Raises:
            Denied: the actor may not see the record.
        """
        if not self._session.can("read", record):
            raise Denied(action="read", entity=type(record).__name__)
        with self._session.elevated("queue for the ERP") as own:
            return queue.offer(self._session, own, [(record, source)])

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

        Raises:
            Denied: the actor lacks the permission ``erp_bridge.operate``.
            Refused: ``erp_bridge.not_dead``: it is on its way, done or discarded.
        """
        return letters.replay(self._session, letter)

    def discard(self, letter: Outbound | Parked, *, reason: str) -> Outbound | Parked:
        """Give a dead letter up, and say why; of a conflict, keep our values, which are then written to the ERP.

        Raises:
            Denied: the actor lacks the permission ``erp_bridge.operate``.
            Refused: ``erp_bridge.not_dead``.
            Invalid: ``erp_bridge.reason_missing``.
        """
        return letters.discard(self._session, letter, reason)
