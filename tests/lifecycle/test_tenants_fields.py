"""The fields that a plugin adds to others' records, in a tenant in which it is off."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from crm_core import Account, Actor, Invalid, NotReadable, Role
from tests.lifecycle.club import Perks, system
from tests.lifecycle.conftest import Open

EVERYTHING = Role("rep").allow(Account, "read", "create", "update", "export")


@pytest.mark.parametrize("actor", [system("acme"), Actor("7", tenant="acme", roles={"rep"})], ids=["system", "user"])
def test_they_do_not_exist_where_the_module_is_off_and_come_back_with_it(open_world: Open, actor: Actor) -> None:
    w = open_world(roles=[EVERYTHING])
    with w.crm.session(system("acme")) as s:
        account = Account(name="Acme")
        account[Perks].points = 5
        account = s.create(account)
    w.crm.tenants.switch("acme", [])
    with w.crm.session(actor) as s:
        found = s.get(Account, account.id)
        with pytest.raises(NotReadable):
            _ = found[Perks].points
        with pytest.raises(NotReadable):
            s.execute(select(Perks.points))
        assert "club_points" not in s.describe(Account)["fields"]
        assert not any(name.startswith("club") for name in w.crm.to_json(found))
        for query in (s.query(Account).where(Perks.points == 5), s.query(Account).order_by(Perks.points)):
            with pytest.raises((Invalid, NotReadable)):
                query.all()
        with pytest.raises(Invalid):
            s.update(Account, account.id, {"club_points": 9}, version=found.version)
        found.name = "Acme AG"
        s.save(found)
        s.create(Account(name="New"))
        assert "club_points" not in str(w.crm.to_json(s.timeline(account)))
        assert "club_points" not in str(w.crm.to_json(s.as_of(found.created_at).get(Account, account.id)))
    with w.crm.session(Actor("7", tenant="main", roles={"rep"})) as s:
        assert s.create(Account(name="Elsewhere"))[Perks].points == 0
    w.crm.tenants.switch("acme", None)
    with w.crm.session(actor) as s:
        found = s.get(Account, account.id)
        assert (found.name, found[Perks].points) == ("Acme AG", 5)
