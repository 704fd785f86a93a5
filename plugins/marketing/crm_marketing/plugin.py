"""The plugin; each file beside this one is a capability and registers its parts here."""

from __future__ import annotations

from crm_core import Plugin

plugin = Plugin("marketing", version="1.0.0", label="Marketing", package="crm_marketing")
