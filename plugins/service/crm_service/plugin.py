"""The plugin; each file beside this one is a capability and registers its parts here."""

from __future__ import annotations

from crm_core import Plugin

from .settings import Settings

plugin = Plugin("service", version="1.0.0", settings=Settings, label="Service", package="crm_service")
plugin.grants("account:read", "contact:read")
plugin.companion("crm_service.handover:plugin", beside="sales")
plugin.companion("crm_service.deals:plugin", beside="sales")
