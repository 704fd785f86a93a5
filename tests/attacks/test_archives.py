"""Attacks by archives that were written by hand, and by one tenant's on another: refused, soon, and nothing is left [A11, A25, A27]."""

from __future__ import annotations

import json
import resource
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, Contact, CRMError, Email, Money
from crm_core.backup import BackupRefused, backup, restore, verify
from crm_core.storage.backup.archive import Archive, Manifest, write
from crm_core.storage.backup.reading import Rows
from crm_core.storage.backup.sealing import SealedWriter
from crm_core.testing.databases import SQLiteDatabases
from crm_core.testing.state import state_hash
from tests.attacks.raid import CANARY, CPU_SECONDS, MEGABYTES, PLUGINS, ROLES, SYSTEM
from tests.figures import figure
from tests.laws.shop import Deal
from tests.laws.tricks import bound

Change = Callable[[Sequence[str], list[bytes]], list[bytes]]


@attrs.frozen
class Kept:
    """Two tenants in a CRM, and the archive of the one that is called other.

    Attributes:
        tables: columns and lines of each table.
        theirs: an account of main's.
        deal: one of main's.
    """

    crm: CRM
    file: Path
    manifest: Manifest
    tables: Mapping[str, tuple[Sequence[str], Sequence[bytes]]]
    theirs: Account
    deal: Deal

    def forged(self, changes: Mapping[str, Change]) -> Path:
        path = self.file.with_name("forged.crm")
        with path.open("wb") as file:
            rows = (Rows(n, tuple(c), iter(changes[n](c, list(kept)) if n in changes else kept)) for n, (c, kept) in self.tables.items())
            write(file, attrs.evolve(self.manifest, tables={}), rows, None)
        return path


