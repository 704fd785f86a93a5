"""The plugin; each file beside this one is a capability and registers its parts here."""

from __future__ import annotations

from crm_core import Plugin

from .settings import Settings

plugin = Plugin("erp_bridge", version="1.0.0", settings=Settings, label="ERP bridge", package="crm_erp_bridge")
plugin.grants("account:read,create,update", "contact:read,create,update")
plugin.companion("crm_erp_bridge.deals:plugin", beside="sales")
