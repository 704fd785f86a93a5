"""``crm policy``: roles in a file, and who gains and loses what by a change of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from crm_core import CRM, Actor, Invalid, User
from crm_core.permissions.diff import diff
from crm_core.testing.databases import Databases
from crm_core.testing.state import state_hash
from tests.cli.conftest import Run

SHOP = """
    from crm_core import CRM, Account, Actor, Contact, Role, User, owner, subordinates
    from crm_core.rules import F, everything

    class Users:
        def users(self, tenant, ids=None):
            return [User("1", "Anna"), User("2", "Bo", manager="1"), User("3", "3")] if tenant == "main" else []

        def actor(self, tenant, user_id):
            return None if user_id == "3" else Actor(user_id, tenant=tenant, roles={"seller"})

    seller = Role("seller").allow(Account, "read", "update", where=owner).permit("core.roles")
    crm = CRM("URL", roles=[seller], directory=Users())
    wider = [Role("seller").allow(Account, "read", "update", where=owner | subordinates, fields={"website": "none"})]
    other = [Role("seller").allow(Account, "read", "update", where=F("industry") == "toys").permit("core.roles")]
    lonely = CRM("URL", roles=[seller])
"""


@pytest.fixture
def shop(databases: Databases, folder: Path) -> Iterator[str]:
    """An application with three accounts: one of Anna's, two of Bo's."""
    database = databases.create()
    (folder / "policy_shop.py").write_text(dedent(SHOP).replace("URL", database.url))
    sys.path.insert(0, str(folder))
    import policy_shop  # type: ignore[import-not-found]  # written above

    from crm_core import Account, Actor

    policy_shop.crm.migrate()
    with policy_shop.crm.session(Actor.system("test", tenant="main")) as s:
        s.create_many(Account(name=f"a{n}", owner=who, industry=("toys", None)[n % 2]) for n, who in enumerate("122"))
    yield "policy_shop:crm"
    policy_shop.crm.close()
    policy_shop.lonely.close()
    sys.path.remove(str(folder))
    del sys.modules["policy_shop"]
    databases.drop(database)


def test_the_same_roles_change_nothing(crm: Run, shop: str, folder: Path) -> None:
    shown = crm("--app", shop, "policy", "show")
    assert [role["name"] for role in json.loads(shown.stdout)] == ["seller"]
    (folder / "roles.json").write_text(shown.stdout)
    same = crm("--app", shop, "policy", "diff", "roles.json", "--check")
    assert (same.exit_code, same.stdout) == (0, "Nobody gains or loses anything (2 users).\n")


def test_who_gains_and_who_loses_is_said_and_ends_a_check(crm: Run, shop: str, folder: Path) -> None:
    import policy_shop

    crm("--app", shop, "policy", "diff", shop)  # the directory is mirrored
    before = state_hash(policy_shop.crm)
    found = crm("--app", shop, "policy", "diff", shop, "policy_shop:wider", "--check")
    assert (found.exit_code, found.stdout.splitlines()) == (
        1,
        [
            "1 (Anna) gains read on 2 of account.",
            "1 (Anna) gains update on 2 of account.",
            "1 (Anna): website of account is none instead of write.",
            "2 (Bo): website of account is none instead of write.",
            "1 (Anna) loses the permission core.roles.",
            "2 (Bo) loses the permission core.roles.",
        ],
    )
    assert crm("--app", shop, "policy", "diff", shop, "policy_shop:wider").exit_code == 0
    assert state_hash(policy_shop.crm) == before


def test_ids_and_json_name_the_records(crm: Run, shop: str) -> None:
    import policy_shop

    from crm_core import Account, Actor

    with policy_shop.crm.session(Actor.system("test", tenant="main"), write=False) as s:
        ids = {a.name: a.id for a in s.query(Account).all()}
    found = json.loads(crm("--app", shop, "policy", "diff", shop, "policy_shop:other", "--ids", "--json").stdout)
    assert found["users"] == 2
    assert [r for r in found["records"] if r["action"] == "read"] == [
        {"user": "1", "entity": "account", "action": "read", "gained": 1, "lost": 0, "gained_ids": [ids["a2"]], "lost_ids": []},
        {
            "user": "2", "entity": "account", "action": "read", "gained": 1, "lost": 1, "gained_ids": [ids["a0"]], "lost_ids": [ids["a1"]],
        },
    ]  # fmt: skip
    said = crm("--app", shop, "--lang", "zh", "policy", "diff", shop, "policy_shop:other", "--ids").stdout
    assert f"2 (Bo) 失去对 1 条 account 的 read 权限。\n  {ids['a1']}\n" in said


@pytest.mark.parametrize("given", ["nothing.json", "policy_shop:Users", "no_such_module:x", "bad.json"])
def test_what_is_no_set_of_roles_is_an_error_that_says_so(crm: Run, shop: str, folder: Path, given: str) -> None:
    (folder / "bad.json").write_text('{"name": "x"}')
    failed = crm("--app", shop, "policy", "diff", given)
    assert failed.exit_code == 1
    assert "Traceback" not in failed.output
    assert failed.output.startswith("Error: ")


def test_without_a_directory_there_is_nobody_to_compare_for(crm: Run, shop: str) -> None:
    failed = crm("--app", "policy_shop:lonely", "policy", "diff", shop)
    assert (failed.exit_code, "directory" in failed.output) == (1, True)


def test_a_tenant_without_users_is_an_error_and_not_a_change_of_nothing(crm: Run, shop: str) -> None:
    """A check in CI that compared for nobody would always be green."""
    failed = crm("--app", shop, "policy", "diff", shop, "--tenant", "acme", "--check")
    assert (failed.exit_code, failed.stderr.splitlines()[-1]) == (
        1,
        "Error: The directory names nobody in tenant acme, so there is nobody to compare for. Other tenants are main.",
    )


def test_a_directory_that_names_nobody_is_an_error_of_its_own() -> None:
    class Nobody:
        def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
            return ()

        def actor(self, tenant: str, user_id: str) -> Actor | None:
            return None

    with closing(CRM("sqlite://", directory=Nobody())) as crm:
        crm.migrate()
        with pytest.raises(Invalid) as e:
            diff(crm, [], [], tenant="acme")
    assert e.value.code == "policy_nobody"
