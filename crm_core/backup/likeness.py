"""The same CRM on another database."""

from __future__ import annotations

from sqlalchemy import Engine

from ..crm import CRM
from ..hooks.core_specs import CORE
from ..hooks.ports import Unreached


def like(crm: CRM, bind: str | Engine, *, schema: str | None = None) -> CRM:
    """Return a CRM with the plugins, prefix and clock of *crm* on another database, without its ports; its tables need not be there yet.

    Args:
        schema: of its tables, on PostgreSQL; else that of *crm*.
    """
    url = bind if isinstance(bind, str) else str(bind.url)
    own = None if url.startswith("sqlite") else crm.tables.schema
    plugins = [plugin for plugin in crm.registry.plugins if plugin is not CORE]
    keys = None if crm.tables.sealer is None else crm.tables.sealer.vault.provider
    prefix, ports = crm.tables.prefix, Unreached()
    return CRM(bind, plugins=plugins, prefix=prefix, schema=schema or own, runtime=crm.runtime, keys=keys, ports=ports)
