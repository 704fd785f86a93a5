"""A core that there is not yet."""

from __future__ import annotations

from crm_core import Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK01"
REASON = "does not load"

plugin = Plugin("acme.demanding", version="1.0.0", requires={"core": ">=99"})


translate(plugin)
