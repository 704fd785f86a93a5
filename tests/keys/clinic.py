"""A clinic: patients with sealed fields, visits whose sealed words are about their patient, and an extension with a sealed field."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from crm_core import Account, Entity, Extension, Field, Plugin, Ref, Role, field, owner


class Blood(enum.Enum):
    A = "a"
    B = "b"


class Patient(Entity):
    name: Field[str] = field(pii=True)
    iban: Field[str | None] = field(default=None, length=34, sealed=True, searchable=True)
    card: Field[str | None] = field(default=None, sealed=True, searchable=True, unique=True)
    born: Field[date | None] = field(default=None, sealed=True, searchable=True)
    seen: Field[datetime | None] = field(default=None, sealed=True)
    debt: Field[Decimal | None] = field(default=None, sealed=True)
    visits: Field[int | None] = field(default=None, sealed=True)
    blood: Field[Blood | None] = field(default=None, sealed=True)
    smokes: Field[bool | None] = field(default=None, sealed=True)
    story: Field[str | None] = field(default=None, text=True, sealed=True)
    notes: Field[dict[str, Any] | None] = field(default=None, sealed=True)
    owner: Field[str | None] = field(default=None)


class Visit(Entity):
    __subject__ = "patient"

    patient: Field[Ref[Patient] | None] = field(default=None)
    words: Field[str] = field(sealed=True)


class Credit(Extension):
    score: Field[str | None] = field(default=None, sealed=True, searchable=True)


CLINIC = Plugin("clinic", version="1.0", label="Clinic")
CLINIC.entities(Patient, Visit)
CLINIC.extend(Account)(Credit)

DOCTOR = Role("doctor").allow(Patient, "read", "create", "update", "delete", where=owner).allow(Visit, "read", "create", "update", "delete")
CLERK = Role("clerk").allow(Patient, "read", "create", "update", fields={"iban": "masked", "card": "none"})

IBAN = "DE89370400440532013000"
FULL: dict[str, Any] = {
    "name": "Ada",
    "iban": IBAN,
    "card": "C-1",
    "born": date(1815, 12, 10),
    "seen": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "debt": Decimal("-12.50"),
    "visits": 42,
    "blood": Blood.B,
    "smokes": False,
    "story": "äöü 😀\nline",
    "notes": {"a": [1, None, "x"]},
}
SEALED = frozenset(FULL) - {"name"}


def stored(crm: Any, entity: type[Any], id_: str) -> SimpleNamespace:
    """Return a row as it stands in the database."""
    table = crm.tables.entities[entity]
    with crm.bound.begin(write=False) as connection:
        row = connection.execute(table.select().where(table.c.id == id_)).one()
    return SimpleNamespace(**row._mapping)
