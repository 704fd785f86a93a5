"""[C74, R13] A backup's file: nothing in it can be changed, cut off or put elsewhere, and nobody else can read it."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from crm_core import FileKeys
from crm_core.backup import BackupRefused, Manifest, restore, verify
from crm_core.errors import CRMError, Unavailable
from crm_core.storage.backup.archive import whole, write
from crm_core.storage.backup.reading import Rows
from crm_core.storage.backup.sealing import CHUNK, MAGIC, TAG, SealedWriter
from tests.backup.world import raw
from tests.conftest import MakeCRM
from tests.figures import figure

FLIPS = 200
HEAD = Manifest("0", "sqlite", datetime(2026, 1, 1, tzinfo=UTC), None, {"core": "1"}, {"core": "1"}, 7, tenants=("main",))
CANARY = "canary@example.com"


def tables(seed: int) -> Iterator[Rows]:
    """Yield rows that do not pack well, so that there are several chunks."""
    chance = random.Random(seed)
    yield Rows("journal", ("id", "text"), (b'[%d,"%s"]\n' % (n, chance.randbytes(500).hex().encode()) for n in range(1800)))
    yield Rows("account", ("id",), iter([f'["{CANARY}"]\n'.encode()]))


def made(key: FileKeys | None, seed: int = 1) -> bytes:
    file = io.BytesIO()
    write(file, HEAD, tables(seed), key)
    return file.getvalue()


def refused(path: Path, data: bytes, key: FileKeys | None) -> str:
    """Return the code of the error that this file's reader meets; empty where there is none."""
    path.write_bytes(data)
    try:
        verify(path, key)
    except BackupRefused as error:
        return error.code
    return ""


@pytest.mark.parametrize("sealed", [True, False], ids=["encrypted", "plain"])
def test_r13_one_changed_byte_anywhere_is_found(sealed: bool, key: FileKeys, tmp_path: Path) -> None:
    used = key if sealed else None
    data, path = made(used), tmp_path / "one.crm"
    assert len(data) > 3 * CHUNK
    assert refused(path, data, used) == ""
    chance = random.Random(13)
    # All of the head, and anywhere else.
    places = [*range(len(MAGIC) + 4 + 20), *chance.sample(range(len(data)), FLIPS)]
    found = 0
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        found += refused(path, bytes(changed), used) in {"backup_damaged", "backup_not_one", "backup_wrong_key", "backup_key_needed"}
    form = "encrypted" if sealed else "plain"
    shown = f"{found} of {len(places)} found in {len(data):,} bytes"
    figure(f"R13 changed bytes, {form}", database="any", cases=len(places), seed=13, result=shown, bar="200 of 200")
    assert found == len(places)


