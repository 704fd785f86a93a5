"""What a custom field can be, and how its name begins; see :mod:`.custom`."""

from __future__ import annotations

from enum import Enum

PREFIX = "custom."


class CustomKind(Enum):
    """Of which type the values of a custom field are."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    CHOICE = "choice"
    MONEY = "money"
    REFERENCE = "reference"
    URL = "url"
    EMAIL = "email"
