"""Taking a tenant away."""

from __future__ import annotations

from collections.abc import Mapping

from ..crm import CRM


def drop_tenant(crm: CRM, tenant: str) -> Mapping[str, int]:
    """Delete all rows of a tenant: :meth:`crm.tenants.drop`."""
    return crm.tenants.drop(tenant)
