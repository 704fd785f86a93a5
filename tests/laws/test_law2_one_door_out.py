"""Law 2: what an actor may not read does not exist for them, whichever way they ask. (Forms of selects: tests/permissions.)"""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import Account, Actor, Contact, CRMError, Interaction, Money, NotFound, NotReadable, Plugin, Runtime, Session, Updated, alias
from tests.laws.shop import REP, Deal, plugin

SYSTEM = Actor.system("test", tenant="main")
ME, YOU = Actor("1", roles={"rep"}), Actor("2", roles={"rep"})
seen_events: list[Any] = []
nosy = Plugin("nosy", version="1", requires={"shop": ">=1"})
bound = nosy.link(Account, Deal)


@nosy.on(Updated[Deal])
def look(s: Session, event: Updated[Deal]) -> None:
    seen_events.append((dict(event.changes), s.find(Deal, event.record)))


def _filled(crm: Any, *, hidden: int) -> dict[str, Any]:
    """Fill a CRM; *hidden* records more belong to someone else. What actor 1 owns is always the same."""
    with crm.session(SYSTEM) as s:
        mine = s.create(Account(name="mine", owner="1", external_ref="m:1"))
        deals = [s.create(Deal(name=f"d{i}", account=mine.ref, amount=Money(i, "EUR"), salary=i, owner="1")) for i in range(4)]
        theirs = None
        for i in range(hidden):
            theirs = s.create(Account(name=f"theirs{i}", owner="2", parent=mine.ref))
            s.create(Deal(name=f"h{i}", account=theirs.ref, amount=Money(1000 + i, "EUR"), salary=10**6, owner="2"))
        return {"mine": mine, "deals": deals, "theirs": theirs}


def _answers(crm: Any, ids: dict[str, Any], seed: int) -> list[Any]:
    """Ask in every way there is, in random order and with random values; return what was answered, errors included."""
    chance = random.Random(seed)  # a test's program
    other = alias(Deal)
    asks: list[Any] = [
        lambda s, n: [d.name for d in s.query(Deal).order_by(Deal.name).all()],
        lambda s, n: s.query(Deal).count(),
        lambda s, n: s.query(Deal).where(Deal.amount > Money(n, "EUR")).count(limit=3),
        lambda s, n: [d.name for d in s.query(Deal).order_by(Deal.amount.amount.desc()).page(2)],
        lambda s, n: [d.name for d in s.query(Deal).stream(1)],
        lambda s, n: s.query(Account).where(Account.parent.is_not(None)).first(),
        lambda s, n: s.execute(select(func.count()).select_from(Deal)).scalar(),
        lambda s, n: s.execute(select(Deal.amount.sum()).group_by(Deal.amount.currency)).all(),
        lambda s, n: s.execute(select(func.max(Deal.name), func.min(Deal.owner))).all(),
        lambda s, n: s.execute(select(Account.name, func.count()).outerjoin(Deal, Deal.account == Account.id).group_by(Account.name)).all(),
        lambda s, n: s.execute(select(Deal.name).union(select(Account.name)).order_by("name")).all(),
        lambda s, n: s.execute(select(other.name).join(other, other.account == Deal.account).order_by(other.name)).all(),
        lambda s, n: s.execute(select(Deal.name).where(Deal.salary > n)).all(),
        lambda s, n: s.execute(select(Deal.name).order_by(Deal.salary)).all(),
        lambda s, n: s.execute(select(func.sum(Deal.salary))).all(),
        lambda s, n: [d.name for d in s.query(Deal).matching({"salary__gte": str(n)}, allow=["salary"]).all()],
        lambda s, n: s.query(Deal).matching({"sort": "salary"}, allow=["salary"]).all(),
        lambda s, n: [crm.to_json(d, expand=["account"]) for d in s.query(Deal).order_by(Deal.name).preload(Deal.account).all()],
        lambda s, n: sorted(crm.describe(Deal, s.actor)["fields"]),
        lambda s, n: s.linked(bound, ids["mine"]),
        lambda s, n: [a.name for a in s.actions(ids["mine"])],
        lambda s, n: s.can("update", ids["deals"][n % 4]),
        lambda s, n: s.query(Interaction).where(Interaction.links.has(ids["mine"].id)).count(),
        lambda s, n: s.query(Contact).count(),
        lambda s, n: s.update(Deal, ids["deals"][n % 4].id, {"salary": 7}),
        lambda s, n: s.upsert(Account(name="mine", external_ref="m:1"), on="external_ref").version,
    ]
    order = [(chance.randrange(len(asks)), chance.randrange(2000)) for _ in range(60)]
    answers = []
    for which, number in order:
        try:
            with crm.session(ME) as s:
                answers.append((which, repr(asks[which](s, number))))
        except CRMError as e:
            answers.append((which, repr(e.problem())))
    return answers


