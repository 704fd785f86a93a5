"""Words for a message of the core."""

from __future__ import annotations

from crm_core import Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK06"
REASON = "must start with acme.overriding"

plugin = Plugin("acme.overriding", version="1.0.0")


plugin.catalogue("en", {"not_unique": "No."})
plugin.catalogue("zh", {"not_unique": "不。"})


translate(plugin)
