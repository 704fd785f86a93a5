"""Keys: ``crm.keys``, the keys of one CRM as its operators see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...entities.sealing import CELL, Unseal
from ...errors import LoadError
from .provider import KeyProvider

if TYPE_CHECKING:
    from ...crm import CRM


class Keys:
    """The keys of one CRM.

    Raises:
        LoadError: ``sealed_needs_keys``: an entity has sealed fields, and there are no keys.
        WrongArgument: what was given is no key provider.
    """

    def __init__(self, crm: CRM, provider: KeyProvider | None) -> None:
        self._crm = crm
        self.unseal: Unseal | None = None
        if provider is None:
            _refuse_sealed(crm)
            return
        from ...arguments import check
        from .sealer import Sealer

        check(provider, KeyProvider, "a key provider such as FileKeys('crm.keys')")
        crm.tables.sealer = Sealer(provider, crm.tables.system, lambda: crm.runtime.clock.now())
        self.unseal = crm.tables.sealer.vault.open


def _refuse_sealed(crm: CRM) -> None:
    for entity, table in crm.tables.entities.items():
        for column in table.c:
            if CELL in column.info:
                raise LoadError("sealed_needs_keys", entity=entity.__name__, field=column.info["field"].name)
