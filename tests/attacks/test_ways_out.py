"""Attacks on what goes out and what comes in as files: addresses, mails, encodings, patterns, archives [A10-A12, A19, A22, A23, A27]."""

from __future__ import annotations

import ipaddress
import json
import socket
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, CRMError, Plugin, Ref, Refused, Role, owner
from crm_core.backup import backup, restore
from crm_core.custom_fields.patterns import is_quick
from crm_core.io import Importer, mapping_of
from crm_core.io.form import Form
from crm_core.ports import Attachment, GuardedHttp, Mail
from crm_core.ports.mail import message
from crm_core.storage.backup.archive import Archive, write
from crm_core.storage.backup.reading import Rows
from crm_core.testing.databases import SQLiteDatabases
from tests.attacks.raid import CANARY, CPU_SECONDS, ME, SYSTEM
from tests.laws.shop import plugin as shop
from tests.laws.tricks import trick

INSIDE = [
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::7f00:1", "::ffff:0:7f00:1",
    "::ffff:169.254.169.254", "fec0::1", "fe80::1%1", "3fff::1", "5f00::1", "100::1", "2001:0:7f00:1::", "ff0e::1", "255.255.255.255",
    "0.1.2.3", "198.18.0.1", "240.0.0.1",
]  # fmt: skip
OUTSIDE = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "2002:5db8:d822::1"]


@pytest.mark.parametrize("address", INSIDE)
def test_a10_no_address_leads_inside_in_whatever_form_it_is_written(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(family, socket.SOCK_STREAM, 6, "", (address, 443))])
    with pytest.raises(Refused):
        GuardedHttp(allow=["rebound.example"]).request("GET", "https://rebound.example/")


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_is_public_in_whatever_form(address: str) -> None:
    assert GuardedHttp(allow=["x"])._public(ipaddress.ip_address(address))


HEADERS = [
    *(f"Hi{b}Bcc: all@x.com" for b in ("\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\N{LINE SEPARATOR}")),
    "=?utf-8?q?a=0D=0ABcc:_x=40x.com?=", "=?utf-8?b?YQ0KQmNjOiB4QHguY29t?=", "=?utf-8?q?a=0ABcc:_x=40x.com?=", "\x00", "\ud800",
    "a" * 80 + "\N{LINE SEPARATOR}Bcc: all@x.com", "a" * 100_000,
]  # fmt: skip
MAILS: dict[str, Callable[[str], dict[str, Any]]] = {
    "subject": lambda t: {"subject": t},
    "to": lambda t: {"to": [f"{t} <a@x.com>"]},
    "sender": lambda t: {"sender": f"{t} <a@x.com>"},
    "reply_to": lambda t: {"reply_to": f"{t} <a@x.com>"},
    "id": lambda t: {"id": t},
    "header": lambda t: {"headers": {"X-A": t}},
    "header's name": lambda t: {"headers": {t: "x"}},
    "file's name": lambda t: {"attachments": [Attachment(t, b"x")]},
    "file's kind": lambda t: {"attachments": [Attachment("a", b"x", f"text/plain{t}")]},
}


@pytest.mark.parametrize("part", MAILS)
def test_a23_no_text_adds_a_header_to_a_mail(part: str) -> None:
    for text in HEADERS:
        try:
            sent = bytes(message(Mail(**({"to": ["a@x.com"], "subject": "s", "text": "t"} | MAILS[part](text))), "crm@x.com"))
        except CRMError:
            continue
        read = list(message_from_bytes(sent, policy=policy.default).walk())
        assert not [p["bcc"] for p in read if p["bcc"]], ascii(text)
        assert b"\nbcc:" not in sent.lower().replace(b"\r", b"\n"), ascii(text)


def test_a23_a_subject_keeps_what_is_in_one_line() -> None:
    for text in ("Grüße\N{NO-BREAK SPACE}an alle", "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}", "=?utf-8?q?caf=C3=A9?=", "a" * 300):
        assert message_from_bytes(bytes(message(Mail(to=["a@x.com"], subject=text), "crm@x.com")), policy=policy.default)["subject"]


CODECS = ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "zlib", "hex", "rot13", "\x00", "x" * 9_999, "../x"]
FILES: dict[str, bytes] = {
    "columns of one name": b",".join([b"a"] * 1000) + b"\nx\n",
    "quotes": b"name\n" + b'"' * 100_001 + b"\n",
    "no encoding": bytes(128 + n * 31 % 128 for n in range(100_000)),
    "half a pair": b'{"name": "\\ud800"}\n{"name": "\\u0000"}\n',
    "digits": b'{"name": ' + b"9" * 100_000 + b"}\n",
    "depth": b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "keys": b"{" + b",".join(f'"k{n}": 1'.encode() for n in range(20_000)) + b"}\n",
}
CARDS: dict[str, bytes] = {
    "nested": b"BEGIN:VCARD\n" * 50_000,
    "folded": b"BEGIN:VCARD\nFN:x\n" + b" y\n" * 50_000 + b"END:VCARD\n",
    "parameters": b"BEGIN:VCARD\nFN" + b';A="b"' * 50_000 + b":x\nEND:VCARD\n",
    "parameters without end": b"BEGIN:VCARD\nFN" + b';A="b' * 50_000 + b"x\nEND:VCARD\n",
    "soft breaks": b"BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE:" + b"=\n" * 50_000 + b"END:VCARD\n",
    "escapes": b"BEGIN:VCARD\nN:" + b"\\;" * 100_000 + b"\nEND:VCARD\n",
}


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CRM]:
    made = CRM(SQLiteDatabases(tmp_path_factory.mktemp("ways")).reserve().url, plugins=[shop, trick])
    made.migrate()
    with made.session(SYSTEM) as s:
        s.create(Account(name=CANARY, owner="2"))
    yield made
    made.close()


