"""E-mails, telephone numbers and addresses reach one normal form, with the extra ``contacts`` and without it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.entities.values import Address, Email, Phone, normalise_email, normalise_phone, normalise_values
from crm_core.errors import Invalid

GOOD_EMAILS = {
    "Ann@Example.COM": "ann@example.com",
    "  ann@example.com\t": "ann@example.com",
    "Ann.B@Bücher.DE": "ann.b@bücher.de",
    "ann@xn--bcher-kva.de": "ann@bücher.de",
    "ａｎｎ@ｅｘａｍｐｌｅ.com": "ann@example.com",
    "ﬁnance@x.com": "finance@x.com",
    "cafe\u0301@x.com": "caf\u00e9@x.com",
    "\u0430lice@x.com": "\u0430lice@x.com",  # a Cyrillic letter stays one
    "o'neil+crm@x.co.uk": "o'neil+crm@x.co.uk",
    "host@crm.test": "host@crm.test",
    "张三@例子.中国": "张三@例子.中国",
}
BAD_EMAILS = {
    "": "bad_email",
    "plain": "bad_email",
    "@x.com": "bad_email",
    "ann@": "bad_email",
    "ann@localhost": "bad_email",
    "ann@b@x.com": "bad_email",
    "ann..b@x.com": "bad_email",
    ".ann@x.com": "bad_email",
    '"ann b"@x.com': "bad_email",
    "ann@[10.0.0.1]": "bad_email",
    "ann@10.0.0.1": "bad_email",
    "ann@-x.com": "bad_email",
    "ann@x_y.com": "bad_email",
    "ann@x..com": "bad_email",
    "ali\u200bce@x.com": "bad_email",
    "ann@x.com\nRCPT TO:<b@x.com>": "control_character",
    "ann\x00@x.com": "control_character",
    "ann\ud800@x.com": "control_character",
    "a" * 26 + "!": "bad_email",
    "a" * 50_000 + "!": "too_long",
    "a" * 65 + "@x.com": "bad_email",
}
SLOW = {
    "nested quantifier": "a" * 26 + "!",
    "many letters": "a" * 50_000 + "!",
    "many dashes": "+" + "1-" * 5_000,
    "50 MB": "x" * 50_000_000,
    "many at signs": "@" * 250,
    "many brackets": "(" * 60,
    "expands under NFKC": "\ufdfa" * 250,
}

# The same module in a process where the packages of the extra cannot be imported.
WITHOUT_EXTRA = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("email_validator", "phonenumbers"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from crm_core.entities import values
from crm_core.errors import Invalid
def run(function, *arguments):
    try:
        return getattr(values, function)(*arguments)
    except Invalid as error:
        return error.code
print(json.dumps([run(*call) for call in json.load(sys.stdin)]))
"""

Call = Callable[..., list[str]]


def with_extra(*calls: tuple[str, ...]) -> list[str]:
    functions = {"normalise_email": normalise_email, "normalise_phone": normalise_phone}
    answers = []
    for name, *arguments in calls:
        try:
            answers.append(functions[name](*arguments))
        except Invalid as error:
            answers.append(error.code)
    return answers


def without_extra(*calls: tuple[str, ...]) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], input=json.dumps(calls), capture_output=True, text=True, check=True, timeout=60
    )
    answers: list[str] = json.loads(run.stdout)
    return answers


@pytest.fixture(params=[with_extra, without_extra])
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen


def test_an_email_reaches_its_normal_form_with_and_without_the_extra(call: Call) -> None:
    assert dict(zip(GOOD_EMAILS, call(*(("normalise_email", e) for e in GOOD_EMAILS)), strict=True)) == GOOD_EMAILS


def test_a_normal_email_stays_as_it_is_with_and_without_the_extra(call: Call) -> None:
    normal = sorted(set(GOOD_EMAILS.values()))
    assert call(*(("normalise_email", e) for e in normal)) == normal


def test_what_is_no_email_is_refused_with_and_without_the_extra(call: Call) -> None:
    assert dict(zip(BAD_EMAILS, call(*(("normalise_email", e) for e in BAD_EMAILS)), strict=True)) == BAD_EMAILS


def test_without_the_extra_the_domain_follows_idna_2003() -> None:
    question = ("normalise_email", "info@straße.de")
    assert with_extra(question) == ["info@straße.de"]
    assert without_extra(question) == ["info@strasse.de"]


@given(text=st.text(max_size=300))
def test_any_text_is_normalised_once_or_refused(text: str) -> None:
    for candidate in (text, f"{text}@example.com", f"ann@{text}", f"ann@{text}.com"):
        try:
            normal = normalise_email(candidate)
        except Invalid:
            continue
        assert normalise_email(normal) == normal


