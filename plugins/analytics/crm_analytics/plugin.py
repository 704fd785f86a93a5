"""The plugin; each file beside this one is a capability and registers its parts here."""

from __future__ import annotations

from crm_core import Plugin

from .settings import Settings

plugin = Plugin("analytics", version="1.0.0", settings=Settings, label="Analytics", package="crm_analytics")
