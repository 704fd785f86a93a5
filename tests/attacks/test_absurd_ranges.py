"""Attacks by what leads nowhere or means two things: calendars, keys of requests, calls out, keys of seals [A10, A22, A25, A27, A34]."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, FileKeys, Invalid, Refused
from crm_core.backup import BackupRefused, backup, drill, move, restore
from crm_core.ext.resource import opening
from crm_core.ports import GuardedHttp
from crm_core.storage.backup.archive import Archive, write
from crm_core.storage.backup.reading import Rows
from crm_core.testing.databases import SQLiteDatabases
from crm_service.calendars import BusinessCalendar, working_time
from tests.attacks.house import Card, vault
from tests.attacks.raid import CPU_SECONDS, PLUGINS, SYSTEM

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def calendar(**changed: Any) -> BusinessCalendar:
    return BusinessCalendar(**({"name": "c", "zone": "Europe/Berlin", "hours": {"mon": [["09:00", "09:01"]]}} | changed))


@pytest.mark.parametrize("country", [None, "DE"])
def test_a22_a_promise_that_nobody_can_keep_is_not_looked_for_to_the_end_of_time(country: str | None) -> None:
    """A year of minutes under a calendar that has one a week took ten seconds and 400 MB a ticket."""
    made, begun = working_time(calendar(country=country)), time.process_time()
    with pytest.raises(Invalid) as e:
        made.after(NOW, timedelta(minutes=527_040))
    assert e.value.code == "service.calendar_closed"
    assert time.process_time() - begun < CPU_SECONDS
    assert made.after(NOW, timedelta(minutes=5)) == datetime(2026, 12, 21, 8, 1, tzinfo=UTC)
    with pytest.raises(Invalid):
        made.after(datetime.max.replace(tzinfo=UTC) - timedelta(days=3), timedelta(minutes=5))


def test_a25_no_user_comes_by_anothers_key() -> None:
    """The key x/y of user 7 was the key y of user 7/x."""
    said: Callable[[str, str], Any] = lambda user, key: opening(Actor(user), "POST", {"idempotency-key": key})["idempotency_key"]  # noqa: E731
    pairs = [("7", "x/y"), ("7/x", "y"), ("7%2Fx", "y"), ("7%2fx", "y"), ("7%252Fx", "y"), ("7", "x%2Fy"), ("7%", "2Fx/y")]
    assert len({said(*pair) for pair in pairs}) == len(pairs)
    assert said("7", "k") == "7/k"


HOSTS = ["a..example.org", "." + "x" * 64 + ".example.org", "x" * 64 + ".example.org", ".example.org", "é" * 64 + ".example.org"]
HEADERS: list[dict[Any, Any]] = [
    {"Host": "inside"}, {"host ": "inside"}, {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}, {"Connection": "keep-alive"},
    {5: "x"}, {"X": None}, {"X": "a\r\nHost: inside"}, {"X\r\nHost": "inside"}, {"X": "\ud800"}, {"Upgrade": "h2c"},
]  # fmt: skip


def test_a10_a_call_goes_where_its_address_says() -> None:
    http = GuardedHttp(allow=["*.example.org", "localhost"], inside=["127.0.0.0/8", "::1"], plain=True, timeout=2)
    for host in HOSTS:
        with pytest.raises((Invalid, Refused)):
            http.request("GET", f"https://{host}/")
    codes: set[str] = set()
    for headers in HEADERS:
        with pytest.raises(Invalid) as e:
            http.request("POST", "http://localhost:9/", headers=headers, body=b"x")
        codes.add(e.value.code)
    assert codes == {"bad_header", "bad_url"}
    methods: list[Any] = ["GET\r\nHost: inside", "é", None, 5]
    for method in methods:
        with pytest.raises(Invalid):
            http.request(method, "http://localhost:9/")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CRM, Callable[[FileKeys], CRM]]]:
    folder = Path(tmp_path_factory.mktemp("sealed"))

    def opened(keys: FileKeys) -> CRM:
        return CRM(SQLiteDatabases(Path(tmp_path_factory.mktemp("target"))).reserve().url, plugins=[*PLUGINS, vault], keys=keys)

    crm = CRM(SQLiteDatabases(folder).reserve().url, plugins=[*PLUGINS, vault], keys=FileKeys.create(folder / "own.keys"))
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Card(name="c", iban="DE1", pin="1"))
        s.custom_fields.add(Account, "region")
    yield crm, opened
    crm.close()


def test_a34_a_move_and_a_drill_prove_that_sealed_values_open(sealed: tuple[CRM, Callable[[FileKeys], CRM]], tmp_path: Path) -> None:
    """With other root keys both went well, and nobody could read a value."""
    crm, opened = sealed
    same, other = FileKeys(crm.tables.sealer.vault.provider._path), FileKeys.create(tmp_path / "other.keys")  # type: ignore[union-attr]
    backup(crm, tmp_path / "a.crm", plain=True)
    for keys in (other, same):
        target = opened(keys)
        if keys is other:
            works: list[Callable[[CRM], Any]] = [lambda t: move(crm, t), lambda t: drill(t, tmp_path / "a.crm")]
            for work in works:
                with pytest.raises(BackupRefused) as e:
                    work(target)
                assert e.value.code == "backup_other_keys"
            assert not target.migrations.current(), "nothing stays"
        else:
            move(crm, target)
            with target.session(SYSTEM) as s:
                assert [c.iban for c in s.query(Card).all()] == ["DE1"]
        target.close()


def test_a27_a_row_with_values_of_other_types_is_refused_in_our_words(
    sealed: tuple[CRM, Callable[[FileKeys], CRM]], tmp_path: Path
) -> None:
    """SQLite keeps what it is given; reading it back raised what it would."""
    crm, opened = sealed
    manifest = backup(crm, tmp_path / "good.crm", plain=True)
    tables = {rows.name: (rows.columns, list(rows.lines)) for rows in Archive(tmp_path / "good.crm", None).tables()}
    target = opened(FileKeys(crm.tables.sealer.vault.provider._path))  # type: ignore[union-attr]
    columns, lines = tables["custom_field"]
    row = dict(zip(columns, json.loads(lines[0]), strict=True)) | {"label": 2**64}
    line = json.dumps([row[n] for n in columns], ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    kept = tables | {"custom_field": (columns, [line])}
    with (tmp_path / "bad.crm").open("wb") as file:
        write(file, attrs.evolve(manifest, tables={}), (Rows(n, tuple(c), iter(v)) for n, (c, v) in kept.items()), None)
    with pytest.raises(BackupRefused) as e:
        restore(target, tmp_path / "bad.crm")
    assert e.value.code == "backup_damaged"
    target.close()