def line(columns: Sequence[str], **values: Any) -> bytes:
    return json.dumps([values.get(name) for name in columns], ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def other(**values: Any) -> Change:
    """Change the first row."""

    def change(columns: Sequence[str], lines: list[bytes]) -> list[bytes]:
        return [line(columns, **(dict(zip(columns, json.loads(lines[0]), strict=True)) | values)), *lines[1:]]

    return change


def one_more(**values: Any) -> Change:
    """Add a row."""
    return lambda columns, lines: [*lines, line(columns, tenant="other", **values)]


@pytest.fixture
def kept(make_crm: Callable[..., CRM], tmp_path: Path) -> Kept:
    crm = make_crm(plugins=PLUGINS, roles=ROLES)
    with crm.session(SYSTEM) as s:
        theirs = s.create(Account(name=CANARY, emails=[Email("a@example.com")]))
        deal = s.create(Deal(name=CANARY, account=theirs.ref, amount=Money(1, "EUR")))
    with crm.session(Actor.system("test", tenant="other")) as s:
        account = s.create(Account(name="Ours", emails=[Email("b@example.com")]))
        made = s.create(Deal(name="Ours", account=account.ref, amount=Money(1, "EUR")))
        s.create(Contact(name="Ours", account=account.ref))
        s.link(bound, account, made)
    file = tmp_path / "other.crm"
    manifest = backup(crm, file, plain=True, tenant="other")
    tables = {rows.name: (rows.columns, list(rows.lines)) for rows in Archive(file, None).tables()}
    return Kept(crm, file, manifest, tables, theirs, deal)


def test_a25_no_row_of_a_tenants_archive_points_at_anothers(kept: Kept) -> None:
    theirs, deal = kept.theirs.id, kept.deal.id
    email = {"address": "x@example.com", "label": "", "primary": False}
    attacks: dict[str, dict[str, Change]] = {
        "a parent": {"account": other(parent=theirs)},
        "an account of a deal": {"shop.deal": other(account=theirs)},
        "an account of a contact": {"contact": other(account=theirs)},
        "an e-mail of theirs": {"account/emails": one_more(record=theirs, position=9, value=json.dumps(email), is_primary=False)},
        "a link between two of theirs": {"link:trick.account_deal": one_more(a=theirs, b=deal)},
        "a record of theirs": {"account": other(id=theirs)},
        "a record for them": {"account": other(tenant="main")},
        "a journal of theirs": {"journal": other(tenant="main")},
    }
    before, codes = state_hash(kept.crm), set()
    for name, changes in attacks.items():
        path = kept.forged(changes)
        with pytest.raises(CRMError) as e:
            restore(kept.crm, path, force=True)
        assert 400 <= e.value.status < 500, name
        assert CANARY not in json.dumps(e.value.problem())
        assert state_hash(kept.crm) == before, name
        codes.add(e.value.code)
    assert "backup_stray" in codes
    figure("S7 archives", database=kept.crm.bound.kind, cases=len(attacks), result="all refused, nothing changed", bar="100 %")


def test_a25_a_tenants_archive_is_nobody_elses(kept: Kept) -> None:
    before = state_hash(kept.crm)
    with pytest.raises(BackupRefused) as e:
        restore(kept.crm, kept.file, tenant="main", force=True)
    assert e.value.code == "backup_other_tenant"
    assert state_hash(kept.crm) == before


def raw(path: Path, lines: Iterator[bytes] | Sequence[bytes]) -> Path:
    """Write an archive of any lines."""
    with path.open("wb") as file:
        sealed, packer = SealedWriter(file, None, {"purpose": "backup"}), zlib.compressobj(1, wbits=31)
        for each in lines:
            sealed.write(packer.compress(each))
        sealed.write(packer.flush())
        sealed.finish()
    return path


ODD: list[Any] = [
    None,
    5,
    -1,
    10**400,
    True,
    1.5,
    "",
    "x",
    "\ud800",
    "\x00",
    "x" * 300,
    [],
    [1],
    ["\x00"],
    {},
    {"a": 1},
    {"core": "9999.12"},
]


def test_a27_a_manifest_that_lies_is_refused(kept: Kept, tmp_path: Path) -> None:
    lines = list(Archive(kept.file, None)._lines())
    said = json.loads(lines[-1])["manifest"]
    target = CRM(SQLiteDatabases(tmp_path).reserve().url, plugins=PLUGINS, roles=ROLES)
    for name in ("schema", "position", "tables", "tenants", "at", "tenant"):
        for value in ODD:
            if (name, value) in (("tenants", []), ("tenant", None)):
                continue  # no lie on which anything depends: whose each row is, its columns say
            path = raw(tmp_path / "lie.crm", [*lines[:-1], json.dumps({"manifest": said | {name: value}}).encode() + b"\n"])
            with pytest.raises(CRMError) as e:
                restore(target, path, force=True)
            assert 400 <= e.value.status < 500, (name, value)
    target.close()


BOMBS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a head": lambda lines: [b'{"format": 1, "x": [' + b"0," * 20_000_000 + b"0]}\n", *lines[1:]],
    "a manifest": lambda lines: [*lines[:-1], b'{"manifest": [' + b"[]," * 15_000_000 + b"0]}\n"],
    "a table": lambda lines: [lines[0], b'{"table": "account", "columns": [' + b"0," * 20_000_000 + b"0]}\n"],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a11_no_small_archive_is_a_large_one(tmp_path: Path, name: str) -> None:
    crm = CRM(SQLiteDatabases(tmp_path).reserve().url, plugins=PLUGINS)
    crm.migrate()
    backup(crm, tmp_path / "good.crm", plain=True)
    crm.close()
    path = raw(tmp_path / "bomb.crm", BOMBS[name](list(Archive(tmp_path / "good.crm", None)._lines())))
    assert path.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(BackupRefused):
        verify(path)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    assert spent.ru_utime - before.ru_utime < CPU_SECONDS
    assert (spent.ru_maxrss - before.ru_maxrss) // 1024 < MEGABYTES