def assert_soon(crm: CRM, path: Path, data: bytes, **form: str) -> None:
    """Import a file within the time of an attack; errors are ours, of the file or of its rows."""
    path.write_bytes(data)
    begun = time.process_time()
    try:
        Importer(crm, SYSTEM, mapping_of({"entity": "account", "fields": {"name": "name"}, "file": form})).run(path, dry_run=True)
    except CRMError as e:
        if not 400 <= e.status < 500:
            raise
    assert time.process_time() - begun < CPU_SECONDS, path.name


@pytest.mark.parametrize("codec", CODECS)
def test_a11_only_a_character_set_reads_a_file(crm: CRM, tmp_path: Path, codec: str) -> None:
    with pytest.raises(CRMError):
        Form(encoding=codec)
    card = b"BEGIN:VCARD\nVERSION:2.1\nFN;CHARSET=" + codec.encode() + b";ENCODING=QUOTED-PRINTABLE:x-" + b"ab" * 40_000 + b"\nEND:VCARD\n"
    assert_soon(crm, tmp_path / "a.vcf", card)


def test_a11_no_small_file_is_a_large_one(crm: CRM, tmp_path: Path) -> None:
    for name, data in FILES.items():
        assert_soon(crm, tmp_path / (f"{name}.jsonl" if data.startswith(b"{") else f"{name}.csv"), data)
    for name, data in CARDS.items():
        assert_soon(crm, tmp_path / f"{name}.vcf", data)
    for encoding in ("utf-16", "utf-32", "utf-7", "hz", "iso2022_kr"):
        assert_soon(crm, tmp_path / f"{encoding}.csv", b"name\nx\n", encoding=encoding)


@pytest.mark.parametrize(
    "pattern",
    [
        ".*.*" + "(aa|a)" * 20 + "b",
        "[a-z]*[a-z]*" + "(a|ab)" * 7,
        "((a|b)|(a|b))" * 9 + ".*",
        "(a?){20}",
        "[[:alpha:]]",
        "[" * 100,
        "(?i)a",
    ],
)
def test_a19_alternatives_multiply(pattern: str) -> None:
    assert not is_quick(pattern)


def test_a19_alternatives_of_one_group_do_not() -> None:
    assert is_quick("[A-Z]+-(" + "|".join("abcdefghijklmnopqrst") + ")-[0-9]+")


LINES: dict[str, Callable[[bytes], bytes]] = {
    "deep": lambda _: b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "no list": lambda _: b'{"a": 1}\n',
    "short": lambda _: b"[1]\n",
    "other types": lambda line: json.dumps([{"a": 1} for _ in json.loads(line)]).encode() + b"\n",
    "large numbers": lambda line: json.dumps([10**400 for _ in json.loads(line)]).encode() + b"\n",
    "no number": lambda _: b"[NaN]\n",
    "half a pair": lambda line: line.replace(CANARY.encode(), b"\\ud800"),
}
HEADS: dict[str, dict[str, Any]] = {
    "a column of SQL": {"columns": ('x"); DROP TABLE crm_account;--',)},
    "a table of SQL": {"name": 'account"; DROP TABLE x;--'},
    "a table that is not ours": {"name": "sqlite_master"},
}


def _lines(change: Callable[[bytes], bytes], rows: Rows) -> Rows:
    return attrs.evolve(rows, lines=map(change, list(rows.lines)))


def _head(changed: dict[str, Any], rows: Rows) -> Rows:
    return attrs.evolve(rows, **changed)


@pytest.mark.parametrize("name", [*LINES, *HEADS])
def test_a27_a_backup_that_was_written_by_hand_is_refused(crm: CRM, tmp_path: Path, name: str) -> None:
    change = partial(_lines, LINES[name]) if name in LINES else partial(_head, HEADS[name])
    good, bad = tmp_path / "good.crm", tmp_path / "bad.crm"
    manifest = backup(crm, good, plain=True)
    with bad.open("wb") as file:
        tables = (change(rows) if rows.name == "account" else rows for rows in Archive(good, None).tables())
        write(file, attrs.evolve(manifest, tables={}), tables, None)
    target = CRM(SQLiteDatabases(tmp_path).reserve().url, plugins=[shop, trick])
    with pytest.raises(CRMError) as e:
        restore(target, bad)
    assert 400 <= e.value.status < 500
    target.close()


@attrs.define
class Peek:
    """Look at an account."""

    account: Ref[Account]


@attrs.frozen
class Peeked:
    """What was seen."""

    account: Account | None
    all: list[Account]
    by: dict[str, Account]


def test_a26_what_an_action_returns_passes_its_callers_lens(tmp_path: Path) -> None:
    spy = Plugin("spy", version="1")
    spy.grants("account:read")

    @spy.action(permission="spy.peek", label="Peek")
    def peek(s: Any, command: Peek) -> Peeked:
        with s.elevated("look") as e:
            found = e.get(Account, command.account)
            return Peeked(found, [found], {"it": found})

    crm = CRM(
        SQLiteDatabases(tmp_path).reserve().url,
        plugins=[shop, trick, spy],
        roles=[Role("rep").allow(Account, "read", where=owner).permit("spy.peek")],
    )
    crm.migrate()
    with crm.session(SYSTEM) as s:
        hidden = s.create(Account(name=CANARY, owner="2"))
        mine = s.create(Account(name="mine", owner="1"))
    with crm.session(ME) as s:
        assert s.perform(Peek(hidden.ref)) == Peeked(None, [], {"it": None})  # type: ignore[dict-item]
        assert s.perform(Peek(mine.ref)).account.name == "mine"
    crm.close()
