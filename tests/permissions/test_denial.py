"""What a plugin's own actor may not do: the error names the grant that the plugin does not declare; to users nothing is added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, CRMError, Denied, NotFound, Plugin, Ref, Role, Session

SYSTEM = Actor.system("setup", tenant="main")
MakeCRM = Callable[..., CRM]


def attempted(make_crm: MakeCRM, work: Callable[[Session, Ref[Account]], Any], *grants: str) -> CRMError:
    """Return what *work* raises in a plugin's elevated session."""
    plugin = Plugin("acme.desk", version="1.0")
    plugin.grants(*grants)

    @plugin.service
    class Desk:
        def __init__(self, session: Session) -> None:
            self.session = session

        def do(self, account: Ref[Account]) -> None:
            with self.session.elevated("to try") as s:
                work(s, account)

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme")).ref
    with pytest.raises(CRMError) as raised, crm.session(SYSTEM) as s:
        s.use(Desk).do(account)
    return raised.value


def change(s: Session, account: Ref[Account]) -> None:
    record = s.get(Account, account)
    record.name = "Other"
    s.save(record)


@pytest.mark.parametrize(
    ("work", "grants", "lacking"),
    [
        (lambda s, a: s.get(Account, a), [], "account:read"),
        (lambda s, a: s.lock(Account, a), ["account:create"], "account:read"),
        (lambda s, a: s.update(Account, a.id, {"name": "x"}), [], "account:read"),
        (change, ["account:read"], "account:update"),
        (lambda s, a: s.create(Account(name="New")), ["account:read"], "account:create"),
        (lambda s, a: s.delete(s.get(Account, a)), ["account:read,update"], "account:delete"),
        (lambda s, a: s.share(s.get(Account, a), "user:7"), ["account:read"], "account:update"),
    ],
    ids=["get", "lock", "update unseen", "save", "create", "delete", "share"],
)
def test_a_plugin_hears_which_grant_it_lacks(make_crm: MakeCRM, work: Any, grants: list[str], lacking: str) -> None:
    error = attempted(make_crm, work, *grants)
    assert isinstance(error, Denied | NotFound)
    assert error.params["plugin"] == "acme.desk"
    assert error.params["grant"] == lacking
    assert f'lacks plugin.grants("{lacking}")' in error.message("en")
    assert f'缺少 plugin.grants("{lacking}")' in error.message("zh")


def test_of_what_is_granted_only_the_record_is_missing(make_crm: MakeCRM) -> None:
    error = attempted(make_crm, lambda s, a: s.get(Account, "019b76da-a800-760a-af34-06835bc0b476"), "account:read")
    assert str(error) == "There is no such record."


def test_a_user_hears_nothing_of_grants(make_crm: MakeCRM) -> None:
    crm = make_crm(roles=[Role("reader").allow(Account, "read")])
    with pytest.raises(Denied) as raised, crm.session(Actor("7", roles={"reader"})) as s:
        s.create(Account(name="Acme"))
    assert raised.value.params == {"action": "create", "entity": "account"}
