"""A plugin is required, and nothing of it is used."""

from __future__ import annotations

from crm_core import Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK08"
REASON = "nothing of it is used"

plugin = Plugin("acme.unused", version="1.0.0", requires={"sales": ">=1"})


translate(plugin)
