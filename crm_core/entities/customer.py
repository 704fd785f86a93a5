"""The customer records every module needs: who our customers are and how they belong together."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import ClassVar

from .entity import Entity
from .fields import Field, ListField, Ref, field
from .values import Address, Email, Phone


class AccountKind(Enum):
    """Whether a customer is an organisation or one person."""

    COMPANY = "company"
    PERSON = "person"


class Account(Entity):
    """A customer or prospect: a company, or a person who buys for themselves (``kind=PERSON``).

    Attributes:
        parent: the company it belongs to, in a tree without circles.
        industry: the trade it is in.
        website: its address on the web.
    """

    name: Field[str] = field(label="Name", pii=True)
    kind: Field[AccountKind] = field(default=AccountKind.COMPANY)
    owner: Field[str | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True)
    parent: Field[Ref[Account] | None] = field(default=None, tree=True)
    industry: Field[str | None] = field(default=None, length=100)
    website: Field[str | None] = field(default=None)
    emails: ListField[Email] = field(factory=list, pii=True)
    phones: ListField[Phone] = field(factory=list, pii=True)
    addresses: ListField[Address] = field(factory=list, pii=True)


class Contact(Entity):
    """A person: at a company, or a customer in their own right.

    Attributes:
        first_name: the given name.
        last_name: the family name.
        title: the position at the company.
        account: the company; empty for a customer in their own right.
        language: the tongue to write in, such as ``en`` or ``zh_CN``.
        customer: whether it is a customer in its own right.
    """

    name: Field[str] = field(pii=True)
    first_name: Field[str | None] = field(default=None, pii=True)
    last_name: Field[str | None] = field(default=None, pii=True)
    title: Field[str | None] = field(default=None, pii=True)
    account: Field[Ref[Account] | None] = field(default=None, on_delete="set_null")
    customer: Field[bool] = field(default=False)
    owner: Field[str | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True, pii=True)
    language: Field[str | None] = field(default=None, length=35)
    emails: ListField[Email] = field(factory=list, pii=True)
    phones: ListField[Phone] = field(factory=list, pii=True)
    addresses: ListField[Address] = field(factory=list, pii=True)


class Affiliation(Entity):
    """What a person is to a company, and from when to when (both days inclusive).

    Attributes:
        contact: the person.
        account: the company.
        role: what the one is to the other, such as employee or adviser.
    """

    contact: Field[Ref[Contact]] = field(on_delete="cascade")
    account: Field[Ref[Account]] = field(on_delete="cascade")
    role: Field[str] = field(length=100)
    valid_from: Field[date | None] = field(default=None)
    valid_to: Field[date | None] = field(default=None)
    owner: Field[str | None] = field(default=None)


class ExchangeRate(Entity):
    """How much of ``quote`` one unit of ``base`` is worth from a day on, and who says so.

    Attributes:
        rate: the value of one ``base``, in ``quote``.
        source: who says so, such as the ECB.
    """

    base: Field[str] = field(length=3, format="currency")
    quote: Field[str] = field(length=3, format="currency")
    valid_from: Field[date]
    rate: Field[Decimal] = field(scale=9, min=Decimal("0.000000001"))
    source: Field[str] = field(default="")

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("base", "quote", "valid_from"),)
