"""The plugin; each file beside this one is a capability and registers its parts here."""

from __future__ import annotations

from crm_core import Plugin

from .settings import Settings

plugin = Plugin("marketing", version="1.0.0", settings=Settings, label="Marketing", package="crm_marketing")
plugin.grants("account:read", "contact:read")
plugin.companion("crm_marketing.first_touch:plugin", beside="sales")
