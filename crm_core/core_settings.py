"""The core's own settings, per tenant."""

from __future__ import annotations

import attrs

from .entities.formats import valid_zone


@attrs.frozen
class CoreSettings:
    """Settings of the core; who changes them needs the permission ``core.settings``.

    Attributes:
        timezone: the zone of the IANA database whose wall clock says when the tenant's jobs are due. Jobs that run once for all tenants
            go by that of ``main``.
    """

    timezone: str = attrs.field(default="UTC", validator=valid_zone)
