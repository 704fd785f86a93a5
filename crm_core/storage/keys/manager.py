"""Keys: ``crm.keys``, the keys of one CRM as its operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import func, select, update

from ...arguments import check, check_text
from ...entities.sealing import Unseal
from ...errors import LoadError, Refused
from .provider import KeyProvider
from .states import CURRENT, OLD

if TYPE_CHECKING:
    from ...crm import CRM
    from ...entities.codec import Codec
    from .encryption import Encrypted
    from .rotation import Rotated
    from .sealer import Sealer

GRACE = 1.0


@attrs.frozen
class KeyState:
    """The keys of one tenant.

    Attributes:
        version: of its current key; it grows with each rotation.
        root: the root key that it is wrapped under.
        rotating: a rotation was begun and is not done.
        subjects: how many keys of subjects there are, by state: current, old (only history uses them), destroyed, retired.
    """

    tenant: str
    version: int
    root: str
    rotating: bool
    subjects: Mapping[str, int]


class Keys:
    """The keys of one CRM: ``crm.keys``.

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
        from .sealer import Sealer

        check(provider, KeyProvider, "a key provider such as FileKeys('crm.keys')")
        crm.tables.sealer = Sealer(provider, crm.tables.system, lambda: crm.runtime.clock.now())
        self.unseal = crm.tables.sealer.vault.open
        crm.registry.health.words = False

    @property
    def _sealer(self) -> Sealer:
        found = self._crm.tables.sealer
        if found is None:
            raise Refused("no_keys")
        return found

    def root(self) -> Mapping[str, str]:
        """Say where the root keys are, and which is the current one.

        Raises:
            Refused: ``no_keys``.
        """
        return self._sealer.vault.provider.describe()

    def status(self) -> list[KeyState]:
        """Tell of each tenant's keys.

        Raises:
            Refused: ``no_keys``.
        """
        self.root()
        table = self._crm.tables.system.key
        counted = select(table.c.tenant, table.c.kind, table.c.state, func.count(), func.max(table.c.version), func.max(table.c.parent))
        states: dict[str, KeyState] = {}
        with self._crm.bound.begin(write=False) as connection:
            rows = connection.execute(counted.group_by(table.c.tenant, table.c.kind, table.c.state)).all()
        for tenant in sorted({row.tenant for row in rows}):
            mine = [row for row in rows if row.tenant == tenant]
            own = next((row for row in mine if (row.kind, row.state) == ("tenant", CURRENT)), None)
            states[tenant] = KeyState(
                tenant,
                version=0 if own is None else own[4],
                root="" if own is None else str(own[5]),
                rotating=any(row.state == OLD and row.kind != "subject" for row in mine),
                subjects={row.state: row[3] for row in mine if row.kind == "subject"},
            )
        return list(states.values())

    def rotate(self, tenant: str | None = None, *, root: bool = False, grace: float = GRACE) -> list[Rotated]:
        """Give tenants new keys and seal their rows anew, while everybody works on; a rotation that was stopped goes on.

        Args:
            tenant: one tenant; None: all.
            root: make a new root key first, and wrap the tenants' keys under it.
            grace: seconds between the new keys and the first row, longer than any search takes.

        Raises:
            Refused: ``no_keys``; ``keys_fixed``: the provider makes no new root key.
        """
        from .rotation import Rotation

        sealer, crm = self._sealer, self._crm
        if tenant is not None:
            check_text(tenant)
        if root:
            sealer.vault.provider.rotate()
            self._rewrap()
        codecs = self._codecs()
        tenants = [s.tenant for s in self.status() if s.version and tenant in (None, s.tenant)]
        return [Rotation(t, crm.bound, crm.tables, sealer, codecs).run(grace) for t in tenants]

    def encrypt(self, tenant: str | None = None) -> list[Encrypted]:
        """Seal what stands open in fields that were declared ``sealed`` after rows had them; one that was stopped goes on.

        Others may work meanwhile: with :meth:`allow_open` they read all, else values that it has not come to are ``Unreadable``. The
        journal keeps what it had: :meth:`journalled_open` counts it.

        Args:
            tenant: one tenant; None: all.

        Raises:
            Refused: ``no_keys``.
        """
        from .encryption import Encryption

        sealer, crm = self._sealer, self._crm
        if tenant is not None:
            check_text(tenant)
        return Encryption(crm.bound, crm.tables, sealer, self._codecs()).run(tenant)

    def journalled_open(self, tenant: str | None = None) -> Mapping[str, int]:
        """Count, by tenant, the journal's rows that say values of sealed fields in plain: from before the field was sealed.

        :meth:`encrypt` leaves them, for the journal never changes; an erasure takes out those of personal fields.

        Args:
            tenant: one tenant; None: all.

        Raises:
            Refused: ``no_keys``.
        """
        from .journalled import told_openly

        self.root()
        if tenant is not None:
            check_text(tenant)
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            return told_openly(connection, self._crm.tables, self._codecs(), tenant)

    def allow_open(self) -> None:
        """Let this process read values that stand open still, while :meth:`encrypt` runs beside it: then nobody has to wait for that.

        Call it where the CRM is made, in the release that seals a field, and take it out in the next: without it, a value that somebody
        put there past the CRM is refused. A search by such a field, and writing one that is unique, raise ``Unavailable``
        (``still_open``) in a tenant until no value of it is open there, for they would miss some.

        Raises:
            Refused: ``no_keys``.
        """
        from .standing import Standing

        crm = self._crm
        self._sealer.vault.standing = Standing(crm.tables, self._codecs(), sqlite=crm.bound.kind == "sqlite")

    def _codecs(self) -> list[Codec]:
        return [codec for e in self._crm.registry.entities if (codec := self._crm.codec(e)).sealed]

    def _rewrap(self) -> None:
        """Wrap the tenants' keys under the current root key."""
        table, vault = self._crm.tables.system.key, self._sealer.vault
        with self._crm.bound.begin() as connection:
            rows = connection.execute(
                select(table.c.id, table.c.tenant, table.c.wrapped).where(table.c.kind == "tenant", table.c.wrapped.is_not(None))
            ).all()
            for id_, tenant, wrapped in rows:
                new = vault.rewrapped(tenant, id_, wrapped)
                swap = update(table).where(table.c.id == id_, table.c.wrapped == wrapped)
                connection.execute(swap.values(wrapped=new, parent=vault.provider.describe()["current"]))


def _refuse_sealed(crm: CRM) -> None:
    for entity, names in crm.tables.sealed.items():
        raise LoadError("sealed_needs_keys", entity=entity.__name__, field=min(names))
