"""A small plugin with a companion beside another small one."""

from __future__ import annotations

from crm_core import Plugin
from tests.conformance.faulty.words import translate

plugin = Plugin("acme.paired", version="1.0.0")
plugin.companion("tests.conformance.paired.meeting:plugin", beside="acme.beside")
translate(plugin)
beside = Plugin("acme.beside", version="1.0.0")
