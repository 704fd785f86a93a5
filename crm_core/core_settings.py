"""What a tenant sets for the core itself."""

from __future__ import annotations

import attrs

from .classes import frozen
from .entities.formats import valid_zone
from .hooks.retention import check_period


@frozen
class CoreSettings:
    """Settings of the core; who changes them needs the permission ``core.settings``.

    Attributes:
        timezone: the zone of the IANA database whose wall clock says when the tenant's jobs are due. Jobs that run once for all tenants
            go by that of ``main``.
        keep: how long records are kept, by the name of a retention rule, such as ``{"club.calls": "2 years"}``, in place of the rule's
            own period; empty: for good.
    """

    timezone: str = attrs.field(default="UTC", validator=valid_zone)
    keep: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for keep in self.keep.values():
            if keep:
                check_period(keep)
