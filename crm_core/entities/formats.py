"""Texts that name something known elsewhere: currencies and time zones. For fields (``format=``) and, as validators, for settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from ..errors import Invalid
from .currencies import CURRENCIES, minor_units


def is_currency(value: object) -> bool:
    """Say whether *value* is the code of a currency of ISO 4217: three capital letters."""
    return value in CURRENCIES if isinstance(value, str) else False


@lru_cache(maxsize=1_000)
def is_zone(value: str) -> bool:
    """Say whether *value* is a zone of the IANA database, as this machine has it."""
    if value == "UTC":
        return True
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


FORMATS: dict[str, Callable[[str], bool]] = {"currency": is_currency, "zone": is_zone}


def wrong_format(format: str, value: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is wrong with a text of a field with a format."""
    if FORMATS[format](value):
        return
    if format == "zone":
        yield "bad_zone", {"given": value[:63]}
        return
    try:
        minor_units(value)
    except Invalid as e:
        yield e.code, e.params


def valid_currency(instance: object, attribute: Any, value: str | None) -> None:
    """Demand of a setting a currency of ISO 4217, or None: ``attrs.field(validator=valid_currency)``."""
    if value is not None and not is_currency(value):
        raise ValueError(f"'{attribute.name}' must be a currency of ISO 4217, like EUR: {value!r}")


def valid_zone(instance: object, attribute: Any, value: str | None) -> None:
    """Demand of a setting a time zone of the IANA database, or None: ``attrs.field(validator=valid_zone)``."""
    if value is not None and not is_zone(value):
        raise ValueError(f"'{attribute.name}' must be a zone of the IANA database, like Europe/Berlin: {value!r}")