@pytest.mark.parametrize("sealed", [True, False], ids=["encrypted", "plain"])
def test_r13_chunks_that_are_gone_twice_there_or_elsewhere_are_found(sealed: bool, key: FileKeys, tmp_path: Path) -> None:
    used = key if sealed else None
    data, other, path = made(used), made(used, 2), tmp_path / "one.crm"
    start = len(MAGIC) + 4 + int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "big")
    size = CHUNK + TAG
    head, (a, b, *rest) = data[:start], [data[n : n + size] for n in range(start, len(data), size)]
    foreign = other[start : start + size]
    forms = {
        "cut anywhere": data[: len(data) // 2],
        "cut by a byte": data[:-1],
        "cut at a chunk": head + a + b,
        "only a head": head,
        "no more than half a head": data[:20],
        "exchanged": head + b + a + b"".join(rest),
        "twice": head + a + a + b + b"".join(rest),
        "gone": head + b + b"".join(rest),
        "of another file": head + foreign + b + b"".join(rest),
        "longer": data + b"x",
        "another after it": data + data,
    }
    assert {name: refused(path, form, used) for name, form in forms.items()} == dict.fromkeys(forms, "backup_damaged")


def test_r13_what_is_no_backup_is_said(key: FileKeys, tmp_path: Path) -> None:
    path = tmp_path / "one.crm"
    assert [refused(path, data, key) for data in (b"", b"SQLite format 3\0" * 9)] == ["backup_not_one", "backup_not_one"]
    with pytest.raises(BackupRefused) as error:
        verify(tmp_path / "nowhere.crm", key)
    assert error.value.code == "backup_unreadable"


def test_r13_another_key_no_key_and_a_plain_file_where_a_key_is_given_are_refused(key: FileKeys, tmp_path: Path) -> None:
    path, other = tmp_path / "one.crm", FileKeys.create(tmp_path / "other")
    assert refused(path, made(key), other) == "backup_wrong_key"
    assert refused(path, made(key), None) == "backup_key_needed"
    assert refused(path, made(None), key) == "backup_not_sealed"


def test_r13_a_host_gives_a_key_of_its_own(tmp_path: Path, key: FileKeys) -> None:
    """Whatever wraps and unwraps: here a service that counts, and is told for what."""

    @attrs.define
    class Service:
        asked: list[bytes]

        def wrap(self, key: bytes, context: bytes) -> bytes:
            self.asked.append(context)
            return key[::-1]

        def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
            self.asked.append(context)
            return wrapped[::-1]

        def rotate(self) -> None:
            raise NotImplementedError

        def describe(self) -> Mapping[str, str]:
            return {"kind": "service", "current": "7"}

    service, file = Service([]), io.BytesIO()
    manifest = write(file, HEAD, tables(1), service)
    (tmp_path / "one.crm").write_bytes(file.getvalue())
    assert verify(tmp_path / "one.crm", service) == manifest
    assert [json.loads(context) for context in service.asked] == [{"purpose": "backup", "at": HEAD.at.isoformat()}] * 2
    assert b'"by": "service 7"' in file.getvalue()


def test_r13_an_encrypted_file_holds_nothing_that_can_be_read(key: FileKeys) -> None:
    data = made(key)
    assert not [word for word in (CANARY, "journal", "tenants", "main") if word.encode() in data]


def test_r13_a_newer_form_is_refused(key: FileKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_core.storage.backup.archive.FORMAT", 2)
    data = made(key)
    monkeypatch.undo()
    assert refused(tmp_path / "one.crm", data, key) == "backup_newer"


HEADED = b'{"format": 1, "head": {}}\n'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"not JSON\n"),
        gzip.compress(b"[1]\n"),
        gzip.compress(HEADED),
        gzip.compress(HEADED)[:-4],
        gzip.compress(HEADED + b'{"table": "account"}\n'),
        gzip.compress(HEADED + b'{"table": "account", "columns": 7}\n{}\n'),
        gzip.compress(HEADED + b'{"table": "account", "columns": []}\n[1]\n'),
        gzip.compress(HEADED + b'{"manifest": {}}\n'),
        gzip.compress(HEADED + b'{"manifest": 7}\n'),
        gzip.compress(HEADED + b'{"manifest": {"tables": {"account": 7}}}\n'),
        gzip.compress(HEADED + b'{"manifest": '),
    ],
    ids=[str(n) for n in range(13)],  # their bytes have the time in them
)
def test_a27_a_forged_file_without_a_key_is_a_typed_error(content: bytes, tmp_path: Path) -> None:
    """Who can write files can make a plain one whose checksums are right; what is in it is read as data, never run."""
    file = io.BytesIO()
    forged = SealedWriter(file, None, {})
    forged.write(content)
    forged.finish()
    assert refused(tmp_path / "one.crm", file.getvalue(), None) in {"backup_damaged", "backup_newer"}


@pytest.mark.parametrize(
    ("table", "columns", "row"),
    [
        ("account; DROP TABLE crm_account", ("id",), b'["1"]\n'),
        ("account", ("id) VALUES (1); --",), b'["1"]\n'),
        ("account", ("id", "tenant"), b"not JSON\n"),
        ("account", ("id", "tenant"), b"7\n"),
        ("account", ("id", "tenant"), b"[]\n"),
        ("account", ("id", "tenant"), b'["\'); DROP TABLE crm_account; --", "main"]\n'),
    ],
)
def test_a30_names_and_rows_of_a_forged_file_do_no_harm(
    make_crm: MakeCRM, table: str, columns: tuple[str, ...], row: bytes, tmp_path: Path
) -> None:
    crm = make_crm()
    head = attrs.evolve(HEAD, schema=crm.migrations.current())
    file = io.BytesIO()
    write(file, head, iter([Rows("journal", ("id", "tenant"), iter([])), Rows(table, columns, iter([row]))]), None)
    (tmp_path / "one.crm").write_bytes(file.getvalue())
    before = raw(crm)
    with pytest.raises(CRMError):
        restore(crm, tmp_path / "one.crm")
    assert raw(crm) == before


# -- where it is written


def test_c74_a_file_is_for_its_owner_alone_and_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "one.crm"
    with whole(path, force=False) as file:
        file.write(b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BackupRefused) as error, whole(path, force=False) as file:
        file.write(b"second")
    assert (error.value.code, path.read_bytes()) == ("backup_exists", b"first")
    with whole(path, force=True) as file:
        file.write(b"third")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"third", ["one.crm"])


def test_c74_a_file_that_came_while_ours_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "one.crm"
    with pytest.raises(BackupRefused) as error, whole(path, force=False) as file:
        file.write(b"ours")
        path.write_bytes(b"theirs")
    assert (error.value.code, path.read_bytes(), os.listdir(tmp_path)) == ("backup_exists", b"theirs", ["one.crm"])


def test_c74_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "one.crm", force=True) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with pytest.raises(Unavailable) as error, whole(tmp_path / "nowhere" / "one.crm", force=True):
        pass
    assert error.value.code == "backup_no_room"
