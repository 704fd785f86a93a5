"""Attacks with values: slow texts, look-alikes, numbers, sizes, headers, serialised objects, forged log lines [A19-A23, A27, A28]."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from crm_core import (
    Account,
    Actor,
    Address,
    Contact,
    Created,
    CRMError,
    Email,
    Interaction,
    Money,
    Participant,
    Phone,
    Plugin,
    Session,
)
from crm_core.io import Importer, mapping_of
from crm_core.permissions.role_codec import role_from_json
from crm_core.rules import from_json
from tests.attacks.raid import ME, SYSTEM, Attack, World, each
from tests.laws.shop import Deal
from tests.laws.test_attack_values import DEEP
from tests.laws.tricks import Redeem

SLOW = [
    "a" * 26 + "!",
    "a" * 50_000 + "!",
    "a@" * 25_000,
    "a" * 50_000 + "@x.com",
    "a@" + "b." * 25_000,
    "." * 50_000 + "@x",
    "+" + "1-" * 5_000,
    "(" * 50_000,
    " " * 50_000 + "x",
    "1 " * 25_000,
    "+" * 50_000,
    "\t" * 50_000,
    "a" * 30 + "\n",
    "http://" + "a." * 20_000,
    "﷽" * 20_000,
    "e\N{COMBINING ACUTE ACCENT}" * 20_000,
    "\N{COMBINING ACUTE ACCENT}" * 50_000,
    "x" + "\N{ZERO WIDTH JOINER}" * 50_000,
]
PATTERNS = ["(a+)+$", "^(a|a)*$", "%" * 10_000, "_" * 10_000, "%_" * 5_000, "\\" * 10_000, "%' OR '1'='1", "[a-z]*", ".*"]
NUMBERS: list[Any] = [
    "1e1000000", "1e300000", "1e400", "-1e400", "1E+19", "NaN", "sNaN", "Infinity", "-Infinity", "0x10", "½", "1e-1000000",
    "9" * 100_000, "0." + "0" * 100_000 + "1", "", " ", "+", "--1", "1,5", "1.2.3", 2**63, -(2**63) - 1, 10**5_000,
    float("nan"), float("inf"), 1e308, True, None, [], {}, b"1", Decimal("NaN"), Decimal("1e999999"), complex(1, 1),
]  # fmt: skip


def test_a19_no_text_is_slow_to_check(world: World) -> None:
    world.assert_harmless("A19", each("an e-mail", SLOW, lambda w, s, t: undone(s, Contact(name="x", emails=[Email(t)], owner="1"))))
    world.assert_harmless("A19", each("a phone", SLOW, lambda w, s, t: undone(s, Contact(name="x", phones=[Phone(t)], owner="1"))))
    world.assert_harmless("A19", each("a name", SLOW, lambda w, s, t: undone(s, Account(name=t, owner="1"))))
    world.assert_harmless("A19", each("a website", SLOW, lambda w, s, t: undone(s, Account(name="x", website=t, owner="1"))))
    world.assert_harmless(
        "A19",
        each("an address", SLOW, lambda w, s, t: undone(s, Account(name="x", addresses=[Address(street=t, country=t)]))),
    )
    world.assert_harmless("A19", each("a locale", SLOW, lambda w, s, t: Actor("1", locale=t)))
    world.assert_refused("A19", each("a money", SLOW, lambda w, s, t: Money(t, "EUR")))
    world.assert_harmless("A19", each("a prefix", [*PATTERNS, *SLOW], lambda w, s, t: matching(s, name__startswith=t)))
    world.assert_harmless("A19", each("an equal", PATTERNS, lambda w, s, t: matching(s, name=t)))


def undone(s: Session, record: Any) -> Any:
    """Try to write, and undo what was written."""
    with s.crm.session(ME) as own, pytest.raises(ZeroDivisionError), own.savepoint():
        own.create(record)
        raise ZeroDivisionError


def matching(s: Session, **params: Any) -> Any:
    return s.query(Deal).matching(params, allow=["name", "amount", "code", "id", "created_at"]).all()


ALIKE: list[tuple[str, str]] = [
    ("\N{LATIN SMALL LIGATURE FI}nance", "finance"),
    ("\N{CYRILLIC SMALL LETTER A}lice", "alice"),
    ("ali\N{ZERO WIDTH SPACE}ce", "alice"),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"),
    ("A", "a"),
    ("\N{LATIN CAPITAL LETTER SHARP S}", "\N{LATIN SMALL LETTER SHARP S}"),
    ("stra\N{LATIN SMALL LETTER SHARP S}e", "strasse"),
    ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i"),
    ("a", "a "),
    ("a", "\N{NO-BREAK SPACE}a"),
    ("\N{FULLWIDTH LATIN SMALL LETTER A}", "a"),
    ("a\N{SOFT HYPHEN}b", "ab"),
    ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"),
    ("1", "\N{ARABIC-INDIC DIGIT ONE}"),
    ("\N{RIGHT-TO-LEFT OVERRIDE}abc", "abc"),
    ("%", "x"),
    ("_", "x"),
]
EQUAL = {("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"), ("a", "a "), ("a", "\N{NO-BREAK SPACE}a")}


def test_a20_what_is_equal_is_so_on_both_databases(world: World) -> None:
    """A unique text is the same if it is the same text once normalised (NFC) and stripped; the databases agree, and no index differs."""
    for one, other in ALIKE:
        world.tried["A20"] += 1
        answers = []
        with pytest.raises(ZeroDivisionError), world.crm.session(SYSTEM) as s:
            s.create(Account(name="x", external_ref=f"u:{one}"))
            try:
                s.create(Account(name="x", external_ref=f"u:{other}"))
            except CRMError:
                answers.append("taken")
            else:
                answers.append("free")
            found = s.query(Account).where(Account.external_ref == f"u:{other}").count()
            answers.append(str(found))
            raise ZeroDivisionError
        assert answers in (["taken", "1"], ["free", "1"]), (one, other, answers)
        AGREED.setdefault((one, other), answers)
        assert AGREED[one, other] == answers, (one, other)
        world.handled["A20"] += 1


AGREED: dict[tuple[str, str], list[str]] = {}


def test_a21_numbers_are_exact_or_refused(world: World) -> None:
    odd = [n for n in NUMBERS if n is not None]
    world.assert_refused(
        "A21", each("an amount", NUMBERS, lambda w, s, n: s.update(Deal, w.deal.id, {"amount": {"amount": n, "currency": "EUR"}}))
    )
    world.assert_refused("A21", each("a whole number", odd, lambda w, s, n: s.update(Deal, w.deal.id, {"salary": n})), by=SYSTEM)
    world.assert_refused("A21", each("money", [n for n in NUMBERS if n not in (2**63, -(2**63) - 1)], lambda w, s, n: Money(n, "EUR")))
    world.assert_refused(
        "A21", each("a filter", filter(lambda n: isinstance(n, str), NUMBERS), lambda w, s, n: matching(s, amount=f"EUR:{n}"))
    )
    world.assert_refused("A21", each("a version", odd, lambda w, s, n: s.update(Deal, w.deal.id, {"name": "x"}, version=n)))
    world.assert_refused("A21", each("a size", [*odd, 0, -1, 10**9], lambda w, s, n: s.query(Deal).page(n)))
    assert Money("0.1", "EUR") + Money("0.2", "EUR") == Money("0.3", "EUR")
    assert str(Money("-0", "EUR").amount) in ("0", "0.00")


SIZES: dict[str, Attack] = {
    "200,000 brackets": lambda w, s: s.update(Deal, w.deal.id, {"details": DEEP}),
    "200,000 brackets as a rule": lambda w, s: from_json(DEEP),
    "200,000 brackets as a role": lambda w, s: role_from_json({"name": "x", "allow": DEEP}),
    "200,000 brackets as a body": lambda w, s: w.crm.from_json(Deal, {"name": "x", "details": DEEP}),
    "a body of 50 MB": lambda w, s: s.update(Deal, w.deal.id, {"name": "x" * 50_000_000}),
    "a text of 5 MB": lambda w, s: s.update(Account, w.mine.id, {"website": "x" * 5_000_000}),
    "a JSON of 5 MB": lambda w, s: s.update(Deal, w.deal.id, {"details": {"a": "x" * 5_000_000}}),
    "100,000 keys": lambda w, s: s.update(Deal, w.deal.id, {str(n): n for n in range(100_000)}),
    "100,000 keys of a new one": lambda w, s: w.crm.from_json(Deal, {str(n): n for n in range(100_000)}),
    "100,000 keys of a command": lambda w, s: w.crm.registry.actions[Redeem].load({str(n): n for n in range(100_000)}),
    "100,000 filters": lambda w, s: matching(s, **{f"name__{n}": "x" for n in range(100_000)}),
    "100,000 times a filter": lambda w, s: matching(s, name__in="x," * 100_000),
    "50,000 ids": lambda w, s: matching(s, id__in=f"{w.deal.id}," * 50_000),
    "a page of 10**9": lambda w, s: s.query(Deal).page(10**9),
    "a page after 10**18": lambda w, s: s.query(Deal).page(1, after=str(10**18)),
    "10,000 e-mails": lambda w, s: s.create(Contact(name="x", emails=[Email(f"a{n}@x.com") for n in range(10_000)])),
    "10,000 participants": lambda w, s: s.create(
        Interaction(at=w.mine.created_at, participants=[Participant(str(n)) for n in range(10_000)])
    ),
    "100,000 actions of a share": lambda w, s: s.share(s.get(Account, w.mine.id), "user:1", *map(str, range(100_000))),
    "100,000 sort keys": lambda w, s: s.query(Deal).matching({"sort": "name," * 100_000}, allow=["name"]).all(),
    "100,000 order_by": lambda w, s: s.query(Deal).order_by(*[Deal.name] * 100_000).all(),
    "a JSON with 100,000 keys": lambda w, s: s.update(Deal, w.deal.id, {"details": {str(n): n for n in range(100_000)}}),
}


def test_a22_what_is_too_much_is_refused_at_once(world: World) -> None:
    world.assert_refused("A22", SIZES, by=SYSTEM)
    world.assert_harmless(
        "A22",
        {
            "50,000 ids": lambda w, s: len(s.get_many(Deal, [w.deal.id] * 50_000)),
            "50,000 unknown": lambda w, s: s.get_many(Deal, map(str, range(50_000))),
        },
    )


LINES = ["Hi\r\nBcc: all@x.com", "Hi\nBcc: x", "Hi\rBcc: x", "Hi\x0bx", "Hi\x85x", "Hi\N{LINE SEPARATOR}Bcc: x", "Hi\x00x", "\x1b[2J"]


def test_a23_no_line_begins_in_a_header(world: World) -> None:
    """What becomes a header one day (a subject, a name, an address) is one line."""
    world.assert_refused(
        "A23", each("an address", LINES, lambda w, s, t: s.create(Contact(name="x", emails=[Email(f"a@x.com{t}")], owner="1")))
    )
    world.assert_refused(
        "A23", each("a mailbox", LINES, lambda w, s, t: s.create(Contact(name="x", emails=[Email(f"{t}a@x.com")], owner="1")))
    )
    world.assert_refused("A23", each("a subject", LINES, lambda w, s, t: s.create(Interaction(at=w.mine.created_at, subject=t))))
    world.assert_refused("A23", each("a name", LINES, lambda w, s, t: s.create(Contact(name=t, owner="1"))))
    world.assert_refused(
        "A23", each("a label", LINES, lambda w, s, t: s.create(Contact(name="x", emails=[Email("a@x.com", t)], owner="1")))
    )
    world.assert_refused(
        "A23", each("a participant", LINES, lambda w, s, t: s.create(Interaction(at=w.mine.created_at, participants=[Participant(t)])))
    )


class Bomb:
    """Tells when it is unpickled."""

    def __reduce__(self) -> Any:
        return (FIRED.append, ("boom",))


FIRED: list[str] = []
PICKLED = pickle.dumps(Bomb())
SERIALISED: list[Any] = [
    base64.urlsafe_b64encode(PICKLED).decode(),
    PICKLED.decode("latin-1"),
    "!!python/object/apply:os.system ['x']",
    json.dumps({"_type": "crm_core.crm.CRM", "url": "sqlite://"}),
    json.dumps({"py/object": "os.system"}),
    json.dumps(["__import__", "os"]),
    'O:8:"stdClass":0:{}',
    "rO0ABXNy",
]


def test_a27_nothing_that_comes_in_becomes_an_object(world: World, tmp_path: Any) -> None:
    world.assert_refused("A27", each("a cursor", SERIALISED, lambda w, s, t: s.query(Deal).page(1, after=t)))
    world.assert_refused("A27", each("an enum", SERIALISED, lambda w, s, t: s.update(Deal, w.deal.id, {"amount": t})))
    world.assert_refused("A27", each("a reference", SERIALISED, lambda w, s, t: s.update(Deal, w.deal.id, {"account": t})))
    world.assert_refused(
        "A27",
        each(
            "a type", ["os.system", "crm_core.crm.CRM", "Account", "__main__"], lambda w, s, t: from_json({"op": t, "_type": t, "value": 1})
        ),
    )
    world.assert_refused(
        "A27", each("an object", [PICKLED, Bomb(), object(), Bomb], lambda w, s, t: s.update(Deal, w.deal.id, {"details": t})), by=SYSTEM
    )
    world.assert_refused("A27", each("a command", [PICKLED, Bomb(), {"_type": "Redeem"}, "x", None], lambda w, s, t: s.perform(t)))
    world.assert_refused("A27", each("a mapping", [PICKLED, Bomb(), "x", [1], {"entity": Bomb()}], lambda w, s, t: mapping_of(t)))
    assert FIRED == []


def test_a28_no_value_forges_a_line_of_a_log(make_crm: Any, caplog: pytest.LogCaptureFixture, capsys: Any, tmp_path: Any) -> None:
    forged = [
        "x\n2026-11-21 INFO admin login ok",
        "x\r\nadmin",
        "\x1b[2J\x1b[31mred",
        "x\x85y",
        "x\N{LINE SEPARATOR}y",
        "\N{RIGHT-TO-LEFT OVERRIDE}x",
    ]
    plugin = Plugin("loud", version="1")

    @plugin.on(Created[Account])
    def shout(s: Session, event: Created[Account]) -> None:
        raise CRMError("refused", reason=event.record.id)

    crm = make_crm(plugins=[plugin])
    crm.run_pending()
    caplog.set_level(logging.DEBUG, "crm_core")
    attempts: list[Callable[[str], Any]] = [
        lambda t: Actor(t),
        lambda t: Actor("1", tenant=t),
        lambda t: Actor("1", roles={t}),
        lambda t: crm.session(SYSTEM, reason=t).__enter__(),
        lambda t: crm.session(SYSTEM, request=t).__enter__(),
        lambda t: crm.session(SYSTEM, idempotency_key=t).__enter__(),
        lambda t: crm.entity(t),
        lambda t: crm.release(t),
        lambda t: Money(1, t),
        lambda t: Money(t, "EUR"),
        lambda t: Importer(crm, SYSTEM, mapping_of({"entity": t, "fields": {t: t}})).run(tmp_path / "x.csv"),
    ]
    for attempt in attempts:
        for text in forged:
            try:
                attempt(text)
            except CRMError as e:
                logging.getLogger("crm_core.test").error("%s", e)
    made: list[Callable[[str], Account]] = [
        lambda t: Account(name=t),
        lambda t: Account(name="x", website=t),
        lambda t: Account(name="x", owner=t),
    ]
    with crm.session(SYSTEM) as s:
        for text in forged:
            for make in made:
                try:
                    s.create(make(text))
                except CRMError as e:
                    logging.getLogger("crm_core.test").error("%s", e)
    crm.run_pending()
    lines = [r.getMessage() for r in caplog.records]
    assert lines
    for line in lines:
        shown = line.replace("\n  ", " ")  # an error's details stand in lines of their own, indented
        assert shown.isprintable(), ascii(shown)
