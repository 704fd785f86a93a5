"""Where somebody is, as a number, in a field of another's record."""

from __future__ import annotations

from decimal import Decimal

from crm_core import Account, Extension, Field, Plugin, field
from tests.conformance.faulty.words import translate

BREAKS = "CK14"
REASON = "Place.latitude"

plugin = Plugin("acme.placing", version="1.0.0")


@plugin.extend(Account)
class Place(Extension):
    """Where an account is."""

    latitude: Field[Decimal | None] = field(default=None)
    dob: Field[str | None] = field(default=None)


translate(plugin)
