"""Law 1: every change passes one pipeline and leaves one journal row, whichever way it came."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import Account, Actor, Change, Money, Plugin, WriteCtx, after_write, before_write, check_write
from tests.laws.shop import Deal, plugin

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Actor.system("test", tenant="main")
# Who may send a statement that changes rows. The rest of the core asks these.
WRITERS = {
    "storage/writer.py": "rows and journal of the pipeline",
    "storage/host_rows.py": "which of the host's own rows the journal knows, and the version, time and author of those it wrote itself",
    "storage/idempotency.py": "keys, in the session's transaction",
    "storage/links.py": "relations, journalled",
    "permissions/shares.py": "shares, journalled",
    "tenant_data.py": "roles and settings, journalled",
    "storage/rollups.py": "sums of what the pipeline wrote, in the same transaction",
    "permissions/members.py": "the mirror of the host's directory",
    "events/sequencer.py": "positions of journal rows",
    "events/parking.py": "deliveries that failed",
    "events/subscription.py": "positions of subscriptions",
    "storage/migrations.py": "the schema's versions",
    "audit/chain.py": "seals of journal rows, which change nothing in them",
    "audit/start.py": "which plugins ran at the last start, journalled",
    "privacy/removal.py": "the journal's personal part of who is erased, or whose time is over, journalled",
    "storage/custom_values.py": "the values of custom fields, with the rows of the pipeline",
    "custom_fields/emptying.py": "the values of a custom field that is deleted, journalled with its definition",
    "tenants.py": "the list of tenants, journalled",
    "jobs/store.py": "when jobs ran and how far they are",
    "lifecycle/footprint.py": "what the core keeps of a plugin that is uninstalled with its data",
    "lifecycle/store.py": "which plugins are there, and their state",
    "storage/keys/encryption.py": "values that are sealed for the first time, and say what they said",
    "entities/upsert.py": "gives the statement to those named here, and sends none",
    "testing/conformance/exercise.py": "rewinds subscriptions of a database in memory, to hand out its events again",
    "privacy/marks.py": "holds and restrictions of persons, journalled",
    "privacy/suppression.py": "whom nobody writes to, journalled",
    "quarantine.py": "plugins that rest, beside the transaction that failed",
    "storage/keys/keyring.py": "keys, in the transaction of what is sealed under them",
    "storage/keys/manager.py": "keys that are wrapped anew",
    "storage/keys/rotation.py": "values that are sealed anew, and say what they said",
    "storage/keys/sealer.py": "blind indexes of sealed values",
    "storage/backup/loading.py": "a whole backup or tenant, in or out, journalled by who restores or drops",
}


def journal(crm: Any) -> list[tuple[str, int]]:
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        return [tuple(r) for r in connection.execute(select(table.c.kind, table.c.version).order_by(table.c.id))]


def test_g18_every_write_path_leaves_the_same_event(make_crm: Any) -> None:
    """[C52, G18] One created event each; every path, one by one, is in test_law1_every_path.py."""
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="one"))
        s.create_many([Account(name="two")])
        s.upsert(Account(name="three", external_ref="a:3"), on="external_ref")
        s.create_many([Account(name="four"), Account(name="")], on_error="collect")
    with crm.bound.begin() as connection, crm.session(SYSTEM, on=connection) as s:
        s.create(Account(name="five"))
    assert journal(crm) == [("account.created.v1", 1)] * 5


def test_every_verb_leaves_a_row_with_old_and_new_values(make_crm: Any) -> None:
    """[C52] Automatic events carry old and new values."""
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        account.name = "B"
        s.save(account)
        s.update(Account, account.id, {"industry": "steel"})
        s.update_where(s.query(Account), {"industry": "wood"})
        s.delete(account)
        s.restore(Account, account.id)
    kinds = [f"account.{k}.v1" for k in ("created", "updated", "updated", "updated", "deleted", "restored")]
    assert journal(crm) == [(k, v) for v, k in enumerate(kinds, 1)]
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(select(table.c.payload, table.c.personal).order_by(table.c.id)).all()
    assert rows[1].personal["changes"] == {"name": ["A", "B"]}
    assert rows[3].payload["changes"] == {"industry": ["steel", "wood"]}
    assert rows[4].personal["old"]["name"] == "B"


def test_g23_an_email_given_as_one_value_has_old_and_new(make_crm: Any) -> None:
    """[G23] The audit of an e-mail change shows both values; personal ones stand apart from the rest."""
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        s.update(Account, account.id, {"emails": [{"address": "old@example.com"}]})
        s.update(Account, account.id, {"emails": [{"address": "new@example.com"}]})
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        last = connection.execute(select(table.c.payload, table.c.personal).order_by(table.c.id.desc())).first()
    old, new = last.personal["changes"]["emails"]
    assert (old[0]["address"], new[0]["address"]) == ("old@example.com", "new@example.com")
    assert "example.com" not in str(last.payload)


def test_hooks_see_every_path_once_per_batch_and_their_changes_are_checked(make_crm: Any) -> None:
    seen: list[tuple[str, int]] = []
    watcher = Plugin("watcher", version="1")

    @watcher.hook(before_write, on=Account)
    def tidy(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        seen.append((ctx.op, len(changes)))
        for change in changes:
            assert isinstance(change.record, Account)
            if change.record.name == "break":
                change.record.name = "x" * 300
            change.record.industry = "tidy"
        return changes

    crm = make_crm(plugins=[watcher])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        s.create_many([Account(name=str(i)) for i in range(5)])
        s.update(Account, account.id, {"name": "B"})
        s.delete(account)
        assert account.industry == "tidy"
        assert seen == [("create", 1), ("create", 5), ("update", 1), ("delete", 1)]
        result = s.create_many([Account(name="good"), Account(name="break")], on_error="collect")
        assert [(i, e.details[0].code) for i, e in result.failed] == [(1, "too_long")]


def test_a_veto_stops_every_path(make_crm: Any) -> None:
    guard = Plugin("guard", version="1", requires={"shop": ">=1,<2"})

    @guard.hook(check_write, on=Deal)
    def no_big_deals(ctx: WriteCtx, changes: list[Change]) -> None:
        for change in changes:
            assert isinstance(change.record, Deal)
            if change.record.amount.amount > 100:
                ctx.refuse(change, "guard.too_big")

    crm = make_crm(plugins=[plugin, guard])
    from crm_core import Refused

    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        small = s.create(Deal(name="s", account=account.ref, amount=Money(1, "EUR")))
        big = {"amount": {"amount": "101", "currency": "EUR"}}
        calls: list[Any] = [
            lambda: s.create(Deal(name="b", account=account.ref, amount=Money(101, "EUR"))),
            lambda: s.create_many([Deal(name="b", account=account.ref, amount=Money(101, "EUR"))]),
            lambda: s.upsert(Deal(name="b", code="c", account=account.ref, amount=Money(101, "EUR")), on="code"),
            lambda: s.update(Deal, small.id, big),
            lambda: s.update_where(s.query(Deal), big),
        ]
        for call in calls:
            with pytest.raises(Refused) as raised:
                call()
            assert raised.value.details[0].code == "guard.too_big"
        assert s.query(Deal).count() == 1


def test_work_after_a_write_is_in_the_same_transaction(make_crm: Any) -> None:
    follower = Plugin("follower", version="1")

    @follower.hook(after_write, on=Account)
    def fail_on_bad(ctx: WriteCtx, changes: list[Change]) -> None:
        if any(isinstance(c.record, Account) and c.record.name == "bad" for c in changes):
            raise ValueError("no")

    crm = make_crm(plugins=[follower])
    from crm_core import PluginFailed

    with crm.session(SYSTEM) as s:
        s.create(Account(name="good"))
        with pytest.raises(PluginFailed) as raised:
            s.create(Account(name="bad"))
        assert raised.value.params["plugin"] == "follower"
    assert journal(crm) == [("account.created.v1", 1)]


VERBS = {"insert", "update", "delete"}
WORDS = ("INSERT INTO", "INSERT OR ", "UPDATE ", "DELETE FROM", "REPLACE INTO", "MERGE INTO", "COPY ")


def sends_writes(source: str) -> bool:
    """Say whether a module makes a statement that changes rows: by function, from a table, or as text."""
    tree = ast.parse(source)
    aliases = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names if a.name.startswith("sqlalchemy")}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("sqlalchemy") and VERBS & {a.name for a in node.names}:
                return True
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in aliases and attr in VERBS:
                return True
            case ast.Call(func=ast.Attribute(attr=attr), args=[], keywords=[]) if attr in VERBS:  # a dict's or a list's has arguments
                return True
            case ast.Constant(value=str(text)) if text.lstrip().startswith(WORDS):
                return True
    return False


def test_nothing_else_in_the_core_sends_writes() -> None:
    """Statements that insert, update or delete stand in the modules named here and nowhere else."""
    core = ROOT / "crm_core"
    found = {path.relative_to(core).as_posix() for path in core.rglob("*.py") if sends_writes(path.read_text(encoding="utf-8"))}
    assert found == set(WRITERS)


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select, update",
        "from sqlalchemy.dialects.postgresql import insert",
        "import sqlalchemy as sa\nsa.delete(table)",
        "connection.execute(table.insert(), rows)",
        "connection.execute(crm.tables.system.journal.update().values(kind='x'))",
        "connection.execute(tables[entity].delete())",
        "connection.exec_driver_sql('DELETE FROM crm_account')",
        "connection.exec_driver_sql(f'UPDATE {name} SET x = 1')",
        "text(' INSERT INTO x')",
    ],
)
def test_the_search_for_writes_sees_every_form(source: str) -> None:
    assert sends_writes(source)


@pytest.mark.parametrize(
    "source", ["seen.update(more)", "lines.insert(0, line)", "session.update(Account, id, {})", "from sqlalchemy import select"]
)
def test_the_search_for_writes_lets_other_updates_pass(source: str) -> None:
    assert not sends_writes(source)
