"""Bridge: one ERP as a host declares it: how to reach it, what is what, and which organisation is which tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from .connector import Connector
from .mapping import ErpMapping


class Bridge:
    """One ERP.

    Args:
        name: of the bridge, kept with every binding; it does not change.
        connector: makes the connector of *settings*.
        mapping: the file that says what is what; see :mod:`crm_erp_bridge.mapping`.
        scopes: the ERP's organisation or company -> our tenant; without any, one nameless scope is the tenant ``main``.
        settings: what the connector is made of: an address, folders, the name of a secret. Never written to a log or the database.

    Raises:
        LoadError: ``erp_bridge.bad_mapping``.
    """

    __crm_object__: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        connector: Callable[[Any], Connector],
        *,
        mapping: str | Path,
        scopes: Mapping[str, str] | None = None,
        settings: Any = None,
    ) -> None:
        self.name = name
        self.mapping = ErpMapping.load(mapping)
        self.scopes = dict(scopes or {"": "main"})
        self._make = connector
        self._settings = settings

    def __repr__(self) -> str:
        return f"Bridge({self.name!r})"

    def connect(self) -> Connector:
        """Make a connector."""
        return self._make(self._settings)

    def scopes_of(self, tenant: str) -> list[str]:
        """Return the ERP's organisations that are a tenant of ours, the first one for what we send."""
        return [scope for scope, owner in self.scopes.items() if owner == tenant]