@pytest.mark.parametrize("seed", range(3))
def test_hidden_records_and_fields_change_no_answer(make_crm: Any, seed: int) -> None:
    """Non-interference: two databases that differ only in what actor 1 may not see answer alike, to the letter."""
    answers = []
    for hidden in (0, 5):
        crm = make_crm(plugins=[plugin, nosy], roles=[REP], runtime=Runtime.seeded(seed))
        # The same ids for what is visible: hidden records come after it.
        answers.append(_answers(crm, _filled(crm, hidden=hidden), seed))
    assert answers[0] == answers[1]
    print(f"seed {seed}: {len(answers[0])} questions, 5 hidden accounts and deals")


def test_a_hidden_record_is_not_there_by_any_door(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, nosy], roles=[REP])
    ids = _filled(crm, hidden=1)
    theirs = ids["theirs"]
    with crm.session(SYSTEM) as s:
        hidden = s.query(Deal).where(Deal.owner == "2").one()
        s.link(bound, ids["mine"], hidden)
        s.link(bound, ids["mine"], ids["deals"][0])
    with crm.session(ME) as s:
        assert s.find(Account, theirs.id) is None
        assert s.get_many(Account, [theirs.id, ids["mine"].id]) == [s.get(Account, ids["mine"].id)]
        assert s.linked(bound, ids["mine"]) == [s.get(Deal, ids["deals"][0].id)]
        calls: list[Any] = [
            lambda: s.get(Account, theirs.id),
            lambda: s.update(Account, theirs.id, {"name": "x"}),
            lambda: s.delete(theirs),
            lambda: s.share(theirs, "user:1"),
            lambda: s.link(bound, theirs, ids["deals"][0]),
            lambda: s.restore(Account, theirs.id),
        ]
        for call in calls:
            with pytest.raises(NotFound) as raised:
                call()
            assert theirs.id not in str(raised.value.problem())
        with pytest.raises(CRMError) as refused:
            s.create(Deal(name="x", account=theirs.ref, amount=Money(1, "EUR")))
        with pytest.raises(CRMError) as missing:
            s.create(Deal(name="x", account=type(theirs.ref)(Account, "00000000-0000-7000-8000-000000000000"), amount=Money(1, "EUR")))
        assert refused.value.problem() == missing.value.problem()
        assert not crm.explain(ME, "read", Account, theirs.id).allowed


def test_a_reference_to_a_hidden_record_expands_to_nothing_but_its_id(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin], roles=[REP])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="secret", owner="2"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), owner="1"))
    with crm.session(ME) as s:
        found = s.query(Deal).preload(Deal.account).one()
        assert s.related(found, Deal.account) is None
        assert crm.to_json(found, expand=["account"])["account"] == {"id": account.id}
        assert deal.id == found.id


def test_a_subscriber_sees_events_as_its_plugin_may(make_crm: Any) -> None:
    """A plugin without a grant gets no field of another plugin's record in an event, and does not find the record."""
    crm = make_crm(plugins=[plugin, nosy], roles=[REP])
    ids = _filled(crm, hidden=0)
    crm.run_pending()
    seen_events.clear()
    with crm.session(SYSTEM) as s:
        s.update(Deal, ids["deals"][0].id, {"salary": 99, "name": "new"})
    crm.run_pending()
    assert seen_events == [({}, None)]


def test_elevation_is_journalled_and_its_result_passes_the_callers_lens(make_crm: Any) -> None:
    reader = Plugin("reader", version="1", requires={"shop": ">=1"})
    reader.grants("shop.deal:read", "account:read")

    @reader.service
    class Finder:
        def __init__(self, session: Session) -> None:
            self._session = session

        def find(self, name: str) -> Deal | None:
            with self._session.elevated("look for duplicates") as wide:
                found = wide.query(Deal).where(Deal.name == name).first()
                assert found is not None
                assert found.salary is not None
            return self._session.seen(found)

    crm = make_crm(plugins=[plugin, reader], roles=[REP])
    ids = _filled(crm, hidden=1)
    with crm.session(ME) as s:
        assert s.use(Finder).find("h0") is None
        mine = s.use(Finder).find("d1")
        assert mine is not None
        with pytest.raises(NotReadable):
            _ = mine.salary
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(
            select(table.c.actor, table.c.on_behalf_of, table.c.reason).where(table.c.kind == "core.elevated.v1")
        ).all()
    assert rows == [("plugin:reader", "1", "look for duplicates")] * 2
    assert ids["theirs"] is not None
