"""E-mail addresses, telephone numbers and postal addresses: the values of embedded lists, and their one normal form.

A value is kept as given until it is normalised on its way to the database, so that reading old rows never depends on today's rules.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from types import ModuleType
from typing import Protocol, Self, TypeVar

import attrs

from ..classes import frozen
from ..errors import Detail, Invalid
from ..messages import redact

LONGEST_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, without the angle brackets
LONGEST_PHONE = 64
_LONGEST_LABEL = 60
_LONGEST_LINE = 200
_LONGEST_STREET = 500

# Each of these runs in time linear to its text, and only on text whose length was checked.
_LOCAL = r"[^\s@()<>\[\],;:\\\"]{1,64}"
_DOMAIN_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_COUNTRY = r"[A-Z]{2}"


class EmbeddedValue(Protocol):
    """What an item of a ``ListField`` must offer."""

    @property
    def primary(self) -> bool:
        """Whether this is the one of the list to be used first."""
        ...

    @property
    def index_value(self) -> str:
        """What ``ListColumn.has`` finds the record by; empty where an item cannot be searched for."""
        ...

    def normalised(self, region: str = "") -> Self:
        """Return the normal form; *region* is the two-letter country whose national forms are meant.

        Raises:
            Invalid: with the parameter ``field``.
        """
        ...


V = TypeVar("V", "Email", "Phone", "Address")


@frozen
class Email:
    """An e-mail address of a person or company."""

    address: str
    label: str = ""
    primary: bool = False

    @property
    def index_value(self) -> str:
        return self.address

    def normalised(self, region: str = "") -> Self:
        """Return the normal form, see :func:`normalise_email`."""
        return attrs.evolve(self, address=normalise_email(self.address), label=_line(self.label, "label", _LONGEST_LABEL))


@frozen
class Phone:
    """A telephone number of a person or company."""

    number: str
    label: str = ""
    primary: bool = False

    @property
    def index_value(self) -> str:
        return self.number

    def normalised(self, region: str = "") -> Self:
        """Return the normal form, see :func:`normalise_phone`."""
        return attrs.evolve(self, number=normalise_phone(self.number, region), label=_line(self.label, "label", _LONGEST_LABEL))


@frozen
class Address:
    """A postal address; ``country`` is a two-letter code of ISO 3166-1."""

    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    label: str = ""
    primary: bool = False

    @property
    def index_value(self) -> str:
        return self.postal_code

    def normalised(self, region: str = "") -> Self:
        """Return the normal form: trimmed, NFC, the country in capitals.

        Raises:
            Invalid: ``bad_address`` where nothing is given but a country or label, ``bad_country``, ``too_long``, ``control_character``.
        """
        clean = attrs.evolve(
            self,
            street=_line(self.street, "street", _LONGEST_STREET, also="\n"),
            city=_line(self.city, "city", _LONGEST_LINE),
            region=_line(self.region, "region", _LONGEST_LINE),
            postal_code=_line(self.postal_code, "postal_code", _LONGEST_LABEL),
            country=_line(self.country, "country", _LONGEST_LABEL).upper(),
            label=_line(self.label, "label", _LONGEST_LABEL),
        )
        if not (clean.street or clean.city or clean.region or clean.postal_code):
            raise Invalid("bad_address", field="street")
        if clean.country and not re.fullmatch(_COUNTRY, clean.country):
            raise Invalid("bad_country", field="country", given=clean.country)
        return clean


def normalise_values(values: Iterable[V], region: str = "") -> list[V]:
    """Normalise a list and see to its primary: at most one may be marked, and the first becomes it where none is.

    Raises:
        Invalid: ``invalid``, whose details name each wrong item by its place, like ``[2].address``.
    """
    normal: list[V] = []
    details: list[Detail] = []
    for place, value in enumerate(values):
        try:
            normal.append(value.normalised(region))
        except Invalid as error:
            params = dict(error.params)
            details.append(Detail("", f"[{place}].{params.pop('field')}", error.code, params.pop("value", ""), params))
    marked = [place for place, value in enumerate(normal) if value.primary]
    if len(marked) > 1:
        details.append(Detail("", f"[{marked[1]}].primary", "two_primaries"))
    if details:
        raise Invalid(details=details)
    if normal and not marked:
        normal[0] = attrs.evolve(normal[0], primary=True)
    return normal


def normalise_email(text: str) -> str:
    """Return the one form of an e-mail address: trimmed, NFKC, lower case, an internationalised domain in Unicode.

    The local part is lower-cased too: mail systems that tell ``Ann`` from ``ann`` are rarer than people who type both. NFKC turns
    full-width letters and ligatures into plain ones; letters of other scripts that look alike stay different. With the extra
    ``contacts``, email-validator checks the syntax (RFC 5321, 5322, 6531; IDNA 2008); without it the standard library does (IDNA 2003,
    where ``ß`` becomes ``ss``). Nothing is looked up in the network.

    Raises:
        Invalid: ``bad_email``, ``too_long``, ``control_character``, ``wrong_type``.
    """
    clean = unicodedata.normalize("NFKC", _line(text, "address", LONGEST_EMAIL))
    local, at, domain = clean.rpartition("@")
    if not at or not re.fullmatch(_LOCAL, local) or local.startswith(".") or local.endswith(".") or ".." in local or _invisible(local):
        raise _bad("bad_email", "address", text)
    checker = _optional("email_validator")
    return _checked_email(checker, clean) if checker else f"{local.lower()}@{_domain(domain, text)}"


def _checked_email(checker: ModuleType, clean: str) -> str:
    try:
        # The environment of a test is one where addresses under .test are allowed.
        found = checker.validate_email(clean, check_deliverability=False, globally_deliverable=False, test_environment=True)
    except checker.EmailNotValidError:
        raise _bad("bad_email", "address", clean) from None
    _check_labels(found.ascii_domain, clean)
    return f"{found.local_part}@{found.domain}".lower()


def _domain(domain: str, given: str) -> str:
    try:
        ascii_form = domain.lower().encode("idna").decode("ascii")
        readable = ascii_form.encode("ascii").decode("idna")
    except UnicodeError:
        raise _bad("bad_email", "address", given) from None
    _check_labels(ascii_form, given)
    return readable


def _check_labels(domain: str, given: str) -> None:
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or not all(re.fullmatch(_DOMAIN_LABEL, label) for label in labels):
        raise _bad("bad_email", "address", given)


def normalise_phone(text: str, region: str = "") -> str:
    """Return the one form of a telephone number.

    With the extra ``contacts`` that is E.164 (``+4930123456``), an extension kept as in RFC 3966 (``+4930123456;ext=12``); a number
    without its country's code is read as one of *region* (two letters, like ``DE``). Without the extra it is the text as typed, trimmed.

    Raises:
        Invalid: ``bad_phone``, ``too_long``, ``control_character``, ``wrong_type``.
    """
    clean = "".join(c for c in _line(text, "number", LONGEST_PHONE) if not _invisible(c))  # pasted numbers carry marks of direction
    if not any(c.isdigit() for c in clean):
        raise _bad("bad_phone", "number", text)
    phonenumbers = _optional("phonenumbers")
    return _e164(phonenumbers, clean, region) if phonenumbers else clean


def _e164(phonenumbers: ModuleType, clean: str, region: str) -> str:
    try:
        number = phonenumbers.parse(clean, region.upper() or None)
    except phonenumbers.NumberParseException:
        raise _bad("bad_phone", "number", clean) from None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _bad("bad_phone", "number", clean)
    main: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{main};ext={number.extension}" if number.extension else main


@functools.cache
def _optional(module: str) -> ModuleType | None:
    """Import a module of an extra once; a failing import would search the whole path again for every value."""
    try:
        return __import__(module)
    except ImportError:
        return None


def _line(value: object, field: str, longest: int, also: str = "") -> str:
    """Trim and compose a text; length first, so that no later step meets a huge one."""
    if not isinstance(value, str):
        raise Invalid("wrong_type", field=field, given=type(value).__name__, expected="str")
    if len(value) > longest:
        raise Invalid("too_long", field=field, value=redact(value), limit=longest)
    clean = unicodedata.normalize("NFC", value.strip())
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in also for c in clean):
        raise Invalid("control_character", field=field, value=redact(value))
    return clean


def _invisible(text: str) -> bool:
    return any(unicodedata.category(c) == "Cf" for c in text)


def _bad(code: str, field: str, given: str) -> Invalid:
    return Invalid(code, field=field, value=redact(given))
