"""A veto that asks the database holds also where many ask at once, as the recipe and the scaffold write it."""

from __future__ import annotations

from collections import Counter
from typing import cast

from sqlalchemy import func, select

from crm_core import Account, Actor, Change, Contact, CRMError, Plugin, Refused, WriteCtx, check_write
from tests.conftest import MakeCRM
from tests.threads import at_once

MOST = 3
SYSTEM = Actor.system("test", tenant="main")


def few() -> Plugin:
    plugin = Plugin("few", version="1.0")
    plugin.catalogue("en", {"few.full": "There are enough."})
    plugin.grants("account:read", "contact:read")

    @plugin.hook(check_write, on=Contact)
    def not_too_many(ctx: WriteCtx, changes: list[Change]) -> None:
        contacts = [(change, cast(Contact, change.record).account) for change in changes]
        new = [(change, account.id) for change, account in contacts if account is not None]
        with ctx.elevated("all count") as s:
            ids = [id_ for _, id_ in new]
            s.execute(select(Account.id).where(Account.id.in_(ids)).order_by(Account.id).with_for_update())
            counted = select(Contact.account, func.count()).where(Contact.account.in_(ids)).group_by(Contact.account)
            there = Counter({account.id: number for account, number in s.execute(counted) if account is not None})
        for change, id_ in new:
            there[id_] += 1
            if there[id_] > MOST:
                ctx.refuse(change, "few.full", field="account")

    return plugin


def test_as_many_are_stored_as_may_be(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[few()])
    with crm.session(SYSTEM) as s:
        accounts = [s.create(Account(name=name)).ref for name in ("Acme", "Bell")]
    refused: list[CRMError] = []

    def add(number: int) -> None:
        try:
            with crm.session(SYSTEM) as s:
                s.create_many([Contact(name=f"{number}", account=account) for account in accounts[:: 1 if number % 2 else -1]])
        except Refused as e:
            refused.append(e)

    at_once(add, range(8))
    with crm.session(SYSTEM) as s:
        assert [s.query(Contact).where(Contact.account == account).count() for account in accounts] == [MOST, MOST]
    assert len(refused) == 8 - MOST
