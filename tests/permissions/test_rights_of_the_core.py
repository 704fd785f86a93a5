"""What the core itself asks a right for, beside reading and writing records: exports and the tenant's own roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Denied, Role
from crm_core.io import export

CLERK = Actor("7", roles={"clerk"})


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    clerk = Role("clerk").allow(Account, "read", "create", "update", "delete", "assign")
    return make_crm(roles=[clerk])  # type: ignore[no-any-return]  # a factory


def test_who_may_read_records_and_not_export_them_gets_no_file(crm: CRM, tmp_path: Path) -> None:
    with crm.session(CLERK) as s:
        s.create(Account(name="Acme"))
        with pytest.raises(Denied) as denied:
            export(s, s.query(Account), tmp_path / "accounts.csv")
    assert (denied.value.params["action"], list(tmp_path.iterdir())) == ("export", [])


def test_who_may_not_change_roles_makes_none_for_themselves(crm: CRM) -> None:
    with crm.session(CLERK) as s:
        with pytest.raises(Denied) as denied:
            s.define_role(Role("own").allow(Account, "export"))
        assert denied.value.params["action"] == "core.roles"
        with pytest.raises(Denied):
            s.remove_role("clerk")