@pytest.mark.parametrize(
    ("typed", "region", "normal"),
    [
        ("030 123456", "DE", "+4930123456"),
        ("030 123456", "de", "+4930123456"),
        ("+49 (0)30 / 123-456", "", "+4930123456"),
        ("0049 30 123456", "DE", "+4930123456"),
        ("１３８００１３８０００", "CN", "+8613800138000"),
        ("+1 800 FLOWERS", "", "+18003569377"),
        ("+49 30 123456 ext. 12", "", "+4930123456;ext=12"),
        ("+4930123456;ext=12", "", "+4930123456;ext=12"),
        ("\u202a+49 30 123456\u202c", "", "+4930123456"),
    ],
)
def test_a_phone_is_brought_to_e164_by_the_extra(typed: str, region: str, normal: str) -> None:
    assert normalise_phone(typed, region) == normal
    assert normalise_phone(normal) == normal


def test_without_the_extra_a_phone_stays_as_typed_but_trimmed() -> None:
    calls = [("normalise_phone", "  030 / 123 456 ", "DE"), ("normalise_phone", "abc"), ("normalise_phone", "1-" * 5_000)]
    assert without_extra(*calls) == ["030 / 123 456", "bad_phone", "too_long"]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "bad_phone"),
        ("reception", "bad_phone"),
        ("030 123456", "bad_phone"),
        ("+1" * 20, "bad_phone"),
        ("+999 123 456", "bad_phone"),
        ("+" + "1-" * 5_000, "too_long"),
        ("030\n123456", "control_character"),
    ],
)
def test_what_is_no_phone_is_refused(typed: str, code: str) -> None:
    with pytest.raises(Invalid) as error:
        normalise_phone(typed)
    assert error.value.code == code


@pytest.mark.parametrize("normalise", [normalise_email, normalise_phone])
@pytest.mark.parametrize("bad", SLOW.values(), ids=SLOW)
def test_text_made_to_be_slow_is_refused_at_once(normalise: Callable[[str], str], bad: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(Invalid):
        normalise(bad)
    assert time.perf_counter() - begin < 0.5


@pytest.mark.parametrize("bad", [None, 7, b"ann@x.com", ["ann@x.com"]])
def test_what_is_not_text_is_refused_by_type(bad: object) -> None:
    for value in (Email(bad), Phone(bad), Address(city=bad)):  # type: ignore[arg-type]  # the wrong type is the point
        with pytest.raises(Invalid) as error:
            value.normalised()
        assert error.value.code == "wrong_type"
        assert error.value.params["given"] == type(bad).__name__


def test_the_first_of_a_list_becomes_primary_where_none_is() -> None:
    normal = normalise_values([Email("A@x.com"), Email("b@x.com", label=" work ")])
    assert normal == [Email("a@x.com", primary=True), Email("b@x.com", label="work")]


def test_a_marked_primary_stays_the_only_one() -> None:
    normal = normalise_values([Phone("030 123456"), Phone("030 654321", primary=True)], region="DE")
    assert [(p.number, p.primary) for p in normal] == [("+4930123456", False), ("+4930654321", True)]


def test_an_empty_list_has_no_primary() -> None:
    assert normalise_values(list[Email]()) == []


def test_two_primaries_are_refused() -> None:
    with pytest.raises(Invalid) as error:
        normalise_values([Email("a@x.com", primary=True), Email("b@x.com"), Email("c@x.com", primary=True)])
    assert [(d.field, d.code) for d in error.value.details] == [("[2].primary", "two_primaries")]


def test_all_wrong_items_of_a_list_are_named_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(Invalid) as error:
        normalise_values([Email("secret"), Email("a@x.com"), Email("b@x.com", label="l" * 99)])
    assert [(d.field, d.code, d.value) for d in error.value.details] == [
        ("[0].address", "bad_email", "str(6)"),
        ("[2].label", "too_long", "str(99)"),
    ]
    assert "secret" not in str(error.value)


def test_an_address_is_trimmed_and_its_country_written_in_capitals() -> None:
    given = Address(street=" Am Markt 1\nHinterhaus ", city="Ko\u0308ln", postal_code=" 50667", country="de")
    assert given.normalised() == Address(street="Am Markt 1\nHinterhaus", city="K\u00f6ln", postal_code="50667", country="DE")


@pytest.mark.parametrize(
    ("address", "code", "field"),
    [
        (Address(), "bad_address", "street"),
        (Address(country="DE", label="home"), "bad_address", "street"),
        (Address(city="Bonn", country="Germany"), "bad_country", "country"),
        (Address(city="Bonn", country="D1"), "bad_country", "country"),
        (Address(street="x" * 501), "too_long", "street"),
        (Address(city="Bonn\nBerlin"), "control_character", "city"),
        (Address(city="x" * 201), "too_long", "city"),
    ],
)
def test_a_bad_address_is_refused_with_its_field(address: Address, code: str, field: str) -> None:
    with pytest.raises(Invalid) as error:
        address.normalised()
    assert (error.value.code, error.value.params["field"]) == (code, field)


@pytest.mark.parametrize("value", [Email("a@x.com", "work", True), Phone("+4930123456"), Address(city="Bonn", country="DE")])
def test_a_value_goes_to_plain_json_and_back(value: Email | Phone | Address) -> None:
    assert type(value)(**json.loads(json.dumps(attrs.asdict(value)))) == value
