"""Who acts. The host says; the core keeps no accounts of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import attrs

from ..classes import frozen
from ..entities.validate import is_id
from ..errors import Invalid

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

AttributeKind = Literal["text", "id", "int", "decimal", "bool", "date", "datetime", "list"]
# Every number of an actor fits every numeric column: 64 bits hold it even as a decimal of six places.
NUMBER_LIMIT: Final = 9_000_000_000_000
DECIMAL_PLACES: Final = 6
_RESERVED: Final = {"system": "system:", "service": "plugin:"}
_NAME = r"[A-Za-z][A-Za-z0-9_]{0,40}\Z"
_UNUSABLE = "[\x00-\x1f\x7f\ud800-\udfff]"


def _text(value: object, field: str, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or re.search(_UNUSABLE, value):
        raise Invalid("bad_actor", field=field, given=_shown(value), expected=f"1 to {longest} characters without control characters")
    return value


def _shown(value: object) -> str:
    return f"text of {len(value)} characters" if isinstance(value, str) and len(value) > 60 else repr(value)[:60]


def user_id(value: object) -> str:
    """Check a user's id; an int is written as text."""
    return _text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, "id", 255)


def _tenant(value: object) -> str:
    return _text(value, "tenant", 63)


def language(value: object) -> str:
    """Check the name of a locale."""
    return _text(value, "locale", 35)


def _names(field: str, value: Iterable[str]) -> frozenset[str]:
    if isinstance(value, str):
        raise Invalid("bad_actor", field=field, given=_shown(value), expected="a set of names, not one text")
    return frozenset(_text(v, field, 255) for v in value)


def _roles(value: Iterable[str]) -> frozenset[str]:
    return _names("roles", value)


def team_names(value: Iterable[str]) -> frozenset[str]:
    """Check the names of teams."""
    return _names("teams", value)


def zone(value: object) -> str:
    """Check the name of a time zone of the IANA database."""
    name = _text(value, "timezone", 63)
    if name != "UTC":
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Invalid("bad_actor", field="timezone", given=name, expected="a zone of the IANA database, like Europe/Berlin") from None
    return name


def _attributes(given: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {}
    for name, value in given.items():
        if not isinstance(name, str) or not re.match(_NAME, name):
            expected = "attribute names of letters, digits and _"
            raise Invalid("bad_actor", field="attributes", given=repr(name)[:60], expected=expected)
        if isinstance(value, list | tuple | set | frozenset):
            value = tuple(sorted(_text(v, f"attributes.{name}", 255) for v in value))
        if value is not None:
            kept[name] = _scalar(name, value)
    return MappingProxyType(kept)


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        good = _is_small(value)
    elif isinstance(value, datetime):
        good = value.tzinfo is not None
    elif isinstance(value, str):
        good = len(value) <= 255 and not re.search(_UNUSABLE, value)
    else:
        good = isinstance(value, bool | date | tuple)
    if not good:
        expected = "text, a number below 9e12 with at most 6 decimals, a bool, a date, an aware datetime or a list of texts"
        raise Invalid("bad_actor", field=f"attributes.{name}", given=_shown(value), expected=expected)
    return value


def _is_small(value: int | Decimal) -> bool:
    if isinstance(value, int):
        return abs(value) <= NUMBER_LIMIT
    return has_places(value, DECIMAL_PLACES) and value.copy_abs() <= NUMBER_LIMIT


def has_places(value: Decimal, places: int) -> bool:
    """Say whether a decimal has at most *places* digits after the point, whatever the thread's decimal context rounds to."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return False
    beyond = -places - exponent
    return beyond <= 0 or not any(digits[-beyond:])


@frozen
class Actor:
    """Who acts in a session, in which tenant, with which roles and teams. The host builds it from its own login.

    Attributes:
        id: the host's user id, as text (an int is written as text).
        roles: names of roles; a name this CRM does not know gives no rights.
        teams: the actor's teams. The host's word counts here; of other users the directory tells.
        locale: the language of labels and messages, like ``zh_CN``.
        timezone: the IANA zone that instants are shown in.
        attributes: more facts that rules may compare with, like ``{"region": "emea"}``.
        kind: ``user``; ``system`` and ``service`` only through :meth:`system` and :meth:`service`.
        on_behalf_of: for whom a system or service actor works.

    Raises:
        Invalid: ``bad_actor`` names the argument that cannot be.
    """

    id: str = attrs.field(converter=user_id)
    tenant: str = attrs.field(default="main", converter=_tenant, kw_only=True)
    roles: frozenset[str] = attrs.field(factory=frozenset, converter=_roles, kw_only=True)
    teams: frozenset[str] = attrs.field(factory=frozenset, converter=team_names, kw_only=True)
    locale: str = attrs.field(default="en", converter=language, kw_only=True)
    timezone: str = attrs.field(default="UTC", converter=zone, kw_only=True)
    attributes: Mapping[str, Any] = attrs.field(factory=dict, converter=_attributes, hash=False, kw_only=True)
    kind: Literal["user", "system", "service"] = attrs.field(default="user", init=False)
    on_behalf_of: Actor | None = attrs.field(default=None, init=False)

    @id.validator
    def _is_no_reserved_id(self, _: Any, value: str) -> None:
        if value.startswith(tuple(_RESERVED.values())):
            raise Invalid("bad_actor", field="id", given=value[:60], expected="an id without the reserved prefixes system: and plugin:")

    @classmethod
    def system(cls, job: str, *, tenant: str, on_behalf_of: Actor | None = None) -> Self:
        """Return the actor of a job of the host's own: full rights in *tenant*, journalled as ``system:<job>``, never implicit."""
        return cls._special("system", job, tenant, on_behalf_of)

    @classmethod
    def service(cls, plugin: str, *, tenant: str, on_behalf_of: Actor | None = None) -> Self:
        """Return the actor that a plugin's subscribers and jobs run as: its own entities and its declared grants, no more."""
        return cls._special("service", plugin, tenant, on_behalf_of)

    @classmethod
    def _special(cls, kind: Literal["system", "service"], name: str, tenant: str, on_behalf_of: Actor | None) -> Self:
        shown = on_behalf_of or cls(kind)
        actor = cls(kind, tenant=tenant, locale=shown.locale, timezone=shown.timezone)
        prefix = _RESERVED[kind]
        for field, value in {"id": prefix + _text(name, "id", 240), "kind": kind, "on_behalf_of": on_behalf_of}.items():
            object.__setattr__(actor, field, value)
        return actor

    @property
    def is_system(self) -> bool:
        return self.kind == "system"

    @property
    def plugin(self) -> str:
        """The plugin whose service actor this is, or ``""``."""
        return self.id.removeprefix("plugin:") if self.kind == "service" else ""

    @property
    def grantees(self) -> list[str]:
        """The names under which records are shared with this actor: ``user:7``, ``team:emea``."""
        return [f"user:{self.id}", *(f"team:{team}" for team in sorted(self.teams))]

    @property
    def zone(self) -> ZoneInfo:
        """The zone that instants are shown in."""
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.timezone)

    def attribute(self, name: str, kind: AttributeKind) -> Any:
        """Return an attribute if it is of *kind*, else None: a rule that compares a date with text is false, not an error."""
        value = self.attributes.get(name)
        if kind == "id":
            return value if is_id(value) else None
        if kind == "decimal":
            return Decimal(value) if type(value) is int else value if isinstance(value, Decimal) else None
        python = {"text": str, "int": int, "bool": bool, "date": date, "datetime": datetime, "list": tuple}[kind]
        return value if type(value) is python else None
